/**
 * The tables as JSON Schema, for editors and stock validators.
 *
 * Thread: any. Must not: know any key by name.
 * Source: JSON Schema draft 2020-12, core and validation vocabularies.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

#define DURATION_PATTERN "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w))+$"
#define SIZE_PATTERN     "^[0-9]+(\\.[0-9]+)? ?([KMGT]i?)?B$"

static json_t *shape_schema(json_t *defs, const struct shape *shape);

static json_t *typed(const char *type)
{
    json_t *schema = json_object();
    sl_json_set_str(schema, "type", type);
    return schema;
}

static void set_bound(json_t *schema, const char *key, double bound)
{
    if (bound >= -1e15 && bound <= 1e15 && bound == (double)(int64_t)bound) {
        sl_json_set_i64(schema, key, (int64_t)bound);
    } else {
        sl_json_set_num(schema, key, bound);
    }
}

static json_t *number_schema(const struct shape *shape)
{
    json_t *schema = typed(shape->kind == SHAPE_INT ? "integer" : "number");
    if (shape->has_bounds) {
        set_bound(schema, "minimum", shape->min);
        set_bound(schema, "maximum", shape->max);
    }
    return schema;
}

static json_t *text_schema(const struct shape *shape)
{
    json_t *schema = typed("string");
    if (shape->words != NULL) {
        json_t *words = json_array();
        for (size_t i = 0; shape->words[i] != NULL; i++) {
            (void)json_array_append_new(words, json_string(shape->words[i]));
        }
        (void)json_object_set_new(schema, "enum", words);
    }
    sl_json_set_str(schema, "pattern", shape->pattern);
    sl_json_set_i64(schema, "maxLength",
                    (int64_t)(shape->max_items != 0 ? shape->max_items : SPEC_TEXT_MAX));
    return schema;
}

/* A script holds no interpolation: "not" a text with the opener in it. */
static json_t *script_schema(const struct shape *shape)
{
    json_t *schema = text_schema(shape), *no = json_object();
    sl_json_set_str(no, "pattern", "\\$\\{\\{");
    (void)json_object_set_new(schema, "not", no);
    return schema;
}

static json_t *types_schema(const char *const *types)
{
    json_t *schema = json_object(), *list = json_array();
    for (size_t i = 0; types[i] != NULL; i++) {
        (void)json_array_append_new(list, json_string(types[i]));
    }
    (void)json_object_set_new(schema, "type", list);
    return schema;
}

static json_t *scalar_schema(const struct shape *shape)
{
    static const char *const scalars[] = {"string", "number", "boolean", NULL};
    json_t *schema = types_schema(scalars);
    if (!shape->is_template) {
        json_t *no = json_object();
        sl_json_set_str(no, "pattern", "\\$\\{\\{");
        sl_json_set_str(no, "type", "string");
        (void)json_object_set_new(schema, "not", no);
    }
    return schema;
}

static json_t *expr_schema(const struct shape *shape)
{
    static const char *const types[] = {"string", "boolean", NULL};
    json_t *schema = types_schema(types), *no = json_object();
    sl_json_set_i64(schema, "maxLength", (int64_t)shape->max_items);
    sl_json_set_str(no, "pattern", "\\$\\{\\{");
    sl_json_set_str(no, "type", "string");
    (void)json_object_set_new(schema, "not", no);
    return schema;
}

static json_t *list_schema(json_t *defs, const struct shape *shape)
{
    json_t *schema = typed("array");
    (void)json_object_set_new(schema, "items", shape_schema(defs, shape->of));
    if (shape->min_items > 0) {
        sl_json_set_i64(schema, "minItems", (int64_t)shape->min_items);
    }
    sl_json_set_i64(schema, "maxItems", (int64_t)shape->max_items);
    return schema;
}

static json_t *map_schema(json_t *defs, const struct shape *shape)
{
    json_t *schema = typed("object"), *names = json_object();
    sl_json_set_str(names, "pattern", shape->pattern);
    (void)json_object_set_new(schema, "propertyNames", names);
    (void)json_object_set_new(schema, "additionalProperties", shape_schema(defs, shape->of));
    sl_json_set_i64(schema, "maxProperties", (int64_t)shape->max_items);
    return schema;
}

/* ---- objects ---------------------------------------------------------------------------------- */

static json_t *required_one(const char *name)
{
    json_t *schema = json_object(), *list = json_array();
    (void)json_array_append_new(list, json_string(name));
    (void)json_object_set_new(schema, "required", list);
    return schema;
}

/* Exactly one: oneOf their presence. At most one: or none of them. */
static void set_choice(json_t *schema, const struct object *object)
{
    json_t *one_of = json_array(), *any = json_array();
    for (size_t i = 0; i < object->n_keys; i++) {
        if ((object->keys[i].flags & KEY_CHOICE) != 0) {
            (void)json_array_append_new(one_of, required_one(object->keys[i].name));
            (void)json_array_append_new(any, required_one(object->keys[i].name));
        }
    }
    if (object->choice == CHOICE_AT_MOST_ONE) {
        json_t *none = json_object(), *any_of = json_object();
        (void)json_object_set(any_of, "anyOf", any);
        (void)json_object_set_new(none, "not", any_of);
        (void)json_array_append_new(one_of, none);
    }
    json_decref(any);
    (void)json_object_set_new(schema, "oneOf", one_of);
}

static json_t *object_schema(json_t *defs, const struct object *object)
{
    json_t *schema = typed("object"), *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < object->n_keys; i++) {
        const struct key *key = &object->keys[i];
        json_t *property = shape_schema(defs, key->shape);
        sl_json_set_str(property, "description", key->description);
        (void)json_object_set_new(properties, key->name, property);
        if ((key->flags & KEY_REQUIRED) != 0) {
            (void)json_array_append_new(required, json_string(key->name));
        }
    }
    (void)json_object_set_new(schema, "properties", properties);
    if (json_array_size(required) > 0) {
        (void)json_object_set(schema, "required", required);
    }
    json_decref(required);
    if (object->others != NULL) {
        json_t *names = json_object();
        sl_json_set_str(names, "pattern", object->others_pattern);
        (void)json_object_set_new(schema, "propertyNames", names);
        (void)json_object_set_new(schema, "additionalProperties",
                                  shape_schema(defs, object->others));
    } else {
        sl_json_set_bool(schema, "additionalProperties", false);
    }
    if (object->choice != CHOICE_NONE) {
        set_choice(schema, object);
    }
    return schema;
}

/* Each object is written once under $defs and referred to. */
static json_t *object_ref(json_t *defs, const struct object *object)
{
    if (json_object_get(defs, object->name) == NULL) {
        (void)json_object_set_new(defs, object->name, json_object()); /* ends recursion */
        (void)json_object_set_new(defs, object->name, object_schema(defs, object));
    }
    json_t *schema = json_object();
    (void)json_object_set_new(schema, "$ref", json_sprintf("#/$defs/%s", object->name));
    return schema;
}

static json_t *one_schema(json_t *defs, const struct shape *shape)
{
    json_t *schema = NULL;
    switch (shape->kind) {
    case SHAPE_ANY: return json_object();
    case SHAPE_BOOL: return typed("boolean");
    case SHAPE_INT:
    case SHAPE_NUMBER: return number_schema(shape);
    case SHAPE_TEXT:
    case SHAPE_TEMPLATE: return text_schema(shape);
    case SHAPE_SCRIPT: return script_schema(shape);
    case SHAPE_SCALAR: return scalar_schema(shape);
    case SHAPE_EXPR: return expr_schema(shape);
    case SHAPE_DURATION:
    case SHAPE_SIZE:
        schema = typed("string");
        sl_json_set_str(schema, "pattern",
                        shape->kind == SHAPE_DURATION ? DURATION_PATTERN : SIZE_PATTERN);
        return schema;
    case SHAPE_OBJECT: return object_ref(defs, shape->object);
    case SHAPE_MAP: return map_schema(defs, shape);
    case SHAPE_LIST: return list_schema(defs, shape);
    }
    return json_object();
}

static json_t *shape_schema(json_t *defs, const struct shape *shape)
{
    if (shape->other == NULL) {
        return one_schema(defs, shape);
    }
    json_t *any = json_array(), *schema = json_object();
    for (const struct shape *s = shape; s != NULL; s = s->other) {
        (void)json_array_append_new(any, one_schema(defs, s));
    }
    (void)json_object_set_new(schema, "anyOf", any);
    return schema;
}

json_t *sl_spec_schema(void)
{
    static const struct object *const documents[] = {
        &sl_spec_pipeline_object, &sl_spec_project_object, &sl_spec_target_object};
    json_t *schema = json_object(), *defs = json_object(), *one_of = json_array();
    sl_json_set_str(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
    sl_json_set_str(schema, "title", "Sluice pipeline, project or target (sluice/v1)");
    for (size_t i = 0; i < SL_LEN(documents); i++) {
        (void)json_array_append_new(one_of, object_ref(defs, documents[i]));
    }
    (void)json_object_set_new(schema, "oneOf", one_of);
    (void)json_object_set_new(schema, "$defs", defs);
    return schema;
}

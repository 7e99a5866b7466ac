/**
 * Reading the tree: names of types, look-up by key, the tree as JSON.
 *
 * Thread: any. Must not: change the tree.
 */
#include "core/base/base.h"

#include "core/yaml/yaml_priv.h"

#include <math.h>

const char *sl_yaml_type_name(enum sl_yaml_type type)
{
    switch (type) {
    case SL_YAML_NULL: return "null";
    case SL_YAML_BOOL: return "bool";
    case SL_YAML_INT: return "int";
    case SL_YAML_FLOAT: return "float";
    case SL_YAML_STR: return "string";
    case SL_YAML_SEQ: return "list";
    case SL_YAML_MAP: return "mapping";
    }
    return "?";
}

const struct sl_yaml_pair *sl_yaml_pair(const struct sl_yaml_node *map, const char *key)
{
    if (map == NULL || map->type != SL_YAML_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->map.n; i++) {
        if (sl_streq(map->map.pairs[i].key, key)) {
            return &map->map.pairs[i];
        }
    }
    return NULL;
}

const struct sl_yaml_node *sl_yaml_get(const struct sl_yaml_node *map, const char *key)
{
    const struct sl_yaml_pair *pair = sl_yaml_pair(map, key);
    return pair != NULL ? pair->value : NULL;
}

/* Recursion is bounded by SL_YAML_DEPTH_MAX, work by SL_YAML_VISITS_MAX. */
json_t *sl_yaml_json(const struct sl_yaml_node *node)
{
    json_t *json = NULL;
    switch (node->type) {
    case SL_YAML_NULL: return json_null();
    case SL_YAML_BOOL: return json_boolean(node->b);
    case SL_YAML_INT: return json_integer(node->i);
    case SL_YAML_FLOAT:
        return isfinite(node->d) ? json_real(node->d)
                                 : json_stringn(node->text.ptr, node->text.len);
    case SL_YAML_STR: return json_stringn(node->text.ptr, node->text.len);
    case SL_YAML_SEQ:
        json = json_array();
        for (size_t i = 0; i < node->seq.n; i++) {
            (void)json_array_append_new(json, sl_yaml_json(node->seq.items[i]));
        }
        return json;
    case SL_YAML_MAP:
        json = json_object();
        for (size_t i = 0; i < node->map.n; i++) {
            (void)json_object_set_new(json, node->map.pairs[i].key,
                                      sl_yaml_json(node->map.pairs[i].value));
        }
        return json;
    }
    return json_null();
}

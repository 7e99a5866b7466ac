/**
 * Lint of structure: a document against its table. All problems at once, each at its own place.
 *
 * Thread: any. Must not: know any key by name; what the language has is in the tables.
 */
#include "core/base/base.h"

#include <math.h>

#include "core/base/time.h"
#include "pipelines/spec/spec_priv.h"

/** Where the check is, for messages: "item 2 of 'require' of 'gate' of step 'g'". */
struct place {
    const struct place *up; /* NULL: the document */
    const char *noun;       /* "step"; NULL for a plain key or an item */
    const char *name;       /* NULL for an item */
    size_t item;            /* from 1 */
};

struct check {
    struct spec_loader *l;
    const struct sl_yaml *y;
};

static void check_value(struct check *c, const struct place *at, const struct shape *shape,
                        const struct sl_yaml_node *node, struct sl_loc empty_loc);

/* ---- words for messages ----------------------------------------------------------------------- */

static const char *render(struct check *c, const struct place *at)
{
    struct sl_buf b = SL_BUF_INIT(1024);
    for (const struct place *p = at; p != NULL; p = p->up) {
        if (p->up == NULL && p != at) {
            break; /* "of the pipeline" says nothing */
        }
        sl_buf_puts(&b, p == at ? "" : " of ");
        if (p->name == NULL) {
            sl_buf_printf(&b, "item %zu", p->item);
        } else if (p->up == NULL) {
            sl_buf_puts(&b, p->name);
        } else {
            sl_buf_printf(&b, "%s%s'%.128s'", p->noun != NULL ? p->noun : "",
                          p->noun != NULL ? " " : "", p->name);
        }
    }
    char *text = sl_arena_strdup(c->l->arena, sl_buf_str(&b));
    sl_buf_release(&b);
    return text;
}

static const char *found(struct check *c, const struct sl_yaml_node *node)
{
    switch (node->type) {
    case SL_YAML_NULL: return "nothing";
    case SL_YAML_SEQ: return node->seq.n == 0 ? "an empty list" : "a list";
    case SL_YAML_MAP: return "a mapping";
    case SL_YAML_BOOL:
    case SL_YAML_INT:
    case SL_YAML_FLOAT:
        return sl_arena_printf(c->l->arena, "%s %.60s", sl_yaml_type_name(node->type),
                               node->text.ptr);
    case SL_YAML_STR: break;
    }
    int shown = (int)strcspn(node->text.ptr, "\n");
    return sl_arena_printf(c->l->arena, "string '%.*s'%s", SL_MIN(shown, 60), node->text.ptr,
                           shown > 60 || node->text.ptr[shown] != '\0' ? "..." : "");
}

/* An empty value has no place of its own. */
static struct sl_loc loc_of(const struct sl_yaml_node *node, struct sl_loc empty_loc)
{
    return node->type == SL_YAML_NULL && node->text.len == 0 ? empty_loc : node->loc;
}

static size_t count_words(const char *const *words)
{
    size_t n = 0;
    while (words[n] != NULL) {
        n++;
    }
    return n;
}

static const char *join_words(struct check *c, const char *const *words)
{
    struct sl_buf b = SL_BUF_INIT(1024);
    size_t n = count_words(words);
    for (size_t i = 0; i < n; i++) {
        sl_buf_printf(&b, "%s'%s'", i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
    }
    char *text = sl_arena_strdup(c->l->arena, sl_buf_str(&b));
    sl_buf_release(&b);
    return text;
}

static void refuse_value(struct check *c, const struct place *at, const struct shape *shape,
                         const struct sl_yaml_node *node, struct sl_loc empty_loc)
{
    const char *what =
        shape->words != NULL && shape->other == NULL ? join_words(c, shape->words) : shape->what;
    const char *hint =
        shape->words != NULL && node->type == SL_YAML_STR
            ? sl_spec_suggest(c->l, node->text.ptr, shape->words, count_words(shape->words))
            : "";
    spec_error(c->l, loc_of(node, empty_loc), "%s must be %s, found %s%s", render(c, at), what,
               found(c, node), hint);
}

/* ---- scalars ---------------------------------------------------------------------------------- */

bool sl_spec_matches(struct spec_loader *l, const char *pattern, const char *text)
{
    size_t i = 0;
    while (i < l->n_patterns && l->patterns[i].pattern != pattern) {
        i++;
    }
    if (i == l->n_patterns) {
        SL_ASSERT(i < SPEC_PATTERNS_MAX);
        size_t at = 0;
        const char *why = NULL;
        l->patterns[i].regex = sl_regex_compile(l->arena, sl_str_c(pattern), &at, &why);
        SL_ASSERT(l->patterns[i].regex != NULL); /* patterns are ours */
        l->patterns[i].pattern = pattern;
        l->n_patterns++;
    }
    return sl_regex_search(l->patterns[i].regex, sl_str_c(text));
}

static bool is_scalar(const struct sl_yaml_node *node)
{
    return node->type == SL_YAML_STR || node->type == SL_YAML_INT || node->type == SL_YAML_FLOAT ||
           node->type == SL_YAML_BOOL;
}

bool sl_spec_fits(const struct shape *shape, const struct sl_yaml_node *node)
{
    switch (shape->kind) {
    case SHAPE_ANY: return true;
    case SHAPE_TEXT:
    case SHAPE_DURATION:
    case SHAPE_SIZE:
    case SHAPE_TEMPLATE:
    case SHAPE_SCRIPT: return node->type == SL_YAML_STR;
    case SHAPE_BOOL: return node->type == SL_YAML_BOOL;
    case SHAPE_INT: return node->type == SL_YAML_INT;
    case SHAPE_NUMBER: return node->type == SL_YAML_INT || node->type == SL_YAML_FLOAT;
    case SHAPE_SCALAR: return is_scalar(node);
    case SHAPE_EXPR: return node->type == SL_YAML_STR || node->type == SL_YAML_BOOL;
    case SHAPE_OBJECT:
    case SHAPE_MAP: return node->type == SL_YAML_MAP;
    case SHAPE_LIST: return node->type == SL_YAML_SEQ;
    }
    return false;
}

static void check_bounds(struct check *c, const struct place *at, const struct shape *shape,
                         const struct sl_yaml_node *node)
{
    double value = node->type == SL_YAML_INT ? (double)node->i : node->d;
    if (!isfinite(value)) {
        spec_error(c->l, node->loc, "%s must be a finite number, found %s", render(c, at),
                   node->text.ptr);
    } else if (shape->has_bounds && (value < shape->min || value > shape->max)) {
        spec_error(c->l, node->loc, "%s must be from %.10g to %.10g, found %s", render(c, at),
                   shape->min, shape->max, node->text.ptr);
    }
}

static bool too_long(struct check *c, const struct place *at, const struct shape *shape,
                     const struct sl_yaml_node *node)
{
    size_t max = shape->max_items != 0 ? shape->max_items : SPEC_TEXT_MAX;
    if (node->text.len > max) {
        spec_error(c->l, node->loc, "%s has %zu bytes; at most %zu are allowed", render(c, at),
                   node->text.len, max);
    }
    return node->text.len > max;
}

static void check_text(struct check *c, const struct place *at, const struct shape *shape,
                       const struct sl_yaml_node *node)
{
    if (too_long(c, at, shape, node)) {
        return;
    }
    bool good = shape->pattern == NULL || sl_spec_matches(c->l, shape->pattern, node->text.ptr);
    if (shape->words != NULL) {
        good = false;
        for (size_t i = 0; shape->words[i] != NULL; i++) {
            good = good || sl_streq(shape->words[i], node->text.ptr);
        }
    }
    if (!good) {
        refuse_value(c, at, shape, node, node->loc);
    }
}

static void report_expr(struct check *c, const struct sl_yaml_node *node,
                        const struct sl_expr_err *e)
{
    struct sl_loc loc = sl_yaml_loc_at(c->y, node, e->offset, e->width);
    spec_error(c->l, loc, "%s", e->msg);
}

static void check_template(struct check *c, const struct place *at, const struct shape *shape,
                           const struct sl_yaml_node *node)
{
    struct sl_expr_err e = {0};
    const struct sl_tmpl *tmpl;
    if (too_long(c, at, shape, node)) {
        return;
    }
    if (shape->pattern != NULL && !sl_spec_matches(c->l, shape->pattern, node->text.ptr)) {
        refuse_value(c, at, shape, node, node->loc);
    } else if (sl_tmpl_parse(c->l->arena, node->text, &tmpl, &e) != 0) {
        report_expr(c, node, &e);
    }
}

static void check_expr(struct check *c, const struct place *at, const struct shape *shape,
                       const struct sl_yaml_node *node)
{
    struct sl_expr_err e = {0};
    const struct sl_expr *expr;
    const char *opener = strstr(node->text.ptr, "${{");
    if (opener != NULL) {
        size_t offset = (size_t)(opener - node->text.ptr);
        spec_error(c->l, sl_yaml_loc_at(c->y, node, offset, 3),
                   "%s takes a bare expression; write it without '${{' and '}}'", render(c, at));
    } else if (!too_long(c, at, shape, node) &&
               sl_expr_parse(c->l->arena, node->text, &expr, &e) != 0) {
        report_expr(c, node, &e);
    }
}

static bool is_duration(const char *text)
{
    int64_t ms;
    return sl_duration_parse(text, &ms);
}

static bool is_size(const char *text)
{
    uint64_t bytes;
    size_t len = strlen(text);
    return len > 0 && text[len - 1] == 'B' && sl_size_parse(text, &bytes);
}

/* ---- collections ------------------------------------------------------------------------------ */

static bool check_count(struct check *c, const struct place *at, const struct shape *shape,
                        size_t n, struct sl_loc loc)
{
    if (shape->max_items != 0 && n > shape->max_items) {
        spec_error(c->l, loc, "%s has %zu entries; at most %zu are allowed", render(c, at), n,
                   shape->max_items);
        return false;
    }
    if (n < shape->min_items) {
        spec_error(c->l, loc, "%s must not be empty", render(c, at));
        return false;
    }
    return true;
}

static void check_list(struct check *c, const struct place *at, const struct shape *shape,
                       const struct sl_yaml_node *node)
{
    if (!check_count(c, at, shape, node->seq.n, node->loc)) {
        return;
    }
    for (size_t i = 0; i < node->seq.n; i++) {
        struct place item = {.up = at, .item = i + 1};
        check_value(c, &item, shape->of, node->seq.items[i], node->seq.items[i]->loc);
    }
}

static void check_map(struct check *c, const struct place *at, const struct shape *shape,
                      const struct sl_yaml_node *node)
{
    if (!check_count(c, at, shape, node->map.n, node->loc)) {
        return;
    }
    for (size_t i = 0; i < node->map.n; i++) {
        const struct sl_yaml_pair *pair = &node->map.pairs[i];
        /* "step 'a'", not "step 'a' of 'steps'" */
        struct place entry = {.up = at->up, .noun = shape->noun, .name = pair->key};
        if (!sl_spec_matches(c->l, shape->pattern, pair->key)) {
            spec_error(
                c->l, pair->key_loc,
                "%s name '%.140s' must be made of %s, not begin with a digit, and have at most %d "
                "bytes",
                shape->noun, pair->key, shape->names, SL_SPEC_NAME_MAX);
        }
        check_value(c, &entry, shape->of, pair->value, pair->key_loc);
    }
}

/* ---- objects ---------------------------------------------------------------------------------- */

static const struct key *find_key(const struct object *object, const char *name)
{
    for (size_t i = 0; i < object->n_keys; i++) {
        if (sl_streq(object->keys[i].name, name)) {
            return &object->keys[i];
        }
    }
    return NULL;
}

static void unknown_key(struct check *c, const struct place *at, const struct object *object,
                        const struct sl_yaml_pair *pair)
{
    const char *names[64];
    SL_ASSERT(object->n_keys <= SL_LEN(names));
    for (size_t i = 0; i < object->n_keys; i++) {
        names[i] = object->keys[i].name;
    }
    spec_error(c->l, pair->key_loc, "unknown key '%.100s' in %s%s", pair->key, render(c, at),
               sl_spec_suggest(c->l, pair->key, names, object->n_keys));
}

static const char *join_choices(struct check *c, const struct object *object)
{
    const char *words[64];
    size_t n = 0;
    for (size_t i = 0; i < object->n_keys; i++) {
        if ((object->keys[i].flags & KEY_CHOICE) != 0) {
            words[n++] = object->keys[i].name;
        }
    }
    words[n] = NULL;
    return join_words(c, words);
}

static void check_choice(struct check *c, const struct place *at, const struct object *object,
                         const struct sl_yaml_node *node, struct sl_loc loc)
{
    const struct sl_yaml_pair *first = NULL, *second = NULL;
    for (size_t i = 0; i < node->map.n; i++) {
        const struct key *key = find_key(object, node->map.pairs[i].key);
        if (key != NULL && (key->flags & KEY_CHOICE) != 0) {
            second = first != NULL && second == NULL ? &node->map.pairs[i] : second;
            first = first == NULL ? &node->map.pairs[i] : first;
        }
    }
    if (second != NULL) {
        spec_error(c->l, second->key_loc, "%s has more than one %s: '%s' and '%s'", render(c, at),
                   object->choice_noun, first->key, second->key);
    } else if (first == NULL && object->choice == CHOICE_EXACTLY_ONE) {
        spec_error(c->l, loc, "%s has no %s; give %s", render(c, at), object->choice_noun,
                   join_choices(c, object));
    }
}

static void check_others(struct check *c, const struct place *at, const struct object *object,
                         const struct sl_yaml_pair *pair)
{
    struct place entry = {.up = at, .name = pair->key};
    if (!sl_spec_matches(c->l, object->others_pattern, pair->key)) {
        spec_error(c->l, pair->key_loc,
                   "name '%.140s' in %s must be made of letters, digits, '_' and '-'", pair->key,
                   render(c, at));
    }
    if (object->others->kind == SHAPE_LIST && pair->value->type != SL_YAML_SEQ) {
        const char *names[64];
        for (size_t i = 0; i < object->n_keys; i++) {
            names[i] = object->keys[i].name;
        }
        spec_error(c->l, loc_of(pair->value, pair->key_loc), "%s must be %s, found %s%s",
                   render(c, &entry), object->others->what, found(c, pair->value),
                   sl_spec_suggest(c->l, pair->key, names, object->n_keys));
        return;
    }
    check_value(c, &entry, object->others, pair->value, pair->key_loc);
}

static void check_object(struct check *c, const struct place *at, const struct object *object,
                         const struct sl_yaml_node *node, struct sl_loc loc)
{
    for (size_t i = 0; i < node->map.n; i++) {
        const struct sl_yaml_pair *pair = &node->map.pairs[i];
        const struct key *key = find_key(object, pair->key);
        struct place entry = {.up = at, .name = pair->key};
        if (key == NULL && object->others != NULL) {
            check_others(c, at, object, pair);
        } else if (key == NULL) {
            unknown_key(c, at, object, pair);
        } else {
            check_value(c, &entry, key->shape, pair->value, pair->key_loc);
        }
        if (key != NULL && key->pending != NULL) {
            sl_spec_report(c->l, SL_SEV_WARNING, pair->key_loc, NULL, "%s is not supported yet: %s",
                           render(c, &entry), key->pending);
        }
    }
    for (size_t i = 0; i < object->n_keys; i++) {
        const struct key *key = &object->keys[i];
        if ((key->flags & KEY_REQUIRED) != 0 && sl_yaml_pair(node, key->name) == NULL) {
            spec_error(c->l, loc, "missing key '%s' in %s", key->name, render(c, at));
        }
    }
    if (object->choice != CHOICE_NONE) {
        check_choice(c, at, object, node, loc);
    }
}

/* ---- any value -------------------------------------------------------------------------------- */

static void check_fitting(struct check *c, const struct place *at, const struct shape *shape,
                          const struct sl_yaml_node *node, struct sl_loc empty_loc)
{
    switch (shape->kind) {
    case SHAPE_ANY:
    case SHAPE_BOOL: break;
    case SHAPE_TEXT: check_text(c, at, shape, node); break;
    case SHAPE_INT:
    case SHAPE_NUMBER: check_bounds(c, at, shape, node); break;
    case SHAPE_SCALAR:
        if (shape->is_template && node->type == SL_YAML_STR) {
            check_template(c, at, shape, node);
        } else if (node->type == SL_YAML_STR && strstr(node->text.ptr, "${{") != NULL) {
            spec_error(c->l, node->loc, "%s cannot hold an expression", render(c, at));
        } else {
            (void)too_long(c, at, shape, node);
        }
        break;
    case SHAPE_DURATION:
        if (!is_duration(node->text.ptr)) {
            refuse_value(c, at, shape, node, empty_loc);
        }
        break;
    case SHAPE_SIZE:
        if (!is_size(node->text.ptr)) {
            refuse_value(c, at, shape, node, empty_loc);
        }
        break;
    case SHAPE_TEMPLATE: check_template(c, at, shape, node); break;
    case SHAPE_EXPR: check_expr(c, at, shape, node); break;
    case SHAPE_SCRIPT:
        if (!too_long(c, at, shape, node)) {
            sl_spec_check_script(c->l, c->y, node, render(c, at));
        }
        break;
    case SHAPE_OBJECT: check_object(c, at, shape->object, node, empty_loc); break;
    case SHAPE_MAP: check_map(c, at, shape, node); break;
    case SHAPE_LIST: check_list(c, at, shape, node); break;
    }
}

/* `empty_loc` is where the key is: the place of what is missing. */
static void check_value(struct check *c, const struct place *at, const struct shape *shape,
                        const struct sl_yaml_node *node, struct sl_loc empty_loc)
{
    for (const struct shape *s = shape; s != NULL; s = s->other) {
        if (sl_spec_fits(s, node)) {
            check_fitting(c, at, s, node, empty_loc);
            if (s->pending != NULL) {
                sl_spec_report(c->l, SL_SEV_WARNING, node->loc, NULL, "%s is not supported yet: %s",
                               render(c, at), s->pending);
            }
            return;
        }
    }
    refuse_value(c, at, shape, node, empty_loc);
}

void sl_spec_check(struct spec_loader *l, const struct sl_yaml *y, const struct sl_yaml_node *root,
                   const struct object *object, const char *label)
{
    struct check c = {.l = l, .y = y};
    struct place top = {.name = label};
    check_object(&c, &top, object, root, root->loc);
}

/**
 * A target as JSON and back: recorded with each deployment, so that a rollback needs no pipeline file.
 *
 * Thread: any. Must not: trust a record's types.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

static void set_argv(json_t *object, const char *key, const char *const *argv)
{
    if (argv == NULL) {
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; argv[i] != NULL; i++) {
        (void)json_array_append_new(list, json_string(argv[i]));
    }
    (void)json_object_set_new(object, key, list);
}

json_t *sl_target_json(const struct sl_target *t)
{
    json_t *object = json_object();
    sl_json_set_str(object, "name", t->name);
    sl_json_set_str(object, "type", t->type);
    sl_json_set_str(object, "path", t->path);
    sl_json_set_str(object, "file", t->loc.file);
    sl_json_set_i64(object, "keep", t->keep);
    sl_json_set_bool(object, "protected", t->is_protected);
    set_argv(object, "warmup", t->warmup);
    set_argv(object, "health", t->health);
    set_argv(object, "reload", t->reload);
    sl_json_set_i64(object, "timeout_ms", t->timeout_ms);
    sl_json_set_i64(object, "health_retries", t->health_retries);
    sl_json_set_i64(object, "health_interval_ms", t->health_interval_ms);
    return object;
}

static int get_argv(struct sl_arena *a, const json_t *json, const char *key, const char ***ret,
                    struct sl_err *err)
{
    const json_t *list = json_object_get(json, key);
    if (list == NULL || json_is_null(list)) {
        return 0;
    }
    size_t n = json_array_size(list);
    if (n == 0 || n > SPEC_ARGV_MAX) {
        return sl_err_set(err, SL_EINVAL, "target: '%s' must be a list of 1 to %d strings", key,
                          SPEC_ARGV_MAX);
    }
    const char **argv = SL_ARENA_ARRAY(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL) {
            return sl_err_set(err, SL_EINVAL, "target: item %zu of '%s' must be a string", i + 1,
                              key);
        }
        argv[i] = sl_arena_strdup(a, text);
    }
    *ret = argv;
    return 0;
}

int sl_target_from_json(struct sl_arena *a, const json_t *json, struct sl_target *ret,
                        struct sl_err *err)
{
    static const char *const required[] = {"name", "type", "path"};
    for (size_t i = 0; i < SL_LEN(required); i++) {
        if (sl_json_str(json, required[i], NULL) == NULL) {
            return sl_err_set(err, SL_EINVAL, "target: '%s' is missing or no string", required[i]);
        }
    }
    int64_t keep = sl_json_i64(json, "keep", 3);
    int64_t retries = sl_json_i64(json, "health_retries", 3);
    struct sl_target t = {.name = sl_arena_strdup(a, sl_json_str(json, "name", "")),
                          .type = sl_arena_strdup(a, sl_json_str(json, "type", "")),
                          .path = sl_arena_strdup(a, sl_json_str(json, "path", "")),
                          .loc = {.file = sl_arena_strdup(a, sl_json_str(json, "file", NULL))},
                          .is_protected = sl_json_bool(json, "protected", true),
                          .timeout_ms = sl_json_i64(json, "timeout_ms", 60000),
                          .health_interval_ms = sl_json_i64(json, "health_interval_ms", 1000)};
    if (keep < 1 || keep > 100 || retries < 0 || retries > 1000 || t.timeout_ms < 0 ||
        t.health_interval_ms < 0) {
        return sl_err_set(err, SL_EINVAL, "target '%s': a number is out of range", t.name);
    }
    t.keep = (int)keep;
    t.health_retries = (int)retries;
    if (get_argv(a, json, "warmup", &t.warmup, err) != 0 ||
        get_argv(a, json, "health", &t.health, err) != 0 ||
        get_argv(a, json, "reload", &t.reload, err) != 0) {
        return -SL_EINVAL;
    }
    *ret = t;
    return 0;
}

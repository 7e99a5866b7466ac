/**
 * Front of the language for tests: `spec_tool lint FILE`, `spec_tool schema`, `spec_tool json FILE`.
 *
 * `lint` prints diagnostics and exits 2 when there is an error; names in messages are relative to the
 * file's own directory. `json` prints the documents of a YAML file as a JSON array.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/yaml/yaml.h"
#include "pipelines/spec/spec.h"

static int read_file(struct sl_arena *a, const char *path, struct sl_str *ret, struct sl_err *err)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return sl_err_set(err, SL_ENOTFOUND, "no such file");
    }
    size_t cap = (size_t)8 << 20;
    char *text = sl_arena_alloc(a, cap);
    *ret = (struct sl_str){text, fread(text, 1, cap - 1, f)};
    (void)fclose(f);
    return 0;
}

static int read_beside(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                       struct sl_err *err)
{
    return read_file(a, sl_arena_printf(a, "%s/%s", (const char *)data, path), ret, err);
}

static int lint(struct sl_arena *a, const char *path)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_spec_source source = {.read = read_beside, .any_kind = true};
    char *dir = sl_arena_strdup(a, path);
    char *slash = strrchr(dir, '/');
    source.file = slash != NULL ? path + (slash - dir) + 1 : path;
    if (slash != NULL) {
        *slash = '\0';
    }
    source.data = slash != NULL ? dir : sl_arena_strdup(a, ".");
    if (read_file(a, path, &source.text, &err) != 0) {
        (void)fprintf(stderr, "%s: %s\n", path, err.msg);
        return 1;
    }
    struct sl_diags diags;
    const struct sl_spec *spec = NULL;
    sl_diags_init(&diags, a);
    int rc = sl_spec_load(&source, a, &diags, &spec);
    struct sl_buf out = SL_BUF_INIT((size_t)8 << 20);
    sl_diags_print(&diags, false, &out);
    (void)fputs(sl_buf_str(&out), stdout);
    sl_buf_release(&out);
    sl_diags_release(&diags);
    return rc == 0 ? 0 : 2;
}

static int print_json(json_t *json)
{
    char *text = sl_json_pretty(json);
    (void)fputs(text, stdout);
    free(text);
    json_decref(json);
    return 0;
}

static int to_json(struct sl_arena *a, const char *path)
{
    struct sl_str text;
    struct sl_err err = SL_ERR_INIT;
    struct sl_diags diags;
    const struct sl_yaml *y = NULL;
    if (read_file(a, path, &text, &err) != 0) {
        return 1;
    }
    sl_diags_init(&diags, a);
    int rc = sl_yaml_parse(path, text, a, &diags, &y);
    sl_diags_release(&diags);
    if (rc != 0) {
        return 2;
    }
    json_t *docs = json_array();
    for (size_t i = 0; i < y->n_docs; i++) {
        (void)json_array_append_new(docs, sl_yaml_json(y->docs[i]));
    }
    return print_json(docs);
}

int main(int argc, char **argv)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    int rc = 2;
    if (argc == 2 && sl_streq(argv[1], "schema")) {
        rc = print_json(sl_spec_schema());
    } else if (argc == 3 && sl_streq(argv[1], "json")) {
        rc = to_json(&arena, argv[2]);
    } else if (argc == 3 && sl_streq(argv[1], "lint")) {
        rc = lint(&arena, argv[2]);
    } else {
        (void)fputs("usage: spec_tool lint FILE | json FILE | schema\n", stderr);
    }
    sl_arena_release(&arena);
    return rc;
}

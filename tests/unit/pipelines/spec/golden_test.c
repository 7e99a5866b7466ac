/** Every bad pipeline of tests/golden/lint/bad gives exactly its recorded messages; good ones none. */
#include "core/base/base.h"

#include <dirent.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "pipelines/spec/spec.h"
#include "tests/support/sl_test.h"

static int read_beside(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                       struct sl_err *err)
{
    char *full = sl_test_path(data, path);
    if (!sl_test_exists(full)) {
        free(full);
        return sl_err_set(err, SL_ENOTFOUND, "no such file");
    }
    size_t len = 0;
    char *text = sl_test_read(full, &len);
    *ret = (struct sl_str){sl_arena_memdup(a, text, len), len};
    free(text);
    free(full);
    return 0;
}

/* Messages about what is not built yet would change with every system that is: they are no golden text. */
static void drop_pending(struct sl_diags *diags)
{
    size_t n = 0;
    for (size_t i = 0; i < diags->list.n; i++) {
        if (strstr(diags->list.items[i].message, "is not supported yet") == NULL) {
            diags->list.items[n++] = diags->list.items[i];
        } else {
            diags->n_warnings--;
        }
    }
    diags->list.n = n;
}

/* Prints what linting the file says; returns the loader's code. */
static int lint(char *dir, const char *name, struct sl_buf *out)
{
    struct sl_arena arena;
    struct sl_diags diags;
    struct sl_err err = SL_ERR_INIT;
    const struct sl_spec *spec = NULL;
    struct sl_spec_source source = {
        .file = name, .read = read_beside, .data = dir, .any_kind = true};
    sl_arena_init(&arena, 0);
    sl_diags_init(&diags, &arena);
    SL_CHECK_OK(read_beside(dir, &arena, name, &source.text, &err), err);
    int rc = sl_spec_load(&source, &arena, &diags, &spec);
    SL_CHECK((rc == 0) == (diags.n_errors == 0));
    SL_CHECK((spec != NULL) == (rc == 0));
    drop_pending(&diags);
    sl_diags_print(&diags, false, out);
    sl_diags_release(&diags);
    sl_arena_release(&arena);
    return rc;
}

typedef void (*file_fn)(char *dir, const char *name);

static int each_file(const char *folder, file_fn fn)
{
    char *dir = sl_test_source_path(folder);
    DIR *d = opendir(dir);
    SL_CHECK_NOT_NULL(d);
    int n = 0;
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (sl_ends_with(entry->d_name, ".yml")) {
            fn(dir, entry->d_name);
            n++;
        }
    }
    (void)closedir(d);
    free(dir);
    return n;
}

static void check_bad(char *dir, const char *name)
{
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    char golden[512];
    int rc = lint(dir, name, &out);
    SL_CHECK_MSG(rc == -SL_EINVAL, "%s is accepted", name);
    (void)snprintf(golden, sizeof(golden), "tests/golden/lint/bad/%.*s.expected",
                   (int)strlen(name) - 4, name);
    SL_CHECK_GOLDEN(golden, sl_buf_str(&out));
    sl_buf_release(&out);
}

static void check_good(char *dir, const char *name)
{
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    SL_CHECK_MSG(lint(dir, name, &out) == 0, "%s: %s", name, sl_buf_str(&out));
    sl_buf_release(&out);
}

SL_TEST(pipelines_spec_golden, bad_pipelines__give_their_exact_messages)
{
    SL_CHECK(each_file("tests/golden/lint/bad", check_bad) >= 80);
}

SL_TEST(pipelines_spec_golden, good_pipelines__are_accepted)
{
    SL_CHECK(each_file("tests/golden/lint/good", check_good) >= 8);
}

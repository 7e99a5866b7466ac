/** Bounds of sub-pipelines, secrets, approvers, GPU types: at the limit, and one past it. */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/spec/spec.h"
#include "tests/support/sl_test.h"

#define HEAD "apiVersion: sluice/v1\nkind: Pipeline\nname: demo\n"

#define WIDE_BYTES ((size_t)1 << 20)

struct fixture {
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_spec *spec;
    int rc;
};

/* "dN.yml" runs the file before it; "d0.yml" and "one.yml" have one step, "two.yml" two. */
static int read_made(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                     struct sl_err *err)
{
    int64_t n = 0;
    (void)data;
    (void)err;
    char *digits = sl_arena_strndup(a, path + 1, strcspn(path + 1, "."));
    const char *text = path[0] == 't' ? HEAD "steps: { a: { run: x }, b: { run: x } }\n"
                                      : HEAD "steps: { a: { run: x } }\n";
    if (path[0] == 'd' && sl_parse_i64(digits, &n) && n > 0) {
        text = sl_arena_printf(a, HEAD "steps: { a: { pipeline: { file: d%lld.yml } } }\n",
                               (long long)(n - 1));
    }
    *ret = sl_str_c(text);
    if (path[0] == 'w') { /* filled up with a comment */
        char *wide = sl_arena_alloc(a, WIDE_BYTES + 1);
        memset(wide, '#', WIDE_BYTES);
        memcpy(wide, text, ret->len);
        wide[WIDE_BYTES] = '\0';
        *ret = (struct sl_str){wide, WIDE_BYTES};
    }
    return 0;
}

static void load(struct fixture *f, const char *text)
{
    struct sl_spec_source source = {.file = "p.yml", .text = sl_str_c(text), .read = read_made};
    *f = (struct fixture){0};
    sl_arena_init(&f->arena, 0);
    sl_diags_init(&f->diags, &f->arena);
    f->rc = sl_spec_load(&source, &f->arena, &f->diags, &f->spec);
}

static void release(struct fixture *f)
{
    sl_diags_release(&f->diags);
    sl_arena_release(&f->arena);
}

static void good(const char *text)
{
    struct fixture f;
    load(&f, text);
    SL_CHECK_MSG(f.rc == 0, "%s", f.diags.list.n > 0 ? f.diags.list.items[0].message : "");
    release(&f);
}

static void bad(const char *text, const char *message)
{
    struct fixture f;
    bool found = false;
    load(&f, text);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    for (size_t i = 0; i < f.diags.list.n; i++) {
        found = found || sl_streq(f.diags.list.items[i].message, message);
    }
    SL_CHECK_MSG(found, "%s", f.diags.list.items[0].message);
    release(&f);
}

/** `before`, `n` times `each` with its number, `after`. */
static char *repeated(const char *before, const char *each, size_t n, const char *after)
{
    struct sl_buf b = SL_BUF_INIT((size_t)1 << 20);
    sl_buf_puts(&b, before);
    for (size_t i = 0; i < n; i++) {
        for (const char *c = each; *c != '\0'; c++) {
            if (*c == '#') {
                sl_buf_printf(&b, "%zu", i);
            } else {
                sl_buf_putc(&b, *c);
            }
        }
    }
    sl_buf_puts(&b, after);
    char *text = sl_strdup(sl_buf_str(&b));
    sl_buf_release(&b);
    return text;
}

static void at_and_past(const char *before, const char *each, size_t max, const char *message)
{
    const char *after = strchr(before, '[') != NULL ? "] } } }\n" : "";
    char *most = repeated(before, each, max, after);
    char *more = repeated(before, each, max + 1, after);
    good(most);
    bad(more, message);
    free(most);
    free(more);
}

SL_TEST(pipelines_spec_bounds, sub_pipelines__depth)
{
    good(HEAD
         "steps: { a: { pipeline: { file: d7.yml } } }\n"); /* d7 ... d0: eight inside each other */
    bad(HEAD "steps: { a: { pipeline: { file: d8.yml } } }\n",
        "sub-pipelines are nested deeper than 8");
}

SL_TEST(pipelines_spec_bounds, sub_pipelines__number)
{
    at_and_past(HEAD "steps:\n", "  s#: { pipeline: { file: one.yml } }\n", SL_SPEC_SUBS_MAX,
                "more than 200 sub-pipelines");
}

SL_TEST(pipelines_spec_bounds, sub_pipelines__steps_in_all)
{
    at_and_past(HEAD "steps:\n  sub: { pipeline: { file: two.yml } }\n", "  s#: { run: x }\n",
                SL_SPEC_STEPS_MAX - 2, "more than 1000 steps with those of the sub-pipelines");
}

/* "wN.yml" has one step and exactly a mebibyte of text. */
SL_TEST(pipelines_spec_bounds, sub_pipelines__text_in_all)
{
    at_and_past(HEAD "steps:\n", "  s#: { pipeline: { file: w#.yml } }\n", 16,
                "sub-pipelines have more than 16 MiB of text in all");
}

SL_TEST(pipelines_spec_bounds, outputs_of_a_file__number)
{
    at_and_past(HEAD "steps: { a: { run: x, outputs: { o: {} } } }\noutputs:\n",
                "  o#: \"${{ steps.a.outputs.o }}\"\n", SL_SPEC_SUB_OUTPUTS_MAX,
                "'outputs' has 101 entries; at most 100 are allowed");
}

SL_TEST(pipelines_spec_bounds, secrets__number)
{
    char *message = sl_asprintf("'secrets' of step 'a' has %d entries; at most %d are allowed",
                                SL_SPEC_SECRETS_MAX + 1, SL_SPEC_SECRETS_MAX);
    at_and_past(HEAD "steps:\n  a:\n    run: x\n    secrets:\n", "      V#: s#\n",
                SL_SPEC_SECRETS_MAX, message);
    free(message);
}

SL_TEST(pipelines_spec_bounds, approvers__number)
{
    at_and_past(HEAD "steps: { a: { approval: { from: [", "user:u#, ", SL_SPEC_APPROVERS_MAX,
                "'from' of 'approval' of step 'a' has 101 entries; at most 100 are allowed");
}

SL_TEST(pipelines_spec_bounds, quorum__no_more_than_a_request_takes)
{
    SL_CHECK_EQ_INT(SL_SPEC_QUORUM_MAX, 20);
    good(HEAD "steps: { a: { approval: { from: role:x, quorum: 20 } } }\n");
    bad(HEAD "steps: { a: { approval: { from: role:x, quorum: 21 } } }\n",
        "'quorum' of 'approval' of step 'a' must be from 1 to 20, found 21");
}

SL_TEST(pipelines_spec_bounds, checkpoint__is_a_folder_below_the_work_directory)
{
    static const char *const paths[] = {".",     "./",    "./ck", "ck/./x",
                                        "ck/..", "../ck", "/ck",  "a//b"};
    for (size_t i = 0; i < SL_LEN(paths); i++) {
        char *text = sl_asprintf(HEAD "steps: { a: { run: x, checkpoint: %s } }\n", paths[i]);
        char *message = sl_asprintf("'checkpoint' of step 'a' must be true or a relative path "
                                    "without '.' and '..', found string '%s'",
                                    paths[i]);
        bad(text, message);
        free(message);
        free(text);
    }
    good(HEAD "steps: { a: { run: x, checkpoint: .ck/..x/a.b/ } }\n");
}

SL_TEST(pipelines_spec_bounds, gpus__number_and_types)
{
    char *text = repeated(HEAD "steps: { a: { run: x, resources: { gpu: { type: [", "T#, ",
                          SL_SPEC_GPU_TYPES_MAX, "] } } } }\n");
    good(text);
    free(text);
    text = repeated(HEAD "steps: { a: { run: x, resources: { gpu: { type: [", "T#, ",
                    SL_SPEC_GPU_TYPES_MAX + 1, "] } } } }\n");
    bad(text, "'type' of 'gpu' of 'resources' of step 'a' has 17 entries; at most 16 are allowed");
    free(text);
    good(HEAD "steps: { a: { run: x, resources: { gpu: \"H100:1024\" } } }\n");
    bad(HEAD "steps: { a: { run: x, resources: { gpu: \"H100:1025\" } } }\n",
        "the number of GPUs in 'H100:1025' must be from 1 to 1024");
    good(HEAD "steps: { a: { run: x, resources: { gpu: 1024 } } }\n");
    bad(HEAD "steps: { a: { run: x, resources: { gpu: 1025 } } }\n",
        "'gpu' of 'resources' of step 'a' must be from 0 to 1024, found 1025");
}

SL_TEST(pipelines_spec_bounds, fanout__max)
{
    static const char text[] = HEAD "steps:\n  l: { run: x, outputs: { o: {} } }\n"
                                    "  a: { run: x, matrix: { from: \"${{ steps.l.outputs.o }}\", "
                                    "max: 10000 } }\n";
    good(text);
}

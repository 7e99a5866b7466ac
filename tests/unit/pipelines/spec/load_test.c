/** What a good pipeline becomes: structs, defaults, merges, includes; and the limits of the language. */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/spec/spec.h"
#include "tests/support/sl_test.h"

#define HEAD "apiVersion: sluice/v1\nkind: Pipeline\nname: demo\n"

struct memory_file {
    const char *path, *text;
};

struct fixture {
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_spec *spec;
    const struct memory_file *files; /* ends with a NULL path */
    int rc;
};

static int read_memory(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                       struct sl_err *err)
{
    const struct fixture *f = data;
    for (const struct memory_file *m = f->files; m != NULL && m->path != NULL; m++) {
        if (sl_streq(m->path, path)) {
            *ret = sl_str_c(sl_arena_strdup(a, m->text));
            return 0;
        }
    }
    return sl_err_set(err, SL_ENOTFOUND, "no such file");
}

static void load(struct fixture *f, const char *file, const char *text)
{
    struct sl_spec_source source = {
        .file = file, .text = sl_str_c(text), .read = read_memory, .data = f};
    sl_arena_init(&f->arena, 0);
    sl_diags_init(&f->diags, &f->arena);
    f->spec = NULL;
    f->rc = sl_spec_load(&source, &f->arena, &f->diags, &f->spec);
}

static void load_good(struct fixture *f, const char *text)
{
    load(f, "p.yml", text);
    SL_CHECK_MSG(f->rc == 0, "%s", f->diags.list.n > 0 ? f->diags.list.items[0].message : "");
}

static void release(struct fixture *f)
{
    sl_diags_release(&f->diags);
    sl_arena_release(&f->arena);
}

static void expect_error(const char *text, const char *message)
{
    struct fixture f = {0};
    load(&f, "p.yml", text);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_CONTAINS(f.diags.list.items[0].message, message);
    release(&f);
}

static const struct sl_step *step(const struct fixture *f, const char *id)
{
    const struct sl_step *s = sl_spec_step(f->spec, id);
    SL_CHECK_MSG(s != NULL, "no step %s", id);
    return s;
}

SL_TEST(pipelines_spec_load, minimal__has_documented_defaults)
{
    struct fixture f = {0};
    load_good(&f, HEAD "steps:\n  a:\n    run: echo hi\n");
    const struct sl_step *a = step(&f, "a");
    SL_CHECK_EQ_STR(f.spec->name, "demo");
    SL_CHECK_EQ_INT(a->action, SL_ACT_RUN);
    SL_CHECK_EQ_STR(a->run, "echo hi");
    SL_CHECK_EQ_INT(a->loc.line, 5);
    SL_CHECK_EQ_INT(a->resources.cpu_milli, 1000);
    SL_CHECK_EQ_INT(a->retry.max, 0);
    SL_CHECK_EQ_UINT(a->retry.on,
                     1u << SL_FAIL_NEVER_STARTED | 1u << SL_FAIL_INFRA | 1u << SL_FAIL_LOST);
    SL_CHECK_EQ_INT(a->retry.initial_ms, 1000);
    SL_CHECK_EQ_INT(a->retry.max_ms, 300000);
    SL_CHECK_EQ_INT(a->timeout_ms, 0);
    SL_CHECK_EQ_INT(a->grace_ms, 10000);
    SL_CHECK_EQ_INT(a->cache, SL_CACHE_AUTO);
    SL_CHECK_NULL(a->matrix);
    SL_CHECK_EQ_UINT(f.spec->n_files, 1);
    SL_CHECK_EQ_UINT(f.spec->texts[0].len, strlen(HEAD) + 29);
    release(&f);
}

SL_TEST(pipelines_spec_load, defaults__merge_key_by_key__step_wins)
{
    struct fixture f = {0};
    load_good(&f, HEAD
              "defaults:\n"
              "  env: { A: 1, B: 2 }\n"
              "  retry: { max: 2, on: [oom], backoff: { initial: 10s, factor: 3 } }\n"
              "  resources: { cpu: 500m, memory: 1GiB }\n"
              "  timeout: 1h\n"
              "  cache: off\n"
              "steps:\n"
              "  a: { run: x, env: { B: 3, C: 4 }, retry: { max: 5 }, resources: { cpu: 2.5 } }\n"
              "  b: { run: x, timeout: 5m, cache: auto, retry: { on: [error] } }\n");
    const struct sl_step *a = step(&f, "a"), *b = step(&f, "b");
    SL_CHECK_EQ_UINT(a->n_env, 3);
    SL_CHECK_EQ_STR(a->env[0].name, "A");
    SL_CHECK_EQ_STR(sl_tmpl_source(a->env[1].value), "3");
    SL_CHECK_EQ_INT(a->retry.max, 5);
    SL_CHECK_EQ_UINT(a->retry.on, 1u << SL_FAIL_OOM);
    SL_CHECK_EQ_INT(a->retry.initial_ms, 10000);
    SL_CHECK_NEAR(a->retry.factor, 3, 0);
    SL_CHECK_EQ_INT(a->resources.cpu_milli, 2500);
    SL_CHECK_EQ_UINT(a->resources.mem_bytes, 1024ull * 1024 * 1024);
    SL_CHECK_EQ_INT(a->timeout_ms, 3600000);
    SL_CHECK_EQ_INT(a->cache, SL_CACHE_OFF);
    SL_CHECK_EQ_INT(b->timeout_ms, 300000);
    SL_CHECK_EQ_INT(b->cache, SL_CACHE_AUTO);
    SL_CHECK_EQ_UINT(b->retry.on, 1u << SL_FAIL_EXIT);
    SL_CHECK_EQ_INT(b->resources.cpu_milli, 500);
    release(&f);
}

SL_TEST(pipelines_spec_load, inputs_and_outputs__name_entities)
{
    struct fixture f = {0};
    load_good(&f, HEAD "steps:\n"
                       "  a:\n"
                       "    run: x\n"
                       "    inputs: { d: { dataset: x/y@latest }, m: { model: m@v3 } }\n"
                       "    outputs:\n"
                       "      o: { model: churn, path: out/m }\n"
                       "      r: { metrics: r.json }\n"
                       "      u: { optional: true }\n"
                       "  b: { run: x, inputs: { i: \"${{ steps.a.outputs.o }}\" } }\n");
    const struct sl_step *a = step(&f, "a"), *b = step(&f, "b");
    SL_CHECK_EQ_INT(a->inputs[0].entity, SL_ENT_DATASET);
    SL_CHECK_EQ_STR(sl_tmpl_source(a->inputs[0].ref), "x/y@latest");
    SL_CHECK_EQ_INT(a->inputs[1].entity, SL_ENT_MODEL);
    SL_CHECK_EQ_INT(a->outputs[0].entity, SL_ENT_MODEL);
    SL_CHECK_EQ_STR(a->outputs[0].path, "out/m");
    SL_CHECK(a->outputs[1].metrics);
    SL_CHECK_EQ_STR(a->outputs[1].path, "r.json");
    SL_CHECK_EQ_INT(a->outputs[2].entity, SL_ENT_NONE);
    SL_CHECK(a->outputs[2].optional);
    SL_CHECK_NULL(a->outputs[2].path);
    SL_CHECK_EQ_INT(b->inputs[0].entity, SL_ENT_NONE);
    SL_CHECK_NOT_NULL(sl_tmpl_single(b->inputs[0].ref));
    release(&f);
}

SL_TEST(pipelines_spec_load, matrix__keeps_order_and_types)
{
    struct fixture f = {0};
    load_good(&f,
              HEAD "steps:\n"
                   "  a:\n"
                   "    run: x\n"
                   "    matrix: { z: [1, 2.5], b: [x, true], max_parallel: 3, fail_fast: false,\n"
                   "              include: [ { z: 9, b: y, c: 1 } ], exclude: [ { z: 1 } ] }\n");
    const struct sl_matrix *m = step(&f, "a")->matrix;
    SL_CHECK_EQ_UINT(m->n_axes, 2);
    SL_CHECK_EQ_STR(m->axes[0].name, "z");
    SL_CHECK_EQ_INT(m->axes[0].values[0].type, SL_V_INT);
    SL_CHECK_EQ_INT(m->axes[0].values[1].type, SL_V_DOUBLE);
    SL_CHECK_EQ_INT(m->axes[1].values[1].type, SL_V_BOOL);
    SL_CHECK_EQ_INT(m->max_parallel, 3);
    SL_CHECK(!m->fail_fast);
    SL_CHECK_EQ_UINT(m->include->list.n, 1);
    SL_CHECK_EQ_INT(sl_value_get(&m->include->list.items[0], "c")->i, 1);
    SL_CHECK_EQ_UINT(m->exclude->list.n, 1);
    release(&f);
}

SL_TEST(pipelines_spec_load, gpu__count_and_memory_range)
{
    struct fixture f = {0};
    load_good(&f, HEAD "steps:\n"
                       "  a: { run: x, resources: { gpu: 2 } }\n"
                       "  b: { run: x, resources: { gpu: { memory: 24GB..80GB } } }\n"
                       "  c: { run: x, resources: { gpu: { count: 4, memory: 40GB.. } } }\n");
    SL_CHECK_EQ_INT(step(&f, "a")->resources.gpu_count, 2);
    SL_CHECK_EQ_INT(step(&f, "b")->resources.gpu_count, 1);
    SL_CHECK_EQ_UINT(step(&f, "b")->resources.gpu_mem_min_bytes, 24000000000ull);
    SL_CHECK_EQ_UINT(step(&f, "b")->resources.gpu_mem_max_bytes, 80000000000ull);
    SL_CHECK_EQ_UINT(step(&f, "c")->resources.gpu_mem_min_bytes, 40000000000ull);
    SL_CHECK_EQ_UINT(step(&f, "c")->resources.gpu_mem_max_bytes, 0);
    release(&f);
}

SL_TEST(pipelines_spec_load, gate_deploy_rollback__are_read)
{
    struct fixture f = {0};
    load_good(&f, HEAD
              "steps:\n"
              "  fit: { run: x, outputs: { m: { model: churn } } }\n"
              "  check:\n"
              "    gate:\n"
              "      candidate: \"${{ steps.fit.outputs.m }}\"\n"
              "      champion: churn@champion\n"
              "      no_champion: pass\n"
              "      evaluate: fit\n"
              "      require: [ candidate.auc > 0.5, \"true\" ]\n"
              "  live: { needs: check, deploy: { target: prod, model: churn@v1, then: { alias: "
              "champion } } }\n"
              "  undo: { if: failure(), rollback: { of: steps.live } }\n"
              "  back: { rollback: { target: prod, to: churn@v2 } }\n"
              "---\napiVersion: sluice/v1\nkind: Target\nname: prod\ntype: directory\npath: rel\n"
              "health: [check, 8080]\n");
    const struct sl_gate *gate = &step(&f, "check")->gate;
    SL_CHECK_EQ_INT(gate->no_champion, SL_NO_CHAMPION_PASS);
    SL_CHECK_EQ_STR(gate->evaluate, "fit");
    SL_CHECK_EQ_UINT(gate->n_require, 2);
    SL_CHECK_EQ_STR(gate->require[0].text, "candidate.auc > 0.5");
    SL_CHECK_NULL(gate->on);
    SL_CHECK_EQ_STR(step(&f, "live")->deploy.alias, "champion");
    SL_CHECK_EQ_STR(step(&f, "live")->needs[0], "check");
    SL_CHECK_EQ_INT(step(&f, "live")->cache, SL_CACHE_OFF);
    SL_CHECK_EQ_STR(step(&f, "undo")->rollback.of_step, "live");
    SL_CHECK_NOT_NULL(step(&f, "undo")->cond);
    SL_CHECK_EQ_STR(step(&f, "back")->rollback.target, "prod");
    const struct sl_target *prod = sl_spec_target(f.spec, "prod");
    SL_CHECK_EQ_STR(prod->health[1], "8080");
    SL_CHECK_NULL(prod->health[2]);
    SL_CHECK_NULL(prod->reload);
    SL_CHECK_EQ_INT(prod->keep, 3);
    SL_CHECK(prod->is_protected);
    SL_CHECK_EQ_INT(prod->timeout_ms, 60000);
    release(&f);
}

SL_TEST(pipelines_spec_load, pending__is_named_and_warned_about)
{
    struct fixture f = {0};
    load_good(&f, HEAD "triggers: []\nsteps:\n"
                       "  a: { run: x, concurrency: g, outputs: { m: { model: m } } }\n"
                       "  b: { deploy: { target: prod, model: \"${{ steps.a.outputs.m }}\",\n"
                       "                 traffic: [ { to: 5% } ] } }\n"
                       "---\napiVersion: sluice/v1\nkind: Target\nname: prod\ntype: directory\n"
                       "path: rel\n");
    SL_CHECK_EQ_UINT(f.diags.n_warnings, 3);
    SL_CHECK_EQ_UINT(f.spec->n_pending_keys, 1);
    SL_CHECK_EQ_STR(f.spec->pending_keys[0], "triggers");
    SL_CHECK_EQ_UINT(step(&f, "a")->n_pending_keys, 1);
    SL_CHECK_EQ_STR(step(&f, "a")->pending_keys[0], "concurrency");
    SL_CHECK_EQ_UINT(step(&f, "b")->n_pending_keys, 1);
    SL_CHECK_EQ_STR(step(&f, "b")->pending_keys[0], "deploy.traffic");
    release(&f);
}

SL_TEST(pipelines_spec_load, include__merges_and_the_including_file_wins)
{
    static const struct memory_file files[] = {
        {"dir/parts/a.yml",
         HEAD "include: [../b.yml]\nparams: { pa: { type: int, default: 1 } }\n"
              "defaults: { timeout: 2h, grace: 7s }\nsteps: { sa: { run: a } }\n"},
        {"dir/b.yml",
         HEAD "defaults: { timeout: 3h, env: { X: b, Y: b } }\nsteps: { sb: { run: b } }\n"
              "finally: { fb: { run: b } }\n"},
        {NULL, NULL},
    };
    struct fixture f = {.files = files};
    load(&f, "dir/p.yml",
         HEAD "include: [parts/a.yml, b.yml, ./parts/../b.yml]\n"
              "defaults: { env: { X: main } }\n"
              "steps: { s: { run: x, env: { P: \"${{ params.pa }}\" } } }\n");
    SL_CHECK_EQ_INT(f.rc, 0);
    SL_CHECK_EQ_UINT(f.spec->n_files, 3);
    SL_CHECK_EQ_STR(f.spec->files[1].ptr, "dir/parts/a.yml");
    SL_CHECK_EQ_STR(f.spec->files[2].ptr, "dir/b.yml");
    SL_CHECK_EQ_UINT(f.spec->n_steps, 4);
    SL_CHECK_EQ_STR(f.spec->steps[3].id, "fb");
    SL_CHECK(f.spec->steps[3].is_finally);
    const struct sl_step *s = step(&f, "s");
    SL_CHECK_EQ_INT(s->timeout_ms, 7200000);
    SL_CHECK_EQ_INT(s->grace_ms, 7000);
    SL_CHECK_EQ_UINT(s->n_env, 3);
    SL_CHECK_EQ_STR(s->env[0].name, "Y");
    SL_CHECK_EQ_STR(sl_tmpl_source(s->env[1].value), "main");
    release(&f);
}

SL_TEST(pipelines_spec_load, include__depth_and_count__are_limited)
{
    struct memory_file files[64] = {{NULL, NULL}};
    char paths[64][32];
    char texts[64][160];
    struct fixture f = {.files = files};
    for (int i = 0; i < 40; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "f%d.yml", i);
        (void)snprintf(texts[i], sizeof(texts[i]), HEAD "include: [f%d.yml]\n", i + 1);
        files[i] = (struct memory_file){paths[i], texts[i]};
    }
    (void)snprintf(texts[6], sizeof(texts[6]), HEAD); /* main and seven more: depth 8 */
    load(&f, "p.yml", HEAD "include: [f0.yml]\nsteps: { a: { run: x } }\n");
    SL_CHECK_EQ_INT(f.rc, 0);
    release(&f);
    (void)snprintf(texts[6], sizeof(texts[6]), HEAD "include: [f7.yml]\n");
    load(&f, "p.yml", HEAD "include: [f0.yml]\nsteps: { a: { run: x } }\n");
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_EQ_STR(f.diags.list.items[0].message, "includes are nested deeper than 8 files");
    release(&f);
}

SL_TEST(pipelines_spec_load, without_pipeline__only_lint_accepts)
{
    const char *text = "apiVersion: sluice/v1\nkind: Project\nname: p\n";
    struct fixture f = {0};
    load(&f, "p.yml", text);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_EQ_STR(f.diags.list.items[0].message,
                    "no document with 'kind: Pipeline' in this file");
    release(&f);
    struct sl_spec_source source = {.file = "p.yml", .text = sl_str_c(text), .any_kind = true};
    sl_arena_init(&f.arena, 0);
    sl_diags_init(&f.diags, &f.arena);
    SL_CHECK_EQ_INT(sl_spec_load(&source, &f.arena, &f.diags, &f.spec), 0);
    SL_CHECK_NULL(f.spec->name);
    release(&f);
}

/* ---- limits ----------------------------------------------------------------------------------- */

static char *many(const char *before, const char *fmt, int n, const char *after)
{
    struct sl_buf b = SL_BUF_INIT((size_t)8 << 20);
    sl_buf_puts(&b, before);
    for (int i = 0; i < n; i++) {
        char line[200];
        int len = snprintf(line, sizeof(line), "%s", fmt);
        char *hash = memchr(line, '#', (size_t)len);
        SL_CHECK_NOT_NULL(hash);
        sl_buf_add(&b, line, (size_t)(hash - line));
        sl_buf_printf(&b, "%d%s", i, hash + 1);
    }
    sl_buf_puts(&b, after);
    SL_CHECK(!b.overflow);
    return sl_buf_take(&b);
}

static void expect_limit(const char *before, const char *fmt, int limit, const char *after,
                         const char *message)
{
    struct fixture f = {0};
    char *at = many(before, fmt, limit, after), *past = many(before, fmt, limit + 1, after);
    load_good(&f, at);
    release(&f);
    expect_error(past, message);
    free(at);
    free(past);
}

SL_TEST(pipelines_spec_load, counts__at_and_past_the_limit)
{
    expect_limit(HEAD "steps:\n", "  s#: { run: x }\n", SL_SPEC_STEPS_MAX, "",
                 "'steps' has 1001 entries; at most 1000 are allowed");
    expect_limit(HEAD "steps: { a: { run: x } }\nparams:\n", "  p#: { type: int, default: 1 }\n",
                 SL_SPEC_PARAMS_MAX, "", "'params' has 101 entries; at most 100 are allowed");
    expect_limit(HEAD "steps:\n  a:\n    run: x\n    env:\n", "      V#: x\n", SL_SPEC_ENV_MAX, "",
                 "'env' of step 'a' has 201 entries; at most 200 are allowed");
    expect_limit(HEAD "steps:\n  a:\n    run: x\n    matrix: { s: [", "#,", 100000, "] }\n",
                 "'s' of 'matrix' of step 'a' has 100001 entries; at most 100000 are allowed");
    expect_limit(HEAD "steps: { a: { run: x, matrix: {", "a#: [1],", SL_SPEC_MATRIX_AXES_MAX,
                 "} } }\n", "matrix of step 'a' has more than 8 axes");
    expect_limit(HEAD "steps:\n  a:\n    command:\n", "      - x#\n", 1000, "",
                 "'command' of step 'a' has 1001 entries; at most 1000 are allowed");
}

static void expect_length(const char *before, size_t limit, const char *after, const char *message)
{
    struct fixture f = {0};
    struct sl_buf b = SL_BUF_INIT((size_t)4 << 20);
    sl_buf_puts(&b, before);
    for (size_t i = 0; i < limit; i++) {
        sl_buf_putc(&b, '1');
    }
    size_t len = b.len;
    sl_buf_puts(&b, after);
    load_good(&f, b.ptr);
    release(&f);
    b.len = len;
    sl_buf_putc(&b, '1');
    sl_buf_puts(&b, after);
    expect_error(b.ptr, message);
    sl_buf_release(&b);
}

SL_TEST(pipelines_spec_load, lengths__at_and_past_the_limit)
{
    expect_length(HEAD "steps:\n  a:\n    run: x", SL_SPEC_RUN_MAX - 1, "\n",
                  "'run' of step 'a' has 262145 bytes; at most 262144 are allowed");
    expect_length(HEAD "steps:\n  a:\n    run: x\n    env: { A: '", 4096, "' }\n",
                  "variable 'A' of step 'a' has 4097 bytes; at most 4096 are allowed");
    expect_length(HEAD "steps:\n  a:\n    run: x\n    if: true || \"", SL_EXPR_LEN_MAX - 16,
                  "\" == \"\"\n", "'if' of step 'a' has 4097 bytes; at most 4096 are allowed");
    expect_length(HEAD "steps:\n  s", SL_SPEC_NAME_MAX - 1, ":\n    run: x\n",
                  "and have at most 128 bytes");
}

/* ---- targets as records ----------------------------------------------------------------------- */

SL_TEST(pipelines_spec_load, target__survives_json)
{
    struct fixture f = {0};
    struct sl_err err = SL_ERR_INIT;
    struct sl_target back;
    load_good(&f,
              HEAD "steps: { a: { run: x } }\n---\napiVersion: sluice/v1\nkind: Target\nname: t\n"
                   "type: directory\npath: /srv/t\nkeep: 9\nprotected: false\nwarmup: [a, b]\n"
                   "timeout: 5s\nhealth_retries: 0\nhealth_interval: 10ms\n");
    json_t *json = sl_target_json(&f.spec->targets[0]);
    SL_CHECK_OK(sl_target_from_json(&f.arena, json, &back, &err), err);
    SL_CHECK_EQ_STR(back.name, "t");
    SL_CHECK_EQ_STR(back.path, "/srv/t");
    SL_CHECK_EQ_STR(back.loc.file, "p.yml");
    SL_CHECK_EQ_INT(back.keep, 9);
    SL_CHECK(!back.is_protected);
    SL_CHECK_EQ_STR(back.warmup[1], "b");
    SL_CHECK_NULL(back.warmup[2]);
    SL_CHECK_NULL(back.health);
    SL_CHECK_EQ_INT(back.timeout_ms, 5000);
    SL_CHECK_EQ_INT(back.health_retries, 0);
    SL_CHECK_EQ_INT(back.health_interval_ms, 10);
    (void)json_object_del(json, "path");
    SL_CHECK_ERR(sl_target_from_json(&f.arena, json, &back, &err), SL_EINVAL, err,
                 "target: 'path' is missing or no string");
    json_decref(json);
    release(&f);
}

SL_TEST(pipelines_spec_load, schema__describes_every_document)
{
    json_t *schema = sl_spec_schema();
    SL_CHECK_EQ_UINT(json_array_size(json_object_get(schema, "oneOf")), 3);
    const json_t *defs = json_object_get(schema, "$defs");
    static const char *const names[] = {"Pipeline", "Project", "Target", "step",
                                        "gate",     "matrix",  "param"};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        SL_CHECK_MSG(json_object_get(defs, names[i]) != NULL, "%s", names[i]);
    }
    json_decref(schema);
}

/** Environments, secrets, isolation, GPUs, approvals, notifications, groups and projects as structs. */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/spec/spec.h"
#include "tests/support/sl_test.h"

#define HEAD    "apiVersion: sluice/v1\nkind: Pipeline\nname: demo\n"
#define PROJECT "apiVersion: sluice/v1\nkind: Project\nname: demo\n"

struct fixture {
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_spec *spec;
    const struct sl_project *project;
};

static void load(struct fixture *f, const char *text)
{
    struct sl_spec_source source = {.file = "p.yml", .text = sl_str_c(text)};
    *f = (struct fixture){0};
    sl_arena_init(&f->arena, 0);
    sl_diags_init(&f->diags, &f->arena);
    int rc = sl_starts_with(text, PROJECT)
                 ? sl_project_load(&source, &f->arena, &f->diags, &f->project)
                 : sl_spec_load(&source, &f->arena, &f->diags, &f->spec);
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    sl_diags_print(&f->diags, false, &out);
    SL_CHECK_MSG(rc == 0, "%s", sl_buf_str(&out));
    sl_buf_release(&out);
}

static void release(struct fixture *f)
{
    sl_diags_release(&f->diags);
    sl_arena_release(&f->arena);
}

static const struct sl_step *step(const struct fixture *f, const char *id)
{
    const struct sl_step *s = sl_spec_step(f->spec, id);
    SL_CHECK_MSG(s != NULL, "no step %s", id);
    return s;
}

SL_TEST(pipelines_spec_keys, runtime__own_wins_over_default_and_python_has_one)
{
    struct fixture f;
    load(&f, HEAD "defaults: { runtime: { venv: requirements.lock } }\nsteps:\n"
                  "  a: { run: x }\n  b: { run: x, runtime: host }\n"
                  "  c: { run: x, runtime: { venv: b.lock, python: python3.9 } }\n");
    SL_CHECK_EQ_INT(step(&f, "a")->runtime.kind, SL_RUNTIME_VENV);
    SL_CHECK_EQ_STR(step(&f, "a")->runtime.venv, "requirements.lock");
    SL_CHECK_EQ_STR(step(&f, "a")->runtime.python, "python3");
    SL_CHECK_EQ_INT(step(&f, "a")->runtime.loc.line, 4);
    SL_CHECK_EQ_INT(step(&f, "b")->runtime.kind, SL_RUNTIME_HOST);
    SL_CHECK_EQ_STR(step(&f, "c")->runtime.python, "python3.9");
    release(&f);
}

SL_TEST(pipelines_spec_keys, gpu__every_spelling_is_read)
{
    static const uint64_t gb = 1000000000;
    struct fixture f;
    load(&f,
         HEAD "steps:\n  a: { run: x, resources: { gpu: \"H100:2:40GB..80GB\" } }\n"
              "  b: { run: x, resources: { gpu: H100 } }\n"
              "  c: { run: x, resources: { gpu: \"24GB..:4\" } }\n"
              "  d: { run: x, resources: { gpu: { type: [L4, T4], mig: 1g.10gb } } }\n"
              "  e: { run: x, resources: { disk: 5GB, gpu: { share: 8GB, idle_timeout: 1h } } }\n"
              "  f: { run: x, resources: { gpu: 3 } }\n"
              "  g: { run: x, resources: { gpu: \"A100-80GB:8\" } }\n");
    const struct sl_resources *a = &step(&f, "a")->resources, *d = &step(&f, "d")->resources;
    const struct sl_resources *c = &step(&f, "c")->resources, *e = &step(&f, "e")->resources;
    SL_CHECK_EQ_INT(a->gpu_count, 2);
    SL_CHECK_EQ_UINT(a->n_gpu_types, 1);
    SL_CHECK_EQ_STR(a->gpu_types[0], "H100");
    SL_CHECK_EQ_UINT(a->gpu_mem_min_bytes, 40 * gb);
    SL_CHECK_EQ_UINT(a->gpu_mem_max_bytes, 80 * gb);
    SL_CHECK_EQ_INT(step(&f, "b")->resources.gpu_count, 1);
    SL_CHECK_EQ_UINT(step(&f, "b")->resources.n_gpu_types, 1);
    SL_CHECK_EQ_INT(c->gpu_count, 4);
    SL_CHECK_EQ_UINT(c->gpu_mem_min_bytes, 24 * gb);
    SL_CHECK_EQ_UINT(c->n_gpu_types, 0);
    SL_CHECK_EQ_UINT(d->n_gpu_types, 2);
    SL_CHECK_EQ_STR(d->gpu_types[1], "T4");
    SL_CHECK_EQ_INT(d->mig, SL_MIG_PROFILE);
    SL_CHECK_EQ_STR(d->mig_profile, "1g.10gb");
    SL_CHECK_EQ_UINT(e->gpu_share_bytes, 8 * gb);
    SL_CHECK_EQ_UINT(e->disk_bytes, 5 * gb);
    SL_CHECK_EQ_INT(e->gpu_count, 1);
    SL_CHECK_EQ_INT(e->gpu_idle_timeout_ms, 3600000);
    SL_CHECK_EQ_INT(step(&f, "f")->resources.gpu_count, 3);
    SL_CHECK_EQ_STR(step(&f, "g")->resources.gpu_types[0], "A100-80GB");
    SL_CHECK_EQ_INT(step(&f, "g")->resources.gpu_count, 8);
    release(&f);
}

SL_TEST(pipelines_spec_keys, secrets_and_sandbox__forms_and_defaults)
{
    struct fixture f;
    load(&f, HEAD "defaults: { sandbox: strict }\nsteps:\n"
                  "  a: { run: x, secrets: { KEY: hub-token, FILE: { secret: k, as: file } } }\n"
                  "  b: { run: x, sandbox: none }\n"
                  "  c: { run: x, sandbox: { level: strict, network: true } }\n");
    const struct sl_step *a = step(&f, "a");
    SL_CHECK_EQ_UINT(a->n_secrets, 2);
    SL_CHECK_EQ_STR(a->secrets[0].var, "KEY");
    SL_CHECK_EQ_STR(a->secrets[0].secret, "hub-token");
    SL_CHECK_EQ_INT(a->secrets[0].as, SL_SECRET_ENV);
    SL_CHECK_EQ_STR(a->secrets[1].secret, "k");
    SL_CHECK_EQ_INT(a->secrets[1].as, SL_SECRET_FILE);
    SL_CHECK_EQ_INT(a->sandbox.level, SL_SANDBOX_STRICT);
    SL_CHECK(!a->sandbox.network);
    SL_CHECK_EQ_INT(step(&f, "b")->sandbox.level, SL_SANDBOX_NONE);
    SL_CHECK(step(&f, "c")->sandbox.network);
    release(&f);
}

SL_TEST(pipelines_spec_keys, approval__defaults_are_the_careful_ones)
{
    struct fixture f;
    load(&f, HEAD "steps:\n  a: { approval: { from: role:leads } }\n"
                  "  b: { approval: { from: [role:leads, user:ana], quorum: 2, timeout: 1h,\n"
                  "                   on_timeout: approve, deny_requester: false, text: look } }\n"
                  "  c: { notify: { mail: team, text: \"${{ run.id }}\" } }\n");
    const struct sl_approval *a = &step(&f, "a")->approval, *b = &step(&f, "b")->approval;
    SL_CHECK_EQ_INT(step(&f, "a")->action, SL_ACT_APPROVAL);
    SL_CHECK_EQ_UINT(a->n_from, 1);
    SL_CHECK_EQ_STR(a->from[0], "role:leads");
    SL_CHECK_EQ_INT(a->quorum, 1);
    SL_CHECK(a->deny_requester);
    SL_CHECK_EQ_INT(a->timeout_ms, 0);
    SL_CHECK_EQ_INT(a->on_timeout, SL_ON_TIMEOUT_REJECT);
    SL_CHECK_NULL(a->candidate);
    SL_CHECK_EQ_UINT(b->n_from, 2);
    SL_CHECK_EQ_INT(b->quorum, 2);
    SL_CHECK(!b->deny_requester);
    SL_CHECK_EQ_INT(b->on_timeout, SL_ON_TIMEOUT_APPROVE);
    SL_CHECK_EQ_STR(b->text, "look");
    SL_CHECK_EQ_INT(step(&f, "c")->action, SL_ACT_NOTIFY);
    SL_CHECK(step(&f, "c")->notify.mail);
    SL_CHECK_EQ_STR(step(&f, "c")->notify.channel, "team");
    SL_CHECK_NULL(step(&f, "c")->notify.subject);
    release(&f);
}

SL_TEST(pipelines_spec_keys, hooks__become_steps_that_follow_theirs)
{
    struct fixture f;
    load(&f, HEAD "steps:\n  a:\n    run: x\n    hooks:\n"
                  "      on_failure: { run: tidy, timeout: 1m }\n"
                  "      on_end: { notify: { webhook: chat, text: over } }\n  b: { run: y }\n");
    SL_CHECK_EQ_UINT(f.spec->n_steps, 4);
    const struct sl_step *hook = step(&f, "a:on_failure");
    SL_CHECK_EQ_STR(hook->hook_of, "a");
    SL_CHECK(hook->allow_failure);
    SL_CHECK_EQ_INT(hook->cache, SL_CACHE_OFF);
    SL_CHECK_EQ_UINT(hook->n_needs, 1);
    SL_CHECK_EQ_STR(hook->needs[0], "a");
    SL_CHECK_EQ_INT(hook->timeout_ms, 60000);
    SL_CHECK(sl_expr_mentions_status(hook->cond));
    SL_CHECK_EQ_INT(step(&f, "a:on_end")->action, SL_ACT_NOTIFY);
    SL_CHECK_NULL(step(&f, "a")->hook_of);
    SL_CHECK(!step(&f, "a")->allow_failure);
    release(&f);
}

SL_TEST(pipelines_spec_keys, concurrency_and_checkpoint__are_read)
{
    struct fixture f;
    load(&f, HEAD "priority: -5\nparams: { e: { type: string, default: dev } }\n"
                  "concurrency: { group: \"g-${{ params.e }}\", on_conflict: reject, steps: 3 }\n"
                  "steps:\n  a: { run: x, checkpoint: ckpt/, stall_timeout: 5m }\n"
                  "  b: { run: x, checkpoint: true, queue_timeout: 2h }\n"
                  "  c: { run: x, checkpoint: false }\n");
    SL_CHECK_EQ_INT(f.spec->priority, -5);
    SL_CHECK_EQ_INT(f.spec->concurrency_limit, 3);
    SL_CHECK_NOT_NULL(f.spec->concurrency.group);
    SL_CHECK_EQ_INT(f.spec->concurrency.limit, 1);
    SL_CHECK_EQ_INT(f.spec->concurrency.on_conflict, SL_CONFLICT_REJECT);
    SL_CHECK_EQ_INT(f.spec->concurrency.max_queued, 0);
    SL_CHECK(step(&f, "a")->checkpoint);
    SL_CHECK_EQ_STR(step(&f, "a")->checkpoint_path, "ckpt/");
    SL_CHECK_EQ_INT(step(&f, "a")->stall_timeout_ms, 300000);
    SL_CHECK(step(&f, "b")->checkpoint);
    SL_CHECK_NULL(step(&f, "b")->checkpoint_path);
    SL_CHECK_EQ_INT(step(&f, "b")->queue_timeout_ms, 7200000);
    SL_CHECK(!step(&f, "c")->checkpoint);
    release(&f);
}

SL_TEST(pipelines_spec_keys, fanout__has_a_cap_and_a_name)
{
    struct fixture f;
    load(&f, HEAD
         "steps:\n  a: { run: x, outputs: { l: {} } }\n"
         "  b: { run: x, matrix: { from: \"${{ steps.a.outputs.l }}\" } }\n"
         "  c:\n    run: x\n    matrix: { from: \"${{ steps.a.outputs.l }}\", as: s, max: 7 }\n"
         "    env: { S: \"${{ matrix.s }}\" }\n");
    const struct sl_matrix *b = step(&f, "b")->matrix, *c = step(&f, "c")->matrix;
    SL_CHECK_NOT_NULL(b->from);
    SL_CHECK_EQ_STR(b->as, "item");
    SL_CHECK_EQ_INT(b->max, SL_SPEC_FANOUT_DEFAULT);
    SL_CHECK(b->fail_fast);
    SL_CHECK_EQ_STR(c->as, "s");
    SL_CHECK_EQ_INT(c->max, 7);
    release(&f);
}

SL_TEST(pipelines_spec_keys, project__is_read_whole)
{
    struct fixture f;
    load(&f, PROJECT
         "groups: { leads: [user:ana, user:bo] }\n"
         "environments: { prod: { targets: [api], approval: { from: role:leads, quorum: 2 } } }\n"
         "concurrency: { churn: 3 }\n"
         "channels:\n  chat: { webhook: { url_secret: where, secret: key } }\n"
         "  team: { mail: { to: [a@b.c], from: s@b.c, smtp: \"smtp://h:25\" } }\n"
         "policies: { dataset_metadata: [owner], sandbox: strict, pinned_includes: true,\n"
         "            retention: { runs: 90d, keep_last: 10 } }\n");
    const struct sl_project *p = f.project;
    SL_CHECK_EQ_STR(p->name, "demo");
    SL_CHECK_EQ_UINT(sl_project_group(p, "leads")->n_members, 2);
    SL_CHECK_NULL(sl_project_group(p, "nobody"));
    const struct sl_environment *prod = sl_project_environment_of(p, "api");
    SL_CHECK_EQ_STR(prod->name, "prod");
    SL_CHECK(prod->has_approval);
    SL_CHECK_EQ_INT(prod->approval.quorum, 2);
    SL_CHECK(prod->approval.deny_requester);
    SL_CHECK_NULL(sl_project_environment_of(p, "other"));
    SL_CHECK_EQ_STR(p->concurrency[0].group, "churn");
    SL_CHECK_EQ_INT(p->concurrency[0].limit, 3);
    SL_CHECK_EQ_STR(sl_project_channel(p, "chat")->url_secret, "where");
    SL_CHECK_EQ_STR(sl_project_channel(p, "chat")->secret, "key");
    SL_CHECK(sl_project_channel(p, "team")->mail);
    SL_CHECK_EQ_STR(sl_project_channel(p, "team")->to[0], "a@b.c");
    SL_CHECK_EQ_INT(p->policies.sandbox.level, SL_SANDBOX_STRICT);
    SL_CHECK(p->policies.pinned_includes);
    SL_CHECK(!p->policies.reproducible);
    SL_CHECK_EQ_INT(p->policies.retain_runs_ms, INT64_C(90) * 86400000);
    SL_CHECK_EQ_INT(p->policies.retain_logs_ms, 0);
    SL_CHECK_EQ_INT(p->policies.keep_last, 10);
    release(&f);
}

SL_TEST(pipelines_spec_keys, project__a_pipeline_is_not_one)
{
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_project *project = NULL;
    struct sl_spec_source source = {.file = "p.yml",
                                    .text = sl_str_c(HEAD "steps: { a: { run: x } }\n")};
    sl_arena_init(&arena, 0);
    sl_diags_init(&diags, &arena);
    SL_CHECK_EQ_INT(sl_project_load(&source, &arena, &diags, &project), -SL_EINVAL);
    SL_CHECK_EQ_STR(diags.list.items[0].message, "no document with 'kind: Project' in this file");
    SL_CHECK_NULL(project);
    sl_diags_release(&diags);
    sl_arena_release(&arena);
}

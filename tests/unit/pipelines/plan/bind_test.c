/** Conditions in a run, bound inputs, environment, gates, records and their differences. */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/plan/plan_support.h"

static const char churn[] =
    "params:\n"
    "  lr: { type: float, default: 0.1 }\n"
    "  name: { type: string, default: x }\n"
    "  unused: { type: int, default: 1 }\n"
    "steps:\n"
    "  prepare:\n"
    "    run: prep\n"
    "    inputs: { labels: { dataset: 'churn/${{ params.name }}@latest' } }\n"
    "    outputs: { heldout: { dataset: churn/heldout } }\n"
    "  train:\n"
    "    matrix: { seed: [1, 2] }\n"
    "    inputs: { data: '${{ steps.prepare.outputs.heldout }}' }\n"
    "    env: { LR: '${{ params.lr }}', SEED: 's${{ matrix.seed }}', RUN: '${{ run.number }}' }\n"
    "    command: [ train, '--seed=${{ matrix.seed }}' ]\n"
    "    outputs: { model: { model: 'churn-${{ params.name }}' } }\n"
    "  validate:\n"
    "    inputs: { models: '${{ steps.train.outputs.model[*] }}',\n"
    "              data: '${{ steps.prepare.outputs.heldout }}' }\n"
    "    command: [ evaluate ]\n"
    "    outputs: { best: { model: churn } }\n"
    "  gate:\n"
    "    gate:\n"
    "      candidate: '${{ steps.validate.outputs.best }}'\n"
    "      champion: churn@champion\n"
    "      no_champion: pass\n"
    "      evaluate: validate\n"
    "      require: [ 'candidate.auc >= champion.auc' ]\n"
    "  undo:\n"
    "    needs: [gate]\n"
    "    if: steps.gate.status == 'refused'\n"
    "    run: undo\n"
    "  extra:\n"
    "    needs: [gate]\n"
    "    if: params.lr > 0.5\n"
    "    run: extra\n"
    "  mend:\n"
    "    needs: [train]\n"
    "    if: failure()\n"
    "    run: mend\n"
    "finally:\n"
    "  tell: { run: tell, if: failure() }\n";

static void up_to_validate(struct planned *p)
{
    bool ok = planned_init(p, churn, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(p));
    planned_end(p, "prepare", "succeeded", 0x11);
    planned_end(p, "train[seed=1]", "succeeded", 0x21);
    planned_end(p, "train[seed=2]", "cached", 0x22);
}

/** "run", or the reason against it. */
static const char *decide(struct planned *p, const char *key)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_plan_judgement j;
    SL_CHECK_OK(sl_plan_judge(p->plan, planned_step(p, key), &p->world, &p->arena, &j, &err), err);
    bool by_if = j.why != NULL && sl_starts_with(j.why, "if");
    SL_CHECK((j.verdict == SL_PLAN_RUN) == (j.why == NULL));
    SL_CHECK((j.verdict == SL_PLAN_SKIP) == by_if);
    return j.verdict == SL_PLAN_RUN ? "run" : j.why;
}

static void bind(struct planned *p, const char *key, struct sl_bound_step *ret)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_plan_bind(p->plan, planned_step(p, key), &p->world, &p->arena, ret, &err), err);
}

SL_TEST(pipelines_plan_bind, conditions__states_of_needs__decide_with_reason)
{
    struct planned p;
    up_to_validate(&p);
    SL_CHECK_EQ_STR(decide(&p, "validate"), "run");
    SL_CHECK_EQ_STR(decide(&p, "mend"), "if: failure() is false");
    planned_end(&p, "train[seed=2]", "failed", 0x22);
    SL_CHECK_EQ_STR(decide(&p, "validate"), "needs train[seed=2], which is failed");
    SL_CHECK_EQ_STR(decide(&p, "mend"), "run");
    planned_end(&p, "gate", "refused", 0);
    SL_CHECK_EQ_STR(decide(&p, "undo"), "run");
    SL_CHECK_EQ_STR(decide(&p, "extra"), "needs gate, which is refused");
    planned_end(&p, "gate", "succeeded", 0);
    SL_CHECK_EQ_STR(decide(&p, "undo"), "if: steps.gate.status == 'refused' is false");
    SL_CHECK_EQ_STR(decide(&p, "extra"), "if: params.lr > 0.5 is false");
    SL_CHECK_EQ_STR(decide(&p, "tell"), "if: failure() is false");
    p.world.run_status = "failed";
    SL_CHECK_EQ_STR(decide(&p, "tell"), "run");
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, failure__behind_an_omitted_need__seen)
{
    static const char yaml[] = "steps:\n"
                               "  a: { run: a }\n"
                               "  b: { run: b, needs: [a], matrix: { n: [1, 2] } }\n"
                               "  c: { run: c, needs: [b] }\n"
                               "  d: { run: d, needs: [c], if: failure() }\n";
    struct planned p;
    SL_CHECK(planned_init(&p, yaml, NULL));
    planned_end(&p, "b[n=1]", "omitted", 0);
    planned_end(&p, "b[n=2]", "omitted", 0);
    planned_end(&p, "c", "omitted", 0);
    planned_end(&p, "a", "failed", 0);
    SL_CHECK_EQ_STR(decide(&p, "d"), "run");
    planned_end(&p, "a", "skipped", 0); /* a condition that is false is no failure */
    SL_CHECK_EQ_STR(decide(&p, "d"), "if: failure() is false");
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, mentions__many_steps__all_known)
{
    struct planned p;
    struct sl_bound_step b;
    struct sl_buf yaml = SL_BUF_INIT(65536);
    sl_buf_puts(&yaml, "steps:\n");
    for (int i = 0; i < 20; i++) {
        sl_buf_printf(&yaml, "  s%d: { run: x, outputs: { o: {} } }\n", i);
    }
    sl_buf_puts(&yaml, "  join:\n    run: x\n    env:\n");
    for (int i = 0; i < 20; i++) {
        sl_buf_printf(&yaml, "      E%d: '${{ steps.s%d.status }}'\n", i, i);
    }
    bool ok = planned_init(&p, sl_buf_str(&yaml), NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    p.status[19] = "cached";
    bind(&p, "join", &b);
    SL_CHECK_EQ_STR(b.env[0].value, "pending");
    SL_CHECK_EQ_STR(b.env[19].value, "succeeded");
    sl_bound_step_release(&b);
    planned_release(&p);
    sl_buf_release(&yaml);
}

SL_TEST(pipelines_plan_bind, champion_evaluation__skipped__gate_goes_on)
{
    struct planned p;
    up_to_validate(&p);
    planned_end(&p, "validate", "succeeded", 0x31);
    planned_end(&p, "gate:champion", "skipped", 0);
    SL_CHECK_EQ_STR(decide(&p, "gate"), "run");
    planned_end(&p, "gate:champion", "failed", 0);
    SL_CHECK_EQ_STR(decide(&p, "gate"), "needs gate:champion, which is failed");
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, train__templates__evaluated)
{
    struct planned p;
    struct sl_bound_step b;
    up_to_validate(&p);
    bind(&p, "train[seed=2]", &b);
    SL_CHECK_EQ_UINT(b.n_env, 3);
    SL_CHECK_EQ_STR(b.env[0].value, "0.1");
    SL_CHECK_EQ_STR(b.env[1].value, "s2");
    SL_CHECK_EQ_STR(b.env[2].value, "5");
    SL_CHECK_EQ_STR(b.argv[0], "train");
    SL_CHECK_EQ_STR(b.argv[1], "--seed=2");
    SL_CHECK_NULL(b.argv[2]);
    SL_CHECK_EQ_STR(b.output_names[0], "churn-x");
    SL_CHECK_EQ_INT(b.inputs[0].items[0].digest.b[0], 0x11);
    SL_CHECK(!b.inputs[0].is_list);
    json_auto_t *used = json_pack("{s:f, s:s}", "lr", 0.1, "name", "x");
    SL_CHECK(json_equal(b.used_params, used));
    sl_bound_step_release(&b);
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, validate__list_of_models__named_by_instance)
{
    struct planned p;
    struct sl_bound_step b;
    up_to_validate(&p);
    bind(&p, "validate", &b);
    SL_CHECK(b.inputs[0].is_list);
    SL_CHECK_EQ_UINT(b.inputs[0].n, 2);
    SL_CHECK_EQ_STR(b.inputs[0].item_names[1], "seed=2");
    SL_CHECK_EQ_INT(b.inputs[0].items[1].digest.b[0], 0x22);
    sl_bound_step_release(&b);
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, list__hostile_matrix_values__are_one_path_component)
{
    static const char yaml[] = "steps:\n"
                               "  part:\n"
                               "    matrix: { file: [ ../../etc, a/b, 'x%2F' ] }\n"
                               "    run: make\n"
                               "    outputs: { o: { artifact: o } }\n"
                               "  join:\n"
                               "    inputs: { all: '${{ steps.part.outputs.o[*] }}' }\n"
                               "    run: join\n";
    struct planned p;
    struct sl_bound_step b;
    bool ok = planned_init(&p, yaml, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    planned_end(&p, "part[file=../../etc]", "succeeded", 1);
    planned_end(&p, "part[file=a/b]", "succeeded", 2);
    planned_end(&p, "part[file=x%2F]", "succeeded", 3);
    bind(&p, "join", &b);
    SL_CHECK_EQ_STR(b.inputs[0].item_names[0], "file=..%2F..%2Fetc");
    SL_CHECK_EQ_STR(b.inputs[0].item_names[1], "file=a%2Fb");
    SL_CHECK_EQ_STR(b.inputs[0].item_names[2], "file=x%252F");
    sl_bound_step_release(&b);
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, gate__candidate_champion_dataset__bound)
{
    struct planned p;
    struct sl_bound_step b;
    up_to_validate(&p);
    planned_end(&p, "validate", "succeeded", 0x31);
    bind(&p, "gate", &b);
    SL_CHECK_EQ_INT(b.candidate.digest.b[0], 0x31);
    SL_CHECK(b.has_champion && b.has_on);
    SL_CHECK_EQ_INT(b.on.digest.b[0], 0x11); /* the only dataset that `validate` reads */
    sl_bound_step_release(&b);
    bind(&p, "gate:champion", &b);
    SL_CHECK_EQ_UINT(b.inputs[0].n, 1);
    SL_CHECK_EQ_STR(b.inputs[0].item_names[0], "champion");
    SL_CHECK(sl_digest_eq(&b.inputs[0].items[0].digest, &b.champion.digest));
    SL_CHECK_EQ_INT(b.inputs[1].items[0].digest.b[0], 0x11);
    sl_bound_step_release(&b);
    p.no_champion = true;
    bind(&p, "gate", &b);
    SL_CHECK(!b.has_champion);
    sl_bound_step_release(&b);
    planned_release(&p);
}

SL_TEST(pipelines_plan_bind, missing_version__input__named_in_the_error)
{
    struct planned p;
    struct sl_bound_step b;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK(planned_init(
        &p, "steps:\n  a:\n    run: a\n    inputs: { d: { dataset: nothing@v1 } }\n", NULL));
    SL_CHECK_ERR(sl_plan_bind(p.plan, 0, &p.world, &p.arena, &b, &err), SL_ENOTFOUND, err,
                 "input 'd': no version 'nothing@v1'");
    planned_release(&p);
}

struct keyed {
    json_t *record;
    struct sl_digest key;
};

static struct keyed key_of(struct planned *p, const char *step, uint8_t code, uint8_t runtime)
{
    struct keyed k = {0};
    struct sl_bound_step b;
    struct sl_digest code_digest;
    struct sl_digest runtime_digest;
    memset(code_digest.b, code, SL_DIGEST_BYTES);
    memset(runtime_digest.b, runtime, SL_DIGEST_BYTES);
    bind(p, step, &b);
    SL_CHECK_EQ_INT(sl_plan_cache_record(p->plan, planned_step(p, step), &b, &code_digest,
                                         &runtime_digest, &k.record, &k.key),
                    0);
    sl_bound_step_release(&b);
    return k;
}

/** "field field" of what differs. */
static const char *diff(struct planned *p, const struct keyed *a, const struct keyed *b)
{
    json_auto_t *list = sl_plan_diff_records(a->record, b->record);
    struct sl_buf out = SL_BUF_INIT(4096);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        sl_buf_printf(&out, "%s%s", i > 0 ? " " : "", sl_json_str(item, "field", "?"));
    }
    const char *text = sl_arena_strdup(&p->arena, sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

SL_TEST(pipelines_plan_record, same_step__twice__same_key_of_canonical_text)
{
    struct planned p;
    up_to_validate(&p);
    struct keyed a = key_of(&p, "train[seed=1]", 1, 2);
    struct keyed b = key_of(&p, "train[seed=1]", 1, 2);
    SL_CHECK(sl_digest_eq(&a.key, &b.key));
    SL_CHECK_EQ_STR(diff(&p, &a, &b), "");
    _cleanup_(free)
    char *text = sl_json_canonical(a.record);
    struct sl_digest again;
    sl_sha256(text, strlen(text), &again);
    SL_CHECK(sl_digest_eq(&a.key, &again));
    json_decref(a.record);
    json_decref(b.record);
    planned_release(&p);
}

SL_TEST(pipelines_plan_record, every_component__changed__another_key_and_its_field)
{
    struct planned p;
    struct planned q;
    static const char *const other_lr[] = {"lr=0.2", NULL};
    static const char *const other_unused[] = {"unused=9", NULL};
    up_to_validate(&p);
    struct keyed base = key_of(&p, "train[seed=1]", 1, 2);
    struct keyed other[6];
    other[0] = key_of(&p, "train[seed=1]", 9, 2);
    SL_CHECK_EQ_STR(diff(&p, &base, &other[0]), "code.digest");
    other[1] = key_of(&p, "train[seed=1]", 1, 9);
    SL_CHECK_EQ_STR(diff(&p, &base, &other[1]), "runtime");
    other[2] = key_of(&p, "train[seed=2]", 1, 2);
    SL_CHECK_EQ_STR(diff(&p, &base, &other[2]), "command matrix.seed env.SEED");
    planned_end(&p, "prepare", "succeeded", 0x12);
    other[3] = key_of(&p, "train[seed=1]", 1, 2);
    SL_CHECK_EQ_STR(diff(&p, &base, &other[3]), "inputs.data");
    SL_CHECK(planned_init(&q, churn, other_lr));
    planned_end(&q, "prepare", "succeeded", 0x11);
    other[4] = key_of(&q, "train[seed=1]", 1, 2);
    SL_CHECK_EQ_STR(diff(&q, &base, &other[4]), "params.lr env.LR");
    for (size_t i = 0; i < 5; i++) {
        SL_CHECK(!sl_digest_eq(&base.key, &other[i].key));
    }
    planned_release(&q);
    SL_CHECK(planned_init(&q, churn, other_unused)); /* a parameter that the step never mentions */
    planned_end(&q, "prepare", "succeeded", 0x11);
    other[5] = key_of(&q, "train[seed=1]", 1, 2);
    SL_CHECK(sl_digest_eq(&base.key, &other[5].key));
    for (size_t i = 0; i < SL_LEN(other); i++) {
        json_decref(other[i].record);
    }
    json_decref(base.record);
    planned_release(&q);
    planned_release(&p);
}

SL_TEST(pipelines_plan_record, secrets__name_and_way__are_in_the_key)
{
    static const char *const uses[] = {"", "secrets: {KEY: one}", "secrets: {KEY: two}",
                                       "secrets: {KEY: {secret: one, as: file}}"};
    struct planned p;
    struct keyed first = {0};
    for (size_t i = 0; i < SL_LEN(uses); i++) {
        char text[400];
        snprintf(text, sizeof(text), "steps:\n  a:\n    run: x\n    %s\n", uses[i]);
        SL_CHECK_MSG(planned_init(&p, text, NULL), "%s", planned_errors(&p));
        struct keyed k = key_of(&p, "a", 1, 2);
        SL_CHECK_EQ_INT(json_object_get(k.record, "secrets") != NULL, i > 0);
        if (i == 1) {
            first = (struct keyed){json_incref(k.record), k.key};
        } else if (i > 1) {
            SL_CHECK_EQ_STR(diff(&p, &first, &k), i == 2 ? "secrets.KEY.secret" : "secrets.KEY.as");
            SL_CHECK(!sl_digest_eq(&first.key, &k.key));
        }
        json_decref(k.record);
        planned_release(&p);
    }
    json_decref(first.record);
}

SL_TEST(pipelines_plan_record, differences__added_and_removed__old_and_new)
{
    struct sl_err err = SL_ERR_INIT;
    static const char old_text[] = "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":1}}";
    static const char new_text[] = "{\"a\":1,\"b\":{\"c\":[1,3],\"e\":2}}";
    json_auto_t *old_record = sl_json_parse("old", old_text, sizeof(old_text) - 1, &err);
    json_auto_t *new_record = sl_json_parse("new", new_text, sizeof(new_text) - 1, &err);
    json_auto_t *list = sl_plan_diff_records(old_record, new_record);
    _cleanup_(free)
    char *text = sl_json_canonical(list);
    SL_CHECK_EQ_STR(text, "[{\"field\":\"b.c\",\"new\":[1,3],\"old\":[1,2]},"
                          "{\"field\":\"b.d\",\"new\":null,\"old\":1},"
                          "{\"field\":\"b.e\",\"new\":2,\"old\":null}]");
}

SL_TEST(pipelines_plan_json, plan__as_json__every_step)
{
    struct planned p;
    up_to_validate(&p);
    json_auto_t *json = sl_plan_json(p.plan);
    const json_t *steps = json_object_get(json, "steps");
    SL_CHECK_EQ_UINT(json_array_size(steps), p.plan->n_steps);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(steps, 1), "key", ""), "train[seed=1]");
    SL_CHECK_EQ_STR(sl_json_str(json, "pipeline", ""), "test");
    const json_t *lr = json_object_get(json_object_get(json, "params"), "lr");
    SL_CHECK_EQ_STR(sl_json_str(lr, "origin", ""), "default");
    planned_release(&p);
}

/** Fan-outs: planned with their cap, cut to the array when they are decided. */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/plan/plan_support.h"

static const char yaml[] =
    "steps:\n"
    "  list: { run: ls, outputs: { shards: {} } }\n"
    "  train:\n"
    "    matrix: { from: \"${{ steps.list.outputs.shards }}\", as: shard, max: 4 }\n"
    "    env: { LR: \"${{ matrix.shard.lr }}\" }\n"
    "    run: train\n"
    "    outputs: { model: { model: m } }\n"
    "  odd:\n"
    "    matrix: { from: \"${{ steps.list.outputs.shards }}\", max: 4 }\n"
    "    if: matrix.index == 1 && matrix.item.lr > 0.15\n"
    "    env: { N: \"${{ matrix.index }}\" }\n"
    "    run: odd\n"
    "  join:\n"
    "    run: join\n"
    "    inputs: { all: \"${{ steps.train.outputs.model[*] }}\" }\n";

static struct sl_plan_judgement judge(struct planned *p, const char *key)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_plan_judgement j = {0};
    SL_CHECK_OK(sl_plan_judge(p->plan, planned_step(p, key), &p->world, &p->arena, &j, &err), err);
    SL_CHECK((j.verdict == SL_PLAN_RUN) == (j.why == NULL));
    return j;
}

static void refuses(struct planned *p, const char *key, const char *message)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_plan_judgement j = {0};
    SL_CHECK_EQ_INT(
        sl_plan_judge(p->plan, planned_step(p, key), &p->world, &p->arena, &j, &err) < 0, 1);
    SL_CHECK_EQ_STR(err.msg, message);
}

static void start(struct planned *p, const char *json)
{
    SL_CHECK(planned_init(p, yaml, NULL));
    planned_end(p, "list", "succeeded", 1);
    planned_json(p, json);
}

SL_TEST(pipelines_plan_fanout, instances__as_many_as_the_cap_named_by_number)
{
    struct planned p;
    start(&p, "[]");
    SL_CHECK_EQ_UINT(p.plan->n_steps, 10);
    SL_CHECK_EQ_STR(planned_needs(&p, "train[0]"), "list");
    SL_CHECK_EQ_STR(planned_needs(&p, "join"), "train[0] train[1] train[2] train[3]");
    planned_release(&p);
}

SL_TEST(pipelines_plan_fanout, elements__bind_by_name_and_end_with_the_array)
{
    struct planned p;
    struct sl_err err = SL_ERR_INIT;
    struct sl_bound_step b;
    start(&p, "[{\"lr\": 0.1}, {\"lr\": 0.2}]");
    SL_CHECK_EQ_INT(judge(&p, "train[1]").verdict, SL_PLAN_RUN);
    SL_CHECK_EQ_INT(judge(&p, "train[2]").verdict, SL_PLAN_SKIP);
    SL_CHECK_EQ_STR(judge(&p, "train[3]").why, "fan-out has 2 items");
    SL_CHECK_OK(sl_plan_bind(p.plan, planned_step(&p, "train[1]"), &p.world, &p.arena, &b, &err),
                err);
    SL_CHECK_EQ_STR(b.env[0].value, "0.2");
    json_auto_t *matrix = sl_value_json(&b.matrix);
    _cleanup_(free)
    char *text = sl_json_canonical(matrix);
    SL_CHECK_EQ_STR(text, "{\"index\":1,\"shard\":{\"lr\":0.2}}");
    sl_bound_step_release(&b);
    planned_release(&p);
}

SL_TEST(pipelines_plan_fanout, condition__sees_the_element)
{
    struct planned p;
    start(&p, "[{\"lr\": 0.1}, {\"lr\": 0.2}]");
    SL_CHECK_EQ_STR(judge(&p, "odd[0]").why,
                    "if: matrix.index == 1 && matrix.item.lr > 0.15 is false");
    SL_CHECK_EQ_INT(judge(&p, "odd[1]").verdict, SL_PLAN_RUN);
    SL_CHECK_EQ_STR(judge(&p, "odd[2]").why, "fan-out has 2 items");
    planned_release(&p);
}

SL_TEST(pipelines_plan_fanout, join__takes_those_that_ran_even_none)
{
    struct planned p;
    struct sl_err err = SL_ERR_INIT;
    struct sl_bound_step b;
    start(&p, "[1, 2]");
    planned_end(&p, "train[0]", "succeeded", 3);
    planned_end(&p, "train[1]", "cached", 4);
    planned_end(&p, "train[2]", "skipped", 0);
    planned_end(&p, "train[3]", "skipped", 0);
    p.has_output[planned_step(&p, "train[2]")] = false;
    p.has_output[planned_step(&p, "train[3]")] = false;
    SL_CHECK_EQ_INT(judge(&p, "join").verdict, SL_PLAN_RUN);
    SL_CHECK_OK(sl_plan_bind(p.plan, planned_step(&p, "join"), &p.world, &p.arena, &b, &err), err);
    SL_CHECK_EQ_UINT(b.inputs[0].n, 2);
    SL_CHECK_EQ_STR(b.inputs[0].item_names[1], "1");
    sl_bound_step_release(&b);
    planned_end(&p, "train[0]", "skipped", 0);
    planned_end(&p, "train[1]", "skipped", 0);
    p.has_output[planned_step(&p, "train[0]")] = p.has_output[planned_step(&p, "train[1]")] = false;
    SL_CHECK_OK(sl_plan_bind(p.plan, planned_step(&p, "join"), &p.world, &p.arena, &b, &err), err);
    SL_CHECK_EQ_UINT(b.inputs[0].n, 0);
    SL_CHECK(b.inputs[0].is_list);
    sl_bound_step_release(&b);
    planned_end(&p, "train[1]", "failed", 0);
    SL_CHECK_EQ_INT(judge(&p, "join").verdict, SL_PLAN_OMIT);
    planned_release(&p);
}

SL_TEST(pipelines_plan_fanout, bad_arrays__fail_with_what_is_wrong)
{
    struct planned p;
    struct sl_err err = SL_ERR_INIT;
    struct sl_bound_step b;
    start(&p, "{\"a\": 1}");
    refuses(&p, "train[0]",
            "fan-out: output 'shards' of step 'list' must be a JSON array, found an object");
    planned_json(&p, "[1, 2, 3, 4, 5]"); /* one more than max */
    refuses(&p, "train[0]", "fan-out has 5 items; 'max' of the matrix of step 'train' allows 4");
    SL_CHECK_EQ_INT(judge(&p, "train[1]").verdict, SL_PLAN_OMIT);
    SL_CHECK_EQ_STR(judge(&p, "train[1]").why, "fan-out has 5 items, max is 4");
    planned_json(&p, "[1, 2, 3, 4]"); /* at the limit */
    SL_CHECK_EQ_INT(judge(&p, "train[3]").verdict, SL_PLAN_RUN);
    planned_json(&p, "[[1]]");
    SL_CHECK(sl_plan_bind(p.plan, planned_step(&p, "train[0]"), &p.world, &p.arena, &b, &err) < 0);
    SL_CHECK_EQ_STR(
        err.msg, "fan-out: item 0 must be a string, a number, a bool or an object, found an array");
    json_decref(p.json);
    p.json = NULL;
    refuses(&p, "train[0]", "fan-out: output 'shards' of step 'list': it is not JSON");
    p.has_output[planned_step(&p, "list")] = false;
    refuses(&p, "train[0]", "fan-out: step 'list' has no output 'shards'");
    planned_release(&p);
}

/** The key of an instance holds its element; the number only where the step uses it. */
SL_TEST(pipelines_plan_fanout, cache_key__an_element_that_moved_is_the_same_work)
{
    struct planned p;
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest code = {.b = {1}}, runtime = {.b = {2}}, keys[4];
    static const struct {
        const char *json, *key;
    } cases[] = {{"[{\"lr\":0.1},{\"lr\":0.2}]", "train[1]"},
                 {"[{\"lr\":0.2},{\"lr\":0.1}]", "train[0]"},
                 {"[{\"lr\":0.1},{\"lr\":0.2}]", "odd[1]"},
                 {"[{\"lr\":0.2},{\"lr\":0.1}]", "odd[0]"}};
    start(&p, "[]");
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_bound_step b;
        json_t *record = NULL;
        uint32_t step = planned_step(&p, cases[i].key);
        planned_json(&p, cases[i].json);
        SL_CHECK_OK(sl_plan_bind(p.plan, step, &p.world, &p.arena, &b, &err), err);
        SL_CHECK_EQ_INT(sl_plan_cache_record(p.plan, step, &b, &code, &runtime, &record, &keys[i]),
                        0);
        json_decref(record);
        sl_bound_step_release(&b);
    }
    SL_CHECK(sl_digest_eq(&keys[0], &keys[1]));
    SL_CHECK(!sl_digest_eq(&keys[2], &keys[3]));
    planned_release(&p);
}

/** Shared by the planner's tests: a pipeline text becomes a plan; a world that tests fill in. */
#ifndef PLAN_SUPPORT_H
#define PLAN_SUPPORT_H

#include "pipelines/plan/plan.h"
#include "tests/support/sl_test.h"

#define WORLD_STEPS_MAX 32

struct planned {
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_spec *spec;
    struct sl_param_value *params;
    const struct sl_plan *plan;
    /* the world: status per plan step ("pending" unless set), one output digest byte per step */
    const char *status[WORLD_STEPS_MAX];
    bool has_output[WORLD_STEPS_MAX];
    bool no_champion;
    struct sl_artifact outputs[WORLD_STEPS_MAX];
    json_t *json; /* what every artifact holds; NULL: nothing that can be read */
    struct sl_plan_world world;
};

/** Loads, types parameters ("name=value" each, NULL-terminated; NULL: none) and plans. False when a
 * stage reports errors: then `planned_errors` says which. */
bool planned_init(struct planned *p, const char *yaml, const char *const *args);
/** With other files: {path, text} pairs, ended by a NULL path. */
struct planned_file {
    const char *path, *text;
};
bool planned_init_files(struct planned *p, const char *yaml, const struct planned_file *files);
/** From here on every artifact holds this JSON. */
void planned_json(struct planned *p, const char *text);
void planned_release(struct planned *p);
/** Every message, one a line. Lives as long as p. */
const char *planned_errors(struct planned *p);
/** Plan index of a key; fails the test when there is none. */
uint32_t planned_step(const struct planned *p, const char *key);
/** "a b c" keys of the needs of a step. */
const char *planned_needs(struct planned *p, const char *key);
/** Ends a step with every output a version of its own, whose digest is `content` repeated. */
void planned_end(struct planned *p, const char *key, const char *status, uint8_t content);

#endif

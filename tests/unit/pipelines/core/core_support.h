/** A core with a scripted host: answers wait in a queue until a test lets them happen. Single-threaded. */
#ifndef CORE_SUPPORT_H
#define CORE_SUPPORT_H

#include "pipelines/core/core.h"
#include "tests/support/sl_test.h"

#define RIG_STEPS_MAX 32

struct rig_answer {
    enum { RIG_DECIDE, RIG_START, RIG_COLLECT, RIG_JOURNAL } kind;
    struct sl_core_run *run;
    uint32_t step;
    struct sl_core_attempt *a;
    struct sl_journal *j;
};

struct rig {
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_spec *spec;
    const struct sl_plan *plan;
    struct sl_core *core;
    struct sl_sched_caps caps;
    struct sl_core_run run, other;
    int64_t now_ms, wake_ms;
    unsigned ids;
    SL_VEC(struct rig_answer) queue;
    struct sl_buf
        log; /* "start a#1", "go a#1", "a: pending -> running", "run: running -> failed"; a line each */
    bool hold_journal, disk_full, cannot_start, share, cached;
    enum sl_decide answer, then_answer; /* other than RUN: how the host decides; then_answer next */
    const char *answer_for;             /* only for that step; NULL: for each */
    int64_t until_ms;                   /* WAIT */
    bool unchanged, hold_starts;
    int halted, runs_over;
};

/** One run of the pipeline whose body (after name) is given, added and settled. */
void rig_init(struct rig *r, const char *yaml);
/** As rig_init without adding the run: a test restores it. */
void rig_init_empty(struct rig *r, const char *yaml);
/** Before any run is added: another machine than one of 8 CPUs on which nothing is made ready ahead. */
void rig_use(struct rig *r, struct sl_sched_caps caps);
void rig_release(struct rig *r);
/** The scripted host's table, for a core of the test's own. */
void rig_copy_io(struct sl_core_io *ret);
/** A second run of the same pipeline. */
void rig_add_other(struct rig *r);
/** Forgets the core and begins one anew, as after a crash; the run has no steps restored. */
void rig_restart(struct rig *r, enum sl_run_state state);
/** Lets every answer happen (journals not, while held) until nothing is left. */
void rig_settle(struct rig *r);
/** Lets the first answer that may happen, happen. */
void rig_step_once(struct rig *r);
/** The reason of the latest move of a step that waits to become durable. */
const char *rig_reason(struct rig *r, const char *key);
uint32_t rig_step(const struct rig *r, const char *key);
const char *rig_state(const struct rig *r, const char *key);
/** The live attempt of a step ends: `fail` SL_FAIL_COUNT means well. Settles. */
void rig_exit(struct rig *r, const char *key, enum sl_fail_class fail);
/** Lets time pass until the wake-up that the core asked for. Settles. */
void rig_wake(struct rig *r);
/** The log since the last call; valid until the next. */
const char *rig_log(struct rig *r);

#endif

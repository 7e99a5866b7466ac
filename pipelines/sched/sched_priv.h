/** What the scheduler's files share. Not for other rooms. */
#ifndef SL_SCHED_PRIV_H
#define SL_SCHED_PRIV_H

#include "pipelines/sched/sched.h"

/*
 *  WAITING ──► TO_DECIDE ──► DECIDING ──► WANTED ──► HOLDING ──► ENDED
 *                   ▲                        ▲          │      (WANTED: perhaps prepared, still in line)
 *                   │ its group failed       └─ LATER ◄─┘
 */
enum step_place {
    AT_WAITING,
    AT_TO_DECIDE,
    AT_DECIDING,
    AT_WANTED,
    AT_HOLDING,
    AT_LATER,
    AT_ENDED
};

struct item {
    struct sl_sched_run *run;
    uint32_t step;
    uint64_t seq;
};

/** First in, first out, with cheap removal from the front. */
struct fifo {
    struct item *items;
    size_t head, n, cap; /* n: end of the used part */
};

/** Steps that ask for the same resources at the same priority wait in one line. */
struct class {
    struct sl_resources want;
    struct fifo ahead; /* the front of the line: prepared, holding nothing */
    struct fifo line;
    int bypassed; /* picks that went past its head since it came to stand there */
};

struct step {
    uint8_t place;
    bool in_group, in_run; /* counted against max_parallel, against the run's limit */
    bool may_prepare, ahead;
    bool leaving; /* holds, and was asked to make way */
    uint32_t needs_left;
    uint64_t seq; /* of its valid queue entry: others are stale */
};

struct group { /* instances of one written step */
    uint32_t active;
    bool failed;
    uint32_t failed_by; /* step */
    struct fifo line;   /* over max_parallel */
};

struct sl_sched_run {
    struct sl_sched *s;
    const struct sl_plan *plan;
    void *data;
    struct step *steps;
    struct group *groups;
    uint32_t n_ended, active;
    struct fifo line; /* over the run's limit */
    struct sl_sched_run *next;
};

struct later {
    int64_t at_ms;
    struct item item;
};

struct sl_sched {
    struct sl_sched_caps caps;
    int cpu_used, gpu_used, slots_used;
    int n_ahead;
    uint64_t mem_used;
    uint64_t next_seq;
    struct fifo decide;
    SL_VEC(struct class) classes;
    SL_VEC(struct later) heap; /* by at_ms, then seq */
    struct sl_sched_run *runs;
    SL_VEC(struct item) yielders; /* hold, and may be asked to make way; oldest first */
    SL_VEC(struct item) evicted;  /* asked, not handed out yet */
    struct item evicted_for;
    int n_leaving;
};

#define SL_SCHED_BYPASS_MAX 64 /* then the machine is kept free for the head that does not fit */

void sl_fifo_push(struct fifo *f, struct item item);
bool sl_fifo_pop(struct fifo *f, struct item *ret);
bool sl_fifo_peek(const struct fifo *f, struct item *ret);
void sl_fifo_free(struct fifo *f);
/** Drops every entry of a run. */
void sl_fifo_forget(struct fifo *f, const struct sl_sched_run *r);

void sl_heap_push(struct sl_sched *s, struct later later);
void sl_heap_pop(struct sl_sched *s);
void sl_heap_forget(struct sl_sched *s, const struct sl_sched_run *r);

/** What the step asks for, the pipeline's priority added. */
struct sl_resources sl_sched_wants(const struct sl_plan *plan, const struct sl_plan_step *p);
/** The step of a class that starts next; false when none waits. */
bool sl_sched_head_of(struct class *c, struct item *ret);
bool sl_sched_comes_first(const struct class *a, const struct item *a_head, const struct class *b,
                          const struct item *b_head);

/* preempt.c */
void sl_sched_note_holding(struct sl_sched *s, struct sl_sched_run *r, uint32_t step);
void sl_sched_note_let_go(struct sl_sched *s, struct sl_sched_run *r, uint32_t step);
/** A step that shall make way for one that waits before `best` (the class that could start now, or NULL). */
bool sl_sched_evict(struct sl_sched *s, const struct class *best, struct sl_sched_item *ret);
void sl_sched_forget_evictions(struct sl_sched *s, const struct sl_sched_run *r);

bool sl_sched_fits(const struct sl_sched *s, const struct sl_resources *want);
/** ...once the holders in `gone` have gone. Only their GPUs are looked up: their counts are off already. */
bool sl_sched_fits_without(const struct sl_sched *s, const struct sl_resources *want,
                           const struct sl_sched_holder *gone, size_t n_gone);

#endif

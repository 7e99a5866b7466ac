/** What the engine's GPU files share. Not for others. */
#ifndef SL_ENGINE_GPU_PRIV_H
#define SL_ENGINE_GPU_PRIV_H

#include "core/bus/bus.h"
#include "pipelines/engine/engine_priv.h"
#include "runners/gpu/pool.h"

#define GPU_TOLD_MAX 64 /* attempts remembered as reported */

/** An attempt that holds GPUs. */
struct gpu_watch {
    struct eng_attempt *ea;
    int64_t idle_since_ms; /* 0: was busy at the last look */
};

/** What is measured for an attempt, copied for the lane. */
struct gpu_sample {
    char run_id[SL_ID_HEX + 1], attempt_id[SL_ID_HEX + 1];
    char *visible;
};

/** To be written as an event. */
struct gpu_event {
    enum sl_event_type type;
    char run_id[SL_ID_HEX + 1], attempt_id[SL_ID_HEX + 1];
    char gpu[SL_GPU_TEXT];
    char reason[200];
};

/** A process that outlived its attempt. */
struct gpu_orphan {
    int pid;
    char attempt_id[SL_ID_HEX + 1];
};

/** What one look does on its lane. */
struct gpu_look {
    struct sl_work work;
    SL_VEC(struct gpu_sample) samples;
    SL_VEC(struct gpu_event) events;
    SL_VEC(struct gpu_orphan) kills;
    uint64_t epoch;
    size_t n_asking; /* of those who ask, these will be answered */
    int rc;
};

struct eng_gpus {
    struct sl_engine *e;
    struct sl_gpu_source *source;
    struct sl_gpu_pool *pool;
    struct sl_gpu_inventory *inventory; /* as read last; the lane's while `reading` */
    struct sl_sched_gpus ops;
    struct sl_timer timer;
    struct gpu_look look;
    bool reading;
    int64_t sample_ms, sampled_ms; /* between samples; the last one */
    SL_VEC(struct gpu_watch) watched;
    SL_VEC(struct eng_attempt *) asking; /* failed; whether their GPUs did is being looked at */
    SL_VEC(struct gpu_event) events;     /* for the next look */
    SL_VEC(struct gpu_orphan) kills;
    char told[GPU_TOLD_MAX][SL_ID_HEX + 1];
    size_t n_told;
    struct {
        uint64_t xids, ecc;
    } before[SL_GPU_UNITS_MAX]; /* by unit of the pool, at the last look */
};

/** Soon looks at the devices. */
void eng_gpus_poll(struct eng_gpus *g, int64_t delay_ms);

/* engine_gpu_watch.c */
/** On the lane: events, processes to end, series. */
void eng_gpus_look(struct eng_gpus *g);
/** On the loop, after a look: faults, idleness, orphans. */
void eng_gpus_judge(struct eng_gpus *g);
void eng_gpus_note(struct eng_gpus *g, enum sl_event_type type, const struct eng_attempt *ea,
                   const char *gpu, const char *reason);

#endif

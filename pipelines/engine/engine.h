/**
 * The engine: whoever holds the data directory's lock, running every unfinished run in it. The same object
 * serves `sluice run` in the foreground and `sluice serve`.
 *
 * Thread: the loop, where not said otherwise.
 */
#ifndef SL_ENGINE_H
#define SL_ENGINE_H

#include "core/aio/loop.h"
#include "pipelines/core/core.h"
#include "pipelines/run/workspace.h"
#include "runners/runner.h"

struct sl_engine;

struct sl_engine_opts {
    const char *path;          /* data directory */
    const char *runner;        /* NULL: "local" */
    const char *gpu_inventory; /* NULL, or a JSON file that stands for NVML */
    int slots;                 /* attempts at once; 0: no limit but resources */
    int cpu_milli;             /* 0: what the machine has */
    const char *program; /* absolute path of this program: makes environments; NULL: none can be */
    const char *const *host_env; /* variables of the engine's user, for making environments only */
    const char *notify_allow; /* NULL, or where messages may go beyond https: sl_notifier_allow */
    const char *ca_file;      /* NULL: certificates that the system trusts */
};

/** What subscribers see, after it is durable. Texts live during the call. */
struct sl_engine_event {
    const char *run_id;
    enum sl_jkind kind; /* SL_J_RUN, SL_J_STEP or SL_J_ATTEMPT_START */
    uint32_t step;
    const char *key; /* of the step, or NULL */
    int from, to;
    int attempt; /* number of the attempt, or attempts so far */
    int64_t ts_ms;
    const char *reason;
    bool timed_out; /* SL_J_RUN to failed */
};
struct sl_engine_subscriber {
    void (*fn)(struct sl_engine_subscriber *s, const struct sl_engine_event *e);
    void *data;
    struct sl_engine_subscriber *next; /* private */
};

/**
 * Opens the workspace (taking the lock), starts lanes and runner, finishes interrupted deployments and
 * takes up every run that a dead engine left unfinished.
 *
 * @param loop  runs the engine; not running yet
 * @return 0; -SL_EBUSY when another engine holds the lock; ...
 */
int sl_engine_open(struct sl_loop *loop, const struct sl_engine_opts *opts, struct sl_engine **ret,
                   struct sl_err *err) SL_MUST_CHECK;
/** Stops: nothing further starts, running attempts go on under their shims, the lock is given back. */
void sl_engine_close(struct sl_engine *e);

struct sl_workspace *sl_engine_workspace(struct sl_engine *e);
struct sl_loop *sl_engine_loop(struct sl_engine *e);

void sl_engine_subscribe(struct sl_engine *e, struct sl_engine_subscriber *s);
void sl_engine_unsubscribe(struct sl_engine *e, struct sl_engine_subscriber *s);

/** Answer to a submission; exactly once, on the loop. */
struct sl_submit {
    json_t *request; /* the submission (submission.h); borrowed until done */
    void (*done)(struct sl_submit *s);
    void *data;
    int rc;
    struct sl_err err;
    char run_id[SL_ID_HEX + 1];
    int64_t number;
    char pipeline[SL_SPEC_NAME_MAX * 2];
};
void sl_engine_submit(struct sl_engine *e, struct sl_submit *s);

/** -SL_ENOTFOUND when no such run is live. `run` is a full id. */
int sl_engine_cancel(struct sl_engine *e, const char *run_id, const char *who, struct sl_err *err);
/** Another project is in force: its limits of groups count from now on. */
void sl_engine_project_changed(struct sl_engine *e);
/** Something changed for a step that awaits people (a vote): it is decided anew. Nothing happens when the run
 * is not live. */
void sl_engine_ask_again(struct sl_engine *e, const char *run_id, int64_t step);
/** The run is live and has not been let in yet: its group is full. */
bool sl_engine_is_queued(const struct sl_engine *e, const char *run_id);
/** The run is live, and all that is left of it awaits people. */
bool sl_engine_only_awaits(const struct sl_engine *e, const char *run_id);
/** Live runs. */
size_t sl_engine_n_runs(const struct sl_engine *e);
bool sl_engine_has_run(const struct sl_engine *e, const char *run_id);
/** Runs that were taken up at open, by id: calls fn for each live run. */
void sl_engine_each_run(struct sl_engine *e, void (*fn)(const char *run_id, void *data),
                        void *data);
/** Set when the journal could not be written: nothing further starts. NULL otherwise. */
const struct sl_err *sl_engine_failure(const struct sl_engine *e);

/** Why a step of a live run waits. Appends; false when the run is not live. */
bool sl_engine_why_waiting(struct sl_engine *e, const char *run_id, uint32_t step,
                           struct sl_buf *out);
/** Facts of runner and machine for `sluice runners`. New reference. */
json_t *sl_engine_runner_facts(struct sl_engine *e);

/** Hands out again a GPU that was set aside for a fault: its uuid or index; NULL: all of them.
 * @return how many; -SL_ENOTFOUND */
int sl_engine_gpu_undrain(struct sl_engine *e, const char *gpu, struct sl_err *err) SL_MUST_CHECK;

#endif

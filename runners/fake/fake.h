/**
 * A backend without processes, for simulation and unit tests: outcomes are programmed, time is the
 * caller's, and a world that outlives the runner stands for the machine, so that an engine can "die"
 * and adopt.
 *
 * Thread: loop (start included). Must not: read a clock, do I/O, or call back from inside a call.
 */
#ifndef SL_FAKE_H
#define SL_FAKE_H

#include "runners/runner.h"

struct sl_fake_world;

/** What an attempt will do once it runs. */
struct sl_fake_outcome {
    int start_error;     /* 0, or the positive SL_E* code that start fails with */
    int64_t duration_ms; /* from go to its end; negative: until cancelled or timed out */
    int64_t dying_ms;    /* from cancel or timeout to its end */
    struct sl_attempt_result result; /* times are filled by the world */
};

struct sl_fake_config {
    int64_t (*now_ms)(void *data);
    /** Fills `ret` (zeroed: exits 0 at once). */
    void (*outcome)(void *data, const struct sl_attempt_spec *spec, struct sl_fake_outcome *ret);
    void *data;
};

/** The machine. Owner: caller, free after all its runners were closed. It is sl_runner_config.backend. */
struct sl_fake_world *sl_fake_world_new(const struct sl_fake_config *config);
void sl_fake_world_free(struct sl_fake_world *w);

/** Ends what is due by now and calls on_end of attached attempts, in order of time. */
void sl_fake_world_advance(struct sl_fake_world *w);
/** When the next thing is due; INT64_MAX when nothing is. */
int64_t sl_fake_world_next_ms(const struct sl_fake_world *w);
/** The engine died: blocked attempts are gone, running ones go on, nobody is called back. The
 * runner's attempts must not be used any more. */
void sl_fake_world_crash(struct sl_fake_world *w);
/** The attempt's shim is killed: it ends as lost now. False when no such attempt runs. */
bool sl_fake_world_lose(struct sl_fake_world *w, const char *nonce);
/** How many attempts run; how often this attempt id was let run (more than once is a bug). */
size_t sl_fake_world_running(const struct sl_fake_world *w);
int sl_fake_world_execs(const struct sl_fake_world *w, const char *attempt_id);

extern const struct sl_runner_ops sl_runner_ops_fake;

#endif

/**
 * The live view of a run: on a terminal ended steps scroll by and running ones are redrawn below them in a
 * bounded number of lines; elsewhere one plain line per change; with --json one event per line. Of a large
 * matrix only what went wrong is told by instance, the rest in numbers.
 *
 * Thread: main. Must not: know where events come from.
 */
#ifndef SL_PROGRESS_H
#define SL_PROGRESS_H

#include "cmd/cmd.h"

#define SL_PROGRESS_LIVE_MAX 12 /* lines that are redrawn */
#define SL_PROGRESS_EACH_MAX                                                                       \
    32 /* instances of one step that are told one by one; more are counted */

struct sl_progress;

/** One change of a step (or of the run, key NULL). */
struct sl_change {
    const char *run, *key, *state, *reason;
    int64_t attempt, ts_ms;
};

struct sl_progress *sl_progress_new(struct sl_cmd *c);
void sl_progress_free(struct sl_progress *p);
/** States as they are, from the read model of the run (runs.show). Prints what has ended already. */
void sl_progress_begin(struct sl_progress *p, const json_t *run);
void sl_progress_change(struct sl_progress *p, const struct sl_change *change);
/** Redraws elapsed times. Cheap; nothing off a terminal. */
void sl_progress_tick(struct sl_progress *p);
/** Clears the live lines; what follows may print. */
void sl_progress_end(struct sl_progress *p);
/** A sentence above the live lines. */
void sl_progress_note(struct sl_progress *p, const char *text);

#endif

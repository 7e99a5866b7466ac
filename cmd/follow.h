/**
 * Being the engine, or following one: how `run`, `retry` and `resume` see a run to its end.
 *
 * Thread: main, which is the loop's thread while it is the engine.
 */
#ifndef SL_FOLLOW_H
#define SL_FOLLOW_H

#include "cmd/cmd.h"

struct sl_follow {
    json_t *submission; /* submitted first; NULL: nothing new */
    const char *run;    /* full id to follow when nothing is submitted; NULL: all live runs */
    bool only_submit;   /* hand it to a running engine and return */
    bool cancel;        /* cancel `run` first */
    bool forever;       /* `serve`: until SIGTERM */
    const char *group;  /* Unix group that may look and vote; NULL none */
};

/** Runs or follows until the end, prints progress and summary, gives the exit status. */
int sl_follow(struct sl_cmd *c, const struct sl_follow *f);

/** The summary at the end of a run, from the read models. Gives the run's exit status. */
int sl_summary(struct sl_cmd *c, const char *run_id);

/** The same for a run of which nothing goes on until somebody approves (run_id "": all live ones): what is asked
 * of whom, and how to go on (`served`: an engine
 * stays). Gives exit status 4. */
int sl_summary_awaiting(struct sl_cmd *c, const char *run_id, bool served);

#endif

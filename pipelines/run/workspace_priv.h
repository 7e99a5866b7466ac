/** What the workspace's own files share. */
#ifndef SL_WORKSPACE_PRIV_H
#define SL_WORKSPACE_PRIV_H

#include <pthread.h>

#include "pipelines/run/workspace.h"

struct sl_ws_private {
    pthread_mutex_t registry_lock;
    SL_VEC(struct sl_registry *) registries;
};

/** Start-up: finishes version commits whose intent is recorded and whose outcome is not. */
int sl_ws_replay_intents(struct sl_workspace *ws, struct sl_err *err) SL_MUST_CHECK;

#endif

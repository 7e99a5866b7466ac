/**
 * State machines as tables: states with their text, legal transitions with the reason shown to users.
 * The same table asserts, persists by name, and draws its own diagram for the docs.
 */
#ifndef SL_SM_H
#define SL_SM_H

#include "core/base/str.h"

struct sl_sm_state {
    const char *name; /* as stored and shown */
    const char *text; /* what it means */
    bool final;
};

struct sl_sm_edge {
    int from, to;
    const char *reason; /* why, as shown to users */
};

struct sl_sm_table {
    const char *name; /* "run", "step", "attempt", "deployment" */
    const struct sl_sm_state *states;
    int n_states;
    const struct sl_sm_edge *edges;
    int n_edges;
    int start;
};

bool sl_sm_allowed(const struct sl_sm_table *t, int from, int to);
/** Reason text of an edge; NULL when the edge does not exist. */
const char *sl_sm_reason(const struct sl_sm_table *t, int from, int to);
/** Asserts that the edge exists, then sets `*state`. */
void sl_sm_move(const struct sl_sm_table *t, int *state, int to);
const char *sl_sm_name(const struct sl_sm_table *t, int state);
int sl_sm_parse(const struct sl_sm_table *t, const char *name); /* -1 when unknown */

/** Markdown: a table of states and one of transitions. / Graphviz source. */
void sl_sm_markdown(const struct sl_sm_table *t, struct sl_buf *out);
void sl_sm_dot(const struct sl_sm_table *t, struct sl_buf *out);

#endif

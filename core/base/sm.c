/**
 * State machine tables: legality, names, and their own documentation.
 *
 * Thread: any (tables are constant). Must not: know any particular machine.
 */
#include "core/base/base.h"

#include "core/base/sm.h"

static bool in_range(const struct sl_sm_table *t, int state)
{
    return state >= 0 && state < t->n_states;
}

const char *sl_sm_reason(const struct sl_sm_table *t, int from, int to)
{
    for (int i = 0; i < t->n_edges; i++) {
        if (t->edges[i].from == from && t->edges[i].to == to) {
            return t->edges[i].reason;
        }
    }
    return NULL;
}

bool sl_sm_allowed(const struct sl_sm_table *t, int from, int to)
{
    return sl_sm_reason(t, from, to) != NULL;
}

void sl_sm_move(const struct sl_sm_table *t, int *state, int to)
{
    SL_ASSERT(in_range(t, *state));
    SL_ASSERT(in_range(t, to));
    SL_ASSERT(sl_sm_allowed(t, *state, to));
    *state = to;
}

const char *sl_sm_name(const struct sl_sm_table *t, int state)
{
    SL_ASSERT(in_range(t, state));
    return t->states[state].name;
}

int sl_sm_parse(const struct sl_sm_table *t, const char *name)
{
    for (int i = 0; i < t->n_states; i++) {
        if (sl_streq(t->states[i].name, name)) {
            return i;
        }
    }
    return -1;
}

void sl_sm_markdown(const struct sl_sm_table *t, struct sl_buf *out)
{
    sl_buf_printf(out, "### %s\n\n| state | meaning | |\n|---|---|---|\n", t->name);
    for (int i = 0; i < t->n_states; i++) {
        const char *mark = t->states[i].final ? "final" : i == t->start ? "start" : "";
        sl_buf_printf(out, "| %s | %s | %s |\n", t->states[i].name, t->states[i].text, mark);
    }
    sl_buf_puts(out, "\n| from | to | when |\n|---|---|---|\n");
    for (int i = 0; i < t->n_edges; i++) {
        sl_buf_printf(out, "| %s | %s | %s |\n", sl_sm_name(t, t->edges[i].from),
                      sl_sm_name(t, t->edges[i].to), t->edges[i].reason);
    }
}

/** A double-quoted Graphviz string. */
static void add_dot_string(struct sl_buf *out, const char *text)
{
    sl_buf_putc(out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            sl_buf_putc(out, '\\');
        }
        sl_buf_putc(out, *p);
    }
    sl_buf_putc(out, '"');
}

void sl_sm_dot(const struct sl_sm_table *t, struct sl_buf *out)
{
    sl_buf_puts(out, "digraph ");
    add_dot_string(out, t->name);
    sl_buf_puts(out, " {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for (int i = 0; i < t->n_states; i++) {
        sl_buf_puts(out, "  ");
        add_dot_string(out, t->states[i].name);
        sl_buf_puts(out, t->states[i].final ? " [peripheries=2];\n"
                         : i == t->start    ? " [style=\"rounded,bold\"];\n"
                                            : ";\n");
    }
    for (int i = 0; i < t->n_edges; i++) {
        sl_buf_puts(out, "  ");
        add_dot_string(out, sl_sm_name(t, t->edges[i].from));
        sl_buf_puts(out, " -> ");
        add_dot_string(out, sl_sm_name(t, t->edges[i].to));
        sl_buf_puts(out, " [label=");
        add_dot_string(out, t->edges[i].reason);
        sl_buf_puts(out, "];\n");
    }
    sl_buf_puts(out, "}\n");
}

/**
 * A walk as a tree for terminals, as JSON, as Graphviz source.
 *
 * Pure. Thread: any. Must not: recurse (depth comes from data).
 */
#include "core/base/base.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/time.h"
#include "core/lineage/lineage.h"
#include "core/lineage/lineage_priv.h"

#define SHORT_ID 12 /* characters shown of a long hexadecimal id */

/* "sha256:1f2e3d4c5b6a" for digests, 12 characters for ids of 32 or more hex digits. */
static void add_short_id(struct sl_buf *out, const char *id)
{
    const char *hex = sl_starts_with(id, "sha256:") ? id + strlen("sha256:") : id;
    size_t len = strlen(hex);
    if (len >= SL_ID_HEX && strspn(hex, "0123456789abcdef") == len) {
        sl_buf_add(out, id, (size_t)(hex - id) + SHORT_ID);
    } else {
        sl_buf_puts(out, id);
    }
}

static void add_title(struct sl_buf *out, const struct sl_graph_node *n)
{
    sl_buf_puts(out, sl_node_kind_name(n->kind));
    sl_buf_putc(out, ' ');
    if (n->name != NULL) {
        sl_buf_puts(out, n->name);
        sl_buf_puts(out, " (");
        add_short_id(out, n->id);
        sl_buf_putc(out, ')');
    } else {
        add_short_id(out, n->id);
    }
}

/* Edges of each node in the walked direction, in order of discovery. */
struct adjacency {
    int *first; /* per node, n_nodes + 1 */
    int *edges; /* indexes */
};

static int near_end(const struct sl_graph *g, int edge)
{
    return g->dir == SL_LINEAGE_UP ? g->edges[edge].from : g->edges[edge].to;
}

static int far_end(const struct sl_graph *g, int edge)
{
    return g->dir == SL_LINEAGE_UP ? g->edges[edge].to : g->edges[edge].from;
}

static void adjacency_init(struct adjacency *a, const struct sl_graph *g)
{
    a->first = sl_calloc((size_t)g->n_nodes + 2, sizeof(int));
    a->edges = sl_calloc((size_t)g->n_edges + 1, sizeof(int));
    for (int e = 0; e < g->n_edges; e++) {
        a->first[near_end(g, e) + 2]++;
    }
    for (int i = 2; i <= g->n_nodes; i++) {
        a->first[i] += a->first[i - 1];
    }
    for (int e = 0; e < g->n_edges; e++) { /* first[n + 1] moves from n's begin to n's end */
        a->edges[a->first[near_end(g, e) + 1]++] = e;
    }
}

static void adjacency_release(struct adjacency *a)
{
    free(a->first);
    free(a->edges);
}

struct frame {
    int node, next; /* next position in adjacency.edges */
};

static void add_edge_line(struct sl_buf *out, const struct sl_graph *g, int edge, bool again)
{
    const struct sl_graph_edge *e = &g->edges[edge];
    if (g->dir == SL_LINEAGE_DOWN) {
        sl_buf_puts(out, "<- ");
    }
    sl_buf_puts(out, sl_edge_kind_text(e->kind));
    if (e->role != NULL) {
        sl_buf_printf(out, " [%s]", e->role);
    }
    sl_buf_putc(out, ' ');
    const struct sl_graph_node *n = &g->nodes[far_end(g, edge)];
    add_title(out, n);
    if (again) {
        sl_buf_puts(out, " (above)");
    } else if (n->frontier) {
        sl_buf_puts(out, " ...");
    }
    sl_buf_putc(out, '\n');
}

/* Guides of the levels above, then the branch of this line. */
static void add_guides(struct sl_buf *out, const struct frame *stack, int depth,
                       const struct adjacency *a)
{
    for (int i = 0; i < depth; i++) {
        bool more = stack[i].next < a->first[stack[i].node + 1];
        const char *last = more ? "├─ " : "└─ ";
        const char *passing = more ? "│  " : "   ";
        sl_buf_puts(out, i == depth - 1 ? last : passing);
    }
}

void sl_graph_tree(const struct sl_graph *g, struct sl_buf *out)
{
    struct adjacency a;
    adjacency_init(&a, g);
    bool *shown = sl_calloc((size_t)g->n_nodes, sizeof(bool));
    struct frame *stack = sl_calloc((size_t)g->n_nodes + 1, sizeof(*stack));
    int depth = 1;
    stack[0] = (struct frame){.node = 0, .next = a.first[0]};
    shown[0] = true;
    add_title(out, &g->nodes[0]);
    sl_buf_puts(out, g->nodes[0].frontier ? " ...\n" : "\n");
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];
        if (top->next >= a.first[top->node + 1]) {
            depth--;
            continue;
        }
        int edge = a.edges[top->next++];
        int node = far_end(g, edge);
        add_guides(out, stack, depth, &a);
        add_edge_line(out, g, edge, shown[node]);
        if (!shown[node]) {
            shown[node] = true;
            stack[depth++] = (struct frame){.node = node, .next = a.first[node]};
        }
    }
    if (g->truncated) {
        sl_buf_puts(out, "(cut short: lines that end in ... lead on)\n");
    }
    free(shown);
    free(stack);
    adjacency_release(&a);
}

static json_t *node_json(const struct sl_graph_node *n)
{
    json_t *o = json_object();
    sl_json_set_str(o, "kind", sl_node_kind_name(n->kind));
    sl_json_set_str(o, "id", n->id);
    sl_json_set_str(o, "name", n->name);
    sl_json_set_i64(o, "depth", n->depth);
    sl_json_set_i64(o, "ts", n->ts_ms);
    if (n->frontier) {
        sl_json_set_bool(o, "frontier", true);
    }
    if (n->attrs != NULL) {
        json_t *attrs = sl_json_parse("attributes", n->attrs, strlen(n->attrs), NULL);
        if (attrs != NULL) {
            (void)json_object_set_new(o, "attrs", attrs);
        } else { /* damaged: shown as it is stored */
            sl_json_set_str(o, "attrs", n->attrs);
        }
    }
    return o;
}

static json_t *edge_json(const struct sl_graph *g, const struct sl_graph_edge *e)
{
    json_t *o = json_object();
    sl_json_set_str(o, "kind", sl_edge_kind_name(e->kind));
    sl_json_set_i64(o, "from", e->from);
    sl_json_set_i64(o, "to", e->to);
    sl_json_set_str(o, "from_id", g->nodes[e->from].id);
    sl_json_set_str(o, "to_id", g->nodes[e->to].id);
    sl_json_set_str(o, "role", e->role);
    sl_json_set_str(o, "run", e->run_id);
    sl_json_set_str(o, "attempt", e->attempt_id);
    sl_json_set_i64(o, "ts", e->ts_ms);
    if (e->audit_index >= 0) {
        sl_json_set_i64(o, "audit_index", e->audit_index);
    }
    return o;
}

json_t *sl_graph_json(const struct sl_graph *g)
{
    json_t *root = json_object(), *nodes = json_array(), *edges = json_array();
    sl_json_set_str(root, "direction", g->dir == SL_LINEAGE_UP ? "up" : "down");
    sl_json_set_bool(root, "truncated", g->truncated);
    for (int i = 0; i < g->n_nodes; i++) {
        (void)json_array_append_new(nodes, node_json(&g->nodes[i]));
    }
    for (int i = 0; i < g->n_edges; i++) {
        (void)json_array_append_new(edges, edge_json(g, &g->edges[i]));
    }
    (void)json_object_set_new(root, "nodes", nodes);
    (void)json_object_set_new(root, "edges", edges);
    return root;
}

/* A quoted DOT string; backslash and quote escaped, control characters as blanks. */
static void add_dot_text(struct sl_buf *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            sl_buf_putc(out, '\\');
        }
        sl_buf_putc(out, (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c);
    }
}

static const char *dot_shape(enum sl_node_kind kind)
{
    bool activity =
        kind == SL_NODE_RUN || kind == SL_NODE_STEP_EXECUTION || kind == SL_NODE_DEPLOYMENT;
    return activity ? "box" : "ellipse";
}

void sl_graph_dot(const struct sl_graph *g, struct sl_buf *out)
{
    sl_buf_puts(out, "digraph lineage {\n  rankdir=RL;\n  node [fontname=\"sans-serif\"];\n");
    for (int i = 0; i < g->n_nodes; i++) {
        const struct sl_graph_node *n = &g->nodes[i];
        struct sl_buf id = SL_BUF_INIT(SL_LINEAGE_ID_MAX);
        add_short_id(&id, n->id);
        sl_buf_printf(out, "  n%d [shape=%s%s, label=\"%s\\n", i, dot_shape(n->kind),
                      n->frontier ? ", style=dashed" : "", sl_node_kind_name(n->kind));
        add_dot_text(out, n->name != NULL ? n->name : sl_buf_str(&id));
        sl_buf_puts(out, "\", tooltip=\"");
        add_dot_text(out, n->id);
        sl_buf_puts(out, "\"];\n");
        sl_buf_release(&id);
    }
    for (int i = 0; i < g->n_edges; i++) {
        const struct sl_graph_edge *e = &g->edges[i];
        sl_buf_printf(out, "  n%d -> n%d [label=\"%s", e->from, e->to, sl_edge_kind_text(e->kind));
        if (e->role != NULL) {
            sl_buf_puts(out, "\\n");
            add_dot_text(out, e->role);
        }
        sl_buf_puts(out, "\"];\n");
    }
    sl_buf_puts(out, "}\n");
}

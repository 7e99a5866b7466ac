/**
 * Cycles among steps: each is reported once, as the way round.
 *
 * Thread: any. Must not: recurse; a chain may be a thousand steps long.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/spec/spec_priv.h"

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

struct graph {
    struct spec_loader *l;
    size_t *first; /* per step: its first edge; one more at the end */
    enum mark *marks;
    size_t *path; /* open steps, outermost first */
    size_t *next; /* parallel: the edge to follow next */
    size_t depth;
};

static int compare_edges(const void *left, const void *right)
{
    const struct spec_edge *a = left, *b = right;
    if (a->from != b->from) {
        return a->from < b->from ? -1 : 1;
    }
    return a->to < b->to ? -1 : a->to > b->to;
}

static void report(struct graph *g, size_t start)
{
    size_t n = g->depth - start, lowest = 0;
    const struct sl_step *steps = g->l->steps.items;
    for (size_t i = 1; i < n; i++) {
        lowest = g->path[start + i] < g->path[start + lowest] ? i : lowest;
    }
    struct sl_buf b = SL_BUF_INIT(1500);
    for (size_t i = 0; i <= n; i++) {
        sl_buf_printf(&b, "%s%s", i > 0 ? " → " : "", steps[g->path[start + (lowest + i) % n]].id);
    }
    spec_error(g->l, steps[g->path[start + lowest]].loc, "steps wait for each other: %s%s",
               sl_buf_str(&b), b.overflow ? "..." : "");
    sl_buf_release(&b);
}

/* The place of an open step in the path. */
static size_t position(const struct graph *g, size_t step)
{
    size_t i = 0;
    while (g->path[i] != step) {
        i++;
    }
    return i;
}

static void open_step(struct graph *g, size_t step)
{
    g->marks[step] = MARK_OPEN;
    g->path[g->depth] = step;
    g->next[g->depth] = g->first[step];
    g->depth++;
}

static void visit(struct graph *g, size_t root)
{
    open_step(g, root);
    while (g->depth > 0) {
        size_t step = g->path[g->depth - 1];
        if (g->next[g->depth - 1] == g->first[step + 1]) {
            g->marks[step] = MARK_DONE;
            g->depth--;
            continue;
        }
        size_t to = g->l->edges.items[g->next[g->depth - 1]++].to;
        if (g->marks[to] == MARK_NEW) {
            open_step(g, to);
        } else if (g->marks[to] == MARK_OPEN) {
            report(g, position(g, to));
        }
    }
}

/* Sorts edges by step and drops doubles. */
static void index_edges(struct graph *g)
{
    struct spec_loader *l = g->l;
    size_t n = 0, edge = 0;
    if (l->edges.n > 0) {
        qsort(l->edges.items, l->edges.n, sizeof(struct spec_edge), compare_edges);
    }
    for (size_t i = 0; i < l->edges.n; i++) {
        if (n == 0 || compare_edges(&l->edges.items[n - 1], &l->edges.items[i]) != 0) {
            l->edges.items[n++] = l->edges.items[i];
        }
    }
    l->edges.n = n;
    for (size_t step = 0; step <= l->steps.n; step++) {
        while (edge < n && l->edges.items[edge].from < step) {
            edge++;
        }
        g->first[step] = edge;
    }
}

void sl_spec_check_cycles(struct spec_loader *l)
{
    size_t n = l->steps.n + 1;
    struct graph g = {.l = l};
    g.first = sl_calloc(n, sizeof(size_t));
    g.marks = sl_calloc(n, sizeof(enum mark));
    g.path = sl_calloc(n, sizeof(size_t));
    g.next = sl_calloc(n, sizeof(size_t));
    index_edges(&g);
    for (size_t i = 0; i < l->steps.n; i++) {
        if (g.marks[i] == MARK_NEW) {
            visit(&g, i);
        }
    }
    free(g.first);
    free(g.marks);
    free(g.path);
    free(g.next);
}

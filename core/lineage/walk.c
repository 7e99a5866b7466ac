/**
 * The walk: breadth first over edges with a visited set, so that a diamond is entered once and a cycle
 * ends (a recursive query repeats a diamond exponentially often).
 *
 * Thread: that of the connection.
 */
#include "core/base/base.h"

#include "core/lineage/lineage.h"

#include <stdlib.h>

/* Visited set: open addressing from row id to index in nodes. */
struct seen {
    struct {
        int64_t nid;
        int index; /* -1 = free */
    } * slots;
    size_t mask;
};

struct walker {
    struct sl_db *db;
    const struct sl_lineage_walk *walk;
    int depth_max, nodes_max;
    struct sl_arena *arena;
    SL_VEC(struct sl_graph_node) nodes;
    SL_VEC(int64_t) nids; /* parallel to nodes */
    SL_VEC(struct sl_graph_edge) edges;
    struct seen seen;
    bool truncated;
};

static void seen_init(struct seen *s, int nodes_max)
{
    size_t n = 16;
    while (n < (size_t)nodes_max * 2) {
        n *= 2;
    }
    s->slots = sl_malloc(n * sizeof(*s->slots));
    s->mask = n - 1;
    for (size_t i = 0; i < n; i++) {
        s->slots[i].index = -1;
    }
}

/* The slot of nid, or the free one where it belongs. */
static size_t seen_find(const struct seen *s, int64_t nid)
{
    size_t i = (size_t)((uint64_t)nid * UINT64_C(0x9e3779b97f4a7c15) >> 32) & s->mask;
    while (s->slots[i].index >= 0 && s->slots[i].nid != nid) {
        i = (i + 1) & s->mask;
    }
    return i;
}

static const char *keep(struct walker *w, const char *text)
{
    return text != NULL && text[0] != '\0' ? sl_arena_strdup(w->arena, text) : NULL;
}

/* Adds the node whose columns begin at `at`: nid, kind, id, name, attrs, ts. */
static void add_node(struct walker *w, struct sl_rows *rows, int at, int depth)
{
    int kind = sl_node_kind_parse(sl_rows_str(rows, at + 1));
    struct sl_graph_node node = {.kind = kind < 0 ? SL_NODE_REPORT : (enum sl_node_kind)kind,
                                 .id = sl_arena_strdup(w->arena, sl_rows_str(rows, at + 2)),
                                 .name = keep(w, sl_rows_text(rows, at + 3)),
                                 .attrs = keep(w, sl_rows_text(rows, at + 4)),
                                 .ts_ms = sl_rows_i64(rows, at + 5),
                                 .depth = depth};
    int64_t nid = sl_rows_i64(rows, at);
    size_t slot = seen_find(&w->seen, nid);
    w->seen.slots[slot].nid = nid;
    w->seen.slots[slot].index = (int)w->nodes.n;
    sl_vec_push(&w->nodes, node);
    sl_vec_push(&w->nids, nid);
}

static int find_start(struct walker *w, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    const char *kind = sl_node_kind_name(w->walk->start.kind);
    int rc = sl_db_query(w->db, &rows, err,
                         SL_SQL("SELECT nid, kind, id, name, attrs, ts FROM lineage_node "
                                "WHERE id = ? AND kind = ?"),
                         "ss", w->walk->start.id, kind);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "no lineage of %s '%s' is recorded", kind,
                          w->walk->start.id);
    }
    add_node(w, &rows, 0, 0);
    return 0;
}

static int query_neighbours(struct walker *w, int64_t nid, struct sl_rows *rows, struct sl_err *err)
{
    if (w->walk->dir == SL_LINEAGE_UP) {
        return sl_db_query(w->db, rows, err,
                           SL_SQL("SELECT e.kind, e.role, e.run_id, e.attempt_id, e.ts, "
                                  "e.audit_index, n.nid, n.kind, n.id, n.name, n.attrs, n.ts "
                                  "FROM lineage_edge AS e JOIN lineage_node AS n "
                                  "ON n.nid = e.to_nid WHERE e.from_nid = ? ORDER BY e.eid"),
                           "i", nid);
    }
    return sl_db_query(w->db, rows, err,
                       SL_SQL("SELECT e.kind, e.role, e.run_id, e.attempt_id, e.ts, "
                              "e.audit_index, n.nid, n.kind, n.id, n.name, n.attrs, n.ts "
                              "FROM lineage_edge AS e JOIN lineage_node AS n "
                              "ON n.nid = e.from_nid WHERE e.to_nid = ? ORDER BY e.eid"),
                       "i", nid);
}

static void add_edge(struct walker *w, struct sl_rows *rows, int here, int there)
{
    int kind = sl_edge_kind_parse(sl_rows_str(rows, 0));
    bool up = w->walk->dir == SL_LINEAGE_UP;
    struct sl_graph_edge edge = {.from = up ? here : there,
                                 .to = up ? there : here,
                                 .kind = kind < 0 ? SL_EDGE_DERIVED_FROM : (enum sl_edge_kind)kind,
                                 .role = keep(w, sl_rows_text(rows, 1)),
                                 .run_id = keep(w, sl_rows_text(rows, 2)),
                                 .attempt_id = keep(w, sl_rows_text(rows, 3)),
                                 .ts_ms = sl_rows_i64(rows, 4),
                                 .audit_index =
                                     sl_rows_is_null(rows, 5) ? -1 : sl_rows_i64(rows, 5)};
    sl_vec_push(&w->edges, edge);
}

/* Follows the edges of one node. At the last depth only whether there are any is looked at. */
static int expand(struct walker *w, int here, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int depth = w->nodes.items[here].depth;
    int rc = query_neighbours(w, w->nids.items[here], &rows, err);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = 0;
        size_t slot = seen_find(&w->seen, sl_rows_i64(&rows, 6));
        bool is_new = w->seen.slots[slot].index < 0;
        bool cut = (is_new && (depth >= w->depth_max || w->nodes.n >= (size_t)w->nodes_max)) ||
                   w->edges.n >= SL_LINEAGE_EDGES_MAX;
        if (cut) {
            w->nodes.items[here].frontier = true;
            w->truncated = true;
            continue;
        }
        if (is_new) {
            add_node(w, &rows, 6, depth + 1);
        }
        add_edge(w, &rows, here, w->seen.slots[slot].index);
    }
    return rc;
}

static void finish(struct walker *w, struct sl_graph *ret)
{
    *ret = (struct sl_graph){.dir = w->walk->dir,
                             .n_nodes = (int)w->nodes.n,
                             .n_edges = (int)w->edges.n,
                             .truncated = w->truncated};
    ret->nodes = sl_arena_memdup(w->arena, w->nodes.items, w->nodes.n * sizeof(*w->nodes.items));
    if (w->edges.n > 0) {
        ret->edges =
            sl_arena_memdup(w->arena, w->edges.items, w->edges.n * sizeof(*w->edges.items));
    }
}

int sl_lineage_walk(struct sl_db *db, const struct sl_lineage_walk *walk, struct sl_arena *arena,
                    struct sl_graph *ret, struct sl_err *err)
{
    struct walker w = {.db = db,
                       .walk = walk,
                       .arena = arena,
                       .depth_max =
                           walk->depth_max != 0 ? walk->depth_max : SL_LINEAGE_DEPTH_DEFAULT,
                       .nodes_max = walk->nodes_max != 0 ? walk->nodes_max : SL_LINEAGE_NODES_MAX};
    if (w.depth_max < 1 || w.depth_max > SL_LINEAGE_DEPTH_MAX) {
        return sl_err_set(err, SL_EINVAL, "depth must be 1 to %d", SL_LINEAGE_DEPTH_MAX);
    }
    if (w.nodes_max < 1 || w.nodes_max > SL_LINEAGE_NODES_MAX) {
        return sl_err_set(err, SL_EINVAL, "at most 1 to %d nodes", SL_LINEAGE_NODES_MAX);
    }
    seen_init(&w.seen, w.nodes_max);
    int rc = find_start(&w, err);
    for (size_t i = 0; rc == 0 && i < w.nodes.n; i++) {
        rc = expand(&w, (int)i, err);
    }
    if (rc == 0) {
        finish(&w, ret);
    }
    free(w.seen.slots);
    sl_vec_free(&w.nodes);
    sl_vec_free(&w.nids);
    sl_vec_free(&w.edges);
    return rc;
}

/**
 * Door of lineage: which things came from which, as facts recorded when they happen.
 *
 * Nodes are (kind, id); the room does not interpret ids. Edges point from the effect to its cause:
 * (model_version)──generated──►(step_execution)──used──►(dataset_version). "Up" follows edges to
 * causes, "down" to effects. Facts are added, never changed: writing one again changes nothing.
 *
 * Thread: that of the connection. Must not: read a clock.
 */
#ifndef SL_LINEAGE_H
#define SL_LINEAGE_H

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/db/db.h"

#define SL_LINEAGE_DEPTH_DEFAULT 10
#define SL_LINEAGE_DEPTH_MAX     100
#define SL_LINEAGE_NODES_MAX     10000
#define SL_LINEAGE_EDGES_MAX     50000
#define SL_LINEAGE_ID_MAX        512         /* bytes of an id, name or role */
#define SL_LINEAGE_ATTRS_MAX     (256 << 10) /* bytes of canonical attributes */

enum sl_node_kind {
#define SL_LINEAGE_NODE(id, name) SL_NODE_##id,
#include "core/lineage/nodes.def"
#undef SL_LINEAGE_NODE
    SL_NODE_COUNT
};
enum sl_edge_kind {
#define SL_LINEAGE_EDGE(id, name, text) SL_EDGE_##id,
#include "core/lineage/edges.def"
#undef SL_LINEAGE_EDGE
    SL_EDGE_COUNT
};
const char *sl_node_kind_name(enum sl_node_kind kind);
int sl_node_kind_parse(const char *name); /* -1 when unknown */
const char *sl_edge_kind_name(enum sl_edge_kind kind);
int sl_edge_kind_parse(const char *name);

extern const struct sl_schema sl_lineage_schema;

struct sl_lineage_ref {
    enum sl_node_kind kind;
    const char *id;
};

struct sl_lineage_node {
    struct sl_lineage_ref ref;
    const char *name;    /* what people call it ("heavy-use@v3"); NULL allowed */
    const json_t *attrs; /* object of facts; NULL allowed */
    int64_t ts_ms;
};

/** Records a node in the caller's transaction (asserted). A name or attributes missing so far are
 * filled in; present ones stay as they are. -SL_ELIMIT, -SL_EINVAL (empty id). */
int sl_lineage_node(struct sl_db *db, const struct sl_lineage_node *node, struct sl_err *err)
    SL_MUST_CHECK;

struct sl_lineage_edge {
    struct sl_lineage_ref from; /* effect */
    struct sl_lineage_ref to;   /* cause */
    enum sl_edge_kind kind;
    const char *role;       /* "train", "in.data", "declared"; NULL allowed */
    const char *run_id;     /* NULL allowed */
    const char *attempt_id; /* NULL allowed */
    int64_t ts_ms;
    int64_t audit_index; /* of the entry written with it; -1 when none */
};

/** Records an edge; missing nodes are made bare. Unique by (from, to, kind, role, attempt). */
int sl_lineage_edge(struct sl_db *db, const struct sl_lineage_edge *edge, struct sl_err *err)
    SL_MUST_CHECK;

enum sl_lineage_dir { SL_LINEAGE_UP, SL_LINEAGE_DOWN };

struct sl_lineage_walk {
    struct sl_lineage_ref start;
    enum sl_lineage_dir dir;
    int depth_max; /* 1 to SL_LINEAGE_DEPTH_MAX; 0 = default */
    int nodes_max; /* 1 to SL_LINEAGE_NODES_MAX; 0 = that */
};

/** What a walk found; everything lives in the arena given. */
struct sl_graph_node {
    enum sl_node_kind kind;
    const char *id, *name, *attrs; /* name, attrs NULL when unknown */
    int64_t ts_ms;
    int depth;     /* from the start, which is 0 */
    bool frontier; /* has neighbours that the walk did not follow */
};
struct sl_graph_edge {
    int from, to; /* indexes into nodes */
    enum sl_edge_kind kind;
    const char *role, *run_id, *attempt_id; /* NULL when none */
    int64_t ts_ms;
    int64_t audit_index; /* -1 when none */
};
struct sl_graph {
    enum sl_lineage_dir dir;
    struct sl_graph_node *nodes; /* nodes[0] is the start; breadth first */
    int n_nodes;
    struct sl_graph_edge *edges;
    int n_edges;
    bool truncated; /* a cap of depth, nodes or edges cut the walk */
};

/** Breadth first with a visited set, so diamonds and cycles cost nothing. -SL_ENOTFOUND when the
 * start is unknown, -SL_EINVAL when a maximum is out of range. For one moment, call it in
 * sl_db_snapshot. */
int sl_lineage_walk(struct sl_db *db, const struct sl_lineage_walk *walk, struct sl_arena *arena,
                    struct sl_graph *ret, struct sl_err *err) SL_MUST_CHECK;

/** Nodes whose id or name is `text`, or whose id starts with it (8 characters or more); at most
 * `limit`. fn as elsewhere: non-zero stops and is returned. */
typedef int (*sl_lineage_fn)(const struct sl_graph_node *node, void *arg);
int sl_lineage_find(struct sl_db *db, const char *text, int limit, sl_lineage_fn fn, void *arg,
                    struct sl_err *err) SL_MUST_CHECK;

/** Pure formatters. The tree shows each node once in full; later mentions say "(above)". */
void sl_graph_tree(const struct sl_graph *g, struct sl_buf *out);
json_t *sl_graph_json(const struct sl_graph *g); /* new reference */
void sl_graph_dot(const struct sl_graph *g, struct sl_buf *out);

#endif

/**
 * Facts, walks in both directions, caps, and the three formats.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/lineage/lineage.h"
#include "tests/support/sl_test.h"

struct fixture {
    char *dir, *path;
    struct sl_db *db;
    struct sl_arena arena;
    struct sl_err err;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    f->dir = sl_test_tmpdir();
    f->path = sl_test_path(f->dir, "sluice.db");
    sl_arena_init(&f->arena, 0);
    const struct sl_schema *list[] = {&sl_lineage_schema};
    SL_CHECK_OK(sl_db_open(f->path, SL_DB_RW, &f->db, &f->err), f->err);
    SL_CHECK_OK(sl_db_migrate(f->db, list, 1, &f->err), f->err);
}

static void tear_down(struct fixture *f)
{
    sl_db_close(f->db);
    sl_arena_release(&f->arena);
    free(f->path);
    sl_test_rmdir(f->dir);
}

struct facts {
    const struct sl_lineage_node *nodes;
    const struct sl_lineage_edge *edges;
    size_t n_nodes, n_edges;
};

static int record(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct facts *facts = arg;
    int rc = 0;
    for (size_t i = 0; i < facts->n_nodes && rc == 0; i++) {
        rc = sl_lineage_node(db, &facts->nodes[i], err);
    }
    for (size_t i = 0; i < facts->n_edges && rc == 0; i++) {
        rc = sl_lineage_edge(db, &facts->edges[i], err);
    }
    return rc;
}

#define MODEL                                                                                      \
    {                                                                                              \
        SL_NODE_MODEL_VERSION, "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                           \
    }
#define STEP                                                                                       \
    {                                                                                              \
        SL_NODE_STEP_EXECUTION, "0123456789abcdef0123456789abcdef"                                 \
    }
#define DATA                                                                                       \
    {                                                                                              \
        SL_NODE_DATASET_VERSION, "sha256:dddddddddddddddddddddddddddddddd"                         \
    }
#define RUN                                                                                        \
    {                                                                                              \
        SL_NODE_RUN, "run-1"                                                                       \
    }
#define DEPLOY                                                                                     \
    {                                                                                              \
        SL_NODE_DEPLOYMENT, "dep-1"                                                                \
    }

static const struct sl_lineage_edge small_edges[] = {
    {.from = MODEL, .to = STEP, .kind = SL_EDGE_GENERATED, .role = "model", .audit_index = 4},
    {.from = STEP, .to = DATA, .kind = SL_EDGE_USED, .role = "in.data", .audit_index = -1},
    {.from = STEP, .to = RUN, .kind = SL_EDGE_PART_OF, .run_id = "run-1", .audit_index = -1},
    {.from = RUN, .to = DATA, .kind = SL_EDGE_USED, .audit_index = -1},
    {.from = DEPLOY, .to = MODEL, .kind = SL_EDGE_DEPLOYS, .audit_index = -1}};

static void record_small(struct fixture *f)
{
    json_auto_t *attrs = json_pack("{s:i}", "rows", 20190);
    const struct sl_lineage_node nodes[] = {
        {.ref = MODEL, .name = "heavy-use@v3", .ts_ms = 5},
        {.ref = DATA, .name = "rand\"hie@v1", .attrs = attrs, .ts_ms = 1}};
    struct facts facts = {nodes, small_edges, SL_LEN(nodes), SL_LEN(small_edges)};
    SL_CHECK_OK(sl_db_tx(f->db, record, &facts, &f->err), f->err);
    SL_CHECK_OK(sl_db_tx(f->db, record, &facts, &f->err), f->err); /* again: nothing changes */
}

static void walk(struct fixture *f, struct sl_lineage_ref start, enum sl_lineage_dir dir, int depth,
                 struct sl_graph *g)
{
    struct sl_lineage_walk w = {.start = start, .dir = dir, .depth_max = depth};
    SL_CHECK_OK(sl_lineage_walk(f->db, &w, &f->arena, g, &f->err), f->err);
}

static int64_t count(struct fixture *f, struct sl_sql sql)
{
    int64_t n = -1;
    SL_CHECK_OK(sl_db_get_i64(f->db, &n, &f->err, sql, ""), f->err);
    return n;
}

SL_TEST(core_lineage_lineage, record__twice__is_once)
{
    struct fixture f;
    set_up(&f);
    record_small(&f);
    SL_CHECK_EQ_INT(count(&f, SL_SQL("SELECT count(*) FROM lineage_node")), 5);
    SL_CHECK_EQ_INT(count(&f, SL_SQL("SELECT count(*) FROM lineage_edge")), 5);
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, node__missing_name_is_filled_in__present_one_stays)
{
    struct fixture f;
    set_up(&f);
    const struct sl_lineage_edge edge = {.from = RUN, .to = DATA, .kind = SL_EDGE_USED};
    const struct sl_lineage_node named = {.ref = DATA, .name = "first"};
    const struct sl_lineage_node again = {.ref = DATA, .name = "second"};
    struct facts facts[] = {{NULL, &edge, 0, 1}, {&named, NULL, 1, 0}, {&again, NULL, 1, 0}};
    for (size_t i = 0; i < SL_LEN(facts); i++) {
        SL_CHECK_OK(sl_db_tx(f.db, record, &facts[i], &f.err), f.err);
    }
    SL_CHECK_EQ_INT(count(&f, SL_SQL("SELECT count(*) FROM lineage_node WHERE name = 'first'")), 1);
    SL_CHECK_EQ_INT(count(&f, SL_SQL("SELECT count(*) FROM lineage_node WHERE name = 'second'")),
                    0);
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, edge__same_pair_other_attempt__is_another_fact)
{
    struct fixture f;
    set_up(&f);
    struct sl_lineage_edge edges[3] = {small_edges[1], small_edges[1], small_edges[1]};
    edges[1].attempt_id = "a2";
    edges[2].role = "in.other";
    struct facts facts = {NULL, edges, 0, 3};
    SL_CHECK_OK(sl_db_tx(f.db, record, &facts, &f.err), f.err);
    SL_CHECK_EQ_INT(count(&f, SL_SQL("SELECT count(*) FROM lineage_edge")), 3);
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, limits__at_and_one_past__and_empty_id)
{
    struct fixture f;
    set_up(&f);
    char id[SL_LINEAGE_ID_MAX + 2];
    memset(id, 'i', sizeof(id));
    id[SL_LINEAGE_ID_MAX] = '\0';
    struct sl_lineage_node node = {.ref = {SL_NODE_RUN, id}};
    struct facts facts = {&node, NULL, 1, 0};
    SL_CHECK_OK(sl_db_tx(f.db, record, &facts, &f.err), f.err);
    id[SL_LINEAGE_ID_MAX] = 'i';
    id[SL_LINEAGE_ID_MAX + 1] = '\0';
    SL_CHECK_ERR(sl_db_tx(f.db, record, &facts, &f.err), SL_ELIMIT, f.err,
                 "lineage: an id is longer than 512 bytes");
    node.ref.id = "";
    SL_CHECK_ERR(sl_db_tx(f.db, record, &facts, &f.err), SL_EINVAL, f.err,
                 "lineage: a run without an id");
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, walk__up_and_down__tree)
{
    struct fixture f;
    set_up(&f);
    record_small(&f);
    struct sl_graph g;
    struct sl_buf out = SL_BUF_INIT(1 << 16);
    walk(&f, (struct sl_lineage_ref)DEPLOY, SL_LINEAGE_UP, 0, &g);
    SL_CHECK_EQ_INT(g.n_nodes, 5);
    SL_CHECK_EQ_INT(g.n_edges, 5);
    SL_CHECK(!g.truncated);
    sl_graph_tree(&g, &out);
    SL_CHECK_EQ_STR(
        sl_buf_str(&out),
        "deployment dep-1\n"
        "└─ deploys model_version heavy-use@v3 (sha256:aaaaaaaaaaaa)\n"
        "   └─ generated by [model] step_execution 0123456789ab\n"
        "      ├─ used [in.data] dataset_version rand\"hie@v1 (sha256:dddddddddddd)\n"
        "      └─ part of run run-1\n"
        "         └─ used dataset_version rand\"hie@v1 (sha256:dddddddddddd) (above)\n");
    sl_buf_clear(&out);
    walk(&f, (struct sl_lineage_ref)DATA, SL_LINEAGE_DOWN, 1, &g);
    SL_CHECK_EQ_INT(g.n_nodes, 3);
    SL_CHECK(g.truncated);
    sl_graph_tree(&g, &out);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "dataset_version rand\"hie@v1 (sha256:dddddddddddd)\n"
                                      "├─ <- used [in.data] step_execution 0123456789ab ...\n"
                                      "└─ <- used run run-1\n"
                                      "   └─ <- part of step_execution 0123456789ab (above)\n"
                                      "(cut short: lines that end in ... lead on)\n");
    sl_buf_release(&out);
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, walk__json_and_dot)
{
    struct fixture f;
    set_up(&f);
    record_small(&f);
    struct sl_graph g;
    walk(&f, (struct sl_lineage_ref)MODEL, SL_LINEAGE_UP, 2, &g);
    json_auto_t *json = sl_graph_json(&g);
    SL_CHECK_EQ_STR(sl_json_str(json, "direction", ""), "up");
    SL_CHECK(!sl_json_bool(json, "truncated", true));
    json_t *nodes = json_object_get(json, "nodes"), *edges = json_object_get(json, "edges");
    SL_CHECK_EQ_UINT(json_array_size(nodes), 4);
    SL_CHECK_EQ_UINT(json_array_size(edges), 4);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(nodes, 0), "name", ""), "heavy-use@v3");
    SL_CHECK_EQ_INT(sl_json_i64(json_object_get(json_array_get(nodes, 2), "attrs"), "rows", 0),
                    20190);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(edges, 0), "kind", ""), "generated");
    SL_CHECK_EQ_INT(sl_json_i64(json_array_get(edges, 0), "audit_index", -1), 4);
    SL_CHECK_NULL(json_object_get(json_array_get(edges, 1), "audit_index"));
    struct sl_buf out = SL_BUF_INIT(1 << 16);
    sl_graph_dot(&g, &out);
    SL_CHECK_CONTAINS(sl_buf_str(&out), "digraph lineage {");
    SL_CHECK_CONTAINS(sl_buf_str(&out), "label=\"dataset_version\\nrand\\\"hie@v1\"");
    SL_CHECK_CONTAINS(sl_buf_str(&out), "n0 -> n1 [label=\"generated by\\nmodel\"];");
    sl_buf_release(&out);
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, walk__unknown_or_out_of_range__says_so)
{
    struct fixture f;
    set_up(&f);
    struct sl_graph g;
    struct sl_lineage_walk w = {.start = RUN};
    SL_CHECK_ERR(sl_lineage_walk(f.db, &w, &f.arena, &g, &f.err), SL_ENOTFOUND, f.err,
                 "no lineage of run 'run-1' is recorded");
    w.depth_max = SL_LINEAGE_DEPTH_MAX + 1;
    SL_CHECK_ERR(sl_lineage_walk(f.db, &w, &f.arena, &g, &f.err), SL_EINVAL, f.err,
                 "depth must be 1 to 100");
    w.depth_max = SL_LINEAGE_DEPTH_MAX;
    w.nodes_max = SL_LINEAGE_NODES_MAX + 1;
    SL_CHECK_ERR(sl_lineage_walk(f.db, &w, &f.arena, &g, &f.err), SL_EINVAL, f.err,
                 "at most 1 to 10000 nodes");
    tear_down(&f);
}

/* Layers of two nodes, each linked to both of the next: 2^24 paths. */
static int record_diamond(struct sl_db *db, void *arg, struct sl_err *err)
{
    int layers = *(int *)arg, rc = 0;
    for (int i = 0; i < layers && rc == 0; i++) {
        for (int k = 0; k < 4 && rc == 0; k++) {
            char from[32], to[32];
            (void)snprintf(from, sizeof(from), "n%d-%d", i, i == 0 ? 0 : k / 2);
            (void)snprintf(to, sizeof(to), "n%d-%d", i + 1, k % 2);
            struct sl_lineage_edge e = {
                .from = {SL_NODE_RUN, from}, .to = {SL_NODE_RUN, to}, .kind = SL_EDGE_DERIVED_FROM};
            rc = sl_lineage_edge(db, &e, err);
        }
    }
    return rc;
}

SL_TEST(core_lineage_lineage, walk__diamond_and_cycle__each_node_once)
{
    struct fixture f;
    set_up(&f);
    int layers = 24;
    SL_CHECK_OK(sl_db_tx(f.db, record_diamond, &layers, &f.err), f.err);
    const struct sl_lineage_edge back = {
        .from = {SL_NODE_RUN, "n24-0"}, .to = {SL_NODE_RUN, "n0-0"}, .kind = SL_EDGE_DERIVED_FROM};
    struct facts facts = {NULL, &back, 0, 1};
    SL_CHECK_OK(sl_db_tx(f.db, record, &facts, &f.err), f.err);
    struct sl_graph g;
    walk(&f, (struct sl_lineage_ref){SL_NODE_RUN, "n0-0"}, SL_LINEAGE_UP, 100, &g);
    SL_CHECK_EQ_INT(g.n_nodes, 1 + 2 * 24);
    SL_CHECK_EQ_INT(g.n_edges, 2 + 4 * 23 + 1);
    SL_CHECK(!g.truncated);
    struct sl_buf out = SL_BUF_INIT(1 << 20);
    sl_graph_tree(&g, &out);
    int lines = 0;
    for (const char *c = sl_buf_str(&out); *c != '\0'; c++) {
        lines += *c == '\n' ? 1 : 0;
    }
    SL_CHECK_EQ_INT(lines, 1 + g.n_edges); /* the start, then a line per edge */
    sl_buf_release(&out);
    walk(&f, (struct sl_lineage_ref){SL_NODE_RUN, "n0-0"}, SL_LINEAGE_UP, 20, &g);
    SL_CHECK_EQ_INT(g.n_nodes, 41);
    SL_CHECK(g.truncated);
    tear_down(&f);
}

static int record_star(struct sl_db *db, void *arg, struct sl_err *err)
{
    int rc = 0;
    for (int i = 0; i < *(int *)arg && rc == 0; i++) {
        char to[32];
        (void)snprintf(to, sizeof(to), "leaf-%d", i);
        struct sl_lineage_edge e = {.from = RUN, .to = {SL_NODE_PARAMS, to}, .kind = SL_EDGE_USED};
        rc = sl_lineage_edge(db, &e, err);
    }
    return rc;
}

SL_TEST(core_lineage_lineage, walk__nodes_at_cap_and_one_past)
{
    struct fixture f;
    set_up(&f);
    int n = 9;
    SL_CHECK_OK(sl_db_tx(f.db, record_star, &n, &f.err), f.err);
    struct sl_graph g;
    struct sl_lineage_walk w = {.start = RUN, .nodes_max = 10};
    SL_CHECK_OK(sl_lineage_walk(f.db, &w, &f.arena, &g, &f.err), f.err);
    SL_CHECK_EQ_INT(g.n_nodes, 10);
    SL_CHECK(!g.truncated);
    w.nodes_max = 9;
    SL_CHECK_OK(sl_lineage_walk(f.db, &w, &f.arena, &g, &f.err), f.err);
    SL_CHECK_EQ_INT(g.n_nodes, 9);
    SL_CHECK(g.truncated && g.nodes[0].frontier);
    tear_down(&f);
}

static int keep_found(const struct sl_graph_node *n, void *arg)
{
    struct sl_buf *out = arg;
    sl_buf_printf(out, "%s:%s ", sl_node_kind_name(n->kind), n->id);
    return 0;
}

SL_TEST(core_lineage_lineage, find__id_name_prefix)
{
    struct fixture f;
    set_up(&f);
    record_small(&f);
    struct sl_buf out = SL_BUF_INIT(4096);
    static const struct {
        const char *text, *found;
    } cases[] = {{"run-1", "run:run-1 "},
                 {"heavy-use@v3", "model_version:sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "},
                 {"sha256:dd", "dataset_version:sha256:dddddddddddddddddddddddddddddddd "},
                 {"0123456", ""},
                 {"01234567", "step_execution:0123456789abcdef0123456789abcdef "},
                 {"sha256:", ""},
                 {"%", ""}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        sl_buf_clear(&out);
        SL_CHECK_OK(sl_lineage_find(f.db, cases[i].text, 10, keep_found, &out, &f.err), f.err);
        SL_CHECK_EQ_STR(sl_buf_str(&out), cases[i].found);
    }
    sl_buf_release(&out);
    tear_down(&f);
}

SL_TEST(core_lineage_lineage, kinds__round_trip_and_are_sorted)
{
    for (int i = 0; i < SL_NODE_COUNT; i++) {
        const char *name = sl_node_kind_name((enum sl_node_kind)i);
        SL_CHECK_EQ_INT(sl_node_kind_parse(name), i);
        SL_CHECK(i == 0 || strcmp(sl_node_kind_name((enum sl_node_kind)(i - 1)), name) < 0);
    }
    for (int i = 0; i < SL_EDGE_COUNT; i++) {
        const char *name = sl_edge_kind_name((enum sl_edge_kind)i);
        SL_CHECK_EQ_INT(sl_edge_kind_parse(name), i);
        SL_CHECK(i == 0 || strcmp(sl_edge_kind_name((enum sl_edge_kind)(i - 1)), name) < 0);
    }
    SL_CHECK_EQ_INT(sl_node_kind_parse("banana"), -1);
    SL_CHECK_EQ_INT(sl_edge_kind_parse("banana"), -1);
}

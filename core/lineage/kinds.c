/**
 * Names of node and edge kinds.
 *
 * Pure. Thread: any.
 */
#include "core/base/base.h"

#include "core/lineage/lineage.h"

#include <string.h>

#include "core/lineage/lineage_priv.h"

static const char *const nodes[] = {
#define SL_LINEAGE_NODE(id, name) [SL_NODE_##id] = (name),
#include "core/lineage/nodes.def"
#undef SL_LINEAGE_NODE
};

static const struct {
    const char *name, *text;
} edges[] = {
#define SL_LINEAGE_EDGE(id, name, text) [SL_EDGE_##id] = {name, text},
#include "core/lineage/edges.def"
#undef SL_LINEAGE_EDGE
};

_Static_assert(SL_LEN(nodes) == SL_NODE_COUNT, "every node kind has a name");
_Static_assert(SL_LEN(edges) == SL_EDGE_COUNT, "every edge kind has a name");

const char *sl_node_kind_name(enum sl_node_kind kind)
{
    SL_ASSERT((int)kind >= 0 && kind < SL_NODE_COUNT);
    return nodes[kind];
}

int sl_node_kind_parse(const char *name)
{
    for (size_t i = 0; i < SL_LEN(nodes); i++) {
        if (strcmp(nodes[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *sl_edge_kind_name(enum sl_edge_kind kind)
{
    SL_ASSERT((int)kind >= 0 && kind < SL_EDGE_COUNT);
    return edges[kind].name;
}

const char *sl_edge_kind_text(enum sl_edge_kind kind)
{
    SL_ASSERT((int)kind >= 0 && kind < SL_EDGE_COUNT);
    return edges[kind].text;
}

int sl_edge_kind_parse(const char *name)
{
    for (size_t i = 0; i < SL_LEN(edges); i++) {
        if (strcmp(edges[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

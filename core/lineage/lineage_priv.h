/**
 * Inside of the lineage room: how edges are worded.
 */
#ifndef SL_LINEAGE_PRIV_H
#define SL_LINEAGE_PRIV_H

#include "core/lineage/lineage.h"

const char *sl_edge_kind_text(enum sl_edge_kind kind);

#endif

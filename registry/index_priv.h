/** Inside of the index: what collecting hands to applying. */
#ifndef SL_REGISTRY_INDEX_PRIV_H
#define SL_REGISTRY_INDEX_PRIV_H

#include "registry/index.h"
#include "registry/registry_priv.h"

enum change_kind { CHANGE_VERSION, CHANGE_ALIAS, CHANGE_ALIAS_GONE };

struct change {
    enum change_kind what;
    struct sl_version_ref ref;
    const char *alias;
    uint64_t n_files, total_bytes;
    const char *run_id, *attempt_id; /* NULL when unknown */
    const char *facts;               /* canonical JSON of the trailers given; NULL when none */
    int64_t when_ms;
};

struct sl_registry_changes {
    struct sl_arena arena;
    char *project;
    char since[SL_COMMIT_HEX + 1]; /* what the index must show; "" with rebuild */
    char tip[SL_COMMIT_HEX + 1];
    bool rebuild; /* delete the project's rows first */
    SL_VEC(struct change) list;
};

#endif

/**
 * The arrays that fan-outs are made of: an output that is one file of JSON, read once and kept.
 *
 * Thread: any; several lanes may ask at once.
 */
#ifndef SL_RUN_FANOUT_H
#define SL_RUN_FANOUT_H

#include <pthread.h>

#include "core/blob/blob.h"
#include "pipelines/plan/plan.h"

#define SL_FANOUT_BYTES_MAX (1UL << 20) /* of the file */

struct sl_fanout_cache {
    pthread_mutex_t lock;
    SL_VEC(struct sl_fanout_entry {
        struct sl_digest digest;
        json_t *json;
    })
    entries;
};

void sl_fanout_init(struct sl_fanout_cache *c);
void sl_fanout_release(struct sl_fanout_cache *c);

/**
 * The JSON of an output.
 *
 * @param ret borrowed; lives as long as the cache
 * @return    0; -SL_EINVAL when the output is not one file, or the file is not JSON; -SL_ELIMIT when it has more than
 *            SL_FANOUT_BYTES_MAX bytes; errors of the store
 * Thread:    any. Blocks: reads the store.
 */
int sl_fanout_json(struct sl_fanout_cache *c, struct sl_blob_store *blobs,
                   const struct sl_artifact *artifact, const json_t **ret, struct sl_err *err)
    SL_MUST_CHECK;

#endif

/** Arrays of fan-outs. See fanout.h. Must not: keep more than one copy of a file. */
#include "core/base/base.h"

#include "pipelines/run/fanout.h"

#include "pipelines/run/workspace.h"

void sl_fanout_init(struct sl_fanout_cache *c)
{
    memset(c, 0, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
}

void sl_fanout_release(struct sl_fanout_cache *c)
{
    for (size_t i = 0; i < c->entries.n; i++) {
        json_decref(c->entries.items[i].json);
    }
    sl_vec_free(&c->entries);
    pthread_mutex_destroy(&c->lock);
}

static int read_file(struct sl_blob_store *blobs, const struct sl_manifest *m, json_t **ret,
                     struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_FANOUT_BYTES_MAX);
    const struct sl_manifest_entry *file = m->entries.n == 1 ? &m->entries.items[0] : NULL;
    if (file == NULL || m->n_files != 1) {
        return sl_err_set(err, SL_EINVAL, "it must be one file of JSON, found %zu entries",
                          m->entries.n);
    }
    if (file->size_bytes > SL_FANOUT_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "it has %llu bytes; at most %lu can be read",
                          (unsigned long long)file->size_bytes, SL_FANOUT_BYTES_MAX);
    }
    int rc = sl_blob_read_all(blobs, &file->sha256, SL_FANOUT_BYTES_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    *ret = sl_json_parse(file->path, sl_buf_str(&text), text.len, err);
    return *ret != NULL ? 0 : -err->code;
}

static int read_artifact(struct sl_blob_store *blobs, const struct sl_artifact *artifact,
                         json_t **ret, struct sl_err *err)
{
    _cleanup_(manifest)
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = sl_ws_manifest(blobs, &artifact->digest, &m, err);
    return rc < 0 ? rc : read_file(blobs, &m, ret, err);
}

int sl_fanout_json(struct sl_fanout_cache *c, struct sl_blob_store *blobs,
                   const struct sl_artifact *artifact, const json_t **ret, struct sl_err *err)
{
    struct sl_err own = SL_ERR_INIT; /* its code is needed whatever the caller passed */
    json_t *json = NULL;
    int rc = 0;
    pthread_mutex_lock(
        &c->lock); /* whoever else asks for the same file waits for the one that reads */
    for (size_t i = 0; i < c->entries.n && json == NULL; i++) {
        if (sl_digest_eq(&c->entries.items[i].digest, &artifact->digest)) {
            json = c->entries.items[i].json;
        }
    }
    if (json == NULL) {
        rc = read_artifact(blobs, artifact, &json, &own);
        if (rc == 0) {
            struct sl_fanout_entry entry = {.digest = artifact->digest, .json = json};
            sl_vec_push(&c->entries, entry);
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (rc < 0) {
        return sl_err_set(err, own.code, "%s", own.msg);
    }
    *ret = json;
    return 0;
}

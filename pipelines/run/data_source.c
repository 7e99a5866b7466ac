/* Facts of sources and the demand for metadata; see data_source.h. */
#include "core/base/base.h"

#include "pipelines/run/data_source.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/time.h"
#include "core/blob/blob_ref.h"
#include "core/lineage/lineage.h"

#define TRAILERS_MAX 20

/* ---- metadata ------------------------------------------------------------------------------------------ */

static int check_field(const char *name, const char *value, struct sl_err *err)
{
    size_t n = value != NULL ? strlen(value) : 0;
    if (value == NULL) {
        return 0;
    }
    if (n == 0 || n > SL_METADATA_MAX) {
        return sl_err_set(err, SL_EINVAL, "%s must have 1 to %d bytes, has %zu", name,
                          SL_METADATA_MAX, n);
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)value[i] < 0x20) {
            return sl_err_set(err, SL_EINVAL, "%s must be a single line", name);
        }
    }
    return 0;
}

static const char *field(const struct sl_metadata *m, bool has_source, const char *name)
{
    if (sl_streq(name, "owner")) {
        return m->owner;
    }
    if (sl_streq(name, "licence") || sl_streq(name, "license")) {
        return m->licence;
    }
    if (sl_streq(name, "retention")) {
        return m->retention;
    }
    if (sl_streq(name, "source")) {
        return m->source != NULL ? m->source : has_source ? "" : NULL;
    }
    return NULL;
}

int sl_metadata_check(const struct sl_metadata *m, bool has_source,
                      const struct sl_project *project, struct sl_err *err)
{
    int64_t ms = 0;
    int rc = check_field("owner", m->owner, err);
    rc = rc < 0 ? rc : check_field("source", m->source, err);
    rc = rc < 0 ? rc : check_field("licence", m->licence, err);
    rc = rc < 0 ? rc : check_field("retention", m->retention, err);
    if (rc == 0 && m->retention != NULL && !sl_streq(m->retention, "forever") &&
        !sl_duration_parse(m->retention, &ms)) {
        rc = sl_err_set(err, SL_EINVAL,
                        "retention '%.60s' is neither a duration like 90d nor "
                        "'forever'",
                        m->retention);
    }
    _cleanup_(buf)
    struct sl_buf missing = SL_BUF_INIT(400);
    for (size_t i = 0; rc == 0 && project != NULL && i < project->policies.n_dataset_metadata;
         i++) {
        const char *name = project->policies.dataset_metadata[i];
        if (field(m, has_source, name) == NULL) {
            sl_buf_printf(&missing, "%s%s", missing.len > 0 ? ", " : "", name);
        }
    }
    if (missing.len > 0) {
        return sl_err_set(err, SL_EREFUSED,
                          "the project's policy asks for %s of every dataset; say "
                          "it with options of the same name",
                          sl_buf_str(&missing));
    }
    return rc;
}

struct list {
    struct sl_trailer *items;
    size_t n;
};

static void put(struct list *l, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0' && strlen(value) <= SL_TRAILER_BYTES_MAX) {
        SL_ASSERT(l->n < TRAILERS_MAX);
        l->items[l->n++] = (struct sl_trailer){key, value};
    }
}

int sl_metadata_trailers(const struct sl_metadata *m, const json_t *record,
                         const struct sl_digest *record_digest, struct sl_arena *a,
                         struct sl_trailer **ret, size_t *ret_n, struct sl_err *err)
{
    struct list l = {SL_ARENA_ARRAY(a, struct sl_trailer, TRAILERS_MAX), 0};
    char hex[SL_DIGEST_HEX + 1];
    put(&l, "Owner", m->owner);
    put(&l, "Licence", m->licence);
    put(&l, "Retention", m->retention);
    put(&l, "Source-System", m->source);
    if (record != NULL) {
        int rc = sl_source_record_check(record, err);
        if (rc < 0) {
            return rc;
        }
        const json_t *objects = json_object_get(record, "objects");
        const json_t *only = json_array_size(objects) == 1 ? json_array_get(objects, 0) : NULL;
        const char *address = sl_json_str(record, "source", sl_json_str(record, "address", NULL));
        put(&l, "Source", address != NULL ? sl_arena_strdup(a, address) : NULL);
        put(&l, "Source-Kind", sl_json_str(record, "kind", NULL));
        put(&l, "Source-Etag", sl_json_str(only, "etag", NULL));
        put(&l, "Source-Version-Id", sl_json_str(only, "version_id", NULL));
        put(&l, "Source-Modified", sl_json_str(only, "modified", NULL));
        put(&l, "Source-Record",
            sl_arena_printf(a, "sha256:%s", sl_digest_hex(record_digest, hex)));
        put(&l, "Imported-At", sl_json_str(record, "imported_at", NULL));
        put(&l, "Tool", sl_json_str(record, "tool", NULL));
        put(&l, SL_TRAILER_REFERENCE, sl_json_bool(record, "reference", false) ? "yes" : NULL);
    }
    *ret = l.items;
    *ret_n = l.n;
    return 0;
}

/* ---- lineage ------------------------------------------------------------------------------------------- */

static const char *trailer(const struct sl_ws_commit *c, const char *key)
{
    for (size_t i = 0; i < c->n_trailers; i++) {
        if (sl_streq(c->trailers[i].key, key)) {
            return c->trailers[i].value;
        }
    }
    return NULL;
}

static int write_edge(struct sl_db *db, const struct sl_version_ref *version, const char *source,
                      const char *kind, int64_t now_ms, struct sl_err *err)
{
    char id[SL_LINEAGE_ID_MAX + 1];
    char hex[SL_DIGEST_HEX + 1];
    char digest[SL_DIGEST_HEX + 16];
    (void)snprintf(id, sizeof(id), "%.500s", source);
    (void)snprintf(digest, sizeof(digest), "sha256:%s", sl_digest_hex(&version->digest, hex));
    json_auto_t *attrs = json_pack("{s:s}", "kind", kind != NULL ? kind : "stated");
    struct sl_lineage_node node = {
        .ref = {SL_NODE_SOURCE_SYSTEM, id}, .name = id, .attrs = attrs, .ts_ms = now_ms};
    struct sl_lineage_edge edge = {.from = {SL_NODE_DATASET_VERSION, digest},
                                   .to = {SL_NODE_SOURCE_SYSTEM, id},
                                   .kind = SL_EDGE_EXTRACTED_FROM,
                                   .ts_ms = now_ms,
                                   .audit_index = -1};
    int rc = sl_lineage_node(db, &node, err);
    return rc < 0 ? rc : sl_lineage_edge(db, &edge, err);
}

int sl_ws_source_outcome(struct sl_db *db, const struct sl_ws_commit *c,
                         const struct sl_version_ref *version, const char *full_name,
                         int64_t now_ms, struct sl_err *err)
{
    int rc = 0;
    const char *source = trailer(c, "Source");
    const char *system = trailer(c, "Source-System");
    const char *record = trailer(c, "Source-Record");
    if (c->kind != SL_KIND_DATASET) {
        return 0;
    }
    if (source != NULL) {
        rc = write_edge(db, version, source, trailer(c, "Source-Kind"), now_ms, err);
    }
    if (rc == 0 && system != NULL) {
        rc = write_edge(db, version, system, NULL, now_ms, err);
    }
    struct sl_blob_ref ref = {.owner_kind = "version", .role = "source"};
    if (rc < 0 || record == NULL || !sl_digest_parse(record, &ref.digest)) {
        return rc;
    }
    char hex[SL_DIGEST_HEX + 1]; /* of the name: it may be longer than an owner's id */
    char owner[SL_DIGEST_HEX + 32];
    struct sl_digest name;
    sl_sha256(full_name, strlen(full_name), &name);
    (void)snprintf(owner, sizeof(owner), "%s@v%lld", sl_digest_hex(&name, hex),
                   (long long)version->number);
    ref.owner_id = owner;
    return sl_blob_ref_add(db, &ref, err);
}

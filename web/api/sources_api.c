/* Where datasets came from, and what the project asks of them. Thread: see api.h. */
#include "core/base/base.h"

#include "pipelines/run/data_source.h"
#include "pipelines/run/project.h"
#include "web/api/api_priv.h"

#define FACTS_MAX 65536

/** {"required": ["owner", ...]}: what every dataset must have. */
int sl_api_datasets_policy(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                           struct sl_err *err)
{
    struct sl_arena a;
    const struct sl_project *project = NULL;
    (void)args;
    sl_arena_init(&a, 0);
    int rc = sl_project_current(ctx->db, &a, &project, NULL, err);
    if (rc == 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < project->policies.n_dataset_metadata; i++) {
            json_array_append_new(list, json_string(project->policies.dataset_metadata[i]));
        }
        *ret = json_pack("{s:o}", "required", list);
    }
    sl_arena_release(&a);
    return rc;
}

json_t *sl_api_version_facts(const char *text)
{
    json_t *facts = text != NULL ? sl_json_parse("facts", text, strlen(text), NULL) : NULL;
    return facts;
}

static int read_facts(struct sl_api_ctx *ctx, const struct sl_artifact *v, json_t **ret,
                      struct sl_err *err)
{
    char project[SL_NAME_MAX + 1];
    const char *name = NULL;
    _cleanup_(free)
    char *text = NULL;
    int rc = sl_ref_split(v->name, project, &name, err);
    rc = rc < 0 ? rc
                : sl_db_get_text(ctx->db, &text, err,
                                 SL_SQL("SELECT coalesce(facts, '{}') FROM registry_version WHERE"
                                        " project = ? AND kind = 'dataset' AND name = ? AND"
                                        " number = ?"),
                                 "ssi", (const char *)project, name, v->version);
    if (rc == 0) {
        *ret = sl_json_parse("facts", text, strlen(text), err);
        rc = *ret == NULL ? -SL_ECORRUPT : 0;
    }
    return rc;
}

/** {"name", "version", "digest", "facts", "record"?}: what `data refresh` follows. */
int sl_api_datasets_source(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                           struct sl_err *err)
{
    struct sl_arena a;
    struct sl_artifact v;
    struct sl_digest digest;
    const char *ref = NULL;
    char hex[SL_DIGEST_HEX + 1];
    json_auto_t *facts = NULL;
    json_auto_t *record = NULL;
    sl_arena_init(&a, 0);
    int rc = sl_api_arg_need(args, "ref", &ref, err);
    rc = rc < 0 ? rc : sl_ws_resolve(ctx->db, SL_ENT_DATASET, ref, &a, &v, err);
    rc = rc < 0 ? rc : read_facts(ctx, &v, &facts, err);
    if (rc == 0 && sl_digest_parse(sl_json_str(facts, "Source-Record", ""), &digest)) {
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(SL_SOURCE_RECORD_MAX);
        rc = sl_blob_read_all(ctx->blobs, &digest, SL_SOURCE_RECORD_MAX, &text, err);
        record = rc < 0 ? NULL : sl_json_parse("record", sl_buf_str(&text), text.len, err);
        rc = rc == 0 && record == NULL ? -SL_ECORRUPT : rc;
    }
    if (rc == 0) {
        *ret = json_pack("{s:s, s:I, s:s, s:O, s:O*}", "name", v.name, "version",
                         (json_int_t)v.version, "digest", sl_digest_hex(&v.digest, hex), "facts",
                         facts, "record", record);
    }
    sl_arena_release(&a);
    return rc;
}

/* The record that `args.record` names, when it does. */
static int read_record(struct sl_api_ctx *ctx, const json_t *args, struct sl_digest *digest,
                       json_t **ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_SOURCE_RECORD_MAX);
    const char *hex = sl_api_arg(args, "record", NULL);
    if (hex == NULL) {
        return 0;
    }
    if (!sl_digest_parse(hex, digest)) {
        return sl_err_set(err, SL_EINVAL, "record: expected the digest of a stored record");
    }
    int rc = sl_blob_read_all(ctx->ws->blobs, digest, SL_SOURCE_RECORD_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    *ret = sl_json_parse("record", sl_buf_str(&text), text.len, err);
    return *ret == NULL ? -SL_EINVAL : sl_source_record_check(*ret, err);
}

struct project_read {
    struct sl_arena *a;
    const struct sl_project *project;
};

static int read_project(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct project_read *p = arg;
    return sl_project_current(db, p->a, &p->project, NULL, err);
}

int sl_api_commit_facts(struct sl_api_ctx *ctx, const json_t *args, struct sl_ws_commit *c,
                        struct sl_arena *a, struct sl_err *err)
{
    struct project_read p = {.a = a};
    struct sl_digest digest = {{0}};
    struct sl_trailer *trailers = NULL;
    json_auto_t *record = NULL;
    struct sl_metadata m = {.owner = sl_api_arg(args, "owner", NULL),
                            .source = sl_api_arg(args, "source", NULL),
                            .licence = sl_api_arg(args, "licence", NULL),
                            .retention = sl_api_arg(args, "retention", NULL)};
    if (c->kind != SL_KIND_DATASET) {
        return 0;
    }
    int rc = sl_ws_write(ctx->ws, read_project, &p, err);
    rc = rc < 0 ? rc : read_record(ctx, args, &digest, &record, err);
    rc = rc < 0 ? rc : sl_metadata_check(&m, record != NULL, p.project, err);
    rc = rc < 0 ? rc : sl_metadata_trailers(&m, record, &digest, a, &trailers, &c->n_trailers, err);
    if (rc == 0) {
        struct sl_trailer *own = SL_ARENA_ARRAY(a, struct sl_trailer, c->n_trailers + 1);
        for (size_t i = 0; i < c->n_trailers; i++) { /* the record goes, its texts must stay */
            own[i] = (struct sl_trailer){trailers[i].key, sl_arena_strdup(a, trailers[i].value)};
        }
        c->trailers = own;
    }
    if (rc == 0 && sl_json_bool(record, "reference", false)) {
        rc = sl_ws_reference_put(ctx->ws->fd, &c->manifest->digest, record, err);
    }
    return rc;
}

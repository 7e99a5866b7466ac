/* Versions as the engine and the command line make them: intent, git, outcome; manifests as content; and
 * resolving references through the index. Thread: lanes. Must not: be called on the loop. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/base/time.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "pipelines/run/data_source.h"
#include "pipelines/run/schemas.h"
#include "pipelines/run/workspace_priv.h"
#include "registry/index.h"

static const char *const migrations[] = {
    "CREATE TABLE version_intent(id TEXT PRIMARY KEY, record TEXT NOT NULL, created_ms INTEGER NOT "
    "NULL) "
    "STRICT;",
};
const struct sl_schema sl_version_schema = {"version", migrations, (int)SL_LEN(migrations)};

#define MANIFEST_BYTES ((size_t)1 << 31)

/* ---- kinds --------------------------------------------------------------------------------------- */

enum sl_kind sl_entity_kind(enum sl_entity entity)
{
    return entity == SL_ENT_DATASET ? SL_KIND_DATASET
           : entity == SL_ENT_MODEL ? SL_KIND_MODEL
                                    : SL_KIND_ARTIFACT;
}

enum sl_entity sl_kind_entity(enum sl_kind kind)
{
    return kind == SL_KIND_DATASET ? SL_ENT_DATASET
           : kind == SL_KIND_MODEL ? SL_ENT_MODEL
                                   : SL_ENT_ARTIFACT;
}

const char *sl_entity_name(enum sl_entity entity)
{
    return sl_kind_name(sl_entity_kind(entity));
}

int sl_entity_node(enum sl_entity entity)
{
    return entity == SL_ENT_DATASET ? SL_NODE_DATASET_VERSION
           : entity == SL_ENT_MODEL ? SL_NODE_MODEL_VERSION
                                    : SL_NODE_ARTIFACT_VERSION;
}

int sl_ref_split(const char *text, char *project, const char **ret_rest, struct sl_err *err)
{
    const char *at = strchr(text, '@');
    const char *slash = strchr(text, '/');
    if (slash == NULL || (at != NULL && at < slash)) {
        snprintf(project, SL_NAME_MAX + 1, "%s", SL_DEFAULT_PROJECT);
        *ret_rest = text;
        return 0;
    }
    size_t len = (size_t)(slash - text);
    if (len == 0 || len > SL_NAME_MAX) {
        return sl_err_set(err, SL_EINVAL, "'%.100s' is not [project/]name[@version]", text);
    }
    memcpy(project, text, len);
    project[len] = '\0';
    *ret_rest = slash + 1;
    return sl_name_check(project, err);
}

/* ---- manifests as content ------------------------------------------------------------------------ */

int sl_ws_put_manifest(struct sl_blob_store *blobs, const struct sl_manifest *m, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(MANIFEST_BYTES);
    struct sl_digest digest;
    if (sl_blob_has(blobs, &m->digest)) {
        return 0;
    }
    int rc = sl_manifest_encode(m, &text, err);
    rc = rc < 0 ? rc : sl_blob_put_bytes(blobs, sl_buf_str(&text), text.len, &digest, err);
    SL_ASSERT(rc < 0 || sl_digest_eq(&digest, &m->digest));
    return rc;
}

int sl_ws_manifest(struct sl_blob_store *blobs, const struct sl_digest *digest,
                   struct sl_manifest *ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(MANIFEST_BYTES);
    int rc = sl_blob_read_all(blobs, digest, MANIFEST_BYTES, &text, err);
    return rc < 0 ? rc : sl_manifest_decode(sl_buf_str(&text), text.len, ret, err);
}

/* ---- committing ---------------------------------------------------------------------------------- */

struct outcome {
    struct sl_workspace *ws;
    const struct sl_ws_commit *c;
    char id[SL_ID_HEX + 1];
    char project[SL_NAME_MAX + 1];
    const char *name;
    struct sl_version_ref version;
    struct sl_registry_changes *changes;
    bool created;
    int64_t now_ms;
};

static enum sl_act act_of(enum sl_kind kind)
{
    return kind == SL_KIND_DATASET ? SL_ACT_DATASET_REGISTER
           : kind == SL_KIND_MODEL ? SL_ACT_MODEL_REGISTER
                                   : SL_ACT_ARTIFACT_PUT;
}

static void full_name(const struct outcome *o, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", o->project, o->name);
}

static int append_audit(struct sl_db *db, const struct outcome *o, enum sl_audit_result result,
                        struct sl_err *err)
{
    char id[2 * SL_NAME_MAX + 40];
    char hex[SL_DIGEST_HEX + 1];
    char digest[SL_DIGEST_HEX + 16];
    int n = snprintf(id, sizeof(id), "%s/%s", o->project, o->name);
    if (o->version.number > 0) {
        snprintf(id + n, sizeof(id) - (size_t)n, "@v%lld", (long long)o->version.number);
    }
    snprintf(digest, sizeof(digest), "sha256:%s", sl_digest_hex(&o->c->manifest->digest, hex));
    struct sl_audit_obj obj = {sl_kind_name(o->c->kind), id, digest};
    bool engine = o->c->attempt_id != NULL;
    struct sl_audit_entry e = {
        .ts_ms = o->now_ms,
        .act = act_of(o->c->kind),
        .result = result,
        .actor = {engine ? "engine" : o->ws->principal, engine ? "engine" : "user",
                  engine ? "internal" : "local"},
        .objs = &obj,
        .n_objs = 1,
        .request = o->c->run_id,
    };
    return sl_audit_append(db, &e, NULL, err);
}

static json_t *trailers_json(const struct sl_ws_commit *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_trailers; i++) {
        json_array_append_new(list, json_pack("[ss]", c->trailers[i].key, c->trailers[i].value));
    }
    return list;
}

static int write_intent(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct outcome *o = arg;
    char hex[SL_DIGEST_HEX + 1];
    json_auto_t *record =
        json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:o, s:O?}", "kind", sl_kind_name(o->c->kind),
                  "ref", o->c->ref_name, "digest", sl_digest_hex(&o->c->manifest->digest, hex),
                  "message", o->c->message, "run", o->c->run_id, "attempt", o->c->attempt_id,
                  "trailers", trailers_json(o->c), "attrs", o->c->attrs);
    SL_ASSERT(record != NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    int rc = sl_db_exec(db, err, SL_SQL("INSERT INTO version_intent VALUES(?, ?, ?)"), "ssi", o->id,
                        text, o->now_ms);
    return rc < 0 ? rc : append_audit(db, o, SL_AUDIT_INTENT, err);
}

static int write_lineage(struct sl_db *db, const struct outcome *o, struct sl_err *err)
{
    char name[2 * SL_NAME_MAX + 40];
    char hex[SL_DIGEST_HEX + 1];
    char id[SL_DIGEST_HEX + 16];
    snprintf(name, sizeof(name), "%s/%s@v%lld", o->project, o->name, (long long)o->version.number);
    snprintf(id, sizeof(id), "sha256:%s", sl_digest_hex(&o->version.digest, hex));
    struct sl_lineage_node node = {
        .ref = {(enum sl_node_kind)sl_entity_node(sl_kind_entity(o->c->kind)), id},
        .name = name,
        .attrs = o->c->attrs,
        .ts_ms = o->now_ms,
    };
    return sl_lineage_node(db, &node, err);
}

static int write_outcome(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct outcome *o = arg;
    char full[2 * SL_NAME_MAX + 2];
    full_name(o, full, sizeof(full));
    int rc = sl_registry_index_apply(db, o->changes, err);
    rc = rc < 0 ? rc : write_lineage(db, o, err);
    rc = rc < 0 ? rc : sl_ws_source_outcome(db, o->c, &o->version, full, o->now_ms, err);
    rc = rc < 0
             ? rc
             : sl_db_exec(db, err, SL_SQL("DELETE FROM version_intent WHERE id = ?"), "s", o->id);
    if (rc < 0 || !o->created) {
        return rc;
    }
    rc = append_audit(db, o, SL_AUDIT_OK, err);
    if (rc < 0) {
        return rc;
    }
    char subject[2 * SL_NAME_MAX + 60];
    snprintf(subject, sizeof(subject), "%s/%s/%s@v%lld", sl_kind_name(o->c->kind), o->project,
             o->name, (long long)o->version.number);
    struct sl_event ev = {.ts_ms = o->now_ms,
                          .type = SL_EVENT_REGISTRY_VERSION,
                          .run_id = o->c->run_id,
                          .subject = subject};
    return sl_bus_append(db, &ev, NULL, NULL, err);
}

struct cursor_arg {
    const char *project;
    char *out;
};

static int read_cursor(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct cursor_arg *c = arg;
    return sl_registry_index_cursor(db, c->project, c->out, err);
}

/** Collects what the index lacks. With the registry borrowed. */
static int collect(struct sl_workspace *ws, struct sl_registry *reg,
                   struct sl_registry_changes **ret, struct sl_err *err)
{
    char since[SL_COMMIT_HEX + 1] = "";
    struct cursor_arg c = {sl_registry_project(reg), since};
    int rc = sl_ws_write(ws, read_cursor, &c, err);
    return rc < 0 ? rc : sl_registry_index_collect(reg, since, ret, err);
}

static int commit_in_git(struct outcome *o, struct sl_registry *reg, struct sl_err *err)
{
    struct sl_version_spec spec = {
        .kind = o->c->kind,
        .name = o->name,
        .manifest = o->c->manifest,
        .message = o->c->message,
        .trailers = o->c->trailers,
        .n_trailers = o->c->n_trailers,
        .author = {o->ws->actor, NULL},
        .when_ms = o->now_ms,
        .attempt_id = o->c->attempt_id,
    };
    return sl_registry_commit(reg, &spec, &o->version, &o->created, err);
}

/** True when the entity has this content as a version already. With the registry borrowed. */
static bool already_there(struct outcome *o, struct sl_registry *reg)
{
    char hex[SL_DIGEST_HEX + 1];
    char ref[SL_NAME_MAX + SL_DIGEST_HEX + 16];
    snprintf(ref, sizeof(ref), "%s@sha256:%s", o->name,
             sl_digest_hex(&o->c->manifest->digest, hex));
    return sl_registry_resolve(reg, o->c->kind, ref, &o->version, NULL) == 0;
}

static int commit_and_index(struct outcome *o, struct sl_err *err)
{
    struct sl_registry *reg = NULL;
    int rc = sl_ws_registry(o->ws, o->project, &reg, err);
    if (rc < 0) {
        return rc;
    }
    if (already_there(o, reg)) {
        rc = collect(o->ws, reg, &o->changes, err);
    } else {
        rc = sl_ws_write(o->ws, write_intent, o, err);
        rc = rc < 0 ? rc : commit_in_git(o, reg, err);
        rc = rc < 0 ? rc : collect(o->ws, reg, &o->changes, err);
    }
    rc = rc < 0 ? rc : sl_ws_write(o->ws, write_outcome, o, err);
    sl_ws_registry_done(o->ws);
    sl_registry_changes_free(o->changes);
    return rc;
}

int sl_ws_commit_version(struct sl_workspace *ws, const struct sl_ws_commit *c,
                         struct sl_version_ref *ret, bool *ret_created, char *ret_full_name,
                         struct sl_err *err)
{
    struct outcome o = {.ws = ws, .c = c, .now_ms = sl_now_ms()};
    sl_id_new(NULL, o.id);
    int rc = sl_ref_split(c->ref_name, o.project, &o.name, err);
    rc = rc < 0 ? rc : sl_name_check(o.name, err);
    rc = rc < 0 ? rc : sl_ws_put_manifest(ws->blobs, c->manifest, err);
    rc = rc < 0 ? rc : commit_and_index(&o, err);
    if (rc < 0) {
        return rc;
    }
    *ret = o.version;
    if (ret_created != NULL) {
        *ret_created = o.created;
    }
    if (ret_full_name != NULL) {
        full_name(&o, ret_full_name, 2 * SL_NAME_MAX + 2);
    }
    return 0;
}

static int apply_changes(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_registry_index_apply(db, arg, err);
}

int sl_ws_index(struct sl_workspace *ws, const char *project, struct sl_err *err)
{
    struct sl_registry *reg = NULL;
    struct sl_registry_changes *changes = NULL;
    int rc = sl_ws_registry(ws, project, &reg, err);
    if (rc < 0) {
        return rc;
    }
    rc = collect(ws, reg, &changes, err);
    rc = rc < 0 ? rc : sl_ws_write(ws, apply_changes, changes, err);
    sl_ws_registry_done(ws);
    sl_registry_changes_free(changes);
    return rc;
}

/* ---- replay -------------------------------------------------------------------------------------- */

static int load_intents(struct sl_db *db, void *arg, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    json_t *list = arg;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id, record FROM version_intent ORDER BY created_ms"), "");
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_array_append_new(list,
                              json_pack("[ss]", sl_rows_str(&rows, 0), sl_rows_str(&rows, 1)));
        rc = 0;
    }
    return rc;
}

static int drop_intent(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_db_exec(db, err, SL_SQL("DELETE FROM version_intent WHERE id = ?"), "s",
                      (const char *)arg);
}

static int replay(struct sl_workspace *ws, const char *id, const json_t *record, struct sl_err *err)
{
    _cleanup_(manifest)
    struct sl_manifest m;
    struct sl_digest digest;
    struct sl_version_ref version;
    enum sl_kind kind;
    sl_manifest_init(&m);
    if (!sl_digest_parse(sl_json_str(record, "digest", ""), &digest) ||
        !sl_kind_parse(sl_json_str(record, "kind", ""), &kind)) {
        return sl_err_set(err, SL_ECORRUPT, "a recorded version intent is malformed");
    }
    const json_t *list = json_object_get(record, "trailers");
    size_t n = SL_MIN(json_array_size(list), (size_t)SL_TRAILERS_MAX);
    _cleanup_(free)
    struct sl_trailer *trailers = sl_calloc(n + 1, sizeof(*trailers));
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i);
        trailers[i].key = json_string_value(json_array_get(pair, 0));
        trailers[i].value = json_string_value(json_array_get(pair, 1));
    }
    int rc = sl_ws_manifest(ws->blobs, &digest, &m, err);
    struct sl_ws_commit c = {.kind = kind,
                             .ref_name = sl_json_str(record, "ref", ""),
                             .manifest = &m,
                             .message = sl_json_str(record, "message", NULL),
                             .trailers = trailers,
                             .n_trailers = n,
                             .run_id = sl_json_str(record, "run", NULL),
                             .attempt_id = sl_json_str(record, "attempt", NULL),
                             .attrs = json_object_get(record, "attrs")};
    rc = rc < 0 ? rc : sl_ws_commit_version(ws, &c, &version, NULL, NULL, err);
    _cleanup_(free)
    char *own_id = sl_strdup(id);
    return rc < 0 ? rc : sl_ws_write(ws, drop_intent, own_id, err);
}

int sl_ws_replay_intents(struct sl_workspace *ws, struct sl_err *err)
{
    json_auto_t *list = json_array();
    int rc = sl_ws_write(ws, load_intents, list, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);
        const char *text = json_string_value(json_array_get(pair, 1));
        json_auto_t *record = sl_json_parse("version intent", text, strlen(text), err);
        rc = record == NULL ? -SL_ECORRUPT
                            : replay(ws, json_string_value(json_array_get(pair, 0)), record, err);
    }
    return rc;
}

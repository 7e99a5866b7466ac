/**
 * The project in force: see project.h. Texts are kept as they were applied and loaded again when read, so
 * that the language has one reader.
 *
 * Thread: that of the connection.
 */
#include "core/base/base.h"

#include "pipelines/run/project.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/lineage/lineage.h"
#include "pipelines/steps/actor.h"

static const char *const migrations[] = {
    "CREATE TABLE project_config("
    "  generation INTEGER PRIMARY KEY,"
    "  digest TEXT NOT NULL,"
    "  file TEXT NOT NULL,"
    "  text TEXT NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  applied_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TRIGGER project_config_is_final BEFORE UPDATE ON project_config"
    "  BEGIN SELECT RAISE(ABORT, 'an applied project is never changed'); END;"
    "CREATE TRIGGER project_config_is_kept BEFORE DELETE ON project_config"
    "  BEGIN SELECT RAISE(ABORT, 'an applied project is never removed'); END;",
};

const struct sl_schema sl_project_schema = {
    .room = "project", .migrations = migrations, .n = SL_LEN(migrations)};

static const struct sl_project no_project = {.name = ""};

/* ---- reading -------------------------------------------------------------------------------------- */

static int load_info(struct sl_db *db, struct sl_arena *a, struct sl_project_info *ret,
                     struct sl_err *err)
{
    struct sl_project_info info = {.file = "", .text = "", .applied_by = ""};
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT generation, digest, file, text, actor, applied_ms FROM"
                                " project_config ORDER BY generation DESC LIMIT 1"),
                         "");
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc < 0) {
        return rc;
    }
    if (rc > 0) {
        info.generation = sl_rows_i64(&rows, 0);
        (void)sl_digest_parse(sl_rows_str(&rows, 1), &info.digest);
        info.file = sl_arena_strdup(a, sl_rows_str(&rows, 2));
        info.text = sl_arena_strdup(a, sl_rows_str(&rows, 3));
        info.applied_by = sl_arena_strdup(a, sl_rows_str(&rows, 4));
        info.applied_ms = sl_rows_i64(&rows, 5);
    }
    *ret = info;
    return 0;
}

/** The first problem is the error; `sluice lint` shows all of them. */
static int load(const char *file, struct sl_str text, struct sl_arena *a,
                const struct sl_project **ret, struct sl_err *err)
{
    struct sl_diags diags;
    const struct sl_spec_source source = {.file = file, .text = text};
    const struct sl_diag *first = NULL;
    sl_diags_init(&diags, a);
    int rc = sl_project_load(&source, a, &diags, ret);
    for (size_t i = 0; rc < 0 && first == NULL && i < diags.list.n; i++) {
        first = diags.list.items[i].severity == SL_SEV_ERROR ? &diags.list.items[i] : NULL;
    }
    if (first != NULL) {
        rc = sl_err_set(err, SL_EINVAL, "%s:%d:%d: %s", file, first->loc.line, first->loc.column,
                        first->message);
    } else if (rc < 0) {
        rc = sl_err_set(err, SL_EINVAL, "%s has errors", file);
    }
    sl_diags_release(&diags);
    return rc;
}

int sl_project_current(struct sl_db *db, struct sl_arena *a, const struct sl_project **ret,
                       struct sl_project_info *ret_info, struct sl_err *err)
{
    struct sl_project_info info;
    const struct sl_project *project = &no_project;
    int rc = load_info(db, a, &info, err);
    if (rc == 0 && info.generation > 0 &&
        load(info.file, sl_str_c(info.text), a, &project, err) < 0) {
        rc = sl_err_set(err, SL_ECORRUPT,
                        "the applied project (generation %lld) no longer loads; apply it again",
                        (long long)info.generation);
    }
    if (rc < 0) {
        return rc;
    }
    *ret = project;
    if (ret_info != NULL) {
        *ret_info = info;
    }
    return 0;
}

/* ---- applying ------------------------------------------------------------------------------------- */

static int record(struct sl_db *db, const struct sl_project_apply *p, const char *name,
                  const char *digest, struct sl_err *err)
{
    struct sl_actor_id actor;
    int64_t index = -1;
    int rc = sl_actor_id(db, p->actor, &actor, err);
    rc = rc < 0
             ? rc
             : sl_db_exec(db, err,
                          SL_SQL("INSERT INTO project_config(digest, file, text, actor,"
                                 " applied_ms) VALUES (?,?,?,?,?)"),
                          "ssssi", digest, p->file, p->text.ptr, (const char *)actor.id, p->now_ms);
    if (rc < 0) {
        return rc;
    }
    const struct sl_audit_obj obj = {.kind = "project", .id = name, .digest = digest};
    const struct sl_audit_entry entry = {.ts_ms = p->now_ms,
                                         .act = SL_ACT_PROJECT_APPLY,
                                         .actor = sl_actor_of(&actor),
                                         .objs = &obj,
                                         .n_objs = 1,
                                         .policy = digest};
    rc = sl_audit_append(db, &entry, &index, err);
    const struct sl_lineage_node node = {
        .ref = {SL_NODE_POLICY_VERSION, digest}, .name = name, .ts_ms = p->now_ms};
    rc = rc < 0 ? rc : sl_lineage_node(db, &node, err);
    const struct sl_lineage_edge edge = {.from = node.ref,
                                         .to = {SL_NODE_PRINCIPAL, actor.id},
                                         .kind = SL_EDGE_TRIGGERED_BY,
                                         .role = "applied",
                                         .ts_ms = p->now_ms,
                                         .audit_index = index};
    return rc < 0 ? rc : sl_lineage_edge(db, &edge, err);
}

static int apply(struct sl_db *db, const struct sl_project_apply *p, struct sl_arena *a,
                 bool *ret_changed, struct sl_err *err)
{
    const struct sl_project *project = NULL;
    struct sl_project_info now;
    struct sl_digest digest;
    char hex[SL_DIGEST_HEX + 1];
    int rc = load(p->file, p->text, a, &project, err);
    rc = rc < 0 ? rc : load_info(db, a, &now, err);
    if (rc < 0) {
        return rc;
    }
    sl_sha256(p->text.ptr, p->text.len, &digest);
    bool changed = now.generation == 0 || !sl_digest_eq(&digest, &now.digest);
    if (changed) {
        const char *id = sl_arena_printf(a, "sha256:%s", sl_digest_hex(&digest, hex));
        rc = record(db, p, project->name != NULL ? project->name : "project", id, err);
    }
    if (rc == 0) {
        *ret_changed = changed;
    }
    return rc;
}

int sl_project_apply(struct sl_db *db, const struct sl_project_apply *p, bool *ret_changed,
                     struct sl_err *err)
{
    struct sl_arena a;
    SL_ASSERT(sl_db_in_tx(db));
    SL_ASSERT(p->file != NULL && p->actor != NULL);
    if (p->text.len > SL_PROJECT_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%.200s is larger than %zu bytes", p->file,
                          SL_PROJECT_BYTES_MAX);
    }
    if (memchr(p->text.ptr != NULL ? p->text.ptr : "", '\0', p->text.len) != NULL) {
        return sl_err_set(err, SL_EINVAL, "%.200s: a project file is text", p->file);
    }
    sl_arena_init(&a, 0);
    int rc = apply(db, p, &a, ret_changed, err);
    sl_arena_release(&a);
    return rc;
}

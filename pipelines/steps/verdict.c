/**
 * The verdict store: rows, their audit entry, lineage and event in one transaction.
 *
 * Thread: that of the connection. Must not: judge, or change a stored verdict.
 */
#include "core/base/base.h"

#include "pipelines/steps/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "pipelines/steps/actor.h"

static const char *const migrations[] = {
    "CREATE TABLE verdict("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  run_id TEXT,"
    "  step_key TEXT,"
    "  candidate_entity TEXT NOT NULL,"
    "  candidate_number INTEGER NOT NULL,"
    "  candidate_digest TEXT NOT NULL,"
    "  champion_entity TEXT,"
    "  champion_alias TEXT,"
    "  champion_digest TEXT,"
    "  dataset_name TEXT,"
    "  dataset_digest TEXT,"
    "  rules_digest TEXT NOT NULL,"
    "  result TEXT NOT NULL CHECK (result IN ('pass', 'refuse', 'override')),"
    "  detail TEXT,"
    "  override_reason TEXT,"
    "  override_by TEXT,"
    "  overrides TEXT,"
    "  actor TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  CHECK ((result = 'override') = (override_reason IS NOT NULL)),"
    "  CHECK ((result = 'override') = (override_by IS NOT NULL))"
    ") STRICT;"
    "CREATE INDEX verdict_candidate ON verdict(candidate_entity, candidate_digest, seq);"
    "CREATE INDEX verdict_run ON verdict(run_id, seq);"
    "CREATE TRIGGER verdict_is_final BEFORE UPDATE ON verdict"
    "  BEGIN SELECT RAISE(ABORT, 'a verdict is never changed'); END;"
    "CREATE TRIGGER verdict_is_kept BEFORE DELETE ON verdict"
    "  BEGIN SELECT RAISE(ABORT, 'a verdict is never removed'); END;"
    "CREATE TABLE protected_alias("
    "  entity TEXT NOT NULL," /* '' for every entity */
    "  alias TEXT NOT NULL,"
    "  is_protected INTEGER NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  changed_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (entity, alias)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO protected_alias VALUES ('', 'champion', 1, 'engine', 0);"
    "CREATE TABLE promotion("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  entity TEXT NOT NULL,"
    "  alias TEXT NOT NULL,"
    "  from_number INTEGER NOT NULL," /* 0: the alias did not exist */
    "  from_digest TEXT,"
    "  to_number INTEGER NOT NULL," /* 0: the alias is deleted */
    "  to_digest TEXT,"
    "  authority TEXT NOT NULL,"
    "  verdict_id TEXT,"
    "  run_id TEXT,"
    "  deployment_id TEXT,"
    "  actor TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('intent', 'done', 'failed')),"
    "  reason TEXT,"
    "  created_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER"
    ") STRICT;"
    "CREATE INDEX promotion_open ON promotion(seq) WHERE state = 'intent';"
    "CREATE INDEX promotion_alias ON promotion(entity, alias, to_digest);",
};

const struct sl_schema sl_steps_schema = {
    .room = "steps", .migrations = migrations, .n = SL_LEN(migrations)};

static const char *const result_names[] = {"pass", "refuse", "override"};

const char *sl_verdict_result_name(enum sl_verdict_result result)
{
    return result_names[result];
}

static enum sl_verdict_result result_parse(const char *name)
{
    for (size_t i = 0; i < SL_LEN(result_names); i++) {
        if (sl_streq(name, result_names[i])) {
            return (enum sl_verdict_result)i;
        }
    }
    return SL_VERDICT_REFUSE;
}

#define DIGEST_TEXT (7 + SL_DIGEST_HEX + 1)

/** "sha256:<hex>", as rows and lineage name content; NULL for a digest that is not there. */
static const char *digest_text(const struct sl_digest *d, char out[DIGEST_TEXT])
{
    char hex[SL_DIGEST_HEX + 1];
    if (sl_digest_is_zero(d)) {
        return NULL;
    }
    (void)snprintf(out, DIGEST_TEXT, "sha256:%s", sl_digest_hex(d, hex));
    return out;
}

/* ---- facts beside the row ----------------------------------------------------------------------- */

/** One storing in progress: the row's texts. */
struct storing {
    const struct sl_verdict *v;
    struct sl_actor_id actor, override_by;
    char candidate[DIGEST_TEXT], champion[DIGEST_TEXT], dataset[DIGEST_TEXT], rules[DIGEST_TEXT];
    const char *champion_digest, *dataset_digest; /* NULL when not there */
    int64_t audit_index;
};

static int add_audit(struct sl_db *db, struct storing *s, struct sl_err *err)
{
    static const enum sl_act acts[] = {SL_ACT_GATE_PASS, SL_ACT_GATE_REFUSE, SL_ACT_GATE_OVERRIDE};
    const struct sl_verdict *v = s->v;
    struct sl_audit_obj objs[4];
    int n = 0;
    objs[n++] = (struct sl_audit_obj){.kind = "verdict", .id = v->id};
    objs[n++] = (struct sl_audit_obj){
        .kind = "model_version", .id = v->candidate_entity, .digest = s->candidate};
    if (s->champion_digest != NULL) {
        objs[n++] = (struct sl_audit_obj){
            .kind = "model_version", .id = v->champion_entity, .digest = s->champion_digest};
    }
    if (s->dataset_digest != NULL) {
        objs[n++] = (struct sl_audit_obj){
            .kind = "dataset_version", .id = v->dataset_name, .digest = s->dataset_digest};
    }
    const struct sl_audit_entry entry = {
        .ts_ms = v->created_ms,
        .act = acts[v->result],
        .result = v->result == SL_VERDICT_REFUSE ? SL_AUDIT_DENIED : SL_AUDIT_OK,
        .actor = sl_actor_of(v->result == SL_VERDICT_OVERRIDE ? &s->override_by : &s->actor),
        .objs = objs,
        .n_objs = n,
        .policy = s->rules,
        .request = v->run_id,
        .reason = v->override_reason,
    };
    return sl_audit_append(db, &entry, &s->audit_index, err);
}

static int add_edge(struct sl_db *db, const struct storing *s, struct sl_lineage_edge edge,
                    struct sl_err *err)
{
    edge.run_id = s->v->run_id;
    edge.ts_ms = s->v->created_ms;
    edge.audit_index = s->audit_index;
    return sl_lineage_edge(db, &edge, err);
}

static int add_nodes(struct sl_db *db, const struct storing *s, struct sl_err *err)
{
    const struct sl_verdict *v = s->v;
    char name[400];
    json_auto_t *attrs = json_object();
    sl_json_set_str(attrs, "result", sl_verdict_result_name(v->result));
    sl_json_set_str(attrs, "step", v->step_key);
    sl_json_set_str(attrs, "rules", s->rules);
    sl_json_set_str(attrs, "summary", sl_json_str(v->detail, "summary", NULL));
    (void)snprintf(name, sizeof(name), "verdict %s on %s@v%lld", sl_verdict_result_name(v->result),
                   v->candidate_entity, (long long)v->candidate_number);
    const struct sl_lineage_node verdict = {
        .ref = {SL_NODE_VERDICT, v->id}, .name = name, .attrs = attrs, .ts_ms = v->created_ms};
    int rc = sl_lineage_node(db, &verdict, err);
    (void)snprintf(name, sizeof(name), "%s@v%lld", v->candidate_entity,
                   (long long)v->candidate_number);
    const struct sl_lineage_node candidate = {
        .ref = {SL_NODE_MODEL_VERSION, s->candidate}, .name = name, .ts_ms = v->created_ms};
    return rc < 0 ? rc : sl_lineage_node(db, &candidate, err);
}

static int add_lineage(struct sl_db *db, const struct storing *s, struct sl_err *err)
{
    const struct sl_verdict *v = s->v;
    const struct sl_lineage_ref candidate = {SL_NODE_MODEL_VERSION, s->candidate};
    const struct sl_lineage_ref verdict = {SL_NODE_VERDICT, v->id};
    int rc = add_nodes(db, s, err);
    if (rc == 0) {
        rc = add_edge(
            db, s,
            (struct sl_lineage_edge){.from = candidate, .to = verdict, .kind = SL_EDGE_GOVERNED_BY},
            err);
    }
    if (rc == 0 && s->dataset_digest != NULL) {
        const struct sl_lineage_ref dataset = {SL_NODE_DATASET_VERSION, s->dataset_digest};
        rc = add_edge(db, s,
                      (struct sl_lineage_edge){
                          .from = candidate, .to = dataset, .kind = SL_EDGE_EVALUATED_ON},
                      err);
    }
    if (rc == 0 && s->champion_digest != NULL && !sl_streq(s->champion_digest, s->candidate)) {
        const struct sl_lineage_ref champion = {SL_NODE_MODEL_VERSION, s->champion_digest};
        rc =
            add_edge(db, s,
                     (struct sl_lineage_edge){
                         .from = verdict, .to = champion, .kind = SL_EDGE_USED, .role = "champion"},
                     err);
    }
    if (rc == 0 && v->result == SL_VERDICT_OVERRIDE) {
        const struct sl_lineage_ref person = {SL_NODE_PRINCIPAL, s->override_by.id};
        rc = add_edge(
            db, s,
            (struct sl_lineage_edge){
                .from = verdict, .to = person, .kind = SL_EDGE_APPROVED_BY, .role = "override"},
            err);
    }
    return rc;
}

static int add_event(struct sl_db *db, const struct storing *s, struct sl_err *err)
{
    const struct sl_verdict *v = s->v;
    json_auto_t *payload = json_object();
    sl_json_set_str(payload, "verdict", v->id);
    sl_json_set_str(payload, "result", sl_verdict_result_name(v->result));
    sl_json_set_str(payload, "candidate", s->candidate);
    sl_json_set_str(payload, "summary", sl_json_str(v->detail, "summary", NULL));
    const struct sl_event event = {.ts_ms = v->created_ms,
                                   .type = SL_EVENT_GATE_VERDICT,
                                   .run_id = v->run_id,
                                   .subject = v->step_key};
    return sl_bus_append(db, &event, payload, NULL, err);
}

/* ---- storing ------------------------------------------------------------------------------------ */

static int check_verdict(const struct sl_verdict *v, struct sl_err *err)
{
    SL_ASSERT(v->candidate_entity != NULL);
    SL_ASSERT(!sl_digest_is_zero(&v->candidate_digest));
    if (!sl_id_valid(v->id)) {
        return sl_err_set(err, SL_EINVAL, "verdict id '%s' is not 32 hex digits", v->id);
    }
    if (v->result != SL_VERDICT_OVERRIDE) {
        return 0;
    }
    if (v->override_reason == NULL || v->override_reason[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "an override needs a reason");
    }
    if (strlen(v->override_reason) > SL_VERDICT_REASON_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the reason is longer than %d bytes",
                          SL_VERDICT_REASON_MAX);
    }
    if (v->override_by == NULL || v->override_by[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "an override needs the name of who gives it");
    }
    return 0;
}

static int insert_row(struct sl_db *db, const struct storing *s, bool *ret_new, struct sl_err *err)
{
    const struct sl_verdict *v = s->v;
    _cleanup_(free)
    char *detail = v->detail != NULL ? sl_json_canonical(v->detail) : NULL;
    if (detail != NULL && strlen(detail) > SL_VERDICT_DETAIL_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the verdict's detail is larger than %u bytes",
                          SL_VERDICT_DETAIL_MAX);
    }
    int rc = sl_db_exec(
        db, err,
        SL_SQL("INSERT INTO verdict(id, run_id, step_key, candidate_entity, candidate_number,"
               " candidate_digest, champion_entity, champion_alias, champion_digest, dataset_name,"
               " dataset_digest, rules_digest, result, detail, override_reason, override_by,"
               " overrides, actor, created_ms)"
               " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING"),
        "ssssisssssssssssssi", v->id, v->run_id, v->step_key, v->candidate_entity,
        v->candidate_number, s->candidate, v->champion_entity, v->champion_alias,
        s->champion_digest, v->dataset_name, s->dataset_digest, s->rules,
        sl_verdict_result_name(v->result), detail, v->override_reason,
        v->result == SL_VERDICT_OVERRIDE ? s->override_by.id : NULL, v->overrides, s->actor.id,
        v->created_ms);
    if (rc == 0) {
        *ret_new = sl_db_changes(db) > 0;
    }
    return rc;
}

int sl_verdict_record(struct sl_db *db, const struct sl_verdict *v, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    struct storing s = {.v = v};
    int rc = check_verdict(v, err);
    if (rc == 0) {
        rc = sl_actor_id(db, v->actor, &s.actor, err);
    }
    if (rc == 0 && v->result == SL_VERDICT_OVERRIDE) {
        rc = sl_actor_id(db, v->override_by, &s.override_by, err);
    }
    if (rc < 0) {
        return rc;
    }
    (void)digest_text(&v->candidate_digest, s.candidate);
    s.champion_digest = v->has_champion ? digest_text(&v->champion_digest, s.champion) : NULL;
    s.dataset_digest = digest_text(&v->dataset_digest, s.dataset);
    if (digest_text(&v->rules_digest, s.rules) == NULL) {
        (void)snprintf(s.rules, sizeof(s.rules), "none");
    }
    bool is_new = false;
    rc = insert_row(db, &s, &is_new, err);
    if (rc < 0 || !is_new) {
        return rc;
    }
    rc = add_audit(db, &s, err);
    if (rc == 0) {
        rc = add_lineage(db, &s, err);
    }
    return rc < 0 ? rc : add_event(db, &s, err);
}

int sl_verdict_override(struct sl_db *db, const struct sl_override *o, char ret_id[SL_ID_HEX + 1],
                        struct sl_err *err)
{
    char digest[DIGEST_TEXT];
    char id[SL_ID_HEX + 1];
    char *overrides = NULL;
    (void)digest_text(&o->digest, digest);
    int rc = sl_db_get_text(db, &overrides, err,
                            SL_SQL("SELECT id FROM verdict WHERE candidate_entity = ? AND"
                                   " candidate_digest = ? ORDER BY seq DESC LIMIT 1"),
                            "ss", o->entity, (const char *)digest);
    if (rc < 0 && rc != -SL_ENOTFOUND) {
        return rc;
    }
    const struct sl_verdict v = {
        .candidate_entity = o->entity,
        .candidate_number = o->number,
        .candidate_digest = o->digest,
        .run_id = o->run_id,
        .result = SL_VERDICT_OVERRIDE,
        .override_reason = o->reason,
        .override_by = o->actor,
        .overrides = overrides,
        .actor = o->actor,
        .created_ms = o->now_ms,
    };
    struct sl_verdict stored = v;
    (void)snprintf(stored.id, sizeof(stored.id), "%s", sl_id_new(o->env, id));
    rc = sl_verdict_record(db, &stored, err);
    free(overrides);
    if (rc == 0) {
        (void)memcpy(ret_id, stored.id, sizeof(stored.id));
    }
    return rc;
}

/* ---- asking ------------------------------------------------------------------------------------- */

static void fill_found(struct sl_rows *rows, struct sl_verdict_found *f)
{
    *f = (struct sl_verdict_found){.result = result_parse(sl_rows_str(rows, 1)),
                                   .has_champion = !sl_rows_is_null(rows, 4),
                                   .created_ms = sl_rows_i64(rows, 5)};
    (void)snprintf(f->id, sizeof(f->id), "%s", sl_rows_str(rows, 0));
    (void)snprintf(f->champion_entity, sizeof(f->champion_entity), "%s", sl_rows_str(rows, 2));
    (void)snprintf(f->champion_alias, sizeof(f->champion_alias), "%s", sl_rows_str(rows, 3));
    (void)sl_digest_parse(sl_rows_str(rows, 4), &f->champion_digest);
}

int sl_verdict_permit(struct sl_db *db, const char *entity, const struct sl_digest *candidate,
                      struct sl_verdict_found *ret, struct sl_err *err)
{
    char digest[DIGEST_TEXT];
    (void)digest_text(candidate, digest);
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id, result, champion_entity, champion_alias,"
                                " champion_digest, created_ms, detail FROM verdict"
                                " WHERE candidate_entity = ? AND candidate_digest = ?"
                                " ORDER BY seq DESC LIMIT 1"),
                         "ss", entity, (const char *)digest);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        return sl_err_set(err, SL_EREFUSED,
                          "no gate has judged %s (%.19s...); run it through a gate, or override "
                          "with a reason",
                          entity, digest);
    }
    struct sl_verdict_found found;
    fill_found(&rows, &found);
    if (found.result == SL_VERDICT_REFUSE) {
        const char *text = sl_rows_str(&rows, 6);
        json_auto_t *detail = sl_json_parse("detail", text, strlen(text), NULL);
        return sl_err_set(err, SL_EREFUSED, "the gate's latest verdict on %s (%.19s...) is: %s",
                          entity, digest, sl_json_str(detail, "summary", "refused"));
    }
    *ret = found;
    return 0;
}

/** Columns of sl_verdict_get and sl_verdict_list, in this order. */
static const char *const columns[] = {"id",
                                      "run_id",
                                      "step",
                                      "candidate",
                                      "candidate_number",
                                      "candidate_digest",
                                      "champion",
                                      "champion_alias",
                                      "champion_digest",
                                      "dataset",
                                      "dataset_digest",
                                      "rules_digest",
                                      "result",
                                      "override_reason",
                                      "override_by",
                                      "overrides",
                                      "actor"};

static json_t *row_json(struct sl_rows *rows)
{
    json_t *o = json_object();
    char time[SL_TIME_TEXT];
    for (int i = 0; i < (int)SL_LEN(columns); i++) {
        if (sl_streq(columns[i], "candidate_number")) {
            sl_json_set_i64(o, columns[i], sl_rows_i64(rows, i));
        } else {
            sl_json_set_str(o, columns[i], sl_rows_text(rows, i));
        }
    }
    sl_json_set_str(o, "created_at", sl_time_format(sl_rows_i64(rows, 17), time));
    const char *text = sl_rows_text(rows, 18);
    json_t *detail = text != NULL ? sl_json_parse("detail", text, strlen(text), NULL) : NULL;
    if (detail != NULL) {
        json_object_set_new(o, "detail", detail);
    }
    return o;
}

#define SELECT_COLUMNS                                                                             \
    "SELECT id, run_id, step_key, candidate_entity, candidate_number, candidate_digest,"           \
    " champion_entity, champion_alias, champion_digest, dataset_name, dataset_digest,"             \
    " rules_digest, result, override_reason, override_by, overrides, actor, created_ms, detail"    \
    " FROM verdict "

int sl_verdict_get(struct sl_db *db, const char *id, json_t **ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err, SL_SQL(SELECT_COLUMNS "WHERE id = ?"), "s", id);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "there is no verdict '%s'", id);
    }
    if (rc < 0) {
        return rc;
    }
    *ret = row_json(&rows);
    return 0;
}

int sl_verdict_list(struct sl_db *db, const char *run_id, json_t **ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    json_auto_t *list = json_array();
    int rc = sl_db_query(db, &rows, err, SL_SQL(SELECT_COLUMNS "WHERE run_id = ? ORDER BY seq"),
                         "s", run_id);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_array_append_new(list, row_json(&rows));
        rc = 0;
    }
    if (rc == 0) {
        *ret = sl_take(list);
    }
    return rc;
}

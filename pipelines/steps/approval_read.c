/**
 * Requests for approval and their votes, read.
 *
 * Thread: that of the connection. Must not: write.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/steps/approval_priv.h"

static enum sl_approval_state state_parse(const char *name)
{
    for (int i = 0; i < SL_APPROVAL_STATES; i++) {
        if (sl_streq(sl_approval_states[i], name)) {
            return (enum sl_approval_state)i;
        }
    }
    return SL_APPROVAL_VOID;
}

static const char *name_of(struct sl_db *db, const char *id, struct sl_arena *a)
{
    _cleanup_(free)
    char *name = NULL;
    return sl_audit_principal_name(db, id, &name, NULL) == 0 ? sl_arena_strdup(a, name)
                                                             : sl_arena_strdup(a, id);
}

static int load_votes(struct sl_db *db, struct sl_arena *a, struct sl_approval_row *row,
                      struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int64_t n = 0;
    int rc =
        sl_db_get_i64(db, &n, err, SL_SQL("SELECT count(*) FROM approval_vote WHERE request = ?"),
                      "s", (const char *)row->id);
    if (rc < 0) {
        return rc;
    }
    row->ballots = SL_ARENA_ARRAY(a, struct sl_approval_ballot, n + 1);
    row->principals = SL_ARENA_ARRAY(a, const char *, n + 1);
    row->auths = SL_ARENA_ARRAY(a, const char *, n + 1);
    row->reasons = SL_ARENA_ARRAY(a, const char *, n + 1);
    row->times_ms = SL_ARENA_ARRAY(a, int64_t, n + 1);
    row->n_ballots = 0;
    rc = sl_db_query(db, &rows, err,
                     SL_SQL("SELECT principal, auth, approve, reason, ts_ms FROM approval_vote"
                            " WHERE request = ? ORDER BY ts_ms, principal"),
                     "s", (const char *)row->id);
    while (rc == 0 && row->n_ballots < (size_t)n && (rc = sl_rows_next(&rows, err)) > 0) {
        size_t i = row->n_ballots++;
        row->principals[i] = sl_arena_strdup(a, sl_rows_str(&rows, 0));
        row->auths[i] = sl_arena_strdup(a, sl_rows_str(&rows, 1));
        row->reasons[i] = sl_arena_strdup(a, sl_rows_str(&rows, 3));
        row->times_ms[i] = sl_rows_i64(&rows, 4);
        row->ballots[i] = (struct sl_approval_ballot){name_of(db, row->principals[i], a),
                                                      sl_rows_i64(&rows, 2) != 0};
        rc = 0;
    }
    return rc;
}

static int take_from(const char *text, struct sl_arena *a, struct sl_approval_row *row,
                     struct sl_err *err)
{
    json_auto_t *list = sl_json_parse("members", text, strlen(text), err);
    if (list == NULL) {
        return -SL_ECORRUPT;
    }
    size_t n = json_array_size(list);
    const char **from = SL_ARENA_ARRAY(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *member = json_string_value(json_array_get(list, i));
        from[i] = sl_arena_strdup(a, member != NULL ? member : "");
    }
    row->rule.from = from;
    row->rule.n_from = n;
    return 0;
}

static void take_bound(struct sl_rows *rows, struct sl_arena *a, struct sl_approval_bound *b)
{
    *b = (struct sl_approval_bound){
        .entity = sl_rows_is_null(rows, 3) ? NULL : sl_arena_strdup(a, sl_rows_str(rows, 3)),
        .number = sl_rows_i64(rows, 4),
        .targets = sl_arena_strdup(a, sl_rows_str(rows, 10))};
    (void)sl_digest_parse(sl_rows_str(rows, 5), &b->candidate);
    (void)sl_digest_parse(sl_rows_str(rows, 6), &b->pipeline);
    (void)sl_digest_parse(sl_rows_str(rows, 7), &b->code);
    (void)sl_digest_parse(sl_rows_str(rows, 8), &b->evidence);
}

int sl_approval_row_fill(struct sl_db *db, struct sl_rows *rows, struct sl_arena *a,
                         struct sl_approval_row *ret, struct sl_err *err)
{
    struct sl_approval_row r = {.run_id = sl_arena_strdup(a, sl_rows_str(rows, 1)),
                                .step_key = sl_arena_strdup(a, sl_rows_str(rows, 2)),
                                .verdicts = sl_arena_strdup(a, sl_rows_str(rows, 9)),
                                .approve_on_timeout = sl_rows_i64(rows, 14) != 0,
                                .text = sl_arena_strdup(a, sl_rows_str(rows, 15)),
                                .requester = sl_arena_strdup(a, sl_rows_str(rows, 16)),
                                .author = sl_arena_strdup(a, sl_rows_str(rows, 17)),
                                .deadline_ms = sl_rows_i64(rows, 18),
                                .state = state_parse(sl_rows_str(rows, 19)),
                                .created_ms = sl_rows_i64(rows, 20),
                                .ended_ms = sl_rows_i64(rows, 21),
                                .valid_until_ms = sl_rows_i64(rows, 22),
                                .reason = sl_arena_strdup(a, sl_rows_str(rows, 23))};
    (void)snprintf(r.id, sizeof(r.id), "%s", sl_rows_str(rows, 0));
    take_bound(rows, a, &r.bound);
    int rc = take_from(sl_rows_str(rows, 11), a, &r, err);
    r.rule.quorum = sl_rows_int(rows, 12);
    r.rule.deny_requester = sl_rows_i64(rows, 13) != 0;
    r.requester_name = name_of(db, r.requester, a);
    rc = rc < 0 ? rc : load_votes(db, a, &r, err);
    if (rc == 0) {
        *ret = r;
    }
    return rc;
}

int sl_approval_row_latest(struct sl_db *db, const char *run_id, const char *step_key,
                           struct sl_arena *a, struct sl_approval_row *ret, bool *ret_found,
                           struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_APPROVAL_COLUMNS " FROM approval_request"
                                " WHERE run_id = ? AND step_key = ? ORDER BY seq DESC LIMIT 1"),
                         "ss", run_id, step_key);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc < 0) {
        return rc;
    }
    *ret_found = rc > 0;
    return rc > 0 ? sl_approval_row_fill(db, &rows, a, ret, err) : 0;
}

int sl_approval_bound_of(struct sl_db *db, const char *run_id, const char *step_key,
                         struct sl_arena *a, struct sl_approval_bound *ret, struct sl_err *err)
{
    struct sl_approval_row row;
    bool found = false;
    int rc = sl_approval_row_latest(db, run_id, step_key, a, &row, &found, err);
    if (rc == 0 && !found) {
        rc = sl_err_set(err, SL_ENOTFOUND, "step %.100s of that run asked for no approval",
                        step_key);
    }
    if (rc == 0) {
        *ret = row.bound;
    }
    return rc;
}

void sl_approval_fill_status(const struct sl_approval_row *row, struct sl_approval_status *ret)
{
    struct sl_approval_status s = {.state = row->state,
                                   .deadline_ms = row->deadline_ms,
                                   .valid_until_ms = row->valid_until_ms};
    struct sl_buf by = SL_BUF_INIT(sizeof(s.by) - 1);
    bool wanted = row->state != SL_APPROVAL_REJECTED;
    for (size_t i = 0; i < row->n_ballots; i++) {
        if (row->ballots[i].approve == wanted) {
            sl_buf_printf(&by, "%s%s", by.len > 0 ? ", " : "", row->ballots[i].name);
        }
    }
    (void)snprintf(s.id, sizeof(s.id), "%s", row->id);
    (void)snprintf(s.run_id, sizeof(s.run_id), "%s", row->run_id);
    (void)snprintf(s.by, sizeof(s.by), "%s", sl_buf_str(&by));
    (void)snprintf(s.reason, sizeof(s.reason), "%s", row->reason);
    sl_buf_release(&by);
    *ret = s;
}

/* ---- lists ---------------------------------------------------------------------------------------- */

static json_t *votes_json(const struct sl_approval_row *row)
{
    json_t *votes = json_array();
    for (size_t i = 0; i < row->n_ballots; i++) {
        json_array_append_new(
            votes, json_pack("{s:s, s:b, s:s, s:s, s:I}", "name", row->ballots[i].name, "approve",
                             row->ballots[i].approve, "auth", row->auths[i], "reason",
                             row->reasons[i], "ts_ms", (json_int_t)row->times_ms[i]));
    }
    return votes;
}

static json_t *row_json(const struct sl_approval_row *row)
{
    char digest[SL_APPROVAL_DIGEST];
    json_t *from = json_array();
    json_t *o = json_object();
    for (size_t i = 0; i < row->rule.n_from; i++) {
        json_array_append_new(from, json_string(row->rule.from[i]));
    }
    sl_json_set_str(o, "id", row->id);
    sl_json_set_str(o, "run", row->run_id);
    sl_json_set_str(o, "step", row->step_key);
    sl_json_set_str(o, "state", sl_approval_states[row->state]);
    sl_json_set_str(o, "entity", row->bound.entity);
    sl_json_set_i64(o, "version", row->bound.number);
    sl_json_set_str(o, "candidate", sl_approval_digest(&row->bound.candidate, digest));
    sl_json_set_str(o, "pipeline", sl_approval_digest(&row->bound.pipeline, digest));
    sl_json_set_str(o, "code", sl_approval_digest(&row->bound.code, digest));
    sl_json_set_str(o, "evidence", sl_approval_digest(&row->bound.evidence, digest));
    sl_json_set_str(o, "targets", row->bound.targets);
    json_object_set_new(o, "from", from);
    sl_json_set_i64(o, "quorum", row->rule.quorum);
    sl_json_set_bool(o, "deny_requester", row->rule.deny_requester);
    sl_json_set_str(o, "requester", row->requester_name);
    sl_json_set_str(o, "text", row->text);
    sl_json_set_i64(o, "deadline_ms", row->deadline_ms);
    sl_json_set_i64(o, "created_ms", row->created_ms);
    sl_json_set_i64(o, "ended_ms", row->ended_ms);
    sl_json_set_i64(o, "valid_until_ms", row->valid_until_ms);
    sl_json_set_str(o, "reason", row->reason);
    json_object_set_new(o, "votes", votes_json(row));
    return o;
}

int sl_approval_list(struct sl_db *db, const struct sl_approval_filter *f, json_t **ret,
                     struct sl_err *err)
{
    struct sl_arena a;
    json_auto_t *list = json_array();
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    if (f->limit < 1 || f->limit > SL_APPROVAL_LIST_MAX) {
        return sl_err_set(err, SL_EINVAL, "limit must be 1 to %d", SL_APPROVAL_LIST_MAX);
    }
    sl_arena_init(&a, 0);
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_APPROVAL_COLUMNS " FROM approval_request"
                                " WHERE (?1 IS NULL OR run_id = ?1) AND (?2 IS NULL OR step_key ="
                                " ?2) AND (?3 = 0 OR state = 'open')"
                                " ORDER BY state <> 'open', seq LIMIT ?4"),
                         "ssii", f->run_id, f->step_key, f->open_only, f->limit);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_approval_row row;
        rc = sl_approval_row_fill(db, &rows, &a, &row, err);
        if (rc == 0) {
            json_array_append_new(list, row_json(&row));
        }
    }
    sl_arena_release(&a);
    if (rc == 0) {
        *ret = sl_take(list);
    }
    return rc;
}

/**
 * The reading side: what is live, since when, from which run, by whom, under which verdict.
 *
 * Thread: that of the connection. Must not: write.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/deploy/deploy_priv.h"

static void set_time(json_t *o, const char *key, struct sl_rows *rows, int column)
{
    char text[SL_TIME_TEXT];
    if (!sl_rows_is_null(rows, column)) {
        sl_json_set_str(o, key, sl_time_format(sl_rows_i64(rows, column), text));
    }
}

static int set_actor(struct sl_db *db, json_t *o, const char *id, struct sl_err *err)
{
    char *name = NULL;
    if (sl_streq(id, SL_ACTOR_ENGINE)) {
        sl_json_set_str(o, "actor", id);
        return 0;
    }
    int rc = sl_audit_principal_name(db, id, &name, err);
    if (rc == 0) {
        sl_json_set_str(o, "actor", name);
        free(name);
    }
    return rc;
}

static int row_json(struct sl_db *db, struct sl_rows *rows, json_t **ret, struct sl_err *err)
{
    static const char *const texts[] = {"id",     "target",     "kind",       "state",
                                        "entity", "digest",     "release",    "previous_id",
                                        "run_id", "attempt_id", "verdict_id", "override_reason",
                                        "alias",  "reason",     "note"};
    json_auto_t *o = json_object();
    for (int i = 0; i < (int)SL_LEN(texts); i++) {
        sl_json_set_str(o, texts[i], sl_rows_text(rows, i));
    }
    sl_json_set_i64(o, "generation", sl_rows_i64(rows, 15));
    sl_json_set_i64(o, "version", sl_rows_i64(rows, 16));
    sl_json_set_bool(o, "live", sl_rows_i64(rows, 17) != 0);
    set_time(o, "created_at", rows, 18);
    set_time(o, "live_at", rows, 19);
    set_time(o, "ended_at", rows, 20);
    if (!sl_rows_is_null(rows, 21)) {
        sl_json_set_i64(o, "flip_ms", sl_rows_i64(rows, 21) - sl_rows_i64(rows, 18));
    }
    sl_json_set_str(o, "approval_id", sl_rows_text(rows, 23));
    int rc = set_actor(db, o, sl_rows_str(rows, 22), err);
    if (rc == 0) {
        *ret = sl_take(o);
    }
    return rc;
}

int sl_deploy_list(struct sl_db *db, const char *target, int limit, json_t **ret,
                   struct sl_err *err)
{
    json_auto_t *list = json_array();
    if (limit < 1 || limit > SL_DEPLOY_LIST_MAX) {
        return sl_err_set(err, SL_EINVAL, "a list has 1 to %d deployments", SL_DEPLOY_LIST_MAX);
    }
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT d.id, d.target, d.kind, d.state, d.entity, d.digest, d.release,"
               " d.previous_id, d.run_id, d.attempt_id, d.verdict_id, d.override_reason, d.alias,"
               " d.reason, d.note, d.generation, d.number, d.id IS t.live_id, d.created_ms,"
               " d.live_ms, d.ended_ms, d.flipped_ms, d.actor,"
               " d.approval_id"
               " FROM deployment d JOIN target t ON t.name = d.target"
               " WHERE ?1 IS NULL OR d.target = ?1 ORDER BY d.seq DESC LIMIT ?2"),
        "si", target, (int64_t)limit);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *row = NULL;
        rc = row_json(db, &rows, &row, err);
        if (rc == 0) {
            json_array_append_new(list, row);
        }
    }
    if (rc == 0) {
        *ret = sl_take(list);
    }
    return rc;
}

int sl_deploy_targets(struct sl_db *db, json_t **ret, struct sl_err *err)
{
    json_auto_t *list = json_array();
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT name, path, generation, spec, live_id FROM target"
                                " ORDER BY name LIMIT ?"),
                         "i", (int64_t)SL_DEPLOY_LIST_MAX);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *o = json_object();
        const char *spec = sl_rows_str(&rows, 3);
        sl_json_set_str(o, "name", sl_rows_str(&rows, 0));
        sl_json_set_str(o, "path", sl_rows_str(&rows, 1));
        sl_json_set_i64(o, "generation", sl_rows_i64(&rows, 2));
        json_t *parsed = sl_json_parse("target", spec, strlen(spec), NULL);
        if (parsed != NULL) {
            json_object_set_new(o, "spec", parsed);
        }
        sl_json_set_str(o, "live_id", sl_rows_text(&rows, 4));
        json_array_append_new(list, o);
        rc = 0;
    }
    if (rc == 0) {
        *ret = sl_take(list);
    }
    return rc;
}

/* ---- the table --------------------------------------------------------------------------------------- */

/** Reasons carry output of commands: control characters are shown, never sent to the terminal. */
static void print_text(const char *text, struct sl_buf *out)
{
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7F) {
            sl_buf_printf(out, "\\x%02x", c);
        } else {
            sl_buf_putc(out, *p);
        }
    }
}

static void print_version(const json_t *d, struct sl_buf *out)
{
    char text[SL_DEPLOY_ENTITY + 32];
    (void)snprintf(text, sizeof(text), "%s@v%lld", sl_json_str(d, "entity", "-"),
                   (long long)sl_json_i64(d, "version", 0));
    sl_buf_printf(out, "%-24s", text);
}

/** "3m05s ago", from the time text that a row carries. */
static void print_ago(const json_t *d, int64_t now_ms, struct sl_buf *out)
{
    int64_t at = 0;
    char text[SL_TIME_TEXT], ago[SL_TIME_TEXT + 8] = "-";
    const char *time = sl_json_str(d, "live_at", sl_json_str(d, "created_at", ""));
    if (sl_time_parse(time, &at)) {
        (void)snprintf(ago, sizeof(ago), "%s ago",
                       sl_duration_format(SL_MAX(now_ms - at, 0), text));
    }
    sl_buf_printf(out, "  %-12s", ago);
}

static void print_row(const json_t *d, bool color, int64_t now_ms, struct sl_buf *out)
{
    const char *state = sl_json_str(d, "state", "-");
    const char *paint = sl_streq(state, "live")     ? "\033[32m"
                        : sl_streq(state, "failed") ? "\033[31m"
                                                    : "\033[2m";
    sl_buf_printf(out, "%s%-12s%s  ", color ? paint : "", state, color ? "\033[0m" : "");
    sl_buf_printf(out, "%-20s  ", sl_json_str(d, "target", "-"));
    print_version(d, out);
    sl_buf_printf(out, "  %-8s", sl_json_str(d, "kind", "-"));
    print_ago(d, now_ms, out);
    sl_buf_printf(out, "  %-8.8s  %-14s  %-8.8s\n", sl_json_str(d, "run_id", "-"),
                  sl_json_str(d, "actor", "-"), sl_json_str(d, "verdict_id", "-"));
    const char *const notes[] = {"override_reason", "reason", "note"};
    const char *const words[] = {"override: ", "", "note: "};
    for (size_t i = 0; i < SL_LEN(notes); i++) {
        const char *text = sl_json_str(d, notes[i], "");
        if (text[0] != '\0') {
            sl_buf_printf(out, "              %s", words[i]);
            print_text(text, out);
            sl_buf_putc(out, '\n');
        }
    }
}

void sl_deploy_print(const json_t *list, bool color, int64_t now_ms, struct sl_buf *out)
{
    size_t i;
    const json_t *d;
    if (json_array_size(list) == 0) {
        sl_buf_puts(out, "nothing was deployed yet\n");
        return;
    }
    sl_buf_printf(out, "%-12s  %-20s  %-24s  %-8s  %-12s  %-8s  %-14s  %-8s\n", "STATE", "TARGET",
                  "VERSION", "KIND", "SINCE", "RUN", "BY", "VERDICT");
    for (int live = 1; live >= 0; live--) {
        json_array_foreach (list, i, d) {
            if (sl_json_bool(d, "live", false) == (live == 1)) {
                print_row(d, color, now_ms, out);
            }
        }
    }
}

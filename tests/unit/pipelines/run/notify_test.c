/* Rows of messages: taken once, due in order, tries counted, channels that are off; and where they may go. */
#include "core/base/base.h"

#include "pipelines/run/notify_store.h"

#include <stdlib.h>
#include <string.h>

#include "core/bus/bus.h"
#include "pipelines/run/notifier.h"
#include "tests/support/sl_test.h"

#define HOUR ((int64_t)3600000)

struct rig {
    char *dir;
    struct sl_db *db;
    struct sl_arena a;
    struct sl_err err;
    int64_t now;
};

static struct rig rig_open(void)
{
    static const struct sl_schema *const schemas[] = {&sl_bus_schema, &sl_notify_schema};
    struct rig r = {.dir = sl_test_tmpdir(), .now = 1700000000000};
    char *path = sl_test_path(r.dir, "db");
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &r.db, &r.err), r.err);
    SL_CHECK_OK(sl_db_migrate(r.db, schemas, 2, &r.err), r.err);
    sl_arena_init(&r.a, 0);
    free(path);
    return r;
}

static void rig_close(struct rig *r)
{
    sl_arena_release(&r->a);
    sl_db_close(r->db);
    sl_test_rmdir(r->dir);
}

static int queue_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct rig *r = arg;
    json_auto_t *payload = json_pack("{s:b, s:s, s:s, s:s, s:I}", "mail", 0, "channel", "chat",
                                     "text", "hi", "pipeline", "p", "number", (json_int_t)3);
    struct sl_event other = {.ts_ms = r->now, .type = SL_EVENT_RUN_STARTED, .run_id = "r"};
    struct sl_event e = {
        .ts_ms = r->now, .type = SL_EVENT_NOTIFY_QUEUED, .run_id = "r", .subject = "tell"};
    int rc = sl_bus_append(db, &other, NULL, NULL, err);
    return rc < 0 ? rc : sl_bus_append(db, &e, payload, NULL, err);
}

static void queue(struct rig *r)
{
    SL_CHECK_OK(sl_db_tx(r->db, queue_tx, r, &r->err), r->err);
}

struct taking {
    int64_t now;
    int n;
};

static int take_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct taking *t = arg;
    return sl_notify_take(db, t->now, &t->n, err);
}

static int take(struct rig *r)
{
    struct taking t = {.now = r->now};
    SL_CHECK_OK(sl_db_tx(r->db, take_tx, &t, &r->err), r->err);
    return t.n;
}

static size_t due(struct rig *r, struct sl_notification **ret)
{
    size_t n = 0;
    SL_CHECK_OK(sl_notify_due(r->db, r->now, &r->a, ret, &n, &r->err), r->err);
    return n;
}

static int record_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_notify_record(db, arg, err);
}

static void record(struct rig *r, struct sl_notify_result result)
{
    result.now_ms = r->now;
    SL_CHECK_OK(sl_db_tx(r->db, record_tx, &result, &r->err), r->err);
}

SL_TEST(pipelines_run_notify, queued__taken_once__due_at_once)
{
    struct rig r = rig_open();
    struct sl_notification *rows = NULL;
    queue(&r);
    queue(&r);
    SL_CHECK_EQ_INT(take(&r), 2);
    SL_CHECK_EQ_INT(take(&r), 0);
    SL_CHECK_EQ_INT((int64_t)due(&r, &rows), 2);
    SL_CHECK_EQ_STR(rows[0].channel, "chat");
    SL_CHECK_EQ_STR(rows[0].step, "tell");
    SL_CHECK(rows[0].id < rows[1].id && !rows[0].mail && rows[0].tries == 0);
    char a[37];
    char b[37];
    SL_CHECK_EQ_INT((int64_t)strlen(sl_notify_message_id(&rows[0], a)), 36);
    SL_CHECK(strcmp(a, sl_notify_message_id(&rows[1], b)) != 0);
    rig_close(&r);
}

SL_TEST(pipelines_run_notify, failed_try__due_later__sent_is_final)
{
    struct rig r = rig_open();
    struct sl_notification *rows = NULL;
    int64_t next = 0;
    queue(&r);
    SL_CHECK_EQ_INT(take(&r), 1);
    SL_CHECK_EQ_INT((int64_t)due(&r, &rows), 1);
    int64_t id = rows[0].id;
    record(&r, (struct sl_notify_result){
                   .id = id, .counts = true, .next_ms = r.now + HOUR, .error = "no answer"});
    SL_CHECK_EQ_INT((int64_t)due(&r, &rows), 0);
    SL_CHECK_OK(sl_notify_next_ms(r.db, &next, &r.err), r.err);
    SL_CHECK_EQ_INT(next, r.now + HOUR);
    r.now += HOUR;
    SL_CHECK_EQ_INT((int64_t)due(&r, &rows), 1);
    SL_CHECK_EQ_INT(rows[0].tries, 1);
    record(&r, (struct sl_notify_result){.id = id, .counts = true, .sent = true});
    SL_CHECK_EQ_INT((int64_t)due(&r, &rows), 0);
    json_t *list = NULL;
    SL_CHECK_OK(sl_notify_list(r.db, "", 10, &list, &r.err), r.err);
    const json_t *row = json_array_get(list, 0);
    SL_CHECK_EQ_STR(sl_json_str(row, "state", ""), "sent");
    SL_CHECK_EQ_INT(sl_json_i64(row, "tries", 0), 2);
    SL_CHECK_EQ_STR(sl_json_str(row, "run_name", ""), "p#3");
    SL_CHECK(sl_json_str(row, "error", NULL) == NULL);
    json_decref(list);
    rig_close(&r);
}

SL_TEST(pipelines_run_notify, gone__channel_is_off_for_this_generation_only)
{
    struct rig r = rig_open();
    struct sl_notification *rows = NULL;
    const char *reason = NULL;
    queue(&r);
    (void)take(&r);
    (void)due(&r, &rows);
    record(&r, (struct sl_notify_result){.id = rows[0].id,
                                         .counts = true,
                                         .final = true,
                                         .error = "answered 410",
                                         .disable = "chat",
                                         .generation = 4});
    SL_CHECK_OK(sl_notify_disabled(r.db, "chat", 4, &r.a, &reason, &r.err), r.err);
    SL_CHECK_EQ_STR(reason, "answered 410");
    SL_CHECK_OK(sl_notify_disabled(r.db, "chat", 5, &r.a, &reason, &r.err), r.err);
    SL_CHECK(reason == NULL);
    SL_CHECK_OK(sl_notify_disabled(r.db, "mail", 4, &r.a, &reason, &r.err), r.err);
    SL_CHECK(reason == NULL);
    SL_CHECK_ERR(sl_notify_retry(r.db, 99, r.now, &r.err), SL_ENOTFOUND, r.err, "no message 99");
    SL_CHECK_OK(sl_notify_retry(r.db, rows[0].id, r.now, &r.err), r.err);
    SL_CHECK_EQ_INT((int64_t)due(&r, &rows), 1);
    SL_CHECK_EQ_INT(rows[0].tries, 0);
    rig_close(&r);
}

SL_TEST(pipelines_run_notify, tries_of_a_channel__counted_in_the_window)
{
    struct rig r = rig_open();
    struct sl_notification *rows = NULL;
    int64_t recent = 0;
    for (int i = 0; i < 3; i++) {
        queue(&r);
    }
    (void)take(&r);
    (void)due(&r, &rows);
    record(&r, (struct sl_notify_result){.id = rows[0].id, .counts = true, .sent = true});
    record(&r, (struct sl_notify_result){.id = rows[1].id, .next_ms = r.now, .error = "no try"});
    SL_CHECK_OK(sl_notify_recent(r.db, "chat", r.now - 60000, &recent, &r.err), r.err);
    SL_CHECK_EQ_INT(recent, 1);
    SL_CHECK_OK(sl_notify_recent(r.db, "chat", r.now, &recent, &r.err), r.err);
    SL_CHECK_EQ_INT(recent, 0);
    rig_close(&r);
}

SL_TEST(pipelines_run_notify, allow__words__flags_or_named)
{
    struct sl_err err = SL_ERR_INIT;
    unsigned flags = 99;
    SL_CHECK_OK(sl_notifier_allow(NULL, &flags, &err), err);
    SL_CHECK_EQ_INT((int64_t)flags, 0);
    SL_CHECK_OK(sl_notifier_allow("loopback,http", &flags, &err), err);
    SL_CHECK_EQ_INT((int64_t)flags, SL_FETCH_LOOPBACK | SL_FETCH_HTTP);
    SL_CHECK_OK(sl_notifier_allow("private", &flags, &err), err);
    SL_CHECK_EQ_INT((int64_t)flags, SL_FETCH_PRIVATE);
    SL_CHECK_ERR(sl_notifier_allow("loopback,all", &flags, &err), SL_EINVAL, err, "'all' is none");
}

SL_TEST(pipelines_run_notify, hide_address__no_piece_of_it_is_left)
{
    static const struct {
        const char *reason, *address, *shown;
    } cases[] = {
        {"https://hooks.example.com/T/CANARY1: the server answered 404: no /T/CANARY1",
         "https://hooks.example.com/T/CANARY1", "the server answered 404"},
        {"https://hooks.example.com/T/CANARY2: Couldn't connect to server",
         "https://hooks.example.com/T/CANARY2", "Couldn't connect to server"},
        {"a URL with a user or password in it is not taken", "https://u:CANARY3@h.example/",
         "a URL with a user or password in it is not taken"},
        {"'https://hooks.example.com/T/CANARY4' is no URL", "https://hooks.example.com/T/CANARY4\r",
         NULL},
        {"'hooks.example.com: /T/ CANARY5' is no URL", "hooks.example.com: /T/ CANARY5", NULL},
        {"'https://h.example/a b/0123456789-CANA", "https://h.example/a b/0123456789-CANARY6",
         NULL}, /* cut in its middle */
        {"x: host 'Hooks-CANARY7' is no host", "https://hooks-canary7/x", NULL},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        char out[300];
        sl_notify_hide_address(cases[i].reason, cases[i].address, out, sizeof(out));
        SL_CHECK_EQ_STR(out, cases[i].shown != NULL ? cases[i].shown
                                                    : "it is no URL, or the reason would show it");
    }
}

/**
 * The outbox: append, read, cursors, replay, pruning.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/bus/bus.h"
#include "tests/support/sl_test_db.h"

static void set_up(struct sl_test_db *f)
{
    static const struct sl_schema *const schemas[] = {&sl_bus_schema};
    sl_test_db_open(f, schemas, 1);
}

struct append {
    struct sl_event e;
    const json_t *payload;
    int64_t id;
};

static int append_fn(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct append *a = arg;
    return sl_bus_append(db, &a->e, a->payload, &a->id, err);
}

static int append_then_fail(struct sl_db *db, void *arg, struct sl_err *err)
{
    int rc = append_fn(db, arg, err);
    return rc < 0 ? rc : sl_err_set(err, SL_EFAILED, "the change failed");
}

static int64_t add(struct sl_test_db *f, enum sl_event_type type, const char *run, int64_t ts)
{
    struct append a = {.e = {.ts_ms = ts, .type = type, .run_id = run, .subject = "s"}};
    SL_CHECK_OK(sl_db_tx(f->db, append_fn, &a, &f->err), f->err);
    return a.id;
}

struct got {
    int64_t ids[64];
    int n, stop_after;
    char text[256];
};

static int collect(const struct sl_event *e, void *arg)
{
    struct got *g = arg;
    g->ids[g->n++] = e->id;
    (void)snprintf(g->text, sizeof(g->text), "%s %s %s %s", sl_event_name(e->type),
                   e->run_id != NULL ? e->run_id : "-", e->subject != NULL ? e->subject : "-",
                   e->payload != NULL ? e->payload : "-");
    return g->stop_after != 0 && g->n >= g->stop_after ? 5 : 0;
}

static int read_all(struct sl_test_db *f, int64_t after, const char *run, struct got *g)
{
    struct sl_bus_query q = {.after_id = after, .run_id = run, .limit = 50};
    return sl_bus_read(f->db, &q, collect, g, &f->err);
}

SL_TEST(core_bus_bus, append__committed__is_read_whole)
{
    struct sl_test_db f;
    set_up(&f);
    json_auto_t *payload = json_pack("{s:s, s:s}", "to", "running", "from", "queued");
    struct append a = {
        .e = {.ts_ms = 7, .type = SL_EVENT_STEP_STATE, .run_id = "r1", .subject = "train[seed=2]"},
        .payload = payload};
    SL_CHECK_OK(sl_db_tx(f.db, append_fn, &a, &f.err), f.err);
    struct got g = {0};
    SL_CHECK_EQ_INT(read_all(&f, 0, NULL, &g), 0);
    SL_CHECK_EQ_INT(g.n, 1);
    SL_CHECK_EQ_INT(g.ids[0], a.id);
    SL_CHECK_EQ_STR(g.text, "step.state r1 train[seed=2] {\"from\":\"queued\",\"to\":\"running\"}");
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, append__rolled_back__was_never_there)
{
    struct sl_test_db f;
    set_up(&f);
    struct append a = {.e = {.type = SL_EVENT_RUN_QUEUED}};
    SL_CHECK_ERR(sl_db_tx(f.db, append_then_fail, &a, &f.err), SL_EFAILED, f.err, "the change");
    int64_t last = -1;
    SL_CHECK_OK(sl_bus_last(f.db, &last, &f.err), f.err);
    SL_CHECK_EQ_INT(last, 0);
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, append__payload_at_limit_and_one_past)
{
    struct sl_test_db f;
    set_up(&f);
    size_t overhead = strlen("{\"x\":\"\"}");
    char *text = calloc(1, SL_BUS_PAYLOAD_MAX + 1);
    SL_CHECK_NOT_NULL(text);
    memset(text, 'x', SL_BUS_PAYLOAD_MAX - overhead);
    json_t *payload = json_pack("{s:s}", "x", text);
    struct append a = {.e = {.type = SL_EVENT_RUN_QUEUED}, .payload = payload};
    SL_CHECK_OK(sl_db_tx(f.db, append_fn, &a, &f.err), f.err);
    text[SL_BUS_PAYLOAD_MAX - overhead] = 'x';
    (void)json_object_set_new(payload, "x", json_string(text));
    SL_CHECK_ERR(sl_db_tx(f.db, append_fn, &a, &f.err), SL_ELIMIT, f.err,
                 "event run.queued: the payload is longer than 65536 bytes");
    json_decref(payload);
    free(text);
    char subject[SL_BUS_SUBJECT_MAX + 2];
    memset(subject, 's', sizeof(subject));
    subject[SL_BUS_SUBJECT_MAX] = '\0';
    a = (struct append){.e = {.type = SL_EVENT_RUN_QUEUED, .subject = subject}};
    SL_CHECK_OK(sl_db_tx(f.db, append_fn, &a, &f.err), f.err);
    subject[SL_BUS_SUBJECT_MAX] = 's';
    subject[SL_BUS_SUBJECT_MAX + 1] = '\0';
    SL_CHECK_ERR(sl_db_tx(f.db, append_fn, &a, &f.err), SL_ELIMIT, f.err, "the subject");
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, read__after_run_and_stop)
{
    struct sl_test_db f;
    set_up(&f);
    int64_t ids[6];
    for (int i = 0; i < 6; i++) {
        ids[i] = add(&f, SL_EVENT_RUN_STARTED, i % 2 == 0 ? "even" : "odd", i);
    }
    struct got g = {0};
    SL_CHECK_EQ_INT(read_all(&f, ids[1], NULL, &g), 0);
    SL_CHECK_EQ_INT(g.n, 4);
    SL_CHECK_EQ_INT(g.ids[0], ids[2]);
    g = (struct got){0};
    SL_CHECK_EQ_INT(read_all(&f, ids[0], "even", &g), 0);
    SL_CHECK_EQ_INT(g.n, 2);
    SL_CHECK_EQ_INT(g.ids[1], ids[4]);
    g = (struct got){.stop_after = 3};
    SL_CHECK_EQ_INT(read_all(&f, 0, NULL, &g), 5);
    SL_CHECK_EQ_INT(g.n, 3);
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, read__messages_only__from_a_cursor)
{
    struct sl_test_db f;
    set_up(&f);
    struct got g = {.n = 0};
    (void)add(&f, SL_EVENT_RUN_STARTED, "r", 1);
    int64_t first = add(&f, SL_EVENT_NOTIFY_QUEUED, "r", 2);
    (void)add(&f, SL_EVENT_RUN_FINISHED, "r", 3);
    int64_t second = add(&f, SL_EVENT_NOTIFY_QUEUED, NULL, 4);
    struct sl_bus_query q = {.limit = 10, .messages = true};
    SL_CHECK_OK(sl_bus_read(f.db, &q, collect, &g, &f.err), f.err);
    SL_CHECK(g.n == 2 && g.ids[0] == first && g.ids[1] == second);
    q.after_id = first;
    g.n = 0;
    SL_CHECK_OK(sl_bus_read(f.db, &q, collect, &g, &f.err), f.err);
    SL_CHECK(g.n == 1 && g.ids[0] == second);
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, read__type_of_a_newer_writer__is_passed_over)
{
    struct sl_test_db f;
    set_up(&f);
    SL_CHECK_OK(
        sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO event(ts, type) VALUES (1, 'x.y')"), ""),
        f.err);
    int64_t id = add(&f, SL_EVENT_RUN_QUEUED, NULL, 2);
    struct got g = {0};
    SL_CHECK_EQ_INT(read_all(&f, 0, NULL, &g), 0);
    SL_CHECK_EQ_INT(g.n, 1);
    SL_CHECK_EQ_INT(g.ids[0], id);
    sl_test_db_close(&f);
}

struct cursor {
    int64_t id;
};

static int set_cursor(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_bus_cursor_set(db, "web", ((struct cursor *)arg)->id, err);
}

static int prune(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_bus_prune(db, 1000, arg, err);
}

SL_TEST(core_bus_bus, cursor__moves_forward_only__and_replays_after_a_restart)
{
    struct sl_test_db f;
    set_up(&f);
    int64_t at = -1;
    SL_CHECK_OK(sl_bus_cursor_get(f.db, "web", &at, &f.err), f.err);
    SL_CHECK_EQ_INT(at, 0);
    for (int i = 0; i < 5; i++) {
        (void)add(&f, SL_EVENT_RUN_STARTED, NULL, i);
    }
    struct cursor c = {.id = 3};
    SL_CHECK_OK(sl_db_tx(f.db, set_cursor, &c, &f.err), f.err);
    c.id = 2;
    SL_CHECK_OK(sl_db_tx(f.db, set_cursor, &c, &f.err), f.err);
    sl_db_close(f.db);
    SL_CHECK_OK(sl_db_open(f.path, SL_DB_RW, &f.db, &f.err), f.err);
    SL_CHECK_OK(sl_bus_cursor_get(f.db, "web", &at, &f.err), f.err);
    SL_CHECK_EQ_INT(at, 3);
    struct got g = {0};
    SL_CHECK_EQ_INT(read_all(&f, at, NULL, &g), 0);
    SL_CHECK_EQ_INT(g.n, 2);
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, prune__keeps_what_a_subscriber_has_not_passed__and_the_newest)
{
    struct sl_test_db f;
    set_up(&f);
    for (int i = 0; i < 5; i++) {
        (void)add(&f, SL_EVENT_RUN_STARTED, NULL, i);
    }
    struct cursor c = {.id = 2};
    int64_t deleted = -1;
    SL_CHECK_OK(sl_db_tx(f.db, set_cursor, &c, &f.err), f.err);
    SL_CHECK_OK(sl_db_tx(f.db, prune, &deleted, &f.err), f.err);
    SL_CHECK_EQ_INT(deleted, 2);
    c.id = 5;
    SL_CHECK_OK(sl_db_tx(f.db, set_cursor, &c, &f.err), f.err);
    SL_CHECK_OK(sl_db_tx(f.db, prune, &deleted, &f.err), f.err);
    SL_CHECK_EQ_INT(deleted, 2);
    SL_CHECK_EQ_INT(add(&f, SL_EVENT_RUN_STARTED, NULL, 9), 6); /* no id comes again */
    sl_test_db_close(&f);
}

SL_TEST(core_bus_bus, names__round_trip_and_are_sorted)
{
    for (int i = 0; i < SL_EVENT_COUNT; i++) {
        const char *name = sl_event_name((enum sl_event_type)i);
        SL_CHECK_EQ_INT(sl_event_parse(name), i);
        SL_CHECK(sl_event_text((enum sl_event_type)i)[0] != '\0');
        SL_CHECK(i == 0 || strcmp(sl_event_name((enum sl_event_type)(i - 1)), name) < 0);
    }
    SL_CHECK_EQ_INT(sl_event_parse("run.exploded"), -1);
}

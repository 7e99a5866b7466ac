/**
 * CPU time per append of the stores that run for every step: audit, event, lineage edge, metric point.
 * Prints one JSON object per line; ratios against a plain INSERT in the same run.
 */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/audit/audit.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/time.h"
#include "core/bus/bus.h"
#include "core/db/writer.h"
#include "core/lineage/lineage.h"
#include "core/track/track.h"

#define ROWS   20000
#define POINTS 1000 /* per metric batch */

static const char *const plain_tables[] = {
    "CREATE TABLE plain(id INTEGER PRIMARY KEY, ts INTEGER, a TEXT, b TEXT) STRICT"};
static const struct sl_schema plain_schema = {"plain", plain_tables, 1};

static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int plain(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_db_exec(db, err, SL_SQL("INSERT INTO plain(ts, a, b) VALUES (?, ?, ?)"), "iss",
                      *(int *)arg, "step.attempt", "0123456789abcdef0123456789abcdef");
}

static int audit(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct sl_audit_obj objs[] = {
        {"step_execution", "0123456789abcdef0123456789abcdef", NULL},
        {"artifact", "out",
         "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}};
    struct sl_audit_entry e = {.ts_ms = 1763632800000 + *(int *)arg,
                               .act = SL_ACT_STEP_FINISH,
                               .actor = {.id = "engine", .kind = "engine", .auth = "internal"},
                               .objs = objs,
                               .n_objs = 2,
                               .request = "0123456789abcdef0123456789abcdef"};
    return sl_audit_append(db, &e, NULL, err);
}

static int event(struct sl_db *db, void *arg, struct sl_err *err)
{
    json_auto_t *payload = json_pack("{s:s, s:s, s:s}", "from", "running", "to", "succeeded",
                                     "reason", "the process ended with 0");
    struct sl_event e = {.ts_ms = *(int *)arg,
                         .type = SL_EVENT_STEP_STATE,
                         .run_id = "0123456789abcdef0123456789abcdef",
                         .subject = "train[seed=2]"};
    return sl_bus_append(db, &e, payload, NULL, err);
}

static int edge(struct sl_db *db, void *arg, struct sl_err *err)
{
    char from[40], to[40];
    (void)snprintf(from, sizeof(from), "step-%d", *(int *)arg);
    (void)snprintf(to, sizeof(to), "data-%d", *(int *)arg % 100);
    struct sl_lineage_edge e = {.from = {SL_NODE_STEP_EXECUTION, from},
                                .to = {SL_NODE_DATASET_VERSION, to},
                                .kind = SL_EDGE_USED,
                                .role = "in.data",
                                .audit_index = *(int *)arg};
    return sl_lineage_edge(db, &e, err);
}

static int points(struct sl_db *db, void *arg, struct sl_err *err)
{
    if (*(int *)arg % POINTS != 0) { /* one call stores a batch */
        return 0;
    }
    static struct sl_point all[POINTS];
    static const char *const keys[] = {"loss", "auc", "f1", "recall"};
    for (int i = 0; i < POINTS; i++) {
        all[i] = (struct sl_point){.key = keys[i % 4], .value = i};
    }
    struct sl_track_batch b = {.run_id = "r",
                               .attempt_id = "a",
                               .points = all,
                               .n = POINTS,
                               .offset_from = SL_TRACK_NO_OFFSET};
    return sl_track_append(db, &b, err);
}

struct subject {
    const char *name;
    sl_db_fn fn;
    double us;
};

static int run_rows(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct subject *s = arg;
    int64_t begin = cpu_ns();
    for (int i = 0; i < ROWS; i++) {
        int rc = s->fn(db, &i, err);
        if (rc < 0) {
            return rc;
        }
    }
    s->us = (double)(cpu_ns() - begin) / ROWS / 1000.0;
    return 0;
}

static int measure(const char *path, struct sl_err *err)
{
    const struct sl_schema *schemas[] = {&plain_schema, &sl_audit_schema, &sl_bus_schema,
                                         &sl_lineage_schema, &sl_track_schema};
    struct subject subjects[] = {{"plain_insert", plain, 0},
                                 {"audit_append", audit, 0},
                                 {"bus_append", event, 0},
                                 {"lineage_edge", edge, 0},
                                 {"metric_point", points, 0}};
    _cleanup_(db)
    struct sl_db *db = NULL;
    int rc = sl_db_open(path, SL_DB_RW, &db, err);
    if (rc == 0) {
        rc = sl_db_migrate(db, schemas, SL_LEN(schemas), err);
    }
    for (size_t i = 0; i < SL_LEN(subjects) && rc == 0; i++) {
        rc = sl_db_tx(db, run_rows, &subjects[i], err);
        (void)printf("{\"bench\":\"store_append\",\"what\":\"%s\",\"cpu_us\":%.2f,"
                     "\"ratio_to_plain_insert\":%.2f}\n",
                     subjects[i].name, subjects[i].us, subjects[i].us / subjects[0].us);
    }
    return rc;
}

int main(void)
{
    char dir[] = "/tmp/sluice-store-XXXXXX";
    struct sl_err err = SL_ERR_INIT;
    if (mkdtemp(dir) == NULL) {
        (void)fprintf(stderr, "cannot make a directory in /tmp\n");
        return 1;
    }
    _cleanup_(free)
    char *path = sl_asprintf("%s/sluice.db", dir);
    int rc = measure(path, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
    }
    struct sl_err ignored = SL_ERR_INIT;
    if (sl_remove_tree_at(AT_FDCWD, dir, &ignored) < 0) {
        (void)fprintf(stderr, "%s\n", ignored.msg);
    }
    return rc < 0 ? 1 : 0;
}

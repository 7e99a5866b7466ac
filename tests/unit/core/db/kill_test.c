/**
 * kill -9 at every db.* fault point: what was acknowledged over a pipe is there afterwards, whole.
 *
 * The child is this binary again: a constructor takes over before the test runner's main when
 * SL_DB_KILL_CHILD names a database.
 */
#include "core/base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/db/writer.h"
#include "tests/support/sl_test.h"

#define WRITES 60
#define ACK_FD 3

extern char **environ;

static const char *const tables[] = {
    "CREATE TABLE t(n INTEGER PRIMARY KEY) STRICT; CREATE TABLE pair(n INTEGER) STRICT;"};
static const struct sl_schema schema = {"t", tables, 1};
static const struct sl_schema *const schemas[] = {&schema};

struct numbered {
    struct sl_db_write w;
    int n;
};

/* Two rows per request: half of one must never be seen. */
static int insert_pair(struct sl_db *db, struct sl_db_write *w, struct sl_err *err)
{
    int n = SL_CONTAINER_OF(w, struct numbered, w)->n;
    int rc = sl_db_exec(db, err, SL_SQL("INSERT INTO t(n) VALUES (?)"), "i", n);
    return rc < 0 ? rc : sl_db_exec(db, err, SL_SQL("INSERT INTO pair(n) VALUES (?)"), "i", n);
}

static void acknowledge(struct sl_db_write *w)
{
    uint8_t n = (uint8_t)SL_CONTAINER_OF(w, struct numbered, w)->n;
    if (w->rc == 0 && write(ACK_FD, &n, 1) != 1) {
        _exit(9);
    }
}

static void child(const char *path)
{
    static struct numbered all[WRITES];
    struct sl_err err = SL_ERR_INIT;
    struct sl_db_writer *writer = NULL;
    struct sl_db_writer_opts opts = {.path = path, .schemas = schemas, .n_schemas = 1};
    if (sl_fault_init(&err) < 0 || sl_db_writer_start(&opts, &writer, &err) < 0) {
        (void)fprintf(stderr, "child: %s\n", err.msg);
        _exit(8);
    }
    for (int i = 0; i < WRITES; i++) {
        all[i] = (struct numbered){.w = {.fn = insert_pair, .done = acknowledge}, .n = i};
        if (sl_db_write_submit(writer, &all[i].w) < 0) {
            _exit(7);
        }
    }
    sl_db_writer_stop(writer);
    _exit(0);
}

__attribute__((constructor)) static void maybe_child(void)
{
    static const char name[] = "SL_DB_KILL_CHILD=";
    for (char **e = environ; *e != NULL; e++) {
        if (strncmp(*e, name, sizeof(name) - 1) == 0) {
            child(*e + sizeof(name) - 1);
        }
    }
}

/* Runs the child with a fault; fills acked[] and returns its wait status. */
static int run_child(const char *path, const char *fault, bool acked[WRITES])
{
    _cleanup_(free)
    char *child_env = sl_asprintf("SL_DB_KILL_CHILD=%s", path);
    _cleanup_(free)
    char *fault_env = sl_asprintf("SLUICE_FAULT=%s", fault);
    char asan_env[] = "ASAN_OPTIONS=detect_leaks=0"; /* it dies with its requests queued */
    char *env[] = {child_env, asan_env, fault[0] != '\0' ? fault_env : NULL, NULL};
    char exe[] = "/proc/self/exe";
    char *argv[] = {exe, NULL};
    int pipe_fds[2];
    SL_CHECK_EQ_INT(pipe2(pipe_fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    SL_CHECK_EQ_INT(posix_spawn_file_actions_init(&actions), 0);
    /* above ACK_FD first: dup2 onto itself would leave close-on-exec set */
    int write_end = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 10);
    (void)close(pipe_fds[1]);
    SL_CHECK_EQ_INT(posix_spawn_file_actions_adddup2(&actions, write_end, ACK_FD), 0);
    pid_t pid = -1;
    SL_CHECK_EQ_INT(posix_spawn(&pid, exe, &actions, NULL, argv, env), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(write_end);
    uint8_t n = 0;
    while (read(pipe_fds[0], &n, 1) == 1) {
        SL_CHECK(n < WRITES && !acked[n]);
        acked[n] = true;
    }
    (void)close(pipe_fds[0]);
    int status = 0;
    SL_CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
    return status;
}

static void check_store(const char *path, const bool acked[WRITES])
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_db *db = NULL;
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &db, &err), err);
    SL_CHECK_OK(sl_db_migrate(db, schemas, 1, &err), err);
    SL_CHECK_OK(sl_db_check_integrity(db, &err), err);
    for (int i = 0; i < WRITES; i++) {
        int64_t first = 0, second = 0;
        SL_CHECK_OK(
            sl_db_get_i64(db, &first, &err, SL_SQL("SELECT count(*) FROM t WHERE n = ?"), "i", i),
            err);
        SL_CHECK_OK(sl_db_get_i64(db, &second, &err,
                                  SL_SQL("SELECT count(*) FROM pair WHERE n = ?"), "i", i),
                    err);
        SL_CHECK_EQ_INT(first, second);
        SL_CHECK_MSG(!acked[i] || first == 1, "request %d was acknowledged and is gone", i);
    }
    sl_db_close(db);
}

static void kill_at(const char *point, int nth)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "sluice.db");
    _cleanup_(free)
    char *fault = sl_asprintf("%s:%d:kill", point, nth);
    bool acked[WRITES] = {false};
    int status = run_child(path, fault, acked);
    SL_CHECK_MSG((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
                     (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                 "%s: status %d", fault, status);
    check_store(path, acked);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(core_db_kill, no_fault__everything_is_acknowledged)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "sluice.db");
    bool acked[WRITES] = {false};
    int status = run_child(path, "", acked);
    SL_CHECK_EQ_INT(status, 0);
    for (int i = 0; i < WRITES; i++) {
        SL_CHECK(acked[i]);
    }
    check_store(path, acked);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(core_db_kill, every_db_fault_point__acknowledged_writes_survive)
{
    int points = 0;
    for (int p = 0; p < SL_FAULT_COUNT; p++) {
        const char *name = sl_fault_name((enum sl_fault_point)p);
        if (!sl_starts_with(name, "db.")) {
            continue;
        }
        points++;
        for (int nth = 1; nth <= 4;
             nth++) { /* the first hit of begin and commit is the migration */
            kill_at(name, nth);
        }
    }
    SL_CHECK_EQ_INT(points, 4);
    kill_at("db.write", 30);
    kill_at("db.write", 75);
}

static void fail_at(const char *fault)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "sluice.db");
    bool acked[WRITES] = {false};
    int status = run_child(path, fault, acked);
    SL_CHECK_EQ_INT(status, 0);
    int n_acked = 0;
    for (int i = 0; i < WRITES; i++) {
        n_acked += acked[i] ? 1 : 0;
    }
    SL_CHECK_MSG(n_acked < WRITES, "%s: no request failed", fault);
    check_store(path, acked);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(core_db_kill, errors_instead_of_death__are_answered_as_failures)
{
    fail_at("db.begin:2:eio");
    fail_at("db.commit:2:enospc");
    fail_at("db.write:20:eio");
}

/**
 * Drives the registry from scripts: one command per process, so that tests can kill it anywhere.
 *
 * usage: registry_tool DIR COMMAND ...
 *   add KIND NAME PATH           ingest and commit; prints "NAME@vN DIGEST new|same"
 *   alias KIND NAME ALIAS REF    set to REF, "-" deletes
 *   resolve KIND REF             prints "NAME@vN DIGEST COMMIT"
 *   get KIND REF DIR             materialise
 *   log KIND NAME | aliases KIND NAME | history KIND NAME
 *   fsck [deep]                  prints findings; fails when one is severe
 *   index | rebuild              bring DIR/sluice.db up to date; print the number of rows
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "registry/index.h"
#include "registry/ingest.h"
#include "registry/registry.h"

struct tool {
    int dirfd;
    const char *dir;
    struct sl_blob_store *store;
    struct sl_registry *registry;
    struct sl_err err;
};

static enum sl_kind kind_arg(const char *text)
{
    enum sl_kind kind = SL_KIND_DATASET;
    if (!sl_kind_parse(text, &kind)) {
        (void)fprintf(stderr, "unknown kind '%s'\n", text);
        exit(2);
    }
    return kind;
}

static int add(struct tool *t, char **args)
{
    struct sl_manifest manifest;
    struct sl_version_ref made;
    bool created = false;
    char text[SL_VERSION_TEXT];
    char hex[SL_DIGEST_HEX + 1];
    sl_manifest_init(&manifest);
    int rc = sl_ingest_path(t->store, AT_FDCWD, args[2], NULL, &manifest, &t->err);
    struct sl_trailer trailer = {"Input", "raw@v1 sha256:00"};
    struct sl_version_spec spec = {.kind = kind_arg(args[0]),
                                   .name = args[1],
                                   .manifest = &manifest,
                                   .message = "added by a test",
                                   .trailers = &trailer,
                                   .n_trailers = 1,
                                   .author = {"Test", "test@example.org"}};
    rc = rc != 0 ? rc : sl_registry_commit(t->registry, &spec, &made, &created, &t->err);
    if (rc == 0) {
        (void)printf("%s %s %s\n", sl_version_text(&made, text), sl_digest_hex(&made.digest, hex),
                     created ? "new" : "same");
    }
    sl_manifest_release(&manifest);
    return rc;
}

static int alias(struct tool *t, char **args)
{
    struct sl_version_ref to;
    struct sl_alias_move move = {.kind = kind_arg(args[0]),
                                 .name = args[1],
                                 .alias = args[2],
                                 .mode = SL_ALIAS_ANY,
                                 .reason = "because a test says so",
                                 .author = {"Test", "test@example.org"}};
    int rc = 0;
    if (!sl_streq(args[3], "-")) {
        rc = sl_registry_resolve(t->registry, move.kind, args[3], &to, &t->err);
        move.to = &to;
    }
    return rc != 0 ? rc : sl_registry_alias_move(t->registry, &move, &t->err);
}

static int resolve(struct tool *t, char **args)
{
    struct sl_version_ref found;
    char text[SL_VERSION_TEXT];
    char hex[SL_DIGEST_HEX + 1];
    int rc = sl_registry_resolve(t->registry, kind_arg(args[0]), args[1], &found, &t->err);
    if (rc == 0) {
        (void)printf("%s %s %s\n", sl_version_text(&found, text), sl_digest_hex(&found.digest, hex),
                     found.commit);
    }
    return rc;
}

static int get(struct tool *t, char **args)
{
    struct sl_version_ref found;
    int rc = sl_registry_resolve(t->registry, kind_arg(args[0]), args[1], &found, &t->err);
    return rc != 0 ? rc
                   : sl_registry_materialise(t->registry, &found, AT_FDCWD, args[2], NULL, &t->err);
}

static int print_version(const struct sl_version_info *info, void *data, struct sl_err *err)
{
    (void)data;
    (void)err;
    (void)printf("v%lld %llu %llu %s", (long long)info->ref.number,
                 (unsigned long long)info->n_files, (unsigned long long)info->total_bytes,
                 info->message);
    for (size_t i = 0; i < info->n_trailers; i++) {
        (void)printf(" %s=%s", info->trailers[i].key, info->trailers[i].value);
    }
    (void)printf("\n");
    return 0;
}

static int print_alias(const char *name, const struct sl_version_ref *version, void *data,
                       struct sl_err *err)
{
    (void)data;
    (void)err;
    (void)printf("%s v%lld\n", name, (long long)version->number);
    return 0;
}

static int print_event(const struct sl_alias_event *event, void *data, struct sl_err *err)
{
    (void)data;
    (void)err;
    (void)printf("%s v%lld v%lld %s %s\n", event->alias,
                 event->from != NULL ? (long long)event->from->number : 0LL,
                 event->to != NULL ? (long long)event->to->number : 0LL, event->author_name,
                 event->reason != NULL ? event->reason : "-");
    return 0;
}

static void print_finding(const char *finding, bool severe, void *data)
{
    (void)data;
    (void)printf("%s: %s\n", severe ? "severe" : "note", finding);
}

static int check(struct tool *t, bool deep)
{
    struct sl_fsck_report report;
    int rc = sl_registry_fsck(t->registry, deep, print_finding, NULL, &report, &t->err);
    if (rc == 0) {
        (void)printf("%llu versions %llu entries %llu blobs %llu ledger %llu severe\n",
                     (unsigned long long)report.n_versions, (unsigned long long)report.n_entries,
                     (unsigned long long)report.n_blobs, (unsigned long long)report.n_ledger,
                     (unsigned long long)report.n_severe);
        rc = report.n_severe > 0 ? sl_err_set(&t->err, SL_ECORRUPT, "findings above") : 0;
    }
    return rc;
}

static int bring_index(struct tool *t, bool rebuild)
{
    const struct sl_schema *schemas[] = {&sl_registry_schema};
    struct sl_db *db = NULL;
    int64_t versions = 0;
    int64_t aliases = 0;
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/sluice.db", t->dir);
    int rc = sl_db_open(path, SL_DB_RW, &db, &t->err);
    rc = rc != 0 ? rc : sl_db_migrate(db, schemas, 1, &t->err);
    if (rc == 0) {
        rc = rebuild ? sl_registry_index_rebuild(t->registry, db, &t->err)
                     : sl_registry_index_sync(t->registry, db, &t->err);
    }
    rc = rc != 0 ? rc
                 : sl_db_get_i64(db, &versions, &t->err,
                                 SL_SQL("SELECT count(*) FROM registry_version"), "");
    rc = rc != 0 ? rc
                 : sl_db_get_i64(db, &aliases, &t->err,
                                 SL_SQL("SELECT count(*) FROM registry_alias"), "");
    if (rc == 0) {
        (void)printf("%lld versions %lld aliases\n", (long long)versions, (long long)aliases);
    }
    sl_db_close(db);
    return rc;
}

static int run(struct tool *t, const char *command, int n, char **args)
{
    if (sl_streq(command, "add") && n == 3) {
        return add(t, args);
    }
    if (sl_streq(command, "alias") && n == 4) {
        return alias(t, args);
    }
    if (sl_streq(command, "resolve") && n == 2) {
        return resolve(t, args);
    }
    if (sl_streq(command, "get") && n == 3) {
        return get(t, args);
    }
    if (sl_streq(command, "log") && n == 2) {
        return sl_registry_versions(t->registry, kind_arg(args[0]), args[1], print_version, NULL,
                                    &t->err);
    }
    if (sl_streq(command, "aliases") && n == 2) {
        return sl_registry_aliases(t->registry, kind_arg(args[0]), args[1], print_alias, NULL,
                                   &t->err);
    }
    if (sl_streq(command, "history") && n == 2) {
        return sl_registry_alias_history(t->registry, kind_arg(args[0]), args[1], NULL, print_event,
                                         NULL, &t->err);
    }
    if (sl_streq(command, "fsck")) {
        return check(t, n == 1);
    }
    if ((sl_streq(command, "index") || sl_streq(command, "rebuild")) && n == 0) {
        return bring_index(t, sl_streq(command, "rebuild"));
    }
    return sl_err_set(&t->err, SL_EINVAL, "usage: see the top of registry_tool.c");
}

int main(int argc, char **argv)
{
    struct tool t = {.err = SL_ERR_INIT};
    if (argc < 3) {
        (void)fprintf(stderr, "usage: registry_tool DIR COMMAND ...\n");
        return 2;
    }
    t.dir = argv[1];
    int rc = sl_fault_init(&t.err);
    if (rc == 0 && mkdir(t.dir, 0700) != 0 && errno != EEXIST) {
        rc = sl_err_errno(&t.err, errno, "cannot make '%s'", t.dir);
    }
    t.dirfd = open(t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = rc != 0 ? rc : sl_blob_store_open(t.dirfd, "blobs", &t.store, &t.err);
    rc = rc != 0 ? rc : sl_registry_open(t.dirfd, "default", t.store, &t.registry, &t.err);
    rc = rc != 0 ? rc : run(&t, argv[2], argc - 3, argv + 3);
    sl_registry_close(t.registry);
    sl_blob_store_close(t.store);
    (void)close(t.dirfd);
    if (rc != 0) {
        (void)fprintf(stderr, "%s: %s\n", sl_err_name(rc), t.err.msg);
        return sl_err_exit(rc);
    }
    return 0;
}

/**
 * Collecting content: what goes, what is young, what was found meanwhile, what a crash left aside.
 */
#include "core/base/base.h"

#include "core/blob/blob.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/sl_test.h"

struct world {
    char *dir;
    struct sl_blob_store *store;
    struct sl_err err;
    struct sl_digest old, young;
};

static char *path_of(const struct world *w, const struct sl_digest *d)
{
    char hex[SL_DIGEST_HEX + 1];
    char name[200];
    (void)sl_digest_hex(d, hex);
    (void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex + 2);
    return sl_test_path(w->dir, name);
}

/** Sets when content was last found, in seconds since 1970. */
static void set_found(const struct world *w, const struct sl_digest *d, int64_t second)
{
    char *path = path_of(w, d);
    const struct timespec times[2] = {{.tv_sec = second}, {.tv_sec = second}};
    SL_CHECK_EQ_INT(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static void open_world(struct world *w)
{
    *w = (struct world){.dir = sl_test_tmpdir()};
    char *path = sl_test_path(w->dir, "blobs");
    SL_CHECK_OK(sl_blob_store_open(AT_FDCWD, path, &w->store, &w->err), w->err);
    SL_CHECK_OK(sl_blob_put_bytes(w->store, "old", 3, &w->old, &w->err), w->err);
    SL_CHECK_OK(sl_blob_put_bytes(w->store, "young!", 6, &w->young, &w->err), w->err);
    set_found(w, &w->old, 1000);
    set_found(w, &w->young, 2000);
    free(path);
}

static void close_world(struct world *w)
{
    sl_blob_store_close(w->store);
    sl_test_rmdir(w->dir);
}

static struct sl_blob_collected collect(struct world *w, int64_t before_ms)
{
    const struct sl_digest all[] = {w->old, w->young, {{0}}}; /* the last was never stored */
    struct sl_blob_collected c;
    SL_CHECK_OK(sl_blob_collect(w->store, all, 3, before_ms, &c, &w->err), w->err);
    return c;
}

static bool is_there(const struct world *w, const struct sl_digest *d)
{
    char *path = path_of(w, d);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

SL_TEST(core_blob_collect, collect__takes_what_was_found_before)
{
    struct world w;
    open_world(&w);
    struct sl_blob_collected c = collect(&w, 1000000); /* found at that moment: young */
    SL_CHECK_EQ_INT(c.n_removed, 0);
    SL_CHECK_EQ_INT(c.n_young, 2);
    c = collect(&w, 1000001);
    SL_CHECK_EQ_INT(c.n_removed, 1);
    SL_CHECK_EQ_INT(c.n_young, 1);
    SL_CHECK_EQ_INT(c.bytes, 3);
    SL_CHECK(!is_there(&w, &w.old) && is_there(&w, &w.young));
    close_world(&w);
}

SL_TEST(core_blob_collect, found_again__by_session_or_question__is_young)
{
    struct world w;
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    open_world(&w);
    SL_CHECK_OK(sl_blob_session_begin(w.store, &s, &w.err), w.err);
    SL_CHECK_OK(sl_blob_session_add_bytes(s, "old", 3, &added, &w.err), w.err);
    SL_CHECK(added.existed);
    SL_CHECK(sl_blob_has(w.store, &w.young));
    struct sl_blob_collected c = collect(&w, 3000000);
    SL_CHECK_EQ_INT(c.n_removed, 0);
    SL_CHECK_EQ_INT(c.n_young, 2);
    SL_CHECK_OK(sl_blob_session_commit(s, &w.err), w.err);
    sl_blob_session_free(s);
    SL_CHECK_OK(sl_blob_verify(w.store, &w.old, &w.err), w.err);
    close_world(&w);
}

SL_TEST(core_blob_collect, open__after_a_crash__puts_back_what_was_aside)
{
    struct world w;
    char hex[SL_DIGEST_HEX + 1];
    open_world(&w);
    char *from = path_of(&w, &w.old);
    char *dir = sl_test_path(w.dir, "blobs/aside");
    char *aside = sl_test_path(dir, sl_digest_hex(&w.old, hex));
    SL_CHECK_EQ_INT(mkdir(dir, 0700), 0);
    SL_CHECK_EQ_INT(rename(from, aside), 0);
    SL_CHECK(!sl_blob_has(w.store, &w.old));
    struct sl_blob_store *again = NULL;
    char *path = sl_test_path(w.dir, "blobs");
    SL_CHECK_OK(sl_blob_store_open(AT_FDCWD, path, &again, &w.err), w.err);
    SL_CHECK_OK(sl_blob_verify(again, &w.old, &w.err), w.err);
    SL_CHECK(access(aside, F_OK) != 0);
    sl_blob_store_close(again);
    free(path);
    free(aside);
    free(dir);
    free(from);
    close_world(&w);
}

/**
 * The writer lane: one thread owns the only read-write connection, and groups commits.
 *
 * Requests are embedded in yours. The lane takes everything queued (at most SL_DB_BATCH_MAX), runs
 * each in its own savepoint inside ONE transaction, commits once, then hands every request back:
 * acknowledged means durable. Order of submission is order of execution. A request that fails
 * is undone alone; a COMMIT that fails fails every request of its batch.
 *
 *     submit ──► queue ──► [ BEGIN  SAVEPOINT fn  SAVEPOINT fn ...  COMMIT ] ──► post(w) ──► w->done
 *
 * Thread: submit and sync from any thread; fn on the writer thread; post on the writer thread.
 */
#ifndef SL_DB_WRITER_H
#define SL_DB_WRITER_H

#include "core/db/db.h"

#define SL_DB_BATCH_MAX 512   /* requests per transaction */
#define SL_DB_QUEUE_MAX 65536 /* requests waiting; one more is -SL_EBUSY */

struct sl_db_writer;

/** A write request, embedded in the caller's own. Fill fn, done, data; keep it until done. */
struct sl_db_write {
    /** On the writer thread, inside a savepoint. Negative: undone. Must not keep cursors open. */
    int (*fn)(struct sl_db *db, struct sl_db_write *w, struct sl_err *err);
    /** Exactly once, after the commit, wherever `post` brings it; may free the request. */
    void (*done)(struct sl_db_write *w);
    void *data;
    int rc;            /* result, valid in done: 0 = durable, negative = no effect */
    struct sl_err err; /* set when rc is negative */
    /* private */
    struct sl_db_write *next;
    bool direct;
};

struct sl_db_writer_opts {
    const char *path;
    const struct sl_schema *const *schemas; /* migrated before the thread starts */
    int n_schemas;
    /** Brings w to the thread where w->done must run, later; called on the writer thread.
     * NULL: done is called on the writer thread itself. */
    void (*post)(void *post_data, struct sl_db_write *w);
    void *post_data;
};

struct sl_db_writer_stats {
    uint64_t requests; /* finished, failed ones included */
    uint64_t failed;
    uint64_t commits;   /* transactions committed */
    uint64_t batch_max; /* largest batch so far */
};

/** Opens, migrates, starts the thread. Owner: caller; sl_db_writer_stop frees. */
int sl_db_writer_start(const struct sl_db_writer_opts *opts, struct sl_db_writer **ret_writer,
                       struct sl_err *err) SL_MUST_CHECK;

/** Runs and posts everything queued, joins, frees. Later submits are a bug. NULL allowed. */
void sl_db_writer_stop(struct sl_db_writer *writer);

/** Queues; 0, or -SL_EBUSY when SL_DB_QUEUE_MAX wait (then done is not called). Thread: any. */
int sl_db_write_submit(struct sl_db_writer *writer, struct sl_db_write *w) SL_MUST_CHECK;

/** Runs fn on the lane, blocks until durable. Not from the writer thread (asserted). */
int sl_db_write_sync(struct sl_db_writer *writer, sl_db_fn fn, void *arg, struct sl_err *err)
    SL_MUST_CHECK;

void sl_db_writer_stats(struct sl_db_writer *writer, struct sl_db_writer_stats *ret);

#endif

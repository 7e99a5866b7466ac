/** What the files of this room share. */
#ifndef SL_SOURCE_PRIV_H
#define SL_SOURCE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "registry/source/source.h"

/* ---- sink.c: bytes to a file and into digests, beside the transfer ---------------------------------- */

struct sink;
struct sink_sums {
    struct sl_digest sha256;
    char md5[SL_MD5_HEX + 1]; /* "" unless asked for */
    uint64_t bytes;
};
/** @param fd  where bytes go from its start; -1: nowhere, digests only. Not closed here. */
int sink_open(int fd, bool md5, struct sink **ret, struct sl_err *err) SL_MUST_CHECK;
/** Takes what the file has already into the digests: its first `bytes`. Directly after sink_open. */
int sink_preload(struct sink *s, uint64_t bytes, struct sl_err *err) SL_MUST_CHECK;
/** Everything so far is void. */
int sink_restart(struct sink *s, struct sl_err *err) SL_MUST_CHECK;
int sink_write(struct sink *s, const void *bytes, size_t len, struct sl_err *err) SL_MUST_CHECK;
/** Bytes that a power cut cannot take away. */
uint64_t sink_synced(struct sink *s);
/** Waits for all of it. */
int sink_finish(struct sink *s, struct sink_sums *ret, struct sl_err *err) SL_MUST_CHECK;
void sink_free(struct sink *s); /* NULL allowed; stops it */

/* ---- journal.c: files of an import that are done ------------------------------------------------------ */

/** One file, by the key that its source knows it by. Texts "" when unknown. */
struct done {
    const char *key, *etag, *version_id, *modified;
    uint64_t size;
    struct sl_digest sha256;
    struct sl_digest manifest; /* of the archive unpacked from it; zero: none */
};
struct journal;
/** Reads `done` in the directory; damaged lines are passed over. */
int journal_open(int dirfd, struct journal **ret, struct sl_err *err) SL_MUST_CHECK;
void journal_close(struct journal *j);                                     /* NULL allowed */
const struct done *journal_find(const struct journal *j, const char *key); /* or NULL */
/** Adds durably. What is found afterwards is the newest of a key. */
int journal_add(struct journal *j, const struct done *list, size_t n, struct sl_err *err)
    SL_MUST_CHECK;

/* ---- place.c: where an import works --------------------------------------------------------------------- */

/** What the partial file `part` holds, as far as a crash may have left it. */
struct part {
    char key[SL_FETCH_URL_MAX + 1], etag[256], modified[64];
    uint64_t bytes; /* trustworthy ones */
};
struct place {
    int dirfd; /* of <data>/import/<id>, locked */
};
/** -SL_EBUSY when somebody works there. */
int place_open(const struct sl_import_opts *opts, struct place *ret, struct sl_err *err)
    SL_MUST_CHECK;
void place_close(struct place *p);
/** Name of the partial file of worker `index`: "part", "part1", ... Returns out. */
#define PART_NAME 16
char *place_part_name(int index, char out[PART_NAME]);
/** The partial file of worker `index`, opened and cut to part->bytes; empty when it is not of `key`. */
int place_part(struct place *p, int index, const char *key, struct part *ret, int *ret_fd,
               struct sl_err *err) SL_MUST_CHECK;
int place_note(struct place *p, int index, const struct part *part, uint64_t synced,
               struct sl_err *err) SL_MUST_CHECK;
/** Which file worker `index` had on its way; caller frees; NULL: none. */
char *place_part_key(struct place *p, int index);

/* ---- objects.c: files that come over the network ------------------------------------------------------- */

struct object {
    const char *path; /* in the version */
    const char *key, *url;
    const char *etag, *modified; /* of the listing; "" */
    uint64_t size;               /* of the listing */
    struct done result;
    bool have, claimed;
};
#define IMPORT_WORKERS 4 /* files at once; of S3, where most of the time is waiting */
struct import {
    const struct sl_import_opts *opts;
    struct place place;
    struct sl_fetcher *fetcher; /* of the listing and of the first worker */
    atomic_bool stop;
    pthread_mutex_t lock; /* guards all below while workers run */
    size_t next;          /* first object that may be unclaimed */
    struct sl_arena arena;
    struct journal *journal;
    struct sl_blob_session *session;
    SL_VEC(struct object) objects;
    SL_VEC(struct done) staged; /* in the session, not yet committed */
    uint64_t staged_bytes;
    struct sl_import_progress progress;
    struct sl_imported out;
};
/** Lists what the source consists of. */
int objects_list(struct import *im, struct sl_err *err) SL_MUST_CHECK;
/** Brings one with the fetcher given, as worker `index`. */
int objects_fetch_one(struct import *im, int index, struct sl_fetcher *f, struct object *o,
                      struct sl_err *err) SL_MUST_CHECK;
/** Makes durable what is staged. */
int objects_commit(struct import *im, struct sl_err *err) SL_MUST_CHECK;
/** Adds to the progress and tells it. Takes the lock. */
void import_progress(struct import *im, int64_t bytes, uint64_t files);

/* ---- workers.c ----------------------------------------------------------------------------------------- */

/** Brings every object: content durable, result filled in. */
int workers_run(struct import *im, struct sl_err *err) SL_MUST_CHECK;
/** For fetchers of the import: its caller wants no more, or one of its files failed. */
bool workers_cancelled(void *import);

/* ---- unpack.c ------------------------------------------------------------------------------------------ */

/** Unpacks the archive in `fd` into the store and a sealed manifest. */
int unpack_archive(struct sl_blob_store *blobs, int fd, struct sl_manifest *ret, struct sl_err *err)
    SL_MUST_CHECK;

/* ---- record.c ------------------------------------------------------------------------------------------ */

/** Whether the query of a URL looks like it authenticates somebody. */
bool url_has_secret(const char *url);
/** New reference. `objects` may be empty. */
json_t *record_new(const struct sl_import_opts *opts, const struct object *objects, size_t n);

#endif

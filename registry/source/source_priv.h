/** What the files of this room share. */
#ifndef SL_SOURCE_PRIV_H
#define SL_SOURCE_PRIV_H

#include <pthread.h>

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
/** The partial file of `key`, opened and cut to part->bytes; empty when it was of another key. */
int place_part(struct place *p, const char *key, struct part *ret, int *ret_fd, struct sl_err *err)
    SL_MUST_CHECK;
int place_note(struct place *p, const struct part *part, uint64_t synced, struct sl_err *err)
    SL_MUST_CHECK;

/* ---- objects.c: files that come over the network ------------------------------------------------------- */

struct object {
    const char *path; /* in the version */
    const char *key, *url;
    const char *etag, *modified; /* of the listing; "" */
    uint64_t size;               /* of the listing */
    struct done result;
    bool have;
};
struct import {
    const struct sl_import_opts *opts;
    struct sl_arena arena;
    struct place place;
    struct journal *journal;
    struct sl_fetcher *fetcher;
    struct sl_blob_session *session;
    SL_VEC(struct object) objects;
    SL_VEC(struct done) staged; /* in the session, not yet committed */
    uint64_t staged_bytes;
    struct sl_import_progress progress;
    struct sl_imported out;
};
/** Lists what the source consists of. */
int objects_list(struct import *im, struct sl_err *err) SL_MUST_CHECK;
/** Brings every one: content durable, result filled in. */
int objects_fetch(struct import *im, struct sl_err *err) SL_MUST_CHECK;
void import_progress(struct import *im, int64_t bytes, uint64_t files);

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

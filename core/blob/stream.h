/**
 * Content that comes piece by piece, or lies finished in a file of ours, into a session.
 *
 * Thread: a stream belongs to one thread at a time. Blocks: yes. Must not: promise anything before
 * sl_blob_session_commit.
 */
#ifndef SL_BLOB_STREAM_H
#define SL_BLOB_STREAM_H

#include "core/blob/blob.h"

struct sl_blob_stream;

/** Begins one piece of content. Owner: sl_blob_stream_close or sl_blob_stream_abort, exactly one. */
int sl_blob_stream_open(struct sl_blob_session *session, struct sl_blob_stream **ret,
                        struct sl_err *err) SL_MUST_CHECK;
int sl_blob_stream_write(struct sl_blob_stream *s, const void *bytes, size_t len,
                         struct sl_err *err) SL_MUST_CHECK;
/** Ends it; frees the stream in every case. */
int sl_blob_stream_close(struct sl_blob_stream *s, struct sl_blob_added *ret, struct sl_err *err)
    SL_MUST_CHECK;
void sl_blob_stream_abort(struct sl_blob_stream *s); /* NULL allowed */

/**
 * Takes the file `name` in `dirfd` over without copying it: afterwards it is gone from there. The caller
 * vouches for the digest and that nobody else has the file open. On another file system it is copied (and
 * its digest checked), and stays.
 * @return 0; -SL_ECORRUPT when a copy has another digest; -SL_ENOSPACE; -SL_EIO
 */
int sl_blob_session_adopt(struct sl_blob_session *session, int dirfd, const char *name,
                          const struct sl_digest *digest, struct sl_blob_added *ret,
                          struct sl_err *err) SL_MUST_CHECK;

#endif

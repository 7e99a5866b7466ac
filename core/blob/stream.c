/* See stream.h. Up to one chunk is kept in memory and written only when the store lacks it. */
#include "core/base/base.h"

#include "core/blob/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs.h"
#include "core/blob/blob_priv.h"

struct sl_blob_stream {
    struct sl_blob_session *session;
    struct sl_sha256_ctx *sha; /* once it is longer than one chunk */
    int fd;
    uint64_t seq;
    uint64_t size;
    size_t held;
    char chunk[BLOB_CHUNK_BYTES];
};

/* A failure to write: the session promises nothing any more. */
static int fail(struct sl_blob_session *s, int rc, const struct sl_err *err)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->dead.code == 0) {
        (void)sl_err_set(&s->dead, -rc, "%s",
                         err != NULL ? err->msg : "an earlier write of this session failed");
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

int sl_blob_stream_open(struct sl_blob_session *session, struct sl_blob_stream **ret,
                        struct sl_err *err)
{
    (void)err;
    struct sl_blob_stream *s = sl_malloc(sizeof(*s));
    s->session = session;
    s->sha = NULL;
    s->fd = -1;
    s->seq = s->size = 0;
    s->held = 0;
    *ret = s;
    return 0;
}

static int write_out(struct sl_blob_stream *s, struct sl_err *err)
{
    int rc = 0;
    if (s->fd < 0) {
        s->sha = sl_sha256_new();
        s->fd = blob_stage_open(s->session, &s->seq, 0, err);
        rc = SL_MIN(s->fd, 0);
    }
    int fault = rc == 0 ? SL_FAULT_POINT(BLOB_STAGE) : 0;
    if (fault != 0) {
        rc = sl_err_errno(err, fault, "cannot write to the content store");
    }
    if (rc == 0) {
        sl_sha256_update(s->sha, s->chunk, s->held);
        rc = sl_write_all(s->fd, s->chunk, s->held, err);
    }
    s->held = 0;
    return rc < 0 ? fail(s->session, rc, err) : 0;
}

int sl_blob_stream_write(struct sl_blob_stream *s, const void *bytes, size_t len,
                         struct sl_err *err)
{
    const char *from = bytes;
    s->size += len;
    while (len > 0) {
        if (s->held == sizeof(s->chunk)) {
            int rc = write_out(s, err);
            if (rc < 0) {
                return rc;
            }
        }
        size_t n = SL_MIN(len, sizeof(s->chunk) - s->held);
        memcpy(s->chunk + s->held, from, n);
        s->held += n;
        from += n;
        len -= n;
    }
    return 0;
}

int sl_blob_stream_close(struct sl_blob_stream *s, struct sl_blob_added *ret, struct sl_err *err)
{
    int rc = 0;
    struct sl_blob_added added = {.size_bytes = s->size};
    if (s->fd < 0) {
        rc = sl_blob_session_add_bytes(s->session, s->chunk, s->held, &added, err);
    } else {
        rc = write_out(s, err);
        if (rc == 0) {
            sl_sha256_final(s->sha, &added.digest);
            sl_cleanup_close(&s->fd);
            s->fd = -1;
            rc = blob_stage_done(s->session, s->seq, &added, err);
        }
    }
    if (rc == 0) {
        *ret = added;
    }
    sl_blob_stream_abort(s);
    return rc;
}

void sl_blob_stream_abort(struct sl_blob_stream *s)
{
    if (s == NULL) {
        return;
    }
    if (s->fd >= 0) {
        sl_cleanup_close(&s->fd);
        blob_stage_drop(s->session, s->seq);
    }
    sl_sha256_free(s->sha);
    free(s);
}

static int copy_in(struct sl_blob_session *session, int dirfd, const char *name,
                   const struct sl_digest *digest, struct sl_blob_added *ret, struct sl_err *err)
{
    struct sl_blob_added added;
    int rc = sl_blob_session_add_path(session, dirfd, name, &added, err);
    if (rc == 0 && !sl_digest_eq(&added.digest, digest)) {
        rc = fail(session, sl_err_set(err, SL_ECORRUPT, "%s changed after it was hashed", name),
                  err);
    }
    if (rc == 0) {
        *ret = added;
    }
    return rc;
}

int sl_blob_session_adopt(struct sl_blob_session *session, int dirfd, const char *name,
                          const struct sl_digest *digest, struct sl_blob_added *ret,
                          struct sl_err *err)
{
    struct stat st;
    struct sl_blob_added added = {.digest = *digest};
    uint64_t seq = 0;
    char stage[BLOB_STAGE_NAME];
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_EIO, "cannot take over '%s'", name);
    }
    int fault = SL_FAULT_POINT(BLOB_STAGE);
    if (fault != 0) {
        return fail(session, sl_err_errno(err, fault, "cannot write to the content store"), err);
    }
    added.size_bytes = (uint64_t)st.st_size;
    int rc = blob_stage_next(session, &seq, stage, err);
    if (rc < 0) {
        return rc;
    }
    if (fchmodat(dirfd, name, 0444, 0) != 0) {
        return fail(session, sl_err_errno(err, errno, "cannot set the mode of '%s'", name), err);
    }
    if (renameat(dirfd, name, session->dir_fd, stage) != 0) {
        return errno == EXDEV
                   ? copy_in(session, dirfd, name, digest, ret, err)
                   : fail(session, sl_err_errno(err, errno, "cannot take over '%s'", name), err);
    }
    rc = blob_stage_done(session, seq, &added, err);
    if (rc == 0) {
        *ret = added;
    }
    return rc;
}

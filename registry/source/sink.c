/**
 * Bytes to a file and into digests on a thread of their own, so that the transfer goes on meanwhile: hashing
 * takes as long as receiving.
 *
 * Thread: one feeds; the sink has another. Must not: grow beyond its buffers.
 */
#include "core/base/base.h"

#include "registry/source/source_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"

#define N_BUFFERS    8
#define BUFFER_BYTES ((size_t)512 << 10)
#define SYNC_EVERY   ((uint64_t)256 << 20)

struct sink {
    int fd;
    struct sl_sha256_ctx *sha;
    struct sl_md5_ctx *md5; /* NULL: not asked for */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *buffers[N_BUFFERS];
    size_t lens[N_BUFFERS];
    size_t filling;             /* bytes in the buffer being filled; the feeder's */
    uint64_t n_filled, n_taken; /* buffers */
    uint64_t bytes, synced;     /* taken */
    bool closed;
    struct sl_err failed;
};

static int write_at(int fd, const char *bytes, size_t len, uint64_t offset, struct sl_err *err)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return sl_err_errno(err, errno, "cannot write what arrives");
        }
        bytes += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int take(struct sink *s, const char *bytes, size_t len, struct sl_err *err)
{
    int rc = s->fd >= 0 ? write_at(s->fd, bytes, len, s->bytes, err) : 0;
    sl_sha256_update(s->sha, bytes, len);
    if (s->md5 != NULL) {
        sl_md5_update(s->md5, bytes, len);
    }
    if (rc == 0 && s->fd >= 0) { /* write back now, so that the final sync finds little left */
        (void)sync_file_range(s->fd, (off_t)s->bytes, (off_t)len, SYNC_FILE_RANGE_WRITE);
    }
    return rc;
}

static void *sink_main(void *arg)
{
    struct sink *s = arg;
    (void)pthread_mutex_lock(&s->lock);
    for (;;) {
        if (s->n_taken == s->n_filled) {
            if (s->closed) {
                break;
            }
            (void)pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        size_t at = s->n_taken % N_BUFFERS;
        bool sync = s->fd >= 0 && s->bytes - s->synced >= SYNC_EVERY;
        bool dead = s->failed.code != 0;
        (void)pthread_mutex_unlock(&s->lock);
        struct sl_err err = SL_ERR_INIT;
        int rc = dead ? 0 : take(s, s->buffers[at], s->lens[at], &err);
        bool synced = rc == 0 && sync && fdatasync(s->fd) == 0;
        (void)pthread_mutex_lock(&s->lock);
        s->bytes += s->lens[at];
        s->synced = synced ? s->bytes : s->synced;
        if (rc < 0) {
            s->failed = err;
        }
        s->n_taken++;
        (void)pthread_cond_broadcast(&s->changed);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

int sink_open(int fd, bool md5, struct sink **ret, struct sl_err *err)
{
    struct sink *s = SL_NEW(struct sink);
    s->fd = fd;
    s->sha = sl_sha256_new();
    s->md5 = md5 ? sl_md5_new() : NULL;
    for (size_t i = 0; i < N_BUFFERS; i++) {
        s->buffers[i] = sl_malloc(BUFFER_BYTES);
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    int failed = pthread_create(&s->thread, NULL, sink_main, s);
    if (failed != 0) {
        s->closed = true;
        s->thread = 0;
        sink_free(s);
        return sl_err_errno(err, failed, "cannot start a thread");
    }
    *ret = s;
    return 0;
}

int sink_preload(struct sink *s, uint64_t bytes, struct sl_err *err)
{
    while (s->bytes < bytes) { /* the thread sleeps: nothing was handed to it */
        size_t want = (size_t)SL_MIN(bytes - s->bytes, (uint64_t)BUFFER_BYTES);
        ssize_t n = pread(s->fd, s->buffers[0], want, (off_t)s->bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return sl_err_errno(err, n < 0 ? errno : EIO, "cannot read what arrived before");
        }
        sl_sha256_update(s->sha, s->buffers[0], (size_t)n);
        if (s->md5 != NULL) {
            sl_md5_update(s->md5, s->buffers[0], (size_t)n);
        }
        s->bytes += (uint64_t)n;
    }
    return 0;
}

static int failure(struct sink *s, struct sl_err *err)
{
    if (s->failed.code == 0) {
        return 0;
    }
    if (err != NULL) {
        *err = s->failed;
    }
    return -s->failed.code;
}

static void hand_over(struct sink *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->lens[s->n_filled % N_BUFFERS] = s->filling;
    s->filling = 0;
    s->n_filled++;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Waits until at most `left` buffers are untaken. */
static int wait_for(struct sink *s, uint64_t left, struct sl_err *err)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->n_filled - s->n_taken > left) {
        (void)pthread_cond_wait(&s->changed, &s->lock);
    }
    int rc = failure(s, err);
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

int sink_write(struct sink *s, const void *bytes, size_t len, struct sl_err *err)
{
    const char *from = bytes;
    while (len > 0) {
        if (s->filling == 0) {
            int rc = wait_for(s, N_BUFFERS - 1, err);
            if (rc < 0) {
                return rc;
            }
        }
        size_t n = SL_MIN(len, BUFFER_BYTES - s->filling);
        memcpy(s->buffers[s->n_filled % N_BUFFERS] + s->filling, from, n);
        s->filling += n;
        from += n;
        len -= n;
        if (s->filling == BUFFER_BYTES) {
            hand_over(s);
        }
    }
    return 0;
}

static int drain(struct sink *s, struct sl_err *err)
{
    if (s->filling > 0) {
        hand_over(s);
    }
    return wait_for(s, 0, err);
}

int sink_restart(struct sink *s, struct sl_err *err)
{
    struct sl_digest ignored;
    char hex[SL_MD5_HEX + 1];
    int rc = drain(s, err);
    if (rc == 0 && s->fd >= 0 && ftruncate(s->fd, 0) != 0) {
        rc = sl_err_errno(err, errno, "cannot empty the partial file");
    }
    sl_sha256_final(s->sha, &ignored);
    if (s->md5 != NULL) {
        (void)sl_md5_final(s->md5, hex);
    }
    s->bytes = s->synced = 0;
    return rc;
}

uint64_t sink_synced(struct sink *s)
{
    (void)pthread_mutex_lock(&s->lock);
    uint64_t synced = s->synced;
    (void)pthread_mutex_unlock(&s->lock);
    return synced;
}

int sink_finish(struct sink *s, struct sink_sums *ret, struct sl_err *err)
{
    int rc = drain(s, err);
    if (rc < 0) {
        return rc;
    }
    ret->md5[0] = '\0';
    ret->bytes = s->bytes;
    sl_sha256_final(s->sha, &ret->sha256);
    if (s->md5 != NULL) {
        (void)sl_md5_final(s->md5, ret->md5);
    }
    return 0;
}

void sink_free(struct sink *s)
{
    if (s == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&s->lock);
    bool running = !s->closed;
    s->closed = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    if (running) {
        (void)pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < N_BUFFERS; i++) {
        free(s->buffers[i]);
    }
    sl_sha256_free(s->sha);
    sl_md5_free(s->md5);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/**
 * Files over the network: what the source lists, what the journal knows already, the rest by a download that
 * survives cuts and crashes.
 *
 * Thread: a worker's; what workers share is under the import's lock. Must not: put bytes into the store whose checksum is wrong.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/blob/stream.h"
#include "core/http/download.h"
#include "core/http/url.h"
#include "registry/source/s3_priv.h"
#include "registry/source/source_priv.h"

#define BATCH_FILES 64
#define BATCH_BYTES ((uint64_t)256 << 20)

void import_progress(struct import *im, int64_t bytes, uint64_t files)
{
    (void)pthread_mutex_lock(&im->lock);
    im->progress.bytes = (uint64_t)((int64_t)im->progress.bytes + bytes);
    im->progress.files += files;
    struct sl_import_progress now = im->progress;
    (void)pthread_mutex_unlock(&im->lock);
    if (im->opts->progress != NULL) {
        im->opts->progress(&now, im->opts->data);
    }
}

/* ---- listing ------------------------------------------------------------------------------------------ */

/* Last component of the URL's path, decoded; "data" when there is none. */
static int name_of_url(const char *url, struct sl_arena *a, const char **ret, struct sl_err *err)
{
    char plain[SL_FETCH_URL_MAX + 1];
    const char *host = strstr(sl_fetch_url_public(url, plain), "://");
    const char *slash = host != NULL ? strrchr(host + 3, '/') : NULL;
    *ret = "data";
    if (slash == NULL || slash[1] == '\0') {
        return 0;
    }
    return sl_url_decode(sl_str_c(slash + 1), false, a, ret, err);
}

static int check_path(const char *path, struct sl_err *err)
{
    int rc = sl_path_check(path, err);
    return rc < 0 ? sl_err_wrap(err, "'%.300s' cannot be a file of a version", path) : 0;
}

static int list_url(struct import *im, struct sl_err *err)
{
    const char *url = im->opts->source.url;
    struct object o = {.key = url, .url = url, .etag = "", .modified = "", .path = im->opts->as};
    int rc = o.path == NULL ? name_of_url(url, &im->arena, &o.path, err) : 0;
    rc = rc < 0 ? rc : check_path(o.path, err);
    if (rc == 0) {
        sl_vec_push(&im->objects, o);
    }
    return rc;
}

static int add_object(const struct s3_object *from, void *data, struct sl_err *err)
{
    struct import *im = data;
    const struct sl_source *s = &im->opts->source;
    size_t len = strlen(s->prefix);
    const char *rest = from->key + len;
    if (im->objects.n >= SL_SOURCE_OBJECTS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "more than %d objects", SL_SOURCE_OBJECTS_MAX);
    }
    if (*rest == '\0') { /* the object itself */
        const char *slash = strrchr(from->key, '/');
        rest = slash != NULL ? slash + 1 : from->key;
    }
    rest += *rest == '/' ? 1 : 0;
    struct object o = {.size = from->size};
    o.path = sl_arena_strdup(&im->arena, rest);
    o.key = sl_arena_strdup(&im->arena, from->key);
    o.etag = sl_arena_strdup(&im->arena, from->etag);
    o.modified = sl_arena_strdup(&im->arena, from->modified);
    o.url = s3_url(im->opts->access, s->bucket, from->key, NULL, &im->arena);
    int rc = check_path(o.path, err);
    if (rc == 0) {
        im->progress.bytes_total += o.size;
        sl_vec_push(&im->objects, o);
    }
    return rc;
}

int objects_list(struct import *im, struct sl_err *err)
{
    const struct sl_source *s = &im->opts->source;
    int rc = 0;
    if (s->kind == SL_SOURCE_HTTP) {
        rc = list_url(im, err);
    } else {
        rc = s3_list(im->fetcher, im->opts->access, s, add_object, im, err);
        if (rc == 0 && im->objects.n == 0) {
            rc = sl_err_set(err, SL_ENOTFOUND, "s3://%s/%s names no object", s->bucket, s->prefix);
        }
        if (rc == 0 && im->opts->as != NULL && im->objects.n == 1) {
            im->objects.items[0].path = im->opts->as;
            rc = check_path(im->opts->as, err);
        }
    }
    if (rc == 0 && im->objects.n > 1 && (im->opts->extract || im->opts->as != NULL)) {
        rc = sl_err_set(err, SL_EINVAL, "%s is for one file; the source has %zu",
                        im->opts->extract ? "--extract" : "--as", im->objects.n);
    }
    im->progress.files_total = im->objects.n;
    return rc;
}

/* ---- one file ----------------------------------------------------------------------------------------- */

struct arrival {
    struct import *im;
    int index; /* of the worker */
    struct sl_fetcher *fetcher;
    struct object *o;
    struct sink *sink;
    struct part part;
    int fd;           /* -1: nothing is kept */
    uint64_t counted; /* in the progress */
    uint64_t noted;   /* synced bytes that part.json tells */
    uint64_t fetched;
    struct sl_fetch_head head;
};

static int on_start(const struct sl_fetch_head *head, uint64_t offset, int64_t total, void *data,
                    struct sl_err *err)
{
    struct arrival *a = data;
    struct import *im = a->im;
    int rc = 0;
    a->head = *head;
    if (im->opts->source.kind == SL_SOURCE_S3 && a->o->etag[0] != '\0' &&
        !sl_streq(head->etag, a->o->etag)) {
        return sl_err_set(err, SL_ECONFLICT, "it changed after it was listed; import again");
    }
    if (offset == 0) {
        rc = sink_restart(a->sink, err);
        import_progress(im, -(int64_t)a->counted, 0);
        a->counted = 0;
    }
    if (im->opts->source.kind == SL_SOURCE_HTTP) {
        im->progress.bytes_total = total > 0 ? (uint64_t)total : 0;
    }
    (void)snprintf(a->part.etag, sizeof(a->part.etag), "%s",
                   sl_etag_strong(head->etag) ? head->etag : "");
    (void)snprintf(a->part.modified, sizeof(a->part.modified), "%s", head->last_modified);
    a->noted = 0;
    return rc < 0 || a->fd < 0 ? rc : place_note(&im->place, a->index, &a->part, 0, err);
}

static int on_data(const void *bytes, size_t len, void *data, struct sl_err *err)
{
    struct arrival *a = data;
    int rc = sink_write(a->sink, bytes, len, err);
    a->counted += len;
    import_progress(a->im, (int64_t)len, 0);
    a->fetched += len;
    uint64_t synced = rc == 0 && a->fd >= 0 ? sink_synced(a->sink) : 0;
    if (synced > a->noted) {
        a->noted = synced;
        rc = place_note(&a->im->place, a->index, &a->part, synced, err);
    }
    return rc;
}

/* Checksums that the source itself gave. An ETag is an MD5 only of what was stored in one piece. */
static int check_sums(const struct arrival *a, const struct sink_sums *sums, struct sl_err *err)
{
    char own[SL_BASE64_BYTES(SL_DIGEST_BYTES)];
    const struct sl_fetch_head *h = &a->head;
    bool s3 = a->im->opts->source.kind == SL_SOURCE_S3;
    if (s3 && sums->bytes != a->o->size) {
        return sl_err_set(err, SL_ECORRUPT, "%s: listed with %llu bytes, received %llu", a->o->path,
                          (unsigned long long)a->o->size, (unsigned long long)sums->bytes);
    }
    bool whole = h->sha256[0] != '\0' && strchr(h->sha256, '-') == NULL;
    if (whole && !sl_streq(sl_base64(sums->sha256.b, sizeof(sums->sha256.b), own), h->sha256)) {
        return sl_err_set(err, SL_ECORRUPT, "%s: the source says SHA-256 %s, received %s",
                          a->o->path, h->sha256, own);
    }
    bool plain = h->encryption[0] == '\0' || sl_streq(h->encryption, "AES256");
    bool md5 = s3 && plain && strlen(h->etag) == SL_MD5_HEX + 2 &&
               strspn(h->etag + 1, "0123456789abcdef") == SL_MD5_HEX;
    if (md5 && strncmp(h->etag + 1, sums->md5, SL_MD5_HEX) != 0) {
        return sl_err_set(err, SL_ECORRUPT, "%s: the source says MD5 %.32s, received %s",
                          a->o->path, h->etag + 1, sums->md5);
    }
    return 0;
}

static void fill_done(struct arrival *a, const struct sink_sums *sums)
{
    struct sl_arena *arena = &a->im->arena;
    a->o->result = (struct done){.key = a->o->key,
                                 .etag = sl_arena_strdup(arena, a->head.etag),
                                 .version_id = sl_arena_strdup(arena, a->head.version_id),
                                 .modified = sl_arena_strdup(arena, a->head.last_modified),
                                 .size = sums->bytes,
                                 .sha256 = sums->sha256};
    a->o->have = true;
}

int objects_commit(struct import *im, struct sl_err *err)
{
    int rc = im->session != NULL ? sl_blob_session_commit(im->session, err) : 0;
    rc = rc < 0 ? rc : journal_add(im->journal, im->staged.items, im->staged.n, err);
    sl_blob_session_free(im->session);
    im->session = NULL;
    im->staged.n = 0;
    im->staged_bytes = 0;
    return rc;
}

static int unpack(struct arrival *a, struct sl_err *err)
{
    _cleanup_(manifest)
    struct sl_manifest m;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
    struct import *im = a->im;
    char name[PART_NAME];
    sl_manifest_init(&m);
    int rc = lseek(a->fd, 0, SEEK_SET) == 0 ? 0 : sl_err_errno(err, errno, "cannot rewind");
    rc = rc < 0 ? rc : unpack_archive(im->opts->blobs, a->fd, &m, err);
    rc = rc < 0 ? rc : sl_manifest_encode(&m, &text, err);
    rc = rc < 0 ? rc
                : sl_blob_put_bytes(im->opts->blobs, sl_buf_str(&text), text.len,
                                    &a->o->result.manifest, err);
    sl_vec_push(&im->staged, a->o->result);
    rc = rc < 0 ? rc : objects_commit(im, err);
    if (rc == 0) {
        (void)unlinkat(im->place.dirfd, place_part_name(a->index, name), 0);
    }
    return rc;
}

/* With the lock. */
static int keep(struct arrival *a, struct sl_err *err)
{
    struct import *im = a->im;
    struct sl_blob_added added;
    char name[PART_NAME];
    if (im->opts->extract) {
        return unpack(a, err);
    }
    int rc = im->opts->reference || im->session != NULL
                 ? 0
                 : sl_blob_session_begin(im->opts->blobs, &im->session, err);
    if (rc == 0 && !im->opts->reference) {
        rc = sl_blob_session_adopt(im->session, im->place.dirfd, place_part_name(a->index, name),
                                   &a->o->result.sha256, &added, err);
    }
    if (rc < 0) {
        return rc;
    }
    sl_vec_push(&im->staged, a->o->result);
    im->staged_bytes += a->o->result.size;
    return im->staged.n >= BATCH_FILES || im->staged_bytes >= BATCH_BYTES ? objects_commit(im, err)
                                                                          : 0;
}

static int receive(struct arrival *a, const struct done *known, struct sl_err *err)
{
    struct import *im = a->im;
    struct sl_downloaded got = {.bytes = 0};
    struct sink_sums sums;
    struct sl_download d = {
        .url = a->o->url,
        .aws = im->opts->source.kind == SL_SOURCE_S3 ? im->opts->access->aws : NULL,
        .have_bytes = a->part.bytes,
        .have_etag = a->part.etag,
        .have_modified = a->part.modified,
        .known_etag = known != NULL ? known->etag : NULL,
        .known_modified = known != NULL ? known->modified : NULL,
        .on_start = on_start,
        .on_data = on_data,
        .data = a,
    };
    int rc = a->part.bytes > 0 ? sink_preload(a->sink, a->part.bytes, err) : 0;
    a->counted = a->part.bytes;
    import_progress(im, (int64_t)a->part.bytes, 0);
    rc = rc < 0 ? rc : sl_download(a->fetcher, &d, &got, err);
    (void)pthread_mutex_lock(&im->lock);
    im->out.fetched_bytes += a->fetched;
    im->out.resumed += got.resumed;
    im->out.restarted += got.restarted;
    (void)pthread_mutex_unlock(&im->lock);
    if (rc == 0 && got.head.status == 304 && known != NULL) {
        a->o->result = *known;
        a->o->have = true;
        return 0;
    }
    if (rc == 0 && got.head.status == 416) { /* it had arrived whole before the last crash */
        a->head = got.head;
        (void)snprintf(a->head.etag, sizeof(a->head.etag), "%s", a->part.etag);
        (void)snprintf(a->head.last_modified, sizeof(a->head.last_modified), "%s",
                       a->part.modified);
    }
    rc = rc < 0 ? rc : sink_finish(a->sink, &sums, err);
    if (rc < 0) {
        return rc;
    }
    rc = check_sums(a, &sums, err);
    if (rc < 0) { /* nothing of it is worth resuming */
        (void)!ftruncate(a->fd, 0);
        return rc;
    }
    (void)pthread_mutex_lock(&im->lock);
    fill_done(a, &sums);
    rc = keep(a, err);
    (void)pthread_mutex_unlock(&im->lock);
    return rc;
}

/* The journal's row when what it speaks of is still there. */
static const struct done *usable(struct import *im, const char *key)
{
    (void)pthread_mutex_lock(&im->lock);
    const struct done *d = journal_find(im->journal, key); /* rows stay where they are */
    (void)pthread_mutex_unlock(&im->lock);
    if (d == NULL || im->opts->reference) {
        return d;
    }
    const struct sl_digest *needed = im->opts->extract ? &d->manifest : &d->sha256;
    return !sl_digest_is_zero(needed) && sl_blob_has(im->opts->blobs, needed) ? d : NULL;
}

static void count_reused(struct import *im, uint64_t bytes)
{
    (void)pthread_mutex_lock(&im->lock);
    im->out.reused_bytes += bytes;
    im->out.reused_files++;
    (void)pthread_mutex_unlock(&im->lock);
}

int objects_fetch_one(struct import *im, int index, struct sl_fetcher *f, struct object *o,
                      struct sl_err *err)
{
    const struct done *known = usable(im, o->key);
    bool s3 = im->opts->source.kind == SL_SOURCE_S3;
    if (s3 && known != NULL && o->etag[0] != '\0' && sl_streq(known->etag, o->etag) &&
        known->size == o->size) {
        o->result = *known;
        o->have = true;
        count_reused(im, o->size);
        import_progress(im, (int64_t)o->size, 1);
        return 0;
    }
    struct arrival a = {.im = im, .index = index, .fetcher = f, .o = o, .fd = -1};
    int rc = 0;
    if (!im->opts->reference) {
        rc = place_part(&im->place, index, o->key, &a.part, &a.fd, err);
    }
    if (rc == 0 && s3 && a.part.bytes > 0 && !sl_streq(a.part.etag, o->etag)) {
        a.part.bytes = 0;
        rc = ftruncate(a.fd, 0) == 0 ? 0 : sl_err_errno(err, errno, "cannot empty a file");
    }
    rc = rc < 0 ? rc : sink_open(a.fd, s3, &a.sink, err);
    rc = rc < 0 ? rc : receive(&a, known, err);
    sink_free(a.sink);
    sl_cleanup_close(&a.fd);
    if (rc < 0) {
        return im->objects.n > 1 ? sl_err_wrap(err, "%s", o->path) : rc;
    }
    if (known != NULL && o->result.key == known->key) {
        count_reused(im, known->size);
        import_progress(im, (int64_t)known->size, 0);
    }
    import_progress(im, 0, 1);
    return 0;
}

/* The import of a source, from its text to a manifest. Thread: the caller's. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "registry/ingest.h"
#include "registry/source/source_priv.h"

/* ---- texts -------------------------------------------------------------------------------------------- */

static int parse_s3(const char *text, struct sl_arena *a, struct sl_source *ret, struct sl_err *err)
{
    const char *bucket = text + strlen("s3://");
    size_t n = strcspn(bucket, "/");
    bool good = n >= 3 && n <= 63;
    for (size_t i = 0; i < n; i++) {
        char c = bucket[i];
        good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                        c == '_' || (c >= 'A' && c <= 'Z'));
    }
    if (!good || strncmp(bucket, "..", 2) == 0) {
        return sl_err_set(err, SL_EINVAL, "'%.100s' is not s3://BUCKET/PREFIX", text);
    }
    ret->kind = SL_SOURCE_S3;
    ret->bucket = sl_arena_strndup(a, bucket, n);
    ret->prefix = sl_arena_strdup(a, bucket[n] == '/' ? bucket + n + 1 : "");
    return strlen(ret->prefix) <= 1024
               ? 0
               : sl_err_set(err, SL_ELIMIT, "an S3 key has at most 1024 bytes");
}

int sl_source_parse(const char *text, struct sl_arena *a, struct sl_source *ret, struct sl_err *err)
{
    memset(ret, 0, sizeof(*ret));
    if (strlen(text) > SL_SOURCE_TEXT_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a source is longer than %d bytes", SL_SOURCE_TEXT_MAX);
    }
    if (strncasecmp(text, "s3://", 5) == 0) {
        return parse_s3(text, a, ret, err);
    }
    if (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0) {
        ret->kind = SL_SOURCE_HTTP;
        ret->url = sl_arena_strdup(a, text);
        return 0;
    }
    if (strstr(text, "://") != NULL && !sl_starts_with(text, "/") && !sl_starts_with(text, ".")) {
        return sl_err_set(err, SL_EINVAL,
                          "'%.60s' is no source; sources are paths, https:// and s3:// addresses",
                          text);
    }
    char *real = realpath(text, NULL);
    if (real == NULL) {
        return sl_err_errno(err, errno, "cannot open '%s'", text);
    }
    ret->kind = SL_SOURCE_PATH;
    ret->path = sl_arena_strdup(a, real);
    free(real);
    return 0;
}

/* ---- paths -------------------------------------------------------------------------------------------- */

struct counter {
    const struct sl_import_opts *opts;
    atomic_uint_least64_t bytes, files;
};

static void count_file(uint64_t bytes, void *data)
{
    struct counter *c = data;
    struct sl_import_progress p = {.bytes = atomic_fetch_add(&c->bytes, bytes) + bytes,
                                   .files = atomic_fetch_add(&c->files, 1) + 1};
    if (c->opts->progress != NULL) {
        c->opts->progress(&p, c->opts->data);
    }
}

/* Pins of the files as they lie there. */
static json_t *path_record(const struct sl_import_opts *opts, const struct sl_manifest *m,
                           struct sl_arena *a)
{
    SL_VEC(struct object) list = {0};
    struct stat root;
    bool single = stat(opts->source.path, &root) == 0 && S_ISREG(root.st_mode);
    for (size_t i = 0; opts->reference && i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        struct stat st;
        struct object o = {.path = e->path};
        const char *full =
            single ? opts->source.path : sl_arena_printf(a, "%s/%s", opts->source.path, e->path);
        if (e->type != SL_ENTRY_FILE) {
            continue;
        }
        o.result.size = e->size_bytes;
        o.result.sha256 = e->sha256;
        if (stat(full, &st) == 0) {
            char time[SL_TIME_TEXT];
            int64_t ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
            o.result.modified = sl_arena_strdup(a, sl_time_format(ms, time));
        }
        sl_vec_push(&list, o);
    }
    json_t *record = record_new(opts, list.items, list.n);
    sl_vec_free(&list);
    return record;
}

static int import_path(const struct sl_import_opts *opts, struct sl_manifest *m, json_t **ret,
                       struct sl_err *err)
{
    struct counter c = {.opts = opts};
    struct sl_arena a;
    struct sl_ingest_opts in = {.exclude = opts->exclude,
                                .n_exclude = opts->n_exclude,
                                .previous = opts->previous,
                                .hash_only = opts->reference,
                                .on_file = count_file,
                                .data = &c};
    struct stat st;
    if (stat(opts->source.path, &st) == 0 && S_ISREG(st.st_mode)) {
        in.name = opts->as;
    } else if (opts->as != NULL) {
        return sl_err_set(err, SL_EINVAL, "--as is for one file; the source is a folder");
    }
    int rc = 0;
    if (opts->extract) {
        _cleanup_(close)
        int fd = open(opts->source.path, O_RDONLY | O_CLOEXEC);
        rc = fd < 0 ? sl_err_errno(err, errno, "cannot open '%s'", opts->source.path)
                    : unpack_archive(opts->blobs, fd, m, err);
    } else {
        rc = sl_ingest_path(opts->blobs, AT_FDCWD, opts->source.path, &in, m, err);
    }
    if (rc == 0) {
        sl_arena_init(&a, 0);
        *ret = path_record(opts, m, &a);
        sl_arena_release(&a);
    }
    return rc;
}

/* ---- the network --------------------------------------------------------------------------------------- */

static int fill_manifest(struct import *im, struct sl_manifest *m, struct sl_err *err)
{
    if (im->opts->extract) {
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
        int rc = sl_blob_read_all(im->opts->blobs, &im->objects.items[0].result.manifest,
                                  SL_MANIFEST_BYTES_MAX, &text, err);
        return rc < 0 ? rc : sl_manifest_decode(sl_buf_str(&text), text.len, m, err);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < im->objects.n; i++) {
        const struct object *o = &im->objects.items[i];
        SL_ASSERT(o->have);
        rc = sl_manifest_add_file(m, o->path, 0644, o->result.size, &o->result.sha256, err);
    }
    rc = rc < 0 ? rc : sl_manifest_seal(m, err);
    return rc < 0 ? rc : sl_manifest_check_case(m, err);
}

static int import_objects(struct import *im, struct sl_manifest *m, struct sl_err *err)
{
    SL_ASSERT(im->opts->access != NULL);
    struct sl_fetch_opts fetch = im->opts->access->fetch;
    fetch.hops_max = im->opts->source.kind == SL_SOURCE_HTTP ? SL_FETCH_HOPS_MAX : 0;
    fetch.cancelled = workers_cancelled;
    fetch.cancel_data = im;
    int rc = place_open(im->opts, &im->place, err);
    rc = rc < 0 ? rc : journal_open(im->place.dirfd, &im->journal, err);
    rc = rc < 0 ? rc : sl_fetcher_new(&fetch, &im->fetcher, err);
    rc = rc < 0 ? rc : objects_list(im, err);
    rc = rc < 0 ? rc : workers_run(im, err);
    rc = rc < 0 ? rc : fill_manifest(im, m, err);
    if (rc == 0) {
        im->out.record = record_new(im->opts, im->objects.items, im->objects.n);
    }
    sl_blob_session_free(im->session);
    sl_fetcher_free(im->fetcher);
    journal_close(im->journal);
    place_close(&im->place);
    return rc;
}

int sl_source_import(const struct sl_import_opts *opts, struct sl_manifest *ret_manifest,
                     struct sl_imported *ret, struct sl_err *err)
{
    struct import im = {.opts = opts, .place = {.dirfd = -1}};
    if (opts->extract && opts->reference) {
        return sl_err_set(err, SL_EINVAL,
                          "a reference pins files as they are; --extract needs a copy");
    }
    sl_arena_init(&im.arena, 0);
    (void)pthread_mutex_init(&im.lock, NULL);
    int rc = opts->source.kind == SL_SOURCE_PATH
                 ? import_path(opts, ret_manifest, &im.out.record, err)
                 : import_objects(&im, ret_manifest, err);
    if (rc == 0) {
        *ret = im.out;
    }
    sl_vec_free(&im.objects);
    sl_vec_free(&im.staged);
    sl_arena_release(&im.arena);
    (void)pthread_mutex_destroy(&im.lock);
    return rc;
}

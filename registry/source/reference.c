/**
 * Files of a referenced version, brought from where they lie at the moment they are used, and verified.
 *
 * Thread: any. Must not: leave a file whose bytes are not those of the version.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/http/download.h"
#include "registry/source/s3_priv.h"
#include "registry/source/source_priv.h"

static const json_t *pin_of(const json_t *record, const char *path)
{
    size_t i = 0;
    json_t *o = NULL;
    json_array_foreach (json_object_get(record, "objects"), i, o) {
        if (sl_streq(sl_json_str(o, "path", ""), path)) {
            return o;
        }
    }
    return NULL;
}

static int check(const struct sl_manifest_entry *e, const char *where,
                 const struct sl_digest *found, struct sl_err *err)
{
    char a[SL_DIGEST_HEX + 1];
    char b[SL_DIGEST_HEX + 1];
    if (sl_digest_eq(&e->sha256, found)) {
        return 0;
    }
    return sl_err_set(err, SL_ECORRUPT,
                      "%.200s changed since this version was made: expected sha256:%.16s..., found "
                      "sha256:%.16s...; 'sluice data refresh' makes a new version",
                      where, sl_digest_hex(&e->sha256, a), sl_digest_hex(found, b));
}

static int from_path(const json_t *record, const struct sl_manifest_entry *e, int to_fd,
                     struct sl_err *err)
{
    struct stat st;
    struct sl_digest found;
    uint64_t bytes = 0;
    const char *root = sl_json_str(record, "source", "");
    bool single = stat(root, &st) == 0 && S_ISREG(st.st_mode);
    _cleanup_(free)
    char *full = single ? sl_strdup(root) : sl_asprintf("%s/%s", root, e->path);
    _cleanup_(close)
    int fd = open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_ECORRUPT,
                          "%.200s is gone; this version only refers to it (expected %llu bytes)",
                          full, (unsigned long long)e->size_bytes);
    }
    int rc = sl_copy_fd(fd, to_fd, &found, &bytes, err);
    return rc < 0 ? rc : check(e, full, &found, err);
}

struct arrival {
    struct sink *sink;
    const char *where, *etag;
};

static int on_start(const struct sl_fetch_head *head, uint64_t offset, int64_t total, void *data,
                    struct sl_err *err)
{
    struct arrival *a = data;
    (void)total;
    if (a->etag[0] != '\0' && head->etag[0] != '\0' && !sl_streq(a->etag, head->etag)) {
        return sl_err_set(err, SL_ECORRUPT,
                          "%.200s changed since this version was made: expected ETag %.60s, found "
                          "%.60s; 'sluice data refresh' makes a new version",
                          a->where, a->etag, head->etag);
    }
    return offset == 0 ? sink_restart(a->sink, err) : 0;
}

static int on_data(const void *bytes, size_t len, void *data, struct sl_err *err)
{
    struct arrival *a = data;
    return sink_write(a->sink, bytes, len, err);
}

static int receive(struct sl_fetcher *f, const struct sl_source_access *access, const char *url,
                   struct arrival *a, int to_fd, struct sink_sums *sums, struct sl_err *err)
{
    struct sl_downloaded got;
    struct sl_download d = {
        .url = url, .aws = access->aws, .on_start = on_start, .on_data = on_data, .data = a};
    int rc = sink_open(to_fd, false, &a->sink, err);
    rc = rc < 0 ? rc : sl_download(f, &d, &got, err);
    rc = rc < 0 ? rc : sink_finish(a->sink, sums, err);
    sink_free(a->sink);
    return rc;
}

static int from_network(const struct sl_source_access *access, const json_t *record,
                        const struct sl_manifest_entry *e, int to_fd, struct sl_err *err)
{
    struct sl_arena arena;
    struct sl_source source;
    struct sl_fetcher *f = NULL;
    struct sink_sums sums;
    char plain[SL_FETCH_URL_MAX + 1];
    const json_t *pin = pin_of(record, e->path);
    const char *text = sl_json_str(record, "source", NULL);
    if (pin == NULL || text == NULL) {
        return sl_err_set(err, SL_ECORRUPT,
                          "the record of this version's source does not say where %s is", e->path);
    }
    sl_arena_init(&arena, 0);
    struct sl_source_access there = *access;
    int rc = sl_source_parse(text, &arena, &source, err);
    if (rc == 0) {
        bool s3 = source.kind == SL_SOURCE_S3;
        there.fetch.hops_max = s3 ? 0 : SL_FETCH_HOPS_MAX;
        there.aws = s3 ? there.aws : NULL;
        const char *url = s3 ? s3_url(&there, source.bucket, sl_json_str(pin, "key", ""),
                                      sl_json_str(pin, "version_id", NULL), &arena)
                             : source.url;
        struct arrival a = {.where = sl_fetch_url_public(url, plain),
                            .etag = sl_json_str(pin, "etag", "")};
        rc = sl_fetcher_new(&there.fetch, &f, err);
        rc = rc < 0 ? rc : receive(f, &there, url, &a, to_fd, &sums, err);
        rc = rc < 0 ? rc : check(e, a.where, &sums.sha256, err);
    }
    sl_fetcher_free(f);
    sl_arena_release(&arena);
    return rc;
}

int sl_source_write(const struct sl_source_access *access, const json_t *record,
                    const struct sl_manifest_entry *entry, int dirfd, const char *path, mode_t mode,
                    struct sl_err *err)
{
    _cleanup_(close)
    int fd = sl_openat_beneath(dirfd, path, O_RDWR | O_CREAT | O_EXCL, 0600, err);
    if (fd < 0) {
        return fd;
    }
    int rc = sl_streq(sl_json_str(record, "kind", ""), "path")
                 ? from_path(record, entry, fd, err)
                 : from_network(access, record, entry, fd, err);
    if (rc == 0 && fchmod(fd, mode & 07777) != 0) {
        rc = sl_err_errno(err, errno, "cannot set the mode of '%s'", path);
    }
    if (rc < 0) {
        (void)unlinkat(dirfd, path, 0);
    }
    return rc;
}

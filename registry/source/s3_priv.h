/** S3 as far as reading goes: ListObjectsV2 and the addresses of objects. Private to registry/source but for
 * the fuzz target of the list reader. Pure, but for s3_list. */
#ifndef SL_SOURCE_S3_H
#define SL_SOURCE_S3_H

#include "core/base/mem.h"
#include "registry/source/source.h"

#define S3_PAGE_BYTES_MAX ((size_t)16 << 20)
#define S3_KEY_MAX        1024 /* bytes; S3's own */
#define S3_DEPTH_MAX      16   /* elements */
#define S3_PAGES_MAX      10000

struct s3_object {
    const char *key, *etag, *modified;
    uint64_t size;
};
struct s3_page {
    bool truncated;
    char next[4096]; /* continuation token */
};
typedef int (*s3_object_fn)(const struct s3_object *o, void *data, struct sl_err *err);

/** Reads one answer of ListObjectsV2. No document type, no entity of its own, bounded depth and texts.
 * @return 0; -SL_EINVAL with line and reason; what fn returned */
int s3_page_read(const char *xml, size_t len, s3_object_fn fn, void *data, struct s3_page *ret,
                 struct sl_err *err);

/** All objects whose key is `prefix` or below "prefix/", by key. */
int s3_list(struct sl_fetcher *f, const struct sl_source_access *access,
            const struct sl_source *source, s3_object_fn fn, void *data, struct sl_err *err);

/** Address of an object; `version_id` may be NULL. Texts of the arena. */
const char *s3_url(const struct sl_source_access *access, const char *bucket, const char *key,
                   const char *version_id, struct sl_arena *a);

#endif

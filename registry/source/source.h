/**
 * Data from elsewhere: folders and files, https URLs, S3 buckets; brought into the content store as a
 * manifest, or pinned where they are.
 *
 * Everything streams: memory does not grow with the size of a file. Unfinished work lies in
 * `<data>/import/<id>/` and is taken up again by the next import of the same source into the same name:
 * the bytes of the file that was on its way, and a journal of the files that are done. What is recorded of
 * a source never holds a secret.
 *
 * Thread: any, one import at a time per place. Blocks: yes; never on the loop. Must not: log, commit versions.
 */
#ifndef SL_REGISTRY_SOURCE_H
#define SL_REGISTRY_SOURCE_H

#include "core/base/json.h"
#include "core/http/fetch.h"
#include "core/http/sigv4.h"
#include "registry/registry.h"

#define SL_SOURCE_TEXT_MAX    8192    /* bytes of a source as it is typed */
#define SL_SOURCE_OBJECTS_MAX 1000000 /* objects below an S3 prefix */
#define SL_SOURCE_PINS_MAX                                                                         \
    10000 /* objects that a record of copied data lists; references list all */
#define SL_SOURCE_RECORD_MAX ((size_t)512 << 20) /* bytes of a record */
#define SL_SOURCE_FORMAT     "sluice-source/1"
#define SL_IMPORT_DIR        "import"

enum sl_source_kind { SL_SOURCE_PATH, SL_SOURCE_HTTP, SL_SOURCE_S3 };
const char *sl_source_kind_name(enum sl_source_kind kind); /* "path", "http", "s3" */

struct sl_source {
    enum sl_source_kind kind;
    const char *path;            /* absolute */
    const char *url;             /* http: whole */
    const char *bucket, *prefix; /* s3; prefix may be "" */
};

/** Takes a text apart: "s3://bucket/prefix", "https://...", "http://...", else a path (made absolute).
 * @return 0; -SL_EINVAL (scheme, bucket); -SL_ENOTFOUND (no such path); -SL_ELIMIT */
int sl_source_parse(const char *text, struct sl_arena *a, struct sl_source *ret, struct sl_err *err)
    SL_MUST_CHECK;

/** How to reach it. */
struct sl_source_access {
    struct sl_fetch_opts fetch;
    const struct sl_aws *aws; /* NULL: without signature */
    const char *region;       /* NULL: us-east-1 */
    const char *endpoint;     /* NULL: Amazon's; else "https://host:port", bucket in the path */
};

struct sl_import_progress {
    uint64_t bytes, bytes_total; /* total 0: unknown */
    uint64_t files, files_total;
};

struct sl_import_opts {
    struct sl_source source;
    const struct sl_source_access *access; /* NULL allowed for paths */
    int data_dirfd;
    struct sl_blob_store *blobs;
    const char *name; /* "[project/]name" */
    const char *as;   /* path in the version of a single file; NULL: its own name */
    const char *tool; /* for the record; NULL: "sluice" */
    const char
        *credentials; /* name of the secret that access->aws is from, for the record; or NULL */
    bool reference;   /* digests and pins, no content */
    bool extract;     /* the source is one archive */
    const char *const *exclude; /* of folders; as in struct sl_ingest_opts */
    size_t n_exclude;
    const struct sl_manifest *previous; /* NULL, or the newest version's */
    void (*progress)(const struct sl_import_progress *p, void *data); /* NULL allowed; any thread */
    void *data;
};

struct sl_imported {
    json_t *record; /* new reference; sl_source_record_check holds */
    uint64_t fetched_bytes, reused_bytes;
    uint64_t reused_files;
    int resumed, restarted;
};

/**
 * Brings the source in. Content is durable when it returns 0; `ret_manifest` (initialised, empty) is sealed.
 *
 * @return 0; -SL_ENOTFOUND, -SL_EAUTH, -SL_EREFUSED, -SL_EUNREACHABLE, -SL_ETIMEOUT, -SL_EFAILED of the source;
 *         -SL_ECORRUPT when bytes do not have the checksum that the source gave; -SL_ECONFLICT when it changed
 *         meanwhile; -SL_EBUSY when the same import runs; -SL_EINVAL; -SL_ELIMIT; -SL_ECANCELLED; -SL_ENOSPACE
 */
int sl_source_import(const struct sl_import_opts *opts, struct sl_manifest *ret_manifest,
                     struct sl_imported *ret, struct sl_err *err) SL_MUST_CHECK;

/**
 * A record: {"format", "kind", "source", "endpoint"?, "region"?, "credentials"?, "extract", "reference",
 * "allow"?, "ca_file"?, "objects": [{"path", "key"?, "url"?, "etag"?, "version_id"?, "modified"?, "size", "sha256"}], "imported_at",
 * "tool", "exclude"?, "as"?}. `source` is what `data refresh` follows; absent when the URL held a secret.
 * @return 0; -SL_EINVAL
 */
int sl_source_record_check(const json_t *record, struct sl_err *err) SL_MUST_CHECK;

/** How the record says that its source is reached: what was allowed, CA file, region, endpoint; no
 * signature, unless the caller adds one. Borrows the record's texts. */
void sl_source_record_access(const json_t *record, struct sl_source_access *ret);

/** Writes one file of a referenced version, as struct sl_absent wants it: fetched, verified.
 * @return also -SL_ECORRUPT when the source is another one now: file, expected, found in the message */
int sl_source_write(const struct sl_source_access *access, const json_t *record,
                    const struct sl_manifest_entry *entry, int dirfd, const char *path, mode_t mode,
                    struct sl_err *err) SL_MUST_CHECK;

/** Forgets unfinished work of imports that nobody took up for `older_ms`. @return how many, or negative */
int sl_source_clean(int data_dirfd, int64_t older_ms, struct sl_err *err) SL_MUST_CHECK;

#endif

/* References at use: where their bytes are, bringing and checking them. See data_source.h. Thread: lanes. */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/secret/secret.h"
#include "pipelines/run/data_source.h"

static char *reference_path(const struct sl_digest *manifest, char *out, size_t size)
{
    char hex[SL_DIGEST_HEX + 1];
    (void)snprintf(out, size, "%s/%s.json", SL_REFERENCES_DIR, sl_digest_hex(manifest, hex));
    return out;
}

int sl_ws_reference_put(int data_dirfd, const struct sl_digest *manifest, const json_t *record,
                        struct sl_err *err)
{
    char path[SL_DIGEST_HEX + 32];
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    int rc = sl_source_record_check(record, err);
    rc = rc < 0 ? rc : sl_mkdirs_at(data_dirfd, SL_REFERENCES_DIR, 0700, err);
    return rc < 0 ? rc
                  : sl_publish_file_at(data_dirfd, reference_path(manifest, path, sizeof(path)),
                                       text, strlen(text), 0600, true, err);
}

int sl_ws_reference_get(int data_dirfd, const struct sl_digest *manifest, json_t **ret,
                        struct sl_err *err)
{
    char path[SL_DIGEST_HEX + 32];
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_SOURCE_RECORD_MAX);
    int rc = sl_read_file_at(data_dirfd, reference_path(manifest, path, sizeof(path)),
                             SL_SOURCE_RECORD_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    json_t *record = sl_json_parse(path, sl_buf_str(&text), text.len, err);
    rc = record == NULL ? -SL_ECORRUPT : sl_source_record_check(record, err);
    if (rc < 0) {
        json_decref(record);
        return rc;
    }
    *ret = record;
    return 0;
}

/* ---- credentials --------------------------------------------------------------------------------------- */

int sl_source_keys_load(const char *data_path, const char *secret, struct sl_source_keys *ret,
                        struct sl_err *err)
{
    struct sl_secret_key *key = NULL;
    struct sl_db *db = NULL;
    struct sl_secret_value value = {0};
    const struct sl_secret_ref which = {.project = SL_DEFAULT_PROJECT, .name = secret};
    memset(ret, 0, sizeof(*ret));
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, data_path, err);
    int rc = SL_MIN(fd, 0);
    rc = rc < 0 ? rc : sl_workspace_open_reader(data_path, &db, err);
    rc = rc < 0 ? rc : sl_secret_key_open(fd, db, false, &key, err);
    rc = rc < 0 ? rc : sl_secret_get(db, key, &which, &value, err);
    if (rc == 0) {
        ret->memory = sl_secret_alloc(value.len + 1);
        memcpy(ret->memory, value.bytes, value.len + 1);
        char *second = strchr(ret->memory, ':');
        char *third = second != NULL ? strchr(second + 1, ':') : NULL;
        if (second == NULL || second == ret->memory || second[1] == '\0') {
            rc = sl_err_set(err, SL_EINVAL,
                            "the secret '%s' must be ACCESS_KEY:SECRET_KEY or "
                            "ACCESS_KEY:SECRET_KEY:TOKEN",
                            secret);
        } else {
            *second = '\0';
            if (third != NULL) {
                *third = '\0';
            }
            ret->aws = (struct sl_aws){.access_key = ret->memory,
                                       .secret_key = second + 1,
                                       .session_token = third != NULL ? third + 1 : NULL,
                                       .region = "us-east-1",
                                       .service = "s3"};
        }
    }
    sl_secret_value_release(&value);
    sl_secret_key_close(key);
    sl_db_close(db);
    if (rc < 0) {
        sl_source_keys_release(ret);
    }
    return rc;
}

void sl_source_keys_release(struct sl_source_keys *k)
{
    if (k->memory != NULL) {
        sl_secret_free(k->memory);
    }
    memset(k, 0, sizeof(*k));
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

struct bring {
    const struct sl_source_access *access;
    const json_t *record;
};

static int write_file(void *data, const struct sl_manifest_entry *entry, int dirfd,
                      const char *path, mode_t mode, struct sl_err *err)
{
    const struct bring *b = data;
    int rc = sl_source_write(b->access, b->record, entry, dirfd, path, mode, err);
    bool s3 = sl_streq(sl_json_str(b->record, "kind", ""), "s3");
    if (rc == -SL_EAUTH && s3 && b->access->aws == NULL) {
        return sl_err_wrap(err, "no credentials were recorded with this reference (data import "
                                "--credentials SECRET)");
    }
    return rc;
}

struct opened {
    json_t *record;
    struct sl_source_access access;
    struct sl_source_keys keys;
    struct bring bring;
    struct sl_absent absent;
};

static int open_reference(const char *data_path, const struct sl_source_access *access,
                          const struct sl_digest *manifest, struct opened *o, struct sl_err *err)
{
    memset(o, 0, sizeof(*o));
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, data_path, err);
    int rc = fd < 0 ? fd : sl_ws_reference_get(fd, manifest, &o->record, err);
    if (rc < 0) {
        return rc;
    }
    sl_source_record_access(o->record, &o->access);
    const char *secret = sl_json_str(o->record, "credentials", NULL);
    if (secret != NULL) {
        rc = sl_source_keys_load(data_path, secret, &o->keys, err);
        o->access.aws = &o->keys.aws;
    } else if (access != NULL) {
        o->access.aws = access->aws;
        o->access.fetch.allow |= access->fetch.allow;
    }
    if (o->access.region != NULL && secret != NULL) {
        o->keys.aws.region = o->access.region;
    }
    o->bring = (struct bring){&o->access, o->record};
    o->absent = (struct sl_absent){write_file, &o->bring};
    return rc;
}

static void close_reference(struct opened *o)
{
    sl_source_keys_release(&o->keys);
    json_decref(o->record);
}

static bool lacks_any(struct sl_blob_store *blobs, const struct sl_manifest *m)
{
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        if (e->type == SL_ENTRY_FILE && !sl_blob_has(blobs, &e->sha256)) {
            return true;
        }
    }
    return false;
}

int sl_ws_materialise(const char *data_path, struct sl_blob_store *blobs,
                      const struct sl_source_access *access, const struct sl_manifest *manifest,
                      int dirfd, const char *path, const struct sl_materialise_opts *opts,
                      struct sl_err *err)
{
    struct sl_materialise_opts with = opts != NULL ? *opts : (struct sl_materialise_opts){0};
    struct sl_err none = SL_ERR_INIT;
    struct opened o;
    if (!lacks_any(blobs, manifest)) {
        return sl_manifest_materialise(blobs, manifest, dirfd, path, opts, err);
    }
    int rc = open_reference(data_path, access, &manifest->digest, &o, &none);
    if (rc == -SL_ENOTFOUND && o.record == NULL) { /* no reference: what is missing is lost */
        return sl_manifest_materialise(blobs, manifest, dirfd, path, opts, err);
    }
    if (rc < 0 && err != NULL) {
        *err = none;
    }
    with.absent = &o.absent;
    rc = rc < 0 ? rc : sl_manifest_materialise(blobs, manifest, dirfd, path, &with, err);
    close_reference(&o);
    return rc;
}

/* ---- fsck ---------------------------------------------------------------------------------------------- */

struct verify {
    const char *data_path;
    struct sl_blob_store *blobs;
    sl_fsck_fn fn;
    void *data;
    int fd; /* of the data directory */
    char scratch[64];
};

/* A source that cannot be asked now is no loss; one that changed is. */
static void finding(struct verify *v, const char *what, const struct sl_err *why)
{
    bool severe = why->code == SL_ECORRUPT;
    char text[700];
    (void)snprintf(text, sizeof(text), "version %.12s: %s%s", what,
                   severe ? "" : "cannot be checked: ", why->msg);
    if (v->fn != NULL) {
        v->fn(text, severe, v->data);
    }
}

/* One file at a time, so that no more room is needed than for the largest. */
static int verify_files(struct verify *v, const struct sl_manifest *m, struct sl_err *err)
{
    struct opened o;
    int rc = open_reference(v->data_path, NULL, &m->digest, &o, err);
    for (size_t i = 0; rc == 0 && i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        if (e->type == SL_ENTRY_FILE && !sl_blob_has(v->blobs, &e->sha256)) {
            (void)unlinkat(v->fd, v->scratch, 0);
            rc = sl_source_write(&o.access, o.record, e, v->fd, v->scratch, 0600, err);
        }
    }
    (void)unlinkat(v->fd, v->scratch, 0);
    close_reference(&o);
    return rc;
}

static int verify_one(const struct sl_walk_entry *e, void *data, struct sl_err *err)
{
    struct verify *v = data;
    struct sl_digest digest;
    struct sl_err why = SL_ERR_INIT;
    char hex[SL_DIGEST_HEX + 1] = "";
    _cleanup_(manifest)
    struct sl_manifest m;
    (void)err;
    sl_manifest_init(&m);
    (void)snprintf(hex, sizeof(hex), "%.64s", e->name);
    if (!S_ISREG(e->st->st_mode) || !sl_ends_with(e->name, ".json") ||
        !sl_digest_parse(hex, &digest)) {
        return 0;
    }
    int rc = sl_ws_manifest(v->blobs, &digest, &m, &why);
    rc = rc < 0 ? rc : verify_files(v, &m, &why);
    if (rc < 0) {
        finding(v, hex, &why);
    }
    return 0;
}

int sl_ws_references_verify(const char *data_path, struct sl_blob_store *blobs, sl_fsck_fn fn,
                            void *data, struct sl_err *err)
{
    struct verify v = {.data_path = data_path, .blobs = blobs, .fn = fn, .data = data};
    (void)snprintf(v.scratch, sizeof(v.scratch), "references-check-%d", (int)getpid());
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, data_path, err);
    if (fd < 0 || faccessat(fd, SL_REFERENCES_DIR, F_OK, 0) != 0) {
        return SL_MIN(fd, 0);
    }
    v.fd = fd;
    return sl_walk_at(fd, SL_REFERENCES_DIR, verify_one, &v, err);
}

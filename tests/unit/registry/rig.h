/** A data directory with a store and a registry, for the registry's tests. */
#ifndef TESTS_REGISTRY_RIG_H
#define TESTS_REGISTRY_RIG_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "registry/ingest.h"
#include "registry/registry.h"
#include "tests/support/sl_test.h"

struct rig {
    char *dir;
    int fd;
    struct sl_blob_store *store;
    struct sl_registry *reg;
    struct sl_err err;
};

static inline struct rig rig_open(void)
{
    struct rig r = {.dir = sl_test_tmpdir()};
    r.fd = open(r.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_OK(sl_blob_store_open(r.fd, "blobs", &r.store, &r.err), r.err);
    SL_CHECK_OK(sl_registry_open(r.fd, "default", r.store, &r.reg, &r.err), r.err);
    return r;
}

static inline void rig_close(struct rig *r)
{
    sl_registry_close(r->reg);
    sl_blob_store_close(r->store);
    (void)close(r->fd);
    sl_test_rmdir(r->dir);
}

static inline void rig_write(struct rig *r, const char *name, const char *text)
{
    char *path = sl_test_path(r->dir, name);
    sl_test_write_text(path, text);
    free(path);
}

/** A manifest of one stored file "f" holding `text`. */
static inline void rig_manifest(struct rig *r, const char *text, struct sl_manifest *m)
{
    struct sl_digest d;
    SL_CHECK_OK(sl_blob_put_bytes(r->store, text, strlen(text), &d, &r->err), r->err);
    sl_manifest_init(m);
    SL_CHECK_OK(sl_manifest_add_file(m, "f", 0644, strlen(text), &d, &r->err), r->err);
    SL_CHECK_OK(sl_manifest_seal(m, &r->err), r->err);
}

/** Commits one file as a version of a model. */
static inline struct sl_version_ref rig_commit(struct rig *r, const char *name, const char *text)
{
    struct sl_manifest m;
    struct sl_version_ref made;
    rig_manifest(r, text, &m);
    struct sl_version_spec spec = {
        .kind = SL_KIND_MODEL, .name = name, .manifest = &m, .when_ms = 1700000000000};
    SL_CHECK_OK(sl_registry_commit(r->reg, &spec, &made, NULL, &r->err), r->err);
    sl_manifest_release(&m);
    return made;
}

#endif

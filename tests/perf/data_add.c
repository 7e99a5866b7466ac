/**
 * Times adding data: a folder and a file into a fresh store and registry, beside plain SHA-256 of the
 * same file through the same library.
 *
 * usage: perf_data_add PREFIX FOLDER FILE ; makes PREFIX-*; prints "folder_s file_s sha256_s readd_s" of the best of three.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/time.h"
#include "registry/ingest.h"
#include "registry/registry.h"

#define ROUNDS      3
#define CHUNK_BYTES ((size_t)1 << 20)

SL_NORETURN static void give_up(const char *what, const struct sl_err *err)
{
    (void)fprintf(stderr, "data_add: %s: %s\n", what, err->msg);
    exit(1);
}

static double since_s(int64_t start_ns)
{
    return (double)(sl_mono_ns() - start_ns) / 1e9;
}

/* What `sluice data add` does, without its process. */
static double add(struct sl_registry *registry, struct sl_blob_store *store, const char *path)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_manifest manifest;
    struct sl_version_ref made;
    int64_t start = sl_mono_ns();
    sl_manifest_init(&manifest);
    struct sl_version_spec spec = {.name = "bench", .manifest = &manifest};
    if (sl_ingest_path(store, AT_FDCWD, path, NULL, &manifest, &err) != 0 ||
        sl_registry_commit(registry, &spec, &made, NULL, &err) != 0) {
        give_up(path, &err);
    }
    sl_manifest_release(&manifest);
    return since_s(start);
}

static double hash(const char *path)
{
    struct sl_err err = SL_ERR_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = sl_malloc(CHUNK_BYTES);
    struct sl_sha256_ctx *ctx = sl_sha256_new();
    struct sl_digest digest;
    int64_t start = sl_mono_ns();
    ssize_t n = 0;
    while ((n = read(fd, bytes, CHUNK_BYTES)) > 0) {
        sl_sha256_update(ctx, bytes, (size_t)n);
    }
    sl_sha256_final(ctx, &digest);
    double took = since_s(start);
    if (n < 0) {
        (void)sl_err_set(&err, SL_EIO, "cannot read");
        give_up(path, &err);
    }
    sl_sha256_free(ctx);
    free(bytes);
    (void)close(fd);
    return took;
}

/* One fresh data directory: the path once, and once more unchanged when asked for. The caller removes
 * it at the end: ext4 avoids inodes deleted in the last seconds, which would be measured, too. */
static double fresh(const char *base, int round, const char *path, double *ret_again)
{
    struct sl_err err = SL_ERR_INIT;
    _cleanup_(free)
    char *dir = sl_asprintf("%s-%d-%d", base, round, ret_again != NULL);
    struct sl_blob_store *store = NULL;
    struct sl_registry *registry = NULL;
    if (mkdir(dir, 0700) != 0) {
        (void)sl_err_errno(&err, errno, "cannot make it");
        give_up(dir, &err);
    }
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sl_blob_store_open(dirfd, "blobs", &store, &err) != 0 ||
        sl_registry_open(dirfd, "default", store, &registry, &err) != 0) {
        give_up(dir, &err);
    }
    double took = add(registry, store, path);
    if (ret_again != NULL) {
        *ret_again = add(registry, store, path);
    }
    sl_registry_close(registry);
    sl_blob_store_close(store);
    (void)close(dirfd);
    return took;
}

int main(int argc, char **argv)
{
    double best_folder = 1e9;
    double best_again = 1e9;
    double best_file = 1e9;
    double best_hash = 1e9;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: perf_data_add PREFIX FOLDER FILE\n");
        return 2;
    }
    for (int i = 0; i < ROUNDS; i++) {
        double again = 0;
        double folder = fresh(argv[1], i, argv[2], &again);
        double file = fresh(argv[1], i, argv[3], NULL);
        double sha = hash(argv[3]);
        best_folder = SL_MIN(best_folder, folder);
        best_again = SL_MIN(best_again, again);
        best_file = SL_MIN(best_file, file);
        best_hash = SL_MIN(best_hash, sha);
    }
    (void)printf("%.3f %.3f %.3f %.3f\n", best_folder, best_file, best_hash, best_again);
    return 0;
}

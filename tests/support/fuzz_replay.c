/**
 * Replays a corpus through a fuzz target, so that ordinary compilers test what the fuzzer found.
 *
 * Usage: target FILE|DIRECTORY...   Fails when no file was replayed.
 */
#include "core/base/base.h"

#include "tests/support/sl_fuzz.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static size_t n_replayed;

static int replay(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F) {
        return 0;
    }
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        perror(path);
        return 1;
    }
    size_t size = (size_t)st->st_size;
    uint8_t *data = malloc(size > 0 ? size : 1); /* exact size, so that ASan sees overreads */
    if (data == NULL || fread(data, 1, size, f) != size) {
        perror(path);
        free(data);
        (void)fclose(f);
        return 1;
    }
    (void)fclose(f);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    n_replayed++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (nftw(argv[i], replay, 16, FTW_PHYS) != 0) {
            (void)fprintf(stderr, "cannot replay %s\n", argv[i]);
            return 1;
        }
    }
    (void)printf("replayed %zu inputs\n", n_replayed);
    return n_replayed > 0 ? 0 : 1;
}

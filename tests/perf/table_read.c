/**
 * Reads a whole table, ROUNDS times; prints the fastest in MB of file per second of one core.
 *
 * Usage: perf_table_read FILE [ROUNDS]
 */
#include "core/base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/str.h"
#include "core/base/time.h"
#include "core/table/table.h"
#include "tests/support/table_file.h"

static uint64_t read_all(const struct sl_table_source *source)
{
    struct sl_table *t = NULL;
    const struct sl_table_batch *b = NULL;
    struct sl_err err = SL_ERR_INIT;
    uint64_t n = 0;
    int rc = sl_table_open(source, NULL, &t, &err);
    while (rc == 0 && (rc = sl_table_next(t, &b, &err)) == 0 && b != NULL) {
        n += b->n_rows;
    }
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    sl_table_free(t);
    return n;
}

int main(int argc, char **argv)
{
    int fd = -1;
    struct sl_table_source source;
    if (argc < 2 || !table_file_source(argv[1], &fd, &source)) {
        (void)fprintf(stderr, "usage: perf_table_read FILE [ROUNDS]\n");
        return 2;
    }
    int64_t rounds = 3;
    (void)(argc > 2 && sl_parse_i64(argv[2], &rounds));
    double best_s = 0;
    uint64_t rows = 0;
    for (int64_t i = 0; i < rounds; i++) {
        int64_t before = sl_mono_ns();
        rows = read_all(&source);
        double s = (double)(sl_mono_ns() - before) / 1e9;
        best_s = i == 0 || s < best_s ? s : best_s;
    }
    (void)printf("{\"rows\": %" PRIu64 ", \"seconds\": %.6f, \"mb_per_s\": %.1f}\n", rows, best_s,
                 (double)source.size / 1e6 / best_s);
    (void)close(fd);
    return 0;
}

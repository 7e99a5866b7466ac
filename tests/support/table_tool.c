/**
 * Prints a table for tests that compare it with other readers: schema line, then a line per row.
 *
 * Usage: table_tool FILE [--columns A,B] [--ranges N] [--skip]   exit status 2 with a message on errors
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/str.h"
#include "core/table/table.h"
#include "tests/support/table_dump.h"
#include "tests/support/table_file.h"

#define COLUMNS_MAX 1024

static int print_part(const struct sl_table_source *source, const struct sl_table_opts *opts,
                      bool schema, struct sl_err *err)
{
    struct sl_table *t = NULL;
    const struct sl_table_batch *b = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 30);
    int rc = sl_table_open(source, opts, &t, err);
    if (rc == 0 && schema) {
        table_dump_schema(&out, t);
    }
    while (rc == 0 && (rc = sl_table_next(t, &b, err)) == 0 && b != NULL) {
        table_dump_batch(&out, b, false);
        (void)fwrite(sl_buf_str(&out), 1, out.len, stdout);
        sl_buf_clear(&out);
    }
    (void)fwrite(sl_buf_str(&out), 1, out.len, stdout);
    sl_buf_release(&out);
    sl_table_free(t);
    return rc;
}

static int print_ranges(const struct sl_table_source *source, struct sl_table_opts *opts, size_t n,
                        struct sl_err *err)
{
    static struct sl_table_range ranges[SL_TABLE_SPLIT_MAX];
    struct sl_table *t = NULL;
    size_t made = 0;
    int rc = sl_table_open(source, opts, &t, err);
    rc = rc == 0 ? sl_table_split(t, n, ranges, &made, err) : rc;
    sl_table_free(t);
    for (size_t i = 0; rc == 0 && i < made; i++) {
        opts->range = &ranges[i];
        rc = print_part(source, opts, i == 0, err);
    }
    return rc;
}

int main(int argc, char **argv)
{
    static const char *columns[COLUMNS_MAX];
    struct sl_table_opts opts = {0};
    struct sl_table_source source;
    struct sl_err err = SL_ERR_INIT;
    int64_t n_ranges = 0;
    int fd = -1;
    if (argc < 2 || !table_file_source(argv[1], &fd, &source)) {
        (void)fprintf(stderr, "usage: table_tool FILE [--columns A,B] [--ranges N] [--skip]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        if (sl_streq(argv[i], "--columns") && i + 1 < argc) {
            char *rest = argv[++i];
            for (char *name; opts.n_columns < COLUMNS_MAX && (name = strsep(&rest, ",")) != NULL;) {
                columns[opts.n_columns++] = name;
            }
            opts.columns = columns;
        } else if (sl_streq(argv[i], "--ranges") && i + 1 < argc) {
            (void)sl_parse_i64(argv[++i], &n_ranges);
        } else if (sl_streq(argv[i], "--skip")) {
            opts.on_bad = SL_TABLE_BAD_SKIP;
        }
    }
    int rc = n_ranges > 0 ? print_ranges(&source, &opts, (size_t)n_ranges, &err)
                          : print_part(&source, &opts, true, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
    }
    (void)close(fd);
    return rc == 0 ? 0 : 2;
}

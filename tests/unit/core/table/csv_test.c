/** Delimited text: RFC 4180 and what files do to it; types; bad rows; ranges; splits; limits. */
#include "core/base/base.h"

#include "tests/unit/core/table/rig.h"

SL_TEST(core_table_csv, rows__rfc4180__cells)
{
    RIG_IS("a.csv", "a,b,c\n1,x,1.5\n2,\"y, z\",-2\n", NULL,
           "a:int64|b:string|c:float64\n1|\"x\"|1.5\n2|\"y, z\"|-2\n");
    RIG_IS("a.csv", "a,b\r\n\"say \"\"hi\"\"\",1\r\n\"two\r\nlines\",2\r\n", NULL,
           "a:string|b:int64\n\"say \\x22hi\\x22\"|1\n\"two\\x0d\\x0alines\"|2\n");
    RIG_IS("a.csv", "a,b\n1,2\n3,4", NULL, "a:int64|b:int64\n1|2\n3|4\n"); /* no last newline */
    RIG_IS("a.csv",
           "\xef\xbb\xbf"
           "a,b\n1,2\n",
           NULL, "a:int64|b:int64\n1|2\n");
    RIG_IS("a.csv", "a,b\n5\" pipe,x\"y\"\n", NULL,
           "a:string|b:string\n\"5\\x22 pipe\"|\"x\\x22y\\x22\"\n"); /* quotes inside are text */
    RIG_IS("a.csv", "a,b\n\n1,2\n\r\n3,4\n\n", NULL,
           "a:int64|b:int64\n1|2\n3|4\n");                      /* blank lines */
    RIG_IS("a.csv", "a\n1\n\n3\n", NULL, "a:int64\n1\n-\n3\n"); /* but a null of a single column */
    RIG_IS("a.csv", "a,b\n", NULL, "a:string|b:string\n");
    RIG_IS("a.csv", "a,b\n1,\"2\"\n", NULL, "a:int64|b:int64\n1|2\n");
    RIG_IS("a.csv", "a,b\n \t1 , 2\n", NULL, "a:int64|b:int64\n1|2\n");
}

SL_TEST(core_table_csv, delimiter__sniffed_or_named__cells)
{
    RIG_IS("a.csv", "a;b\n1,5;2\n2,5;3\n", NULL, "a:string|b:int64\n\"1,5\"|2\n\"2,5\"|3\n");
    RIG_IS("a.csv", "a\tb\n1\t2\n", NULL, "a:int64|b:int64\n1|2\n");
    RIG_IS("a.txt", "a|b\n\"x|y\"|2\n", NULL, "a:string|b:int64\n\"x|y\"|2\n");
    RIG_IS("a.tsv", "a,b\tc\n1\t2\n", NULL, "a,b:int64|c:int64\n1|2\n");
    struct sl_table_opts opts = {.delimiter = ':'};
    RIG_IS("a.csv", "a,x:b\n1:2\n", &opts, "a,x:int64|b:int64\n1|2\n");
    opts.delimiter = '"';
    RIG_FAILS("a.csv", "a\n", &opts, SL_EINVAL, "cannot be a delimiter");
}

SL_TEST(core_table_csv, header__absent_repeated_empty__names)
{
    struct sl_table_opts no = {.header = SL_TABLE_HEADER_NO};
    struct sl_table_opts maybe = {.header = SL_TABLE_HEADER_AUTO};
    RIG_IS("a.csv", "1,x\n2,y\n", &no, "column_1:int64|column_2:string\n1|\"x\"\n2|\"y\"\n");
    RIG_IS("a.csv", "1,x\n2,y\n", &maybe, "column_1:int64|column_2:string\n1|\"x\"\n2|\"y\"\n");
    RIG_IS("a.csv", "n,x\n2,y\n", &maybe, "n:int64|x:string\n2|\"y\"\n");
    RIG_IS("a.csv", "x,,x,x\n1,2,3,4\n", NULL,
           "x:int64|column_2:int64|x.1:int64|x.2:int64\n1|2|3|4\n");
    RIG_FAILS("a.csv", "", NULL, SL_EINVAL, "is empty");
    RIG_FAILS("a.csv",
              "\xff\xfe"
              "a\0",
              NULL, SL_EUNSUPPORTED, "UTF-16");
    RIG_FAILS("a.csv", "\"a\n1,2\n", NULL, SL_ELIMIT, "no end of the first row");
}

SL_TEST(core_table_csv, types__inferred__narrowest_that_all_fit)
{
    RIG_IS("a.csv",
           "i,f,b,d,t,s\n1,1,true,2026-01-01,2026-01-01T00:00:00Z,007\n"
           "-2,2.5,FALSE,1970-01-02,1970-01-01 00:00,12\n",
           NULL,
           "i:int64|f:float64|b:bool|d:date|t:timestamp|s:string\n"
           "1|1|true|20454d|1767225600000000usZ|\"007\"\n-2|2.5|false|1d|0us|\"12\"\n");
    RIG_IS("a.csv", "id,big\n99999999999999999999,1e300\n", NULL,
           "id:string|big:float64\n\"99999999999999999999\"|1.0000000000000001e+300\n");
}

SL_TEST(core_table_csv, nulls__usual_and_own__validity)
{
    RIG_IS("a.csv", "x,s\n1,NA\nNA,\n,\"\"\nnan,b\n", NULL,
           "x:int64|s:string\n1|\"NA\"\n-|-\n-|\"\"\n-|\"b\"\n");
    const char *const own[] = {"-999", "?"};
    struct sl_table_opts opts = {.nulls = own, .n_nulls = 2};
    RIG_IS("a.csv", "x,s\n1,?\n-999,\n\"-999\",\"?\"\n", &opts,
           "x:int64|s:string\n1|-\n-|\"\"\n-|\"?\"\n");
}

SL_TEST(core_table_csv, report__mixed_column__says_what_spoke_against)
{
    static const char text[] = "x,y\n1,1\n2,2\nabc,\n4,\n";
    struct sl_table_memory memory = {text, sizeof(text) - 1};
    struct sl_table_source source = sl_table_source_memory(&memory, "a.csv");
    struct sl_table *t = NULL;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_table_open(&source, NULL, &t, &err), err);
    const struct sl_table_schema *s = sl_table_schema(t);
    SL_CHECK_EQ_STR(s->format, "csv");
    SL_CHECK_EQ_INT(s->delimiter, ',');
    SL_CHECK_EQ_INT(s->fields[0].type, SL_TABLE_STRING);
    SL_CHECK(s->fields[0].inferred && s->fields[0].nullable);
    SL_CHECK_EQ_UINT(s->fields[0].n_values, 4);
    SL_CHECK_EQ_UINT(s->fields[0].n_against, 1);
    SL_CHECK_EQ_STR(s->fields[0].against, "abc");
    SL_CHECK_EQ_UINT(s->fields[0].against_row, 2);
    SL_CHECK_CONTAINS(s->fields[0].why, "3 of the first 4 values read as int64, but 1 do not");
    SL_CHECK_EQ_UINT(s->fields[1].n_nulls, 2);
    SL_CHECK_CONTAINS(s->fields[1].why, "all of the first 2 values read as int64");
    sl_table_free(t);
}

SL_TEST(core_table_csv, overrides__stated_types__used)
{
    const struct sl_table_override types[] = {
        {"zip", SL_TABLE_INT64, 0}, {"sum", SL_TABLE_DECIMAL, 2}, {"n", SL_TABLE_STRING, 0}};
    struct sl_table_opts opts = {.types = types, .n_types = 3};
    RIG_IS("a.csv", "zip,sum,n\n007,1.5,3\n", &opts,
           "zip:int64|sum:decimal|n:string\n7|150e-2|\"3\"\n");
    RIG_FAILS("a.csv", "zip,sum\n007,1.5\n", &opts, SL_ENOTFOUND, "column \"n\"");
    const struct sl_table_override scale[] = {{"a", SL_TABLE_DECIMAL, 39}};
    struct sl_table_opts wide = {.types = scale, .n_types = 1};
    RIG_FAILS("a.csv", "a\n1\n", &wide, SL_EINVAL, "0 to 38");
}

SL_TEST(core_table_csv, selection__order_and_mistakes__cells)
{
    const char *const names[] = {"c", "a"};
    struct sl_table_opts opts = {.columns = names, .n_columns = 2};
    RIG_IS("a.csv", "a,b,c\n1,\"x\ny\",3\n4,5,6\n", &opts, "c:int64|a:int64\n3|1\n6|4\n");
    const char *const wrong[] = {"amont"};
    struct sl_table_opts missing = {.columns = wrong, .n_columns = 1};
    RIG_FAILS("a.csv", "amount,b\n1,2\n", &missing, SL_ENOTFOUND, "did you mean \"amount\"");
    const char *const twice[] = {"a", "a"};
    struct sl_table_opts again = {.columns = twice, .n_columns = 2};
    RIG_FAILS("a.csv", "a,b\n1,2\n", &again, SL_EINVAL, "selected twice");
}

SL_TEST(core_table_csv, bad_rows__fail__named_by_row_and_line)
{
    struct sl_table_opts first = {.infer_rows = 1};
    RIG_FAILS("a.csv", "a,b\n1,\"x\ny\"\n2\n", NULL, SL_EINVAL,
              "row 1, line 4: only 1 fields, the header has 2");
    RIG_FAILS("a.csv", "a,b\n1,2,3\n", NULL, SL_EINVAL,
              "row 0, line 2: more than 2 fields, the header has 2");
    RIG_FAILS("a.csv", "a,b\n1,2\nx,3\n", &first, SL_EINVAL,
              "row 1, line 3, column \"a\": \"x\" is not int64 (the type of the first rows)");
    RIG_FAILS("a.csv", "a,b\n1,\"x\"y\n", NULL, SL_EINVAL, "text follows a closing quote");
    RIG_FAILS("a.csv", "a,b\n1,\"x\n2,3\n", NULL, SL_EINVAL,
              "row 0, line 2: a quote is opened and never closed");
    RIG_FAILS("a.csv", "a,b\n1,x\0y\n", NULL, SL_EINVAL, "a NUL byte");
    RIG_FAILS("a.csv", "a,b\n1,12345678\xff\n", NULL, SL_EINVAL, "not UTF-8");
}

struct quarantine {
    struct sl_buf out;
    size_t n;
};

static void take_bad(const struct sl_table_bad *bad, void *data)
{
    struct quarantine *q = data;
    q->n++;
    sl_buf_printf(&q->out, "%llu/%llu@%llu:", (unsigned long long)bad->row,
                  (unsigned long long)bad->line, (unsigned long long)bad->offset);
    sl_buf_add(&q->out, bad->bytes, bad->n_bytes);
}

SL_TEST(core_table_csv, bad_rows__skip_and_quarantine__counted_located_sampled)
{
    static const char text[] = "a,b\n1,x\n2\n3,\"y\nz\"q\n4,w\n5,5,5";
    struct quarantine q = {.out = SL_BUF_INIT(4096)};
    struct sl_table_opts opts = {
        .on_bad = SL_TABLE_BAD_QUARANTINE, .bad = take_bad, .bad_data = &q};
    struct rig r;
    SL_CHECK_OK(rig_bytes(&r, "a.csv", text, sizeof(text) - 1, &opts), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&r.out), "a:int64|b:string\n1|\"x\"\n4|\"w\"\n");
    SL_CHECK_EQ_UINT(r.n_bad, 3);
    SL_CHECK_EQ_UINT(r.sample.row, 1);
    SL_CHECK_EQ_UINT(r.sample.line, 3);
    SL_CHECK_EQ_UINT(r.sample.offset, 8);
    SL_CHECK_CONTAINS(r.reason, "only 1 fields");
    SL_CHECK_EQ_STR(sl_buf_str(&q.out), "1/3@8:2\n2/4@10:3,\"y\nz\"q\n4/7@23:5,5,5");
    rig_release(&r);
    sl_buf_release(&q.out);
    opts = (struct sl_table_opts){.on_bad = SL_TABLE_BAD_SKIP, .bad_samples = 1};
    SL_CHECK_OK(rig_bytes(&r, "a.csv", text, sizeof(text) - 1, &opts), r.err);
    SL_CHECK_EQ_UINT(r.n_bad, 3);
    rig_release(&r);
}

SL_TEST(core_table_csv, row_range__first_and_count__cells)
{
    struct sl_table_opts opts = {.row_first = 1, .row_count = 2};
    RIG_IS("a.csv", "a,b\n1,x\n\n2,\"y\n\"\n3,z\n4,w\n", &opts,
           "a:int64|b:string\n2|\"y\\x0a\"\n3|\"z\"\n");
    opts.row_first = 9;
    RIG_IS("a.csv", "a,b\n1,x\n", &opts, "a:int64|b:string\n");
}

/** A file of many windows with all that makes boundaries hard. */
static void make_large(struct sl_buf *out, uint64_t seed, size_t n_rows, const char *newline)
{
    uint64_t x = seed;
    sl_buf_printf(out, "id,text,x%s", newline);
    for (size_t i = 0; i < n_rows; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        switch ((x >> 33) % 8) {
        case 0: sl_buf_printf(out, "%zu,\"a%sb,\"\"c\"\"\",1.5%s", i, newline, newline); break;
        case 1: sl_buf_printf(out, "%s%zu,,%s", newline, i, newline); break;
        case 2: sl_buf_printf(out, "%zu,only two%s", i, newline); break;
        case 3: sl_buf_printf(out, "%zu,\"q\"x,1%s", i, newline); break;
        case 4: sl_buf_printf(out, "%zu,5\" inch,0.1%s", i, newline); break;
        default: sl_buf_printf(out, "%zu,text,%zu.25%s", i, i, newline); break;
        }
    }
}

SL_TEST(core_table_csv, split__any_number__equals_the_whole)
{
    static const char *const newlines[] = {"\n", "\r\n"};
    struct sl_table_opts opts = {.on_bad = SL_TABLE_BAD_SKIP, .delimiter = ','};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sl_buf b = SL_BUF_INIT(16u << 20);
        make_large(&b, seed, 300, newlines[seed % 2]);
        rig_splits("a.csv", b.ptr, b.len, 40, &opts);
        sl_buf_release(&b);
    }
    rig_splits("a.csv", "a,b\n", 4, 3, &opts);
    rig_splits("a.csv", "aa,b", 4, 3, &opts);
    rig_splits("a.csv", "a,b\n1,\"x", 8, 3, &opts);
    rig_splits("a.csv", "a\n1\n\n2\n\n", 8, 5, &opts);
}

SL_TEST(core_table_csv, split__many_windows__equals_the_whole)
{
    struct sl_table_opts opts = {.on_bad = SL_TABLE_BAD_SKIP, .delimiter = ','};
    struct sl_buf b = SL_BUF_INIT(16u << 20);
    make_large(&b, 9, 150000, "\r\n");
    rig_splits("a.csv", b.ptr, b.len, 3, &opts);
    struct rig r;
    opts.row_first = 100000;
    SL_CHECK_OK(rig_bytes(&r, "a.csv", b.ptr, b.len, &opts), r.err);
    SL_CHECK_EQ_UINT(r.n_rows + r.n_bad, 50000);
    rig_release(&r);
    sl_buf_release(&b);
}

/** A field of `n` bytes in the second row. */
static int read_field(struct rig *r, size_t n, bool quoted, const struct sl_table_opts *opts)
{
    struct sl_buf b = SL_BUF_INIT(64u << 20);
    sl_buf_puts(&b, "a,b\n0,x\n1,");
    sl_buf_puts(&b, quoted ? "\"" : "");
    for (size_t i = 0; i < n; i += 16) {
        sl_buf_add(&b, "abcdefghijklmnop", SL_MIN(n - i, (size_t)16));
    }
    sl_buf_puts(&b, quoted ? "\"\n2,y\n" : "\n2,y\n");
    int rc = rig_bytes(r, "a.csv", b.ptr, b.len, opts);
    sl_buf_release(&b);
    return rc;
}

SL_TEST(core_table_csv, field_limit__at_and_past__good_and_bad)
{
    struct rig r;
    SL_CHECK_OK(read_field(&r, SL_TABLE_FIELD_BYTES_MAX, true, NULL), r.err);
    SL_CHECK_EQ_UINT(r.n_rows, 3);
    rig_release(&r);
    SL_CHECK_ERR(read_field(&r, SL_TABLE_FIELD_BYTES_MAX + 1, false, NULL), SL_EINVAL, r.err,
                 "row 1, line 3, column \"b\": a field is longer than 1 MiB");
    rig_release(&r);
    struct sl_table_opts skip = {.on_bad = SL_TABLE_BAD_SKIP};
    SL_CHECK_OK(read_field(&r, SL_TABLE_ROW_BYTES_MAX + 100, true, &skip), r.err);
    SL_CHECK_EQ_UINT(r.n_rows, 2);
    SL_CHECK_EQ_UINT(r.n_bad, 1);
    SL_CHECK_CONTAINS(r.reason, "longer than 16 MiB");
    rig_release(&r);
    struct sl_table_opts small = {.memory_max = SL_TABLE_MEMORY_MIN};
    SL_CHECK_ERR(read_field(&r, 8u << 20, true, &small), SL_ELIMIT, r.err, "more bytes of memory");
    rig_release(&r);
}

SL_TEST(core_table_csv, options__past_limits__refused)
{
    struct sl_table_opts small = {.memory_max = SL_TABLE_MEMORY_MIN - 1};
    RIG_FAILS("a.csv", "a\n", &small, SL_ELIMIT, "over its limit");
    struct sl_table_opts rows = {.batch_rows = SL_TABLE_BATCH_ROWS_MAX + 1};
    RIG_FAILS("a.csv", "a\n", &rows, SL_ELIMIT, "over its limit");
    struct sl_table_opts format = {.format = "cvs"};
    RIG_FAILS("a.csv", "a\n", &format, SL_EINVAL, "did you mean csv");
    RIG_FAILS("a.doc", "a\n", NULL, SL_EUNSUPPORTED, "name one");
    struct sl_table_range range = {0};
    struct sl_table_opts both = {.range = &range, .row_first = 1};
    RIG_FAILS("a.csv", "a\n", &both, SL_EINVAL, "exclude one another");
}

/** A header of `n` columns. */
static int read_columns(struct rig *r, size_t n)
{
    struct sl_buf b = SL_BUF_INIT(64u << 20);
    for (size_t i = 0; i < n; i++) {
        sl_buf_printf(&b, "%sc%zu", i > 0 ? "," : "", i);
    }
    int rc = rig_bytes(r, "a.csv", b.ptr, b.len, NULL);
    sl_buf_release(&b);
    return rc;
}

SL_TEST(core_table_csv, columns__at_and_past_the_limit__read_and_refused)
{
    struct rig r;
    SL_CHECK_OK(read_columns(&r, SL_TABLE_COLUMNS_MAX), r.err);
    rig_release(&r);
    SL_CHECK_ERR(read_columns(&r, SL_TABLE_COLUMNS_MAX + 1), SL_EINVAL, r.err, "too many columns");
    rig_release(&r);
}

SL_TEST(core_table_csv, batches__small__every_row_once)
{
    struct sl_table_opts opts = {.batch_rows = 2};
    struct rig r;
    static const char text[] = "a,b\n1,x\n2,yy\n3,zzz\n";
    SL_CHECK_OK(rig_bytes(&r, "a.csv", text, sizeof(text) - 1, &opts), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&r.out), "a:int64|b:string\n1|\"x\"\n2|\"yy\"\n3|\"zzz\"\n");
    SL_CHECK_EQ_UINT(r.n_batches, 2);
    rig_release(&r);
}

/**
 * Parquet: files that pyarrow wrote (tests/clients/table/write_tables.py --fixtures), cell by cell; what is
 * refused; damage. All codecs, encodings and writers: tests/integration/table_test.py.
 */
#include "core/base/base.h"

#include <lz4.h>

#include "core/table/parquet_priv.h"
#include "tests/unit/core/table/rig.h"

static const char *const fixtures[] = {"v1_dictionary_snappy", "v1_plain_gzip",
                                       "v2_delta_zstd",        "v2_split_lz4",
                                       "v2_delta_length_none", "int96"};

/** tests/golden/table/NAME; the caller frees. */
static char *fixture(const char *name, const char *suffix, size_t *ret_len)
{
    char *relative = sl_asprintf("tests/golden/table/%s.parquet%s", name, suffix);
    char *path = sl_test_source_path(relative);
    char *bytes = sl_test_read(path, ret_len);
    free(relative);
    free(path);
    return bytes;
}

SL_TEST(core_table_parquet, fixtures__each__equal_cell_by_cell)
{
    for (size_t i = 0; i < SL_LEN(fixtures); i++) {
        size_t len = 0;
        char *bytes = fixture(fixtures[i], "", &len);
        char *expected = fixture(fixtures[i], ".expected", NULL);
        struct rig r;
        SL_CHECK_OK(rig_bytes(&r, "x.parquet", bytes, len, NULL), r.err);
        SL_CHECK_EQ_STR(sl_buf_str(&r.out), expected);
        rig_release(&r);
        struct sl_table_opts small = {.batch_rows = 3};
        SL_CHECK_OK(rig_bytes(&r, "by magic", bytes, len, &small), r.err);
        SL_CHECK_EQ_STR(sl_buf_str(&r.out), expected);
        SL_CHECK_EQ_UINT(r.n_batches, (r.n_rows + 2) / 3);
        rig_splits("x.parquet", bytes, len, 5, &(struct sl_table_opts){0});
        rig_release(&r);
        free(bytes);
        free(expected);
    }
}

SL_TEST(core_table_parquet, nested__selected_or_around__refused_by_name_or_read)
{
    size_t len = 0;
    char *bytes = fixture("nested", "", &len);
    char *expected = fixture("nested", ".expected", NULL);
    struct rig r;
    SL_CHECK_ERR(rig_bytes(&r, "x.parquet", bytes, len, NULL), SL_EUNSUPPORTED, r.err,
                 "column \"list\" is nested: select the columns");
    rig_release(&r);
    const char *const names[] = {"z", "a"};
    struct sl_table_opts opts = {.columns = names, .n_columns = 2};
    SL_CHECK_OK(rig_bytes(&r, "x.parquet", bytes, len, &opts), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&r.out), expected);
    rig_release(&r);
    free(bytes);
    free(expected);
}

SL_TEST(core_table_parquet, row_range__across_groups__numbered_rows)
{
    size_t len = 0;
    char *bytes = fixture("v1_plain_gzip", "", &len);
    const char *const names[] = {"i64"};
    struct sl_table_opts all = {.columns = names, .n_columns = 1};
    struct sl_table_memory memory = {bytes, len};
    struct sl_table_source source = sl_table_source_memory(&memory, "x.parquet");
    struct rig whole = {.out = SL_BUF_INIT(1u << 20)};
    SL_CHECK_OK(rig_read(&whole, &source, &all, false, true), whole.err);
    struct sl_table_opts part = all; /* groups of ten rows: 8 to 11, over the border */
    part.row_first = 8;
    part.row_count = 4;
    struct rig r = {.out = SL_BUF_INIT(1u << 20)};
    SL_CHECK_OK(rig_read(&r, &source, &part, false, true), r.err);
    SL_CHECK_EQ_UINT(r.n_rows, 4);
    SL_CHECK(sl_starts_with(sl_buf_str(&r.out), "8: "));
    SL_CHECK_CONTAINS(sl_buf_str(&whole.out), sl_buf_str(&r.out));
    rig_release(&r);
    r = (struct rig){.out = SL_BUF_INIT(1u << 20)};
    part.row_first = 24;
    SL_CHECK_OK(rig_read(&r, &source, &part, false, true), r.err);
    SL_CHECK_EQ_UINT(r.n_rows, 0);
    rig_release(&r);
    rig_release(&whole);
    free(bytes);
}

SL_TEST(core_table_parquet, hostile__cut_or_wrong__said_so)
{
    size_t len = 0;
    char *bytes = fixture("v1_plain_gzip", "", &len);
    struct rig r;
    SL_CHECK_ERR(rig_bytes(&r, "x.parquet", bytes, len - 1, NULL), SL_EINVAL, r.err, "cut short?");
    rig_release(&r);
    SL_CHECK_ERR(rig_bytes(&r, "x.parquet", bytes, 11, NULL), SL_EINVAL, r.err, "too short");
    rig_release(&r);
    bytes[100] = (char)~bytes[100]; /* inside the first page */
    SL_CHECK_ERR(rig_bytes(&r, "x.parquet", bytes, len, NULL), SL_EINVAL, r.err, "damaged");
    rig_release(&r);
    bytes[len - 1] = 'E';
    SL_CHECK_ERR(rig_bytes(&r, "x.parquet", bytes, len, NULL), SL_EUNSUPPORTED, r.err, "encrypted");
    rig_release(&r);
    const struct sl_table_override types[] = {{"i64", SL_TABLE_STRING, 0}};
    struct sl_table_opts opts = {.types = types, .n_types = 1};
    bytes[len - 1] = '1';
    SL_CHECK_ERR(rig_bytes(&r, "x.parquet", bytes, len, &opts), SL_EINVAL, r.err,
                 "states its types itself");
    rig_release(&r);
    free(bytes);
}

SL_TEST(core_table_parquet, lz4__hadoop_frames_and_raw__same_bytes)
{
    static const char plain[] = "two blocks of text, text, text, text, text, text and text";
    uint8_t packed[256];
    uint8_t out[sizeof(plain)];
    size_t at = 0;
    struct sl_err err = SL_ERR_INIT;
    const size_t cuts[] = {0, 20, sizeof(plain)};
    for (size_t i = 0; i < 2; i++) {
        int n = (int)(cuts[i + 1] - cuts[i]);
        int m = LZ4_compress_default(plain + cuts[i], (char *)packed + at + 8, n, 100);
        SL_ASSERT(m > 0);
        memset(packed + at, 0, 8);
        packed[at + 3] = (uint8_t)n;
        packed[at + 7] = (uint8_t)m;
        at += 8 + (size_t)m;
    }
    SL_CHECK_OK(pq_decompress(PQ_LZ4, packed, at, out, sizeof(plain), "x", &err), err);
    SL_CHECK_EQ_MEM(out, plain, sizeof(plain));
    SL_CHECK_ERR(pq_decompress(PQ_LZ4, packed, at - 1, out, sizeof(plain), "x", &err), SL_EINVAL,
                 err, "damaged");
    SL_CHECK_ERR(pq_decompress(PQ_LZ4, packed, at, out, sizeof(plain) - 1, "x", &err), SL_EINVAL,
                 err, "damaged");
    int m = LZ4_compress_default(plain, (char *)packed, (int)sizeof(plain), (int)sizeof(packed));
    memset(out, 0, sizeof(out));
    SL_CHECK_OK(pq_decompress(PQ_LZ4, packed, (size_t)m, out, sizeof(plain), "x", &err), err);
    SL_CHECK_EQ_MEM(out, plain, sizeof(plain));
    SL_CHECK_ERR(pq_decompress(PQ_BROTLI, packed, 1, out, 1, "x", &err), SL_EUNSUPPORTED, err,
                 "brotli");
}

SL_TEST(core_table_parquet, hybrid__spec_example__values)
{
    /* Encodings.md: 0 to 7 in three bits are 88 C6 FA; then a run of five sixes. */
    static const uint8_t bytes[] = {0x03, 0x88, 0xc6, 0xfa, 0x0a, 0x06};
    struct pq_hybrid h = {.p = bytes, .end = bytes + sizeof(bytes), .width = 3};
    uint32_t out[13] = {0};
    SL_CHECK(pq_hybrid_read(&h, 5, out) && pq_hybrid_read(&h, 8, out + 5));
    for (uint32_t i = 0; i < 13; i++) {
        SL_CHECK_EQ_UINT(out[i], i < 8 ? i : 6);
    }
    SL_CHECK(!pq_hybrid_read(&h, 1, out));
}

SL_TEST(core_table_parquet, delta__spec_example__values)
{
    /* Encodings.md, example 2: 7 5 3 1 2 3 4 5; first 7, least delta -2, two bits each. */
    static const uint8_t bytes[] = {0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 0x02, 0x00, 0x00,
                                    0x00, 0xc0, 0x3f, 0,    0,    0,    0,    0,    0};
    static const uint64_t expected[] = {7, 5, 3, 1, 2, 3, 4, 5};
    struct pq_delta d;
    uint64_t out[9] = {0};
    SL_CHECK(pq_delta_start(&d, bytes, bytes + sizeof(bytes)));
    SL_CHECK(pq_delta_read(&d, 8, out));
    SL_CHECK_EQ_MEM(out, expected, sizeof(expected));
    SL_CHECK(!pq_delta_read(&d, 1, out));
    SL_CHECK(d.p == bytes + sizeof(bytes));
}

SL_TEST(core_table_parquet, thrift__nested_past_the_limit__refused)
{
    uint8_t bytes[THRIFT_DEPTH_MAX + 8];
    for (int past = 0; past < 2; past++) {
        int depth = THRIFT_DEPTH_MAX + past; /* structs in structs: a head each, a stop each */
        struct thrift t = {.p = bytes, .end = bytes + sizeof(bytes)};
        memset(bytes, 0, sizeof(bytes));
        memset(bytes, 0x1c, (size_t)depth);
        uint8_t all[2 * (THRIFT_DEPTH_MAX + 8)] = {0};
        memcpy(all, bytes, (size_t)depth);
        t.p = all;
        t.end = all + sizeof(all);
        thrift_skip(&t, THRIFT_STRUCT);
        SL_CHECK_EQ_INT(t.failed, past);
    }
}

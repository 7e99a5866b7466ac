/**
 * Files with changed, cut, repeated and inserted bytes: an error or batches, never a crash, never more memory than
 * allowed. 2,000 files; TABLE_MUTATIONS names another count (tests/soak.d/table: 100,000).
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/support/sl_test.h"
#include "tests/support/table_fuzz.h"

static const struct {
    const char *format, *path;
} seeds[] = {
    {"parquet", "tests/golden/table/v1_dictionary_snappy.parquet"},
    {"parquet", "tests/golden/table/v1_plain_gzip.parquet"},
    {"parquet", "tests/golden/table/v2_delta_zstd.parquet"},
    {"parquet", "tests/golden/table/v2_split_lz4.parquet"},
    {"parquet", "tests/golden/table/v2_delta_length_none.parquet"},
    {"parquet", "tests/golden/table/int96.parquet"},
    {"parquet", "tests/golden/table/nested.parquet"},
    {"csv", "tests/fuzz/corpus/csv/mixed.csv"},
    {"csv", "tests/fuzz/corpus/csv/types.csv"},
    {"jsonl", "tests/fuzz/corpus/jsonl/mixed.jsonl"},
    {"npy", "tests/golden/table/record.npy"},
    {"npy", "tests/golden/table/grid_f.npy"},
    {"npz", "tests/golden/table/stored.npz"},
    {"npz", "tests/golden/table/packed.npz"},
};

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/** One to four changes in place; `bytes` has room for 16 more. */
static size_t mutate(uint8_t *bytes, size_t len, uint64_t *state)
{
    static const uint8_t strange[] = {0, 0xff, 0x7f, 0x80, 1, '"', '\n', 0x1c, 0x0f, 0xf9};
    for (uint64_t n = 1 + next_random(state) % 4; n > 0 && len > 0; n--) {
        size_t at = (size_t)(next_random(state) % len);
        uint64_t r = next_random(state);
        if (r % 3 == 0 && len > 200) {
            at = len - 1 - at % 200; /* where footers lie */
        }
        switch ((r >> 8) % 6) {
        case 0: bytes[at] ^= (uint8_t)(1u << ((r >> 16) % 8)); break;
        case 1: bytes[at] = strange[(r >> 16) % sizeof(strange)]; break;
        case 2: bytes[at] = (uint8_t)(r >> 16); break;
        case 3: len = (r >> 16) % 8 == 0 ? at : len; break;
        case 4: {
            size_t k = SL_MIN((size_t)1 + (r >> 16) % 4, len - at);
            memmove(bytes + at, bytes + at + k, len - at - k);
            len -= k;
            break;
        }
        default: {
            size_t from = (size_t)((r >> 16) % len);
            size_t k = SL_MIN(SL_MIN((size_t)8, len - at), len - from);
            memmove(bytes + at, bytes + from, k);
            break;
        }
        }
    }
    return len;
}

SL_TEST(core_table_mutation, mutated_files__each__error_or_rows)
{
    const char *asked = getenv("TABLE_MUTATIONS");
    int64_t count = 2000;
    uint64_t state = 11;
    (void)(asked != NULL && sl_parse_i64(asked, &count));
    for (size_t s = 0; s < SL_LEN(seeds); s++) {
        size_t len = 0;
        char *path = sl_test_source_path(seeds[s].path);
        char *seed = sl_test_read(path, &len);
        for (int64_t i = 0; i < count / (int64_t)SL_LEN(seeds) + 1; i++) {
            uint8_t *work = sl_malloc(len + 1);
            memcpy(work, seed, len);
            size_t n = mutate(work, len, &state);
            uint8_t *exact = sl_malloc(SL_MAX(n, (size_t)1));
            memcpy(exact, work, n);
            table_fuzz(seeds[s].format, exact, n);
            free(exact);
            free(work);
        }
        free(seed);
        free(path);
    }
}

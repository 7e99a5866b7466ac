/** numpy's files (tests/clients/table/write_tables.py --fixtures): cells, ranges, what is refused. */
#include "core/base/base.h"

#include "core/base/mem.h"
#include "tests/unit/core/table/rig.h"

static char *fixture(const char *name, const char *suffix, size_t *ret_len)
{
    char *relative = sl_asprintf("tests/golden/table/%s%s", name, suffix);
    char *path = sl_test_source_path(relative);
    char *bytes = sl_test_read(path, ret_len);
    free(relative);
    free(path);
    return bytes;
}

SL_TEST(core_table_npy, fixtures__each__equal_cell_by_cell)
{
    static const char *const names[] = {"np0.npy",    "np5.npy",    "np14.npy",   "grid_c.npy",
                                        "grid_f.npy", "record.npy", "stored.npz", "packed.npz"};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        size_t len = 0;
        char *bytes = fixture(names[i], "", &len);
        char *expected = fixture(names[i], ".expected", NULL);
        struct rig r;
        SL_CHECK_OK(rig_bytes(&r, names[i], bytes, len, NULL), r.err);
        SL_CHECK_EQ_STR(sl_buf_str(&r.out), expected);
        rig_release(&r);
        struct sl_table_opts small = {.batch_rows = 2};
        SL_CHECK_OK(rig_bytes(&r, "by first bytes", bytes, len, &small), r.err);
        SL_CHECK_EQ_STR(sl_buf_str(&r.out), expected);
        SL_CHECK_EQ_UINT(r.n_batches, 3);
        rig_splits(names[i], bytes, len, 7, &(struct sl_table_opts){0});
        rig_release(&r);
        free(bytes);
        free(expected);
    }
}

SL_TEST(core_table_npy, refused__each__by_name)
{
    static const struct {
        const char *file, *word;
        int code;
    } cases[] = {{"lengths.npz", "a has 2 rows, b 3: select columns of one length", SL_EINVAL},
                 {"objects.npy", "pickled Python objects", SL_EUNSUPPORTED},
                 {"cube.npy", "neither one dimension nor two", SL_EUNSUPPORTED}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        size_t len = 0;
        char *bytes = fixture(cases[i].file, "", &len);
        struct rig r;
        SL_CHECK_ERR(rig_bytes(&r, cases[i].file, bytes, len, NULL), cases[i].code, r.err,
                     cases[i].word);
        rig_release(&r);
        free(bytes);
    }
}

SL_TEST(core_table_npy, selection__around_what_is_refused__cells)
{
    static const char *const names[] = {"y"};
    struct sl_table_opts opts = {.columns = names, .n_columns = 1};
    size_t len = 0;
    char *bytes = fixture("around.select-y.npz", "", &len);
    char *expected = fixture("around.select-y.npz", ".expected", NULL);
    struct rig r;
    SL_CHECK_OK(rig_bytes(&r, "a.npz", bytes, len, &opts), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&r.out), expected);
    rig_release(&r);
    free(bytes);
    free(expected);
}

SL_TEST(core_table_npy, cut__at_any_byte__said_so)
{
    static const char *const names[] = {"record.npy", "packed.npz"};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        size_t len = 0;
        char *bytes = fixture(names[i], "", &len);
        for (size_t n = 0; n < len; n += 7) {
            struct rig r;
            int rc = rig_bytes(&r, names[i], bytes, n, NULL);
            SL_CHECK_MSG(rc == -SL_EINVAL || rc == -SL_EUNSUPPORTED, "%s cut to %zu: %d", names[i],
                         n, rc);
            rig_release(&r);
        }
        free(bytes);
    }
}

/** The readers of tables: npy, and npz for what begins as an archive. */
#include "core/base/base.h"

#include "core/table/table.h"
#include "tests/support/sl_fuzz.h"
#include "tests/support/table_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    table_fuzz(size > 0 && data[0] == 'P' ? "npz" : "npy", data, size);
    return 0;
}

/** The reader of tables: jsonl. */
#include "core/base/base.h"

#include "core/table/table.h"
#include "tests/support/sl_fuzz.h"
#include "tests/support/table_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    table_fuzz("jsonl", data, size);
    return 0;
}

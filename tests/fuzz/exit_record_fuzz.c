/* Exit records and log lines: any bytes are either refused or give values in their ranges. */
#include "core/base/base.h"

#include "runners/local/logread.h"
#include "runners/local/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_result result;
    struct sl_log_line line;
    if (sl_exit_record_parse((const char *)data, size, NULL, &result, &err) == 0) {
        SL_ASSERT(result.exit_code >= -1 && result.exit_code <= 255);
        SL_ASSERT(result.signal >= 0 && result.signal <= 64);
        SL_ASSERT(result.class != SL_CLASS_LOST);
    }
    if (sl_log_line_parse((const char *)data, size, &line)) {
        SL_ASSERT(line.len == size - SL_LOG_PREFIX);
    }
    return 0;
}

/**
 * Contract of a fuzz target: tests/fuzz/<name>_fuzz.c defines this one function. With the fuzz
 * preset it is driven by libFuzzer, otherwise fuzz_replay.c feeds it tests/fuzz/corpus/<name>.
 */
#ifndef SL_FUZZ_H
#define SL_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

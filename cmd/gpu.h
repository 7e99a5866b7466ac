/** GPUs of this machine, as `sluice runners` shows them. Thread: main. */
#ifndef SL_CMD_GPU_H
#define SL_CMD_GPU_H

#include "cmd/cmd.h"

/** From the engine that runs, else from the driver. New reference. */
json_t *sl_cmd_gpus(struct sl_cmd *c);
void sl_cmd_gpus_print(const json_t *gpus, bool color, struct sl_buf *out);
/** Hands out again the GPU named by the second argument, or all that were set aside. */
int sl_cmd_gpus_undrain(struct sl_cmd *c);

#endif

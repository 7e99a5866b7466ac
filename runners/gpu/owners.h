/**
 * Whose the processes on GPUs are, and the end of those that outlived their attempt.
 *
 * Thread: any. Blocks: files of /proc. Must not: touch a process that does not say it is an attempt's.
 */
#ifndef SL_GPU_OWNERS_H
#define SL_GPU_OWNERS_H

#include "runners/gpu/gpu.h"

/** Names the attempts of the processes in the inventory: by $SLUICE_ATTEMPT_ID in their environment. */
void sl_gpu_owners_fill(struct sl_gpu_inventory *inventory);

/**
 * KILL to a process, if it still is the attempt's and works below or was told of the data directory: those of
 * other engines are not ours to end.
 *
 * @param data_dir  absolute
 * @return          whether it was signalled
 */
bool sl_gpu_owner_kill(int pid, const char *attempt_id, const char *data_dir);

#endif

/**
 * The device nodes behind leased GPUs, for a step that is to see no others.
 *
 * Thread: any. Must not: need a driver's library.
 */
#ifndef SL_GPU_NODES_H
#define SL_GPU_NODES_H

#include "core/base/base.h"
#include "runners/gpu/gpu.h"

#define SL_GPU_NODES_MAX  (SL_GPU_MAX + 4)
#define SL_GPU_NODE_BYTES 32

struct sl_gpu_nodes {
    char paths[SL_GPU_NODES_MAX][SL_GPU_NODE_BYTES];
    size_t n;
};

/**
 * Finds /dev/nvidiaN of each GPU by its uuid in /proc/driver/nvidia/gpus, and adds the nodes that all share
 * (control and unified memory). A uuid that the driver does not know (made-up inventories) has no node.
 *
 * @param visible    value of CUDA_VISIBLE_DEVICES: uuids, comma-separated
 * @param proc_root  directory of the driver's files; NULL: /proc/driver/nvidia/gpus
 */
void sl_gpu_nodes_of(const char *visible, const char *proc_root, struct sl_gpu_nodes *ret);

#endif

/**
 * What a killed shim may leave without a control group: processes that still carry the attempt's marks.
 *
 * Thread: any. Must not: touch another user's processes, or one that has a terminal.
 */
#ifndef SL_LEFTOVER_H
#define SL_LEFTOVER_H

#include "core/base/base.h"

/**
 * KILL to every process of ours whose environment names the attempt or that works in its directory.
 * A process that wiped its environment and left the directory is not found: only a control group or the
 * sandbox holds such a one.
 *
 * @param attempt_id   32 hex digits, looked for as a variable's value
 * @param attempt_dir  absolute
 * @return             how many were killed
 * Blocks: one look at /proc when there is nothing; at most about 200 ms.
 */
int sl_leftover_kill(const char *attempt_id, const char *attempt_dir);

#endif

/**
 * The shim's program, carried inside this one and placed into the data directory under its digest.
 *
 * Thread: any. Must not: replace a shim that an older engine's attempts still use.
 */
#ifndef SL_SHIM_IMAGE_H
#define SL_SHIM_IMAGE_H

#include "core/base/err.h"
#include "core/base/hash.h"

/** The embedded program. Static. */
const void *sl_shim_image(size_t *ret_bytes);
void sl_shim_digest(struct sl_digest *ret);

#define SL_SHIM_PATH_BYTES (5 + SL_DIGEST_HEX + 1) /* "shim/" and digest */

/**
 * Places the program at shim/SHA256 below the data directory, mode 0555, durably; a right one is
 * left alone, a damaged one replaced. Others are never touched: their steps may still run.
 *
 * @param ret_path  relative to data_dirfd
 */
int sl_shim_install(int data_dirfd, char ret_path[SL_SHIM_PATH_BYTES], struct sl_err *err)
    SL_MUST_CHECK;

#endif

/**
 * Secrets on their way to a shim, and the directories in memory that a shim makes for those that are files.
 *
 * Thread: any. Must not: keep a value, or put one anywhere but into the shim's spec.
 */
#ifndef SL_SHIM_SECRET_H
#define SL_SHIM_SECRET_H

#include "runners/local/cgroup.h"

#define SL_SHIM_SECRET_DIR (SL_RUNNER_PATH_MAX + 32) /* bytes of such a path, NUL included */

/** Where the files of an attempt go: memory of the machine where there is such a place, else the attempt's own
 * directory. */
void sl_shim_secret_dir(const char *prefix, const char *nonce, const char *attempt_dir,
                        char out[SL_SHIM_SECRET_DIR]);
/** Whether any of its secrets is a file. */
bool sl_shim_secret_files(const struct sl_attempt_spec *spec);
/** Appends the words for the spec's secrets to the descriptor. */
int sl_shim_secret_write(int fd, const struct sl_attempt_spec *spec, const char *dir,
                         struct sl_err *err) SL_MUST_CHECK;

/** Removes what a shim may have left of an attempt that is over. */
void sl_shim_secret_end(const char *prefix, const char *nonce, int attempt_dirfd);
/** Removes directories of attempts whose nonce is not among `known`. Returns how many. */
int sl_shim_secret_sweep(const char *prefix, const char *const *known, size_t n);

#endif

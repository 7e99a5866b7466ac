/** Inside core/base: what the fs files share, and what tests reach. */
#ifndef SL_FS_PRIV_H
#define SL_FS_PRIV_H

#include <sys/types.h>

#include "core/base/fs.h"

/** What sl_openat_beneath does where the kernel lacks openat2: one component at a time, none of
 * them a link. Arguments are checked already. @return descriptor, or a negative errno */
int sl_openat_walk(int dirfd, const char *path, int flags, mode_t mode);

/** Splits at the last "/": `ret_dir` is "." , "/" or the text before it (caller frees). */
const char *sl_path_split(const char *path, char **ret_dir);

#endif

/**
 * Names of the machine's users.
 *
 * Thread: any. Blocks: reads the user database.
 */
#ifndef SL_USER_H
#define SL_USER_H

#include <sys/types.h>

#include "core/base/base.h"

#define SL_USER_NAME 128

/** Login name of a user, "uid1000" for one without. Returns out. */
char *sl_user_name(uid_t uid, char out[SL_USER_NAME]);

#endif

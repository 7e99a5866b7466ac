/**
 * Names of the machine's users: see user.h.
 */
#include "core/base/base.h"

#include "core/base/user.h"

#include <pwd.h>
#include <stdio.h>

char *sl_user_name(uid_t uid, char out[SL_USER_NAME])
{
    struct passwd entry;
    struct passwd *found = NULL;
    char buf[4096];
    if (getpwuid_r(uid, &entry, buf, sizeof(buf), &found) == 0 && found != NULL) {
        (void)snprintf(out, SL_USER_NAME, "%.100s", found->pw_name);
    } else {
        (void)snprintf(out, SL_USER_NAME, "uid%lu", (unsigned long)uid);
    }
    return out;
}

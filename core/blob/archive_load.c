/* Opens libarchive when the first archive is read. Thread: any; once per process, never closed. */
#include "core/base/base.h"

#include "core/blob/archive_load.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct archive_calls calls;
static bool loaded;

static void load(void)
{
    void *lib = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL) {
        return;
    }
    bool all = true;
    void *at = NULL;
#define X(name, result, args)                                                                      \
    at = dlsym(lib, "archive_" #name);                                                             \
    all = all && at != NULL;                                                                       \
    memcpy(&calls.name, &at, sizeof(at));
    ARCHIVE_CALLS(X)
#undef X
    loaded = all;
}

const struct archive_calls *archive_calls(struct sl_err *err)
{
    (void)pthread_once(&once, load);
    if (!loaded) {
        (void)sl_err_set(err, SL_EUNSUPPORTED,
                         "libarchive.so.13 is not installed; install libarchive13");
        return NULL;
    }
    return &calls;
}

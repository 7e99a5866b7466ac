/**
 * Opens libcurl when the first request goes out. It brings thirty libraries and four milliseconds along,
 * which a command that only asks the engine must not pay.
 *
 * Thread: any; opened once per process and never closed.
 */
#include "core/base/base.h"

#include "core/http/curl_load.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct curl_calls calls;
static bool loaded;

static void load(void)
{
    void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL) {
        return;
    }
    bool all = true;
    void *at = NULL;
#define X(name, result, args)                                                                      \
    at = dlsym(lib, "curl_" #name);                                                                \
    all = all && at != NULL;                                                                       \
    memcpy(&calls.name, &at, sizeof(at));
    CURL_CALLS(X)
#undef X
    loaded = all && calls.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const struct curl_calls *curl_calls(struct sl_err *err)
{
    (void)pthread_once(&once, load);
    if (!loaded) {
        (void)sl_err_set(err, SL_EUNSUPPORTED,
                         "libcurl.so.4 is not installed or too old; install libcurl4");
        return NULL;
    }
    return &calls;
}

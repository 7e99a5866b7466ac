/**
 * Interpreters: what a Python on this machine is, independent of where it lies.
 *
 * Thread: any. Blocks: yes (starts the interpreter once, then remembers in <data>/envs/interpreters).
 */
#ifndef SL_ENV_INTERP_H
#define SL_ENV_INTERP_H

#include "core/base/json.h"
#include "core/base/mem.h"

#define SL_INTERP_TIMEOUT_MS 30000 /* for telling what it is */
#define SL_INTERP_TEXT_MAX   65536 /* bytes that it may say */

struct sl_interp {
    const char *path; /* of the program as found, absolute */
    json_t *facts;    /* {"implementation","version","abi","platform","libc","pip","sha256"} */
};

/**
 * Finds and asks an interpreter.
 *
 * @param python  "python3.11", or an absolute path
 * @param data    the data directory, absolute, where answers are remembered; NULL: ask again
 * @return 0; -SL_ENOTFOUND when there is no such program; -SL_EUNSUPPORTED when it cannot make environments
 *         (no venv or ensurepip; the message names the package); -SL_EFAILED, -SL_ETIMEOUT
 * Owner: caller, json_decref(facts); path in `a`.
 */
int sl_interp_find(const char *python, const char *data, struct sl_arena *a, struct sl_interp *ret,
                   struct sl_err *err) SL_MUST_CHECK;

#endif

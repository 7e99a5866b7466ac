/**
 * Environments: what names one, where it lies, whether it is whole.
 *
 * An environment is named by its record, canonical JSON of everything that decides what it holds:
 *   {"kind":"image","reproducible":true,"digest":HEX,"platform":"linux/amd64"}
 *   {"kind":"venv","reproducible":true,"packages":{NAME:VERSION},"hashes":{NAME:HEX},"options":[...],
 *    "interpreter":{...}}
 * The SHA-256 of the record is the runtime digest of cache keys and lineage. No path, index or credential is
 * part of it: hashes say which bytes, not where from.
 *
 * It lies at <data>/envs/<first 32 hex digits of the digest>, and is whole when it holds its marker, which is
 * the last thing that its builder writes. Without a marker it is never used, and built anew.
 *
 * Thread: any. Blocks: yes.
 */
#ifndef SL_ENV_H
#define SL_ENV_H

#include "core/base/json.h"
#include "pipelines/env/interp.h"
#include "pipelines/env/lock.h"

#define SL_ENV_DIR              "envs"            /* below the data directory */
#define SL_ENV_MARKER           "sluice-env.json" /* in an environment */
#define SL_ENV_ID_HEX           32                /* digits of the digest that name its directory */
#define SL_ENV_ID_MIN           4                 /* digits of a prefix that a user may give */
#define SL_ENV_RECORD_BYTES_MAX ((size_t)4 << 20)

/** The record of a lock under an interpreter, and its digest. New reference. */
json_t *sl_env_record(const struct sl_lock *lock, const json_t *interpreter,
                      struct sl_digest *ret_digest);

/** Absolute path of an environment's directory. Caller frees. */
char *sl_env_path(const char *data, const struct sl_digest *digest);

/** Whether it is whole, at this very place, with an interpreter that is still there. */
bool sl_env_ready(const char *data, const struct sl_digest *digest);

/** Of an image that is there: {"env":["NAME=value"...],"workdir"} as it was published. New reference, or NULL. */
json_t *sl_env_config(const char *data, const struct sl_digest *digest);
/** Absolute path of the tree that an image became. Caller frees. */
char *sl_env_root(const char *data, const struct sl_digest *digest);

/** Notes that it was used now. Best effort. */
void sl_env_touch(const char *data, const struct sl_digest *digest);

/** One environment on disk. Texts live during the call. */
struct sl_env_info {
    char id[SL_ENV_ID_HEX + 1];
    struct sl_digest digest; /* zero when unknown */
    const json_t *record;    /* NULL when unknown */
    uint64_t bytes;
    int64_t files, built_ms, used_ms; /* 0 unknown */
    bool ready;
};
typedef int (*sl_env_each_fn)(const struct sl_env_info *info, void *data, struct sl_err *err);
/** Every environment of a data directory, whole or not, by id. Negative from `fn` stops. */
int sl_env_each(const char *data, sl_env_each_fn fn, void *arg, struct sl_err *err) SL_MUST_CHECK;

/** Removes one. -SL_EBUSY while somebody builds it. */
int sl_env_remove(const char *data, const char *id, struct sl_err *err) SL_MUST_CHECK;

#endif

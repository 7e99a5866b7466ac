/**
 * The questions and small writes that people and programs ask of a data directory, each one function with
 * JSON arguments and a JSON answer. The HTTP server and the commands call the same functions.
 *
 * Thread: any, one context per thread. Blocks: yes (database, content store). Must not: print, log, exit.
 */
#ifndef SL_API_H
#define SL_API_H

#include "core/http/server.h"
#include "pipelines/engine/engine.h"

#define SL_API_PREFIX      "/api/v1"
#define SL_API_BODY_MAX    ((size_t)64 << 20) /* of a submission; others take far less */
#define SL_API_DIFF_MAX    100000             /* paths in one difference or manifest listing */
#define SL_API_HISTORY_MAX 500                /* buckets of a metric's history */

enum sl_api_kind {
    SL_API_READ,  /* needs a reading connection */
    SL_API_WRITE, /* needs the opened workspace */
    SL_API_ENGINE /* needs a running engine; on its loop */
};

/** What a function may use. READ: db, data_path and blobs. WRITE: ws too, and it sees whether an engine serves
 * (engine is not NULL). ENGINE: engine too. */
struct sl_api_ctx {
    const char *data_path;
    struct sl_db *db;
    struct sl_blob_store *blobs;
    struct sl_workspace *ws;
    struct sl_engine *engine;
    const char *actor; /* who asks, by the kernel's word */
    /* WRITE may set: a step of this run (by index) is to be decided anew, something changed for it */
    char ask_again[SL_ID_HEX + 1];
    int64_t ask_again_step;
    bool project_changed; /* WRITE may set: another project is in force */
};

/**
 * @param args  path parameters, query and body fields in one object; borrowed
 * @param ret   new reference, only on 0
 */
typedef int (*sl_api_fn)(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                         struct sl_err *err);

/** One endpoint. Pattern parameters are fields of args. fn NULL: served by serve.c itself. */
struct sl_api_op {
    const char *method, *pattern, *name;
    enum sl_api_kind kind;
    sl_api_fn fn;
    const char *permission, *summary;
};
extern const struct sl_api_op sl_api_ops[];
extern const size_t sl_api_n_ops;
/** By name ("runs.list"). Unknown names are bugs (asserted). */
const struct sl_api_op *sl_api_find(const char *name);

/** Calls an operation in this process: opens what its kind needs (for WRITE the lock is taken for the
 * moment; -SL_EBUSY when another process has it), calls, closes. ENGINE: -SL_EUNREACHABLE. */
int sl_api_call_local(const char *data_path, const struct sl_api_op *op, const json_t *args,
                      json_t **ret, struct sl_err *err) SL_MUST_CHECK;

/** Arguments: text, number (also as decimal text, as queries have it), truth ("true", "1"). */
const char *sl_api_arg(const json_t *args, const char *name, const char *fallback);
int sl_api_arg_need(const json_t *args, const char *name, const char **ret, struct sl_err *err)
    SL_MUST_CHECK;
int64_t sl_api_arg_i64(const json_t *args, const char *name, int64_t fallback);
bool sl_api_arg_bool(const json_t *args, const char *name);

struct sl_api_server;
/**
 * Serves the engine on <data>/sock: every operation below /api/v1, submissions and event streams.
 *
 * @param group  NULL: our own user and root only. Else a Unix group whose members may look and vote, each
 *               under the name that the kernel gives; everything else stays ours. The data directory can
 *               then be passed through by the group, and nothing in it but the socket be opened
 * @return 0; -SL_EBUSY when another process answers there; -SL_ENOTFOUND for a group that does not exist
 * Owner: caller; sl_api_close before sl_engine_close. Thread: loop.
 */
int sl_api_serve(struct sl_engine *engine, const char *group, struct sl_api_server **ret,
                 struct sl_err *err) SL_MUST_CHECK;
/** Lets running requests finish, then frees. Turns the loop meanwhile. NULL allowed. */
void sl_api_close(struct sl_api_server *server);

#endif

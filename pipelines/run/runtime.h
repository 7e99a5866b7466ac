/**
 * Environments of a run: what each inserted environment step (struct sl_step.builds) makes, known from the
 * code snapshot before anything runs, so that cache keys do not wait for it.
 *
 * Thread: a lane or a command. Blocks: yes (reads content, may ask an interpreter).
 */
#ifndef SL_RUN_RUNTIME_H
#define SL_RUN_RUNTIME_H

#include "core/blob/blob.h"
#include "pipelines/plan/plan.h"
#include "registry/object/manifest.h"

/** One environment. Texts in the arena. */
struct sl_run_env {
    const char *record; /* canonical JSON; NULL: the step makes none */
    struct sl_digest digest;
    const char *python; /* absolute path of the interpreter; of an image: NULL */
};

struct sl_run_envs_world {
    struct sl_blob_store *blobs;
    const char *data; /* the data directory */
};

/**
 * Reads the lock files of a plan's environments from a snapshot and finds their interpreters.
 *
 * @param spec  of the plan (with the inserted steps)
 * @param ret   parallel to spec->steps
 * @return 0; -SL_ENOTFOUND for a missing file or interpreter; -SL_EINVAL with the first problem of a lock
 */
int sl_run_envs_resolve(const struct sl_spec *spec, const struct sl_manifest *code,
                        const struct sl_run_envs_world *w, struct sl_arena *a,
                        struct sl_run_env **ret, struct sl_err *err) SL_MUST_CHECK;

/** As recorded with a run: {STEP: {"digest","python"}}, and back (records are content). New reference. */
json_t *sl_run_envs_json(const struct sl_spec *spec, const struct sl_run_env *envs);
int sl_run_envs_restore(const struct sl_spec *spec, const json_t *recorded,
                        struct sl_blob_store *blobs, struct sl_arena *a, struct sl_run_env **ret,
                        struct sl_err *err) SL_MUST_CHECK;
/** Makes the records durable as content, named by the environments' digests. */
int sl_run_envs_store(const struct sl_spec *spec, const struct sl_run_env *envs,
                      struct sl_blob_store *blobs, struct sl_err *err) SL_MUST_CHECK;

/** The environment that a written step runs in; NULL for the host's. */
const struct sl_run_env *sl_run_env_of(const struct sl_spec *spec, const struct sl_run_env *envs,
                                       const struct sl_step *s);

/** How many written steps run programs on the host as it is: what nobody can make again. */
size_t sl_run_host_steps(const struct sl_spec *spec);

/** The cache record of a step that makes an environment: nothing but what the environment is. New reference. */
json_t *sl_run_env_key(const struct sl_run_env *env, struct sl_digest *ret_key);

/** Puts what differs between two environments in the place of their digests: an entry "runtime" of `diff` becomes
 * "runtime.packages.numpy" and so on, where both records are stored. */
void sl_run_envs_explain(struct sl_blob_store *blobs, json_t *diff);

/**
 * Checks the lock files that steps name as they lie now, so that their problems are told with their places.
 *
 * @param dir  directory of the pipeline file; the root of the code is the git work tree around it, or itself
 * @return 0; -SL_EINVAL with diags
 */
int sl_run_envs_lint(const struct sl_spec *spec, const char *dir, struct sl_arena *a,
                     struct sl_diags *diags) SL_MUST_CHECK;

#endif

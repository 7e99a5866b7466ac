/**
 * A submission: everything a run needs, collected where the user is (files, parameters, code snapshot), as
 * one JSON object that an engine in this process or behind the socket accepts.
 *
 * {"main":"pipeline.yml","base_dir":"/abs","files":{NAME:TEXT},"params":[{"name","value","origin"}],
 *  "code":HEX,"code_commit":HEX,"code_author":TEXT?,"code_dirty":bool,"actor":NAME,"override":TEXT?,"retry_of":ID?,
 *  "no_cache":bool}
 *
 * Thread: any. Blocks: yes (building reads files).
 */
#ifndef SL_SUBMISSION_H
#define SL_SUBMISSION_H

#include "core/blob/blob.h"
#include "pipelines/plan/plan.h"

#define SL_SUBMISSION_BYTES_MAX ((size_t)64 << 20)

/** A pipeline read from disk and checked. */
struct sl_loaded {
    const struct sl_spec *spec;
    const struct sl_param_value *params;
    const struct sl_plan *plan;
    char *base_dir;  /* absolute directory of the main file */
    char *main_name; /* its base name */
};
/**
 * Reads `path` and what it includes, checks, types parameters, expands. Problems go to diags.
 * @return 0; -SL_EINVAL with diags; -SL_ENOTFOUND when the file is missing (err)
 * Owner: arena; sl_loaded_release frees the two texts.
 */
int sl_pipeline_load(const char *path, const struct sl_param_arg *args, size_t n_args,
                     struct sl_arena *a, struct sl_diags *diags, struct sl_loaded *ret,
                     struct sl_err *err) SL_MUST_CHECK;
/** The same for a text that is in no file; `dir` is where it would lie. */
int sl_pipeline_load_text(const char *dir, const char *name, const char *text, struct sl_arena *a,
                          struct sl_diags *diags, struct sl_loaded *ret, struct sl_err *err)
    SL_MUST_CHECK;
void sl_loaded_release(struct sl_loaded *l);

struct sl_submission_opts {
    const char *data_dir; /* left out of the code snapshot; NULL: none */
    const struct sl_param_arg *args;
    size_t n_args;
    const char *actor;
    const char *override_reason, *retry_of; /* NULL none */
    bool no_cache;
};
/** Takes the code snapshot into `blobs` and builds the object. New reference in *ret. */
int sl_submission_build(const struct sl_loaded *l, struct sl_blob_store *blobs,
                        const struct sl_submission_opts *opts, json_t **ret, struct sl_err *err)
    SL_MUST_CHECK;

/** The other side: spec and plan from recorded texts ({"main","files"}) and parameters. */
int sl_submission_plan(const json_t *texts, const json_t *params, struct sl_arena *a,
                       const struct sl_spec **ret_spec, const struct sl_param_value **ret_params,
                       const struct sl_plan **ret_plan, struct sl_err *err) SL_MUST_CHECK;
/** Parameter values as recorded: {NAME: {"value", "origin"}}. New reference. */
json_t *sl_params_json(const struct sl_spec *spec, const struct sl_param_value *values);

#endif

/* run, retry, resume, serve, cancel. Thread: main. */
#include "core/base/base.h"

#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "cmd/load.h"
#include "pipelines/run/workspace.h"

/** --override and --reason belong together. */
static int check_override(struct sl_cmd *c, const char **ret_reason)
{
    const char *reason = sl_cmd_opt(c, "reason");
    bool override = sl_cmd_flag(c, "override");
    if (override != (reason != NULL && reason[0] != '\0')) {
        return sl_err_set(&c->err, SL_EINVAL,
                          override ? "--override needs --reason TEXT, which is recorded"
                                   : "--reason explains an --override, which is missing");
    }
    *ret_reason = override ? reason : NULL;
    return 0;
}

static int build(struct sl_cmd *c, const struct sl_loaded *l, const struct sl_submission_opts *opts,
                 json_t **ret)
{
    struct sl_blob_store *blobs = NULL;
    struct sl_submission_opts with_data = *opts;
    with_data.data_dir = c->data_path;
    int rc = sl_workspace_open_blobs(c->data_path, &blobs, &c->err);
    rc = rc < 0 ? rc : sl_submission_build(l, blobs, &with_data, ret, &c->err);
    sl_blob_store_close(blobs);
    return rc;
}

int sl_cmd_run(struct sl_cmd *c)
{
    struct sl_loaded l = {0};
    struct sl_submission_opts opts;
    const char *reason = NULL;
    json_auto_t *submission = NULL;
    bool made = false;
    int status = SL_EXIT_USAGE;
    if (check_override(c, &reason) < 0) {
        return sl_cmd_fail(c);
    }
    if (sl_cmd_load(c, sl_cmd_arg(c, 0), &l, &opts, &status) < 0) {
        return status;
    }
    opts.override_reason = reason;
    opts.no_cache = sl_cmd_flag(c, "no-cache");
    int rc = sl_cmd_data_or_make(c, &made);
    if (rc == 0 && made && !c->json) {
        (void)printf("made %s\n", c->data_path);
    }
    rc = rc < 0 ? rc : build(c, &l, &opts, &submission);
    if (rc < 0) {
        status = sl_cmd_fail(c);
    } else {
        struct sl_follow f = {.submission = submission, .only_submit = sl_cmd_flag(c, "detach")};
        status = sl_follow(c, &f);
    }
    sl_loaded_release(&l);
    return status;
}

int sl_cmd_retry(struct sl_cmd *c)
{
    const char *reason = NULL;
    json_auto_t *submission = NULL;
    int rc = check_override(c, &reason);
    rc = rc < 0
             ? rc
             : sl_call(c, "runs.submission",
                       json_pack("{s:s, s:s}", "run", sl_cmd_arg(c, 0), "actor", sl_cmd_actor(c)),
                       &submission);
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    sl_json_set_str(submission, "override", reason);
    if (sl_cmd_flag(c, "no-cache")) { /* not even what succeeded in the run that is repeated */
        sl_json_set_bool(submission, "no_cache", true);
        (void)json_object_del(submission, "retry_of");
    }
    struct sl_follow f = {.submission = submission};
    return sl_follow(c, &f);
}

int sl_cmd_resume(struct sl_cmd *c)
{
    json_auto_t *run = NULL;
    const char *name = sl_cmd_arg(c, 0);
    int rc = sl_cmd_data(c);
    if (rc == 0 && name != NULL) {
        rc = sl_call(c, "runs.show", json_pack("{s:s}", "run", name), &run);
    }
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    if (run != NULL && sl_json_bool(run, "final", false)) {
        return sl_summary(c, sl_json_str(run, "id", ""));
    }
    json_auto_t *list = NULL;
    if (run == NULL) {
        rc = sl_call(c, "runs.list", json_pack("{s:i}", "limit", 1000), &list);
        const char *only = NULL;
        size_t live = 0;
        size_t i = 0;
        json_t *r = NULL;
        json_array_foreach (json_object_get(list, "runs"), i, r) {
            if (sl_json_i64(r, "ended_ms", 0) == 0) {
                only = sl_json_str(r, "id", "");
                live++;
            }
        }
        if (rc == 0 && live == 0) {
            (void)fprintf(c->json ? stderr : stdout, "nothing to resume: every run has ended\n");
            return SL_EXIT_OK;
        }
        struct sl_follow f = {.run = live == 1 ? only : NULL};
        return rc < 0 ? sl_cmd_fail(c) : sl_follow(c, &f);
    }
    struct sl_follow f = {.run = sl_json_str(run, "id", "")};
    return sl_follow(c, &f);
}

int sl_cmd_serve(struct sl_cmd *c)
{
    bool made = false;
    struct sl_follow f = {.forever = true, .group = sl_cmd_opt(c, "group")};
    return sl_cmd_data_or_make(c, &made) < 0 ? sl_cmd_fail(c) : sl_follow(c, &f);
}

/** Nothing of the run executes; it only awaits people. */
static bool only_awaits(const json_t *run)
{
    bool awaits = false;
    size_t i = 0;
    json_t *step = NULL;
    json_array_foreach (json_object_get(run, "steps"), i, step) {
        const char *state = sl_json_str(step, "state", "");
        awaits = awaits || sl_streq(state, "awaiting_approval");
        if (sl_streq(state, "running")) {
            return false;
        }
    }
    return awaits;
}

int sl_cmd_cancel(struct sl_cmd *c)
{
    json_t *run = NULL;
    json_t *answer = NULL;
    int rc = sl_call(c, "runs.show", json_pack("{s:s}", "run", sl_cmd_arg(c, 0)), &run);
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    const char *id = sl_arena_strdup(&c->arena, sl_json_str(run, "id", ""));
    const char *name = sl_arena_strdup(&c->arena, sl_json_str(run, "name", ""));
    bool final = sl_json_bool(run, "final", false);
    const char *state = sl_arena_strdup(&c->arena, sl_json_str(run, "state", ""));
    bool awaits = only_awaits(run);
    json_decref(run);
    if (final) {
        (void)sl_err_set(&c->err, SL_ECONFLICT, "run %s has ended already: %s", name, state);
        return sl_cmd_fail(c);
    }
    rc = sl_call(c, "runs.cancel", json_pack("{s:s, s:s}", "run", id, "actor", sl_cmd_actor(c)),
                 &answer);
    if (rc == -SL_EUNREACHABLE &&
        awaits) { /* nobody stays for it: be the engine until it is over */
        const struct sl_follow f = {.run = id, .cancel = true};
        int status = sl_follow(c, &f);
        return status == SL_EXIT_CANCELLED ? SL_EXIT_OK : status;
    }
    if (rc == -SL_EUNREACHABLE) {
        (void)sl_err_set(&c->err, SL_EUNREACHABLE,
                         "no engine works on run %s; 'sluice resume %s' takes it up, and Ctrl-C "
                         "there cancels it",
                         name, name);
    }
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(answer);
    }
    json_decref(answer);
    (void)printf("cancelling %s\n", name);
    return SL_EXIT_OK;
}

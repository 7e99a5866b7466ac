/* Before a run is recorded: every version that its steps name by themselves must exist, unless the run makes
 * it, and every file that the pipeline is made of must be pinned where the project wants that. With nothing started. Thread: the submission's lane. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/project.h"

/** Whether some step publishes under the name that the reference selects from. */
static bool made_here(const struct eng_run *r, const struct sl_input *in, const char *ref)
{
    size_t len = strcspn(ref, "@");
    for (size_t i = 0; i < r->spec->n_steps; i++) {
        const struct sl_step *s = &r->spec->steps[i];
        for (size_t k = 0; k < s->n_outputs; k++) {
            const struct sl_output *o = &s->outputs[k];
            if (o->entity != in->entity || o->ref == NULL) {
                continue;
            }
            const char *name = sl_tmpl_source(o->ref);
            if (!sl_tmpl_is_literal(o->ref) ||
                (strlen(name) == len && strncmp(name, ref, len) == 0)) {
                return true; /* a name with parameters in it may be this one */
            }
        }
    }
    return false;
}

static int check_input(const struct eng_run *r, const char *id, const struct sl_input *in,
                       struct sl_db *db, struct sl_err *err)
{
    struct sl_artifact found;
    struct sl_arena arena;
    if (in->entity == SL_ENT_NONE || !sl_tmpl_is_literal(in->ref)) {
        return 0; /* an output of a step, or a name that depends on parameters: known when it is bound */
    }
    const char *ref = sl_tmpl_source(in->ref);
    sl_arena_init(&arena, 0);
    int rc = sl_ws_resolve(db, in->entity, ref, &arena, &found, err);
    sl_arena_release(&arena);
    if (rc != -SL_ENOTFOUND) {
        return rc;
    }
    if (made_here(r, in, ref)) {
        return 0;
    }
    char hint[400] = "";
    if (in->entity == SL_ENT_DATASET && strstr(err->msg, "did you mean") == NULL) {
        snprintf(hint, sizeof(hint), "; add it with: sluice data add %.*s PATH",
                 (int)SL_MIN(strcspn(ref, "@"), (size_t)250), ref);
    }
    struct sl_err why = *err;
    return sl_err_set(err, SL_ENOTFOUND, "step '%s', input '%s': %.200s%.200s", id, in->name,
                      why.msg, hint);
}

int eng_check_inputs(const struct eng_run *r, struct sl_err *err)
{
    struct sl_db *db = eng_reader_get(r->e, err);
    int rc = db == NULL ? -err->code : 0;
    for (size_t i = 0; rc == 0 && i < r->spec->n_steps; i++) {
        const struct sl_step *s = &r->spec->steps[i];
        for (size_t k = 0; rc == 0 && k < s->n_inputs; k++) {
            rc = check_input(r, s->id, &s->inputs[k], db, err);
        }
    }
    for (size_t i = 0; rc == 0 && i < r->spec->n_subs; i++) {
        const struct sl_sub *sub = r->spec->subs[i];
        for (size_t k = 0; rc == 0 && k < sub->n_inputs; k++) {
            rc = check_input(r, sub->id, &sub->inputs[k], db, err);
        }
    }
    if (db != NULL) {
        eng_reader_put(r->e, db);
    }
    return rc;
}

/* ---- pinned files --------------------------------------------------------------------------------- */

static int refuse_pin(const struct eng_run *r, const struct sl_include_pin *pin, struct sl_err *err)
{
    char hex[SL_DIGEST_HEX + 1] = "";
    for (size_t i = 0; i < r->spec->n_files; i++) {
        struct sl_digest digest;
        if (sl_streq(r->spec->files[i].ptr, pin->file)) {
            sl_sha256(r->spec->texts[i].ptr, r->spec->texts[i].len, &digest);
            (void)sl_digest_hex(&digest, hex);
        }
    }
    return sl_err_set(err, SL_EREFUSED,
                      "%s:%d: '%s' is not pinned; the project's policy 'pinned_includes' wants its "
                      "digest: sha256: %s",
                      pin->loc.file, pin->loc.line, pin->file, hex);
}

int eng_check_pins(const struct eng_run *r, struct sl_err *err)
{
    const struct sl_project *project = NULL;
    struct sl_arena arena;
    struct sl_db *db = r->spec->n_includes > 0 ? eng_reader_get(r->e, err) : NULL;
    if (db == NULL) {
        return r->spec->n_includes > 0 ? -err->code : 0;
    }
    sl_arena_init(&arena, 0);
    int rc = sl_project_current(db, &arena, &project, NULL, err);
    bool wanted = rc == 0 && project->policies.pinned_includes;
    sl_arena_release(&arena);
    eng_reader_put(r->e, db);
    for (size_t i = 0; wanted && rc == 0 && i < r->spec->n_includes; i++) {
        if (!r->spec->includes[i].is_pinned) {
            rc = refuse_pin(r, &r->spec->includes[i], err);
        }
    }
    return rc;
}

/* Secrets of steps: they exist before a run is recorded, an attempt receives their current versions, which versions
 * is recorded with its start, and nothing that it leaves behind may hold one. Thread: lanes; recording on the
 * writer. Must not: keep a value beyond the call that needs it. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>

#include "core/lineage/lineage.h"
#include "pipelines/engine/secrets.h"

#define OPEN_TRIES 5 /* of a master key that is rotated meanwhile */

int sl_ws_secret(int data_dirfd, struct sl_db *db, const char *name, int64_t version,
                 struct sl_secret_value *ret, struct sl_err *err)
{
    struct sl_secret_ref which = {SL_DEFAULT_PROJECT, name, version};
    int rc = -SL_ECONFLICT;
    for (int i = 0; rc == -SL_ECONFLICT && i < OPEN_TRIES; i++) {
        _cleanup_(secret_key)
        struct sl_secret_key *key = NULL;
        rc = sl_secret_exists(db, which.project, name, err);
        rc = rc < 0 ? rc : sl_secret_key_open(data_dirfd, db, false, &key, err);
        rc = rc < 0 ? rc : sl_secret_get(db, key, &which, ret, err);
    }
    return rc;
}

static const struct sl_step *step_of(const struct eng_attempt *ea)
{
    return ea->run->core.plan->steps[ea->a->step].spec;
}

/* ---- before a run is recorded --------------------------------------------------------------------- */

static int check_step(const struct sl_step *s, struct sl_db *db, struct sl_err *err)
{
    int rc = 0;
    if (s->n_secrets > SL_SECRET_LEASES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "step '%s': more than %d secrets", s->id,
                          SL_SECRET_LEASES_MAX);
    }
    for (size_t i = 0; rc == 0 && i < s->n_secrets; i++) {
        rc = sl_secret_exists(db, SL_DEFAULT_PROJECT, s->secrets[i].secret, err);
        if (rc < 0) {
            rc = sl_err_wrap(err, "step '%s', variable %s", s->id, s->secrets[i].var);
        }
    }
    return rc;
}

int eng_check_secrets(const struct eng_run *r, struct sl_err *err)
{
    struct sl_db *db = eng_reader_get(r->e, err);
    int rc = db == NULL ? -err->code : 0;
    const struct sl_step *last = NULL; /* a matrix gives one step many times in a row */
    for (uint32_t i = 0; rc == 0 && i < r->core.plan->n_steps; i++) {
        const struct sl_step *s = r->core.plan->steps[i].spec;
        rc = s == last ? 0 : check_step(s, db, err);
        last = s;
    }
    if (db != NULL) {
        eng_reader_put(r->e, db);
    }
    return rc;
}

/* ---- start ---------------------------------------------------------------------------------------- */

/** The value of a use that is loaded already: two variables may name one secret. */
static const struct sl_secret_value *loaded(const struct sl_step *s, const struct eng_secrets *list,
                                            size_t before)
{
    for (size_t i = 0; i < before; i++) {
        if (sl_streq(s->secrets[i].secret, s->secrets[before].secret)) {
            return &list->values[i];
        }
    }
    return NULL;
}

static int load(struct eng_attempt *ea, struct sl_db *db, struct eng_secrets *list,
                struct sl_secret_lease *leases, struct sl_err *err)
{
    const struct sl_step *s = step_of(ea);
    for (size_t i = 0; i < s->n_secrets; i++) {
        const struct sl_secret_use *use = &s->secrets[i];
        const struct sl_secret_value *value = loaded(s, list, i);
        if (value == NULL) {
            int rc = sl_ws_secret(ea->run->e->ws->fd, db, use->secret, 0, &list->values[i], err);
            if (rc < 0) {
                return sl_err_wrap(err, "variable %s", use->var);
            }
            value = &list->values[i];
            leases[ea->receipt.n++] = (struct sl_secret_lease){use->secret, value->version};
        }
        list->items[i] = (struct sl_attempt_secret){.name = use->var,
                                                    .value = value->bytes,
                                                    .len = value->len,
                                                    .as_file = use->as == SL_SECRET_FILE};
        list->n = i + 1;
    }
    return 0;
}

int eng_secrets_load(struct eng_attempt *ea, struct eng_secrets *ret, struct sl_err *err)
{
    const struct sl_step *s = step_of(ea);
    *ret = (struct eng_secrets){0};
    ea->receipt = (struct sl_secret_receipt){0};
    if (s->n_secrets == 0) {
        return 0;
    }
    ret->n_values = s->n_secrets;
    ret->values = SL_ARENA_ARRAY(&ea->arena, struct sl_secret_value, s->n_secrets);
    ret->items = SL_ARENA_ARRAY(&ea->arena, struct sl_attempt_secret, s->n_secrets);
    struct sl_secret_lease *leases =
        SL_ARENA_ARRAY(&ea->arena, struct sl_secret_lease, s->n_secrets);
    ea->receipt = (struct sl_secret_receipt){
        .run_id = ea->run->record.id, .attempt_id = ea->a->id, .leases = leases};
    struct sl_db *db = eng_reader_get(ea->run->e, err);
    int rc = db == NULL ? -err->code : load(ea, db, ret, leases, err);
    if (db != NULL) {
        eng_reader_put(ea->run->e, db);
    }
    return rc;
}

void eng_secrets_release(struct eng_secrets *s)
{
    for (size_t i = 0; i < s->n_values; i++) {
        sl_secret_value_release(&s->values[i]);
    }
    s->n = s->n_values = 0;
}

/* ---- recording ------------------------------------------------------------------------------------ */

static int link_secret(struct sl_db *db, const struct sl_jentry *e, const char *var,
                       const struct sl_secret_lease *lease, struct sl_err *err)
{
    char id[SL_SECRET_NAME_MAX + 64];
    snprintf(id, sizeof(id), SL_DEFAULT_PROJECT "/%s@v%lld", lease->name,
             (long long)lease->version);
    struct sl_lineage_node node = {
        .ref = {SL_NODE_SECRET_VERSION, id}, .name = id, .ts_ms = e->ts_ms};
    struct sl_lineage_edge used = {.from = {SL_NODE_STEP_EXECUTION, e->att->id},
                                   .to = node.ref,
                                   .kind = SL_EDGE_USED,
                                   .role = var,
                                   .run_id = e->run->id,
                                   .attempt_id = e->att->id,
                                   .ts_ms = e->ts_ms,
                                   .audit_index = -1};
    int rc = sl_lineage_node(db, &node, err);
    return rc < 0 ? rc : sl_lineage_edge(db, &used, err);
}

int eng_secrets_record(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct eng_attempt *ea = eng_attempt_of(e->att);
    const struct sl_secret_receipt *receipt = &ea->receipt;
    if (receipt->n == 0) {
        return 0;
    }
    const struct sl_step *s = step_of(ea);
    struct sl_secret_by by = {.project = SL_DEFAULT_PROJECT,
                              .actor = {"engine", "engine", "internal"},
                              .ts_ms = e->ts_ms};
    int rc = sl_secret_lease_add(db, &by, receipt, err);
    for (size_t i = 0; rc == 0 && i < s->n_secrets; i++) {
        for (size_t k = 0; rc == 0 && k < receipt->n; k++) {
            if (sl_streq(receipt->leases[k].name, s->secrets[i].secret)) {
                rc = link_secret(db, e, s->secrets[i].var, &receipt->leases[k], err);
            }
        }
    }
    return rc;
}

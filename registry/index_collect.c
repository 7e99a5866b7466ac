/**
 * The index, first half: ledger entries since a commit, as rows to write.
 *
 * Thread: git lane. Must not: touch SQLite.
 */
#include "core/base/base.h"

#include "registry/index.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/json.h"
#include "registry/index_priv.h"

void sl_registry_changes_free(struct sl_registry_changes *c)
{
    if (c == NULL) {
        return;
    }
    sl_vec_free(&c->list);
    sl_arena_release(&c->arena);
    free(c->project);
    free(c);
}

/* {"Owner": "ann", ...}; of a repeated key the first. Run has a column of its own. */
static const char *facts_text(struct sl_arena *a, const struct sl_version_info *info)
{
    json_auto_t *facts = json_object();
    for (size_t i = 0; i < info->n_trailers; i++) {
        const struct sl_trailer *t = &info->trailers[i];
        if (!sl_streq(t->key, "Run") && json_object_get(facts, t->key) == NULL) {
            sl_json_set_str(facts, t->key, t->value);
        }
    }
    _cleanup_(free)
    char *text = json_object_size(facts) > 0 ? sl_json_canonical(facts) : NULL;
    return text != NULL ? sl_arena_strdup(a, text) : NULL;
}

static int add_change(struct sl_registry *r, struct sl_registry_changes *c,
                      const struct registry_move *m, int64_t when_ms, struct sl_err *err)
{
    bool tag = sl_starts_with(m->ref, REF_TAGS_PREFIX);
    bool alias = sl_starts_with(m->ref, REF_ALIAS_PREFIX);
    if (!tag && !alias) {
        return 0; /* branches follow from their tags */
    }
    enum sl_kind kind;
    char name[SL_NAME_MAX + 1];
    char leaf[SL_NAME_MAX + 1];
    const char *rest = m->ref + strlen(tag ? REF_TAGS_PREFIX : REF_ALIAS_PREFIX);
    if (!registry_ref_split(rest, &kind, name, leaf)) {
        return sl_err_set(err, SL_ECORRUPT, "the ledger names %s, which is no reference of ours",
                          m->ref);
    }
    struct change change = {.what = tag ? CHANGE_VERSION : CHANGE_ALIAS, .when_ms = when_ms};
    if (alias) {
        change.alias = sl_arena_strdup(&c->arena, leaf);
    }
    if (git_oid_is_zero(&m->to)) {
        change.what = CHANGE_ALIAS_GONE;
        change.ref.kind = kind;
        (void)snprintf(change.ref.name, sizeof(change.ref.name), "%s", name);
        sl_vec_push(&c->list, change);
        return 0;
    }
    struct registry_record rec;
    int rc = registry_record_read(r, &m->to, &rec, err);
    if (rc != 0) {
        return rc;
    }
    change.ref = rec.info.ref;
    change.n_files = rec.info.n_files;
    change.total_bytes = rec.info.total_bytes;
    change.attempt_id = rec.attempt_id != NULL ? sl_arena_strdup(&c->arena, rec.attempt_id) : NULL;
    change.facts = facts_text(&c->arena, &rec.info);
    for (size_t i = 0; i < rec.info.n_trailers; i++) {
        if (sl_streq(rec.info.trailers[i].key, "Run")) {
            change.run_id = sl_arena_strdup(&c->arena, rec.info.trailers[i].value);
        }
    }
    registry_record_release(&rec);
    sl_vec_push(&c->list, change);
    return 0;
}

struct id_list {
    SL_VEC(git_oid) ids;
};

/* Ledger commits newer than `since`, newest first. */
static int list_entries(struct sl_registry *r, const git_oid *tip, const git_oid *since,
                        struct id_list *ret, bool *ret_met, struct sl_err *err)
{
    git_oid at = *tip;
    *ret_met = false;
    while (!git_oid_is_zero(&at)) {
        if (git_oid_equal(&at, since)) {
            *ret_met = true;
            return 0;
        }
        git_commit *commit = NULL;
        int code = git_commit_lookup(&commit, r->repo, &at);
        if (code != 0) {
            return registry_git_error(code, err, "cannot read the ledger");
        }
        sl_vec_push(&ret->ids, at);
        at = git_commit_parentcount(commit) > 0 ? *git_commit_parent_id(commit, 0) : (git_oid){{0}};
        git_commit_free(commit);
    }
    return 0;
}

static int collect_entry(struct sl_registry *r, struct sl_registry_changes *c, const git_oid *id,
                         struct sl_err *err)
{
    git_commit *commit = NULL;
    int code = git_commit_lookup(&commit, r->repo, id);
    if (code != 0) {
        return registry_git_error(code, err, "cannot read the ledger");
    }
    struct registry_moves moves = {.n = 0};
    int rc = registry_ledger_read(commit, &moves, err);
    int64_t when_ms = (int64_t)git_commit_author(commit)->when.time * 1000;
    for (size_t i = 0; rc == 0 && i < moves.n; i++) {
        rc = add_change(r, c, &moves.items[i], when_ms, err);
    }
    registry_moves_release(&moves);
    git_commit_free(commit);
    return rc;
}

int sl_registry_index_collect(struct sl_registry *r, const char *since,
                              struct sl_registry_changes **ret_changes, struct sl_err *err)
{
    git_oid tip;
    git_oid from = {{0}};
    bool met = false;
    struct id_list entries = {.ids = {0}};
    int rc = registry_enter(r, err);
    if (rc == 0 && since[0] != '\0' && git_oid_fromstr(&from, since) != 0) {
        from = (git_oid){{0}}; /* not a commit of any ledger: everything again */
    }
    rc = rc != 0 ? rc : registry_ref_read(r, REF_LEDGER, &tip, err);
    rc = rc != 0 ? rc : list_entries(r, &tip, &from, &entries, &met, err);
    if (rc != 0) {
        sl_vec_free(&entries.ids);
        return rc;
    }
    struct sl_registry_changes *c = SL_NEW(struct sl_registry_changes);
    sl_arena_init(&c->arena, 0);
    c->project = sl_strdup(r->project);
    c->rebuild = !met;
    git_oid_tostr(c->tip, sizeof(c->tip), &tip);
    (void)snprintf(c->since, sizeof(c->since), "%s", since);
    for (size_t i = entries.ids.n; rc == 0 && i > 0; i--) {
        rc = collect_entry(r, c, &entries.ids.items[i - 1], err);
    }
    sl_vec_free(&entries.ids);
    if (rc != 0) {
        sl_registry_changes_free(c);
        return rc;
    }
    *ret_changes = c;
    return 0;
}

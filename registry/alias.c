/**
 * Aliases: named, movable pointers at versions, compare-and-swap through the ledger, with their history.
 *
 * Thread: one at a time per registry. Must not: decide who may move what.
 */
#include "core/base/base.h"

#include "registry/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/time.h"
#include "registry/registry_priv.h"

static int check_move(const struct sl_alias_move *move, struct sl_err *err)
{
    int rc = sl_name_check(move->name, err);
    rc = rc != 0 ? rc : sl_alias_check(move->alias, err);
    if (rc != 0) {
        return rc;
    }
    for (const char *p = move->reason; p != NULL && *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20) {
            return sl_err_set(err, SL_EINVAL, "a reason must be a single line");
        }
    }
    if (move->reason != NULL && strlen(move->reason) > SL_TRAILER_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a reason must have at most %d bytes",
                          SL_TRAILER_BYTES_MAX);
    }
    if (move->to != NULL &&
        (move->to->kind != move->kind || !sl_streq(move->to->name, move->name))) {
        return sl_err_set(err, SL_EINVAL, "alias '%s' of '%s' cannot point at a version of '%s'",
                          move->alias, move->name, move->to->name);
    }
    return 0;
}

static int target_id(const struct sl_version_ref *version, git_oid *ret, struct sl_err *err)
{
    *ret = (git_oid){{0}};
    if (version != NULL && git_oid_fromstr(ret, version->commit) != 0) {
        return sl_err_set(err, SL_EINVAL, "'%s' is not a commit", version->commit);
    }
    return 0;
}

/* "v3", or "nothing" for the zero id. */
static const char *number_text(struct sl_registry *r, const git_oid *id, char out[32])
{
    struct registry_record rec;
    if (git_oid_is_zero(id) || registry_record_read(r, id, &rec, NULL) != 0) {
        return git_oid_is_zero(id) ? "nothing" : "an unreadable version";
    }
    (void)snprintf(out, 32, "v%lld", (long long)rec.info.ref.number);
    registry_record_release(&rec);
    return out;
}

static int check_expected(struct sl_registry *r, const struct sl_alias_move *move,
                          const git_oid *now, struct sl_err *err)
{
    git_oid want;
    if (move->mode == SL_ALIAS_ANY) {
        return 0;
    }
    int rc = target_id(move->expected, &want, err);
    if (rc != 0 || git_oid_equal(&want, now)) {
        return rc;
    }
    char is[32];
    char expected[32];
    return sl_err_set(err, SL_ECONFLICT, "alias '%s@%s' is at %s, not at %s", move->name,
                      move->alias, number_text(r, now, is), number_text(r, &want, expected));
}

/* The version pointed at must be one of this entity: its tag must name that commit. */
static int check_target(struct sl_registry *r, const struct sl_alias_move *move, const git_oid *id,
                        struct sl_err *err)
{
    char ref[REF_TEXT_MAX];
    git_oid tagged;
    int rc = registry_ref_read(r, registry_ref_tag(move->kind, move->name, move->to->number, ref),
                               &tagged, err);
    if (rc == 0 && !git_oid_equal(&tagged, id)) {
        rc = sl_err_set(err, SL_ENOTFOUND, "%s '%s' has no such v%lld", sl_kind_name(move->kind),
                        move->name, (long long)move->to->number);
    }
    return rc;
}

static int append_move(struct sl_registry *r, const struct sl_alias_move *move, const char *ref,
                       const git_oid *from, const git_oid *to, struct sl_err *err)
{
    char number[32];
    struct registry_moves moves = {.n = 0};
    struct registry_batch batch = {.ids = {0}};
    _cleanup_(free)
    char *subject = move->to == NULL
                        ? sl_asprintf("delete alias %s %s@%s", sl_kind_name(move->kind), move->name,
                                      move->alias)
                        : sl_asprintf("set alias %s %s@%s to %s", sl_kind_name(move->kind),
                                      move->name, move->alias, number_text(r, to, number));
    struct registry_entry entry = {.subject = subject,
                                   .reason = move->reason,
                                   .author = move->author,
                                   .when_ms = move->when_ms != 0 ? move->when_ms : sl_now_ms()};
    registry_moves_add(&moves, ref, from, to);
    int rc = registry_ledger_append(r, &batch, &moves, &entry, err);
    registry_moves_release(&moves);
    registry_batch_release(r, &batch);
    return rc;
}

int sl_registry_alias_move(struct sl_registry *r, const struct sl_alias_move *move,
                           struct sl_err *err)
{
    char ref[REF_TEXT_MAX];
    git_oid now;
    git_oid to;
    int rc = check_move(move, err);
    rc = rc != 0 ? rc : target_id(move->to, &to, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    rc = rc != 0 ? rc
                 : registry_ref_read(
                       r, registry_ref_alias(move->kind, move->name, move->alias, ref), &now, err);
    if (rc != 0) {
        return rc;
    }
    if (move->to == NULL && git_oid_is_zero(&now)) {
        return sl_err_set(err, SL_ENOTFOUND, "%s '%s' has no alias '%s'", sl_kind_name(move->kind),
                          move->name, move->alias);
    }
    if (move->to != NULL && git_oid_equal(&now, &to)) {
        return 0; /* a replay after a crash ends here */
    }
    rc = check_expected(r, move, &now, err);
    if (rc == 0 && move->to != NULL) {
        rc = check_target(r, move, &to, err);
    }
    return rc != 0 ? rc : append_move(r, move, ref, &now, &to, err);
}

/* ---- listing ---- */

struct alias_item {
    char *alias;
    git_oid id;
};
struct alias_list {
    size_t prefix_len;
    SL_VEC(struct alias_item) items;
};

static int collect(const char *ref, const git_oid *id, void *data, struct sl_err *err)
{
    (void)err;
    struct alias_list *list = data;
    struct alias_item item = {sl_strdup(ref + list->prefix_len), *id};
    sl_vec_push(&list->items, item);
    return 0;
}

static int by_alias(const void *a, const void *b)
{
    const struct alias_item *left = a;
    const struct alias_item *right = b;
    return strcmp(left->alias, right->alias);
}

int sl_registry_aliases(struct sl_registry *r, enum sl_kind kind, const char *name, sl_alias_fn fn,
                        void *data, struct sl_err *err)
{
    char prefix[REF_TEXT_MAX];
    int rc = sl_name_check(name, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    if (rc != 0) {
        return rc;
    }
    registry_ref_alias(kind, name, "", prefix);
    struct alias_list list = {.prefix_len = strlen(prefix)};
    rc = registry_refs_each(r, prefix, collect, &list, err);
    if (list.items.n > 1) {
        qsort(list.items.items, list.items.n, sizeof(struct alias_item), by_alias);
    }
    for (size_t i = 0; i < list.items.n; i++) {
        struct registry_record rec;
        rc = rc != 0 ? rc : registry_record_read(r, &list.items.items[i].id, &rec, err);
        if (rc == 0) {
            rc = registry_stop(fn(list.items.items[i].alias, &rec.info.ref, data, err));
            registry_record_release(&rec);
        }
        free(list.items.items[i].alias);
    }
    sl_vec_free(&list.items);
    return rc;
}

/* ---- history ---- */

struct history {
    struct sl_registry *registry;
    enum sl_kind kind;
    const char *name, *alias;
    sl_alias_event_fn fn;
    void *data;
};

static int read_side(struct sl_registry *r, const git_oid *id, struct sl_version_ref *storage,
                     const struct sl_version_ref **ret, struct sl_err *err)
{
    *ret = NULL;
    if (git_oid_is_zero(id)) {
        return 0;
    }
    struct registry_record rec;
    int rc = registry_record_read(r, id, &rec, err);
    if (rc == 0) {
        *storage = rec.info.ref;
        *ret = storage;
        registry_record_release(&rec);
    }
    return rc;
}

static int report_move(const struct history *h, git_commit *commit, const struct registry_move *m,
                       struct sl_err *err)
{
    enum sl_kind kind;
    char name[SL_NAME_MAX + 1];
    char alias[SL_NAME_MAX + 1];
    if (!sl_starts_with(m->ref, REF_ALIAS_PREFIX) ||
        !registry_ref_split(m->ref + strlen(REF_ALIAS_PREFIX), &kind, name, alias) ||
        kind != h->kind || !sl_streq(name, h->name) ||
        (h->alias != NULL && !sl_streq(alias, h->alias))) {
        return 0;
    }
    struct sl_version_ref from;
    struct sl_version_ref to;
    struct sl_alias_event event = {.alias = alias,
                                   .author_name = git_commit_author(commit)->name,
                                   .when_ms = (int64_t)git_commit_author(commit)->when.time * 1000};
    int rc = read_side(h->registry, &m->from, &from, &event.from, err);
    rc = rc != 0 ? rc : read_side(h->registry, &m->to, &to, &event.to, err);
    if (rc != 0) {
        return rc;
    }
    const char *reason = strstr(git_commit_message_raw(commit), "\nSluice-Reason: ");
    _cleanup_(free)
    char *text = NULL;
    if (reason != NULL) {
        reason += strlen("\nSluice-Reason: ");
        text = sl_strndup(reason, (size_t)(strchrnul(reason, '\n') - reason));
    }
    event.reason = text;
    return registry_stop(h->fn(&event, h->data, err));
}

int sl_registry_alias_history(struct sl_registry *r, enum sl_kind kind, const char *name,
                              const char *alias, sl_alias_event_fn fn, void *data,
                              struct sl_err *err)
{
    struct history h = {r, kind, name, alias, fn, data};
    git_oid at;
    int rc = registry_enter(r, err);
    rc = rc != 0 ? rc : registry_ref_read(r, REF_LEDGER, &at, err);
    while (rc == 0 && !git_oid_is_zero(&at)) {
        git_commit *commit = NULL;
        struct registry_moves moves = {.n = 0};
        int code = git_commit_lookup(&commit, r->repo, &at);
        if (code != 0) {
            return registry_git_error(code, err, "cannot read the ledger");
        }
        rc = registry_ledger_read(commit, &moves, err);
        for (size_t i = 0; rc == 0 && i < moves.n; i++) {
            rc = report_move(&h, commit, &moves.items[i], err);
        }
        registry_moves_release(&moves);
        at = git_commit_parentcount(commit) > 0 ? *git_commit_parent_id(commit, 0) : (git_oid){{0}};
        git_commit_free(commit);
    }
    return rc;
}

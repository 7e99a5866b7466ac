/**
 * The ledger: every move of a reference is a commit on refs/sluice/ledger, and swapping that one
 * reference is the commit point of the registry.
 *
 * Entry: subject, blank line, "move <ref> <from> <to>" lines, blank line, trailers. libgit2 renames
 * locked references one by one, so a crash may split a move of several; the newest entry tells what
 * is still to do. Thread: one at a time per registry. Must not: judge whether a move is wise.
 */
#include "core/base/base.h"

#include "registry/registry_priv.h"

#include <stdlib.h>

#include "core/base/fault.h"

void registry_moves_add(struct registry_moves *m, const char *ref, const git_oid *from,
                        const git_oid *to)
{
    SL_ASSERT(m->n < MOVES_MAX);
    m->items[m->n++] = (struct registry_move){sl_strdup(ref), *from, *to};
}

void registry_moves_release(struct registry_moves *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->items[i].ref);
    }
    m->n = 0;
}

static int corrupt_entry(const git_oid *id, struct sl_err *err)
{
    return sl_err_set(err, SL_ECORRUPT, "ledger entry %s cannot be read", git_oid_tostr_s(id));
}

/* "<ref> <from> <to>" */
static bool parse_move(const char *line, size_t len, struct registry_moves *ret)
{
    const char *space = memchr(line, ' ', len);
    git_oid from;
    git_oid to;
    if (space == NULL || (size_t)(space - line) + 2 + 2 * GIT_OID_HEXSZ != len ||
        space[1 + GIT_OID_HEXSZ] != ' ' || ret->n == MOVES_MAX ||
        git_oid_fromstrn(&from, space + 1, GIT_OID_HEXSZ) != 0 ||
        git_oid_fromstrn(&to, space + 2 + GIT_OID_HEXSZ, GIT_OID_HEXSZ) != 0) {
        return false;
    }
    _cleanup_(free)
    char *ref = sl_strndup(line, (size_t)(space - line));
    if (!sl_starts_with(ref, "refs/")) {
        return false;
    }
    registry_moves_add(ret, ref, &from, &to);
    return true;
}

int registry_ledger_read(git_commit *commit, struct registry_moves *ret, struct sl_err *err)
{
    struct registry_moves moves = {.n = 0};
    const char *line = git_commit_message_raw(commit);
    while (line != NULL && *line != '\0') {
        const char *end = strchrnul(line, '\n');
        if (sl_starts_with(line, "move ") &&
            !parse_move(line + 5, (size_t)(end - line - 5), &moves)) {
            registry_moves_release(&moves);
            return corrupt_entry(git_commit_id(commit), err);
        }
        line = *end == '\0' ? end : end + 1;
    }
    *ret = moves;
    return 0;
}

static int apply_move(struct sl_registry *r, const struct registry_move *m, struct sl_err *err)
{
    git_oid now;
    int rc = registry_ref_read(r, m->ref, &now, err);
    if (rc != 0 || git_oid_equal(&now, &m->to)) {
        return rc;
    }
    if (!git_oid_equal(&now, &m->from)) {
        char at[GIT_OID_HEXSZ + 1];
        git_oid_tostr(at, sizeof(at), &now);
        return sl_err_set(err, SL_ECORRUPT, "%s is at %s, which the ledger did not put there",
                          m->ref, at);
    }
    int code = 0;
    if (git_oid_is_zero(&m->to)) {
        git_reference *ref = NULL;
        code = git_reference_lookup(&ref, r->repo, m->ref);
        code = code != 0 ? code : git_reference_delete(ref);
        git_reference_free(ref);
    } else if (git_oid_is_zero(&m->from)) {
        git_reference *ref = NULL;
        code = git_reference_create(&ref, r->repo, m->ref, &m->to, 0, "ledger");
        git_reference_free(ref);
    } else {
        git_reference *ref = NULL;
        code = git_reference_create_matching(&ref, r->repo, m->ref, &m->to, 1, &m->from, "ledger");
        git_reference_free(ref);
    }
    return code == 0 ? 0 : registry_git_error(code, err, "cannot move %s", m->ref);
}

static int apply_moves(struct sl_registry *r, const struct registry_moves *moves,
                       struct sl_err *err)
{
    r->torn = true;
    for (size_t i = 0; i < moves->n; i++) {
        int rc = apply_move(r, &moves->items[i], err);
        if (rc != 0) {
            return rc;
        }
        int fault = SL_FAULT_POINT(REGISTRY_REF_MOVED);
        if (fault != 0) {
            return sl_err_errno(err, fault, "cannot move the next reference");
        }
    }
    r->torn = false;
    return 0;
}

int registry_ledger_settle(struct sl_registry *r, struct sl_err *err)
{
    git_oid tip;
    int rc = registry_ref_read(r, REF_LEDGER, &tip, err);
    if (rc != 0) {
        return rc;
    }
    git_commit *commit = NULL;
    int code = git_commit_lookup(&commit, r->repo, &tip);
    if (code != 0) {
        return registry_git_error(code, err, "cannot read the ledger");
    }
    struct registry_moves moves = {.n = 0};
    rc = registry_ledger_read(commit, &moves, err);
    git_commit_free(commit);
    rc = rc != 0 ? rc : apply_moves(r, &moves, err);
    registry_moves_release(&moves);
    return rc;
}

static void write_entry(const struct registry_moves *moves, const struct registry_entry *entry,
                        struct sl_buf *out)
{
    sl_buf_printf(out, "%s\n\n", entry->subject);
    for (size_t i = 0; i < moves->n; i++) {
        char from[GIT_OID_HEXSZ + 1];
        char to[GIT_OID_HEXSZ + 1];
        git_oid_tostr(from, sizeof(from), &moves->items[i].from);
        git_oid_tostr(to, sizeof(to), &moves->items[i].to);
        sl_buf_printf(out, "move %s %s %s\n", moves->items[i].ref, from, to);
    }
    if (entry->reason != NULL && entry->reason[0] != '\0') {
        sl_buf_printf(out, "\nSluice-Reason: %s\n", entry->reason);
    }
}

static int swap_ledger(struct sl_registry *r, const git_oid *from, const git_oid *to,
                       struct sl_err *err)
{
    int fault = SL_FAULT_POINT(REGISTRY_LEDGER);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot move the ledger");
    }
    git_reference *ref = NULL;
    int code = git_reference_create_matching(&ref, r->repo, REF_LEDGER, to, 1, from, "ledger");
    git_reference_free(ref);
    if (code == GIT_EMODIFIED) {
        return sl_err_set(err, SL_ECONFLICT, "the ledger moved meanwhile; try again");
    }
    if (code != 0) {
        return registry_git_error(code, err, "cannot move the ledger");
    }
    fault = SL_FAULT_POINT(REGISTRY_LEDGER_MOVED);
    if (fault != 0) {
        r->torn = true;
        return sl_err_errno(err, fault, "cannot move references");
    }
    return 0;
}

int registry_ledger_append(struct sl_registry *r, struct registry_batch *b,
                           const struct registry_moves *moves, const struct registry_entry *entry,
                           struct sl_err *err)
{
    git_oid tip;
    git_oid id;
    int rc = registry_ref_read(r, REF_LEDGER, &tip, err);
    if (rc == 0 && git_oid_is_zero(&tip)) {
        rc = sl_err_set(err, SL_ECORRUPT, "the ledger is missing");
    }
    if (rc != 0) {
        return rc;
    }
    struct sl_buf message = SL_BUF_INIT(COMMIT_TEXT_MAX);
    write_entry(moves, entry, &message);
    struct registry_commit_text text = {.parent = &tip,
                                        .author = entry->author,
                                        .when_ms = entry->when_ms,
                                        .message = sl_buf_str(&message)};
    rc = registry_batch_add(r, b, GIT_OBJECT_TREE, (struct sl_str){"", 0}, &text.tree, err);
    rc = rc != 0 ? rc : registry_commit_add(r, b, &text, &id, err);
    sl_buf_release(&message);
    rc = rc != 0 ? rc : registry_batch_flush(r, b, err);
    rc = rc != 0 ? rc : swap_ledger(r, &tip, &id, err);
    rc = rc != 0 ? rc : apply_moves(r, moves, err);
    if (rc == 0) {
        int fault = SL_FAULT_POINT(REGISTRY_REFS_DONE);
        rc = fault != 0 ? sl_err_errno(err, fault, "cannot report the move") : 0;
    }
    return rc;
}

/**
 * Who may approve, and what one more vote does.
 *
 * Pure. Thread: any. Must not: know rows, clocks or how a name was established.
 */
#include "core/base/base.h"

#include "pipelines/steps/approval.h"

#include <strings.h>

#include "core/base/str.h"

#define USER "user:"
#define ROLE "role:"

static bool group_has(const struct sl_group *group, const char *name)
{
    for (size_t i = 0; group != NULL && i < group->n_members; i++) {
        const char *member = group->members[i];
        if (sl_starts_with(member, USER) && sl_streq(member + strlen(USER), name)) {
            return true;
        }
    }
    return false;
}

bool sl_approval_is_member(const struct sl_project *project, const char *const *from, size_t n_from,
                           const char *name)
{
    for (size_t i = 0; i < n_from; i++) {
        if (sl_starts_with(from[i], USER) && sl_streq(from[i] + strlen(USER), name)) {
            return true;
        }
        if (project != NULL && sl_starts_with(from[i], ROLE) &&
            group_has(sl_project_group(project, from[i] + strlen(ROLE)), name)) {
            return true;
        }
    }
    return false;
}

/** The author as git writes it, "Ana B <ana@example.org>": the person's name, or the mail's local part. */
static bool is_author(const char *author, const char *name)
{
    size_t len = strlen(name);
    if (author == NULL || author[0] == '\0' || len == 0) {
        return false;
    }
    const char *mail = strrchr(author, '<');
    if (mail != NULL && strncasecmp(mail + 1, name, len) == 0 &&
        (mail[1 + len] == '@' || mail[1 + len] == '>')) {
        return true;
    }
    size_t end = mail != NULL ? (size_t)(mail - author) : strlen(author);
    while (end > 0 && author[end - 1] == ' ') {
        end--;
    }
    return end == len && strncasecmp(author, name, len) == 0;
}

/** May this name's approval count? */
static enum sl_approval_ruling may_approve(const struct sl_approval_case *c, const char *name)
{
    if (!sl_approval_is_member(c->project, c->rule.from, c->rule.n_from, name)) {
        return SL_RULING_STRANGER;
    }
    if (c->rule.deny_requester && c->requester != NULL && sl_streq(c->requester, name)) {
        return SL_RULING_REQUESTER;
    }
    if (c->rule.deny_requester && is_author(c->author, name)) {
        return SL_RULING_AUTHOR;
    }
    return SL_RULING_COUNTED;
}

static int count(const struct sl_approval_case *c)
{
    int n = 0;
    for (size_t i = 0; i < c->n_ballots; i++) {
        const struct sl_approval_ballot *b = &c->ballots[i];
        n += b->approve && may_approve(c, b->name) == SL_RULING_COUNTED ? 1 : 0;
    }
    return n;
}

bool sl_approval_enough(const struct sl_approval_case *c)
{
    return count(c) >= SL_MAX(c->rule.quorum, 1);
}

static bool has_voted(const struct sl_approval_case *c)
{
    for (size_t i = 0; i < c->n_ballots; i++) {
        if (sl_streq(c->ballots[i].name, c->vote.name)) {
            return true;
        }
    }
    return false;
}

enum sl_approval_ruling sl_approval_judge(const struct sl_approval_case *c)
{
    if (c->state != SL_APPROVAL_OPEN) {
        return SL_RULING_CLOSED;
    }
    if (c->bound_changed) {
        return SL_RULING_VOID;
    }
    if (c->deadline_ms != 0 && c->now_ms >= c->deadline_ms) {
        return SL_RULING_EXPIRED;
    }
    enum sl_approval_ruling may = may_approve(c, c->vote.name);
    if (may == SL_RULING_STRANGER || (c->vote.approve && may != SL_RULING_COUNTED)) {
        return may; /* whoever asks may take it back, if they are one of `from` */
    }
    if (has_voted(c)) {
        return SL_RULING_TWICE;
    }
    if (!c->vote.approve) {
        return SL_RULING_REJECTED;
    }
    return count(c) + 1 >= SL_MAX(c->rule.quorum, 1) ? SL_RULING_APPROVED : SL_RULING_COUNTED;
}

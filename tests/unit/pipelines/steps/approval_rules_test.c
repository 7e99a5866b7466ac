/**
 * Who may approve, and what one more vote does: the rules as a table.
 */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/steps/approval.h"
#include "tests/support/sl_test.h"

static const char *leads_members[] = {"user:ana", "user:bo", "user:cy"};
static struct sl_group leads = {.name = "ml-leads", .members = leads_members, .n_members = 3};
static const struct sl_project project = {.name = "p", .groups = &leads, .n_groups = 1};
static const char *from[] = {"user:dee", "role:ml-leads", "role:nobody-here"};

#define NOW 1000

/** A vote: yes or no, with this quorum; deny: deny_requester ("cy" asks). */
#define YES(name, quorum, ruling_) .voter = (name), .yes = true, QUORUM(quorum, ruling_)
#define NO(name, quorum, ruling_)  .voter = (name), QUORUM(quorum, ruling_)
#define QUORUM(n, ruling_)         .quorum = (n), .ruling = SL_RULING_##ruling_
#define GIVEN(name)                .given = {(name), true}

static const struct rule_row {
    const char *what;
    const char *voter;
    bool yes;
    int quorum;
    enum sl_approval_ruling ruling;
    struct sl_approval_ballot given; /* an earlier vote */
    bool deny, changed;
    enum sl_approval_state state;
    int64_t deadline_ms;
    const char *author;
} rows[] = {
    {"one of the group", YES("ana", 1, APPROVED)},
    {"quorum 0 counts as 1", YES("ana", 0, APPROVED)},
    {"named by user:", YES("dee", 1, APPROVED)},
    {"first of two", YES("ana", 2, COUNTED)},
    {"second of two", YES("bo", 2, APPROVED), GIVEN("ana")},
    {"the same person twice", YES("ana", 2, TWICE), GIVEN("ana")},
    {"a change of mind", NO("ana", 2, TWICE), GIVEN("ana")},
    {"a voter who left the group does not count", YES("bo", 2, COUNTED), GIVEN("gone")},
    {"one rejection is enough", NO("cy", 3, REJECTED), GIVEN("ana")},
    {"a stranger", YES("eve", 1, STRANGER)},
    {"a stranger rejects", NO("eve", 1, STRANGER)},
    {"the beginning of a member's name", YES("an", 1, STRANGER)},
    {"the group's own name", YES("ml-leads", 1, STRANGER)},
    {"a name with the prefix", YES("user:ana", 1, STRANGER)},
    {"whoever asks", YES("cy", 1, REQUESTER), .deny = true},
    {"whoever asks, allowed", YES("cy", 1, APPROVED)},
    {"whoever asks takes it back", NO("cy", 1, REJECTED), .deny = true},
    {"a vote of whoever asks does not count", YES("bo", 2, COUNTED), GIVEN("cy"), .deny = true},
    {"author by mail", YES("ana", 1, AUTHOR), .deny = true, .author = "A. P. <Ana@example.org>"},
    {"author by name", YES("ana", 1, AUTHOR), .deny = true, .author = "Ana <x@example.org>"},
    {"author by name alone", YES("ana", 1, AUTHOR), .deny = true, .author = "ana"},
    {"author whose name begins alike", YES("ana", 1, APPROVED), .deny = true,
     .author = "Anabel <anabel@example.org>"},
    {"author, allowed", YES("ana", 1, APPROVED), .author = "Ana <ana@example.org>"},
    {"at the deadline", YES("ana", 1, EXPIRED), .deadline_ms = NOW},
    {"just before it", YES("ana", 1, APPROVED), .deadline_ms = NOW + 1},
    {"approved already", YES("ana", 1, CLOSED), .state = SL_APPROVAL_APPROVED},
    {"rejected already", YES("ana", 1, CLOSED), .state = SL_APPROVAL_REJECTED},
    {"expired already", YES("ana", 1, CLOSED), .state = SL_APPROVAL_EXPIRED},
    {"void already", YES("ana", 1, CLOSED), .state = SL_APPROVAL_VOID},
    {"a digest changed", YES("ana", 1, VOID), .changed = true},
    {"changed and too late", YES("ana", 1, VOID), .changed = true, .deadline_ms = 1},
};

SL_TEST(steps_approval_rules, judge__every_row_of_the_table__rules_as_written)
{
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        const struct rule_row *r = &rows[i];
        const struct sl_approval_case c = {.state = r->state,
                                           .bound_changed = r->changed,
                                           .deadline_ms = r->deadline_ms,
                                           .now_ms = NOW,
                                           .rule = {.from = from,
                                                    .n_from = SL_LEN(from),
                                                    .quorum = r->quorum,
                                                    .deny_requester = r->deny},
                                           .project = &project,
                                           .requester = "cy",
                                           .author = r->author,
                                           .ballots = &r->given,
                                           .n_ballots = r->given.name != NULL ? 1 : 0,
                                           .vote = {r->voter, r->yes}};
        enum sl_approval_ruling ruling = sl_approval_judge(&c);
        SL_CHECK_MSG(ruling == r->ruling, "%s: ruled %d, expected %d", r->what, (int)ruling,
                     (int)r->ruling);
    }
}

SL_TEST(steps_approval_rules, is_member__without_a_project__only_named_people)
{
    SL_CHECK(!sl_approval_is_member(NULL, from, SL_LEN(from), "ana"));
    SL_CHECK(sl_approval_is_member(NULL, from, SL_LEN(from), "dee"));
    SL_CHECK(!sl_approval_is_member(&project, from, 0, "ana"));
}

SL_TEST(steps_approval_rules, enough__by_the_rule_of_an_environment__counts_its_own_members)
{
    static const struct sl_approval_ballot given[] = {{"ana", true}, {"dee", true}, {"bo", false}};
    static const char *only_leads[] = {"role:ml-leads"};
    struct sl_approval_case c = {.rule = {only_leads, 1, 1, true},
                                 .project = &project,
                                 .requester = "cy",
                                 .ballots = given,
                                 .n_ballots = SL_LEN(given)};
    SL_CHECK(sl_approval_enough(&c));
    c.rule.quorum = 2; /* dee is no lead, bo said no */
    SL_CHECK(!sl_approval_enough(&c));
    c.rule.quorum = 1;
    c.requester = "ana";
    SL_CHECK(!sl_approval_enough(&c));
    c.rule.deny_requester = false;
    SL_CHECK(sl_approval_enough(&c));
}

/** State tables: legality, names, rendering. */
#include "core/base/base.h"

#include "core/base/sm.h"

#include "tests/support/sl_test.h"

enum { DOOR_OPEN, DOOR_SHUT, DOOR_GONE };

static const struct sl_sm_state states[] = {
    {"open", "people may pass", false},
    {"shut", "nobody may pass", false},
    {"gone", "the \"door\" was removed", true},
};
static const struct sl_sm_edge edges[] = {
    {DOOR_OPEN, DOOR_SHUT, "it was closed"},
    {DOOR_SHUT, DOOR_OPEN, "it was opened"},
    {DOOR_SHUT, DOOR_GONE, "it was taken off"},
};
static const struct sl_sm_table door = {"door", states, 3, edges, 3, DOOR_SHUT};

SL_TEST(core_base_sm, edges__only_those_listed__are_allowed)
{
    SL_CHECK(sl_sm_allowed(&door, DOOR_OPEN, DOOR_SHUT));
    SL_CHECK(!sl_sm_allowed(&door, DOOR_OPEN, DOOR_GONE));
    SL_CHECK(!sl_sm_allowed(&door, DOOR_OPEN, DOOR_OPEN));
    SL_CHECK_EQ_STR(sl_sm_reason(&door, DOOR_SHUT, DOOR_GONE), "it was taken off");
    SL_CHECK_NULL(sl_sm_reason(&door, DOOR_GONE, DOOR_OPEN));
    int state = DOOR_SHUT;
    sl_sm_move(&door, &state, DOOR_GONE);
    SL_CHECK_EQ_INT(state, DOOR_GONE);
}

SL_TEST(core_base_sm, names__round_trip)
{
    SL_CHECK_EQ_STR(sl_sm_name(&door, DOOR_GONE), "gone");
    SL_CHECK_EQ_INT(sl_sm_parse(&door, "shut"), DOOR_SHUT);
    SL_CHECK_EQ_INT(sl_sm_parse(&door, "ajar"), -1);
}

SL_TEST(core_base_sm, markdown_and_dot__list_everything)
{
    struct sl_buf b = SL_BUF_INIT(4096);
    sl_sm_markdown(&door, &b);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "### door\n\n"
                                    "| state | meaning | |\n|---|---|---|\n"
                                    "| open | people may pass |  |\n"
                                    "| shut | nobody may pass | start |\n"
                                    "| gone | the \"door\" was removed | final |\n\n"
                                    "| from | to | when |\n|---|---|---|\n"
                                    "| open | shut | it was closed |\n"
                                    "| shut | open | it was opened |\n"
                                    "| shut | gone | it was taken off |\n");
    sl_buf_clear(&b);
    sl_sm_dot(&door, &b);
    SL_CHECK_CONTAINS(sl_buf_str(&b), "digraph \"door\" {\n");
    SL_CHECK_CONTAINS(sl_buf_str(&b), "\"gone\" [peripheries=2];\n");
    SL_CHECK_CONTAINS(sl_buf_str(&b), "\"shut\" -> \"gone\" [label=\"it was taken off\"];\n");
    sl_buf_release(&b);
}

#ifndef SL_TEST_PLAIN
#include <signal.h>

SL_TEST(core_base_sm, move__illegal__aborts, .signal = SIGABRT)
{
    int state = DOOR_OPEN;
    sl_sm_move(&door, &state, DOOR_GONE);
}
#endif

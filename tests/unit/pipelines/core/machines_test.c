/** The tables of runs, steps and attempts, and the exit status of a run. */
#include "core/base/base.h"

#include "pipelines/core/machines.h"

#include "pipelines/core/core.h"
#include "tests/support/sl_test.h"

/** Follows edges from `from` until nothing new is found. */
static void reach(const struct sl_sm_table *t, int from, bool *seen)
{
    seen[from] = true;
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < t->n_edges; i++) {
            if (seen[t->edges[i].from] && !seen[t->edges[i].to]) {
                seen[t->edges[i].to] = more = true;
            }
        }
    }
}

SL_TEST(pipelines_core_machines, every_state__is_reached_and_has_a_way_out)
{
    for (size_t m = 0; m < SL_LEN(sl_run_machines); m++) {
        const struct sl_sm_table *t = sl_run_machines[m];
        bool seen[32] = {false};
        reach(t, t->start, seen);
        for (int s = 0; s < t->n_states; s++) {
            bool from[32] = {false};
            bool ends = false;
            SL_CHECK_MSG(seen[s], "%s %s", t->name, t->states[s].name);
            SL_CHECK_EQ_INT(sl_sm_parse(t, t->states[s].name), s);
            reach(t, s, from);
            for (int e = 0; e < t->n_states; e++) {
                ends = ends || (from[e] && t->states[e].final);
            }
            SL_CHECK_MSG(ends, "%s %s leads nowhere", t->name, t->states[s].name);
        }
    }
}

SL_TEST(pipelines_core_machines, final_states__are_left_only_by_a_decision)
{
    for (size_t m = 0; m < SL_LEN(sl_run_machines); m++) {
        const struct sl_sm_table *t = sl_run_machines[m];
        for (int i = 0; i < t->n_edges; i++) {
            bool decision = t == &sl_run_machine && t->edges[i].from == SL_RUN_WAITING;
            SL_CHECK(!t->states[t->edges[i].from].final || decision);
            SL_CHECK(t->edges[i].reason[0] != '\0');
        }
    }
}

SL_TEST(pipelines_core_machines, attempts__once_ended__never_move)
{
    for (int from = SL_ATTEMPT_SUCCEEDED; from < SL_ATTEMPT_STATES; from++) {
        for (int to = 0; to < SL_ATTEMPT_STATES; to++) {
            SL_CHECK(!sl_sm_allowed(&sl_attempt_machine, from, to));
        }
    }
}

SL_TEST(pipelines_core_machines, good_states__are_final_and_three)
{
    int good = 0;
    for (int s = 0; s < SL_STEP_STATES; s++) {
        SL_CHECK_EQ_INT(sl_step_state_final((enum sl_step_state)s),
                        sl_step_machine.states[s].final);
        if (sl_step_state_good((enum sl_step_state)s)) {
            SL_CHECK(sl_step_state_final((enum sl_step_state)s));
            good++;
        }
    }
    SL_CHECK_EQ_INT(good, 3);
}

SL_TEST(pipelines_core_machines, exit_status__of_every_end__as_documented)
{
    static const struct {
        enum sl_run_state state;
        bool timed_out;
        int status;
    } rows[] = {{SL_RUN_SUCCEEDED, false, 0}, {SL_RUN_FAILED, false, 1},
                {SL_RUN_FAILED, true, 124},   {SL_RUN_REFUSED, false, 3},
                {SL_RUN_WAITING, false, 4},   {SL_RUN_CANCELLED, false, 7},
                {SL_RUN_CANCELLED, true, 7},  {SL_RUN_SUCCEEDED, true, 0}};
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        SL_CHECK_EQ_INT(sl_run_exit_status(rows[i].state, rows[i].timed_out), rows[i].status);
    }
}

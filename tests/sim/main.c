/* sluice_sim: simulates runs by seed. See sim.h. */
#include "core/base/base.h"

#include "core/base/str.h"
#include "tests/sim/sim.h"

#include <stdio.h>

static int usage(void)
{
    (void)fputs("usage: sluice_sim [--seeds N] [--first S] [--seed S] [--verbose]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t n = 2000;
    uint64_t first = 1;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (sl_streq(argv[i], "--verbose")) {
            verbose = true;
        } else if (value && sl_streq(argv[i], "--seeds") && sl_parse_u64(argv[i + 1], &n)) {
            i++;
        } else if (value && sl_streq(argv[i], "--first") && sl_parse_u64(argv[i + 1], &first)) {
            i++;
        } else if (value && sl_streq(argv[i], "--seed") && sl_parse_u64(argv[i + 1], &first)) {
            n = 1;
            i++;
        } else {
            return usage();
        }
    }
    struct sim_counts sum = {0};
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct sim_counts c;
        sim_play(seed, verbose, &c);
        sum.crashes += c.crashes;
        sum.faults += c.faults;
        sum.events += c.events;
        sum.attempts += c.attempts;
        sum.adopted += c.adopted;
        sum.cached += c.cached;
        sum.ahead += c.ahead;
        sum.dropped += c.dropped;
        sum.stopped += c.stopped;
        sum.votes += c.votes;
        sum.replaced += c.replaced;
        sum.late += c.late;
        sum.preempted += c.preempted;
    }
    (void)printf("sim: %llu seeds, %llu crashes, %llu faults injected, 0 violations\n",
                 (unsigned long long)n, (unsigned long long)sum.crashes,
                 (unsigned long long)sum.faults);
    (void)printf("sim: %llu events, %llu attempts, %llu adopted, %llu cached\n",
                 (unsigned long long)sum.events, (unsigned long long)sum.attempts,
                 (unsigned long long)sum.adopted, (unsigned long long)sum.cached);
    (void)printf("sim: %llu made ready ahead, %llu of them given up, %llu stopped by fail_fast\n",
                 (unsigned long long)sum.ahead, (unsigned long long)sum.dropped,
                 (unsigned long long)sum.stopped);
    (void)printf("sim: %llu votes, %llu runs replaced, %llu steps that waited too long, "
                 "%llu attempts that made way\n",
                 (unsigned long long)sum.votes, (unsigned long long)sum.replaced,
                 (unsigned long long)sum.late, (unsigned long long)sum.preempted);
    return n > 0 ? 0 : 2;
}

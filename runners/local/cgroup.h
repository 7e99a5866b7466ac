/**
 * Control groups: which kind this machine offers, the words by which the shim makes one, and the
 * ending of what a dead shim left in one.
 *
 * Thread: any. Must not: move processes other than this one, or touch a group not named sluice-*.
 */
#ifndef SL_CGROUP_H
#define SL_CGROUP_H

#include "runners/runner.h"

#define SL_CGROUP_PATH 512 /* bytes of one directory */

enum sl_cgroup_resource { SL_RES_MEMORY, SL_RES_CPU, SL_RES_PIDS, SL_RES_COUNT };

/** Facts of this machine, found once at start-up. */
struct sl_cgroup_facts {
    enum sl_cgroup_mode mode;
    char v2[SL_CGROUP_PATH]; /* where we may make groups in the unified hierarchy; "" nowhere */
    bool v2_limits[SL_RES_COUNT];          /* controllers usable there */
    char v1[SL_RES_COUNT][SL_CGROUP_PATH]; /* the same per separate hierarchy; "" nowhere */
    char prefix[32]; /* "sluice-" and 8 hex digits of the data directory, "-" */
};

struct sl_cgroup_options {
    const char *mountinfo;   /* NULL: /proc/self/mountinfo */
    const char *self_cgroup; /* NULL: /proc/self/cgroup */
    const char *parent;      /* NULL: our own group; else an existing group below each root */
    bool none;               /* rlimits only */
    uint64_t owner;          /* tells data directories apart (device and inode) */
};

/**
 * Finds out by trying: a place counts only if a group could be made there. With a delegated unified
 * group that holds this process alone, moves it to a leaf and enables the controllers.
 */
int sl_cgroup_probe(const struct sl_cgroup_options *options, struct sl_cgroup_facts *ret,
                    struct sl_err *err) SL_MUST_CHECK;

/** Facts for people and the journal: {"mode","memory","cpu","pids","containment"}. */
json_t *sl_cgroup_facts_json(const struct sl_cgroup_facts *facts);

/** Appends the shim's words for an attempt's groups and limits (NUL-terminated "key=value"). */
void sl_cgroup_words(const struct sl_cgroup_facts *facts, const char *nonce,
                     const struct sl_attempt_limits *limits, struct sl_buf *out);
/** The directories of those groups, ':'-separated, as an identity carries them. */
void sl_cgroup_dirs(const struct sl_cgroup_facts *facts, const char *nonce,
                    const struct sl_attempt_limits *limits, char *out, size_t size);

/**
 * Kills all in the groups and removes them. Directories whose name does not hold the nonce are
 * left alone. Blocks: at most about 200 ms, only when something had to be killed.
 */
void sl_cgroup_end(const char *dirs, const char *nonce);

/** Ends our groups (by prefix) whose nonce is not among `known`. Returns how many. */
int sl_cgroup_sweep(const struct sl_cgroup_facts *facts, const char *const *known, size_t n);

#endif

/* Control groups: finding them, words for the shim, ending. */
#include "core/base/base.h"

#include "runners/local/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/support/sl_test.h"

#define NONCE "0123456789abcdef0123456789abcdef"

/* The NUL-terminated words as lines. */
static char *words(const struct sl_cgroup_facts *f, const struct sl_attempt_limits *l)
{
    struct sl_buf b = SL_BUF_INIT(65536);
    sl_cgroup_words(f, NONCE, l, &b);
    for (size_t i = 0; i < b.len; i++) {
        b.ptr[i] = b.ptr[i] == '\n' ? '=' : b.ptr[i] == '\0' ? '\n' : b.ptr[i];
    }
    return b.len > 0 ? sl_buf_take(&b) : sl_strdup("");
}

SL_TEST(runners_local_cgroup, words__v2__limits_in_one_group)
{
    const struct sl_cgroup_facts f = {.mode = SL_CGROUP_V2,
                                      .v2 = "/cg",
                                      .v2_limits = {true, true, true},
                                      .prefix = "sluice-00000001-"};
    const struct sl_attempt_limits l = {.mem_bytes = 1000000, .cpu_milli = 1500, .pids = 64};
    char *text = words(&f, &l);
    SL_CHECK_EQ_STR(text, "cgroup_v2=/cg/sluice-00000001-" NONCE "\n"
                          "set=/cg/sluice-00000001-" NONCE "/memory.max=1000000\n"
                          "try=/cg/sluice-00000001-" NONCE "/memory.swap.max=0\n"
                          "try=/cg/sluice-00000001-" NONCE "/memory.oom.group=1\n"
                          "oom_file=/cg/sluice-00000001-" NONCE "/memory.events\n"
                          "set=/cg/sluice-00000001-" NONCE "/cpu.max=150000 100000\n"
                          "set=/cg/sluice-00000001-" NONCE "/pids.max=64\n"
                          "pids_file=/cg/sluice-00000001-" NONCE "/pids.events\n");
    free(text);
}

SL_TEST(runners_local_cgroup, words__v1__only_hierarchies_with_a_limit)
{
    const struct sl_cgroup_facts f = {
        .mode = SL_CGROUP_V1, .v1 = {"/m", "/c", "/p"}, .prefix = "sluice-00000001-"};
    const struct sl_attempt_limits none = {0};
    char *text = words(&f, &none);
    SL_CHECK_EQ_STR(text, "");
    free(text);
    const struct sl_attempt_limits l = {.cpu_milli = 1};
    text = words(&f, &l);
    SL_CHECK_EQ_STR(text, "cgroup_v1=/c/sluice-00000001-" NONCE "\n"
                          "set=/c/sluice-00000001-" NONCE "/cpu.cfs_period_us=100000\n"
                          "set=/c/sluice-00000001-" NONCE "/cpu.cfs_quota_us=1000\n");
    free(text);
    char dirs[256];
    const struct sl_attempt_limits two = {.mem_bytes = 1, .pids = 1};
    sl_cgroup_dirs(&f, NONCE, &two, dirs, sizeof(dirs));
    SL_CHECK_EQ_STR(dirs, "/m/sluice-00000001-" NONCE ":/p/sluice-00000001-" NONCE);
}

SL_TEST(runners_local_cgroup, words__rlimit__memory_and_pids_are_counted)
{
    const struct sl_cgroup_facts f = {.mode = SL_CGROUP_RLIMIT, .prefix = "sluice-00000001-"};
    const struct sl_attempt_limits l = {.mem_bytes = 4096, .cpu_milli = 10, .pids = 3};
    char *text = words(&f, &l);
    SL_CHECK_EQ_STR(text, "tree_bytes=4096\nrlimit_data=67117056\ntree_pids=3\n"); /* 64 MiB more */
    free(text);
}

/* Facts from made-up mounts whose groups are directories that we made. */
static void probe_made_up(const char *self, bool v2_controllers, struct sl_cgroup_facts *ret)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    char *mounts = sl_test_path(dir, "mountinfo");
    char *own = sl_test_path(dir, "cgroup");
    _cleanup_(free)
    char *text = sl_asprintf("31 23 0:28 / / rw - ext4 /dev/vda rw\n"
                             "40 31 0:36 / %s/v1/pids rw - cgroup cgroup rw,pids\n"
                             "41 31 0:38 /docker/x %s/v2 rw - cgroup2 cgroup2 rw\n",
                             dir, dir);
    sl_test_write_text(mounts, text);
    sl_test_write_text(own, self);
    const char *const files[] = {"v1/pids/a/cgroup.procs", "v2/s/cgroup.procs",
                                 "v2/s/cgroup.controllers", "v2/s/cgroup.subtree_control"};
    for (size_t i = 0; i < SL_LEN(files); i++) {
        char *path = sl_test_path(dir, files[i]);
        sl_test_write_text(path, i >= 2 && v2_controllers ? "cpu memory pids\n" : "");
        free(path);
    }
    const struct sl_cgroup_options o = {.mountinfo = mounts, .self_cgroup = own, .owner = 1};
    SL_CHECK_OK(sl_cgroup_probe(&o, ret, &err), err);
    free(mounts);
    free(own);
    sl_test_rmdir(dir);
}

SL_TEST(runners_local_cgroup, probe__hybrid__finds_our_own_groups_below_the_mounts_root)
{
    struct sl_cgroup_facts f;
    probe_made_up("8:pids:/a\n4:memory:/gone\n0::/docker/x/s\n", false, &f);
    SL_CHECK_EQ_INT(f.mode, SL_CGROUP_V1);
    SL_CHECK(sl_ends_with(f.v1[SL_RES_PIDS], "/v1/pids/a"));
    SL_CHECK(sl_ends_with(f.v2, "/v2/s"));
    SL_CHECK_EQ_STR(f.v1[SL_RES_MEMORY], "");
}

SL_TEST(runners_local_cgroup, probe__unified_with_controllers__is_v2)
{
    struct sl_cgroup_facts f;
    json_t *facts = NULL;
    probe_made_up("0::/docker/x/s\n", true, &f);
    SL_CHECK_EQ_INT(f.mode, SL_CGROUP_V2);
    facts = sl_cgroup_facts_json(&f);
    char *text = sl_json_canonical(facts);
    SL_CHECK_EQ_STR(text, "{\"containment\":\"cgroup.kill\",\"cpu\":\"cgroup v2\","
                          "\"memory\":\"cgroup v2\",\"mode\":\"v2\",\"pids\":\"cgroup v2\"}");
    free(text);
    json_decref(facts);
}

SL_TEST(runners_local_cgroup, probe__nothing_writable__is_rlimit)
{
    struct sl_cgroup_facts f;
    probe_made_up("8:pids:/absent\n0::/docker/x/absent\n", false, &f);
    SL_CHECK_EQ_INT(f.mode, SL_CGROUP_RLIMIT);
}

SL_TEST(runners_local_cgroup, end__directory_without_our_nonce__is_left_alone)
{
    char *dir = sl_test_tmpdir();
    char *other = sl_test_path(dir, "sluice-1-someone-else");
    char *ours = sl_test_path(dir, "sluice-1-" NONCE);
    SL_CHECK_EQ_INT(mkdir(other, 0755), 0);
    SL_CHECK_EQ_INT(mkdir(ours, 0755), 0);
    _cleanup_(free)
    char *dirs = sl_asprintf("%s:%s:%s", dir, other, ours);
    sl_cgroup_end(dirs, NONCE);
    SL_CHECK(sl_test_exists(other));
    SL_CHECK(!sl_test_exists(ours));
    free(other);
    free(ours);
    sl_test_rmdir(dir);
}

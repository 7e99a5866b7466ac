/**
 * The local backend's own parts.
 *
 * Thread: loop.
 */
#ifndef SL_LOCAL_PRIV_H
#define SL_LOCAL_PRIV_H

#include <stdatomic.h>

#include "core/aio/loop.h"
#include "core/aio/proc.h"
#include "runners/local/cgroup.h"
#include "runners/sandbox/sandbox.h"

struct local_attempt;

struct local_runner {
    struct sl_runner base;
    struct sl_loop *loop;
    char boot_id[SL_PROC_BOOT_ID];
    char *shim_path; /* absolute */
    struct sl_cgroup_facts cgroups;
    struct sl_sandbox *sandbox;
    atomic_int live;               /* attempts allocated, on any thread */
    struct local_attempt *orphans; /* released; waiting to be reaped */
};

struct local_attempt {
    struct local_runner *runner;
    struct sl_attempt *owner; /* NULL once released */
    struct sl_proc proc;      /* pidfd -1 when adopted after its end */
    bool own_child, went, cancelled;
    int start_fd; /* our end of the start pipe; -1 after go */
    int dirfd;    /* attempt directory; -1 when adopted and gone */
    struct sl_fdwatch watch;
    struct sl_post post;
    struct sl_attempt_result result; /* until the post runs */
    struct local_attempt *next_orphan;
};

extern const struct sl_runner_ops sl_runner_ops_local;

void sl_local_attempt_free(struct local_attempt *a);

/* adopt.c */
/** Opens the pidfd of a shim that is still the one of the identity. False when it is over. */
bool sl_local_find_shim(struct local_attempt *a, const struct sl_attempt_identity *identity);
/** The shim is over: reaps it if it was ours, and judges by record, boot and marker. */
void sl_local_conclude(struct local_attempt *a, struct sl_attempt_result *ret);
void sl_local_forget_orphan(struct local_attempt *a);

#endif

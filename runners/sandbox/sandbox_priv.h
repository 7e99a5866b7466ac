/**
 * The room's own parts.
 */
#ifndef SL_SANDBOX_PRIV_H
#define SL_SANDBOX_PRIV_H

#include <pthread.h>

#include "core/aio/proc.h"
#include "runners/sandbox/sandbox.h"

struct sl_sandbox {
    pthread_mutex_t lock; /* around the check; afterwards nothing changes */
    bool checked, usable, no_nested;
    int data_dirfd;
    char *etc; /* absolute directory of the files that stand for the machine's own in /etc */
    const char *search_path;
    char program[SL_PROC_PATH_MAX];
    char version[32];
    char why_not[400];
};

/** The program and its options up to the attempt's own binds. */
void sl_sandbox_put_base(const struct sl_sandbox *s, const struct sl_attempt_sandbox *box,
                         const struct sl_attempt_limits *limits, struct sl_buf *out);
/** The same with the tree of spec->sandbox.root in the place of the machine's files. */
int sl_sandbox_put_rooted(const struct sl_sandbox *s, const struct sl_attempt_spec *spec,
                          struct sl_buf *out, struct sl_err *err) SL_MUST_CHECK;
/** The binds of such a tree. -SL_EIO when it cannot be listed. */
int sl_sandbox_put_root(const char *root, const char *attempt_dir, struct sl_buf *out,
                        struct sl_err *err) SL_MUST_CHECK;
/** What closes the root; the last options. */
void sl_sandbox_put_end(struct sl_buf *out);
#define SL_SANDBOX_FILTER_MAX 4096 /* bytes of the filter */
/** Appends the filter of system calls: an array of struct sock_filter. */
void sl_sandbox_filter(struct sl_buf *out);
/** One word for the program. */
void sl_sandbox_put(struct sl_buf *out, const char *word);

#endif

/**
 * A step shut in by bubblewrap: whether this machine can, and the words by which the shim does it.
 *
 * Thread: any. Must not: build a shell line; let a word of a pipeline reach a process outside the sandbox
 * other than as one argument of an option.
 */
#ifndef SL_SANDBOX_H
#define SL_SANDBOX_H

#include "runners/runner.h"

#define SL_SANDBOX_TRIAL_MS 10000 /* longest that the trial may take */
#define SL_SANDBOX_UID      1000  /* of the step, as it sees itself */
#define SL_SANDBOX_TMP_BYTES                                                                       \
    (1ULL << 30)               /* of /tmp, which lies in memory; less with a smaller disk quota */
#define SL_SANDBOX_PROCESSES 2 /* of the sandbox itself, beside the step's */

struct sl_sandbox;

struct sl_sandbox_config {
    int data_dirfd;          /* the data directory, kept open by the caller */
    const char *data_dir;    /* its absolute path */
    const char *search_path; /* where bwrap is looked for; NULL: the system's directories */
};

/** Nothing is looked for yet. Owner: caller, sl_sandbox_free. */
struct sl_sandbox *sl_sandbox_new(const struct sl_sandbox_config *config);
void sl_sandbox_free(struct sl_sandbox *s); /* NULL allowed */

/**
 * Whether a step can be shut in on this machine. The first call finds the program and runs a trial with the
 * very options of a step; later calls repeat its answer.
 *
 * @return 0; -SL_EREFUSED saying why not and how to enable it
 * Thread: any. Blocks: the first call, about 20 ms.
 */
int sl_sandbox_check(struct sl_sandbox *s, struct sl_err *err) SL_MUST_CHECK;

/** {"strict": "available" or why not, "program", "version", "nested_namespaces"}; NULL before the
 * first check. Caller decrefs. */
json_t *sl_sandbox_json(struct sl_sandbox *s);

/**
 * Appends "box=WORD" strings, each NUL-terminated: the program and its options for this attempt; and
 * "box_filter=HEX", its filter of system calls.
 *
 * @param spec  checked; with isolation strict
 * @return      0; as sl_sandbox_check
 */
int sl_sandbox_words(struct sl_sandbox *s, const struct sl_attempt_spec *spec, struct sl_buf *out,
                     struct sl_err *err) SL_MUST_CHECK;

/** What is recorded of an attempt: "none", or "strict: bubblewrap 0.8.0, no network". After a check. */
void sl_sandbox_text(struct sl_sandbox *s, const struct sl_attempt_sandbox *box,
                     char ret_text[SL_ISOLATION_TEXT]);

#endif

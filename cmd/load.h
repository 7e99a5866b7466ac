/** Reading pipelines and parameters for commands. Thread: main. */
#ifndef SL_CMD_LOAD_H
#define SL_CMD_LOAD_H

#include "cmd/cmd.h"
#include "core/base/diag.h"
#include "pipelines/run/submission.h"

/** Prints diagnostics as text. */
void sl_cmd_print_diags(const struct sl_cmd *c, const struct sl_diags *diags, FILE *to);
/** Checks a file of any kind. -SL_EINVAL with diags, or another code with c->err. */
int sl_cmd_check_file(struct sl_cmd *c, const char *path, struct sl_diags *diags);
/** Loads the pipeline with -p and --params; on failure everything was printed and *ret_status is the exit
 * status. */
int sl_cmd_load(struct sl_cmd *c, const char *path, struct sl_loaded *ret,
                struct sl_submission_opts *ret_opts, int *ret_status);

#endif

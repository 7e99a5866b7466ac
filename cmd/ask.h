/**
 * What commands that ask share: calling with --json, and cells of tables.
 *
 * Thread: main.
 */
#ifndef SL_CMD_ASK_H
#define SL_CMD_ASK_H

#include "cmd/cmd.h"
#include "cmd/table.h"

/** Calls an operation, and prints its answer when --json was given: then *ret stays NULL with 0. Takes args. */
int sl_ask(struct sl_cmd *c, const char *op, json_t *args, json_t **ret) SL_MUST_CHECK;
/** Passes an option on under its name; nothing when it was not given. */
void sl_ask_option(const struct sl_cmd *c, json_t *args, const char *option);
/** Columns of the terminal; 0 when the output is none, or does not tell. */
size_t sl_cmd_columns(const struct sl_cmd *c);
/** How long something took, or has taken until now; empty where no work was done. */
void sl_duration_cell(struct sl_table *t, const json_t *o);
/** Appends "about 3m, from 5 runs" of an estimate (runs.show, plan). */
void sl_put_estimate(const json_t *estimate, struct sl_buf *out);

#endif

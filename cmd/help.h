/** Help texts, manual page and shell completions, all from the table of commands. Thread: main. */
#ifndef SL_CMD_HELP_H
#define SL_CMD_HELP_H

#include "cmd/cmd.h"

/** All commands by group. */
void sl_help_overview(struct sl_buf *out);
/** One command. */
void sl_help_command(const struct sl_command *command, struct sl_buf *out);
/** Commands whose first word is `word`. False when there is none. */
bool sl_help_family(const char *word, struct sl_buf *out);
/** roff source of sluice(1). */
void sl_help_man(struct sl_buf *out);
/** "bash", "zsh" or "fish"; false for others. */
bool sl_help_completion(const char *shell, struct sl_buf *out);

#endif

/**
 * What every command has: its parsed options, where the data is, how to print. One context per process.
 *
 * Thread: main. Commands print and return the process's exit status; everything below them returns codes.
 */
#ifndef SL_CMD_H
#define SL_CMD_H

#include <stdio.h>

#include "cmd/opt.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#define SL_EXIT_OK        0
#define SL_EXIT_FAILED    1
#define SL_EXIT_USAGE     2
#define SL_EXIT_REFUSED   3
#define SL_EXIT_WAITING   4
#define SL_EXIT_AUTH      5
#define SL_EXIT_UNREACHED 6
#define SL_EXIT_CANCELLED 7
#define SL_EXIT_TIMEOUT   124

struct sl_command;

struct sl_cmd {
    const struct sl_command *command;
    const struct sl_parsed *opts;
    struct sl_arena arena; /* lives as long as the command */
    bool json, color, tty;
    char *data_path; /* found by sl_cmd_data; freed by main */
    struct sl_err err;
};

typedef int (*sl_cmd_fn)(struct sl_cmd *c);

enum sl_command_group {
    SL_GROUP_RUN,
    SL_GROUP_ASK,
    SL_GROUP_DATA,
    SL_GROUP_DEPLOY,
    SL_GROUP_ADMIN,
    SL_GROUP_HIDDEN
};

struct sl_command {
    const char *name; /* "run", "data add" */
    sl_cmd_fn fn;
    enum sl_command_group group;
    const char *summary;
    const char *args; /* "PIPELINE", "NAME PATH" */
    int args_min, args_max;
    const struct sl_opt *opts; /* ends with a NULL name */
    const char *help;          /* further paragraphs and examples */
};
extern const struct sl_command sl_commands[];
extern const size_t sl_n_commands;
const char *sl_command_group_title(enum sl_command_group group);

#define SL_COMMAND(name, fn, group, summary, args, args_min, args_max, opts, help)                 \
    int fn(struct sl_cmd *c);
#include "cmd/commands.def"
#undef SL_COMMAND

/** Options and arguments as given. */
const char *sl_cmd_opt(const struct sl_cmd *c, const char *name); /* last value, or NULL */
bool sl_cmd_flag(const struct sl_cmd *c, const char *name);
const char *sl_cmd_arg(const struct sl_cmd *c, size_t i); /* or NULL */

/** Prints "sluice: message" and gives the exit status of the error in c->err. */
int sl_cmd_fail(struct sl_cmd *c);
/** Prints JSON and frees it; 0. */
int sl_cmd_print_json(json_t *value);
/** Prints a buffer to standard output and releases it; 0, or 1 when it overflowed. */
int sl_cmd_print(struct sl_buf *out);

/** The data directory: $SLUICE_DATA or --data, else the nearest .sluice upwards. */
int sl_cmd_data(struct sl_cmd *c) SL_MUST_CHECK;
/** The same, making one when there is none (with the database). *ret_made tells. */
int sl_cmd_data_or_make(struct sl_cmd *c, bool *ret_made) SL_MUST_CHECK;
/** Absolute path of this program, in the arena; NULL when it cannot be told. */
const char *sl_cmd_program(struct sl_cmd *c);
/** The login name. */
const char *sl_cmd_actor(struct sl_cmd *c);

/** Calls an operation of web/api: through the engine's socket when one answers, else in this process. Takes
 * `args`. *ret is a new reference. Errors are in c->err. */
int sl_call(struct sl_cmd *c, const char *op, json_t *args, json_t **ret) SL_MUST_CHECK;
/** Path of the engine's socket, in the arena. */
const char *sl_cmd_socket(struct sl_cmd *c);
/** Appends the request target of an operation, taking path parameters out of a copy of args. */
int sl_call_target(const char *pattern, const char *method, json_t *args, struct sl_buf *out,
                   struct sl_err *err);

#endif

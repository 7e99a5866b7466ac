/**
 * Options by table: parsing "--name value", "--name=value", "-x value", "-xvalue", "--" and positional
 * arguments, with the nearest name for unknown ones.
 *
 * Pure. Thread: any.
 */
#ifndef SL_OPT_H
#define SL_OPT_H

#include "core/base/err.h"
#include "core/base/mem.h"

#define SL_OPT_VALUES_MAX 1000

struct sl_opt {
    const char *name; /* "params", without dashes */
    char letter;      /* 0: none */
    const char *arg;  /* "FILE"; NULL: a flag */
    const char *help; /* one line */
};

struct sl_opt_value {
    const struct sl_opt *opt;
    const char *value; /* NULL for flags */
};

struct sl_parsed {
    SL_VEC(struct sl_opt_value) values;
    SL_VEC(const char *) args;
};

/** Options that every command takes. */
extern const struct sl_opt sl_opts_common[];

/**
 * Parses argv[from..argc). Tables end with a NULL name; `own` may be NULL.
 *
 * @param stop_at_arg  the first positional argument ends it (before the command's name is known)
 * @return index behind the last argument consumed, or -SL_EINVAL with the nearest option
 * Owner: sl_parsed_release; texts point into argv.
 */
int sl_opt_parse(int argc, char **argv, int from, const struct sl_opt *own, bool stop_at_arg,
                 struct sl_parsed *ret, struct sl_err *err);
void sl_parsed_release(struct sl_parsed *p);
/** Last value of an option; "" for a flag that was given, NULL when absent. */
const char *sl_parsed_get(const struct sl_parsed *p, const char *name);

#endif

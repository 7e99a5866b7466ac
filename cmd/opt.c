/* Options by table: see opt.h. */
#include "core/base/base.h"

#include "cmd/opt.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"

const struct sl_opt sl_opts_common[] = {
    {"help", 'h', NULL, "show this command's help"},
    {"json", 0, NULL, "print JSON instead of text"},
    {"data", 0, "DIR",
     "the data directory (default: $SLUICE_DATA, else the nearest .sluice upwards)"},
    {"directory", 'C', "DIR", "go there first"},
    {"no-color", 0, NULL, "no colours (also: the variable NO_COLOR)"},
    {0},
};

static const struct sl_opt *find_in(const struct sl_opt *table, const char *name, size_t len,
                                    char letter)
{
    for (; table != NULL && table->name != NULL; table++) {
        bool by_name =
            name != NULL && strlen(table->name) == len && strncmp(table->name, name, len) == 0;
        if (by_name || (letter != 0 && table->letter == letter)) {
            return table;
        }
    }
    return NULL;
}

static const struct sl_opt *find(const struct sl_opt *own, const char *name, size_t len,
                                 char letter)
{
    const struct sl_opt *found = find_in(own, name, len, letter);
    return found != NULL ? found : find_in(sl_opts_common, name, len, letter);
}

static int unknown(const struct sl_opt *own, const char *name, size_t len, struct sl_err *err)
{
    SL_VEC(const char *) names = {0};
    const struct sl_opt *const tables[] = {own, sl_opts_common};
    for (size_t i = 0; i < SL_LEN(tables); i++) {
        for (const struct sl_opt *o = tables[i]; o != NULL && o->name != NULL; o++) {
            sl_vec_push(&names, o->name);
        }
    }
    _cleanup_(free)
    char *word = sl_strndup(name, len);
    const char *near = sl_nearest(word, names.items, names.n);
    sl_vec_free(&names);
    return near != NULL ? sl_err_set(err, SL_EINVAL,
                                     "unknown option '--%.60s'; did you mean '--%s'?", word, near)
                        : sl_err_set(err, SL_EINVAL, "unknown option '--%.60s'", word);
}

static int keep(struct sl_parsed *p, const struct sl_opt *o, const char *value, struct sl_err *err)
{
    if (p->values.n >= SL_OPT_VALUES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "more than %d options", SL_OPT_VALUES_MAX);
    }
    sl_vec_push(&p->values, ((struct sl_opt_value){o, value}));
    return 0;
}

struct cursor {
    int argc, at;
    char **argv;
};

/** The value of `o`: `joined` when given with it, else the next argument. */
static int take_value(struct cursor *c, const struct sl_opt *o, const char *joined,
                      struct sl_parsed *p, struct sl_err *err)
{
    if (o->arg == NULL) {
        return joined != NULL ? sl_err_set(err, SL_EINVAL, "option '--%s' takes no value", o->name)
                              : keep(p, o, NULL, err);
    }
    if (joined == NULL) {
        if (c->at + 1 >= c->argc) {
            return sl_err_set(err, SL_EINVAL, "option '--%s' needs a value: --%s %s", o->name,
                              o->name, o->arg);
        }
        joined = c->argv[++c->at];
    }
    return keep(p, o, joined, err);
}

static int parse_long(struct cursor *c, const struct sl_opt *own, struct sl_parsed *p,
                      struct sl_err *err)
{
    const char *name = c->argv[c->at] + 2;
    size_t len = strcspn(name, "=");
    const struct sl_opt *o = find(own, name, len, 0);
    return o == NULL ? unknown(own, name, len, err)
                     : take_value(c, o, name[len] == '=' ? name + len + 1 : NULL, p, err);
}

static int parse_letters(struct cursor *c, const struct sl_opt *own, struct sl_parsed *p,
                         struct sl_err *err)
{
    for (const char *at = c->argv[c->at] + 1; *at != '\0'; at++) {
        const struct sl_opt *o = find(own, NULL, 0, *at);
        if (o == NULL) {
            return sl_err_set(err, SL_EINVAL, "unknown option '-%c'", *at);
        }
        bool joined = o->arg != NULL && at[1] != '\0';
        int rc = take_value(c, o, joined ? at + 1 : NULL, p, err);
        if (rc < 0 || o->arg != NULL) {
            return rc;
        }
    }
    return 0;
}

int sl_opt_parse(int argc, char **argv, int from, const struct sl_opt *own, bool stop_at_arg,
                 struct sl_parsed *ret, struct sl_err *err)
{
    struct cursor c = {argc, from, argv};
    int rc = 0;
    for (; rc == 0 && c.at < argc; c.at++) {
        const char *arg = argv[c.at];
        if (sl_streq(arg, "--") && !stop_at_arg) {
            for (c.at++; c.at < argc; c.at++) {
                sl_vec_push(&ret->args, argv[c.at]);
            }
            break;
        }
        if (arg[0] != '-' || arg[1] == '\0') {
            if (stop_at_arg) {
                break;
            }
            sl_vec_push(&ret->args, arg);
        } else {
            rc = arg[1] == '-' ? parse_long(&c, own, ret, err) : parse_letters(&c, own, ret, err);
        }
    }
    return rc < 0 ? rc : c.at;
}

void sl_parsed_release(struct sl_parsed *p)
{
    sl_vec_free(&p->values);
    sl_vec_free(&p->args);
}

const char *sl_parsed_get(const struct sl_parsed *p, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < p->values.n; i++) {
        if (sl_streq(p->values.items[i].opt->name, name)) {
            found = p->values.items[i].value != NULL ? p->values.items[i].value : "";
        }
    }
    return found;
}

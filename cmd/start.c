/* From argv to a command: common options, the table, what all commands share. Thread: main. */
#include "core/base/base.h"

#include "cmd/start.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/help.h"
#include "cmd/table.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "pipelines/run/workspace.h"

/* ---- what commands share -------------------------------------------------------------------------- */

const char *sl_cmd_opt(const struct sl_cmd *c, const char *name)
{
    return sl_parsed_get(c->opts, name);
}

bool sl_cmd_flag(const struct sl_cmd *c, const char *name)
{
    return sl_parsed_get(c->opts, name) != NULL;
}

const char *sl_cmd_arg(const struct sl_cmd *c, size_t i)
{
    return i < c->opts->args.n ? c->opts->args.items[i] : NULL;
}

int sl_cmd_fail(struct sl_cmd *c)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(8192);
    sl_put_clean(&text, c->err.msg);
    (void)fflush(stdout);
    if (c->json) {
        json_auto_t *error = json_pack("{s:{s:s, s:s}}", "error", "code", sl_err_name(c->err.code),
                                       "message", sl_buf_str(&text));
        _cleanup_(free)
        char *line = sl_json_pretty(error);
        (void)fputs(line, stderr);
    } else {
        (void)fprintf(stderr, "sluice: %s\n", sl_buf_str(&text));
    }
    return sl_err_exit(c->err.code);
}

int sl_cmd_print_json(json_t *value)
{
    _cleanup_(free)
    char *text = sl_json_pretty(value);
    (void)fputs(text, stdout);
    json_decref(value);
    return SL_EXIT_OK;
}

int sl_cmd_print(struct sl_buf *out)
{
    bool cut = out->overflow;
    (void)fwrite(sl_buf_str(out), 1, out->len, stdout);
    if (cut) {
        (void)fprintf(stderr,
                      "sluice: the output was too long and is cut; --json gives all of it\n");
    }
    sl_buf_release(out);
    return cut ? SL_EXIT_FAILED : SL_EXIT_OK;
}

/* ---- the data directory --------------------------------------------------------------------------- */

static const char *chosen_data(const struct sl_cmd *c)
{
    const char *option = sl_cmd_opt(c, "data");
    return option != NULL ? option : getenv("SLUICE_DATA");
}

static int current_dir(struct sl_cmd *c, char out[PATH_MAX])
{
    return getcwd(out, PATH_MAX) != NULL ? 0
                                         : sl_err_errno(&c->err, errno, "the current directory");
}

int sl_cmd_data(struct sl_cmd *c)
{
    char here[PATH_MAX];
    if (c->data_path != NULL) {
        return 0;
    }
    int rc = current_dir(c, here);
    return rc < 0 ? rc : sl_workspace_find(chosen_data(c), here, &c->data_path, &c->err);
}

int sl_cmd_data_or_make(struct sl_cmd *c, bool *ret_made)
{
    char here[PATH_MAX];
    struct sl_workspace *ws = NULL;
    const char *chosen = chosen_data(c);
    *ret_made = false;
    int rc = sl_cmd_data(c);
    if (rc != -SL_ENOTFOUND) {
        return rc;
    }
    rc = current_dir(c, here);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *path =
        chosen != NULL && chosen[0] != '\0' ? sl_strdup(chosen) : sl_workspace_default_path(here);
    rc = sl_workspace_init(path, &c->err);
    char *real = rc < 0 ? NULL : realpath(path, NULL);
    if (rc == 0 && real == NULL) {
        rc = sl_err_errno(&c->err, errno, "cannot resolve %s", path);
    }
    rc = rc < 0 ? rc : sl_workspace_open(real, NULL, &ws, &c->err);
    sl_workspace_close(ws);
    if (rc < 0) {
        free(real);
        return rc;
    }
    c->data_path = real;
    *ret_made = true;
    return 0;
}

/* ---- finding the command -------------------------------------------------------------------------- */

/** The longest name that argv[at..] spells; *ret_words tells how many words. */
static const struct sl_command *find_command(int argc, char **argv, int at, int *ret_words)
{
    const struct sl_command *found = NULL;
    for (size_t i = 0; i < sl_n_commands; i++) {
        const char *name = sl_commands[i].name;
        size_t first = strcspn(name, " ");
        bool one = strlen(argv[at]) == first && strncmp(argv[at], name, first) == 0;
        bool two = name[first] == ' ' && at + 1 < argc && sl_streq(name + first + 1, argv[at + 1]);
        if (one && (name[first] == '\0' || two)) {
            if (found == NULL || two) {
                found = &sl_commands[i];
                *ret_words = two ? 2 : 1;
            }
        }
    }
    return found;
}

static int unknown_command(int argc, char **argv, int at)
{
    const char *names[256];
    size_t n = 0;
    _cleanup_(buf)
    struct sl_buf family = SL_BUF_INIT(65536);
    bool in_family = sl_help_family(argv[at], &family);
    bool asked =
        at + 1 < argc && (sl_streq(argv[at + 1], "--help") || sl_streq(argv[at + 1], "-h"));
    if (in_family && (asked || at + 1 >= argc)) {
        (void)fputs(sl_buf_str(&family), asked ? stdout : stderr);
        return asked ? SL_EXIT_OK : SL_EXIT_USAGE;
    }
    const char *word = in_family ? argv[at + 1] : argv[at];
    for (size_t i = 0; i < sl_n_commands && n < SL_LEN(names); i++) {
        const char *name = sl_commands[i].name;
        size_t first = strcspn(name, " ");
        bool member = in_family && strlen(argv[at]) == first && strncmp(name, argv[at], first) == 0;
        if (member || (!in_family && sl_commands[i].group != SL_GROUP_HIDDEN)) {
            names[n++] = member ? name + first + 1 : name;
        }
    }
    const char *near = sl_nearest(word, names, n);
    (void)fprintf(stderr, "sluice: unknown command '%s%s%s'%s%s%s ('sluice help' lists all)\n",
                  argv[at], in_family ? " " : "", in_family ? word : "",
                  near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                  near != NULL ? "'?" : "");
    return SL_EXIT_USAGE;
}

/* ---- running it ----------------------------------------------------------------------------------- */

static int check_args(struct sl_cmd *c)
{
    int n = (int)c->opts->args.n;
    if (n < c->command->args_min) {
        (void)fprintf(stderr, "sluice: too few arguments; usage: sluice %s %s\n", c->command->name,
                      c->command->args);
        return SL_EXIT_USAGE;
    }
    if (n > c->command->args_max) {
        (void)fprintf(stderr, "sluice: unexpected argument '%s'; usage: sluice %s %s\n",
                      c->opts->args.items[c->command->args_max], c->command->name,
                      c->command->args);
        return SL_EXIT_USAGE;
    }
    return 0;
}

static int run_command(struct sl_cmd *c)
{
    const char *dir = sl_cmd_opt(c, "directory");
    if (sl_cmd_flag(c, "help")) {
        struct sl_buf out = SL_BUF_INIT(65536);
        sl_help_command(c->command, &out);
        return sl_cmd_print(&out);
    }
    int status = check_args(c);
    if (status != 0) {
        return status;
    }
    if (dir != NULL && chdir(dir) != 0) {
        (void)sl_err_errno(&c->err, errno, "cannot go to '%s'", dir);
        return sl_cmd_fail(c);
    }
    c->json = sl_cmd_flag(c, "json");
    c->tty = isatty(STDOUT_FILENO) == 1;
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    c->color = c->tty && (no_color == NULL || no_color[0] == '\0') && !sl_cmd_flag(c, "no-color") &&
               (term == NULL || !sl_streq(term, "dumb"));
    status = c->command->fn(c);
    if (fflush(stdout) != 0 && status == 0) {
        (void)fprintf(stderr, "sluice: cannot write the output\n");
        status = SL_EXIT_FAILED;
    }
    return status;
}

static int overview(FILE *to)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(65536);
    sl_help_overview(&out);
    (void)fputs(sl_buf_str(&out), to);
    return to == stdout ? SL_EXIT_OK : SL_EXIT_USAGE;
}

int sl_cmd_main(int argc, char **argv)
{
    struct sl_parsed parsed = {0};
    struct sl_cmd c = {.opts = &parsed};
    int words = 0;
    int status = SL_EXIT_USAGE;
    if (sl_fault_init(&c.err) < 0) {
        return sl_cmd_fail(&c);
    }
    char version[] = "version"; /* as an option, as every program has it */
    if (argc >= 2 && sl_streq(argv[1], "--version")) {
        argv[1] = version;
    }
    int at = sl_opt_parse(argc, argv, 1, NULL, true, &parsed, &c.err);
    if (at < 0) {
        status = sl_cmd_fail(&c);
    } else if (at >= argc) {
        status = overview(sl_parsed_get(&parsed, "help") != NULL ? stdout : stderr);
    } else {
        c.command = find_command(argc, argv, at, &words);
        if (c.command == NULL) {
            status = unknown_command(argc, argv, at);
        } else if (sl_opt_parse(argc, argv, at + words, c.command->opts, false, &parsed, &c.err) <
                   0) {
            status = sl_cmd_fail(&c);
        } else {
            sl_arena_init(&c.arena, 0);
            status = run_command(&c);
            sl_arena_release(&c.arena);
        }
    }
    free(c.data_path);
    sl_parsed_release(&parsed);
    return status;
}

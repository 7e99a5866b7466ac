/* Help, manual page and completions from the table: see help.h. Thread: main. */
#include "core/base/base.h"

#include "cmd/help.h"

#include "core/base/str.h"

static const char exit_codes[] =
    "  0    success                      5    not authenticated or not allowed\n"
    "  1    failed                       6    no engine reachable\n"
    "  2    wrong usage or bad input     7    cancelled\n"
    "  3    refused by a gate or policy  124  timed out\n"
    "  4    waiting for a decision\n";

void sl_help_overview(struct sl_buf *out)
{
    sl_buf_puts(out, "sluice: pipelines from data to a served model, each step recorded\n\n"
                     "usage: sluice COMMAND [ARGUMENT...] [OPTION...]\n");
    for (int g = 0; g < SL_GROUP_HIDDEN; g++) {
        sl_buf_printf(out, "\n%s\n", sl_command_group_title((enum sl_command_group)g));
        for (size_t i = 0; i < sl_n_commands; i++) {
            if ((int)sl_commands[i].group == g) {
                sl_buf_printf(out, "  %-15s %s\n", sl_commands[i].name, sl_commands[i].summary);
            }
        }
    }
    sl_buf_puts(out, "\n'sluice help COMMAND' tells more.\n");
}

static void put_option(const struct sl_opt *o, struct sl_buf *out)
{
    char left[64];
    int n = o->letter != 0 ? snprintf(left, sizeof(left), "-%c, --%s", o->letter, o->name)
                           : snprintf(left, sizeof(left), "    --%s", o->name);
    if (o->arg != NULL && n > 0 && (size_t)n < sizeof(left)) {
        (void)snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->arg);
    }
    sl_buf_printf(out, "  %-28s %s\n", left, o->help);
}

static void put_options(const char *title, const struct sl_opt *o, struct sl_buf *out)
{
    if (o->name != NULL) {
        sl_buf_printf(out, "\n%s\n", title);
    }
    for (; o->name != NULL; o++) {
        put_option(o, out);
    }
}

void sl_help_command(const struct sl_command *c, struct sl_buf *out)
{
    sl_buf_printf(out, "usage: sluice %s%s%s%s\n\n%s\n", c->name, c->args[0] != '\0' ? " " : "",
                  c->args, " [OPTION...]", c->summary);
    if (c->help[0] != '\0') {
        sl_buf_printf(out, "\n%s\n", c->help);
    }
    put_options("Options", c->opts, out);
    put_options("Options of every command", sl_opts_common, out);
    sl_buf_printf(out, "\nExit codes\n%s", exit_codes);
}

bool sl_help_family(const char *word, struct sl_buf *out)
{
    bool found = false;
    size_t len = strlen(word);
    for (size_t i = 0; i < sl_n_commands; i++) {
        const struct sl_command *c = &sl_commands[i];
        if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ') {
            if (!found) {
                sl_buf_printf(out, "usage: sluice %s COMMAND\n\n", word);
            }
            found = true;
            sl_buf_printf(out, "  %-24s %s\n", c->name, c->summary);
        }
    }
    return found;
}

/* ---- manual page ---------------------------------------------------------------------------------- */

/** roff: backslashes and hyphens escaped, a dot or quote at the start of a line protected. */
static void put_roff(struct sl_buf *out, const char *text)
{
    bool start = true;
    for (const char *p = text; *p != '\0'; p++) {
        if (start && (*p == '.' || *p == '\'')) {
            sl_buf_puts(out, "\\&");
        }
        start = *p == '\n';
        if (*p == '\\') {
            sl_buf_puts(out, "\\e");
        } else if (*p == '-') {
            sl_buf_puts(out, "\\-");
        } else {
            sl_buf_putc(out, *p);
        }
    }
}

static void man_options(const struct sl_opt *o, struct sl_buf *out)
{
    for (; o->name != NULL; o++) {
        sl_buf_puts(out, ".TP\n");
        if (o->letter != 0) {
            sl_buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
        }
        sl_buf_puts(out, "\\fB\\-\\-");
        put_roff(out, o->name);
        sl_buf_puts(out, "\\fR");
        if (o->arg != NULL) {
            sl_buf_puts(out, " \\fI");
            put_roff(out, o->arg);
            sl_buf_puts(out, "\\fR");
        }
        sl_buf_putc(out, '\n');
        put_roff(out, o->help);
        sl_buf_putc(out, '\n');
    }
}

static void man_command(const struct sl_command *c, struct sl_buf *out)
{
    sl_buf_printf(out, ".SS sluice %s %s\n", c->name, c->args);
    put_roff(out, c->summary);
    sl_buf_puts(out, ".\n");
    if (c->help[0] != '\0') {
        sl_buf_puts(out, ".PP\n.nf\n");
        put_roff(out, c->help);
        sl_buf_puts(out, "\n.fi\n");
    }
    man_options(c->opts, out);
}

void sl_help_man(struct sl_buf *out)
{
    sl_buf_puts(
        out, ".TH SLUICE 1\n.SH NAME\nsluice \\- pipelines from data to a served model, each step "
             "recorded\n.SH SYNOPSIS\n\\fBsluice\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR...] "
             "[\\fIOPTION\\fR...]\n");
    for (int g = 0; g < SL_GROUP_HIDDEN; g++) {
        sl_buf_printf(out, ".SH %s\n", sl_command_group_title((enum sl_command_group)g));
        for (size_t i = 0; i < sl_n_commands; i++) {
            if ((int)sl_commands[i].group == g) {
                man_command(&sl_commands[i], out);
            }
        }
    }
    sl_buf_puts(out, ".SH OPTIONS OF EVERY COMMAND\n");
    man_options(sl_opts_common, out);
    sl_buf_printf(out, ".SH EXIT STATUS\n.nf\n%s.fi\n", exit_codes);
    sl_buf_puts(
        out,
        ".SH ENVIRONMENT\n.TP\n\\fBSLUICE_DATA\\fR\nthe data directory\n.TP\n\\fBNO_COLOR\\fR\n"
        "no colours when set\n.TP\n\\fBSLUICE_NOTIFY_ALLOW\\fR\nwhere an engine may send messages "
        "beyond "
        "https to public addresses: loopback, private, http, separated by commas\n.TP\n"
        "\\fBSLUICE_CA_FILE\\fR\ncertificates that an engine trusts when it sends messages\n.TP\n"
        "\\fBAWS_ACCESS_KEY_ID\\fR, \\fBAWS_SECRET_ACCESS_KEY\\fR, \\fBAWS_SESSION_TOKEN\\fR, "
        "\\fBAWS_REGION\\fR, \\fBAWS_ENDPOINT_URL\\fR\nfor data from S3\n");
}

/* ---- completions ---------------------------------------------------------------------------------- */

static void put_opt_words(const struct sl_command *c, struct sl_buf *out)
{
    const struct sl_opt *const tables[] = {c->opts, sl_opts_common};
    const char *sep = "";
    for (size_t i = 0; i < SL_LEN(tables); i++) {
        for (const struct sl_opt *o = tables[i]; o->name != NULL; o++) {
            sl_buf_printf(out, "%s--%s", sep, o->name);
            sep = " ";
        }
    }
}

/** Distinct first words, or the second words of a family. */
static void put_words(const char *family, struct sl_buf *out)
{
    const char *last = "";
    size_t last_len = 0;
    const char *sep = "";
    for (size_t i = 0; i < sl_n_commands; i++) {
        const char *name = sl_commands[i].name;
        size_t len = strcspn(name, " ");
        if (sl_commands[i].group == SL_GROUP_HIDDEN) {
            continue;
        }
        if (family != NULL) {
            if (strncmp(name, family, len) == 0 && family[len] == '\0' && name[len] == ' ') {
                sl_buf_printf(out, "%s%s", sep, name + len + 1);
                sep = " ";
            }
        } else if (len != last_len || strncmp(name, last, len) != 0) {
            sl_buf_printf(out, "%s%.*s", sep, (int)len, name);
            sep = " ";
            last = name;
            last_len = len;
        }
    }
}

#define FAMILY_MAX 32

/** Whether the i-th command is the first of several with one first word; `out` gets that word. */
static bool begins_family(size_t i, char out[FAMILY_MAX])
{
    const char *name = sl_commands[i].name;
    const char *blank = strchr(name, ' ');
    if (blank == NULL || sl_commands[i].group == SL_GROUP_HIDDEN) {
        return false;
    }
    snprintf(out, FAMILY_MAX, "%.*s", (int)(blank - name), name);
    for (size_t k = 0; k < i; k++) {
        if (sl_commands[k].group != SL_GROUP_HIDDEN &&
            strncmp(sl_commands[k].name, name, (size_t)(blank - name) + 1) == 0) {
            return false;
        }
    }
    return true;
}

static void completion_bash(struct sl_buf *out)
{
    sl_buf_puts(out, "# bash completion for sluice\n_sluice() {\n"
                     "    local word=${COMP_WORDS[COMP_CWORD]} one=${COMP_WORDS[1]} "
                     "two=${COMP_WORDS[2]} words=\n"
                     "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"");
    put_words(NULL, out);
    sl_buf_puts(out, "\"\n    else\n        case \"$one $two\" in\n");
    for (size_t i = 0; i < sl_n_commands; i++) {
        const struct sl_command *c = &sl_commands[i];
        bool pair = strchr(c->name, ' ') != NULL;
        if (c->group != SL_GROUP_HIDDEN) {
            sl_buf_printf(out, "        \"%s%s) words=\"", c->name, pair ? "\"" : " \"*");
            put_opt_words(c, out);
            sl_buf_puts(out, "\" ;;\n");
        }
    }
    char family[FAMILY_MAX];
    for (size_t i = 0; i < sl_n_commands; i++) {
        if (begins_family(i, family)) {
            sl_buf_printf(out, "        \"%s \"*) words=\"", family);
            put_words(family, out);
            sl_buf_puts(out, "\" ;;\n");
        }
    }
    sl_buf_puts(out, "        esac\n    fi\n"
                     "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\"; [ "
                     "\"$COMP_CWORD\" -gt 1 ] && "
                     "compgen -f -- \"$word\")\n}\ncomplete -F _sluice sluice\n");
}

static void put_quoted(struct sl_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            sl_buf_puts(out, "'\\''");
        } else {
            sl_buf_putc(out, *text);
        }
    }
}

static void completion_zsh(struct sl_buf *out)
{
    sl_buf_puts(out, "#compdef sluice\n_sluice() {\n    case \"$words[2] $words[3]\" in\n");
    for (size_t i = 0; i < sl_n_commands; i++) {
        const struct sl_command *c = &sl_commands[i];
        bool pair = strchr(c->name, ' ') != NULL;
        if (c->group != SL_GROUP_HIDDEN) {
            sl_buf_printf(out, "    \"%s%s) (( CURRENT > %d )) && { compadd -- ", c->name,
                          pair ? "\"" : " \"*", pair ? 3 : 2);
            put_opt_words(c, out);
            sl_buf_puts(out, "; _files; return } ;|\n");
        }
    }
    char family[FAMILY_MAX];
    for (size_t i = 0; i < sl_n_commands; i++) {
        if (begins_family(i, family)) {
            sl_buf_printf(out, "    \"%s \"*) (( CURRENT == 3 )) && { compadd -- ", family);
            put_words(family, out);
            sl_buf_puts(out, "; return } ;|\n");
        }
    }
    sl_buf_puts(out, "    esac\n    (( CURRENT == 2 )) && compadd -- ");
    put_words(NULL, out);
    sl_buf_puts(out, "\n}\n_sluice \"$@\"\n");
}

static void fish_options(const struct sl_opt *o, const char *condition, struct sl_buf *out)
{
    for (; o->name != NULL; o++) {
        sl_buf_printf(out, "complete -c sluice%s -l %s%s", condition, o->name,
                      o->arg != NULL ? " -r" : "");
        if (o->letter != 0) {
            sl_buf_printf(out, " -s %c", o->letter);
        }
        sl_buf_puts(out, " -d '");
        put_quoted(out, o->help);
        sl_buf_puts(out, "'\n");
    }
}

static void completion_fish(struct sl_buf *out)
{
    char condition[200];
    sl_buf_puts(out, "# fish completion for sluice\n");
    for (size_t i = 0; i < sl_n_commands; i++) {
        const struct sl_command *c = &sl_commands[i];
        const char *space = strchr(c->name, ' ');
        int len = (int)strcspn(c->name, " ");
        if (c->group == SL_GROUP_HIDDEN) {
            continue;
        }
        if (space == NULL) {
            sl_buf_printf(out, "complete -c sluice -f -n __fish_use_subcommand -a %s -d '",
                          c->name);
            (void)snprintf(condition, sizeof(condition), " -n '__fish_seen_subcommand_from %s'",
                           c->name);
        } else {
            sl_buf_printf(out, "complete -c sluice -f -n __fish_use_subcommand -a %.*s\n", len,
                          c->name);
            sl_buf_printf(out,
                          "complete -c sluice -f -n '__fish_seen_subcommand_from %.*s' -a %s -d '",
                          len, c->name, space + 1);
            (void)snprintf(
                condition, sizeof(condition),
                " -n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'", len,
                c->name, space + 1);
        }
        put_quoted(out, c->summary);
        sl_buf_puts(out, "'\n");
        fish_options(c->opts, condition, out);
    }
    fish_options(sl_opts_common, "", out);
}

bool sl_help_completion(const char *shell, struct sl_buf *out)
{
    if (sl_streq(shell, "bash")) {
        completion_bash(out);
    } else if (sl_streq(shell, "zsh")) {
        completion_zsh(out);
    } else if (sl_streq(shell, "fish")) {
        completion_fish(out);
    } else {
        return false;
    }
    return true;
}

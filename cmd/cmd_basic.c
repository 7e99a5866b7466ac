/* init, lint, schema, help, completion, version, debug. Thread: main. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/help.h"
#include "cmd/load.h"
#include "core/base/fault.h"
#include "core/base/fs.h"
#include "pipelines/core/machines.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/spec/spec.h"

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "unversioned"
#endif

int sl_cmd_version(struct sl_cmd *c)
{
    if (c->json) {
        return sl_cmd_print_json(json_pack("{s:s}", "version", SLUICE_VERSION));
    }
    (void)printf("sluice %s\n", SLUICE_VERSION);
    return SL_EXIT_OK;
}

int sl_cmd_init(struct sl_cmd *c)
{
    bool made = false;
    if (sl_cmd_data_or_make(c, &made) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_pack("{s:s, s:b}", "data", c->data_path, "created", made));
    }
    (void)printf(made ? "made %s\n" : "%s is there already\n", c->data_path);
    return SL_EXIT_OK;
}

int sl_cmd_schema(struct sl_cmd *c)
{
    (void)c;
    return sl_cmd_print_json(sl_spec_schema());
}

int sl_cmd_lint(struct sl_cmd *c)
{
    json_auto_t *all = json_array();
    int status = SL_EXIT_OK;
    for (size_t i = 0; i < c->opts->args.n; i++) {
        const char *path = c->opts->args.items[i];
        struct sl_diags diags;
        sl_diags_init(&diags, &c->arena);
        int rc = sl_cmd_check_file(c, path, &diags);
        if (rc < 0) {
            status = SL_EXIT_USAGE;
        }
        if (rc < 0 && rc != -SL_EINVAL) {
            status = sl_cmd_fail(c);
        } else if (c->json) {
            json_array_append_new(all, json_pack("{s:s, s:b, s:o}", "file", path, "ok", rc == 0,
                                                 "problems", sl_diags_json(&diags)));
        } else {
            sl_cmd_print_diags(c, &diags, stdout);
            (void)printf("%s: %s\n", path, rc == 0 ? "good" : "has errors");
        }
        sl_diags_release(&diags);
    }
    if (c->json) {
        (void)sl_cmd_print_json(json_incref(all));
    }
    return status;
}

/* ---- help ----------------------------------------------------------------------------------------- */

static const struct sl_command *by_name(const char *name)
{
    for (size_t i = 0; i < sl_n_commands; i++) {
        if (sl_streq(sl_commands[i].name, name)) {
            return &sl_commands[i];
        }
    }
    return NULL;
}

int sl_cmd_help(struct sl_cmd *c)
{
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    const char *one = sl_cmd_arg(c, 0);
    const char *two = sl_cmd_arg(c, 1);
    if (sl_cmd_flag(c, "man")) {
        sl_help_man(&out);
        return sl_cmd_print(&out);
    }
    if (one == NULL) {
        sl_help_overview(&out);
        return sl_cmd_print(&out);
    }
    const char *name = two != NULL ? sl_arena_printf(&c->arena, "%s %s", one, two) : one;
    const struct sl_command *found = by_name(name);
    if (found != NULL) {
        sl_help_command(found, &out);
    } else if (two != NULL || !sl_help_family(one, &out)) {
        const char *names[256];
        size_t n = 0;
        for (; n < sl_n_commands && n < SL_LEN(names); n++) {
            names[n] = sl_commands[n].name;
        }
        const char *near = sl_nearest(name, names, n);
        (void)sl_err_set(&c->err, SL_EINVAL, "no command '%.60s'%s%s%s", name,
                         near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                         near != NULL ? "'?" : "");
        return sl_cmd_fail(c);
    }
    return sl_cmd_print(&out);
}

int sl_cmd_completion(struct sl_cmd *c)
{
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    if (!sl_help_completion(sl_cmd_arg(c, 0), &out)) {
        (void)sl_err_set(&c->err, SL_EINVAL,
                         "no completion for '%.40s'; shells are bash, zsh, fish", sl_cmd_arg(c, 0));
        return sl_cmd_fail(c);
    }
    return sl_cmd_print(&out);
}

/* ---- debug ---------------------------------------------------------------------------------------- */

int sl_cmd_debug_faults(struct sl_cmd *c)
{
    json_auto_t *all = json_array();
    for (int i = 0; i < SL_FAULT_COUNT; i++) {
        const char *name = sl_fault_name((enum sl_fault_point)i);
        if (c->json) {
            json_array_append_new(all, json_string(name));
        } else {
            (void)printf("%-24s %s\n", name, sl_fault_text((enum sl_fault_point)i));
        }
    }
    return c->json ? sl_cmd_print_json(json_incref(all)) : SL_EXIT_OK;
}

int sl_cmd_debug_machines(struct sl_cmd *c)
{
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    const struct sl_sm_table *const tables[] = {sl_run_machines[0], sl_run_machines[1],
                                                sl_run_machines[2], &sl_deploy_machine};
    for (size_t i = 0; i < SL_LEN(tables); i++) {
        if (sl_cmd_flag(c, "dot")) {
            sl_sm_dot(tables[i], &out);
        } else {
            sl_sm_markdown(tables[i], &out);
        }
    }
    return sl_cmd_print(&out);
}

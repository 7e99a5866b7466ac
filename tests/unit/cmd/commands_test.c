/* The table of commands: everything derived from it is well formed. */
#include "core/base/base.h"

#include "cmd/cmd.h"
#include "cmd/help.h"
#include "tests/support/sl_test.h"
#include "web/api/api.h"

SL_TEST(cmd_commands, table__every_row__is_complete)
{
    for (size_t i = 0; i < sl_n_commands; i++) {
        const struct sl_command *c = &sl_commands[i];
        SL_CHECK_MSG(c->fn != NULL && c->summary[0] != '\0', "%s", c->name);
        SL_CHECK_MSG(c->args_min <= c->args_max, "%s", c->name);
        SL_CHECK_MSG((c->args[0] == '\0') == (c->args_max == 0), "%s", c->name);
        for (const struct sl_opt *o = c->opts; o->name != NULL; o++) {
            SL_CHECK_MSG(o->help[0] != '\0', "%s --%s", c->name, o->name);
            for (const struct sl_opt *common = sl_opts_common; common->name != NULL; common++) {
                SL_CHECK_MSG(strcmp(o->name, common->name) != 0, "%s --%s", c->name, o->name);
                SL_CHECK_MSG(o->letter == 0 || o->letter != common->letter, "%s -%c", c->name,
                             o->letter);
            }
        }
    }
}

SL_TEST(cmd_commands, help__every_command__is_in_overview_and_man_page)
{
    _cleanup_(buf)
    struct sl_buf overview = SL_BUF_INIT((size_t)1 << 20);
    _cleanup_(buf)
    struct sl_buf man = SL_BUF_INIT((size_t)1 << 20);
    sl_help_overview(&overview);
    sl_help_man(&man);
    for (size_t i = 0; i < sl_n_commands; i++) {
        char heading[200];
        (void)snprintf(heading, sizeof(heading), ".SS sluice %s ", sl_commands[i].name);
        bool shown = sl_commands[i].group != SL_GROUP_HIDDEN;
        SL_CHECK_MSG((strstr(sl_buf_str(&overview), sl_commands[i].summary) != NULL) == shown, "%s",
                     sl_commands[i].name);
        SL_CHECK_MSG((strstr(sl_buf_str(&man), heading) != NULL) == shown, "%s",
                     sl_commands[i].name);
    }
}

SL_TEST(cmd_commands, target__path_parameters_and_query__are_encoded)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(1000);
    json_auto_t *args =
        json_pack("{s:s, s:s, s:i}", "run", "a/b#1", "step", "x[y=1 2]", "limit", 3);
    SL_CHECK_EQ_INT(sl_call_target("/api/v1/runs/{run}/why", "GET", args, &out, NULL), 0);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "/api/v1/runs/a%2Fb%231/why?step=x%5By%3D1%202%5D&limit=3");
    struct sl_err err = SL_ERR_INIT;
    json_auto_t *none = json_object();
    SL_CHECK_ERR(sl_call_target("/runs/{run}", "GET", none, &out, &err), SL_EINVAL, err,
                 "run must not be empty");
}

SL_TEST(cmd_commands, operations__every_row__has_a_distinct_name_and_route)
{
    for (size_t i = 0; i < sl_api_n_ops; i++) {
        SL_CHECK(sl_api_find(sl_api_ops[i].name) == &sl_api_ops[i]);
        SL_CHECK(sl_api_ops[i].permission[0] != '\0' && sl_api_ops[i].summary[0] != '\0');
        SL_CHECK(strncmp(sl_api_ops[i].pattern, SL_API_PREFIX "/", strlen(SL_API_PREFIX) + 1) == 0);
    }
}

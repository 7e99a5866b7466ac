/* Options by table: forms, values, nearest names, limits. */
#include "core/base/base.h"

#include "cmd/opt.h"

#include <stdlib.h>

#include "tests/support/sl_test.h"

static const struct sl_opt table[] = {
    {"param", 'p', "NAME=VALUE", "set"},
    {"follow", 'f', NULL, "follow"},
    {"time", 't', NULL, "time"},
    {0},
};

#define PARSE(p, err, ...)                                                                         \
    ({                                                                                             \
        char *argv_[] = {__VA_ARGS__, NULL};                                                       \
        sl_opt_parse((int)SL_LEN(argv_) - 1, argv_, 0, table, false, (p), (err));                  \
    })

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

SL_TEST(cmd_opt, parse__every_form__gives_values_and_arguments)
{
    struct sl_parsed p = {0};
    struct sl_err err = SL_ERR_INIT;
    int n = PARSE(&p, &err, text("a"), text("-p"), text("x=1"), text("--param=x=2"), text("-px=3"),
                  text("-tf"), text("--json"), text("b"), text("--"), text("--not-an-option"));
    SL_CHECK_EQ_INT(n, 10);
    SL_CHECK_EQ_INT((int)p.args.n, 3);
    SL_CHECK_EQ_STR(p.args.items[1], "b");
    SL_CHECK_EQ_STR(p.args.items[2], "--not-an-option");
    SL_CHECK_EQ_STR(sl_parsed_get(&p, "param"), "x=3");
    SL_CHECK_EQ_STR(p.values.items[1].value, "x=2");
    SL_CHECK_EQ_STR(sl_parsed_get(&p, "follow"), "");
    SL_CHECK(sl_parsed_get(&p, "json") != NULL);
    SL_CHECK(sl_parsed_get(&p, "help") == NULL);
    sl_parsed_release(&p);
}

SL_TEST(cmd_opt, parse__a_single_dash__is_an_argument)
{
    struct sl_parsed p = {0};
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_EQ_INT(PARSE(&p, &err, text("-")), 1);
    SL_CHECK_EQ_STR(p.args.items[0], "-");
    sl_parsed_release(&p);
}

static void refused(const char *arg, const char *message)
{
    struct sl_parsed p = {0};
    struct sl_err err = SL_ERR_INIT;
    int rc = PARSE(&p, &err, text(arg));
    SL_CHECK_ERR(rc, SL_EINVAL, err, message);
    sl_parsed_release(&p);
}

SL_TEST(cmd_opt, parse__bad_options__names_them)
{
    refused("--parm=x", "unknown option '--parm'; did you mean '--param'?");
    refused("--jsno", "did you mean '--json'?");
    refused("--zzzzzzzzzz", "unknown option '--zzzzzzzzzz'");
    refused("-x", "unknown option '-x'");
    refused("--param", "option '--param' needs a value: --param NAME=VALUE");
    refused("-p", "option '--param' needs a value");
    refused("--follow=yes", "option '--follow' takes no value");
}

SL_TEST(cmd_opt, parse__stop_at_argument__leaves_the_rest)
{
    struct sl_parsed p = {0};
    struct sl_err err = SL_ERR_INIT;
    char *argv[] = {text("sluice"), text("-C"), text("dir"), text("run"), text("--param")};
    SL_CHECK_EQ_INT(sl_opt_parse(5, argv, 1, NULL, true, &p, &err), 3);
    SL_CHECK_EQ_STR(sl_parsed_get(&p, "directory"), "dir");
    SL_CHECK_EQ_INT((int)p.args.n, 0);
    sl_parsed_release(&p);
}

SL_TEST(cmd_opt, parse__values_at_and_past_the_limit__takes_and_refuses)
{
    static char *argv[SL_OPT_VALUES_MAX + 1];
    struct sl_parsed p = {0};
    struct sl_err err = SL_ERR_INIT;
    for (size_t i = 0; i < SL_LEN(argv); i++) {
        argv[i] = text("-t");
    }
    SL_CHECK_EQ_INT(sl_opt_parse(SL_OPT_VALUES_MAX, argv, 0, table, false, &p, &err),
                    SL_OPT_VALUES_MAX);
    sl_parsed_release(&p);
    int rc = sl_opt_parse(SL_OPT_VALUES_MAX + 1, argv, 0, table, false, &p, &err);
    SL_CHECK_ERR(rc, SL_ELIMIT, err, "more than 1000 options");
    sl_parsed_release(&p);
}

/** Errors: codes, places, wrapping, cutting. */
#include "core/base/base.h"

#include "core/base/err.h"

#include <errno.h>
#include <string.h>

#include "tests/support/sl_test.h"

SL_TEST(core_base_err, set__fills_code_place_and_message__returns_negative)
{
    struct sl_err err = SL_ERR_INIT;
    int line = __LINE__ + 1;
    int rc = sl_err_set(&err, SL_EINVAL, "bad %s number %d", "step", 7);
    SL_CHECK_EQ_INT(rc, -SL_EINVAL);
    SL_CHECK_EQ_INT(err.code, SL_EINVAL);
    SL_CHECK_EQ_STR(err.msg, "bad step number 7");
    SL_CHECK_EQ_INT(err.line, line);
    SL_CHECK(strstr(err.file, "err_test.c") != NULL);
}

SL_TEST(core_base_err, set__null_error__still_returns_the_code)
{
    SL_CHECK_EQ_INT(sl_err_set(NULL, SL_EBUSY, "x"), -SL_EBUSY);
    SL_CHECK_EQ_INT(sl_err_errno(NULL, ENOSPC, "x"), -SL_ENOSPACE);
    SL_CHECK_EQ_INT(sl_err_wrap(NULL, "x"), -SL_EINTERNAL);
}

SL_TEST(core_base_err, set__too_long__is_cut_with_dots_at_a_character)
{
    struct sl_err err = SL_ERR_INIT;
    char text[1200];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "\xC3\xA9", 2);
    }
    text[sizeof(text) - 2] = '\0';
    sl_err_set(&err, SL_EINVAL, "%s", text);
    size_t len = strlen(err.msg);
    SL_CHECK(len < sizeof(err.msg));
    SL_CHECK(len > sizeof(err.msg) - 8);
    SL_CHECK_EQ_STR(err.msg + len - 3, "...");
    SL_CHECK_EQ_MEM(err.msg + len - 5, "\xC3\xA9", 2);
}

SL_TEST(core_base_err, set__exact_fit__is_not_cut)
{
    struct sl_err err = SL_ERR_INIT;
    char text[sizeof(err.msg)];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sl_err_set(&err, SL_EINVAL, "%s", text);
    SL_CHECK_EQ_STR(err.msg, text);
}

SL_TEST(core_base_err, set__newlines__become_one_line)
{
    struct sl_err err = SL_ERR_INIT;
    sl_err_set(&err, SL_EINVAL, "a\nb\r\n");
    SL_CHECK_EQ_STR(err.msg, "a b");
}

SL_TEST(core_base_err, set__message_made_of_itself__is_safe)
{
    struct sl_err err = SL_ERR_INIT;
    sl_err_set(&err, SL_EINVAL, "inner");
    sl_err_set(&err, SL_EIO, "outer (%s)", err.msg);
    SL_CHECK_EQ_STR(err.msg, "outer (inner)");
}

SL_TEST(core_base_err, wrap__prefixes_and_keeps_code_and_place)
{
    struct sl_err err = SL_ERR_INIT;
    sl_err_set(&err, SL_ENOTFOUND, "no such file");
    int line = err.line;
    SL_CHECK_EQ_INT(sl_err_wrap(&err, "step '%s'", "train"), -SL_ENOTFOUND);
    SL_CHECK_EQ_STR(err.msg, "step 'train': no such file");
    SL_CHECK_EQ_INT(err.line, line);
}

SL_TEST(core_base_err, errno__maps_codes_and_adds_reason)
{
    static const struct {
        int errno_value, code;
    } cases[] = {{ENOSPC, SL_ENOSPACE}, {EDQUOT, SL_ENOSPACE},  {ENOENT, SL_ENOTFOUND},
                 {EEXIST, SL_EEXISTS},  {ENOMEM, SL_ENOMEMORY}, {EACCES, SL_EIO}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        SL_CHECK_EQ_INT(sl_err_errno(&err, cases[i].errno_value, "x"), -cases[i].code);
        SL_CHECK_EQ_INT(err.code, cases[i].code);
    }
    struct sl_err err = SL_ERR_INIT;
    sl_err_errno(&err, ENOENT, "cannot open '%s'", "f");
    SL_CHECK_EQ_STR(err.msg, "cannot open 'f': No such file or directory");
}

SL_TEST(core_base_err, table__codes_have_the_designed_exit_status)
{
    SL_CHECK_EQ_INT(sl_err_exit(0), 0);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EFAILED), 1);
    SL_CHECK_EQ_INT(sl_err_exit(SL_EINVAL), 2);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EREFUSED), 3);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EWAITING), 4);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EAUTH), 5);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EUNREACHABLE), 6);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_ECANCELLED), 7);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_ETIMEOUT), 124);
    SL_CHECK_EQ_INT(sl_err_http(-SL_ENOTFOUND), 404);
    SL_CHECK_EQ_STR(sl_err_name(-SL_ELIMIT), "SL_ELIMIT");
    SL_CHECK_EQ_STR(sl_err_text(-SL_ELIMIT), "over a limit");
    SL_CHECK_EQ_STR(sl_err_name(-9999), "SL_EINTERNAL");
}

SL_TEST(core_base_err, table__numbers_are_unique_and_sorted)
{
    static const int numbers[] = {
#define SL_ERROR(name, number, text, http, exit) (number),
#include "core/base/errors.def"
#undef SL_ERROR
    };
    for (size_t i = 1; i < SL_LEN(numbers); i++) {
        SL_CHECK(numbers[i] > numbers[i - 1]);
    }
}

/** The log sink and the trace ring of a failed assertion. */
#include "core/base/base.h"

#include "core/base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/sl_test.h"

/** What a child prints on standard error; `ret_status` as from waitpid. Caller frees. */
static char *stderr_of(void (*body)(void), int *ret_status)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "log");
    sl_test_write_text(path, "");
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen(path, "ae", stderr) == NULL) {
            _exit(99);
        }
        body();
        _exit(0);
    }
    SL_CHECK_EQ_INT(waitpid(pid, ret_status, 0), pid);
    char *text = sl_test_read(path, NULL);
    free(path);
    sl_test_rmdir(dir);
    return text;
}

static void log_some(void)
{
    sl_info("hidden");
    sl_warn("shown %d\nsecond\x1b[31m", 1);
    sl_log_set_level(SL_LOG_DEBUG);
    sl_debug("now shown");
    sl_log_set_level(SL_LOG_ERROR);
    sl_warn("hidden again");
}

SL_TEST(core_base_log, levels__filter_and_one_event_is_one_line)
{
    int status = 0;
    char *text = stderr_of(log_some, &status);
    SL_CHECK_EQ_STR(text, "sluice: warning: shown 1 second [31m\nsluice: debug: now shown\n");
    free(text);
}

static void log_long(void)
{
    char text[5000];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sl_error("%s", text);
}

SL_TEST(core_base_log, line__longer_than_the_limit__is_cut_with_its_newline)
{
    int status = 0;
    char *text = stderr_of(log_long, &status);
    SL_CHECK(strlen(text) <= 2048);
    SL_CHECK(text[strlen(text) - 1] == '\n');
    free(text);
}

static void fail_after_traces(void)
{
    for (int i = 0; i < 300; i++) {
        sl_trace("event %d", i);
    }
    SL_ASSERT(1 == 2);
}

SL_TEST(core_base_log, assertion__prints_condition_and_last_traces_and_aborts)
{
    int status = 0;
    char *text = stderr_of(fail_after_traces, &status);
    SL_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    SL_CHECK_CONTAINS(text, "assertion failed: 1 == 2\n");
    SL_CHECK(strstr(text, "trace: event 43\n") == NULL); /* 256 lines are kept */
    const char *first = strstr(text, "trace: event 44\n");
    const char *last = strstr(text, "trace: event 299\n");
    SL_CHECK(first != NULL && last != NULL && first < last);
    free(text);
}

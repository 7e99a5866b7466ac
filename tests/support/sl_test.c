/**
 * Test runner glue: Criterion's main with a count, the in-process runner, leak check, comparisons.
 *
 * Thread: checks from any; runners from main. Must not: depend on the code under test.
 */
#include "core/base/base.h"

#include "tests/support/sl_test.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define SL_HAS_LSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SL_HAS_LSAN 1
#endif
#endif
#ifndef SL_HAS_LSAN
#define SL_HAS_LSAN 0
#endif

#if SL_HAS_LSAN
int __lsan_do_recoverable_leak_check(void);
#endif

static pthread_t test_thread;
static char test_note[1024]; /* shown with the next failure */

#ifdef SL_TEST_PLAIN
static jmp_buf plain_escape;
#endif

void sl_test_run(sl_test_fn body)
{
    test_thread = pthread_self();
    test_note[0] = '\0';
    body();
#if SL_HAS_LSAN
    if (__lsan_do_recoverable_leak_check() != 0) {
        sl_test_fail(__FILE__, __LINE__, "the test leaks memory (report above)");
    }
#endif
}

void sl_test_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(test_note, sizeof(test_note), fmt, args);
    va_end(args);
}

void sl_test_fail(const char *file, int line, const char *fmt, ...)
{
    char message[8192];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    (void)fprintf(stderr, "%s:%d: check failed: %s%s%s\n", file, line, message,
                  test_note[0] != '\0' ? "\n  " : "", test_note);
    (void)fflush(stderr);
    if (!pthread_equal(test_thread, pthread_self())) {
        abort();
    }
#ifdef SL_TEST_PLAIN
    longjmp(plain_escape, 1);
#else
    cr_assert_fail("%s:%d", file, line);
    abort();
#endif
}

void sl_test_eq_int(const char *file, int line, const char *what, int64_t actual, int64_t expected)
{
    if (actual != expected) {
        sl_test_fail(file, line, "%s is %" PRId64 ", expected %" PRId64, what, actual, expected);
    }
}

void sl_test_eq_uint(const char *file, int line, const char *what, uint64_t actual,
                     uint64_t expected)
{
    if (actual != expected) {
        sl_test_fail(file, line, "%s is %" PRIu64 ", expected %" PRIu64, what, actual, expected);
    }
}

void sl_test_eq_str(const char *file, int line, const char *what, const char *actual,
                    const char *expected)
{
    if (actual == NULL || expected == NULL) {
        if (actual != expected) {
            sl_test_fail(file, line, "%s is \"%s\", expected \"%s\"", what,
                         actual != NULL ? actual : "(NULL)",
                         expected != NULL ? expected : "(NULL)");
        }
        return;
    }
    if (strcmp(actual, expected) != 0) {
        sl_test_fail(file, line, "%s differs\n  is:       \"%s\"\n  expected: \"%s\"", what, actual,
                     expected);
    }
}

void sl_test_eq_mem(const char *file, int line, const char *what, const void *actual,
                    const void *expected, size_t len)
{
    const unsigned char *a = actual, *b = expected;
    for (size_t i = 0; i < len; i++) {
        if (a[i] != b[i]) {
            sl_test_fail(file, line, "%s differs at byte %zu: is 0x%02x, expected 0x%02x", what, i,
                         (unsigned)a[i], (unsigned)b[i]);
        }
    }
}

void sl_test_near(const char *file, int line, const char *what, double actual, double expected,
                  double tolerance)
{
    bool same = (isnan(actual) && isnan(expected)) ||
                (isinf(expected) && isinf(actual) && signbit(actual) == signbit(expected)) ||
                fabs(actual - expected) <= tolerance;
    if (!same) {
        sl_test_fail(file, line, "%s is %.17g, expected %.17g within %g", what, actual, expected,
                     tolerance);
    }
}

void sl_test_contains(const char *file, int line, const char *what, const char *text,
                      const char *needle)
{
    if (text == NULL || strstr(text, needle) == NULL) {
        sl_test_fail(file, line, "%s has no \"%s\" in: %s", what, needle,
                     text != NULL ? text : "(NULL)");
    }
}

#ifdef SL_TEST_PLAIN

static struct sl_test_case *plain_first, **plain_end = &plain_first;

void sl_test_register(struct sl_test_case *test)
{
    *plain_end = test;
    plain_end = &test->next;
}

static bool plain_run_one(const struct sl_test_case *test)
{
    if (setjmp(plain_escape) != 0) {
        return false;
    }
    sl_test_run(test->body);
    return true;
}

/** Arguments: substrings of "suite/name" to select; none selects all. */
int main(int argc, char **argv)
{
    int n_run = 0, n_failed = 0;
    for (const struct sl_test_case *t = plain_first; t != NULL; t = t->next) {
        char name[512];
        (void)snprintf(name, sizeof(name), "%s/%s", t->suite, t->name);
        bool selected = argc < 2;
        for (int i = 1; i < argc; i++) {
            selected = selected || strstr(name, argv[i]) != NULL;
        }
        if (!selected) {
            continue;
        }
        n_run++;
        if (!plain_run_one(t)) {
            n_failed++;
            (void)fprintf(stderr, "[FAIL] %s\n", name);
        }
    }
    (void)fprintf(stderr,
                  "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: 0\n", n_run,
                  n_run - n_failed, n_failed);
    if (n_run == 0) {
        (void)fputs("no test ran\n", stderr);
        return 1;
    }
    return n_failed == 0 ? 0 : 1;
}

#else

#include <criterion/hooks.h>

static size_t n_tested;

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    n_tested = stats->nb_tests - stats->tests_skipped;
}

int main(int argc, char **argv)
{
    struct criterion_test_set *tests = criterion_initialize();
    int status = 0;
    if (criterion_handle_args(argc, argv, true)) {
        status = criterion_run_all_tests(tests) ? 0 : 1;
        if (n_tested == 0) {
            (void)fputs("no test ran\n", stderr);
            status = 1;
        }
    }
    criterion_finalize(tests);
    return status;
}

#endif

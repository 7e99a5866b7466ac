/**
 * The one way to write unit tests: SL_TEST bodies run under Criterion (a process per test), or with
 * SL_TEST_PLAIN in a small runner of our own (one process, for ThreadSanitizer and fuzz builds).
 *
 * Every test ends with a leak check where LeakSanitizer is present: a leak fails the test.
 * A binary that ran no test fails.
 *
 *     SL_TEST(core_base_str, buf_add__past_maximum__sets_overflow)
 *     {
 *         SL_CHECK_EQ_INT(buf.len, 3);
 *     }
 *
 * Checks may be used from any thread. A failed check in the test's own thread ends the test; in
 * another thread it aborts the process.
 */
#ifndef SL_TEST_H
#define SL_TEST_H

#include <inttypes.h>
#include <string.h>

#include "core/base/base.h"

typedef void (*sl_test_fn)(void);

/** Runs a body with the leak check after it. Called by SL_TEST only. */
void sl_test_run(sl_test_fn body);

#ifdef SL_TEST_PLAIN

/** One test of the in-process runner; linked by constructors, in order of definition. */
struct sl_test_case {
    const char *suite, *name;
    sl_test_fn body;
    struct sl_test_case *next;
};
void sl_test_register(struct sl_test_case *test);

#define SL_TEST(suite_, name_, ...)                                                                \
    static void sl_body_##suite_##_##name_(void);                                                  \
    static struct sl_test_case sl_case_##suite_##_##name_ = {                                      \
        .suite = #suite_, .name = #name_, .body = sl_body_##suite_##_##name_};                     \
    __attribute__((constructor)) static void sl_register_##suite_##_##name_(void)                  \
    {                                                                                              \
        sl_test_register(&sl_case_##suite_##_##name_);                                             \
    }                                                                                              \
    static void sl_body_##suite_##_##name_(void)

#else

#include <criterion/criterion.h>

/** Further arguments are Criterion's (.timeout = 10, .disabled is forbidden). */
#define SL_TEST(suite_, name_, ...)                                                                \
    static void sl_body_##suite_##_##name_(void);                                                  \
    Test(suite_, name_, ##__VA_ARGS__)                                                             \
    {                                                                                              \
        sl_test_run(sl_body_##suite_##_##name_);                                                   \
    }                                                                                              \
    static void sl_body_##suite_##_##name_(void)

#endif

/** Reports a failure at the given place and ends the test. */
SL_NORETURN void sl_test_fail(const char *file, int line, const char *fmt, ...) SL_PRINTF(3, 4);

#define SL_FAIL(...) sl_test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define SL_CHECK(condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sl_test_fail(__FILE__, __LINE__, "not true: %s", #condition);                          \
        }                                                                                          \
    } while (0)

/** As SL_CHECK, with a printf message that says which of many cases failed. */
#define SL_CHECK_MSG(condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sl_test_note(__VA_ARGS__);                                                             \
            sl_test_fail(__FILE__, __LINE__, "not true: %s", #condition);                          \
        }                                                                                          \
    } while (0)

#define SL_CHECK_EQ_INT(actual, expected)                                                          \
    sl_test_eq_int(__FILE__, __LINE__, #actual, (int64_t)(actual), (int64_t)(expected))
#define SL_CHECK_EQ_UINT(actual, expected)                                                         \
    sl_test_eq_uint(__FILE__, __LINE__, #actual, (uint64_t)(actual), (uint64_t)(expected))
/** NULL equals NULL only. */
#define SL_CHECK_EQ_STR(actual, expected)                                                          \
    sl_test_eq_str(__FILE__, __LINE__, #actual, (actual), (expected))
#define SL_CHECK_EQ_MEM(actual, expected, len)                                                     \
    sl_test_eq_mem(__FILE__, __LINE__, #actual, (actual), (expected), (len))
/** |actual - expected| <= tolerance; NaN equals NaN, an infinity itself. */
#define SL_CHECK_NEAR(actual, expected, tolerance)                                                 \
    sl_test_near(__FILE__, __LINE__, #actual, (actual), (expected), (tolerance))
#define SL_CHECK_NULL(pointer)     SL_CHECK((pointer) == NULL)
#define SL_CHECK_NOT_NULL(pointer) SL_CHECK((pointer) != NULL)
/** `needle` occurs in `text`. */
#define SL_CHECK_CONTAINS(text, needle)                                                            \
    sl_test_contains(__FILE__, __LINE__, #text, (text), (needle))

/** A call that returns 0 or more is right; else prints `err`'s message (a struct sl_err, not NULL). */
#define SL_CHECK_OK(call, err)                                                                     \
    do {                                                                                           \
        long long sl_rc_ = (long long)(call);                                                      \
        if (sl_rc_ < 0) {                                                                          \
            sl_test_fail(__FILE__, __LINE__, "%s returned %lld: %s", #call, sl_rc_, (err).msg);    \
        }                                                                                          \
    } while (0)
/** A call that must return exactly -code, with `needle` in the message ("" for any). */
#define SL_CHECK_ERR(call, errcode, err, needle)                                                   \
    do {                                                                                           \
        long long sl_rc_ = (long long)(call);                                                      \
        if (sl_rc_ != -(long long)(errcode) || strstr((err).msg, (needle)) == NULL) {              \
            sl_test_fail(__FILE__, __LINE__, "%s returned %lld \"%s\", expected -%d \"%s\"",       \
                         #call, sl_rc_, (err).msg, (int)(errcode), (needle));                      \
        }                                                                                          \
    } while (0)

void sl_test_note(const char *fmt, ...) SL_PRINTF(1, 2);
void sl_test_eq_int(const char *file, int line, const char *what, int64_t actual, int64_t expected);
void sl_test_eq_uint(const char *file, int line, const char *what, uint64_t actual,
                     uint64_t expected);
void sl_test_eq_str(const char *file, int line, const char *what, const char *actual,
                    const char *expected);
void sl_test_eq_mem(const char *file, int line, const char *what, const void *actual,
                    const void *expected, size_t len);
void sl_test_near(const char *file, int line, const char *what, double actual, double expected,
                  double tolerance);
void sl_test_contains(const char *file, int line, const char *what, const char *text,
                      const char *needle);

/** Makes an empty directory below $TMPDIR or /tmp. Caller: sl_test_rmdir. */
char *sl_test_tmpdir(void);
/** Removes the tree (directories made writable first) and frees the name. */
void sl_test_rmdir(char *dir);
/** "dir/name" on the heap. */
char *sl_test_path(const char *dir, const char *name);
/** Writes a file, making its parent directories; ends the test on failure. */
void sl_test_write(const char *path, const void *data, size_t len);
void sl_test_write_text(const char *path, const char *text);
/** Whole file with a NUL behind it; `ret_len` may be NULL. Caller frees. Ends the test on failure. */
char *sl_test_read(const char *path, size_t *ret_len);
bool sl_test_exists(const char *path);
/** The same for a path below the source tree ("tests/golden/x.txt"). Caller frees. */
char *sl_test_source_path(const char *relative);

/** Compares text with a golden file named from the source root; UPDATE_GOLDEN=1 rewrites it. */
#define SL_CHECK_GOLDEN(relative, text) sl_test_golden(__FILE__, __LINE__, (relative), (text))
void sl_test_golden(const char *file, int line, const char *relative, const char *text);

#endif

/**
 * Literal SQL and typed arguments: what lets sl_db_exec and sl_db_query take plain C values safely.
 *
 * Part of the door (db.h includes it). Thread: any. Must not: hold anything but conversions.
 */
#ifndef SL_DB_BIND_H
#define SL_DB_BIND_H

#include "core/base/base.h"

/** SQL text that can only be a literal. */
struct sl_sql {
    const char *text;
    int len;
};
#define SL_SQL(literal) ((struct sl_sql){"" literal "", (int)sizeof("" literal "") - 1})

/** One converted argument; made by the macros below. */
enum sl_bind_kind { SL_BIND_I64, SL_BIND_DOUBLE, SL_BIND_TEXT, SL_BIND_PTR };
struct sl_bind {
    enum sl_bind_kind kind;
    union {
        int64_t i;
        double d;
        const void *p;
    } v;
};

static inline struct sl_bind sl_bind_i64(int64_t value)
{
    return (struct sl_bind){.kind = SL_BIND_I64, .v.i = value};
}
static inline struct sl_bind sl_bind_u64(uint64_t value)
{
    SL_ASSERT(value <= INT64_MAX);
    return (struct sl_bind){.kind = SL_BIND_I64, .v.i = (int64_t)value};
}
static inline struct sl_bind sl_bind_double(double value)
{
    return (struct sl_bind){.kind = SL_BIND_DOUBLE, .v.d = value};
}
static inline struct sl_bind sl_bind_text(const char *text)
{
    return (struct sl_bind){.kind = SL_BIND_TEXT, .v.p = text};
}
static inline struct sl_bind sl_bind_ptr(const void *bytes)
{
    return (struct sl_bind){.kind = SL_BIND_PTR, .v.p = bytes};
}

#define SL_BIND(x)                                                                                 \
    _Generic((x),                                                                                  \
        char *: sl_bind_text,                                                                      \
        const char *: sl_bind_text,                                                                \
        double: sl_bind_double,                                                                    \
        float: sl_bind_double,                                                                     \
        unsigned long: sl_bind_u64,                                                                \
        unsigned long long: sl_bind_u64,                                                           \
        void *: sl_bind_ptr,                                                                       \
        const void *: sl_bind_ptr,                                                                 \
        unsigned char *: sl_bind_ptr,                                                              \
        const unsigned char *: sl_bind_ptr,                                                        \
        default: sl_bind_i64)(x)

/* Applies SL_BIND to each of 1 to 26 arguments. */
#define SL_BIND_N_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17,     \
                   a18, a19, a20, a21, a22, a23, a24, a25, a26, N, ...)                            \
    N
#define SL_BIND_COUNT_(...)                                                                        \
    SL_BIND_N_(__VA_ARGS__, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, \
               8, 7, 6, 5, 4, 3, 2, 1, 0)
#define SL_BIND_E1(a)       SL_BIND(a)
#define SL_BIND_E2(a, ...)  SL_BIND(a), SL_BIND_E1(__VA_ARGS__)
#define SL_BIND_E3(a, ...)  SL_BIND(a), SL_BIND_E2(__VA_ARGS__)
#define SL_BIND_E4(a, ...)  SL_BIND(a), SL_BIND_E3(__VA_ARGS__)
#define SL_BIND_E5(a, ...)  SL_BIND(a), SL_BIND_E4(__VA_ARGS__)
#define SL_BIND_E6(a, ...)  SL_BIND(a), SL_BIND_E5(__VA_ARGS__)
#define SL_BIND_E7(a, ...)  SL_BIND(a), SL_BIND_E6(__VA_ARGS__)
#define SL_BIND_E8(a, ...)  SL_BIND(a), SL_BIND_E7(__VA_ARGS__)
#define SL_BIND_E9(a, ...)  SL_BIND(a), SL_BIND_E8(__VA_ARGS__)
#define SL_BIND_E10(a, ...) SL_BIND(a), SL_BIND_E9(__VA_ARGS__)
#define SL_BIND_E11(a, ...) SL_BIND(a), SL_BIND_E10(__VA_ARGS__)
#define SL_BIND_E12(a, ...) SL_BIND(a), SL_BIND_E11(__VA_ARGS__)
#define SL_BIND_E13(a, ...) SL_BIND(a), SL_BIND_E12(__VA_ARGS__)
#define SL_BIND_E14(a, ...) SL_BIND(a), SL_BIND_E13(__VA_ARGS__)
#define SL_BIND_E15(a, ...) SL_BIND(a), SL_BIND_E14(__VA_ARGS__)
#define SL_BIND_E16(a, ...) SL_BIND(a), SL_BIND_E15(__VA_ARGS__)
#define SL_BIND_E17(a, ...) SL_BIND(a), SL_BIND_E16(__VA_ARGS__)
#define SL_BIND_E18(a, ...) SL_BIND(a), SL_BIND_E17(__VA_ARGS__)
#define SL_BIND_E19(a, ...) SL_BIND(a), SL_BIND_E18(__VA_ARGS__)
#define SL_BIND_E20(a, ...) SL_BIND(a), SL_BIND_E19(__VA_ARGS__)
#define SL_BIND_E21(a, ...) SL_BIND(a), SL_BIND_E20(__VA_ARGS__)
#define SL_BIND_E22(a, ...) SL_BIND(a), SL_BIND_E21(__VA_ARGS__)
#define SL_BIND_E23(a, ...) SL_BIND(a), SL_BIND_E22(__VA_ARGS__)
#define SL_BIND_E24(a, ...) SL_BIND(a), SL_BIND_E23(__VA_ARGS__)
#define SL_BIND_E25(a, ...) SL_BIND(a), SL_BIND_E24(__VA_ARGS__)
#define SL_BIND_E26(a, ...) SL_BIND(a), SL_BIND_E25(__VA_ARGS__)
#define SL_BIND_CAT_(n)     SL_BIND_E##n
#define SL_BIND_PICK_(n)    SL_BIND_CAT_(n)
#define SL_BIND_LIST(...)   SL_BIND_PICK_(SL_BIND_COUNT_(__VA_ARGS__))(__VA_ARGS__)
#define SL_BINDS(...)                                                                              \
    ((const struct sl_bind[]){SL_BIND_LIST(__VA_ARGS__)}), SL_BIND_COUNT_(__VA_ARGS__)

#endif

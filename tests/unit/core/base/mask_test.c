/* Masking: forms made by Python 3.11 (json, urllib.parse, base64, bytes.hex); streams against a plain
 * reference that knows no buffers. */
#include "core/base/base.h"

#include "core/base/mask.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/support/sl_test.h"

static struct sl_mask *mask_of(const char *const *texts, size_t n)
{
    struct sl_mask_value values[SL_MASK_VALUES_MAX];
    for (size_t i = 0; i < n; i++) {
        values[i] = (struct sl_mask_value){texts[i], strlen(texts[i])};
    }
    return sl_mask_init(sl_malloc(sl_mask_size(values, n)), values, n);
}

static struct sl_mask *mask_one(const char *text)
{
    return mask_of(&text, 1);
}

/** Feeds `in` in pieces of `piece` bytes and ends the stream. Caller frees. */
static char *masked(const struct sl_mask *m, const char *in, size_t len, size_t piece)
{
    struct sl_mask_stream s = {0};
    char *all = sl_calloc(1, len + SL_MASK_ROOM);
    char *out = sl_malloc(piece + SL_MASK_ROOM);
    size_t at = 0;
    for (size_t i = 0; i < len; i += piece) {
        size_t n = sl_mask_feed(m, &s, in + i, SL_MIN(piece, len - i), out);
        memcpy(all + at, out, n);
        at += n;
        SL_CHECK(at <= i + piece);
    }
    at += sl_mask_end(m, &s, all + at);
    all[at] = '\0';
    free(out);
    return all;
}

#define CHECK_MASKED(m, in, expected)                                                              \
    do {                                                                                           \
        for (size_t piece_ = 1; piece_ <= strlen(in) + 1; piece_++) {                              \
            char *got_ = masked((m), (in), strlen(in), piece_);                                    \
            SL_CHECK_EQ_STR(got_, (expected));                                                     \
            free(got_);                                                                            \
        }                                                                                          \
    } while (0)

SL_TEST(core_base_mask, feed__value_in_a_line__replaced_however_it_is_cut)
{
    struct sl_mask *m = mask_one("hunter2-canary");
    CHECK_MASKED(m, "the key is hunter2-canary, yes\n", "the key is ***, yes\n");
    CHECK_MASKED(m, "hunter2-canary", "***");
    CHECK_MASKED(m, "hunter2-canaryhunter2-canary", "***"); /* adjoining ones are one */
    CHECK_MASKED(m, "hunter2-canar", "hunter2-canar");
    CHECK_MASKED(m, "hunter2-\ncanary", "hunter2-\ncanary");
    CHECK_MASKED(m, "hunterhunter2-canary2", "hunter***2");
    CHECK_MASKED(m, "", "");
    free(m);
}

SL_TEST(core_base_mask, feed__start_of_a_value__is_held_back_until_its_line_ends)
{
    struct sl_mask *m = mask_one("hunter2-canary");
    struct sl_mask_stream s = {0};
    char out[64 + SL_MASK_ROOM];
    SL_CHECK_EQ_UINT(sl_mask_feed(m, &s, "a hunter2", 9, out), 2);
    SL_CHECK_EQ_UINT(sl_mask_feed(m, &s, "\n", 1, out), 8);
    SL_CHECK_EQ_MEM(out, "hunter2\n", 8);
    SL_CHECK_EQ_UINT(s.len, 0);
    free(m);
}

SL_TEST(core_base_mask, feed__forms_of_other_programs__replaced)
{
    struct sl_mask *m = mask_one("p@ss/w\"örd+\\ x9");
    CHECK_MASKED(m, "{\"k\": \"p@ss/w\\\"\\u00f6rd+\\\\ x9\"}", "{\"k\": \"***\"}");
    CHECK_MASKED(m, "\"p@ss/w\\\"örd+\\\\ x9\"", "\"***\"");
    CHECK_MASKED(m, "?k=p%40ss%2Fw%22%C3%B6rd%2B%5C%20x9&", "?k=***&");
    CHECK_MASKED(m, "?k=p%40ss/w%22%C3%B6rd%2B%5C%20x9&", "?k=***&");
    CHECK_MASKED(m, "?k=p%40ss%2Fw%22%C3%B6rd%2B%5C+x9&", "?k=***&");
    CHECK_MASKED(m, "?k=p%40ss%2fw%22%c3%b6rd%2b%5c%20x9&", "?k=***&");
    CHECK_MASKED(m, "0x704073732f7722c3b672642b5c207839", "0x***");
    CHECK_MASKED(m, "704073732F7722C3B672642B5C207839", "***");
    free(m);
}

SL_TEST(core_base_mask, feed__base64_at_every_alignment__replaced)
{
    struct sl_mask *m = mask_one("p@ss/w\"örd+\\ x9");
    CHECK_MASKED(m, "cEBzcy93IsO2cmQrXCB4OQ==", "***");
    CHECK_MASKED(m, "cEBzcy93IsO2cmQrXCB4OQ", "***");
    CHECK_MASKED(m, "cEBzcy93IsO2cmQrXCB4OXRhaWw=", "***XRhaWw=");
    CHECK_MASKED(m, "dXBAc3MvdyLDtnJkK1wgeDk=", "dX***");
    CHECK_MASKED(m, "dXBAc3MvdyLDtnJkK1wgeDl0YWls", "dX***l0YWls");
    CHECK_MASKED(m, "dTpwQHNzL3ciw7ZyZCtcIHg5", "dTp***");
    CHECK_MASKED(m, "dTpwQHNzL3ciw7ZyZCtcIHg5dGFpbA==", "dTp***dGFpbA==");
    free(m);
    m = mask_one("\xff\xfe\xfd\xfc\xfb\xfa"); /* both alphabets */
    CHECK_MASKED(m, "//79/Pv6 __79_Pv6", "*** ***");
    free(m);
}

SL_TEST(core_base_mask, feed__value_of_several_lines__each_line_replaced)
{
    struct sl_mask *m = mask_one("-----BEGIN\r\n    indented-secret\n}\n\nlast-line");
    CHECK_MASKED(m, "x -----BEGIN y\n  indented-secret\n}\n\n", "x *** y\n  ***\n}\n\n");
    CHECK_MASKED(m, "-----BEGIN\\nlast-line", "***\\n***");
    CHECK_MASKED(m, "    ", "    ");
    free(m);
}

SL_TEST(core_base_mask, feed__long_value__replaced_in_pieces_and_in_wrapped_base64)
{
    char value[601];
    for (size_t i = 0; i < 600; i++) {
        value[i] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"[i * i % 43];
    }
    value[600] = '\0';
    struct sl_mask *m = mask_one(value);
    char line[700];
    snprintf(line, sizeof(line), "<%s>", value);
    const size_t steps[] = {1, 7, 251, 252, 253, 700};
    for (size_t i = 0; i < SL_LEN(steps); i++) {
        char *got = masked(m, line, strlen(line), steps[i]);
        SL_CHECK_EQ_STR(got, "<***>");
        free(got);
    }
    /* python3: base64.encodebytes(b"0123456789" * 12), lines of 76; and folded at 64 */
    free(m);
    char digits[121];
    for (size_t i = 0; i < 120; i++) {
        digits[i] = (char)('0' + i % 10);
    }
    digits[120] = '\0';
    m = mask_one(digits);
    CHECK_MASKED(m,
                 "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2\n"
                 "Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n"
                 "NDU2Nzg5\n",
                 "***\n***\n***\n");
    CHECK_MASKED(m,
                 "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3\n"
                 "ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1\n"
                 "Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\n",
                 "***\n***\n***\n");
    free(m);
}

SL_TEST(core_base_mask, feed__values_that_overlap__nothing_of_either_is_left)
{
    const char *const texts[] = {"abcdef", "defghi", "ghij", "abcd"};
    struct sl_mask *m = mask_of(texts, 4);
    CHECK_MASKED(m, "-abcdefghij-", "-***-");
    CHECK_MASKED(m, "-abcdex-", "-***ex-");
    CHECK_MASKED(m, "-abcdefghi", "-***");
    CHECK_MASKED(m, "abcdef defghi", "*** ***");
    free(m);
}

SL_TEST(core_base_mask, feed__four_bytes__masked_and_three_are_not)
{
    const char *const texts[] = {"abc", "wxyz"};
    struct sl_mask *m = mask_of(texts, 2);
    CHECK_MASKED(m, "abc wxyz", "abc ***");
    free(m);
    m = mask_of(texts, 1);
    CHECK_MASKED(m, "abc", "abc");
    SL_CHECK_EQ_INT(sl_mask_find(m, "abcabc", 6), -1);
    free(m);
    m = mask_of(NULL, 0);
    CHECK_MASKED(m, "anything", "anything");
    free(m);
}

SL_TEST(core_base_mask, find__tells_where_and_that_it_is_not)
{
    struct sl_mask *m = mask_one("hunter2-canary");
    SL_CHECK_EQ_INT(sl_mask_find(m, "xxhunter2-canary", 16), 2);
    SL_CHECK_EQ_INT(sl_mask_find(m, "xxhunter2-canary", 15), -1);
    SL_CHECK_EQ_INT(sl_mask_find(m, "aHVudGVyMi1jYW5hcnk=", 20), 0);
    SL_CHECK_EQ_INT(sl_mask_find(m, "", 0), -1);
    free(m);
}

/* ---- against a reference -------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/** Marks what any plain text covers, then replaces the runs. */
static void reference(const char *const *texts, size_t n, const char *in, size_t len, char *out)
{
    bool *hit = sl_calloc(len + 1, sizeof(*hit));
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t text_len = strlen(texts[i]);
        for (size_t k = 0; k + text_len <= len; k++) {
            if (memcmp(in + k, texts[i], text_len) == 0) {
                memset(hit + k, 1, text_len);
            }
        }
    }
    for (size_t k = 0; k < len; k++) {
        if (!hit[k]) {
            out[at++] = in[k];
        } else if (k == 0 || !hit[k - 1]) {
            memcpy(out + at, "***", 3);
            at += 3;
        }
    }
    out[at] = '\0';
    free(hit);
}

SL_TEST(core_base_mask, feed__random_streams_and_cuts__as_the_reference)
{
    /* Unreserved letters in texts without base64 forms of each other: only the plain form occurs. */
    const char *const texts[] = {"aabab", "babba", "aaaaa", "bbabababab", "abbb"};
    struct sl_mask *m = mask_of(texts, SL_LEN(texts));
    uint64_t seed = 20261121;
    for (int round = 0; round < 20000; round++) {
        char in[80];
        char expected[100];
        size_t len = next_random(&seed) % sizeof(in);
        for (size_t i = 0; i < len; i++) {
            in[i] = "ab-ab\nab"[next_random(&seed) % 8];
        }
        reference(texts, SL_LEN(texts), in, len, expected);
        char *got = masked(m, in, len, 1 + next_random(&seed) % 80);
        SL_CHECK_MSG(strcmp(got, expected) == 0, "round %d: %.*s", round, (int)len, in);
        free(got);
    }
    free(m);
}

SL_TEST(core_base_mask, init__as_many_values_as_allowed__all_are_found)
{
    char texts[SL_MASK_VALUES_MAX][24];
    const char *list[SL_MASK_VALUES_MAX];
    for (int i = 0; i < SL_MASK_VALUES_MAX; i++) {
        snprintf(texts[i], sizeof(texts[i]), "value-%02d-end", i);
        list[i] = texts[i];
    }
    struct sl_mask *m = mask_of(list, SL_MASK_VALUES_MAX);
    for (int i = 0; i < SL_MASK_VALUES_MAX; i++) {
        SL_CHECK_EQ_INT(sl_mask_find(m, texts[i], strlen(texts[i])), 0);
    }
    free(m);
}

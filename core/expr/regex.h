/**
 * Regular expressions that match in linear time: alternation, groups, classes, repetition, anchors,
 * \d \w \s. No back-references, so that no pattern can make a match slow.
 *
 * Pure; any thread. A compiled pattern lives in the caller's arena and is immutable.
 * Source: RE2's syntax (the part above); the simulation is Thompson's (Communications of the ACM 11:6).
 */
#ifndef SL_REGEX_H
#define SL_REGEX_H

#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_REGEX_LEN_MAX     1024 /* bytes of pattern */
#define SL_REGEX_PROGRAM_MAX 4096 /* instructions after expanding {m,n} */
#define SL_REGEX_DEPTH_MAX   32   /* nested groups */
#define SL_REGEX_REPEAT_MAX  1000 /* m and n of {m,n} */

struct sl_regex;

/**
 * Compiles a pattern (UTF-8).
 *
 * @return NULL with *ret_at (offset in the pattern) and *ret_msg (static text) set when it is malformed
 *         or over a limit
 */
const struct sl_regex *sl_regex_compile(struct sl_arena *a, struct sl_str pattern, size_t *ret_at,
                                        const char **ret_msg);

/** True when some part of the text matches (anchor with ^ and $). Costs text length × program size. */
bool sl_regex_search(const struct sl_regex *re, struct sl_str text);
/** Instructions of the program: the cost of one byte of text. */
size_t sl_regex_program_size(const struct sl_regex *re);

#endif

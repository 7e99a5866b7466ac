/**
 * JSON lines: tokens of one object per line (RFC 8259, and NaN and Infinity as Python writes them).
 *
 * Stays inside the room.
 */
#ifndef SL_TABLE_JSONL_PRIV_H
#define SL_TABLE_JSONL_PRIV_H

#include "core/table/csv_priv.h"

#define JSONL_DEPTH_MAX 64

enum json_kind { JSON_NOTHING, JSON_TRUTH, JSON_WHOLE, JSON_REAL, JSON_TEXT, JSON_NESTED };

struct json_token {
    enum json_kind kind;
    const char *ptr; /* as written; of text what stands between the quotes */
    size_t len;
    bool escaped;
};

/** A reader of one line; the first fault stays in `fault`. */
struct json_line {
    const char *p, *end;
    const char *fault;
};

/** At the value: reads it wholly, nested ones too. False with a fault. */
bool json_value(struct json_line *l, struct json_token *ret);
/** Begins an object; then json_member until it returns false, by the end or by a fault. */
bool json_object(struct json_line *l);
bool json_member(struct json_line *l, bool first, struct json_token *ret_key,
                 struct json_token *ret_value);
/** What stands behind the object is only blanks. */
bool json_end(struct json_line *l);
/** Resolves escapes into `out` (token's len bytes suffice). Negative when they are no text: half a
 * surrogate pair, or NUL. */
int64_t json_unescape(const struct json_token *t, char *out);

#endif

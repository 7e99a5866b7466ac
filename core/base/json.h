/**
 * JSON: jansson with our limits, the canonical form, and a streaming writer.
 *
 * The only header through which other rooms see jansson. Use json_auto_t for ownership.
 */
#ifndef SL_JSON_H
#define SL_JSON_H

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/str.h"

#define SL_JSON_DEPTH_MAX 64
#define SL_JSON_BYTES_MAX (64u << 20)

/**
 * Parses one strict JSON text (duplicates rejected, depth and size capped).
 *
 * @param name  for messages: file name or "request body"
 * @return      new reference, or NULL with err set to SL_EINVAL "name:line:column: ..." or SL_ELIMIT
 */
json_t *sl_json_parse(const char *name, const char *text, size_t len, struct sl_err *err);

/** Canonical bytes: sorted keys, no blanks, shortest round-trip reals. Caller frees. Never NULL. */
char *sl_json_canonical(const json_t *value);
/** Indented by two, sorted keys kept in insertion order, trailing newline. Caller frees. */
char *sl_json_pretty(const json_t *value);

/** Field of an object: the value, or `fallback` when absent, null or of another type. Never fail. */
const char *sl_json_str(const json_t *object, const char *key, const char *fallback);
int64_t sl_json_i64(const json_t *object, const char *key, int64_t fallback);
double sl_json_num(const json_t *object, const char *key,
                   double fallback); /* also "NaN", "Infinity", "-Infinity" strings */
bool sl_json_bool(const json_t *object, const char *key, bool fallback);

/** Sets a string field, skipping NULL values. */
void sl_json_set_str(json_t *object, const char *key, const char *value);
void sl_json_set_i64(json_t *object, const char *key, int64_t value);
/** Finite as a number; NaN and infinities as the strings "NaN", "Infinity", "-Infinity". */
void sl_json_set_num(json_t *object, const char *key, double value);
void sl_json_set_bool(json_t *object, const char *key, bool value);

/** Appends a quoted, escaped JSON string. */
void sl_buf_json_str(struct sl_buf *b, const char *text, size_t len);
/** Appends the shortest decimal that reads back as the same double; NaN/inf as quoted strings. */
void sl_buf_json_num(struct sl_buf *b, double value);

#endif

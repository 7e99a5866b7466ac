/**
 * Time: readings, RFC 3339 text, durations ("90s", "5m", "1h30m", "2d") and sizes ("40GB", "8 KiB").
 *
 * Pure rooms never read a clock: they take a time as an argument or through struct sl_env.
 */
#ifndef SL_TIME_H
#define SL_TIME_H

#include "core/base/err.h"

int64_t sl_now_ms(void);  /* wall clock, ms since 1970 UTC */
int64_t sl_mono_ns(void); /* CLOCK_MONOTONIC */

#define SL_TIME_TEXT 32
/** "2026-11-20T10:00:00.123Z". Returns out. */
char *sl_time_format(int64_t unix_ms, char out[SL_TIME_TEXT]);
bool sl_time_parse(const char *text, int64_t *ret_unix_ms); /* RFC 3339 with Z or offset */

/** "850ms", "12.3s", "4m05s", "2h03m", "3d04h". Returns out. */
char *sl_duration_format(int64_t ms, char out[SL_TIME_TEXT]);
/** A number with unit ms|s|m|h|d|w, or several (1h30m). False when malformed, negative or > 10 years. */
bool sl_duration_parse(const char *text, int64_t *ret_ms);

/** "1.5 GiB" style. Returns out. */
char *sl_size_format(uint64_t bytes, char out[SL_TIME_TEXT]);
/** Integer or decimal with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB. */
bool sl_size_parse(const char *text, uint64_t *ret_bytes);

/** What a deterministic room may ask of the world; tests and the simulation supply their own. */
struct sl_env {
    int64_t (*now_ms)(void *data);  /* wall clock */
    int64_t (*mono_ms)(void *data); /* never goes back */
    void (*random)(void *data, void *out, size_t len);
    void *data;
};
extern const struct sl_env sl_env_real;

#define SL_ID_HEX 32
/** A new identity: 32 lowercase hex digits from env's random (NULL: the kernel's). Returns out. */
char *sl_id_new(const struct sl_env *env, char out[SL_ID_HEX + 1]);
/** As sl_id_new, with the first 12 digits the milliseconds since 1970 of env's clock (48 bits, as UUID version 7 of
 * RFC 9562 begins): for what is made often and kept in indexes, which then grow at one end. Returns out. */
char *sl_id_ordered(const struct sl_env *env, char out[SL_ID_HEX + 1]);
bool sl_id_valid(const char *text);

#endif

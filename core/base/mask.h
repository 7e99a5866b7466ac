/**
 * Finding secret values in a stream of bytes, and replacing them by "***".
 *
 * Looked for, per value: the value itself; its lines, when it has several; its forms in JSON strings,
 * URLs, base64 (plain and URL alphabet, at every alignment, also wrapped) and hex. Long values are
 * matched piece by piece, so that what is held back is bounded. Best effort by nature: a program that
 * reverses a value before printing it is not caught.
 *
 * Everything lives in one block of memory that the caller gives, since it holds plain text: locked
 * memory in the engine, the heap of a process without core dumps in the shim. Patterns never contain a
 * newline, so what a line holds back is decided at its end.
 *
 * Thread: any, one stream at a time. Plain C: compiled into the shim too, where core/base is not.
 * Must not: allocate, log, or include more than base.h.
 */
#ifndef SL_MASK_H
#define SL_MASK_H

#include "core/base/base.h"

#define SL_MASK_MIN        4     /* bytes of a value; shorter ones are not looked for */
#define SL_MASK_PIECE_MAX  252   /* bytes of one pattern; longer forms are cut into pieces */
#define SL_MASK_VALUES_MAX 64    /* values of one mask */
#define SL_MASK_TEXT       "***" /* never longer than what it replaces */

struct sl_mask_value {
    const void *bytes;
    size_t len;
};

struct sl_mask;

/** Bytes of memory, aligned for pointers, that sl_mask_init needs for these values. */
size_t sl_mask_size(const struct sl_mask_value *values, size_t n);

/**
 * Lays the patterns of the values out in `memory`.
 *
 * @param memory  sl_mask_size(values, n) bytes; the mask lives there, nothing else is held
 * @param n       at most SL_MASK_VALUES_MAX (asserted)
 * @return        the mask; the values may go
 */
struct sl_mask *sl_mask_init(void *memory, const struct sl_mask_value *values, size_t n);

/** What a stream holds back: the start of a pattern that its next bytes may complete. Zeroed at first. */
struct sl_mask_stream {
    size_t len;
    size_t covered; /* of these, belong to a match that has been replaced already */
    bool masked; /* the last bytes given out were SL_MASK_TEXT: an adjoining match adds nothing */
    char held[SL_MASK_PIECE_MAX];
};

#define SL_MASK_ROOM 256 /* bytes that `out` needs beyond those fed */

/**
 * Takes `len` bytes of a stream and gives out what is decided, masked. A newline decides all before it.
 *
 * @param out  len + SL_MASK_ROOM bytes, also used to work in; must not overlap `in`
 * @return     bytes given out: never more than were fed and held
 */
size_t sl_mask_feed(const struct sl_mask *m, struct sl_mask_stream *s, const char *in, size_t len,
                    char *out);
/** The stream ends: gives out what was held back. `out` has SL_MASK_ROOM bytes. */
size_t sl_mask_end(const struct sl_mask *m, struct sl_mask_stream *s, char *out);

/** Offset of the first pattern in `data`, or -1. Copies nothing. */
ptrdiff_t sl_mask_find(const struct sl_mask *m, const char *data, size_t len);

#endif

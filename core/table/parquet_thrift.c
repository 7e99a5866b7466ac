/**
 * Thrift's compact protocol, with every length checked against the bytes that are left.
 *
 * Thread: any. Must not: allocate, or recurse deeper than THRIFT_DEPTH_MAX.
 */
#include "core/base/base.h"

#include "core/table/parquet_thrift.h"

static uint8_t byte(struct thrift *t)
{
    if (t->failed || t->p >= t->end) {
        t->starved |= !t->failed;
        t->failed = true;
        return 0;
    }
    return *t->p++;
}

uint64_t thrift_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t b = byte(t);
        value |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            return value;
        }
    }
    t->failed = true;
    return 0;
}

bool thrift_field(struct thrift *t, struct thrift_field *f)
{
    uint8_t head = byte(t);
    if (t->failed || (head & 0x0f) == THRIFT_STOP) {
        return false;
    }
    int delta = head >> 4;
    f->type = (enum thrift_type)(head & 0x0f);
    int64_t id = delta != 0 ? f->id + delta : thrift_zigzag(thrift_varint(t));
    t->failed |= id < 0 || id > INT16_MAX || f->type > THRIFT_STRUCT;
    f->id = t->failed ? 0 : (int)id;
    return !t->failed;
}

int64_t thrift_int(struct thrift *t, const struct thrift_field *f)
{
    if (f->type == THRIFT_I8) {
        return (int8_t)byte(t);
    }
    if (f->type < THRIFT_I16 || f->type > THRIFT_I64) {
        t->failed = true;
        return 0;
    }
    int64_t value = thrift_zigzag(thrift_varint(t));
    return t->failed ? 0 : value;
}

int64_t thrift_size(struct thrift *t, const struct thrift_field *f, int64_t max)
{
    int64_t value = thrift_int(t, f);
    if (value < 0 || value > max) {
        t->failed = true;
        return 0;
    }
    return value;
}

bool thrift_bool(struct thrift *t, const struct thrift_field *f)
{
    t->failed |= f->type != THRIFT_TRUE && f->type != THRIFT_FALSE;
    return f->type == THRIFT_TRUE;
}

const uint8_t *thrift_binary(struct thrift *t, const struct thrift_field *f, size_t *ret_len)
{
    *ret_len = 0;
    t->failed |= f->type != THRIFT_BINARY;
    uint64_t len = thrift_varint(t);
    if (t->failed || len > (uint64_t)(t->end - t->p)) {
        t->starved |= !t->failed;
        t->failed = true;
        return NULL;
    }
    const uint8_t *at = t->p;
    t->p += len;
    *ret_len = (size_t)len;
    return at;
}

size_t thrift_list(struct thrift *t, const struct thrift_field *f, enum thrift_type element)
{
    t->failed |= f->type != THRIFT_LIST;
    uint8_t head = byte(t);
    uint64_t n = head >> 4;
    n = n == 15 ? thrift_varint(t) : n;
    t->failed |= n > 0 && (head & 0x0f) != element;
    if (!t->failed && n > (uint64_t)(t->end - t->p)) {
        t->failed = t->starved = true;
    }
    return t->failed ? 0 : (size_t)n;
}

bool thrift_struct(struct thrift *t, const struct thrift_field *f)
{
    t->failed |= f->type != THRIFT_STRUCT;
    return !t->failed;
}

static void advance(struct thrift *t, uint64_t n)
{
    if (t->failed || n > (uint64_t)(t->end - t->p)) {
        t->starved |= !t->failed;
        t->failed = true;
        return;
    }
    t->p += n;
}

static void skip(struct thrift *t, enum thrift_type type, int depth);

/** Elements of lists, sets and maps; booleans take a byte there. */
static void skip_elements(struct thrift *t, uint64_t n, enum thrift_type first,
                          enum thrift_type second, int depth)
{
    for (uint64_t i = 0; i < n && !t->failed; i++) {
        enum thrift_type types[] = {first, second};
        for (int k = 0; k < 2 && types[k] != THRIFT_STOP; k++) {
            if (types[k] == THRIFT_TRUE || types[k] == THRIFT_FALSE) {
                (void)byte(t);
            } else {
                skip(t, types[k], depth + 1);
            }
        }
    }
}

static void skip(struct thrift *t, enum thrift_type type, int depth)
{
    if (depth > THRIFT_DEPTH_MAX) {
        t->failed = true;
        return;
    }
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE: break;
    case THRIFT_I8: (void)byte(t); break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64: (void)thrift_varint(t); break;
    case THRIFT_DOUBLE: advance(t, 8); break;
    case THRIFT_BINARY: advance(t, thrift_varint(t)); break;
    case THRIFT_LIST:
    case THRIFT_SET: {
        uint8_t head = byte(t);
        uint64_t n = head >> 4;
        n = n == 15 ? thrift_varint(t) : n;
        t->failed |= n > 0 && ((head & 0x0f) == 0 || (head & 0x0f) > THRIFT_STRUCT);
        skip_elements(t, n, (enum thrift_type)(head & 0x0f), THRIFT_STOP, depth);
        break;
    }
    case THRIFT_MAP: {
        uint64_t n = thrift_varint(t);
        uint8_t types = n > 0 ? byte(t) : 0;
        t->failed |= n > 0 && ((types >> 4) == 0 || (types & 0x0f) == 0 ||
                               (types >> 4) > THRIFT_STRUCT || (types & 0x0f) > THRIFT_STRUCT);
        skip_elements(t, n, (enum thrift_type)(types >> 4), (enum thrift_type)(types & 0x0f),
                      depth);
        break;
    }
    case THRIFT_STRUCT: {
        struct thrift_field f = {0};
        while (thrift_field(t, &f)) {
            skip(t, f.type, depth + 1);
        }
        break;
    }
    case THRIFT_STOP: t->failed = true; break;
    }
}

void thrift_skip(struct thrift *t, enum thrift_type type)
{
    skip(t, type, 0);
}

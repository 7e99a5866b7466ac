/**
 * Reader of one $SLUICE_METRICS line, and of chunks of lines.
 *
 * Written by hand because Python prints NaN and Infinity as bare tokens, which strict JSON refuses, and
 * because a line becomes points without a tree in between. A line is one flat object: nothing nests, so
 * nothing recurses.
 *
 * Pure. Thread: any.
 */
#include "core/base/base.h"

#include "core/track/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/base/time.h"

#define NUMBER_MAX     128            /* characters of one number */
#define MS_FROM        1e11           /* a time stamp from here on is in milliseconds */
#define TS_SECONDS_MAX 253402300799.0 /* 9999-12-31T23:59:59Z */

enum value_kind { VALUE_NUMBER, VALUE_TEXT, VALUE_OTHER };

struct value {
    enum value_kind kind;
    double number;
    bool is_integer;  /* written without fraction and exponent */
    const char *text; /* VALUE_TEXT */
    const char *what; /* VALUE_OTHER: "true", "null", "an object", ... */
    size_t at;        /* offset, for messages */
};

struct field {
    const char *key;
    struct value value;
};

struct parser {
    const char *text;
    size_t len, at;
    int64_t line_no;
    struct sl_arena *arena;
    struct sl_err *err;
    struct field *fields;
    size_t n_fields, cap_fields;
};

static int fail(struct parser *p, size_t at, const char *message)
{
    return sl_err_set(p->err, SL_EINVAL, "line %lld, column %zu: %s", (long long)p->line_no, at + 1,
                      message);
}

static int fail_field(struct parser *p, const struct field *f, const char *message)
{
    return sl_err_set(p->err, SL_EINVAL, "line %lld, column %zu: '%.64s' %s", (long long)p->line_no,
                      f->value.at + 1, f->key, message);
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->len && strchr(" \t\r\n", p->text[p->at]) != NULL && p->text[p->at] != '\0') {
        p->at++;
    }
}

static bool take(struct parser *p, char c)
{
    if (p->at < p->len && p->text[p->at] == c) {
        p->at++;
        return true;
    }
    return false;
}

static bool take_word(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->len - p->at >= n && memcmp(p->text + p->at, word, n) == 0) {
        p->at += n;
        return true;
    }
    return false;
}

static int hex4(struct parser *p, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = p->at < p->len ? p->text[p->at] : '\0';
        uint32_t digit = 0;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a') + 10;
        } else {
            return fail(p, p->at, "expected four hexadecimal digits after \\u");
        }
        value = value * 16 + digit;
    }
    *ret = value;
    return 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* After "\u": a code point, of a surrogate pair where needed. */
static int unicode_escape(struct parser *p, char *out, size_t *n)
{
    size_t at = p->at;
    uint32_t c = 0, low = 0;
    int rc = hex4(p, &c);
    if (rc == 0 && c >= 0xd800 && c < 0xdc00) {
        if (!take_word(p, "\\u")) {
            return fail(p, at, "half a surrogate pair");
        }
        rc = hex4(p, &low);
        if (rc == 0 && (low < 0xdc00 || low > 0xdfff)) {
            return fail(p, at, "half a surrogate pair");
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (rc == 0 && c >= 0xdc00 && c < 0xe000) {
        return fail(p, at, "half a surrogate pair");
    }
    if (rc == 0 && c == 0) {
        return fail(p, at, "a NUL character");
    }
    if (rc == 0) {
        *n += put_utf8(out + *n, c);
    }
    return rc;
}

static int escape(struct parser *p, char *out, size_t *n)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->len ? p->text[p->at] : '\0';
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    if (found != NULL) {
        p->at++;
        out[(*n)++] = values[found - names];
        return 0;
    }
    if (!take(p, 'u')) {
        return fail(p, p->at, "an unknown escape in a text");
    }
    return unicode_escape(p, out, n);
}

/* A text between quotes, unescaped into the arena. The line was checked to be UTF-8. */
static int parse_text(struct parser *p, const char **ret)
{
    size_t start = p->at;
    SL_ASSERT(take(p, '"'));
    size_t end = p->at;
    while (end < p->len && p->text[end] != '"') {
        end += p->text[end] == '\\' ? 2 : 1;
    }
    if (end >= p->len) {
        return fail(p, start, "a text without its closing quote");
    }
    char *out = sl_arena_alloc(p->arena, end - p->at + 1); /* an escape never grows */
    size_t n = 0;
    while (p->text[p->at] != '"') {
        char c = p->text[p->at];
        if ((unsigned char)c < 0x20) {
            return fail(p, p->at, "a control character in a text");
        }
        p->at++;
        if (c != '\\') {
            out[n++] = c;
            continue;
        }
        int rc = escape(p, out, &n);
        if (rc < 0) {
            return rc;
        }
    }
    p->at++;
    out[n] = '\0';
    *ret = out;
    return 0;
}

static size_t digits(const struct parser *p, size_t at)
{
    size_t n = 0;
    while (at + n < p->len && p->text[at + n] >= '0' && p->text[at + n] <= '9') {
        n++;
    }
    return n;
}

/* Length of a JSON number at p->at, 0 when there is none. */
static size_t number_length(const struct parser *p, bool *ret_integer)
{
    size_t at = p->at;
    *ret_integer = true;
    if (at < p->len && p->text[at] == '-') {
        at++;
    }
    size_t n = digits(p, at);
    if (n == 0 || (n > 1 && p->text[at] == '0')) {
        return 0;
    }
    at += n;
    if (at < p->len && p->text[at] == '.') {
        n = digits(p, at + 1);
        if (n == 0) {
            return 0;
        }
        at += n + 1;
        *ret_integer = false;
    }
    if (at < p->len && (p->text[at] == 'e' || p->text[at] == 'E')) {
        at++;
        if (at < p->len && (p->text[at] == '+' || p->text[at] == '-')) {
            at++;
        }
        n = digits(p, at);
        if (n == 0) {
            return 0;
        }
        at += n;
        *ret_integer = false;
    }
    return at - p->at;
}

static int parse_number(struct parser *p, struct value *v)
{
    size_t n = number_length(p, &v->is_integer);
    if (n == 0) {
        return fail(p, p->at, "expected a value: a number, NaN, Infinity, -Infinity or a text");
    }
    char text[NUMBER_MAX + 1];
    if (n > NUMBER_MAX) {
        return fail(p, p->at, "a number of more than 128 characters");
    }
    memcpy(text, p->text + p->at, n);
    text[n] = '\0';
    if (!sl_parse_double(text, &v->number) || isinf(v->number)) {
        return fail(p, p->at, "a number out of the range of a double");
    }
    p->at += n;
    v->kind = VALUE_NUMBER;
    return 0;
}

static bool special_number(const char *text, double *ret)
{
    if (strcmp(text, "NaN") == 0) {
        *ret = (double)NAN;
    } else if (strcmp(text, "Infinity") == 0) {
        *ret = (double)INFINITY;
    } else if (strcmp(text, "-Infinity") == 0) {
        *ret = -(double)INFINITY;
    } else {
        return false;
    }
    return true;
}

static int parse_value(struct parser *p, struct value *v)
{
    static const char *const specials[] = {"NaN", "Infinity", "-Infinity"};
    static const char *const words[] = {"true", "false", "null"};
    *v = (struct value){.at = p->at};
    char c = p->at < p->len ? p->text[p->at] : '\0';
    if (c == '"') {
        v->kind = VALUE_TEXT;
        return parse_text(p, &v->text);
    }
    if (c == '{' || c == '[') {
        return fail(p, p->at, "a metrics line is one flat object: no objects or lists inside");
    }
    for (size_t i = 0; i < SL_LEN(specials); i++) {
        if (take_word(p, specials[i])) {
            v->kind = VALUE_NUMBER;
            SL_ASSERT(special_number(specials[i], &v->number));
            return 0;
        }
    }
    for (size_t i = 0; i < SL_LEN(words); i++) {
        if (take_word(p, words[i])) {
            v->kind = VALUE_OTHER;
            v->what = words[i];
            return 0;
        }
    }
    return parse_number(p, v);
}

static int push_field(struct parser *p, const struct field *f)
{
    /* the long form's other names come on top of the metrics */
    if (p->n_fields >= SL_METRICS_KEYS_MAX + 8) {
        return sl_err_set(p->err, SL_ELIMIT, "line %lld: more than %d metrics",
                          (long long)p->line_no, SL_METRICS_KEYS_MAX);
    }
    sl_grow((void *)&p->fields, &p->cap_fields, p->n_fields + 1, sizeof(*p->fields));
    p->fields[p->n_fields++] = *f;
    return 0;
}

static int parse_field(struct parser *p)
{
    struct field f = {0};
    skip_blanks(p);
    if (p->at >= p->len || p->text[p->at] != '"') {
        return fail(p, p->at, "expected a key in quotes");
    }
    int rc = parse_text(p, &f.key);
    if (rc < 0) {
        return rc;
    }
    skip_blanks(p);
    if (!take(p, ':')) {
        return fail(p, p->at, "expected ':' after the key");
    }
    skip_blanks(p);
    rc = parse_value(p, &f.value);
    return rc < 0 ? rc : push_field(p, &f);
}

static int parse_object(struct parser *p)
{
    skip_blanks(p);
    if (!take(p, '{')) {
        return fail(p, p->at, "expected a JSON object, as {\"step\": 1, \"loss\": 0.3}");
    }
    skip_blanks(p);
    if (!take(p, '}')) {
        do {
            int rc = parse_field(p);
            if (rc < 0) {
                return rc;
            }
            skip_blanks(p);
        } while (take(p, ','));
        if (!take(p, '}')) {
            return fail(p, p->at, "expected ',' or '}'");
        }
    }
    skip_blanks(p);
    return p->at < p->len ? fail(p, p->at, "something follows the object") : 0;
}

/* Names with a meaning of their own. */
enum meaning { METRIC, KEY, VALUE, STEP, TS, SLICE, DATASET, MODEL };
#define MEANINGS 8

static enum meaning meaning_of(const struct field *f, bool is_long)
{
    static const struct {
        const char *name;
        enum meaning meaning;
        bool only_long;
    } names[] = {{"step", STEP, false},   {"ts", TS, false},           {"timestamp", TS, false},
                 {"slice", SLICE, false}, {"dataset", DATASET, false}, {"model", MODEL, false},
                 {"key", KEY, true},      {"name", KEY, true},         {"value", VALUE, true}};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        if (strcmp(f->key, names[i].name) == 0 && (is_long || !names[i].only_long)) {
            return names[i].meaning;
        }
    }
    return METRIC;
}

static bool is_long_form(const struct parser *p)
{
    for (size_t i = 0; i < p->n_fields; i++) {
        const struct field *f = &p->fields[i];
        bool named = strcmp(f->key, "key") == 0 || strcmp(f->key, "name") == 0;
        if (named && f->value.kind == VALUE_TEXT) {
            return true;
        }
    }
    return false;
}

static int as_text(struct parser *p, const struct field *f, size_t max, const char **ret)
{
    if (f->value.kind == VALUE_OTHER && strcmp(f->value.what, "null") == 0) {
        return 0;
    }
    if (f->value.kind != VALUE_TEXT) {
        return fail_field(p, f, "must be a text");
    }
    if (strlen(f->value.text) > max) {
        return sl_err_set(p->err, SL_ELIMIT, "line %lld, column %zu: '%s' is longer than %zu bytes",
                          (long long)p->line_no, f->value.at + 1, f->key, max);
    }
    *ret = f->value.text[0] != '\0' ? f->value.text : NULL;
    return 0;
}

static int as_number(struct parser *p, const struct field *f, double *ret)
{
    if (f->value.kind == VALUE_NUMBER) {
        *ret = f->value.number;
        return 0;
    }
    if (f->value.kind == VALUE_TEXT && special_number(f->value.text, ret)) {
        return 0;
    }
    return fail_field(p, f, "must be a number, NaN, Infinity or -Infinity");
}

static int as_step(struct parser *p, const struct field *f, struct sl_point *point)
{
    double step = f->value.number;
    if (f->value.kind != VALUE_NUMBER || !(fabs(step) <= (double)SL_METRICS_STEP_MAX) ||
        floor(step) != step) {
        return fail_field(p, f, "must be an integer between -2^53 and 2^53");
    }
    point->step = (int64_t)step;
    point->has_step = true;
    return 0;
}

static int as_time(struct parser *p, const struct field *f, struct sl_point *point)
{
    static const char expected[] = "must be a Unix time in seconds or milliseconds, or RFC 3339";
    point->has_ts = true;
    if (f->value.kind == VALUE_TEXT) {
        return sl_time_parse(f->value.text, &point->ts_ms) ? 0 : fail_field(p, f, expected);
    }
    double ts = f->value.number;
    if (f->value.kind == VALUE_NUMBER && ts >= 0 && ts < MS_FROM) {
        point->ts_ms = (int64_t)llround(ts * 1000.0);
        return 0;
    }
    if (f->value.kind == VALUE_NUMBER && ts >= MS_FROM && ts <= TS_SECONDS_MAX * 1000.0) {
        point->ts_ms = (int64_t)ts;
        return 0;
    }
    return fail_field(p, f, expected);
}

static int check_key(struct parser *p, const char *key, size_t at)
{
    size_t n = strlen(key);
    if (n == 0) {
        return fail(p, at, "a metric with an empty key");
    }
    if (n > SL_METRICS_KEY_MAX) {
        return sl_err_set(p->err, SL_ELIMIT, "line %lld, column %zu: a key longer than %d bytes",
                          (long long)p->line_no, at + 1, SL_METRICS_KEY_MAX);
    }
    return 0;
}

/* What the fields say together; metrics of the flat form are taken afterwards. */
struct line {
    struct sl_point common;
    bool has_value;
    bool seen[MEANINGS];
    size_t n_metrics;
};

static int read_field(struct parser *p, const struct field *f, enum meaning meaning, struct line *l)
{
    if (meaning != METRIC && l->seen[meaning]) {
        return fail_field(p, f, "is given twice");
    }
    l->seen[meaning] = true;
    switch (meaning) {
    case METRIC: l->n_metrics++; return check_key(p, f->key, f->value.at);
    case KEY: return as_text(p, f, SL_METRICS_KEY_MAX, &l->common.key);
    case VALUE: return as_number(p, f, &l->common.value);
    case STEP: return as_step(p, f, &l->common);
    case TS: return as_time(p, f, &l->common);
    case SLICE: return as_text(p, f, SL_METRICS_KEY_MAX, &l->common.slice);
    case DATASET: return as_text(p, f, SL_METRICS_REF_MAX, &l->common.dataset);
    case MODEL: return as_text(p, f, SL_METRICS_REF_MAX, &l->common.model);
    }
    return 0;
}

static int finish_long(struct parser *p, const struct line *l, struct sl_points *ret)
{
    if (l->n_metrics > 0) {
        for (size_t i = 0; i < p->n_fields; i++) {
            if (meaning_of(&p->fields[i], true) == METRIC) {
                return fail_field(p, &p->fields[i], "is not a field of a line with a key");
            }
        }
    }
    if (l->common.key == NULL) {
        return fail(p, 0, "a metric with an empty key");
    }
    if (!l->seen[VALUE]) {
        return fail(p, 0, "a key without a value");
    }
    ret->items = sl_arena_memdup(p->arena, &l->common, sizeof(l->common));
    ret->n = 1;
    return 0;
}

static int finish_flat(struct parser *p, const struct line *l, struct sl_points *ret)
{
    if (l->n_metrics > SL_METRICS_KEYS_MAX) {
        return sl_err_set(p->err, SL_ELIMIT, "line %lld: more than %d metrics",
                          (long long)p->line_no, SL_METRICS_KEYS_MAX);
    }
    if (l->n_metrics == 0) {
        return fail(p, 0, "no metric in this line");
    }
    ret->items = SL_ARENA_ARRAY(p->arena, struct sl_point, l->n_metrics);
    ret->n = 0;
    for (size_t i = 0; i < p->n_fields; i++) {
        const struct field *f = &p->fields[i];
        if (meaning_of(f, false) != METRIC) {
            continue;
        }
        struct sl_point point = l->common;
        point.key = f->key;
        int rc = as_number(p, f, &point.value);
        if (rc < 0) {
            return rc;
        }
        ret->items[ret->n++] = point;
    }
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const struct field *x = *(const struct field *const *)a, *y = *(const struct field *const *)b;
    return strcmp(x->key, y->key);
}

/* A key given twice is a mistake whose second value would win silently. Sorted: no quadratic input. */
static int check_duplicates(struct parser *p)
{
    if (p->n_fields < 2) {
        return 0;
    }
    const struct field **sorted = SL_ARENA_ARRAY(p->arena, const struct field *, p->n_fields);
    for (size_t i = 0; i < p->n_fields; i++) {
        sorted[i] = &p->fields[i];
    }
    qsort(sorted, p->n_fields, sizeof(*sorted), by_key);
    for (size_t i = 1; i < p->n_fields; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0) {
            return fail_field(p, sorted[i], "is given twice");
        }
    }
    return 0;
}

static int parse_line(struct parser *p, struct sl_points *ret)
{
    int rc = parse_object(p);
    if (rc == 0) {
        rc = check_duplicates(p);
    }
    struct line l = {0};
    bool is_long = rc == 0 && is_long_form(p);
    for (size_t i = 0; rc == 0 && i < p->n_fields; i++) {
        rc = read_field(p, &p->fields[i], meaning_of(&p->fields[i], is_long), &l);
    }
    if (rc < 0) {
        return rc;
    }
    return is_long ? finish_long(p, &l, ret) : finish_flat(p, &l, ret);
}

int sl_metrics_parse_line(const char *text, size_t len, int64_t line_no, struct sl_arena *arena,
                          struct sl_points *ret, struct sl_err *err)
{
    struct parser p = {.text = text, .len = len, .line_no = line_no, .arena = arena, .err = err};
    if (len > SL_METRICS_LINE_MAX) {
        return sl_err_set(err, SL_ELIMIT, "line %lld: longer than %d bytes", (long long)line_no,
                          SL_METRICS_LINE_MAX);
    }
    size_t good = sl_utf8_check(text, len);
    if (good != len) {
        return fail(&p, good, "not valid UTF-8");
    }
    skip_blanks(&p);
    if (p.at == len) {
        *ret = (struct sl_points){0};
        return 0;
    }
    struct sl_points points = {0};
    int rc = parse_line(&p, &points);
    if (rc == 0) {
        *ret = points;
    }
    free(p.fields);
    return rc;
}

/**
 * What a line of $SLUICE_METRICS means: its fields become points, in the long or the flat form.
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
#include "core/track/metrics_priv.h"

#define MS_FROM        1e11           /* a time stamp from here on is in milliseconds */
#define TS_SECONDS_MAX 253402300799.0 /* 9999-12-31T23:59:59Z */

static int fail_field(struct sl_metric_parser *p, const struct sl_metric_field *f,
                      const char *message)
{
    return sl_err_set(p->err, SL_EINVAL, "line %lld, column %zu: '%.64s' %s", (long long)p->line_no,
                      f->value.at + 1, f->key, message);
}

/* Names with a meaning of their own. */
enum meaning { METRIC, KEY, VALUE, STEP, TS, SLICE, DATASET, MODEL };
#define MEANINGS 8

static enum meaning meaning_of(const struct sl_metric_field *f, bool is_long)
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

static bool is_long_form(const struct sl_metric_parser *p)
{
    for (size_t i = 0; i < p->n_fields; i++) {
        const struct sl_metric_field *f = &p->fields[i];
        bool named = strcmp(f->key, "key") == 0 || strcmp(f->key, "name") == 0;
        if (named && f->value.kind == VALUE_TEXT) {
            return true;
        }
    }
    return false;
}

static int as_text(struct sl_metric_parser *p, const struct sl_metric_field *f, size_t max,
                   const char **ret)
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

static int as_number(struct sl_metric_parser *p, const struct sl_metric_field *f, double *ret)
{
    if (f->value.kind == VALUE_NUMBER) {
        *ret = f->value.number;
        return 0;
    }
    if (f->value.kind == VALUE_TEXT && sl_metric_special(f->value.text, ret)) {
        return 0;
    }
    return fail_field(p, f, "must be a number, NaN, Infinity or -Infinity");
}

static int as_step(struct sl_metric_parser *p, const struct sl_metric_field *f,
                   struct sl_point *point)
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

static int as_time(struct sl_metric_parser *p, const struct sl_metric_field *f,
                   struct sl_point *point)
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

static int check_key(struct sl_metric_parser *p, const char *key, size_t at)
{
    size_t n = strlen(key);
    if (n == 0) {
        return sl_metric_fail(p, at, "a metric with an empty key");
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

static int read_field(struct sl_metric_parser *p, const struct sl_metric_field *f,
                      enum meaning meaning, struct line *l)
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

static int finish_long(struct sl_metric_parser *p, const struct line *l, struct sl_points *ret)
{
    if (l->n_metrics > 0) {
        for (size_t i = 0; i < p->n_fields; i++) {
            if (meaning_of(&p->fields[i], true) == METRIC) {
                return fail_field(p, &p->fields[i], "is not a field of a line with a key");
            }
        }
    }
    if (l->common.key == NULL) {
        return sl_metric_fail(p, 0, "a metric with an empty key");
    }
    if (!l->seen[VALUE]) {
        return sl_metric_fail(p, 0, "a key without a value");
    }
    ret->items = sl_arena_memdup(p->arena, &l->common, sizeof(l->common));
    ret->n = 1;
    return 0;
}

static int finish_flat(struct sl_metric_parser *p, const struct line *l, struct sl_points *ret)
{
    if (l->n_metrics > SL_METRICS_KEYS_MAX) {
        return sl_err_set(p->err, SL_ELIMIT, "line %lld: more than %d metrics",
                          (long long)p->line_no, SL_METRICS_KEYS_MAX);
    }
    if (l->n_metrics == 0) {
        return sl_metric_fail(p, 0, "no metric in this line");
    }
    ret->items = SL_ARENA_ARRAY(p->arena, struct sl_point, l->n_metrics);
    ret->n = 0;
    for (size_t i = 0; i < p->n_fields; i++) {
        const struct sl_metric_field *f = &p->fields[i];
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
    const struct sl_metric_field *x = *(const struct sl_metric_field *const *)a,
                                 *y = *(const struct sl_metric_field *const *)b;
    return strcmp(x->key, y->key);
}

/* A key given twice is a mistake whose second value would win silently. Sorted: no quadratic input. */
static int check_duplicates(struct sl_metric_parser *p)
{
    if (p->n_fields < 2) {
        return 0;
    }
    const struct sl_metric_field **sorted =
        SL_ARENA_ARRAY(p->arena, const struct sl_metric_field *, p->n_fields);
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

static int parse_line(struct sl_metric_parser *p, struct sl_points *ret)
{
    int rc = sl_metric_parse_object(p);
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
    struct sl_metric_parser p = {
        .text = text, .len = len, .line_no = line_no, .arena = arena, .err = err};
    if (len > SL_METRICS_LINE_MAX) {
        return sl_err_set(err, SL_ELIMIT, "line %lld: longer than %d bytes", (long long)line_no,
                          SL_METRICS_LINE_MAX);
    }
    size_t good = sl_utf8_check(text, len);
    if (good != len) {
        return sl_metric_fail(&p, good, "not valid UTF-8");
    }
    sl_metric_skip_blanks(&p);
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

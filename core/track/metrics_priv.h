/**
 * Inside of the track room: a metrics line as fields, between its scanner and its meaning.
 */
#ifndef SL_TRACK_METRICS_PRIV_H
#define SL_TRACK_METRICS_PRIV_H

#include "core/track/metrics.h"

enum sl_metric_value_kind { VALUE_NUMBER, VALUE_TEXT, VALUE_OTHER };

struct sl_metric_value {
    enum sl_metric_value_kind kind;
    double number;
    bool is_integer;  /* written without fraction and exponent */
    const char *text; /* VALUE_TEXT */
    const char *what; /* VALUE_OTHER: "true", "null", "an object", ... */
    size_t at;        /* offset, for messages */
};

struct sl_metric_field {
    const char *key;
    struct sl_metric_value value;
};

struct sl_metric_parser {
    const char *text;
    size_t len, at;
    int64_t line_no;
    struct sl_arena *arena;
    struct sl_err *err;
    struct sl_metric_field *fields;
    size_t n_fields, cap_fields;
};

/** Sets the error "line N, column M: message" for the offset `at`; returns -SL_EINVAL. */
int sl_metric_fail(struct sl_metric_parser *p, size_t at, const char *message);
/** True for "NaN", "Infinity", "-Infinity". */
bool sl_metric_special(const char *text, double *ret);
void sl_metric_skip_blanks(struct sl_metric_parser *p);
/** Scans the whole line into fields. The line must be valid UTF-8. Caller frees fields. */
int sl_metric_parse_object(struct sl_metric_parser *p);

#endif

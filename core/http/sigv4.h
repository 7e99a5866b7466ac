/**
 * AWS Signature Version 4 for requests with headers, as S3 and its likes check it.
 *
 * Pure: the time is an argument. Source: "Signature Version 4 signing process", AWS General Reference and
 * "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference. Path and query are signed
 * as sent (S3: no second encoding). Thread: any.
 */
#ifndef SL_HTTP_SIGV4_H
#define SL_HTTP_SIGV4_H

#include "core/base/err.h"
#include "core/base/str.h"

#define SL_SIGV4_HEADERS_MAX 64
#define SL_SIGV4_PAIRS_MAX   100 /* of the query */
#define SL_SIGV4_EMPTY_HASH  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sl_aws {
    const char *access_key, *secret_key;
    const char *session_token; /* NULL or "": none */
    const char *region, *service;
};

struct sl_sigv4_request {
    const char *method;
    const char *path;  /* encoded, begins with '/' */
    const char *query; /* encoded, without '?'; NULL: none */
    const char *const
        *headers; /* "name", "value", ..., NULL: all are signed; host must be among them */
    const char *payload_hash; /* 64 hex, or UNSIGNED-PAYLOAD */
    const char *amz_date;     /* "20130524T000000Z" */
};

/** Appends the value of Authorization. -SL_EINVAL, -SL_ELIMIT. */
int sl_sigv4_sign(const struct sl_aws *aws, const struct sl_sigv4_request *r, struct sl_buf *out,
                  struct sl_err *err) SL_MUST_CHECK;

/** "20130524T000000Z". Returns out. */
#define SL_SIGV4_DATE 17
char *sl_sigv4_date(int64_t unix_ms, char out[SL_SIGV4_DATE]);

#endif

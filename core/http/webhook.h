/**
 * Signatures of outgoing webhooks in the form of Standard Webhooks (symmetric, v1):
 * base64(HMAC-SHA-256(key, id "." timestamp "." body)); the key is what follows "whsec_" decoded, or the text
 * itself. Pure. Thread: any. Source: standardwebhooks.com, specification.
 */
#ifndef SL_HTTP_WEBHOOK_H
#define SL_HTTP_WEBHOOK_H

#include "core/base/err.h"
#include "core/base/str.h"

#define SL_WEBHOOK_SIGNATURE 64 /* bytes with NUL */

/** "v1,BASE64". -SL_EINVAL when a whsec_ key is no base64. */
int sl_webhook_sign(const char *secret, const char *id, int64_t timestamp_s, struct sl_str body,
                    char out[SL_WEBHOOK_SIGNATURE], struct sl_err *err) SL_MUST_CHECK;

#endif

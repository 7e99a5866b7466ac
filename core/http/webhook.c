/* See webhook.h. */
#include "core/base/base.h"

#include "core/http/webhook.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#define PREFIX "whsec_"

int sl_webhook_sign(const char *secret, const char *id, int64_t timestamp_s, struct sl_str body,
                    char out[SL_WEBHOOK_SIGNATURE], struct sl_err *err)
{
    char base64[SL_BASE64_BYTES(SL_DIGEST_BYTES)];
    struct sl_digest mac;
    size_t len = strlen(secret);
    size_t key_len = len;
    _cleanup_(free)
    char *key = sl_malloc(len + 3);
    memcpy(key, secret, len + 1);
    if (sl_starts_with(secret, PREFIX) &&
        !sl_base64_decode(secret + strlen(PREFIX), len - strlen(PREFIX), key, &key_len)) {
        explicit_bzero(key, len);
        return sl_err_set(err, SL_EINVAL,
                          "a webhook's secret that begins " PREFIX " must go on in base64");
    }
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(body.len + strlen(id) + 64);
    sl_buf_printf(&text, "%s.%lld.", id, (long long)timestamp_s);
    sl_buf_add(&text, body.ptr, body.len);
    sl_hmac_sha256(key, key_len, sl_buf_str(&text), text.len, &mac);
    explicit_bzero(key, len);
    (void)snprintf(out, SL_WEBHOOK_SIGNATURE, "v1,%s", sl_base64(mac.b, sizeof(mac.b), base64));
    return 0;
}

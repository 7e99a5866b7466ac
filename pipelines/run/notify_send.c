/* One try to deliver a message: a webhook or a mail. Thread: the notifier's lane. Must not: tell a secret. */
#include "core/base/base.h"

#include "pipelines/run/notifier.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/time.h"
#include "core/http/mail.h"
#include "core/http/webhook.h"
#include "core/secret/secret.h"

#define ANSWER_MAX ((uint64_t)64 << 10)
#define PIECE      ((size_t)8) /* bytes of a secret address that a reason must not share with it */
#define PART_MIN   4           /* parts shorter than this are no secret */

char *sl_notify_message_id(const struct sl_notification *row, char *out)
{
    char text[256];
    char hex[SL_DIGEST_HEX + 1];
    struct sl_digest d;
    int n = snprintf(text, sizeof(text), "%s/%lld/%lld", row->run_id != NULL ? row->run_id : "",
                     (long long)row->id, (long long)row->queued_ms);
    sl_sha256(text, (size_t)n, &d);
    (void)snprintf(out, 37, "msg_%.32s", sl_digest_hex(&d, hex));
    return out;
}

/* The value of a secret; nothing when the name is NULL. */
static int read_secret(const struct sl_notify_send *s, const char *name,
                       struct sl_secret_value *ret, struct sl_err *err)
{
    const struct sl_secret_ref which = {.project = SL_DEFAULT_PROJECT, .name = name};
    _cleanup_(secret_key)
    struct sl_secret_key *key = NULL;
    if (name == NULL) {
        return 0;
    }
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, s->data_path, err);
    int rc = fd < 0 ? fd : sl_secret_key_open(fd, s->db, false, &key, err);
    return rc < 0 ? rc : sl_secret_get(s->db, key, &which, ret, err);
}

/* ---- webhooks ------------------------------------------------------------------------------------------- */

static char *webhook_body(const struct sl_notification *row, const char *id, int64_t now_ms)
{
    char time[SL_TIME_TEXT];
    json_auto_t *payload = sl_json_parse("message", row->payload, strlen(row->payload), NULL);
    json_auto_t *body = json_object();
    sl_json_set_str(body, "type", "sluice.notify");
    sl_json_set_str(body, "id", id);
    sl_json_set_str(body, "timestamp", sl_time_format(now_ms, time));
    sl_json_set_str(body, "text", sl_json_str(payload, "text", ""));
    sl_json_set_str(body, "subject", sl_json_str(payload, "subject", NULL));
    sl_json_set_str(body, "pipeline", sl_json_str(payload, "pipeline", NULL));
    sl_json_set_i64(body, "number", sl_json_i64(payload, "number", 0));
    sl_json_set_str(body, "status", sl_json_str(payload, "status", NULL));
    sl_json_set_str(body, "run", row->run_id);
    sl_json_set_str(body, "step", row->step);
    return sl_json_canonical(body);
}

/* Whether a text holds a piece of an address: PIECE bytes of it, or a part between separators that is shorter. */
static bool tells(const char *text, const char *address)
{
    static const char separators[] = "/?&=#:@ \t\r\n'\"";
    const char *scheme = strstr(address, "://");
    const char *at = scheme != NULL ? scheme + 3 : address;
    while (*at != '\0') {
        size_t len = strcspn(at, separators);
        for (size_t i = 0; len >= PART_MIN && (i == 0 || i + PIECE <= len); i++) {
            char piece[PIECE + 1];
            (void)snprintf(piece, sizeof(piece), "%.*s", (int)SL_MIN(len - i, PIECE), at + i);
            if (strcasestr(text, piece) != NULL) {
                return true;
            }
        }
        at += len + (at[len] != '\0' ? 1 : 0);
    }
    return false;
}

void sl_notify_hide_address(const char *reason, const char *address, char *out, size_t size)
{
    const char *colon = strstr(reason, ": ");
    const char *from = colon != NULL ? colon + 2 : reason;
    const char *words = strstr(from, ": "); /* a server's own words may repeat what it was asked */
    size_t len = words != NULL ? (size_t)(words - from) : strlen(from);
    (void)snprintf(out, size, "%.*s", (int)SL_MIN(len, (size_t)300), from);
    if (tells(out, address)) {
        (void)snprintf(out, size, "it is no URL, or the reason would show it");
    }
}

/* An address that is a secret must not be in a reason. */
static int hide_address(const struct sl_notify_send *s, const char *address, int rc,
                        struct sl_err *err)
{
    char reason[sizeof(err->msg)];
    sl_notify_hide_address(err->msg, address, reason, sizeof(reason));
    return sl_err_set(err, -rc, "the address in secret '%.80s': %s", s->channel->url_secret,
                      reason);
}

static int post(const struct sl_notify_send *s, const char *url, const char *secret,
                const struct sl_notification *row, struct sl_notify_said *said, struct sl_err *err)
{
    char id[37];
    char timestamp[24];
    char signature[SL_WEBHOOK_SIGNATURE];
    struct sl_fetcher *f = NULL;
    sl_notify_message_id(row, id);
    _cleanup_(free)
    char *body = webhook_body(row, id, s->now_ms);
    int rc = secret != NULL
                 ? sl_webhook_sign(secret, id, s->now_ms / 1000, sl_str_c(body), signature, err)
                 : 0;
    (void)snprintf(timestamp, sizeof(timestamp), "%lld", (long long)(s->now_ms / 1000));
    const char *const headers[] = {"Content-Type",
                                   "application/json",
                                   "webhook-id",
                                   id,
                                   "webhook-timestamp",
                                   timestamp,
                                   secret != NULL ? "webhook-signature" : NULL,
                                   signature,
                                   NULL};
    rc = rc < 0 ? rc : sl_fetcher_new(s->fetch, &f, err);
    if (rc == 0) {
        struct sl_fetch_answer answer;
        struct sl_fetch req = {.method = "POST",
                               .url = url,
                               .headers = headers,
                               .body = sl_str_c(body),
                               .body_max = ANSWER_MAX};
        rc = sl_fetch_once(f, &req, &answer, err);
        said->gone = rc == 0 && answer.head.status == 410;
        said->retry_after_ms = rc == 0 ? answer.head.retry_after_ms : -1;
        rc = rc < 0 ? rc : sl_fetch_error(&req, &answer, err);
        sl_fetch_answer_release(&answer);
    }
    sl_fetcher_free(f);
    return rc;
}

static int deliver_webhook(const struct sl_notify_send *s, const struct sl_notification *row,
                           struct sl_notify_said *said, struct sl_err *err)
{
    struct sl_secret_value url = {0};
    struct sl_secret_value secret = {0};
    int rc = read_secret(s, s->channel->url_secret, &url, err);
    rc = rc < 0 ? rc : read_secret(s, s->channel->secret, &secret, err);
    if (rc == 0) {
        rc = post(s, s->channel->url_secret != NULL ? (const char *)url.bytes : s->channel->url,
                  (const char *)secret.bytes, row, said, err);
        if (rc < 0 && s->channel->url_secret != NULL) {
            rc = hide_address(s, (const char *)url.bytes, rc, err);
        }
    }
    sl_secret_value_release(&url);
    sl_secret_value_release(&secret);
    return rc;
}

/* ---- mail ----------------------------------------------------------------------------------------------- */

static int deliver_mail(const struct sl_notify_send *s, const struct sl_notification *row,
                        struct sl_err *err)
{
    char id[37];
    char message_id[64];
    struct sl_secret_value password = {0};
    json_auto_t *payload = sl_json_parse("message", row->payload, strlen(row->payload), NULL);
    _cleanup_(free)
    char *subject = sl_asprintf("%s#%lld %s", sl_json_str(payload, "pipeline", "sluice"),
                                (long long)sl_json_i64(payload, "number", 0),
                                sl_json_str(payload, "status", ""));
    (void)snprintf(message_id, sizeof(message_id), "%s@sluice", sl_notify_message_id(row, id));
    struct sl_mail m = {.server = s->channel->smtp,
                        .user = s->channel->user,
                        .from = s->channel->from,
                        .to = s->channel->to,
                        .n_to = s->channel->n_to,
                        .subject = sl_json_str(payload, "subject", subject),
                        .text = sl_json_str(payload, "text", ""),
                        .message_id = message_id,
                        .date_ms = row->queued_ms};
    int rc = read_secret(s, s->channel->password_secret, &password, err);
    m.password = (const char *)password.bytes;
    rc = rc < 0 ? rc : sl_mail_send(s->fetch, &m, err);
    sl_secret_value_release(&password);
    return rc;
}

int sl_notify_deliver(const struct sl_notify_send *s, const struct sl_notification *row,
                      struct sl_notify_said *ret_said, struct sl_err *err)
{
    *ret_said = (struct sl_notify_said){.retry_after_ms = -1};
    if (s->channel->mail != row->mail) {
        return sl_err_set(err, SL_EINVAL, "channel '%s' is %s now", s->channel->name,
                          s->channel->mail ? "for mail" : "a webhook");
    }
    return s->channel->mail ? deliver_mail(s, row, err) : deliver_webhook(s, row, ret_said, err);
}

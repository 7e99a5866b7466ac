/* Composing a mail. Pure. Thread: any. */
#include "core/base/base.h"

#include "core/http/mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#define WORD_BYTES 42 /* of text in one encoded word: 56 of base64, 75 with its frame at most */
#define LINE_BYTES 57 /* of text in one line of base64: 76 */

static int check_address(const char *what, const char *a, struct sl_err *err)
{
    const char *at = strchr(a, '@');
    size_t n = strlen(a);
    bool ok = n <= SL_MAIL_ADDRESS_MAX && at != NULL && at != a && at[1] != '\0' &&
              strchr(at + 1, '@') == NULL;
    for (size_t i = 0; ok && i < n; i++) {
        unsigned char c = (unsigned char)a[i];
        ok = c > ' ' && c < 0x7f && strchr("<>()[],;:\\\"", c) == NULL;
    }
    return ok ? 0 : sl_err_set(err, SL_EINVAL, "%s '%.100s' is no mail address", what, a);
}

static bool plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* RFC 2047, each word whole characters. */
static void put_words(struct sl_buf *out, const char *text)
{
    char base64[SL_BASE64_BYTES(WORD_BYTES)];
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t n = SL_MIN(len - at, (size_t)WORD_BYTES);
        while (n > 1 && at + n < len && ((unsigned char)text[at + n] & 0xc0) == 0x80) {
            n--;
        }
        sl_buf_printf(out, "%s=?UTF-8?B?%s?=", at > 0 ? "\r\n " : "",
                      sl_base64(text + at, n, base64));
        at += n;
    }
}

static void put_date(struct sl_buf *out, int64_t ms)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = {.tm_mday = 1};
    time_t s = (time_t)(ms / 1000);
    (void)gmtime_r(&s, &tm);
    sl_buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday],
                  tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                  tm.tm_sec);
}

int sl_mail_compose(const struct sl_mail *m, struct sl_buf *out, struct sl_err *err)
{
    char base64[SL_BASE64_BYTES(LINE_BYTES)];
    size_t len = strlen(m->text);
    int rc = check_address("sender", m->from, err);
    if (m->n_to == 0 || m->n_to > SL_MAIL_TO_MAX || len > SL_MAIL_TEXT_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a mail has 1 to %d receivers and at most %u bytes",
                          SL_MAIL_TO_MAX, SL_MAIL_TEXT_MAX);
    }
    for (size_t i = 0; rc == 0 && i < m->n_to; i++) {
        rc = check_address("receiver", m->to[i], err);
    }
    if (rc < 0) {
        return rc;
    }
    if (sl_utf8_check(m->text, len) != len ||
        sl_utf8_check(m->subject, strlen(m->subject)) != strlen(m->subject)) {
        return sl_err_set(err, SL_EINVAL, "a mail's subject and text must be UTF-8");
    }
    put_date(out, m->date_ms);
    sl_buf_printf(out, "From: %s\r\nTo: ", m->from);
    for (size_t i = 0; i < m->n_to; i++) {
        sl_buf_printf(out, "%s%s", i > 0 ? ",\r\n " : "", m->to[i]);
    }
    sl_buf_puts(out, "\r\nSubject: ");
    if (plain(m->subject) && strlen(m->subject) <= 60) {
        sl_buf_puts(out, m->subject);
    } else {
        put_words(out, m->subject);
    }
    sl_buf_printf(out,
                  "\r\nMessage-ID: <%s>\r\nMIME-Version: 1.0\r\n"
                  "Content-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: base64\r\nAuto-Submitted: auto-generated\r\n\r\n",
                  m->message_id);
    for (size_t at = 0; at < len; at += LINE_BYTES) {
        sl_buf_printf(out, "%s\r\n",
                      sl_base64(m->text + at, SL_MIN(len - at, (size_t)LINE_BYTES), base64));
    }
    return out->overflow ? sl_err_set(err, SL_ELIMIT, "the mail is too long") : 0;
}

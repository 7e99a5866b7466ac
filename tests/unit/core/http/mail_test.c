/* Mails as text, and signatures of webhooks. */
#include "core/base/base.h"

#include "core/http/mail.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/http/webhook.h"
#include "tests/support/sl_test.h"

static const char *const two[] = {"bo@example.org", "cy@example.org"};

static struct sl_mail mail(void)
{
    return (struct sl_mail){.server = "smtp://127.0.0.1:9",
                            .from = "ana@example.org",
                            .to = two,
                            .n_to = 2,
                            .subject = "plain",
                            .text = "hello",
                            .message_id = "1@sluice",
                            .date_ms = 1700000000000};
}

SL_TEST(core_http_mail, text__plain__as_rfc_5322)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(65536);
    struct sl_mail m = mail();
    SL_CHECK_OK(sl_mail_compose(&m, &out, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&out),
                    "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: ana@example.org\r\n"
                    "To: bo@example.org,\r\n cy@example.org\r\nSubject: plain\r\n"
                    "Message-ID: <1@sluice>\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: base64\r\nAuto-Submitted: auto-generated\r\n\r\n"
                    "aGVsbG8=\r\n");
    sl_buf_release(&out);
}

SL_TEST(core_http_mail, subject__line_end_or_umlaut__encoded_never_injected)
{
    static const char *const subjects[] = {"a\r\nBcc: x@y.z", "\xc3\xa4\xc3\xb6\xc3\xbc"};
    for (size_t i = 0; i < SL_LEN(subjects); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_buf out = SL_BUF_INIT(65536);
        struct sl_mail m = mail();
        m.subject = subjects[i];
        SL_CHECK_OK(sl_mail_compose(&m, &out, &err), err);
        SL_CHECK(strstr(sl_buf_str(&out), "\r\nBcc:") == NULL);
        SL_CHECK_CONTAINS(sl_buf_str(&out), "Subject: =?UTF-8?B?");
        sl_buf_release(&out);
    }
}

SL_TEST(core_http_mail, lines__long_text__at_most_78)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(1 << 20);
    struct sl_mail m = mail();
    char *text = sl_calloc(1, 5001);
    char subject[400];
    for (size_t i = 0; i < 2500; i++) {
        memcpy(text + 2 * i, "\xc3\xa9", 2);
    }
    memcpy(subject, text, 398);
    subject[398] = '\0';
    m.text = text;
    m.subject = subject;
    SL_CHECK_OK(sl_mail_compose(&m, &out, &err), err);
    for (const char *at = sl_buf_str(&out); *at != '\0';) {
        const char *end = strstr(at, "\r\n");
        SL_CHECK(end != NULL && end - at <= 78);
        at = end + 2;
    }
    free(text);
    sl_buf_release(&out);
}

SL_TEST(core_http_mail, address__bad__refused)
{
    static const char *const bad[] = {
        "", "nobody", "a@b@c", "a@b\r\nRCPT TO:<x@y>", "a b@c", "<a@b>", "@b", "a@", "a@b,c@d"};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_buf out = SL_BUF_INIT(65536);
        struct sl_mail m = mail();
        const char *const one[] = {bad[i]};
        m.to = one;
        m.n_to = 1;
        SL_CHECK_ERR(sl_mail_compose(&m, &out, &err), SL_EINVAL, err, "is no mail address");
        sl_buf_release(&out);
    }
}

SL_TEST(core_http_mail, receivers_and_text__at_the_limit_and_one_past)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(4 * SL_MAIL_TEXT_MAX);
    struct sl_mail m = mail();
    const char *many[SL_MAIL_TO_MAX + 1];
    for (size_t i = 0; i <= SL_MAIL_TO_MAX; i++) {
        many[i] = "bo@example.org";
    }
    char *text = sl_calloc(1, SL_MAIL_TEXT_MAX + 2);
    memset(text, 'x', SL_MAIL_TEXT_MAX);
    m.to = many;
    m.n_to = SL_MAIL_TO_MAX;
    m.text = text;
    SL_CHECK_OK(sl_mail_compose(&m, &out, &err), err);
    m.n_to++;
    SL_CHECK_ERR(sl_mail_compose(&m, &out, &err), SL_ELIMIT, err, "1 to 100 receivers");
    m.n_to--;
    text[SL_MAIL_TEXT_MAX] = 'x';
    SL_CHECK_ERR(sl_mail_compose(&m, &out, &err), SL_ELIMIT, err, "at most 262144 bytes");
    free(text);
    sl_buf_release(&out);
}

SL_TEST(core_http_mail, server__inside_or_wrong__refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_fetch_opts opts = {.allow = 0};
    struct sl_mail m = mail();
    SL_CHECK_ERR(sl_mail_send(&opts, &m, &err), SL_EREFUSED, err, "loopback");
    m.server = "smtp://10.0.0.1:25";
    SL_CHECK_ERR(sl_mail_send(&opts, &m, &err), SL_EREFUSED, err, "private");
    m.server = "http://127.0.0.1/";
    SL_CHECK_ERR(sl_mail_send(&opts, &m, &err), SL_EINVAL, err, "no mail server");
}

/* The example of the Standard Webhooks reference implementations. */
SL_TEST(core_http_webhook, sign__published_example__equal)
{
    struct sl_err err = SL_ERR_INIT;
    char out[SL_WEBHOOK_SIGNATURE];
    SL_CHECK_OK(sl_webhook_sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                SL_STR("{\"test\": 2432232314}"), out, &err),
                err);
    SL_CHECK_EQ_STR(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    SL_CHECK_ERR(sl_webhook_sign("whsec_?", "a", 1, SL_STR(""), out, &err), SL_EINVAL, err,
                 "must go on in base64");
}

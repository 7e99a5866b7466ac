/**
 * One mail to a submission server: SMTP over libcurl, with the same judgement of addresses as fetch.h.
 *
 * Encryption: smtps:// from the start; smtp:// with STARTTLS where the server has it, and always when there is a
 * password or the server is not on loopback. Thread: any. Blocks: yes; never on the loop.
 */
#ifndef SL_HTTP_MAIL_H
#define SL_HTTP_MAIL_H

#include "core/http/fetch.h"

#define SL_MAIL_TO_MAX      100
#define SL_MAIL_ADDRESS_MAX 320
#define SL_MAIL_TEXT_MAX    (256u << 10) /* bytes */

struct sl_mail {
    const char *server;          /* "smtp://host:port" or "smtps://host:port" */
    const char *user, *password; /* NULL: none */
    const char *from;
    const char *const *to;
    size_t n_to;
    const char *subject, *text; /* UTF-8 */
    const char *message_id;     /* without brackets: the same for every try */
    int64_t date_ms;
};

/** Appends the message as RFC 5322 has it: everything but ASCII encoded, no line longer than 78.
 * @return 0; -SL_EINVAL (an address, an encoding); -SL_ELIMIT. Pure. */
int sl_mail_compose(const struct sl_mail *m, struct sl_buf *out, struct sl_err *err) SL_MUST_CHECK;

/** Hands it to the server, once. @return as sl_fetch_once; -SL_EAUTH; -SL_EFAILED when it refused */
int sl_mail_send(const struct sl_fetch_opts *opts, const struct sl_mail *m, struct sl_err *err)
    SL_MUST_CHECK;

#endif

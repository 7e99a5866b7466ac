/**
 * Event streams from bytes, in pieces of any size (WHATWG HTML, "Interpreting an event stream").
 *
 * Pure. Thread: any.
 */
#include "core/base/base.h"

#include "core/http/sse_reader.h"

void sl_sse_reader_init(struct sl_sse_reader *r, sl_http_event_fn fn, void *data)
{
    *r = (struct sl_sse_reader){.fn = fn, .data = data};
    r->line = r->event = r->value = r->id = SL_BUF_INIT(SL_HTTP_EVENT_MAX);
}

void sl_sse_reader_release(struct sl_sse_reader *r)
{
    sl_buf_release(&r->line);
    sl_buf_release(&r->event);
    sl_buf_release(&r->value);
    sl_buf_release(&r->id);
}

/* An empty line ends the event; one without data is dropped. */
static int dispatch(struct sl_sse_reader *r, struct sl_err *err)
{
    int rc = 0;
    if (r->has_data) {
        struct sl_http_event event = {.id = sl_buf_str(&r->id),
                                      .event = r->event.len > 0 ? sl_buf_str(&r->event) : "message",
                                      .data = {sl_buf_str(&r->value), r->value.len}};
        rc = r->fn(&event, r->data, err);
    }
    sl_buf_clear(&r->event);
    sl_buf_clear(&r->value);
    r->has_data = false;
    return rc;
}

static void take_field(struct sl_sse_reader *r, const char *name, const char *value, size_t len)
{
    if (sl_streq(name, "data")) {
        if (r->has_data) {
            sl_buf_putc(&r->value, '\n');
        }
        sl_buf_add(&r->value, value, len);
        r->has_data = true;
    } else if (sl_streq(name, "event")) {
        sl_buf_clear(&r->event);
        sl_buf_add(&r->event, value, len);
    } else if (sl_streq(name, "id") && memchr(value, '\0', len) == NULL) {
        sl_buf_clear(&r->id);
        sl_buf_add(&r->id, value, len);
    }
}

static int end_line(struct sl_sse_reader *r, struct sl_err *err)
{
    int rc = 0;
    const char *text = sl_buf_str(&r->line);
    size_t len = r->line.len;
    if (!r->begun && len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* one byte order mark at the very beginning */
        len -= 3;
    }
    r->begun = true;
    if (len == 0) {
        rc = dispatch(r, err);
    } else if (text[0] != ':') {
        const char *colon = memchr(text, ':', len);
        size_t name_len = colon != NULL ? (size_t)(colon - text) : len;
        size_t at = colon != NULL ? name_len + 1 : len;
        at += at < len && text[at] == ' ';
        char name[8] = "";
        if (name_len < sizeof(name)) {
            memcpy(name, text, name_len);
            take_field(r, name, text + at, len - at);
        }
    }
    sl_buf_clear(&r->line);
    return rc;
}

int sl_sse_feed(struct sl_sse_reader *r, const char *bytes, size_t len, struct sl_err *err)
{
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        bool second = r->after_cr && c == '\n';
        r->after_cr = c == '\r';
        if (c != '\n' && c != '\r') {
            sl_buf_putc(&r->line, c);
        } else if (!second) {
            int rc = end_line(r, err);
            if (rc != 0) {
                return rc;
            }
        }
        if (r->line.overflow || r->value.overflow) {
            return sl_err_set(err, SL_ELIMIT, "an event is over %u bytes", SL_HTTP_EVENT_MAX);
        }
    }
    return 0;
}

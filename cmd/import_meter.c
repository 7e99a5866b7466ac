/* The progress of an import: a bar with bytes, rate and time left on a terminal, plain lines elsewhere.
 * Thread: ticks from any thread. */
#include "core/base/base.h"

#include "cmd/import.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/time.h"

#define REDRAW_MS 100
#define LINE_MS   10000
#define BAR_WIDTH 24
#define WIDTH_MIN 60
#define SETTLE_MS 1000 /* before a rate means anything */

struct sl_cmd_meter {
    pthread_mutex_t lock;
    char what[64];
    bool tty, color, quiet, drawn;
    int64_t start_ms, last_ms;
    uint64_t first_bytes; /* there before: not of this transfer's rate */
    bool begun;
};

static int64_t mono_ms(void)
{
    return sl_mono_ns() / 1000000;
}

struct sl_cmd_meter *sl_cmd_meter_new(struct sl_cmd *c, const char *what)
{
    struct sl_cmd_meter *m = SL_NEW(struct sl_cmd_meter);
    (void)pthread_mutex_init(&m->lock, NULL);
    (void)snprintf(m->what, sizeof(m->what), "%.40s", what);
    m->tty = isatty(STDERR_FILENO) == 1;
    m->color = c->color && m->tty;
    m->quiet = c->json;
    m->start_ms = m->last_ms = mono_ms();
    return m;
}

static void put_bar(const struct sl_cmd_meter *m, const struct sl_import_progress *p,
                    struct sl_buf *out)
{
    uint64_t done = SL_MIN(p->bytes, p->bytes_total);
    int filled = (int)((double)done / (double)p->bytes_total * BAR_WIDTH);
    sl_buf_puts(out, m->color ? "\x1b[36m" : "[");
    for (int i = 0; i < BAR_WIDTH; i++) {
        sl_buf_puts(out, m->color ? (i < filled ? "\xe2\x94\x81" : " ") : i < filled ? "#" : ".");
    }
    sl_buf_puts(out, m->color ? "\x1b[0m " : "] ");
}

static void put_numbers(const struct sl_cmd_meter *m, const struct sl_import_progress *p,
                        int64_t now_ms, struct sl_buf *out)
{
    char a[SL_TIME_TEXT];
    char b[SL_TIME_TEXT];
    int64_t took = now_ms - m->start_ms;
    sl_buf_puts(out, sl_size_format(p->bytes, a));
    if (p->bytes_total > 0) {
        sl_buf_printf(out, " of %s", sl_size_format(p->bytes_total, b));
    }
    if (p->files_total > 1 || (p->files_total == 0 && p->files > 1)) {
        sl_buf_printf(out, ", file %llu", (unsigned long long)p->files);
        if (p->files_total > 0) {
            sl_buf_printf(out, " of %llu", (unsigned long long)p->files_total);
        }
    }
    if (took < SETTLE_MS || p->bytes <= m->first_bytes) {
        return;
    }
    double rate = (double)(p->bytes - m->first_bytes) * 1000.0 / (double)took;
    sl_buf_printf(out, ", %s/s", sl_size_format((uint64_t)rate, a));
    if (p->bytes_total > p->bytes && rate >= 1) {
        int64_t left = (int64_t)((double)(p->bytes_total - p->bytes) / rate * 1000.0);
        left -= left % 1000;
        sl_buf_printf(out, ", %s left", left > 0 ? sl_duration_format(left, b) : "1s");
    }
}

void sl_cmd_meter_tick(const struct sl_import_progress *p, void *meter)
{
    struct sl_cmd_meter *m = meter;
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(4096);
    if (m->quiet) {
        return;
    }
    (void)pthread_mutex_lock(&m->lock);
    int64_t now = mono_ms();
    if (!m->begun) {
        m->begun = true;
        m->start_ms = now;
        m->first_bytes = p->bytes;
    }
    if (now - m->last_ms >= (m->tty ? REDRAW_MS : LINE_MS)) {
        struct winsize size = {.ws_col = 0};
        bool wide = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= WIDTH_MIN + 40;
        m->last_ms = now;
        sl_buf_puts(&out, m->tty ? "\r\x1b[K" : "");
        sl_buf_printf(&out, "%s  ", m->what);
        if (m->tty && wide && p->bytes_total > 0) {
            put_bar(m, p, &out);
        }
        put_numbers(m, p, now, &out);
        sl_buf_puts(&out, m->tty ? "" : "\n");
        (void)fputs(sl_buf_str(&out), stderr);
        (void)fflush(stderr);
        m->drawn = m->tty;
    }
    (void)pthread_mutex_unlock(&m->lock);
}

void sl_cmd_meter_free(struct sl_cmd_meter *m)
{
    if (m == NULL) {
        return;
    }
    if (m->drawn) {
        (void)fputs("\r\x1b[K", stderr);
    }
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
}

/**
 * The log: every line of the step with the time it was read and its stream, appended.
 *
 * A line is a prefix of exactly SHIM_PREFIX bytes, the content as it came (any byte but newline),
 * and a newline: "2026-11-20T10:00:00.123456Z o F text". Marks: o and e for the streams, s for the
 * shim's own notes; F closes a line, P is a piece of one. A disk that refuses loses lines, which are
 * counted; it never stops the step.
 *
 * Thread: single. Must not: allocate, block on the log's disk more than one write at a time.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define OUT_BYTES (256UL * 1024)

struct stream {
    char mark;
    struct sl_mask_stream mask;
    size_t len;
    char line[SHIM_LINE_MAX]; /* the unfinished line */
};

static struct {
    int fd;
    bool created;
    bool torn; /* the file may end inside a line */
    bool over; /* bytes_max was reached and noted */
    uint64_t bytes, bytes_max, dropped, noted, taken;
    struct stream streams[2];
    size_t out_len;
    char out[OUT_BYTES];
    char in[SHIM_LINE_MAX];
    char masked[SHIM_LINE_MAX + SL_MASK_ROOM];
    int64_t stamp_sec; /* what `stamp` holds */
    char stamp[21];    /* "2026-11-20T10:00:00." */
} lg;                  /* all zero, so that it takes no room in the image */

/* Days since 1970 to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static void civil(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2 ? 1 : 0));
}

static void write_prefix(char out[SHIM_PREFIX], int64_t us, char mark, char flag)
{
    int64_t sec = us / 1000000;
    if (sec != lg.stamp_sec) {
        int year = 0;
        int month = 0;
        int day = 0;
        int64_t rest = sec % 86400;
        civil(sec / 86400, &year, &month, &day);
        char text[64];
        (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.", year % 10000, month,
                       day, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
        memcpy(lg.stamp, text, 20);
        lg.stamp_sec = sec;
    }
    memcpy(out, lg.stamp, 20);
    int64_t fraction = us % 1000000;
    for (int i = 25; i >= 20; i--) {
        out[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    const char tail[] = {'Z', ' ', mark, ' ', flag, ' '};
    memcpy(out + 26, tail, sizeof(tail));
}

int shim_log_open(uint64_t bytes_max)
{
    lg.streams[SHIM_OUT].mark = 'o';
    lg.streams[SHIM_ERR].mark = 'e';
    lg.bytes_max = bytes_max;
    lg.fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (lg.fd < 0) {
        return errno;
    }
    lg.created = true;
    return 0;
}

void shim_log_discard(void)
{
    if (lg.created) {
        (void)unlink("log"); /* an empty file is all that can stay behind */
    }
}

static bool write_out(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(lg.fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        lg.torn = data[n - 1] != '\n';
        data += n;
        len -= (size_t)n;
    }
    return true;
}

void shim_log_flush(void)
{
    size_t len = lg.out_len;
    lg.out_len = 0;
    if (len == 0) {
        return;
    }
    if (lg.dropped != lg.noted && !lg.over) {
        char note[SHIM_PREFIX + 80];
        write_prefix(note, shim_wall_us(), 's', 'F');
        int n = snprintf(note + SHIM_PREFIX, 80, "%llu bytes of output were lost: disk full?\n",
                         (unsigned long long)(lg.dropped - lg.noted));
        if ((lg.torn && !write_out("\n", 1)) || !write_out(note, SHIM_PREFIX + (size_t)n)) {
            lg.dropped += len;
            return;
        }
        lg.noted = lg.dropped;
    }
    if (!write_out(lg.out, len)) {
        lg.dropped += len;
    }
}

static void emit(char mark, char flag, const char *text, size_t len, int64_t us)
{
    if (lg.over || (lg.bytes_max != 0 && lg.bytes + len > lg.bytes_max)) {
        lg.dropped += len;
        if (lg.over) {
            return;
        }
        lg.over = true;
        mark = 's';
        flag = 'F';
        text = "the limit of the log is reached: further output is dropped";
        len = strlen(text);
    }
    if (lg.out_len + SHIM_PREFIX + len + 1 > OUT_BYTES) {
        shim_log_flush();
    }
    lg.bytes += len;
    write_prefix(lg.out + lg.out_len, us, mark, flag);
    memcpy(lg.out + lg.out_len + SHIM_PREFIX, text, len);
    lg.out_len += SHIM_PREFIX + len;
    lg.out[lg.out_len++] = '\n';
}

static void emit_partial(struct stream *s, int64_t us)
{
    if (s->len > 0) {
        emit(s->mark, 'P', s->line, s->len, us);
        s->len = 0;
    }
}

/* Adds to the unfinished line, cutting pieces off whenever it is full. */
static void gather(struct stream *s, const char *text, size_t len, int64_t us)
{
    while (len > 0) {
        size_t n = SL_MIN(len, SHIM_LINE_MAX - s->len);
        memcpy(s->line + s->len, text, n);
        s->len += n;
        text += n;
        len -= n;
        if (s->len == SHIM_LINE_MAX && len > 0) {
            emit_partial(s, us);
        }
    }
}

static void take(struct stream *s, const char *text, size_t len, int64_t us)
{
    while (len > 0) {
        const char *newline = memchr(text, '\n', len);
        if (newline == NULL) {
            gather(s, text, len, us);
            return;
        }
        size_t n = (size_t)(newline - text);
        if (s->len == 0) {
            emit(s->mark, 'F', text, n, us);
        } else {
            gather(s, text, n, us);
            emit(s->mark, 'F', s->line, s->len, us);
            s->len = 0;
        }
        text += n + 1;
        len -= n + 1;
    }
}

static void end_stream(struct stream *s)
{
    int64_t us = shim_wall_us();
    if (shim_secret_mask() != NULL) {
        size_t given = sl_mask_end(shim_secret_mask(), &s->mask, lg.masked);
        take(s, lg.masked, given, us);
    }
    emit_partial(s, us);
}

bool shim_log_pump(enum shim_stream stream, int fd)
{
    struct stream *s = &lg.streams[stream];
    ssize_t n = read(fd, lg.in, sizeof(lg.in));
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        end_stream(s);
        return false;
    }
    const struct sl_mask *mask = shim_secret_mask();
    lg.taken += (size_t)n;
    if (mask != NULL) {
        size_t given = sl_mask_feed(mask, &s->mask, lg.in, (size_t)n, lg.masked);
        take(s, lg.masked, given, shim_wall_us());
    } else {
        take(s, lg.in, (size_t)n, shim_wall_us());
    }
    return true;
}

void shim_log_flush_partial(void)
{
    int64_t us = shim_wall_us();
    emit_partial(&lg.streams[SHIM_OUT], us);
    emit_partial(&lg.streams[SHIM_ERR], us);
}

void shim_log_finish(void)
{
    end_stream(&lg.streams[SHIM_OUT]);
    end_stream(&lg.streams[SHIM_ERR]);
}

bool shim_log_has_partial(void)
{
    return lg.streams[SHIM_OUT].len > 0 || lg.streams[SHIM_ERR].len > 0;
}

uint64_t shim_log_dropped(void)
{
    return lg.dropped;
}

uint64_t shim_log_taken(void)
{
    return lg.taken;
}

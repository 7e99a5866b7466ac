/* The live view of a run: see progress.h. Thread: main. */
#include "core/base/base.h"

#include "cmd/progress.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/table.h"
#include "core/base/time.h"

struct step {
    const char *key;
    const char *state; /* "pending" until told otherwise */
    const char *reason;
    int64_t attempt, started_ms, ended_ms;
};

#define HEAD_WIDTH 17 /* of a line before the step's name */

struct sl_progress {
    struct sl_cmd *c;
    struct sl_arena arena;
    struct step *steps;
    size_t n, hint, width;
    int drawn; /* live lines on the screen */
    bool live; /* redraws */
};

struct sl_progress *sl_progress_new(struct sl_cmd *c)
{
    struct sl_progress *p = SL_NEW(struct sl_progress);
    p->c = c;
    p->live = c->tty && !c->json;
    sl_arena_init(&p->arena, 0);
    return p;
}

void sl_progress_free(struct sl_progress *p)
{
    if (p != NULL) {
        sl_arena_release(&p->arena);
        free(p);
    }
}

/** Texts of states are few and static in the tables, but may come from JSON: kept once each. */
static const char *keep(struct sl_progress *p, const char *text)
{
    return text == NULL || text[0] == '\0' ? "" : sl_arena_strdup(&p->arena, text);
}

static bool is_live(const struct step *s)
{
    return sl_streq(s->state, "running") || sl_streq(s->state, "backoff");
}

static void erase(struct sl_progress *p)
{
    for (; p->drawn > 0; p->drawn--) {
        (void)fputs("\033[A\033[2K", stdout);
    }
}

/** Columns of the terminal; 0 when the output is none, or does not tell. */
static size_t columns(const struct sl_progress *p)
{
    struct winsize size = {0};
    return p->live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/** A line about a step, cut to the terminal: what is cut, 'sluice show' tells. */
static void put_line(struct sl_progress *p, const struct step *s, struct sl_buf *line)
{
    _cleanup_(buf)
    struct sl_buf rest = SL_BUF_INIT(65536);
    struct sl_buf *out = &rest;
    const char *paint = sl_state_color(s->state, p->c->color);
    char time[SL_TIME_TEXT] = "";
    int64_t until = s->ended_ms > 0 ? s->ended_ms : sl_now_ms();
    size_t key_width = sl_utf8_width(s->key, strlen(s->key));
    sl_buf_printf(line, "  %s%-14s%s ", paint, s->state, SL_COLOR_END(p->c->color));
    sl_put_clean(out, s->key);
    sl_buf_printf(out, "%*s", (int)(p->width > key_width ? p->width - key_width : 0), "");
    if (s->started_ms > 0 && !sl_streq(s->state, "cached") && !sl_streq(s->state, "skipped") &&
        !sl_streq(s->state, "omitted") && (p->live || !is_live(s))) {
        (void)sl_duration_format(SL_MAX(until - s->started_ms, (int64_t)0), time);
    }
    sl_buf_printf(out, "  %8s", time);
    if (s->attempt > 1) {
        sl_buf_printf(out, "  attempt %lld", (long long)s->attempt);
    }
    if (s->reason[0] != '\0' && !sl_streq(s->state, "running") &&
        !sl_streq(s->state, "succeeded")) {
        sl_buf_puts(out, "  ");
        sl_put_reason(out, s->state, s->reason, sl_now_ms());
    }
    while (rest.len > 0 && rest.ptr[rest.len - 1] == ' ') {
        rest.ptr[--rest.len] = '\0';
    }
    size_t width = columns(p);
    size_t n = width > HEAD_WIDTH ? sl_utf8_cut(sl_buf_str(&rest), width - HEAD_WIDTH) : rest.len;
    sl_buf_add(line, sl_buf_str(&rest), n);
    sl_buf_puts(line, n < rest.len ? "…\n" : "\n");
}

static void draw(struct sl_progress *p)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(65536);
    size_t running = 0;
    size_t pending = 0;
    sl_buf_puts(&out, "\033[?7l");
    for (size_t i = 0; i < p->n; i++) {
        pending += sl_streq(p->steps[i].state, "pending") ? 1 : 0;
        if (is_live(&p->steps[i]) && running++ < SL_PROGRESS_LIVE_MAX) {
            put_line(p, &p->steps[i], &out);
            p->drawn++;
        }
    }
    if (running > SL_PROGRESS_LIVE_MAX) {
        sl_buf_printf(&out, "  %zu more running\n", running - SL_PROGRESS_LIVE_MAX);
        p->drawn++;
    }
    if (pending > 0) {
        sl_buf_printf(&out, "  %s%zu waiting%s\n", p->c->color ? "\033[2m" : "", pending,
                      SL_COLOR_END(p->c->color));
        p->drawn++;
    }
    sl_buf_puts(&out, "\033[?7h"); /* a line that wrapped would be erased by half only */
    (void)fputs(sl_buf_str(&out), stdout);
    (void)fflush(stdout);
}

static void print_step(struct sl_progress *p, const struct step *s)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(65536);
    put_line(p, s, &out);
    (void)fputs(sl_buf_str(&out), stdout);
}

void sl_progress_note(struct sl_progress *p, const char *text)
{
    if (p->c->json) {
        (void)fprintf(stderr, "%s\n", text);
        return;
    }
    erase(p);
    (void)printf("%s\n", text);
    if (p->live) {
        draw(p);
    }
    (void)fflush(stdout);
}

void sl_progress_begin(struct sl_progress *p, const json_t *run)
{
    const json_t *steps = json_object_get(run, "steps");
    json_t *o = NULL;
    size_t i = 0;
    p->n = json_array_size(steps);
    p->steps = SL_ARENA_ARRAY(&p->arena, struct step, p->n + 1);
    json_array_foreach (steps, i, o) {
        p->steps[i].key = keep(p, sl_json_str(o, "key", ""));
        p->steps[i].state = "pending";
        p->steps[i].reason = "";
        p->width = SL_MAX(p->width, sl_utf8_width(p->steps[i].key, strlen(p->steps[i].key)));
    }
    p->width = SL_MIN(p->width, (size_t)48);
    json_array_foreach (steps, i, o) {
        struct sl_change change = {.run = sl_json_str(run, "id", ""),
                                   .key = p->steps[i].key,
                                   .state = sl_json_str(o, "state", "pending"),
                                   .reason = sl_json_str(o, "reason", ""),
                                   .attempt = sl_json_i64(o, "attempts", 0),
                                   .ts_ms =
                                       sl_json_i64(o, "ended_ms", sl_json_i64(o, "started_ms", 0))};
        p->steps[i].started_ms = sl_json_i64(o, "started_ms", 0);
        if (!sl_streq(change.state, "pending")) {
            sl_progress_change(p, &change);
        }
    }
    const char *why = sl_json_str(run, "reason", "");
    if (sl_streq(sl_json_str(run, "state", ""), "queued") && why[0] != '\0') {
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(4096);
        sl_buf_puts(&text, "queued: ");
        sl_put_clean(&text, why);
        sl_progress_note(p, sl_buf_str(&text));
    }
}

static struct step *find(struct sl_progress *p, const char *key)
{
    for (size_t k = 0; k < p->n; k++) { /* events come near each other in plan order */
        size_t i = (p->hint + k) % p->n;
        if (sl_streq(p->steps[i].key, key)) {
            p->hint = i;
            return &p->steps[i];
        }
    }
    return NULL;
}

static void print_json(const struct sl_change *x)
{
    json_auto_t *o = json_object();
    char time[SL_TIME_TEXT];
    sl_json_set_str(o, "time", sl_time_format(x->ts_ms, time));
    sl_json_set_str(o, "run", x->run);
    sl_json_set_str(o, "step", x->key);
    sl_json_set_str(o, "state", x->state);
    if (x->key != NULL) {
        sl_json_set_i64(o, "attempt", x->attempt);
    }
    sl_json_set_str(o, "reason", x->reason);
    _cleanup_(free)
    char *line = sl_json_canonical(o);
    (void)printf("%s\n", line);
    (void)fflush(stdout);
}

void sl_progress_change(struct sl_progress *p, const struct sl_change *x)
{
    struct step *s = x->key != NULL && p->n > 0 ? find(p, x->key) : NULL;
    if (p->c->json) {
        if (s == NULL || !sl_streq(s->state, x->state) || s->attempt != x->attempt) {
            print_json(x);
        }
    }
    if (s == NULL || (sl_streq(s->state, x->state) && s->attempt == x->attempt)) {
        return;
    }
    s->state = keep(p, x->state);
    s->reason = keep(p, x->reason);
    s->attempt = x->attempt;
    if (is_live(s)) {
        s->started_ms = sl_streq(s->state, "running") && x->ts_ms > 0 ? x->ts_ms : s->started_ms;
        s->ended_ms = 0;
    } else {
        s->started_ms = s->started_ms > 0 ? s->started_ms : x->ts_ms;
        s->ended_ms = x->ts_ms;
    }
    if (p->c->json) {
        return;
    }
    if (!p->live) {
        print_step(p, s);
        (void)fflush(stdout);
        return;
    }
    erase(p);
    if (!is_live(s)) {
        print_step(p, s);
    }
    draw(p);
}

void sl_progress_tick(struct sl_progress *p)
{
    if (p->live) {
        erase(p);
        draw(p);
    }
}

void sl_progress_end(struct sl_progress *p)
{
    if (p->live) {
        erase(p);
    }
    (void)fflush(stdout);
}

/* The live view of a run: see progress.h. Thread: main. */
#include "core/base/base.h"

#include "cmd/progress.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/table.h"
#include "core/base/time.h"
#include "pipelines/core/machines.h"

/** A written step with its instances. */
struct group {
    const char *id;
    size_t n, n_live, n_ended, n_good, n_cached;
    int64_t started_ms; /* of its first instance */
};

struct step {
    const char *key;
    uint32_t group;
    const char *state; /* "pending" until told otherwise */
    const char *reason;
    int64_t attempt, started_ms, ended_ms;
};

#define HEAD_WIDTH    17       /* of a line before the step's name */
#define DRAW_PAUSE_NS 40000000 /* between drawings that show nothing but numbers */

struct sl_progress {
    struct sl_cmd *c;
    struct sl_arena arena;
    struct step *steps;
    SL_VEC(struct group) groups;
    SL_VEC(uint32_t) running; /* indexes of live steps, in plan order */
    size_t n, n_pending, hint, width;
    int64_t over_ms,
        known_runs; /* when it is expected to be over, and from how many runs; 0 unknown */
    int64_t drawn_ns;
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
        sl_vec_free(&p->groups);
        sl_vec_free(&p->running);
        sl_arena_release(&p->arena);
        free(p);
    }
}

/** Names of states are few: that of the table. */
static const char *state_name(struct sl_progress *p, const char *text)
{
    int state = sl_sm_parse(&sl_step_machine, text);
    return state >= 0 ? sl_sm_name(&sl_step_machine, state) : sl_arena_strdup(&p->arena, text);
}

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

/** A state as wide as its column. */
static const char *short_state(const char *state)
{
    return sl_streq(state, "awaiting_approval") ? "awaiting" : state;
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
    sl_buf_printf(line, "  %s%-14s%s ", paint, short_state(s->state), SL_COLOR_END(p->c->color));
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

/** "  running        train  12 running, 340 of 1000 ended, 2 not well" */
static void put_group(struct sl_progress *p, const struct group *g, struct sl_buf *out)
{
    const char *state = g->n_live > 0 ? "running" : g->n_ended < g->n ? "pending" : "succeeded";
    size_t bad = g->n_ended - g->n_good;
    char time[SL_TIME_TEXT];
    state = g->n_live == 0 && bad > 0 && g->n_ended == g->n ? "failed" : state;
    sl_buf_printf(out, "  %s%-14s%s ", sl_state_color(state, p->c->color), state,
                  SL_COLOR_END(p->c->color));
    sl_put_clean(out, g->id);
    sl_buf_printf(out, "  %zu of %zu ended", g->n_ended, g->n);
    if (g->n_live > 0) {
        sl_buf_printf(out, ", %zu running", g->n_live);
    }
    if (g->n_cached > 0) {
        sl_buf_printf(out, ", %zu cached", g->n_cached);
    }
    if (bad > 0) {
        sl_buf_printf(out, ", %zu not well", bad);
    }
    if (g->started_ms > 0) {
        sl_buf_printf(out, "  %s",
                      sl_duration_format(SL_MAX(sl_now_ms() - g->started_ms, (int64_t)0), time));
    }
    sl_buf_putc(out, '\n');
}

static bool is_counted(const struct group *g)
{
    return g->n > SL_PROGRESS_EACH_MAX;
}

static void put_live(struct sl_progress *p, struct sl_buf *out)
{
    size_t shown = 0;
    for (size_t i = 0; i < p->groups.n && shown < SL_PROGRESS_LIVE_MAX; i++) {
        const struct group *g = &p->groups.items[i];
        if (is_counted(g) && g->n_live > 0) {
            put_group(p, g, out);
            shown++;
        }
    }
    size_t left = 0;
    for (size_t i = 0; i < p->running.n; i++) {
        const struct step *s = &p->steps[p->running.items[i]];
        if (is_counted(&p->groups.items[s->group])) {
            continue;
        }
        if (shown < SL_PROGRESS_LIVE_MAX) {
            put_line(p, s, out);
            shown++;
        } else {
            left++;
        }
    }
    p->drawn += (int)shown;
    if (left > 0) {
        sl_buf_printf(out, "  %zu more running\n", left);
        p->drawn++;
    }
}

/** How much waits, and how long it may take. */
static void put_rest(struct sl_progress *p, struct sl_buf *out)
{
    bool expected = p->over_ms > 0 && p->running.n + p->n_pending > 0;
    int64_t left = p->over_ms - sl_now_ms();
    char time[SL_TIME_TEXT];
    if (p->n_pending == 0 && !expected) {
        return;
    }
    sl_buf_printf(out, "  %s", p->c->color ? "\033[2m" : "");
    if (p->n_pending > 0) {
        sl_buf_printf(out, "%zu waiting%s", p->n_pending, expected ? ", " : "");
    }
    if (expected && left > 0) {
        sl_buf_printf(out, "about %s left, from %lld run%s",
                      sl_duration_format(left / 1000 * 1000 + 1000, time), (long long)p->known_runs,
                      p->known_runs == 1 ? "" : "s");
    } else if (expected) {
        sl_buf_printf(out, "%s longer than before", sl_duration_format(-left / 1000 * 1000, time));
    }
    sl_buf_printf(out, "%s\n", SL_COLOR_END(p->c->color));
    p->drawn++;
}

static void draw(struct sl_progress *p)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(65536);
    sl_buf_puts(&out, "\033[?7l");
    put_live(p, &out);
    put_rest(p, &out);
    sl_buf_puts(&out, "\033[?7h"); /* a line that wrapped would be erased by half only */
    (void)fputs(sl_buf_str(&out), stdout);
    (void)fflush(stdout);
    p->drawn_ns = sl_mono_ns();
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

/** Instances of one step follow each other. */
static uint32_t group_of(struct sl_progress *p, const json_t *step)
{
    const char *id = sl_json_str(step, "step", sl_json_str(step, "key", ""));
    if (p->groups.n == 0 || !sl_streq(p->groups.items[p->groups.n - 1].id, id)) {
        struct group g = {.id = keep(p, id)};
        sl_vec_push(&p->groups, g);
    }
    p->groups.items[p->groups.n - 1].n++;
    return (uint32_t)p->groups.n - 1;
}

static void read_estimate(struct sl_progress *p, const json_t *run)
{
    const json_t *estimate = json_object_get(run, "estimate");
    if (estimate != NULL) {
        p->over_ms = sl_now_ms() + sl_json_i64(estimate, "left_ms", 0);
        p->known_runs = sl_json_i64(estimate, "runs", 0);
    }
}

void sl_progress_begin(struct sl_progress *p, const json_t *run)
{
    const json_t *steps = json_object_get(run, "steps");
    json_t *o = NULL;
    size_t i = 0;
    p->n = p->n_pending = json_array_size(steps);
    p->steps = SL_ARENA_ARRAY(&p->arena, struct step, p->n + 1);
    read_estimate(p, run);
    json_array_foreach (steps, i, o) {
        p->steps[i].key = keep(p, sl_json_str(o, "key", ""));
        p->steps[i].group = group_of(p, o);
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

/** Moves a step between the counts of its group. */
static void count_step(struct sl_progress *p, const struct step *s, int by)
{
    struct group *g = &p->groups.items[s->group];
    int state = sl_sm_parse(&sl_step_machine, s->state);
    bool final = state >= 0 && sl_step_state_final((enum sl_step_state)state);
    size_t one = (size_t)by; /* adding the greatest size_t takes one away */
    p->n_pending += state == SL_STEP_PENDING ? one : 0;
    g->n_live += is_live(s) ? one : 0;
    g->n_ended += final ? one : 0;
    g->n_cached += state == SL_STEP_CACHED ? one : 0;
    g->n_good += final && (sl_step_state_good((enum sl_step_state)state) ||
                           state == SL_STEP_SKIPPED || state == SL_STEP_OMITTED)
                     ? one
                     : 0;
}

static void list_running(struct sl_progress *p, uint32_t index, bool live)
{
    size_t at = 0;
    while (at < p->running.n && p->running.items[at] < index) {
        at++;
    }
    bool there = at < p->running.n && p->running.items[at] == index;
    if (there && !live) {
        p->running.n--;
        memmove(&p->running.items[at], &p->running.items[at + 1],
                (p->running.n - at) * sizeof(index));
    } else if (!there && live) {
        sl_vec_push(&p->running, index);
        memmove(&p->running.items[at + 1], &p->running.items[at],
                (p->running.n - 1 - at) * sizeof(index));
        p->running.items[at] = index;
    }
}

static void move_step(struct sl_progress *p, struct step *s, const struct sl_change *x)
{
    struct group *g = &p->groups.items[s->group];
    count_step(p, s, -1);
    s->state = state_name(p, x->state);
    s->reason = keep(p, x->reason);
    s->attempt = x->attempt;
    if (is_live(s)) {
        s->started_ms = sl_streq(s->state, "running") && x->ts_ms > 0 ? x->ts_ms : s->started_ms;
        s->ended_ms = 0;
    } else {
        s->started_ms = s->started_ms > 0 ? s->started_ms : x->ts_ms;
        s->ended_ms = x->ts_ms;
    }
    g->started_ms = g->started_ms > 0 ? g->started_ms : s->started_ms;
    count_step(p, s, 1);
    list_running(p, (uint32_t)(s - p->steps), is_live(s));
}

/** Whether the change gets a line of its own, for good. */
static bool is_told(const struct sl_progress *p, const struct step *s)
{
    const struct group *g = &p->groups.items[s->group];
    static const char *const quiet[] = {"running", "succeeded", "cached",
                                        "skipped", "omitted",   "cancelled"};
    if (!is_counted(g)) {
        return !p->live || !is_live(s);
    }
    for (size_t i = 0; i < SL_LEN(quiet); i++) {
        if (sl_streq(s->state, quiet[i])) {
            return false;
        }
    }
    return true;
}

static void print_group(struct sl_progress *p, const struct group *g)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(65536);
    if (is_counted(g) && g->n_ended == g->n) {
        put_group(p, g, &out);
        (void)fputs(sl_buf_str(&out), stdout);
    }
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
    move_step(p, s, x);
    if (p->c->json) {
        return;
    }
    const struct group *g = &p->groups.items[s->group];
    bool told = is_told(p, s);
    bool whole = is_counted(g) && g->n_ended == g->n;
    if (!told && !whole && p->live && sl_mono_ns() - p->drawn_ns < DRAW_PAUSE_NS) {
        return; /* the next change or tick shows it */
    }
    if (p->live) {
        erase(p);
    }
    if (told) {
        print_step(p, s);
    }
    print_group(p, g);
    if (p->live) {
        draw(p);
    }
    (void)fflush(stdout);
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

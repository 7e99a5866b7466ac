/* logs: what steps wrote, now and as it comes. Logs are files of the data directory. Thread: main. */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "cmd/cmd.h"
#include "cmd/table.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "runners/local/logread.h"

#define FOLLOW_MS 200

struct place { /* where reading an attempt's log goes on */
    const char *attempt;
    uint64_t offset;
};

struct reading {
    struct sl_cmd *c;
    const char *step; /* NULL: all */
    int64_t attempt;  /* 0: the last */
    bool time;
    const char *run_id;
    size_t width, shown;
    SL_VEC(struct place) places;
};

static void print_line(struct reading *r, const char *key, const struct sl_log_line *line)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    char time[SL_TIME_TEXT];
    static const char *const names[] = {"out", "err", "note"};
    const char *stream = names[line->stream == SL_LOG_STDOUT   ? 0
                               : line->stream == SL_LOG_STDERR ? 1
                                                               : 2];
    _cleanup_(free)
    char *text = sl_strndup(line->text, line->len);
    if (r->c->json) {
        _cleanup_(buf)
        struct sl_buf clean = SL_BUF_INIT((size_t)1 << 20);
        sl_put_clean(&clean, text);
        json_auto_t *o =
            json_pack("{s:s, s:s, s:s, s:s}", "time", sl_time_format(line->ts_us / 1000, time),
                      "step", key, "stream", stream, "text", sl_buf_str(&clean));
        _cleanup_(free)
        char *json = sl_json_canonical(o);
        (void)printf("%s\n", json);
        return;
    }
    if (r->time) {
        sl_buf_printf(&out, "%s ", sl_time_format(line->ts_us / 1000, time));
    }
    if (r->step == NULL) {
        sl_buf_printf(&out, "%-*s | ", (int)r->width, key);
    }
    sl_buf_puts(&out, line->stream == SL_LOG_NOTE ? "sluice: " : "");
    if (r->c->tty) {
        sl_put_clean(&out, text);
    } else {
        sl_buf_add(&out, line->text, line->len);
    }
    sl_buf_putc(&out, '\n');
    (void)fwrite(sl_buf_str(&out), 1, out.len, stdout);
}

static struct place *place_of(struct reading *r, const char *attempt)
{
    for (size_t i = 0; i < r->places.n; i++) {
        if (sl_streq(r->places.items[i].attempt, attempt)) {
            return &r->places.items[i];
        }
    }
    struct place fresh = {sl_arena_strdup(&r->c->arena, attempt), 0};
    sl_vec_push(&r->places, fresh);
    return &r->places.items[r->places.n - 1];
}

static int read_attempt(struct reading *r, const char *key, const char *attempt)
{
    struct sl_logread *log = NULL;
    struct sl_log_line line;
    struct place *at = place_of(r, attempt);
    _cleanup_(free)
    char *dir = sl_asprintf("%s/runs/%s/%s", r->c->data_path, r->run_id, attempt);
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, dir, &r->c->err);
    int rc = fd < 0 ? fd : sl_logread_open(fd, at->offset, &log, &r->c->err);
    if (rc == -SL_ENOTFOUND) { /* gates and the like write none, others not yet */
        return 0;
    }
    while (rc >= 0 && (rc = sl_logread_next(log, &line, &r->c->err)) > 0) {
        print_line(r, key, &line);
        at->offset = line.next_offset;
        r->shown++;
    }
    sl_logread_close(log);
    return rc;
}

static int read_step(struct reading *r, const json_t *step)
{
    const json_t *list = json_object_get(step, "attempt_list");
    int rc = 0;
    size_t i = 0;
    json_t *a = NULL;
    json_array_foreach (list, i, a) {
        bool wanted = r->attempt > 0 ? sl_json_i64(a, "number", 0) == r->attempt
                                     : i + 1 == json_array_size(list);
        if (rc == 0 && wanted) {
            rc = read_attempt(r, sl_json_str(step, "key", ""), sl_json_str(a, "id", ""));
        }
    }
    return rc;
}

/** One pass over all wanted logs; *ret_final when the run has ended. */
static int pass(struct reading *r, const char *run_name, bool *ret_final)
{
    json_auto_t *run = NULL;
    bool found = false;
    size_t i = 0;
    json_t *s = NULL;
    int rc = sl_call(r->c, "runs.show", json_pack("{s:s}", "run", run_name), &run);
    if (rc < 0) {
        return rc;
    }
    *ret_final = sl_json_bool(run, "final", false);
    r->run_id = sl_arena_strdup(&r->c->arena, sl_json_str(run, "id", ""));
    json_array_foreach (json_object_get(run, "steps"), i, s) {
        r->width = SL_MIN(SL_MAX(r->width, strlen(sl_json_str(s, "key", ""))), (size_t)40);
    }
    json_array_foreach (json_object_get(run, "steps"), i, s) {
        const char *key = sl_json_str(s, "key", "");
        if (r->step != NULL && !sl_streq(key, r->step)) {
            continue;
        }
        found = true;
        rc = rc < 0 ? rc : read_step(r, s);
        if (r->step != NULL && r->shown == 0 && sl_json_str(s, "from_run", NULL) != NULL) {
            (void)fprintf(stderr, "sluice: this step was cached; its log is at %s/%s\n",
                          sl_json_str(s, "from_run", ""), key);
        }
    }
    if (!found && r->step != NULL) {
        SL_VEC(const char *) names = {0};
        json_array_foreach (json_object_get(run, "steps"), i, s) {
            sl_vec_push(&names, sl_json_str(s, "key", ""));
        }
        const char *near = names.n > 0 ? sl_nearest(r->step, names.items, names.n) : NULL;
        rc = sl_err_set(&r->c->err, SL_ENOTFOUND, "run %s has no step '%.100s'%s%s%s",
                        sl_json_str(run, "name", ""), r->step,
                        near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
        sl_vec_free(&names);
    }
    (void)fflush(stdout);
    return rc;
}

int sl_cmd_logs(struct sl_cmd *c)
{
    const char *text = sl_cmd_arg(c, 0);
    const char *slash = strchr(text, '/');
    const char *run =
        slash != NULL ? sl_arena_strndup(&c->arena, text, (size_t)(slash - text)) : text;
    const char *attempt = sl_cmd_opt(c, "attempt");
    struct reading r = {
        .c = c, .step = slash != NULL ? slash + 1 : NULL, .time = sl_cmd_flag(c, "time")};
    bool final = false;
    if (attempt != NULL && (!sl_parse_i64(attempt, &r.attempt) || r.attempt < 1)) {
        (void)sl_err_set(&c->err, SL_EINVAL, "--attempt %s: expected a number from 1", attempt);
        return sl_cmd_fail(c);
    }
    int rc = pass(&r, run, &final);
    while (rc == 0 && sl_cmd_flag(c, "follow") && !final) {
        struct timespec pause = {0, FOLLOW_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        rc = pass(&r, r.run_id, &final);
    }
    sl_vec_free(&r.places);
    return rc < 0 ? sl_cmd_fail(c) : SL_EXIT_OK;
}

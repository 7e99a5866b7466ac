/* plan: what a run would do. Thread: main. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/load.h"
#include "cmd/table.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "pipelines/run/estimate.h"
#include "pipelines/run/facts.h"
#include "pipelines/run/preview.h"
#include "pipelines/run/workspace.h"

/** Where decided steps go, and what they add up to. */
struct sink {
    sl_preview_fn fn;
    void *data;
    struct sl_estimate *estimate; /* NULL: unknown */
};

static void take_step(const json_t *s, void *data)
{
    struct sink *k = data;
    if (k->estimate != NULL) {
        sl_estimate_add(k->estimate, s, 0);
    }
    k->fn(s, k->data);
}

static void set_estimate(const struct sink *k, json_t *plan)
{
    struct sl_estimate_result r;
    if (k->estimate != NULL && sl_estimate_result(k->estimate, sysconf(_SC_NPROCESSORS_ONLN), &r)) {
        json_object_set_new(plan, "estimate",
                            json_pack("{s:I, s:I, s:I, s:I}", "left_ms", (json_int_t)r.left_ms,
                                      "runs", (json_int_t)r.n_runs, "steps_known",
                                      (json_int_t)r.n_known, "steps_unknown",
                                      (json_int_t)r.n_unknown));
    }
}

static int preview(struct sl_cmd *c, const struct sl_loaded *l, sl_preview_fn fn, void *data,
                   json_t **ret)
{
    struct sink sink = {fn, data, NULL};
    struct sl_preview_world w = {.no_cache = sl_cmd_flag(c, "no-cache")};
    json_t *runtime = sl_facts_runtime(&w.runtime);
    json_decref(runtime);
    bool made = false;
    int rc = sl_cmd_data_or_make(c, &made);
    w.data_dir = c->data_path;
    rc = rc < 0 ? rc : sl_workspace_open_reader(c->data_path, &w.db, &c->err);
    rc = rc < 0 ? rc : sl_workspace_open_blobs(c->data_path, &w.blobs, &c->err);
    rc = rc < 0 ? rc : sl_estimate_load(w.db, l->spec->name, 0, &sink.estimate, &c->err);
    rc = rc < 0 ? rc : sl_preview(l, &w, take_step, &sink, ret, &c->err);
    if (rc == 0) {
        set_estimate(&sink, *ret);
    }
    sl_estimate_free(sink.estimate);
    sl_blob_store_close(w.blobs);
    sl_db_close(w.db);
    return rc;
}

/** What is no process runs inside the engine and asks for nothing. */
static void resources_cell(struct sl_table *t, const json_t *s)
{
    const json_t *r = json_object_get(s, "resources");
    const char *action = sl_json_str(s, "action", "run");
    if (!sl_streq(action, "run") && !sl_streq(action, "command")) {
        sl_table_cell(t, "");
        return;
    }
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(500);
    char size[SL_TIME_TEXT];
    sl_buf_printf(&text, "%.3g cpu", (double)sl_json_i64(r, "cpu_milli", 0) / 1000.0);
    if (sl_json_i64(r, "memory_bytes", 0) > 0) {
        sl_buf_printf(&text, ", %s",
                      sl_size_format((uint64_t)sl_json_i64(r, "memory_bytes", 0), size));
    }
    if (sl_json_i64(r, "gpu", 0) > 0) {
        sl_buf_printf(&text, ", %lld gpu", (long long)sl_json_i64(r, "gpu", 0));
    }
    sl_table_cell(t, sl_buf_str(&text));
}

static void reason_cell(struct sl_table *t, const json_t *s)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(65536);
    size_t i = 0;
    json_t *d = NULL;
    sl_buf_puts(&text, sl_json_str(s, "reason", ""));
    if (sl_json_str(s, "compared_with", NULL) != NULL) {
        sl_buf_printf(&text, " from %s", sl_json_str(s, "compared_with", ""));
    }
    json_array_foreach (json_object_get(s, "differences"), i, d) {
        sl_buf_printf(&text, "%s%s", i == 0 ? ": " : ", ", sl_json_str(d, "field", ""));
    }
    sl_table_cell(t, sl_buf_str(&text));
}

static void put_step(const json_t *s, void *data)
{
    struct sl_table *t = data;
    sl_table_cell(t, sl_json_str(s, "key", ""));
    sl_table_cell(t, sl_json_str(s, "decision", ""));
    reason_cell(t, s);
    sl_table_cell(t, sl_json_str(s, "condition", ""));
    resources_cell(t, s);
}

static void put_head(const json_t *plan, struct sl_buf *out)
{
    const json_t *code = json_object_get(plan, "code");
    const json_t *counts = json_object_get(plan, "counts");
    char size[SL_TIME_TEXT];
    sl_buf_printf(out, "%s: %lld to run, %lld cached, %lld skipped, %lld waiting",
                  sl_json_str(plan, "pipeline", ""), (long long)sl_json_i64(counts, "run", 0),
                  (long long)sl_json_i64(counts, "cached", 0),
                  (long long)sl_json_i64(counts, "skipped", 0),
                  (long long)sl_json_i64(counts, "waiting", 0));
    if (sl_json_i64(counts, "error", 0) > 0) {
        sl_buf_printf(out, ", %lld cannot be bound", (long long)sl_json_i64(counts, "error", 0));
    }
    sl_buf_printf(out, "\ncode: %lld files, %s", (long long)sl_json_i64(code, "files", 0),
                  sl_size_format((uint64_t)sl_json_i64(code, "bytes", 0), size));
    if (sl_json_bool(code, "in_git", false)) {
        const char *commit = sl_json_str(code, "commit", "");
        sl_buf_printf(out, ", git %.12s%s", commit[0] != '\0' ? commit : "without a commit",
                      sl_json_bool(code, "dirty", false) ? " with changes" : "");
    }
    if (json_object_get(plan, "estimate") != NULL) {
        sl_buf_puts(out, "\nexpected: ");
        sl_put_estimate(json_object_get(plan, "estimate"), out);
    }
    sl_buf_puts(out, "\n\n");
}

static int print_text(struct sl_cmd *c, const struct sl_loaded *l)
{
    static const char *const heads[] = {"STEP", "DECISION", "WHY", "CONDITION", "NEEDS", NULL};
    struct sl_buf out = SL_BUF_INIT((size_t)256 << 20);
    json_auto_t *plan = NULL;
    struct sl_table t;
    sl_table_init(&t, heads);
    t.fit = sl_cmd_columns(c);
    if (preview(c, l, put_step, &t, &plan) < 0) {
        return sl_cmd_fail(c);
    }
    put_head(plan, &out);
    sl_table_print(&t, c->color, &out);
    return sl_cmd_print(&out);
}

/** Steps as they are decided, one a line; what is known at the end follows them. */
static void write_step(const json_t *s, void *data)
{
    bool *first = data;
    _cleanup_(free)
    char *text = sl_json_canonical(s);
    printf("%s    %s", *first ? "{\n  \"steps\": [\n" : ",\n", text);
    *first = false;
}

static int print_json(struct sl_cmd *c, const struct sl_loaded *l)
{
    json_auto_t *plan = NULL;
    bool first = true;
    if (preview(c, l, write_step, &first, &plan) < 0) {
        return sl_cmd_fail(c);
    }
    const char *key = NULL;
    json_t *value = NULL;
    fputs(first ? "{\n  \"steps\": []" : "\n  ]", stdout); /* a plan may have no steps */
    json_object_foreach (plan, key, value) {
        _cleanup_(free)
        char *text = sl_json_canonical(value);
        printf(",\n  \"%s\": %s", key, text);
    }
    printf("\n}\n");
    return fflush(stdout) == 0 ? SL_EXIT_OK : SL_EXIT_FAILED;
}

int sl_cmd_plan(struct sl_cmd *c)
{
    struct sl_loaded l = {0};
    struct sl_submission_opts opts;
    int status = SL_EXIT_USAGE;
    if (sl_cmd_load(c, sl_cmd_arg(c, 0), &l, &opts, &status) < 0) {
        return status;
    }
    status = c->json ? print_json(c, &l) : print_text(c, &l);
    sl_loaded_release(&l);
    return status;
}

/** The expanded plan of a run as content: written step by step, so that a large one is never held whole. */
#include "core/base/base.h"

#include "pipelines/run/plan_store.h"

#include <stdlib.h>

#include "core/blob/stream.h"

#define CHUNK_BYTES (64UL << 10)
#define STEP_BYTES  (16UL << 20) /* of one step's JSON: a step that joins 100,000 names them all */

struct writer {
    struct sl_blob_stream *stream;
    struct sl_buf text; /* what was not written yet */
    struct sl_err *err;
};

static int flush(struct writer *w)
{
    int rc = w->text.overflow ? sl_err_set(w->err, SL_ELIMIT,
                                           "a step of the plan has more than %lu bytes", STEP_BYTES)
                              : sl_blob_stream_write(w->stream, w->text.ptr, w->text.len, w->err);
    sl_buf_clear(&w->text);
    return rc;
}

/** Takes the value. */
static int put(struct writer *w, json_t *value, const char *before)
{
    _cleanup_(free)
    char *text = sl_json_canonical(value);
    json_decref(value);
    sl_buf_puts(&w->text, before);
    sl_buf_puts(&w->text, text);
    return w->text.len >= CHUNK_BYTES || w->text.overflow ? flush(w) : 0;
}

/* The canonical form of {"params", "pipeline", "steps"}: names are sorted, so the steps come last. */
static int write_plan(struct writer *w, const struct sl_plan *plan)
{
    json_t *head = sl_plan_head_json(plan);
    _cleanup_(free)
    char *text = sl_json_canonical(head);
    json_decref(head);
    size_t len = strlen(text);
    SL_ASSERT(len > 2 && text[len - 1] == '}');
    sl_buf_add(&w->text, text, len - 1);
    sl_buf_puts(&w->text, ",\"steps\":[");
    int rc = 0;
    for (uint32_t i = 0; i < plan->n_steps && rc == 0; i++) {
        rc = put(w, sl_plan_step_json(plan, i), i > 0 ? "," : "");
    }
    sl_buf_puts(&w->text, "]}");
    return rc < 0 ? rc : flush(w);
}

static int stream_plan(struct sl_blob_session *session, const struct sl_plan *plan,
                       struct sl_digest *ret, struct sl_err *err)
{
    struct sl_blob_added added;
    struct writer w = {.text = SL_BUF_INIT(STEP_BYTES), .err = err};
    int rc = sl_blob_stream_open(session, &w.stream, err);
    if (rc < 0) {
        return rc;
    }
    rc = write_plan(&w, plan);
    sl_buf_release(&w.text);
    if (rc < 0) {
        sl_blob_stream_abort(w.stream);
        return rc;
    }
    rc = sl_blob_stream_close(w.stream, &added, err);
    if (rc == 0) {
        *ret = added.digest;
    }
    return rc;
}

int sl_plan_store(struct sl_blob_store *blobs, const struct sl_plan *plan, struct sl_digest *ret,
                  struct sl_err *err)
{
    struct sl_blob_session *session = NULL;
    struct sl_digest digest;
    int rc = sl_blob_session_begin(blobs, &session, err);
    rc = rc < 0 ? rc : stream_plan(session, plan, &digest, err);
    rc = rc < 0 ? rc : sl_blob_session_commit(session, err);
    sl_blob_session_free(session);
    if (rc == 0) {
        *ret = digest;
    }
    return rc;
}

/**
 * An entry's canonical bytes, and the closed vocabulary.
 *
 * Keys are written in sorted order by hand: an entry is appended for every step, and a JSON tree
 * would cost more than hashing the leaf.
 *
 * Thread: any. Must not: put a person's words into a leaf.
 */
#include "core/base/base.h"

#include <string.h>

#include "core/audit/audit_priv.h"
#include "core/base/json.h"
#include "core/base/time.h"

static const struct {
    const char *name, *retention;
} acts[] = {
#define SL_ACT(id, name, retention) [SL_ACT_##id] = {name, retention},
#include "core/audit/acts.def"
#undef SL_ACT
};

_Static_assert(SL_LEN(acts) == SL_ACT_COUNT, "every act has a name");

static const char *const results[] = {[SL_AUDIT_OK] = "ok",
                                      [SL_AUDIT_DENIED] = "denied",
                                      [SL_AUDIT_ERROR] = "error",
                                      [SL_AUDIT_INTENT] = "intent"};

const char *sl_act_name(enum sl_act act)
{
    SL_ASSERT((int)act >= 0 && act < SL_ACT_COUNT);
    return acts[act].name;
}

int sl_act_parse(const char *name)
{
    for (size_t i = 0; i < SL_LEN(acts); i++) {
        if (strcmp(acts[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int check_text(const char *what, const char *text, struct sl_err *err)
{
    if (text == NULL) {
        return 0;
    }
    size_t len = strlen(text);
    if (len > SL_AUDIT_ID_MAX) {
        return sl_err_set(err, SL_ELIMIT, "audit entry: %s is longer than %d bytes", what,
                          SL_AUDIT_ID_MAX);
    }
    if (sl_utf8_check(text, len) != len) {
        return sl_err_set(err, SL_EINVAL, "audit entry: %s is not valid UTF-8", what);
    }
    return 0;
}

static int check_entry(const struct sl_audit_entry *e, struct sl_err *err)
{
    SL_ASSERT(e->actor.id != NULL && e->actor.kind != NULL);
    if (e->n_objs < 0 || e->n_objs > SL_AUDIT_OBJS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "audit entry: more than %d objects", SL_AUDIT_OBJS_MAX);
    }
    int rc = 0;
    const struct {
        const char *what, *text;
    } texts[] = {{"the actor's id", e->actor.id},
                 {"the actor's kind", e->actor.kind},
                 {"the actor's auth", e->actor.auth},
                 {"the policy", e->policy},
                 {"the request", e->request}};
    for (size_t i = 0; rc == 0 && i < SL_LEN(texts); i++) {
        rc = check_text(texts[i].what, texts[i].text, err);
    }
    for (int i = 0; rc == 0 && i < e->n_objs; i++) {
        rc = check_text("an object's kind", e->objs[i].kind, err);
        rc = rc < 0 ? rc : check_text("an object's id", e->objs[i].id, err);
        rc = rc < 0 ? rc : check_text("an object's digest", e->objs[i].digest, err);
    }
    return rc;
}

/* `before` is the punctuation with the quoted key: ,"id": */
static void add(struct sl_buf *out, const char *before, const char *text)
{
    if (text != NULL) {
        sl_buf_puts(out, before);
        sl_buf_json_str(out, text, strlen(text));
    }
}

static void add_object(struct sl_buf *out, const struct sl_audit_obj *o)
{
    if (o->digest != NULL) {
        add(out, "{\"digest\":", o->digest);
        add(out, ",\"id\":", o->id);
    } else {
        add(out, "{\"id\":", o->id);
    }
    add(out, ",\"kind\":", o->kind);
    sl_buf_putc(out, '}');
}

int sl_audit_encode(const struct sl_audit_entry *e, int64_t index, struct sl_buf *out,
                    struct sl_err *err)
{
    int rc = check_entry(e, err);
    if (rc < 0) {
        return rc;
    }
    char time[SL_TIME_TEXT];
    add(out, "{\"act\":", sl_act_name(e->act));
    if (e->actor.auth != NULL) {
        add(out, ",\"actor\":{\"auth\":", e->actor.auth);
        add(out, ",\"id\":", e->actor.id);
    } else {
        add(out, ",\"actor\":{\"id\":", e->actor.id);
    }
    add(out, ",\"kind\":", e->actor.kind);
    sl_buf_printf(out, "},\"i\":%lld,\"obj\":[", (long long)index);
    for (int i = 0; i < e->n_objs; i++) {
        sl_buf_puts(out, i > 0 ? "," : "");
        add_object(out, &e->objs[i]);
    }
    sl_buf_putc(out, ']');
    add(out, ",\"pol\":", e->policy);
    add(out, ",\"req\":", e->request);
    add(out, ",\"res\":", results[e->result]);
    add(out, ",\"ret\":", acts[e->act].retention);
    add(out, ",\"t\":", sl_time_format(e->ts_ms, time));
    sl_buf_puts(out, ",\"v\":1}");
    if (out->overflow) {
        return sl_err_set(err, SL_ELIMIT, "audit entry: longer than %d bytes", SL_AUDIT_LEAF_MAX);
    }
    return 0;
}

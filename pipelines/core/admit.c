/* The rules of admit.h. Pure. */
#include "core/base/base.h"

#include "pipelines/core/admit.h"

#include <stdio.h>
#include <string.h>

int sl_admit_compare(const struct sl_admit_key *a, const struct sl_admit_key *b)
{
    if (a->priority != b->priority) {
        return a->priority > b->priority ? -1 : 1;
    }
    if (a->created_ms != b->created_ms) {
        return a->created_ms < b->created_ms ? -1 : 1;
    }
    return strcmp(a->id, b->id);
}

void sl_admit_view_running(struct sl_admit_view *v, const char *pipeline, int64_t number)
{
    if (v->running < SL_GROUP_NAMES_MAX) {
        snprintf(v->names[v->running], sizeof(v->names[0]), "%.*s#%lld", SL_SPEC_NAME_MAX, pipeline,
                 (long long)number);
    }
    v->running++;
}

void sl_admit_view_text(const struct sl_admit_view *v, struct sl_buf *out)
{
    int named = SL_MIN(v->running, SL_GROUP_NAMES_MAX);
    if (v->running < v->limit) {
        sl_buf_printf(out, "group %s has room (%d of %d)", v->group, v->running, v->limit);
    } else {
        sl_buf_printf(out, "group %s is full (%d of %d: ", v->group, v->running, v->limit);
        for (int i = 0; i < named; i++) {
            sl_buf_printf(out, "%s%s", i > 0 ? ", " : "", v->names[i]);
        }
        if (v->running > named) {
            sl_buf_printf(out, " and %d more", v->running - named);
        }
        sl_buf_putc(out, ')');
    }
    if (v->before > 0) {
        sl_buf_printf(out, "; %d run%s first", v->before, v->before > 1 ? "s go" : " goes");
    }
}

/* ---- the name of the group ------------------------------------------------------------------------ */

struct names {
    struct sl_value params, run;
};

static const struct sl_value *look_up(void *data, const char *name)
{
    const struct names *n = data;
    return sl_streq(name, "params") ? &n->params : sl_streq(name, "run") ? &n->run : NULL;
}

static int check_name(const char *name, struct sl_err *err)
{
    if (name[0] == '\0' || strlen(name) > SL_GROUP_NAME_MAX) {
        return sl_err_set(err, SL_EINVAL, "concurrency.group: its name has %zu bytes; 1 to %d",
                          strlen(name), SL_GROUP_NAME_MAX);
    }
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return sl_err_set(err, SL_EINVAL,
                              "concurrency.group: its name has a control character");
        }
    }
    return 0;
}

int sl_admit_group(const struct sl_plan *plan, struct sl_arena *a, const char **ret,
                   struct sl_err *err)
{
    static const char *const roots[] = {"params", "run", NULL};
    const struct sl_spec *spec = plan->spec;
    struct names names = {.params = {.type = SL_V_MAP}, .run = {.type = SL_V_MAP}};
    struct sl_expr_scope scope = {.lookup = look_up, .names = roots, .data = &names};
    struct sl_expr_err why;
    struct sl_value value;
    if (spec->concurrency.group == NULL) {
        *ret = NULL;
        return 0;
    }
    names.params.map.fields = SL_ARENA_ARRAY(a, struct sl_value_field, spec->n_params + 1);
    for (size_t i = 0; i < spec->n_params; i++) {
        names.params.map.fields[names.params.map.n++] =
            (struct sl_value_field){plan->params[i].param->name, plan->params[i].value};
    }
    names.run.map.fields = SL_ARENA_ARRAY(a, struct sl_value_field, 1);
    names.run.map.fields[names.run.map.n++] =
        (struct sl_value_field){"pipeline", sl_value_str(a, spec->name)};
    int rc = sl_tmpl_eval(spec->concurrency.group, &scope, a, &value, &why);
    if (rc < 0) {
        return sl_err_set(err, -rc, "concurrency.group: %s", why.msg);
    }
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_TMPL_LEN_MAX);
    sl_value_text(&value, &text);
    rc = check_name(sl_buf_str(&text), err);
    if (rc == 0) {
        *ret = sl_arena_strdup(a, sl_buf_str(&text));
    }
    return rc;
}

/* Expansion of a matrix: the product of its axes, minus exclude, plus include. Pure. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/plan/plan_priv.h"

static bool map_matches(const struct sl_value *instance, const struct sl_value *pattern)
{
    for (size_t i = 0; i < pattern->map.n; i++) {
        const struct sl_value *have = sl_value_get(instance, pattern->map.fields[i].name);
        if (have == NULL || !sl_value_eq(have, &pattern->map.fields[i].value)) {
            return false;
        }
    }
    return pattern->map.n > 0;
}

static bool excluded(const struct sl_matrix *m, const struct sl_value *instance)
{
    for (size_t i = 0; m->exclude != NULL && i < m->exclude->list.n; i++) {
        if (map_matches(instance, &m->exclude->list.items[i])) {
            return true;
        }
    }
    return false;
}

static size_t product(const struct sl_matrix *m)
{
    size_t n = m->n_axes > 0 ? 1 : 0;
    for (size_t i = 0; i < m->n_axes; i++) {
        if (m->axes[i].n == 0 || n > SL_SPEC_EXPANSION_MAX / m->axes[i].n + 1) {
            return m->axes[i].n == 0 ? 0 : (size_t)SL_SPEC_EXPANSION_MAX + 1;
        }
        n *= m->axes[i].n;
    }
    return n;
}

/** The k-th combination, the last axis running fastest. */
static struct sl_value combination(const struct sl_matrix *m, size_t k, struct sl_arena *a)
{
    struct sl_value v = {.type = SL_V_MAP};
    v.map.n = m->n_axes;
    v.map.fields = SL_ARENA_ARRAY(a, struct sl_value_field, m->n_axes);
    for (size_t i = m->n_axes; i-- > 0;) {
        v.map.fields[i].name = m->axes[i].name;
        v.map.fields[i].value = m->axes[i].values[k % m->axes[i].n];
        k /= m->axes[i].n;
    }
    return v;
}

static bool is_axis(const struct sl_matrix *m, const char *name)
{
    for (size_t i = 0; i < m->n_axes; i++) {
        if (sl_streq(m->axes[i].name, name)) {
            return true;
        }
    }
    return false;
}

/** Whether an include entry names this instance by every axis that it mentions. */
static bool extends(const struct sl_matrix *m, const struct sl_value *instance,
                    const struct sl_value *entry)
{
    for (size_t i = 0; i < entry->map.n; i++) {
        const struct sl_value_field *f = &entry->map.fields[i];
        const struct sl_value *have = sl_value_get(instance, f->name);
        if (is_axis(m, f->name) && (have == NULL || !sl_value_eq(have, &f->value))) {
            return false;
        }
    }
    return true;
}

static void extend(struct sl_value *instance, const struct sl_value *entry, struct sl_arena *a)
{
    size_t n = instance->map.n;
    struct sl_value_field *fields = SL_ARENA_ARRAY(a, struct sl_value_field, n + entry->map.n);
    for (size_t i = 0; i < n; i++) {
        fields[i] = instance->map.fields[i];
    }
    for (size_t i = 0; i < entry->map.n; i++) {
        if (sl_value_get(instance, entry->map.fields[i].name) == NULL) {
            fields[n++] = entry->map.fields[i];
        }
    }
    instance->map.fields = fields;
    instance->map.n = n;
}

/** As in GitHub's matrices: an entry adds its fields to the combinations it fits, else it is a new one. */
static size_t include(const struct sl_matrix *m, struct sl_value *list, size_t n,
                      struct sl_arena *a)
{
    size_t original = n;
    for (size_t e = 0; m->include != NULL && e < m->include->list.n; e++) {
        const struct sl_value *entry = &m->include->list.items[e];
        bool fitted = false;
        for (size_t i = 0; i < original; i++) {
            if (extends(m, &list[i], entry)) {
                extend(&list[i], entry, a);
                fitted = true;
            }
        }
        if (!fitted) {
            list[n++] = *entry;
        }
    }
    return n;
}

/** A fan-out is planned with all that it may have; which elements there are is known when it is decided. */
static struct sl_value *elements(const struct sl_matrix *m, struct sl_arena *a)
{
    struct sl_value *list = SL_ARENA_ARRAY(a, struct sl_value, (size_t)m->max);
    struct sl_value_field *fields = SL_ARENA_ARRAY(a, struct sl_value_field, (size_t)m->max);
    for (size_t i = 0; i < (size_t)m->max; i++) {
        fields[i] = (struct sl_value_field){"index", {.type = SL_V_INT, .i = (int64_t)i}};
        list[i].type = SL_V_MAP;
        list[i].map.fields = &fields[i];
        list[i].map.n = 1;
    }
    return list;
}

int sl_plan_instances(const struct sl_step *s, struct sl_arena *a, struct sl_diags *diags,
                      struct sl_value **ret, size_t *ret_n)
{
    const struct sl_matrix *m = s->matrix;
    if (m == NULL) {
        *ret = SL_ARENA_NEW(a, struct sl_value);
        *ret_n = 1;
        return 0;
    }
    if (m->from != NULL) {
        *ret = elements(m, a);
        *ret_n = (size_t)m->max;
        return 0;
    }
    size_t total = product(m);
    size_t extra = m->include != NULL ? m->include->list.n : 0;
    if (total + extra > SL_SPEC_EXPANSION_MAX) {
        sl_diag_add(diags, SL_SEV_ERROR, s->loc, (struct sl_str){0}, NULL,
                    "step '%s': the matrix expands to more than %d steps", s->id,
                    SL_SPEC_EXPANSION_MAX);
        return -SL_EINVAL;
    }
    struct sl_value *list = SL_ARENA_ARRAY(a, struct sl_value, total + extra + 1);
    size_t n = 0;
    for (size_t k = 0; k < total; k++) {
        struct sl_value v = combination(m, k, a);
        if (!excluded(m, &v)) {
            list[n++] = v;
        }
    }
    *ret_n = include(m, list, n, a);
    *ret = list;
    if (*ret_n == 0) {
        sl_diag_add(diags, SL_SEV_ERROR, s->loc, (struct sl_str){0}, NULL,
                    "step '%s': the matrix has no combination left", s->id);
        return -SL_EINVAL;
    }
    return 0;
}

const char *sl_plan_matrix_text(const struct sl_value *matrix, struct sl_arena *a)
{
    _cleanup_(buf)
    struct sl_buf b = SL_BUF_INIT(64 * 1024);
    if (matrix->type != SL_V_MAP) {
        return "";
    }
    for (size_t i = 0; i < matrix->map.n; i++) {
        sl_buf_printf(&b, "%s%s=", i > 0 ? "," : "", matrix->map.fields[i].name);
        sl_value_text(&matrix->map.fields[i].value, &b);
    }
    return sl_arena_strndup(a, sl_buf_str(&b), b.len);
}

/**
 * Parquet: row groups into batches.
 *
 * Thread: the table's. Must not: open a group whose rows nobody wants.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <string.h>

#define FIRST_STEP 64

static const struct pq_group *group_of(const struct pq *q, size_t i)
{
    return (const struct pq_group *)q->groups.ptr + i;
}

static int pq_open(struct sl_table *t, struct sl_err *err)
{
    struct pq *q = SL_ARENA_NEW(&t->arena, struct pq);
    t->reader = q;
    if (t->opts.n_types > 0) {
        return sl_err_set(err, SL_EINVAL, "%s: a Parquet file states its types itself",
                          t->source.name);
    }
    int rc = pq_meta_read(t, q, err);
    rc = rc == 0 ? table_vectors_init(t, err) : rc;
    if (rc != 0) {
        return rc;
    }
    q->step = FIRST_STEP;
    if (t->has_range) {
        if (t->range.begin > t->range.end || t->range.end > q->n_groups) {
            return sl_err_set(err, SL_EINVAL, "%s: not a range of this file", t->source.name);
        }
        q->group = (size_t)t->range.begin;
        q->group_end = (size_t)t->range.end;
        q->row = t->range.first_row;
    }
    return 0;
}

/** Opens the next group that has wanted rows. False at the end. */
static int next_group(struct sl_table *t, struct pq *q, bool *ret_end, struct sl_err *err)
{
    *ret_end = false;
    while (q->group_left == 0) {
        if (q->group == q->group_end || q->row >= t->row_end) {
            *ret_end = true;
            return 0;
        }
        uint64_t n_rows = group_of(q, q->group)->n_rows;
        if (n_rows == 0 || q->row + n_rows <= t->row_begin) {
            q->row += n_rows;
            q->group++;
            continue;
        }
        int rc = pq_meta_group(t, q, q->group, err);
        if (rc != 0) {
            return rc;
        }
        q->group_left = n_rows;
        q->group++;
    }
    return 0;
}

static size_t text_bytes(const struct sl_table *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->n_fields; i++) {
        bytes += t->vectors[i].n_bytes;
    }
    return bytes;
}

/** As many rows at once as a quarter of a batch's text may hold, by those just read. */
static void adapt_step(struct sl_table *t, struct pq *q, size_t bytes, size_t rows)
{
    size_t each = bytes / SL_MAX(rows, (size_t)1) + 1;
    q->step = SL_MIN(SL_MAX(t->batch_bytes_max / 4 / each, (size_t)1), (size_t)PQ_STEP);
}

static int pq_next(struct sl_table *t, struct sl_err *err)
{
    struct pq *q = t->reader;
    size_t bytes = 0;
    while (t->n_rows < t->batch_rows && bytes <= t->batch_bytes_max) {
        bool end = false;
        int rc = next_group(t, q, &end, err);
        if (rc != 0 || end || q->row >= t->row_end) {
            return rc;
        }
        bool unwanted = q->row < t->row_begin;
        uint64_t until = unwanted ? t->row_begin : t->row_end;
        size_t n = SL_MIN(q->step, t->batch_rows - t->n_rows);
        n = (size_t)SL_MIN((uint64_t)n, SL_MIN(q->group_left, until - q->row));
        for (size_t i = 0; i < t->n_fields; i++) {
            rc = pq_convert_rows(t, q, i, t->n_rows, n, err);
            if (rc != 0) {
                return rc;
            }
        }
        for (size_t k = 0; k < n; k++) {
            t->rows[t->n_rows + k] = q->row + k;
        }
        size_t now = text_bytes(t);
        adapt_step(t, q, now - bytes, n);
        bytes = now;
        t->n_rows += n;
        q->row += n;
        q->group_left -= n;
        if (unwanted) {
            t->n_rows = 0;
            bytes = 0;
            for (size_t i = 0; i < t->n_fields; i++) {
                t->vectors[i].n_bytes = 0;
            }
        }
    }
    return 0;
}

static int pq_split(struct sl_table *t, size_t n, struct sl_table_range *ranges, size_t *ret_n,
                    struct sl_err *err)
{
    (void)err;
    const struct pq *q = t->reader;
    uint64_t total = (uint64_t)t->schema.n_rows;
    uint64_t row = 0;
    size_t made = 0;
    ranges[made++] = (struct sl_table_range){0};
    for (size_t i = 0; i < q->n_groups; i++) {
        struct sl_table_range *r = &ranges[made - 1];
        if (r->n_rows > 0 && made < n && row >= total / n * made) {
            r = &ranges[made++];
            *r = (struct sl_table_range){.begin = i, .first_row = row};
        }
        r->end = i + 1;
        r->n_rows += group_of(q, i)->n_rows;
        row += group_of(q, i)->n_rows;
    }
    *ret_n = made;
    return 0;
}

static void pq_close(struct sl_table *t)
{
    struct pq *q = t->reader;
    if (q == NULL) {
        return;
    }
    for (size_t i = 0; q->columns != NULL && i < t->n_fields; i++) {
        struct pq_column *c = &q->columns[i];
        struct table_mem *all[] = {&c->dict,     &c->dict_slices, &c->page, &c->lengths,
                                   &c->prefixes, &c->built,       &c->last};
        for (size_t k = 0; k < SL_LEN(all); k++) {
            table_mem_free(t, all[k]);
        }
    }
    table_mem_free(t, &q->footer);
    table_mem_free(t, &q->groups);
    table_mem_free(t, &q->of_leaf);
    table_mem_free(t, &q->raw);
}

const struct table_reader table_parquet = {
    .open = pq_open, .next = pq_next, .split = pq_split, .close = pq_close};

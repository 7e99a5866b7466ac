/* Lines and the heap of backoffs. Pure. */
#include "core/base/base.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "pipelines/sched/sched_priv.h"

void sl_fifo_push(struct fifo *f, struct item item)
{
    if (f->head > 64 && f->head > f->n / 2) { /* the front half is used up: move the rest down */
        memmove(f->items, f->items + f->head, (f->n - f->head) * sizeof(*f->items));
        f->n -= f->head;
        f->head = 0;
    }
    sl_grow((void *)&f->items, &f->cap, f->n + 1, sizeof(*f->items));
    f->items[f->n++] = item;
}

bool sl_fifo_peek(const struct fifo *f, struct item *ret)
{
    if (f->head == f->n) {
        return false;
    }
    *ret = f->items[f->head];
    return true;
}

bool sl_fifo_pop(struct fifo *f, struct item *ret)
{
    if (!sl_fifo_peek(f, ret)) {
        return false;
    }
    f->head++;
    if (f->head == f->n) {
        f->head = f->n = 0;
    }
    return true;
}

void sl_fifo_free(struct fifo *f)
{
    free(f->items);
    *f = (struct fifo){0};
}

void sl_fifo_forget(struct fifo *f, const struct sl_sched_run *r)
{
    size_t kept = f->head;
    for (size_t i = f->head; i < f->n; i++) {
        if (f->items[i].run != r) {
            f->items[kept++] = f->items[i];
        }
    }
    f->n = kept;
}

static bool before(const struct later *a, const struct later *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->item.seq < b->item.seq;
}

static void swap(struct later *a, struct later *b)
{
    struct later t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(struct sl_sched *s, size_t i)
{
    struct later *h = s->heap.items;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->heap.n; child++) {
            if (before(&h[child], &h[least])) {
                least = child;
            }
        }
        if (least == i) {
            return;
        }
        swap(&h[i], &h[least]);
        i = least;
    }
}

void sl_heap_push(struct sl_sched *s, struct later later)
{
    sl_vec_push(&s->heap, later);
    struct later *h = s->heap.items;
    for (size_t i = s->heap.n - 1; i > 0 && before(&h[i], &h[(i - 1) / 2]); i = (i - 1) / 2) {
        swap(&h[i], &h[(i - 1) / 2]);
    }
}

void sl_heap_pop(struct sl_sched *s)
{
    SL_ASSERT(s->heap.n > 0);
    s->heap.items[0] = s->heap.items[--s->heap.n];
    sift_down(s, 0);
}

void sl_heap_forget(struct sl_sched *s, const struct sl_sched_run *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->heap.n; i++) {
        if (s->heap.items[i].item.run != r) {
            s->heap.items[kept++] = s->heap.items[i];
        }
    }
    s->heap.n = kept;
    for (size_t i = kept / 2; i-- > 0;) {
        sift_down(s, i);
    }
}

/**
 * The pool as JSON.
 *
 * Thread: that of the pool. Pure.
 */
#include "core/base/base.h"

#include "runners/gpu/pool.h"

#include <math.h>

#include "runners/gpu/gpu_priv.h"

static void set_known(json_t *o, const char *key, double value)
{
    if (!isnan(value)) {
        sl_json_set_num(o, key, value);
    }
}

static json_t *holders(const struct sl_gpu_pool *p, size_t unit)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->leases.n; i++) {
        const struct sl_gpu_lease *l = &p->leases.items[i];
        if (l->unit == unit) {
            json_t *o = json_pack("{s:s}", "attempt", l->attempt_id);
            if (l->bytes > 0) {
                sl_json_set_i64(o, "share_bytes", (int64_t)l->bytes);
            }
            sl_json_set_bool(o, "draining", l->draining);
            json_array_append_new(list, o);
        }
    }
    return list;
}

static json_t *unit_json(const struct sl_gpu_pool *p, size_t i)
{
    enum sl_gpu_state state = SL_GPU_FREE;
    const struct sl_gpu *gpu = sl_gpu_pool_at(p, i, &state);
    json_t *list = holders(p, i);
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:I, s:s, s:i}", "index", gpu->index, "uuid",
                          gpu->uuid, "name", gpu->name, "type", gpu->type, "memory_bytes",
                          (json_int_t)gpu->memory_bytes, "state", sl_gpu_state_name(state),
                          "processes", gpu->processes);
    if (gpu->slice >= 0) {
        sl_json_set_i64(o, "slice", gpu->slice);
        sl_json_set_str(o, "profile", gpu->profile);
        sl_json_set_str(o, "device", gpu->device);
    }
    /* the first holder, for those who know of one only */
    sl_json_set_str(o, "attempt", sl_json_str(json_array_get(list, 0), "attempt", ""));
    json_object_set_new(o, "holders", list);
    sl_json_set_str(o, "set_aside", p->units[i].drained ? p->units[i].reason : NULL);
    sl_json_set_i64(o, "memory_used_bytes", (int64_t)gpu->memory_used);
    set_known(o, "util_percent", gpu->util);
    set_known(o, "power_watts", gpu->power_watts);
    set_known(o, "temperature_c", gpu->celsius);
    sl_json_set_i64(o, "ecc_errors", (int64_t)gpu->ecc_errors);
    sl_json_set_i64(o, "xid", gpu->xid);
    return o;
}

json_t *sl_gpu_pool_json(const struct sl_gpu_pool *p, const char *source)
{
    json_t *devices = json_array();
    json_t *links = json_array();
    for (size_t i = 0; i < p->n; i++) {
        json_array_append_new(devices, unit_json(p, i));
        for (size_t k = i + 1; k < p->n; k++) {
            const struct sl_gpu *a = &p->units[i].gpu;
            const struct sl_gpu *b = &p->units[k].gpu;
            if (a->index != b->index && a->slice <= 0 && b->slice <= 0) {
                json_array_append_new(
                    links, json_pack("[i, i, s]", a->index, b->index,
                                     sl_gpu_link_name((enum sl_gpu_link)p->links[i][k])));
            }
        }
    }
    return json_pack("{s:s, s:o, s:o}", "source", source, "devices", devices, "links", links);
}

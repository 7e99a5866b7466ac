/* GPUs of this machine: who holds them, how they fare; handing out again what was set aside. Thread: main. */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/gpu.h"
#include "cmd/table.h"
#include "core/base/mem.h"
#include "core/base/time.h"
#include "runners/gpu/owners.h"
#include "runners/gpu/pool.h"

/** Without an engine: what the driver says; nothing is leased. */
static json_t *look(void)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_source *source = NULL;
    json_t *gpus = NULL;
    struct sl_gpu_inventory *inv = SL_NEW(struct sl_gpu_inventory);
    int rc = sl_gpu_source_open(getenv("SLUICE_GPU_INVENTORY"), NULL, &source, &err);
    rc = rc < 0 ? rc : sl_gpu_source_read(source, inv, &err);
    if (rc == 0) {
        sl_gpu_owners_fill(inv);
        struct sl_gpu_pool *pool = sl_gpu_pool_new(inv);
        (void)sl_gpu_pool_observe(pool, inv, 0); /* who is still there */
        gpus = sl_gpu_pool_json(pool, sl_gpu_source_text(source));
        sl_gpu_pool_free(pool);
    } else {
        gpus = json_pack("{s:s, s:[], s:[]}", "source", err.msg, "devices", "links");
    }
    sl_gpu_source_close(source);
    free(inv);
    return gpus;
}

json_t *sl_cmd_gpus(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    if (sl_call(c, "runners", json_object(), &answer) == 0 &&
        json_object_get(answer, "gpus") != NULL) {
        return json_incref(json_object_get(answer, "gpus"));
    }
    c->err = SL_ERR_INIT; /* no engine runs: that is no failure */
    return look();
}

static void cell_or_blank(struct sl_table *t, const json_t *o, const char *key, const char *format)
{
    double value = sl_json_num(o, key, (double)NAN);
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(64);
    if (!isnan(value)) {
        sl_buf_json_num(&text, value);
        sl_buf_puts(&text, format);
    }
    sl_table_cell(t, sl_buf_str(&text));
}

/** "3f2a…, draining 77bc…", or why it is set aside. */
static void holder_cell(struct sl_table *t, const json_t *o)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(4096);
    size_t i = 0;
    json_t *h = NULL;
    char size[SL_TIME_TEXT];
    sl_buf_puts(&text, sl_json_str(o, "set_aside", ""));
    json_array_foreach (json_object_get(o, "holders"), i, h) {
        sl_buf_printf(&text, "%s%.12s", text.len > 0 ? ", " : "", sl_json_str(h, "attempt", ""));
        int64_t share = sl_json_i64(h, "share_bytes", 0);
        if (share > 0) {
            sl_buf_printf(&text, " (%s)", sl_size_format((uint64_t)share, size));
        }
        sl_buf_puts(&text, sl_json_bool(h, "draining", false) ? " draining" : "");
    }
    sl_table_cell(t, sl_buf_str(&text));
}

static void put_devices(const json_t *list, bool color, struct sl_buf *out)
{
    static const char *const heads[] = {"GPU",  "TYPE",    "UUID",   ">MEMORY", "STATE",
                                        ">USE", ">USED",   ">POWER", ">TEMP",   ">ECC",
                                        ">XID", "HOLDERS", NULL};
    struct sl_table t;
    size_t i = 0;
    json_t *o = NULL;
    char size[SL_TIME_TEXT];
    sl_table_init(&t, heads);
    json_array_foreach (list, i, o) {
        const char *profile = sl_json_str(o, "profile", "");
        if (profile[0] != '\0') {
            sl_table_cellf(&t, "%lld.%lld", (long long)sl_json_i64(o, "index", 0),
                           (long long)sl_json_i64(o, "slice", 0));
        } else {
            sl_table_cellf(&t, "%lld", (long long)sl_json_i64(o, "index", 0));
        }
        sl_table_cellf(&t, "%s%s%s", sl_json_str(o, "type", ""), profile[0] != '\0' ? " " : "",
                       profile);
        sl_table_cell(&t, sl_json_str(o, "uuid", ""));
        sl_table_cell(&t, sl_size_format((uint64_t)sl_json_i64(o, "memory_bytes", 0), size));
        sl_table_cell(&t, sl_json_str(o, "state", ""));
        cell_or_blank(&t, o, "util_percent", "%");
        sl_table_cell(&t, sl_size_format((uint64_t)sl_json_i64(o, "memory_used_bytes", 0), size));
        cell_or_blank(&t, o, "power_watts", "W");
        cell_or_blank(&t, o, "temperature_c", "C");
        sl_table_cellf(&t, "%lld", (long long)sl_json_i64(o, "ecc_errors", 0));
        sl_table_cellf(&t, "%lld", (long long)sl_json_i64(o, "xid", 0));
        holder_cell(&t, o);
    }
    sl_table_print(&t, color, out);
}

void sl_cmd_gpus_print(const json_t *gpus, bool color, struct sl_buf *out)
{
    size_t i = 0;
    json_t *link = NULL;
    bool any = false;
    const json_t *devices = json_object_get(gpus, "devices");
    sl_buf_puts(out, "GPUs: ");
    sl_put_clean(out, sl_json_str(gpus, "source", ""));
    sl_buf_putc(out, '\n');
    if (json_array_size(devices) > 0) {
        put_devices(devices, color, out);
    }
    json_array_foreach (json_object_get(gpus, "links"), i, link) {
        const char *text = json_string_value(json_array_get(link, 2));
        if (text != NULL && !sl_streq(text, "unknown")) {
            sl_buf_printf(out, "%s%lld-%lld %s", any ? ", " : "links: ",
                          (long long)json_integer_value(json_array_get(link, 0)),
                          (long long)json_integer_value(json_array_get(link, 1)), text);
            any = true;
        }
    }
    sl_buf_puts(out, any ? "\n" : "");
}

int sl_cmd_gpus_undrain(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    json_t *args = json_object();
    sl_json_set_str(args, "gpu", sl_cmd_arg(c, 1));
    if (sl_call(c, "runners.undrain", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    int64_t n = sl_json_i64(answer, "gpus", 0);
    (void)printf("%lld GPU%s handed out again\n", (long long)n, n == 1 ? " is" : "s are");
    return SL_EXIT_OK;
}

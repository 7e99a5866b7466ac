/**
 * Inventories as text, and what names of devices mean.
 *
 * Thread: any. Pure. Must not: guess what a file leaves out that matters.
 */
#include "core/base/base.h"

#include "runners/gpu/gpu.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "runners/gpu/gpu_priv.h"

#define SAMPLE_MS     2000
#define SAMPLE_MS_MIN 10
#define SAMPLE_MS_MAX 3600000
#define COUNT_MAX     1000000

/* ---- names ---------------------------------------------------------------------------------------- */

#define WORD_ENDS " -_/()"

static const char *const link_names[SL_GPU_LINKS] = {"unknown", "system", "node",  "host",
                                                     "pcie",    "board",  "nvlink"};

const char *sl_gpu_link_name(enum sl_gpu_link link)
{
    SL_ASSERT((size_t)link < SL_GPU_LINKS);
    return link_names[link];
}

/** The next word at or after *at; its length, 0 at the end. *at moves to its beginning. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, WORD_ENDS);
    return strcspn(*at, WORD_ENDS);
}

static bool is_model(const char *word, size_t len)
{
    bool digit = false;
    for (size_t i = 0; i < len; i++) {
        digit = digit || isdigit((unsigned char)word[i]) != 0;
    }
    return digit && isalpha((unsigned char)word[0]) != 0;
}

void sl_gpu_type_of(const char *name, char out[SL_GPU_TYPE])
{
    size_t len = 0;
    const char *before = NULL;
    size_t before_len = 0;
    for (const char *w = name; (len = next_word(&w)) > 0; w += len) {
        if (is_model(w, len)) {
            (void)snprintf(out, SL_GPU_TYPE, "%.*s", (int)SL_MIN(len, (size_t)60), w);
            return;
        }
        if (before != NULL && isdigit((unsigned char)w[0]) != 0) { /* GeForce RTX 4090 */
            (void)snprintf(out, SL_GPU_TYPE, "%.*s-%.*s", (int)SL_MIN(before_len, (size_t)30),
                           before, (int)SL_MIN(len, (size_t)30), w);
            return;
        }
        before = w;
        before_len = len;
    }
    (void)snprintf(out, SL_GPU_TYPE, "%.60s", name);
}

bool sl_gpu_type_matches(const char *type, const char *name)
{
    size_t want = 0;
    size_t len = 0;
    const char *n = name;
    const char *t = type;
    bool any = false;
    for (; (want = next_word(&t)) > 0; t += want) {
        bool found = false;
        for (; !found && (len = next_word(&n)) > 0; n += len) {
            found = len == want && strncasecmp(n, t, len) == 0;
        }
        if (!found) {
            return false;
        }
        any = true;
    }
    return any;
}

bool sl_gpu_xid_is_application(int64_t xid)
{
    static const int64_t known[] = {13, 31, 43, 45, 68, 109};
    for (size_t i = 0; i < SL_LEN(known); i++) {
        if (known[i] == xid) {
            return true;
        }
    }
    return false;
}

/* ---- units and links ------------------------------------------------------------------------------ */

void gpu_unit_init(struct sl_gpu *gpu, int index, int slice)
{
    *gpu = (struct sl_gpu){.index = index,
                           .slice = slice,
                           .util = (double)NAN,
                           .power_watts = (double)NAN,
                           .celsius = (double)NAN};
}

static int place_of(const struct sl_gpu_inventory *inv, int index)
{
    for (size_t i = 0; i < inv->n_devices; i++) {
        if (inv->devices[i] == index) {
            return (int)i;
        }
    }
    return -1;
}

int gpu_device_place(struct sl_gpu_inventory *inv, int index)
{
    int place = place_of(inv, index);
    if (place < 0 && inv->n_devices < SL_GPU_MAX) {
        place = (int)inv->n_devices;
        inv->devices[inv->n_devices++] = index;
    }
    return place;
}

void gpu_set_link(struct sl_gpu_inventory *inv, int place_a, int place_b, enum sl_gpu_link link)
{
    inv->links[place_a][place_b] = (uint8_t)link;
    inv->links[place_b][place_a] = (uint8_t)link;
}

enum sl_gpu_link sl_gpu_link_of(const struct sl_gpu_inventory *inventory, int index_a, int index_b)
{
    int a = place_of(inventory, index_a);
    int b = place_of(inventory, index_b);
    return a < 0 || b < 0 ? SL_GPU_LINK_UNKNOWN : (enum sl_gpu_link)inventory->links[a][b];
}

/* ---- the file ------------------------------------------------------------------------------------- */

/** Where in the file something is, for messages. */
struct place {
    const char *file;
    char path[64]; /* "gpus[1].mig[0]" */
};

static int check_keys(const struct place *at, const json_t *object, const char *const *known,
                      struct sl_err *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(object)) {
        return sl_err_set(err, SL_EINVAL, "%s: %s: an object is needed", at->file, at->path);
    }
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (known[i] != NULL && !sl_streq(known[i], key)) {
            i++;
        }
        if (known[i] == NULL) {
            return sl_err_set(err, SL_EINVAL, "%s: %s.%.40s: no such field", at->file, at->path,
                              key);
        }
    }
    return 0;
}

static int take_text(const struct place *at, const json_t *entry, const char *key, char *out,
                     size_t size, struct sl_err *err)
{
    const char *text = sl_json_str(entry, key, "");
    if (text[0] == '\0' || strlen(text) >= size || strchr(text, ',') != NULL) {
        return sl_err_set(err, SL_EINVAL,
                          "%s: %s.%s: a text of 1 to %zu bytes without comma is needed", at->file,
                          at->path, key, size - 1);
    }
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

/** A whole number; absent: stays as it is. */
static int take_int(const struct place *at, const json_t *entry, const char *key, int64_t max,
                    int64_t *ret, struct sl_err *err)
{
    const json_t *v = json_object_get(entry, key);
    if (v == NULL) {
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max) {
        return sl_err_set(err, SL_EINVAL, "%s: %s.%s: out of range: 0 to %lld", at->file, at->path,
                          key, (long long)max);
    }
    *ret = json_integer_value(v);
    return 0;
}

static int take_num(const struct place *at, const json_t *entry, const char *key, double *ret,
                    struct sl_err *err)
{
    const json_t *v = json_object_get(entry, key);
    if (v == NULL) {
        return 0;
    }
    double value = json_number_value(v);
    if (!json_is_number(v) || value < 0 || value > COUNT_MAX) {
        return sl_err_set(err, SL_EINVAL, "%s: %s.%s: a number from 0 to %d is needed", at->file,
                          at->path, key, COUNT_MAX);
    }
    *ret = value;
    return 0;
}

/** "processes": how many, or a list of their numbers. */
static int take_processes(const struct place *at, const json_t *entry, struct sl_gpu *gpu,
                          struct sl_err *err)
{
    const json_t *list = json_object_get(entry, "processes");
    int64_t count = 0;
    if (!json_is_array(list)) {
        int rc = take_int(at, entry, "processes", COUNT_MAX, &count, err);
        gpu->processes = (int)count;
        return rc;
    }
    if (json_array_size(list) > SL_GPU_PIDS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: %s.processes: at most %d", at->file, at->path,
                          SL_GPU_PIDS_MAX);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pid = json_array_get(list, i);
        if (!json_is_integer(pid) || json_integer_value(pid) < 1 ||
            json_integer_value(pid) > INT32_MAX) {
            return sl_err_set(err, SL_EINVAL, "%s: %s.processes[%zu]: a process number is needed",
                              at->file, at->path, i);
        }
        gpu->pids[gpu->n_pids++].pid = (int)json_integer_value(pid);
    }
    gpu->processes = gpu->n_pids;
    return 0;
}

static int take_state(const struct place *at, const json_t *entry, struct sl_gpu *gpu,
                      struct sl_err *err)
{
    int64_t memory = -1;
    int64_t used = 0;
    int64_t ecc = 0;
    int rc = take_int(at, entry, "memory_bytes", INT64_MAX, &memory, err);
    if (rc == 0 && memory < 0) {
        return sl_err_set(err, SL_EINVAL, "%s: %s.memory_bytes: bytes are needed", at->file,
                          at->path);
    }
    rc = rc < 0 ? rc : take_int(at, entry, "memory_used_bytes", INT64_MAX, &used, err);
    rc = rc < 0 ? rc : take_int(at, entry, "ecc_errors", INT64_MAX, &ecc, err);
    rc = rc < 0 ? rc : take_int(at, entry, "xid", COUNT_MAX, &gpu->xid, err);
    rc = rc < 0 ? rc : take_num(at, entry, "util_percent", &gpu->util, err);
    rc = rc < 0 ? rc : take_num(at, entry, "power_watts", &gpu->power_watts, err);
    rc = rc < 0 ? rc : take_num(at, entry, "temperature_c", &gpu->celsius, err);
    rc = rc < 0 ? rc : take_processes(at, entry, gpu, err);
    gpu->memory_bytes = (uint64_t)memory;
    gpu->memory_used = (uint64_t)used;
    gpu->ecc_errors = (uint64_t)ecc;
    gpu->xid_count = gpu->xid != 0 ? 1 : 0;
    return rc;
}

static int no_twins(const struct place *at, const struct sl_gpu_inventory *inv, const char *uuid,
                    struct sl_err *err)
{
    for (size_t i = 0; i < inv->n; i++) {
        if (sl_streq(inv->gpus[i].uuid, uuid) || sl_streq(inv->gpus[i].device, uuid)) {
            return sl_err_set(err, SL_EINVAL, "%s: %s.uuid: '%s' is there twice", at->file,
                              at->path, uuid);
        }
    }
    return inv->n < SL_GPU_UNITS_MAX
               ? 0
               : sl_err_set(err, SL_ELIMIT, "%s: more than %d GPUs and slices", at->file,
                            SL_GPU_UNITS_MAX);
}

static int take_slice(const struct place *at, const json_t *entry, const struct sl_gpu *device,
                      int number, struct sl_gpu_inventory *inv, struct sl_err *err)
{
    static const char *const known[] = {"uuid",
                                        "profile",
                                        "memory_bytes",
                                        "memory_used_bytes",
                                        "processes",
                                        "util_percent",
                                        "power_watts",
                                        "temperature_c",
                                        "ecc_errors",
                                        "xid",
                                        NULL};
    struct sl_gpu *gpu = &inv->gpus[SL_MIN(inv->n, (size_t)SL_GPU_UNITS_MAX - 1)];
    int rc = check_keys(at, entry, known, err);
    char uuid[SL_GPU_TEXT];
    rc = rc < 0 ? rc : take_text(at, entry, "uuid", uuid, sizeof(uuid), err);
    rc = rc < 0 ? rc : no_twins(at, inv, uuid, err);
    if (rc < 0) {
        return rc;
    }
    gpu_unit_init(gpu, device->index, number);
    memcpy(gpu->uuid, uuid, sizeof(uuid));
    memcpy(gpu->device, device->uuid, sizeof(gpu->device));
    memcpy(gpu->name, device->name, sizeof(gpu->name));
    memcpy(gpu->type, device->type, sizeof(gpu->type));
    rc = take_text(at, entry, "profile", gpu->profile, sizeof(gpu->profile), err);
    rc = rc < 0 ? rc : take_state(at, entry, gpu, err);
    inv->n += rc == 0 ? 1 : 0;
    return rc;
}

/** A device in MIG mode is not handed out itself: its slices are. */
static int take_slices(const struct place *at, const json_t *list, const struct sl_gpu *device,
                       struct sl_gpu_inventory *inv, struct sl_err *err)
{
    int rc = 0;
    if (!json_is_array(list) || json_array_size(list) > SL_GPU_SLICES_MAX) {
        return sl_err_set(err, SL_EINVAL, "%s: %s.mig: a list of at most %d slices is needed",
                          at->file, at->path, SL_GPU_SLICES_MAX);
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        struct place here = {.file = at->file};
        (void)snprintf(here.path, sizeof(here.path), "%.20s.mig[%d]", at->path, (int)i);
        rc = take_slice(&here, json_array_get(list, i), device, (int)i, inv, err);
    }
    return rc;
}

static int take_device(const struct place *at, const json_t *entry, int64_t number,
                       struct sl_gpu_inventory *inv, struct sl_err *err)
{
    static const char *const known[] = {"index",        "uuid",
                                        "name",         "type",
                                        "memory_bytes", "memory_used_bytes",
                                        "processes",    "util_percent",
                                        "power_watts",  "temperature_c",
                                        "ecc_errors",   "xid",
                                        "mig",          NULL};
    struct sl_gpu gpu;
    gpu_unit_init(&gpu, 0, -1);
    int rc = check_keys(at, entry, known, err);
    rc = rc < 0 ? rc : take_text(at, entry, "uuid", gpu.uuid, sizeof(gpu.uuid), err);
    rc = rc < 0 ? rc : take_text(at, entry, "name", gpu.name, sizeof(gpu.name), err);
    rc = rc < 0 ? rc : take_int(at, entry, "index", COUNT_MAX, &number, err);
    rc = rc < 0 ? rc : take_state(at, entry, &gpu, err);
    rc = rc < 0 ? rc : no_twins(at, inv, gpu.uuid, err);
    if (rc < 0) {
        return rc;
    }
    gpu.index = (int)number;
    memcpy(gpu.device, gpu.uuid, sizeof(gpu.device));
    sl_gpu_type_of(gpu.name, gpu.type);
    if (json_object_get(entry, "type") != NULL) {
        rc = take_text(at, entry, "type", gpu.type, sizeof(gpu.type), err);
    }
    if (rc == 0 && gpu_device_place(inv, gpu.index) < 0) {
        return sl_err_set(err, SL_ELIMIT, "%s: more than %d GPUs", at->file, SL_GPU_MAX);
    }
    if (rc == 0 && json_object_get(entry, "mig") != NULL) {
        return take_slices(at, json_object_get(entry, "mig"), &gpu, inv, err);
    }
    if (rc == 0) {
        inv->gpus[inv->n++] = gpu;
    }
    return rc;
}

static int take_devices(const char *file, const json_t *list, struct sl_gpu_inventory *inv,
                        struct sl_err *err)
{
    int rc = 0;
    size_t n = json_array_size(list);
    if (n > SL_GPU_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: %zu GPUs; at most %d are supported", file, n,
                          SL_GPU_MAX);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct place at = {.file = file};
        (void)snprintf(at.path, sizeof(at.path), "gpus[%zu]", i);
        rc = take_device(&at, json_array_get(list, i), (int64_t)i, inv, err);
        if (rc == 0 && inv->n_devices != i + 1) {
            rc = sl_err_set(err, SL_EINVAL, "%s: %s.index: is there twice", file, at.path);
        }
    }
    return rc;
}

static int link_parse(const char *text)
{
    for (int i = 0; i < SL_GPU_LINKS; i++) {
        if (sl_streq(link_names[i], text)) {
            return i;
        }
    }
    return -1;
}

/** "links": [[INDEX, INDEX, "nvlink"], ...] */
static int take_links(const char *file, const json_t *list, struct sl_gpu_inventory *inv,
                      struct sl_err *err)
{
    size_t i = 0;
    json_t *entry = NULL;
    if (list != NULL && !json_is_array(list)) {
        return sl_err_set(err, SL_EINVAL, "%s: links: a list is needed", file);
    }
    json_array_foreach (list, i, entry) {
        const json_t *a = json_array_get(entry, 0);
        const json_t *b = json_array_get(entry, 1);
        const char *text = json_string_value(json_array_get(entry, 2));
        int link = text != NULL ? link_parse(text) : -1;
        int pa = json_is_integer(a) ? place_of(inv, (int)json_integer_value(a)) : -1;
        int pb = json_is_integer(b) ? place_of(inv, (int)json_integer_value(b)) : -1;
        if (json_array_size(entry) != 3 || link < 0 || pa < 0 || pb < 0 || pa == pb) {
            return sl_err_set(
                err, SL_EINVAL,
                "%s: links[%zu]: [INDEX, INDEX, LINK] of two GPUs is needed, LINK one "
                "of system, node, host, pcie, board, nvlink",
                file, i);
        }
        gpu_set_link(inv, pa, pb, (enum sl_gpu_link)link);
    }
    return 0;
}

static int take_all(const char *file, const json_t *root, struct sl_gpu_inventory *inv,
                    struct sl_err *err)
{
    static const char *const known[] = {"gpus", "links", "sample_ms", NULL};
    const json_t *list = json_object_get(root, "gpus");
    struct place at = {.file = file, .path = "the file"};
    if (!json_is_array(list)) {
        return sl_err_set(err, SL_EINVAL, "%s: an object with a list 'gpus' is needed", file);
    }
    int rc = check_keys(&at, root, known, err);
    rc = rc < 0 ? rc : take_int(&at, root, "sample_ms", SAMPLE_MS_MAX, &inv->sample_ms, err);
    inv->sample_ms = SL_MAX(inv->sample_ms, (int64_t)SAMPLE_MS_MIN);
    rc = rc < 0 ? rc : take_devices(file, list, inv, err);
    return rc < 0 ? rc : take_links(file, json_object_get(root, "links"), inv, err);
}

int sl_gpu_inventory_parse(const char *name, const char *text, size_t len,
                           struct sl_gpu_inventory *ret, struct sl_err *err)
{
    json_t *root = sl_json_parse(name, text, len, err);
    if (root == NULL) {
        return err != NULL ? -err->code : -SL_EINVAL;
    }
    struct sl_gpu_inventory *inv = SL_NEW(struct sl_gpu_inventory);
    inv->sample_ms = SAMPLE_MS;
    int rc = take_all(name, root, inv, err);
    json_decref(root);
    if (rc == 0) {
        *ret = *inv;
    }
    free(inv);
    return rc;
}

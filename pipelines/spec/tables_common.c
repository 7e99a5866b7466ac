/**
 * The language, part 1: shapes that pipelines, steps and targets share.
 *
 * Thread: any (constants). Must not: hold code.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

/* of a path: neither empty nor ".." */
#define COMPONENT "([^/.][^/]*|\\.([^/.][^/]*)?|\\.\\.[^/]+)"
#define IDENT     "^[A-Za-z_][A-Za-z0-9_-]{0,127}$"

const struct shape sl_spec_any = {.kind = SHAPE_ANY, .what = "anything"};
const struct shape sl_spec_text = {.kind = SHAPE_TEXT, .what = "a string"};
const struct shape sl_spec_bool = {.kind = SHAPE_BOOL, .what = "true or false"};
const struct shape sl_spec_duration = {.kind = SHAPE_DURATION,
                                       .what = "a duration such as 30s, 5m or 1h30m"};
const struct shape sl_spec_size = {.kind = SHAPE_SIZE, .what = "a size such as 512MiB or 64GB"};
const struct shape sl_spec_template = {.kind = SHAPE_TEMPLATE, .what = "a string"};
const struct shape sl_spec_expr = {
    .kind = SHAPE_EXPR, .what = "an expression", .max_items = SL_EXPR_LEN_MAX};
const struct shape sl_spec_ident = {
    .kind = SHAPE_TEXT,
    .what = "a name of letters, digits, '_' and '-' that does not begin with a digit",
    .pattern = IDENT,
    .max_items = SL_SPEC_NAME_MAX};
const struct shape sl_spec_name = {.kind = SHAPE_TEXT,
                                   .what = "a name of letters, digits, '_', '-' and '.'",
                                   .pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
                                   .max_items = SL_SPEC_NAME_MAX};
const struct shape sl_spec_path = {.kind = SHAPE_TEXT,
                                   .what = "a relative path without '..'",
                                   .pattern = "^" COMPONENT "(/" COMPONENT ")*/?$",
                                   .max_items = 1024};

static const struct shape argument = {
    .kind = SHAPE_SCALAR, .what = "a string or a number", .is_template = true};
const struct shape sl_spec_argv = {.kind = SHAPE_LIST,
                                   .what = "a list of arguments",
                                   .of = &argument,
                                   .min_items = 1,
                                   .max_items = SPEC_ARGV_MAX};

static const struct shape env_value = {
    .kind = SHAPE_SCALAR, .what = "a string, a number or a bool", .is_template = true};
const struct shape sl_spec_env = {.kind = SHAPE_MAP,
                                  .what = "a mapping of variables",
                                  .of = &env_value,
                                  .pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
                                  .names = "letters, digits and '_'",
                                  .noun = "variable",
                                  .max_items = SL_SPEC_ENV_MAX};

/* ---- runtime ---------------------------------------------------------------------------------- */

static const struct shape image_ref = {.kind = SHAPE_TEXT,
                                       .what = "an image with its digest, name@sha256:...",
                                       .pattern = "^[^@ ]+@sha256:[0-9a-f]{64}$"};
#define ONLY_HOST "only 'runtime: host' is built yet"
static const struct key runtime_keys[] = {
    {"venv", &sl_spec_path, KEY_CHOICE, "Lock file of a Python environment", ONLY_HOST},
    {"image", &image_ref, KEY_CHOICE, "Container image pinned by digest", ONLY_HOST},
};
static const struct object runtime_object = {.name = "runtime",
                                             .keys = runtime_keys,
                                             .n_keys = SL_LEN(runtime_keys),
                                             .choice = CHOICE_EXACTLY_ONE,
                                             .choice_noun = "environment"};
static const struct shape runtime_map = {
    .kind = SHAPE_OBJECT, .what = "a mapping", .object = &runtime_object};
static const char *const runtime_words[] = {"host", NULL};
const struct shape sl_spec_runtime = {.kind = SHAPE_TEXT,
                                      .what = "'host', {venv: FILE} or {image: NAME@DIGEST}",
                                      .words = runtime_words,
                                      .other = &runtime_map};

/* ---- retry ------------------------------------------------------------------------------------ */

static const char *const fail_words[] = {"never_started", "infra",     "lost",      "oom",
                                         "timeout",       "stalled",   "preempted", "exit",
                                         "error",         "cancelled", "rejected",  NULL};
static const struct shape fail_class = {
    .kind = SHAPE_TEXT, .what = "a failure class", .words = fail_words};
static const struct shape fail_classes = {.kind = SHAPE_LIST,
                                          .what = "a list of failure classes",
                                          .of = &fail_class,
                                          .min_items = 1,
                                          .max_items = SL_LEN(fail_words)};
static const struct shape retry_max = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 0, .max = 100};
static const struct shape backoff_factor = {
    .kind = SHAPE_NUMBER, .what = "a number", .has_bounds = true, .min = 1, .max = 100};
static const struct key backoff_keys[] = {
    {"initial", &sl_spec_duration, 0, "Wait before the second attempt (default 1s)", NULL},
    {"factor", &backoff_factor, 0, "Growth from wait to wait (default 2)", NULL},
    {"max", &sl_spec_duration, 0, "Longest wait (default 5m)", NULL},
};
static const struct object backoff_object = {
    .name = "backoff", .keys = backoff_keys, .n_keys = SL_LEN(backoff_keys)};
static const struct shape backoff = {
    .kind = SHAPE_OBJECT, .what = "a mapping", .object = &backoff_object};
static const struct key retry_keys[] = {
    {"max", &retry_max, 0, "Further attempts after the first", NULL},
    {"on", &fail_classes, 0, "Failure classes to retry (default never_started, infra, lost)", NULL},
    {"backoff", &backoff, 0, "Waits between attempts", NULL},
};
static const struct object retry_object = {
    .name = "retry", .keys = retry_keys, .n_keys = SL_LEN(retry_keys)};
const struct shape sl_spec_retry = {
    .kind = SHAPE_OBJECT, .what = "a mapping", .object = &retry_object};

/* ---- resources -------------------------------------------------------------------------------- */

#define CPU_PATTERN "^[0-9]{1,7}m$"
static const struct shape cpu_text = {
    .kind = SHAPE_TEXT, .what = "a number of CPUs such as 2, 0.5 or 500m", .pattern = CPU_PATTERN};
static const struct shape cpu = {.kind = SHAPE_NUMBER,
                                 .what = "a number of CPUs such as 2, 0.5 or 500m",
                                 .has_bounds = true,
                                 .min = 0.001,
                                 .max = 4096,
                                 .other = &cpu_text};
#define SIZE_PATTERN "[0-9]+(\\.[0-9]+)? ?([KMGT]i?)?B"
static const struct shape gpu_memory = {
    .kind = SHAPE_TEXT,
    .what = "a size or a range such as 24GB, 40GB.. or 24GB..80GB",
    .pattern = "^(" SIZE_PATTERN "(\\.\\.(" SIZE_PATTERN ")?)?|\\.\\." SIZE_PATTERN ")$"};
static const struct shape gpu_count = {.kind = SHAPE_INT,
                                       .what = "a number of GPUs or {count, memory}",
                                       .has_bounds = true,
                                       .min = 0,
                                       .max = 1024};
static const char *const mig_words[] = {"allow", "forbid", NULL};
static const struct shape mig = {.kind = SHAPE_TEXT, .what = "a word", .words = mig_words};
static const struct key gpu_keys[] = {
    {"count", &gpu_count, 0, "How many (default 1)", NULL},
    {"memory", &gpu_memory, 0, "Memory of each: at least, or a range", NULL},
    {"mig", &mig, 0, "Whether a MIG slice may be used", "MIG slices are not handed out yet"},
};
static const struct object gpu_object = {
    .name = "gpu", .keys = gpu_keys, .n_keys = SL_LEN(gpu_keys)};
static const struct shape gpu_map = {
    .kind = SHAPE_OBJECT, .what = "a mapping", .object = &gpu_object};
static const struct shape gpu = {.kind = SHAPE_INT,
                                 .what = "a number of GPUs or {count, memory}",
                                 .has_bounds = true,
                                 .min = 0,
                                 .max = 1024,
                                 .other = &gpu_map};
static const struct shape priority = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = -1000, .max = 1000};
static const struct shape pids = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 1, .max = 1000000};
static const struct key resource_keys[] = {
    {"cpu", &cpu, 0, "CPUs asked for (default 1)", NULL},
    {"cpu_limit", &cpu, 0, "CPUs at most", NULL},
    {"gpu", &gpu, 0, "GPUs, all or none", NULL},
    {"memory", &sl_spec_size, 0, "Memory asked for, and the limit", NULL},
    {"pids", &pids, 0, "Processes at most", NULL},
    {"priority", &priority, 0, "Higher starts first", NULL},
};
static const struct object resource_object = {
    .name = "resources", .keys = resource_keys, .n_keys = SL_LEN(resource_keys)};
const struct shape sl_spec_resources = {
    .kind = SHAPE_OBJECT, .what = "a mapping", .object = &resource_object};

static const char *const cache_words[] = {"auto", "off", NULL};
const struct shape sl_spec_cache = {.kind = SHAPE_TEXT, .what = "a word", .words = cache_words};

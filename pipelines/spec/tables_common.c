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
const struct shape sl_spec_priority = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = -1000, .max = 1000};
const struct shape sl_spec_positive = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 1, .max = 1000};
const struct shape sl_spec_quorum = {.kind = SHAPE_INT,
                                     .what = "an integer",
                                     .has_bounds = true,
                                     .min = 1,
                                     .max = SL_SPEC_QUORUM_MAX};
const struct shape sl_spec_sha256 = {
    .kind = SHAPE_TEXT, .what = "64 hexadecimal digits", .pattern = "^[0-9a-f]{64}$"};
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

/* ---- retry ------------------------------------------------------------------------------------ */

static const char *const fail_words[] = {"never_started", "infra",     "lost", "oom",   "timeout",
                                         "stalled",       "preempted", "exit", "error", "cancelled",
                                         "rejected",      "disk",      NULL};
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

/* ---- cache ----------------------------------------------------------------------------------- */

static const char *const cache_words[] = {"auto", "off", NULL};
const struct shape sl_spec_cache = {.kind = SHAPE_TEXT, .what = "a word", .words = cache_words};

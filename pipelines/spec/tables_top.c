/**
 * The language, part 3: the documents Pipeline and Target.
 *
 * Thread: any (constants). Must not: hold code.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

#define MAPPING .kind = SHAPE_OBJECT, .what = "a mapping"
#define IDENT   "^[A-Za-z_][A-Za-z0-9_-]{0,127}$"

static const char *const api_words[] = {"sluice/v1", NULL};
const struct shape sl_spec_api_version = {
    .kind = SHAPE_TEXT, .what = "a version", .words = api_words};
static const char *const pipeline_words[] = {"Pipeline", NULL};
static const struct shape kind_pipeline = {
    .kind = SHAPE_TEXT, .what = "a kind", .words = pipeline_words};
static const char *const target_words[] = {"Target", NULL};
static const struct shape kind_target = {
    .kind = SHAPE_TEXT, .what = "a kind", .words = target_words};

/* ---- params ----------------------------------------------------------------------------------- */

static const char *const type_words[] = {"string", "int", "float", "bool", NULL};
static const struct shape param_type = {.kind = SHAPE_TEXT, .what = "a type", .words = type_words};
static const struct shape scalar = {.kind = SHAPE_SCALAR, .what = "a string, a number or a bool"};
static const struct shape number = {.kind = SHAPE_NUMBER, .what = "a number"};
static const struct shape choices = {.kind = SHAPE_LIST,
                                     .what = "a list of values",
                                     .of = &scalar,
                                     .min_items = 1,
                                     .max_items = 1000};
static const struct key param_keys[] = {
    {"default", &scalar, 0, "Value when none is given; without it the param is required", NULL},
    {"description", &sl_spec_text, 0, "For people", NULL},
    {"enum", &choices, 0, "The only values", NULL},
    {"max", &number, 0, "Largest value", NULL},
    {"min", &number, 0, "Smallest value", NULL},
    {"pattern", &sl_spec_text, 0, "Regular expression (ERE) that a string must match", NULL},
    {"type", &param_type, KEY_REQUIRED, "string, int, float or bool", NULL},
};
static const struct object param_object = {
    .name = "param", .keys = param_keys, .n_keys = SL_LEN(param_keys)};
static const struct shape param = {MAPPING, .object = &param_object};
static const struct shape params = {.kind = SHAPE_MAP,
                                    .what = "a mapping of params",
                                    .of = &param,
                                    .pattern = IDENT,
                                    .names = "letters, digits, '_' and '-'",
                                    .noun = "param",
                                    .max_items = SL_SPEC_PARAMS_MAX};

/* ---- defaults, concurrency, triggers ---------------------------------------------------------- */

static const struct key default_keys[] = {
    {"cache", &sl_spec_cache, 0, "Reuse results of equal steps", NULL},
    {"env", &sl_spec_env, 0, "Environment variables of every step", NULL},
    {"grace", &sl_spec_duration, 0, "From TERM to KILL", NULL},
    {"resources", &sl_spec_resources, 0, "What steps need of the machine", NULL},
    {"retry", &sl_spec_retry, 0, "Further attempts", NULL},
    {"runtime", &sl_spec_runtime, 0, "Environment of the steps", NULL},
    {"sandbox", &sl_spec_sandbox, 0, "Isolation of the steps", NULL},
    {"timeout", &sl_spec_duration, 0, "Longest time of an attempt", NULL},
};
const struct object sl_spec_default_object = {
    .name = "defaults", .keys = default_keys, .n_keys = SL_LEN(default_keys)};
static const struct shape defaults = {MAPPING, .object = &sl_spec_default_object};

static const struct shape limit = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 1, .max = 100000};
static const char *const conflict_words[] = {"queue", "replace", "reject", NULL};
static const struct shape on_conflict = {
    .kind = SHAPE_TEXT, .what = "a word", .words = conflict_words};
static const struct shape group = {
    .kind = SHAPE_TEMPLATE, .what = "a name", .pattern = "^.", .max_items = 256};
static const struct key concurrency_keys[] = {
    {"group", &group, 0, "Runs with the same group share the limit", NULL},
    {"limit", &limit, 0, "Runs of the group at the same time (default 1)", NULL},
    {"max_queued", &limit, 0, "Runs that may wait", NULL},
    {"on_conflict", &on_conflict, 0, "What happens to a run that must wait", NULL},
    {"steps", &limit, 0, "Steps of one run at the same time", NULL},
};
static const struct object concurrency_object = {
    .name = "concurrency", .keys = concurrency_keys, .n_keys = SL_LEN(concurrency_keys)};
static const struct shape concurrency = {MAPPING, .object = &concurrency_object};

static const char *const catchup_words[] = {"none", "latest", "all", NULL};
static const struct shape catchup = {.kind = SHAPE_TEXT, .what = "a word", .words = catchup_words};
static const struct key schedule_keys[] = {
    {"catchup", &catchup, 0, "Which missed times are made up for", NULL},
    {"cron", &sl_spec_text, KEY_REQUIRED, "Five fields: minute hour day month weekday", NULL},
    {"timezone", &sl_spec_text, 0, "IANA name (default UTC)", NULL},
};
static const struct object schedule_object = {
    .name = "schedule", .keys = schedule_keys, .n_keys = SL_LEN(schedule_keys)};
static const struct shape schedule = {MAPPING, .object = &schedule_object};
static const struct key drift_keys[] = {
    {"above", &number, KEY_REQUIRED, "Threshold", NULL},
    {"cooldown", &sl_spec_duration, 0, "Silence after it fired", NULL},
    {"metric", &sl_spec_text, KEY_REQUIRED, "Statistic, such as psi", NULL},
    {"model", &sl_spec_text, KEY_REQUIRED, "Model version that is watched", NULL},
    {"window", &sl_spec_duration, 0, "Span of the comparison", NULL},
};
static const struct object drift_object = {
    .name = "drift", .keys = drift_keys, .n_keys = SL_LEN(drift_keys)};
static const struct shape drift = {MAPPING, .object = &drift_object};
static const struct shape from_event = {.kind = SHAPE_MAP,
                                        .what = "a mapping of params",
                                        .of = &sl_spec_text,
                                        .pattern = IDENT,
                                        .names = "letters, digits, '_' and '-'",
                                        .noun = "param",
                                        .max_items = SL_SPEC_PARAMS_MAX};
static const struct key webhook_keys[] = {
    {"dedup", &sl_spec_text, 0, "Field that names the event", NULL},
    {"id", &sl_spec_name, KEY_REQUIRED, "Last part of its address", NULL},
    {"params", &from_event, 0, "Params taken from the event", NULL},
    {"signing_secret", &sl_spec_text, 0, "Secret that signs the request", NULL},
};
static const struct object webhook_object = {
    .name = "webhook", .keys = webhook_keys, .n_keys = SL_LEN(webhook_keys)};
static const struct shape webhook = {MAPPING, .object = &webhook_object};
static const struct key trigger_keys[] = {
    {"drift", &drift, KEY_CHOICE, "When a watched model drifts", NULL},
    {"schedule", &schedule, KEY_CHOICE, "At times", NULL},
    {"webhook", &webhook, KEY_CHOICE, "When another system calls", NULL},
};
static const struct object trigger_object = {.name = "trigger",
                                             .keys = trigger_keys,
                                             .n_keys = SL_LEN(trigger_keys),
                                             .choice = CHOICE_EXACTLY_ONE,
                                             .choice_noun = "kind"};
static const struct shape trigger = {MAPPING, .object = &trigger_object};
static const struct shape triggers = {
    .kind = SHAPE_LIST, .what = "a list of triggers", .of = &trigger, .max_items = 100};

/* ---- documents -------------------------------------------------------------------------------- */

const struct shape sl_spec_include_path = {
    .kind = SHAPE_TEXT, .what = "a relative path", .pattern = "^[^/]", .max_items = 1024};
static const struct key pin_keys[] = {
    {"file", &sl_spec_include_path, KEY_REQUIRED, "The file", NULL},
    {"sha256", &sl_spec_sha256, KEY_REQUIRED, "Digest that the file must have", NULL},
};
static const struct object pin_object = {
    .name = "pinned", .keys = pin_keys, .n_keys = SL_LEN(pin_keys)};
static const struct shape pinned_include = {MAPPING, .object = &pin_object};
static const struct shape include_item = {.kind = SHAPE_TEXT,
                                          .what = "a relative path or {file, sha256}",
                                          .pattern = "^[^/]",
                                          .max_items = 1024,
                                          .other = &pinned_include};
static const struct shape sub_outputs = {.kind = SHAPE_MAP,
                                         .what = "a mapping of outputs",
                                         .of = &sl_spec_output_ref,
                                         .pattern = IDENT,
                                         .names = "letters, digits, '_' and '-'",
                                         .noun = "output",
                                         .max_items = SL_SPEC_SUB_OUTPUTS_MAX};
static const struct shape include = {.kind = SHAPE_LIST,
                                     .what = "a list of files",
                                     .of = &include_item,
                                     .min_items = 1,
                                     .max_items = SL_SPEC_INCLUDES_MAX};
static const struct key pipeline_keys[] = {
    {"apiVersion", &sl_spec_api_version, KEY_REQUIRED, "Version of the language", NULL},
    {"concurrency", &concurrency, 0, "How much runs at the same time", NULL},
    {"defaults", &defaults, 0, "For every step that does not say otherwise", NULL},
    {"description", &sl_spec_text, 0, "For people", NULL},
    {"finally", &sl_spec_steps, 0, "Steps that run after all others, whatever happened", NULL},
    {"include", &include, 0, "Files with further params, defaults, steps and targets", NULL},
    {"kind", &kind_pipeline, KEY_REQUIRED, "Kind of this document", NULL},
    {"monitors", &sl_spec_any, 0, "What is watched after deployment", "monitors are not built yet"},
    {"name", &sl_spec_name, KEY_REQUIRED, "Name of the pipeline", NULL},
    {"outputs", &sub_outputs, 0, "What the file gives when it is a sub-pipeline", NULL},
    {"params", &params, 0, "Values that a run may be given", NULL},
    {"priority", &sl_spec_priority, 0, "Added to the priority of every step", NULL},
    {"steps", &sl_spec_steps, 0, "What is done", NULL},
    {"triggers", &triggers, 0, "What starts a run by itself", "triggers need the server"},
};
const struct object sl_spec_pipeline_object = {
    .name = "Pipeline", .keys = pipeline_keys, .n_keys = SL_LEN(pipeline_keys)};

static const char *const target_types[] = {"directory", NULL};
static const struct shape target_type = {
    .kind = SHAPE_TEXT, .what = "a type", .words = target_types};
static const struct shape keep = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 1, .max = 100};
static const struct shape retries = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 0, .max = 1000};
static const struct shape plain_argument = {.kind = SHAPE_SCALAR, .what = "a string or a number"};
static const struct shape plain_argv = {.kind = SHAPE_LIST,
                                        .what = "a list of arguments",
                                        .of = &plain_argument,
                                        .min_items = 1,
                                        .max_items = SPEC_ARGV_MAX};
static const struct shape target_path = {
    .kind = SHAPE_TEXT, .what = "a path", .pattern = "^.", .max_items = 1024};
static const struct key target_keys[] = {
    {"apiVersion", &sl_spec_api_version, KEY_REQUIRED, "Version of the language", NULL},
    {"health", &plain_argv, 0, "Program that exits 0 when the new release works", NULL},
    {"health_interval", &sl_spec_duration, 0, "Between two health checks (default 1s)", NULL},
    {"health_retries", &retries, 0, "Further checks after a failed one (default 3)", NULL},
    {"keep", &keep, 0, "Releases kept (default 3)", NULL},
    {"kind", &kind_target, KEY_REQUIRED, "Kind of this document", NULL},
    {"name", &sl_spec_name, KEY_REQUIRED, "Name of the target", NULL},
    {"path", &target_path, KEY_REQUIRED, "Directory with the releases, relative to this file",
     NULL},
    {"protected", &sl_spec_bool, 0, "Moves only with a passing verdict (default true)", NULL},
    {"reload", &plain_argv, 0, "Program that makes the server take the new release", NULL},
    {"timeout", &sl_spec_duration, 0, "Longest time of each program (default 1m)", NULL},
    {"type", &target_type, KEY_REQUIRED, "Kind of target", NULL},
    {"warmup", &plain_argv, 0, "Program that runs before the flip", NULL},
};
const struct object sl_spec_target_object = {
    .name = "Target", .keys = target_keys, .n_keys = SL_LEN(target_keys)};

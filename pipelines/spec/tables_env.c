/**
 * The language: where a step runs and what it may use: environment, machine, secrets, isolation.
 *
 * Thread: any (constants). Must not: hold code.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

#define MAPPING .kind = SHAPE_OBJECT, .what = "a mapping"

/* ---- runtime ---------------------------------------------------------------------------------- */

static const struct shape image_ref = {.kind = SHAPE_TEXT,
                                       .what = "an image with its digest, name@sha256:...",
                                       .pattern = "^[^@ ]+@sha256:[0-9a-f]{64}$"};
static const struct shape interpreter = {.kind = SHAPE_TEXT,
                                         .what =
                                             "a program such as python3.11 or /opt/py/bin/python",
                                         .pattern = "^/?[A-Za-z0-9_][A-Za-z0-9_./+-]{0,254}$",
                                         .max_items = 256};
static const struct key runtime_keys[] = {
    {"image", &image_ref, KEY_CHOICE, "Container image pinned by digest", NULL},
    {"python", &interpreter, 0, "Interpreter of the venv (default python3)", NULL},
    {"venv", &sl_spec_path, KEY_CHOICE, "Lock file of a Python environment", NULL},
};
static const struct object runtime_object = {.name = "runtime",
                                             .keys = runtime_keys,
                                             .n_keys = SL_LEN(runtime_keys),
                                             .choice = CHOICE_EXACTLY_ONE,
                                             .choice_noun = "environment"};
static const struct shape runtime_map = {MAPPING, .object = &runtime_object};
static const char *const runtime_words[] = {"host", NULL};
const struct shape sl_spec_runtime = {.kind = SHAPE_TEXT,
                                      .what = "'host', {venv: FILE} or {image: NAME@DIGEST}",
                                      .words = runtime_words,
                                      .other = &runtime_map};

/* ---- GPUs ------------------------------------------------------------------------------------- */

#define SIZE_PATTERN  "[0-9]+(\\.[0-9]+)? ?([KMGT]i?)?B"
#define RANGE_PATTERN "(" SIZE_PATTERN "(\\.\\.(" SIZE_PATTERN ")?)?|\\.\\." SIZE_PATTERN ")"
#define TYPE_PATTERN  "[A-Za-z][A-Za-z0-9_.-]{0,63}"
#define GPU_WHAT      "a number of GPUs, a text such as H100:2 or 24GB.., or {count, type, memory}"
static const struct shape gpu_memory = {.kind = SHAPE_TEXT,
                                        .what =
                                            "a size or a range such as 24GB, 40GB.. or 24GB..80GB",
                                        .pattern = "^" RANGE_PATTERN "$"};
static const struct shape gpu_count = {.kind = SHAPE_INT,
                                       .what = "a number of GPUs",
                                       .has_bounds = true,
                                       .min = 0,
                                       .max = SL_SPEC_GPUS_MAX};
static const struct shape gpu_type = {
    .kind = SHAPE_TEXT, .what = "a GPU type such as H100", .pattern = "^" TYPE_PATTERN "$"};
static const struct shape gpu_type_list = {.kind = SHAPE_LIST,
                                           .what = "a list of GPU types",
                                           .of = &gpu_type,
                                           .min_items = 1,
                                           .max_items = SL_SPEC_GPU_TYPES_MAX};
static const struct shape gpu_types = {.kind = SHAPE_TEXT,
                                       .what = "a GPU type such as H100, or a list of types",
                                       .pattern = "^" TYPE_PATTERN "$",
                                       .other = &gpu_type_list};
static const struct shape mig = {.kind = SHAPE_TEXT,
                                 .what = "'allow', 'forbid' or a profile such as 1g.10gb",
                                 .pattern = "^(allow|forbid|[1-9]g\\.[1-9][0-9]{0,2}gb(\\+me)?)$"};
static const struct key gpu_keys[] = {
    {"count", &gpu_count, 0, "How many (default 1)", NULL},
    {"idle_timeout", &sl_spec_duration, 0, "End the step when its GPUs stay idle for so long",
     NULL},
    {"memory", &gpu_memory, 0, "Memory of each: at least, or a range", NULL},
    {"mig", &mig, 0, "Whether a MIG slice may be used, or which", NULL},
    {"share", &sl_spec_size, 0, "So much memory of one GPU, which others use too", NULL},
    {"type", &gpu_types, 0, "Type, or types any of which will do", NULL},
};
static const struct object gpu_object = {
    .name = "gpu", .keys = gpu_keys, .n_keys = SL_LEN(gpu_keys)};
static const struct shape gpu_map = {MAPPING, .object = &gpu_object};
static const struct shape gpu_text = {.kind = SHAPE_TEXT,
                                      .what = GPU_WHAT,
                                      .pattern = "^(" TYPE_PATTERN "(:[0-9]{1,4})?(:" RANGE_PATTERN
                                                 ")?|" RANGE_PATTERN "(:[0-9]{1,4})?)$",
                                      .other = &gpu_map};
static const struct shape gpu = {.kind = SHAPE_INT,
                                 .what = GPU_WHAT,
                                 .has_bounds = true,
                                 .min = 0,
                                 .max = SL_SPEC_GPUS_MAX,
                                 .other = &gpu_text};

/* ---- the machine ------------------------------------------------------------------------------ */

#define CPU_PATTERN "^[0-9]{1,7}m$"
static const struct shape cpu_text = {
    .kind = SHAPE_TEXT, .what = "a number of CPUs such as 2, 0.5 or 500m", .pattern = CPU_PATTERN};
static const struct shape cpu = {.kind = SHAPE_NUMBER,
                                 .what = "a number of CPUs such as 2, 0.5 or 500m",
                                 .has_bounds = true,
                                 .min = 0.001,
                                 .max = 4096,
                                 .other = &cpu_text};
static const struct shape pids = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 1, .max = 1000000};
static const struct key resource_keys[] = {
    {"cpu", &cpu, 0, "CPUs asked for (default 1)", NULL},
    {"cpu_limit", &cpu, 0, "CPUs at most", NULL},
    {"disk", &sl_spec_size, 0, "Bytes that the attempt may write to disk", NULL},
    {"gpu", &gpu, 0, "GPUs, all or none", NULL},
    {"memory", &sl_spec_size, 0, "Memory asked for, and the limit", NULL},
    {"pids", &pids, 0, "Processes at most", NULL},
    {"priority", &sl_spec_priority, 0, "Higher starts first", NULL},
};
static const struct object resource_object = {
    .name = "resources", .keys = resource_keys, .n_keys = SL_LEN(resource_keys)};
const struct shape sl_spec_resources = {MAPPING, .object = &resource_object};

/* ---- secrets, isolation ----------------------------------------------------------------------- */

static const char *const as_words[] = {"env", "file", NULL};
static const struct shape secret_as = {.kind = SHAPE_TEXT, .what = "a word", .words = as_words};
static const struct key secret_keys[] = {
    {"as", &secret_as, 0, "env: the variable holds the value; file: the path of a file with it",
     NULL},
    {"secret", &sl_spec_name, KEY_REQUIRED, "Name in the secret store", NULL},
};
static const struct object secret_object = {
    .name = "secret", .keys = secret_keys, .n_keys = SL_LEN(secret_keys)};
static const struct shape secret_map = {MAPPING, .object = &secret_object};
static const struct shape secret = {.kind = SHAPE_TEXT,
                                    .what = "the name of a secret or {secret: NAME, as: file}",
                                    .pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
                                    .other = &secret_map};
const struct shape sl_spec_secrets = {.kind = SHAPE_MAP,
                                      .what = "a mapping of variables to secrets",
                                      .of = &secret,
                                      .pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
                                      .names = "letters, digits and '_'",
                                      .noun = "variable",
                                      .max_items = SL_SPEC_SECRETS_MAX};

static const char *const sandbox_words[] = {"none", "strict", NULL};
static const struct shape sandbox_level = {
    .kind = SHAPE_TEXT, .what = "a word", .words = sandbox_words};
static const struct key sandbox_keys[] = {
    {"level", &sandbox_level, KEY_REQUIRED, "none or strict", NULL},
    {"network", &sl_spec_bool, 0, "strict: the network may be used (default false)", NULL},
};
static const struct object sandbox_object = {
    .name = "sandbox", .keys = sandbox_keys, .n_keys = SL_LEN(sandbox_keys)};
static const struct shape sandbox_map = {MAPPING, .object = &sandbox_object};
const struct shape sl_spec_sandbox = {.kind = SHAPE_TEXT,
                                      .what = "'none', 'strict' or {level: strict, network: true}",
                                      .words = sandbox_words,
                                      .other = &sandbox_map};

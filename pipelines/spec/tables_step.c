/**
 * The language, part 2: a step.
 *
 * Thread: any (constants). Must not: hold code.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

#define MAPPING .kind = SHAPE_OBJECT, .what = "a mapping"
/* of a path: neither empty nor "." nor ".." */
#define COMPONENT "([^/.][^/]*|\\.[^/.][^/]*|\\.\\.[^/]+)"
#define IDENT     "^[A-Za-z_][A-Za-z0-9_-]{0,127}$"

const char *const sl_spec_action_keys[] = {"run",      "command",  "gate",   "approval", "deploy",
                                           "rollback", "pipeline", "notify", NULL};

static const struct shape paths = {.kind = SHAPE_LIST,
                                   .what = "a list of paths",
                                   .of = &sl_spec_path,
                                   .min_items = 1,
                                   .max_items = SPEC_ITEMS_MAX};
static const struct shape needs_list = {.kind = SHAPE_LIST,
                                        .what = "a list of step names",
                                        .of = &sl_spec_ident,
                                        .max_items = SPEC_NEEDS_MAX};

/* ---- inputs and outputs ----------------------------------------------------------------------- */

static const struct shape reference = {.kind = SHAPE_TEMPLATE,
                                       .what = "a reference such as churn/labels@latest",
                                       .pattern = "^[^ \t@]+(@[^@]*)?$|\\$\\{\\{",
                                       .max_items = 512};
static const struct shape entity_name = {.kind = SHAPE_TEMPLATE,
                                         .what = "a name without '@'",
                                         .pattern = "^[^ \t@]+$|\\$\\{\\{",
                                         .max_items = 256};
static const struct key input_keys[] = {
    {"artifact", &reference, KEY_CHOICE, "An artifact version", NULL},
    {"dataset", &reference, KEY_CHOICE, "A dataset version", NULL},
    {"model", &reference, KEY_CHOICE, "A model version", NULL},
};
static const struct object input_object = {.name = "input",
                                           .keys = input_keys,
                                           .n_keys = SL_LEN(input_keys),
                                           .choice = CHOICE_EXACTLY_ONE,
                                           .choice_noun = "source"};
static const struct shape input_map = {MAPPING, .object = &input_object};
static const struct shape input = {.kind = SHAPE_TEMPLATE,
                                   .what = "\"${{ steps.STEP.outputs.NAME }}\", {dataset: NAME}, "
                                           "{model: NAME} or {artifact: NAME}",
                                   .pattern = "^[ \t]*\\$\\{\\{.*\\}\\}[ \t]*$",
                                   .other = &input_map};
static const struct shape inputs = {.kind = SHAPE_MAP,
                                    .what = "a mapping of inputs",
                                    .of = &input,
                                    .pattern = IDENT,
                                    .names = "letters, digits, '_' and '-'",
                                    .noun = "input",
                                    .max_items = SPEC_ITEMS_MAX};
static const struct key output_keys[] = {
    {"artifact", &entity_name, KEY_CHOICE, "Publish as a version of this artifact", NULL},
    {"dataset", &entity_name, KEY_CHOICE, "Publish as a version of this dataset", NULL},
    {"metrics", &sl_spec_path, KEY_CHOICE, "A file of JSON to be read as metrics", NULL},
    {"model", &entity_name, KEY_CHOICE, "Publish as a version of this model", NULL},
    {"optional", &sl_spec_bool, 0, "The step may leave it out", NULL},
    {"path", &sl_spec_path, 0, "Where the step writes it (default $SLUICE_OUT_<name>)", NULL},
};
static const struct object output_object = {.name = "output",
                                            .keys = output_keys,
                                            .n_keys = SL_LEN(output_keys),
                                            .choice = CHOICE_AT_MOST_ONE,
                                            .choice_noun = "kind"};
static const struct shape output = {MAPPING, .object = &output_object};
static const struct shape outputs = {.kind = SHAPE_MAP,
                                     .what = "a mapping of outputs",
                                     .of = &output,
                                     .pattern = IDENT,
                                     .names = "letters, digits, '_' and '-'",
                                     .noun = "output",
                                     .max_items = SPEC_ITEMS_MAX};

/* ---- matrix ----------------------------------------------------------------------------------- */

static const struct shape axis_value = {.kind = SHAPE_SCALAR,
                                        .what = "a string, a number or a bool"};
static const struct shape axis = {.kind = SHAPE_LIST,
                                  .what = "a list of values",
                                  .of = &axis_value,
                                  .min_items = 1,
                                  .max_items = SPEC_AXIS_MAX};
static const struct shape combination = {.kind = SHAPE_MAP,
                                         .what = "a mapping of axis values",
                                         .of = &axis_value,
                                         .pattern = IDENT,
                                         .names = "letters, digits, '_' and '-'",
                                         .noun = "axis",
                                         .max_items = 64};
static const struct shape combinations = {.kind = SHAPE_LIST,
                                          .what = "a list of mappings",
                                          .of = &combination,
                                          .max_items = SPEC_ITEMS_MAX};
static const struct shape max_parallel = {.kind = SHAPE_INT,
                                          .what = "an integer",
                                          .has_bounds = true,
                                          .min = 1,
                                          .max = SL_SPEC_EXPANSION_MAX};
static const struct shape fanout_from = {.kind = SHAPE_TEMPLATE,
                                         .what = "\"${{ steps.STEP.outputs.NAME }}\"",
                                         .pattern = "^[ \t]*\\$\\{\\{.*\\}\\}[ \t]*$"};
static const struct shape fanout_max = {.kind = SHAPE_INT,
                                        .what = "an integer",
                                        .has_bounds = true,
                                        .min = 1,
                                        .max = SL_SPEC_FANOUT_MAX};
static const struct key matrix_keys[] = {
    {"as", &sl_spec_ident, 0, "With from: an element is matrix.<as> (default item)", NULL},
    {"exclude", &combinations, 0, "Combinations to leave out", NULL},
    {"fail_fast", &sl_spec_bool, 0,
     "After a failure no instance starts, running ones are stopped (default true)", NULL},
    {"from", &fanout_from, 0, "One instance per element of this output, a JSON array", NULL},
    {"include", &combinations, 0, "Further combinations", NULL},
    {"max", &fanout_max, 0, "With from: elements at most (default 100)", NULL},
    {"max_parallel", &max_parallel, 0, "Instances at the same time", NULL},
};
static const struct object matrix_object = {.name = "matrix",
                                            .keys = matrix_keys,
                                            .n_keys = SL_LEN(matrix_keys),
                                            .others = &axis,
                                            .others_pattern = IDENT};
static const struct shape matrix = {MAPPING, .object = &matrix_object};

/* ---- actions ---------------------------------------------------------------------------------- */

static const struct shape script = {
    .kind = SHAPE_SCRIPT, .what = "a shell script", .max_items = SL_SPEC_RUN_MAX};
static const char *const no_champion_words[] = {"pass", "refuse", NULL};
static const struct shape no_champion = {
    .kind = SHAPE_TEXT, .what = "a word", .words = no_champion_words};
static const struct shape rules = {.kind = SHAPE_LIST,
                                   .what = "a list of expressions",
                                   .of = &sl_spec_expr,
                                   .min_items = 1,
                                   .max_items = SPEC_RULES_MAX};
static const struct shape candidate = {.kind = SHAPE_TEMPLATE,
                                       .what = "\"${{ steps.STEP.outputs.NAME }}\"",
                                       .pattern = "^[ \t]*\\$\\{\\{.*\\}\\}[ \t]*$"};
static const struct key gate_keys[] = {
    {"candidate", &candidate, KEY_REQUIRED, "The model version that is judged", NULL},
    {"champion", &reference, 0, "The version to compare with, such as churn@champion", NULL},
    {"evaluate", &sl_spec_ident, 0, "Step that runs again for a champion without this evaluation",
     NULL},
    {"no_champion", &no_champion, 0, "What happens when there is none (default refuse)", NULL},
    {"on", &candidate, 0, "The dataset that both sides are judged on", NULL},
    {"require", &rules, KEY_REQUIRED, "Rules; all must hold", NULL},
};
const struct object sl_spec_gate_object = {
    .name = "gate", .keys = gate_keys, .n_keys = SL_LEN(gate_keys)};
static const struct shape gate = {MAPPING, .object = &sl_spec_gate_object};

static const struct shape percent = {
    .kind = SHAPE_TEXT, .what = "a share such as 5%", .pattern = "^([0-9]{1,2}(\\.[0-9]+)?|100)%$"};
static const struct key traffic_keys[] = {
    {"hold", &sl_spec_duration, 0, "How long to stay", NULL},
    {"to", &percent, KEY_REQUIRED, "Share of requests", NULL},
};
static const struct object traffic_object = {
    .name = "traffic", .keys = traffic_keys, .n_keys = SL_LEN(traffic_keys)};
static const struct shape traffic_step = {MAPPING, .object = &traffic_object};
static const struct shape traffic = {.kind = SHAPE_LIST,
                                     .what = "a list of traffic steps",
                                     .of = &traffic_step,
                                     .min_items = 1,
                                     .max_items = 100};
static const char *const no_data_words[] = {"fail", "pass", NULL};
static const struct shape no_data = {.kind = SHAPE_TEXT, .what = "a word", .words = no_data_words};
static const struct key analysis_keys[] = {
    {"every", &sl_spec_duration, 0, "How often to look", NULL},
    {"failures", &sl_spec_positive, 0, "Bad looks before going back", NULL},
    {"no_data", &no_data, 0, "What missing data means", NULL},
    {"require", &rules, KEY_REQUIRED, "Rules; all must hold", NULL},
};
static const struct object analysis_object = {
    .name = "analysis", .keys = analysis_keys, .n_keys = SL_LEN(analysis_keys)};
static const struct shape analysis = {MAPPING, .object = &analysis_object};
static const struct key then_keys[] = {
    {"alias", &sl_spec_name, KEY_REQUIRED, "Alias that moves to the deployed version", NULL},
};
static const struct object then_object = {
    .name = "then", .keys = then_keys, .n_keys = SL_LEN(then_keys)};
static const struct shape then = {MAPPING, .object = &then_object};
static const struct key deploy_keys[] = {
    {"analysis", &analysis, 0, "Watch the new version", "live analysis needs the gateway"},
    {"model", &reference, KEY_REQUIRED, "The model version to deploy", NULL},
    {"target", &sl_spec_name, KEY_REQUIRED, "Name of a Target document", NULL},
    {"then", &then, 0, "What follows a good deployment", NULL},
    {"traffic", &traffic, 0, "Shares, one after the other", "traffic shares need the gateway"},
};
static const struct object deploy_object = {
    .name = "deploy", .keys = deploy_keys, .n_keys = SL_LEN(deploy_keys)};
static const struct shape deploy = {MAPPING, .object = &deploy_object};

static const struct shape of_step = {.kind = SHAPE_TEXT,
                                     .what = "a step such as steps.canary",
                                     .pattern = "^steps\\.[A-Za-z_][A-Za-z0-9_-]{0,127}$"};
static const struct key rollback_keys[] = {
    {"of", &of_step, KEY_CHOICE, "Undo that step's deployment if it is still live", NULL},
    {"target", &sl_spec_name, KEY_CHOICE, "Target to roll back", NULL},
    {"to", &reference, 0, "Version to return to (default previous)", NULL},
};
static const struct object rollback_object = {.name = "rollback",
                                              .keys = rollback_keys,
                                              .n_keys = SL_LEN(rollback_keys),
                                              .choice = CHOICE_EXACTLY_ONE,
                                              .choice_noun = "subject"};
static const struct shape rollback = {MAPPING, .object = &rollback_object};

/* ---- the step --------------------------------------------------------------------------------- */

static const struct shape needs = {.kind = SHAPE_TEXT,
                                   .what = "a step name or a list of step names",
                                   .pattern = IDENT,
                                   .other = &needs_list};
static const char *const effects_words[] = {"none", "external", NULL};
static const struct shape effects = {.kind = SHAPE_TEXT, .what = "a word", .words = effects_words};
static const struct shape checkpoint_path = {.kind = SHAPE_TEXT,
                                             .what = "true or a relative path without '.' and '..'",
                                             .pattern = "^" COMPONENT "(/" COMPONENT ")*/?$",
                                             .max_items = 1024};
static const struct shape checkpoint = {.kind = SHAPE_BOOL,
                                        .what = "true or a relative path without '.' and '..'",
                                        .other = &checkpoint_path};

static const struct key step_keys[] = {
    {"approval", &sl_spec_approval, KEY_CHOICE, "Wait for people", NULL},
    {"cache", &sl_spec_cache, 0, "Reuse results of equal steps (default auto)", NULL},
    {"checkpoint", &checkpoint, 0, "State is kept across attempts; the step may be preempted",
     NULL},
    {"code", &paths, 0, "Files of the repository that the step uses (default all)", NULL},
    {"command", &sl_spec_argv, KEY_CHOICE, "Run a program, no shell", NULL},
    {"concurrency", &sl_spec_any, 0, "Concurrency group", "concurrency groups are not built yet"},
    {"deploy", &deploy, KEY_CHOICE, "Put a model version live", NULL},
    {"description", &sl_spec_text, 0, "For people", NULL},
    {"effects", &effects, 0, "external: never cached, never retried blindly", NULL},
    {"env", &sl_spec_env, 0, "Environment variables", NULL},
    {"gate", &gate, KEY_CHOICE, "Judge a model version", NULL},
    {"grace", &sl_spec_duration, 0, "From TERM to KILL (default 10s)", NULL},
    {"hooks", &sl_spec_hooks, 0, "What follows the step's success, failure or end", NULL},
    {"if", &sl_spec_expr, 0, "Condition; a bare expression", NULL},
    {"inputs", &inputs, 0, "Versions that the step reads", NULL},
    {"matrix", &matrix, 0, "One instance per combination of values", NULL},
    {"needs", &needs, 0, "Steps that must have succeeded", NULL},
    {"notify", &sl_spec_notify, KEY_CHOICE, "Tell someone", NULL},
    {"outputs", &outputs, 0, "Versions that the step makes", NULL},
    {"pipeline", &sl_spec_subpipeline, KEY_CHOICE, "Run the steps of another file", NULL},
    {"queue_timeout", &sl_spec_duration, 0, "Longest wait to start", NULL},
    {"resources", &sl_spec_resources, 0, "What the step needs of the machine", NULL},
    {"retry", &sl_spec_retry, 0, "Further attempts", NULL},
    {"rollback", &rollback, KEY_CHOICE, "Return to an earlier version", NULL},
    {"run", &script, KEY_CHOICE, "Shell script for /bin/sh -eu", NULL},
    {"runtime", &sl_spec_runtime, 0, "Environment of the step (default host)", NULL},
    {"sandbox", &sl_spec_sandbox, 0, "Isolation of the step (default none)", NULL},
    {"secrets", &sl_spec_secrets, 0, "Secrets that the step receives", NULL},
    {"stall_timeout", &sl_spec_duration, 0, "Longest silence of log and metrics", NULL},
    {"timeout", &sl_spec_duration, 0, "Longest time of an attempt", NULL},
};
const struct object sl_spec_step_object = {.name = "step",
                                           .keys = step_keys,
                                           .n_keys = SL_LEN(step_keys),
                                           .choice = CHOICE_EXACTLY_ONE,
                                           .choice_noun = "action"};
static const struct shape step = {MAPPING, .object = &sl_spec_step_object};
const struct shape sl_spec_steps = {.kind = SHAPE_MAP,
                                    .what = "a mapping of steps",
                                    .of = &step,
                                    .pattern = IDENT,
                                    .names = "letters, digits, '_' and '-'",
                                    .noun = "step",
                                    .max_items = SL_SPEC_STEPS_MAX};

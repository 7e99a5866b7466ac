/**
 * The language: approvals, notifications, hooks and sub-pipelines.
 *
 * Thread: any (constants). Must not: hold code.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

#define MAPPING .kind = SHAPE_OBJECT, .what = "a mapping"
#define IDENT   "^[A-Za-z_][A-Za-z0-9_-]{0,127}$"

static const char output_pattern[] = "^[ \t]*\\$\\{\\{.*\\}\\}[ \t]*$";
const struct shape sl_spec_output_ref = {.kind = SHAPE_TEMPLATE,
                                         .what = "\"${{ steps.STEP.outputs.NAME }}\"",
                                         .pattern = output_pattern};

/* ---- approval --------------------------------------------------------------------------------- */

#define APPROVER "^(role|user):[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$"
static const struct shape approver = {
    .kind = SHAPE_TEXT, .what = "role:GROUP or user:NAME", .pattern = APPROVER, .max_items = 160};
static const struct shape approvers = {.kind = SHAPE_LIST,
                                       .what = "a list of role:GROUP and user:NAME",
                                       .of = &approver,
                                       .min_items = 1,
                                       .max_items = SL_SPEC_APPROVERS_MAX};
const struct shape sl_spec_approvers = {.kind = SHAPE_TEXT,
                                        .what = "role:GROUP, user:NAME or a list of them",
                                        .pattern = APPROVER,
                                        .max_items = 160,
                                        .other = &approvers};
static const char *const timeout_words[] = {"approve", "reject", NULL};
static const struct shape on_timeout = {
    .kind = SHAPE_TEXT, .what = "a word", .words = timeout_words};
static const struct key approval_keys[] = {
    {"candidate", &sl_spec_output_ref, 0, "What is approved (default the gate's candidate)", NULL},
    {"deny_requester", &sl_spec_bool, 0, "Whoever asked may not approve (default true)", NULL},
    {"from", &sl_spec_approvers, KEY_REQUIRED, "Who may approve, such as role:ml-leads", NULL},
    {"on_timeout", &on_timeout, 0, "What happens when nobody answers (default reject)", NULL},
    {"quorum", &sl_spec_quorum, 0, "Approvals needed (default 1)", NULL},
    {"target", &sl_spec_name, 0, "Target that it holds for (default those deployed to after it)",
     NULL},
    {"text", &sl_spec_text, 0, "Shown to the approver", NULL},
    {"timeout", &sl_spec_duration, 0, "How long to wait (default for ever)", NULL},
};
static const struct object approval_object = {
    .name = "approval", .keys = approval_keys, .n_keys = SL_LEN(approval_keys)};
const struct shape sl_spec_approval = {MAPPING, .object = &approval_object};

/* ---- notify ----------------------------------------------------------------------------------- */

static const struct key notify_keys[] = {
    {"mail", &sl_spec_name, KEY_CHOICE, "Mail channel of the project", NULL},
    {"subject", &sl_spec_template, 0, "Subject of a mail", NULL},
    {"text", &sl_spec_template, KEY_REQUIRED, "What to say", NULL},
    {"webhook", &sl_spec_name, KEY_CHOICE, "Webhook channel of the project", NULL},
};
static const struct object notify_object = {.name = "notify",
                                            .keys = notify_keys,
                                            .n_keys = SL_LEN(notify_keys),
                                            .choice = CHOICE_EXACTLY_ONE,
                                            .choice_noun = "receiver"};
const struct shape sl_spec_notify = {MAPPING, .object = &notify_object};

/* ---- hooks ------------------------------------------------------------------------------------ */

static const struct shape script = {
    .kind = SHAPE_SCRIPT, .what = "a shell script", .max_items = SL_SPEC_RUN_MAX};
static const struct key hook_keys[] = {
    {"command", &sl_spec_argv, KEY_CHOICE, "Run a program, no shell", NULL},
    {"env", &sl_spec_env, 0, "Environment variables", NULL},
    {"grace", &sl_spec_duration, 0, "From TERM to KILL (default 10s)", NULL},
    {"notify", &sl_spec_notify, KEY_CHOICE, "Tell someone", NULL},
    {"resources", &sl_spec_resources, 0, "What the hook needs of the machine", NULL},
    {"retry", &sl_spec_retry, 0, "Further attempts", NULL},
    {"run", &script, KEY_CHOICE, "Shell script for /bin/sh -eu", NULL},
    {"runtime", &sl_spec_runtime, 0, "Environment of the hook (default host)", NULL},
    {"secrets", &sl_spec_secrets, 0, "Secrets that the hook receives", NULL},
    {"timeout", &sl_spec_duration, 0, "Longest time of an attempt", NULL},
};
const struct object sl_spec_hook_object = {.name = "hook",
                                           .keys = hook_keys,
                                           .n_keys = SL_LEN(hook_keys),
                                           .choice = CHOICE_EXACTLY_ONE,
                                           .choice_noun = "action"};
static const struct shape hook = {MAPPING, .object = &sl_spec_hook_object};
static const struct key hooks_keys[] = {
    {"on_end", &hook, 0, "After every end", NULL},
    {"on_failure", &hook, 0, "After it failed or was refused", NULL},
    {"on_success", &hook, 0, "After it succeeded", NULL},
};
static const struct object hooks_object = {
    .name = "hooks", .keys = hooks_keys, .n_keys = SL_LEN(hooks_keys)};
const struct shape sl_spec_hooks = {MAPPING, .object = &hooks_object};

/* ---- sub-pipeline ----------------------------------------------------------------------------- */

static const struct shape sub_argument = {
    .kind = SHAPE_SCALAR, .what = "a string, a number or a bool", .is_template = true};
static const struct shape sub_params = {.kind = SHAPE_MAP,
                                        .what = "a mapping of params",
                                        .of = &sub_argument,
                                        .pattern = IDENT,
                                        .names = "letters, digits, '_' and '-'",
                                        .noun = "param",
                                        .max_items = SL_SPEC_PARAMS_MAX};
static const struct key sub_keys[] = {
    {"file", &sl_spec_include_path, KEY_REQUIRED, "The pipeline whose steps it stands for", NULL},
    {"params", &sub_params, 0, "Its parameters", NULL},
    {"sha256", &sl_spec_sha256, 0, "Digest that the file must have", NULL},
};
static const struct object sub_object = {
    .name = "subpipeline", .keys = sub_keys, .n_keys = SL_LEN(sub_keys)};
const struct shape sl_spec_subpipeline = {MAPPING, .object = &sub_object};

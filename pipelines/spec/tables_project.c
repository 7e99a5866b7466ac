/**
 * The language: the document Project.
 *
 * Thread: any (constants). Must not: hold code.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

#define MAPPING .kind = SHAPE_OBJECT, .what = "a mapping"
#define NAME    "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
#define NAMED(item, things, thing)                                                                 \
    .kind = SHAPE_MAP, .what = "a mapping of " things, .of = &(item), .pattern = NAME,             \
    .names = "letters, digits, '_', '-' and '.'", .noun = (thing), .max_items = SPEC_ITEMS_MAX

static const char *const project_words[] = {"Project", NULL};
static const struct shape kind_project = {
    .kind = SHAPE_TEXT, .what = "a kind", .words = project_words};

/* ---- groups, environments --------------------------------------------------------------------- */

static const struct shape member = {.kind = SHAPE_TEXT,
                                    .what = "user:NAME",
                                    .pattern = "^user:[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$",
                                    .max_items = 160};
static const struct shape members = {.kind = SHAPE_LIST,
                                     .what = "a list of user:NAME",
                                     .of = &member,
                                     .min_items = 1,
                                     .max_items = SPEC_ITEMS_MAX};
static const struct shape groups = {NAMED(members, "groups", "group")};

static const struct shape target_list = {.kind = SHAPE_LIST,
                                         .what = "a list of targets",
                                         .of = &sl_spec_name,
                                         .min_items = 1,
                                         .max_items = SPEC_ITEMS_MAX};
static const struct key rule_keys[] = {
    {"deny_requester", &sl_spec_bool, 0, "Whoever asked may not approve (default true)", NULL},
    {"from", &sl_spec_approvers, KEY_REQUIRED, "Who may approve, such as role:ml-leads", NULL},
    {"quorum", &sl_spec_quorum, 0, "Approvals needed (default 1)", NULL},
    {"timeout", &sl_spec_duration, 0, "How long an approval may be waited for", NULL},
};
static const struct object rule_object = {
    .name = "approvalrule", .keys = rule_keys, .n_keys = SL_LEN(rule_keys)};
static const struct shape rule = {MAPPING, .object = &rule_object};
static const struct key environment_keys[] = {
    {"approval", &rule, 0, "Approval that a deployment needs", NULL},
    {"targets", &target_list, KEY_REQUIRED, "Targets that belong to it", NULL},
};
static const struct object environment_object = {
    .name = "environment", .keys = environment_keys, .n_keys = SL_LEN(environment_keys)};
static const struct shape environment = {MAPPING, .object = &environment_object};
static const struct shape environments = {NAMED(environment, "environments", "environment")};

static const struct shape group_limit = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 1, .max = 100000};
static const struct shape limits = {NAMED(group_limit, "group limits", "group")};

/* ---- channels --------------------------------------------------------------------------------- */

static const struct shape url = {.kind = SHAPE_TEXT,
                                 .what = "an address such as https://example.com/hook",
                                 .pattern = "^https?://[^ /]",
                                 .max_items = 2048};
static const struct key webhook_keys[] = {
    {"secret", &sl_spec_name, 0, "Secret that signs each message", NULL},
    {"url", &url, KEY_CHOICE, "Where messages are posted", NULL},
    {"url_secret", &sl_spec_name, KEY_CHOICE, "Secret that holds the address", NULL},
};
static const struct object webhook_object = {.name = "webhookchannel",
                                             .keys = webhook_keys,
                                             .n_keys = SL_LEN(webhook_keys),
                                             .choice = CHOICE_EXACTLY_ONE,
                                             .choice_noun = "address"};
static const struct shape webhook = {MAPPING, .object = &webhook_object};
static const struct shape address = {.kind = SHAPE_TEXT,
                                     .what = "a mail address",
                                     .pattern = "^[^ @<>\t]+@[^ @<>\t]+$",
                                     .max_items = 254};
static const struct shape addresses = {.kind = SHAPE_LIST,
                                       .what = "a list of mail addresses",
                                       .of = &address,
                                       .min_items = 1,
                                       .max_items = 100};
static const struct shape smtp = {.kind = SHAPE_TEXT,
                                  .what = "a server such as smtp://mail.example.com:587",
                                  .pattern = "^smtps?://[^ /]+$",
                                  .max_items = 512};
static const struct key mail_keys[] = {
    {"from", &address, KEY_REQUIRED, "Sender", NULL},
    {"password_secret", &sl_spec_name, 0, "Secret that holds the password", NULL},
    {"smtp", &smtp, KEY_REQUIRED, "Mail server", NULL},
    {"to", &addresses, KEY_REQUIRED, "Receivers", NULL},
    {"user", &sl_spec_text, 0, "Name at the mail server", NULL},
};
static const struct object mail_object = {
    .name = "mailchannel", .keys = mail_keys, .n_keys = SL_LEN(mail_keys)};
static const struct shape mail = {MAPPING, .object = &mail_object};
static const struct key channel_keys[] = {
    {"mail", &mail, KEY_CHOICE, "Sends mails", NULL},
    {"webhook", &webhook, KEY_CHOICE, "Posts to an address", NULL},
};
static const struct object channel_object = {.name = "channel",
                                             .keys = channel_keys,
                                             .n_keys = SL_LEN(channel_keys),
                                             .choice = CHOICE_EXACTLY_ONE,
                                             .choice_noun = "kind"};
static const struct shape channel = {MAPPING, .object = &channel_object};
static const struct shape channels = {NAMED(channel, "channels", "channel")};

/* ---- policies --------------------------------------------------------------------------------- */

static const char *const metadata_words[] = {"licence", "owner", "retention", "source", NULL};
static const struct shape metadata_key = {
    .kind = SHAPE_TEXT, .what = "a key", .words = metadata_words};
static const struct shape metadata = {
    .kind = SHAPE_LIST, .what = "a list of metadata keys", .of = &metadata_key, .max_items = 16};
static const struct shape keep_last = {
    .kind = SHAPE_INT, .what = "an integer", .has_bounds = true, .min = 0, .max = 1000000};
static const struct key retention_keys[] = {
    {"keep_last", &keep_last, 0, "Runs of a pipeline that are kept whatever their age", NULL},
    {"logs", &sl_spec_duration, 0, "How long logs are kept (default for ever)", NULL},
    {"runs", &sl_spec_duration, 0, "How long runs are kept (default for ever)", NULL},
};
static const struct object retention_object = {
    .name = "retention", .keys = retention_keys, .n_keys = SL_LEN(retention_keys)};
static const struct shape retention = {MAPPING, .object = &retention_object};
static const struct key policy_keys[] = {
    {"dataset_metadata", &metadata, 0, "What must be known of a dataset", NULL},
    {"pinned_includes", &sl_spec_bool, 0, "Includes and sub-pipelines need their sha256", NULL},
    {"reproducible", &sl_spec_bool, 0, "Steps need a venv or an image", NULL},
    {"retention", &retention, 0, "How long history is kept", NULL},
    {"sandbox", &sl_spec_sandbox, 0, "Least isolation of steps", NULL},
};
static const struct object policy_object = {
    .name = "policies", .keys = policy_keys, .n_keys = SL_LEN(policy_keys)};
static const struct shape policies = {MAPPING, .object = &policy_object};

static const struct key project_keys[] = {
    {"apiVersion", &sl_spec_api_version, KEY_REQUIRED, "Version of the language", NULL},
    {"channels", &channels, 0, "Where notifications go", NULL},
    {"concurrency", &limits, 0, "Runs at the same time, by group", NULL},
    {"description", &sl_spec_text, 0, "For people", NULL},
    {"environments", &environments, 0, "Targets and the approvals that they need", NULL},
    {"groups", &groups, 0, "People by role", NULL},
    {"kind", &kind_project, KEY_REQUIRED, "Kind of this document", NULL},
    {"name", &sl_spec_name, KEY_REQUIRED, "Name of the project", NULL},
    {"policies", &policies, 0, "What every pipeline must keep to", NULL},
};
const struct object sl_spec_project_object = {
    .name = "Project", .keys = project_keys, .n_keys = SL_LEN(project_keys)};

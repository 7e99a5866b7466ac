/**
 * A Project document becomes a struct: people, environments, limits, channels, policies.
 *
 * Thread: any. Must not: trust types; what the checker refused is read as absent.
 */
#include "core/base/base.h"

#include "core/base/time.h"
#include "pipelines/spec/spec_priv.h"

/* The entries of a mapping; *ret_n is 0 when there is none. */
static const struct sl_yaml_pair *pairs_of(const struct sl_yaml_node *root, const char *key,
                                           size_t *ret_n)
{
    const struct sl_yaml_node *map = sl_yaml_get(root, key);
    bool is_map = map != NULL && map->type == SL_YAML_MAP;
    *ret_n = is_map ? SL_MIN(map->map.n, (size_t)SPEC_ITEMS_MAX) : 0;
    return is_map ? map->map.pairs : NULL;
}

/* ---- groups ----------------------------------------------------------------------------------- */

static void build_groups(struct spec_loader *l, const struct sl_yaml_node *root,
                         struct sl_project *p)
{
    const struct sl_yaml_pair *pairs = pairs_of(root, "groups", &p->n_groups);
    p->groups = SL_ARENA_ARRAY(l->arena, struct sl_group, p->n_groups + 1);
    for (size_t i = 0; i < p->n_groups; i++) {
        struct sl_group *g = &p->groups[i];
        *g = (struct sl_group){.name = pairs[i].key, .loc = pairs[i].key_loc};
        g->members = sl_spec_texts_of(l, pairs[i].value, &g->n_members);
        for (size_t k = 1; k < g->n_members; k++) {
            for (size_t m = 0; m < k; m++) {
                if (sl_streq(g->members[k], g->members[m])) {
                    spec_error(l, g->loc, "group '%s' lists '%.140s' twice", g->name,
                               g->members[k]);
                }
            }
        }
    }
}

static void build_limits(struct spec_loader *l, const struct sl_yaml_node *root,
                         struct sl_project *p)
{
    const struct sl_yaml_pair *pairs = pairs_of(root, "concurrency", &p->n_concurrency);
    p->concurrency = SL_ARENA_ARRAY(l->arena, struct sl_group_limit, p->n_concurrency + 1);
    for (size_t i = 0; i < p->n_concurrency; i++) {
        p->concurrency[i] =
            (struct sl_group_limit){.group = pairs[i].key,
                                    .loc = pairs[i].key_loc,
                                    .limit = sl_spec_bounded_int(pairs[i].value, 1)};
    }
}

/* ---- environments ----------------------------------------------------------------------------- */

/* `role:` of an approval names a group of this document. */
static void check_roles(struct spec_loader *l, const struct sl_project *p,
                        const struct sl_environment *e)
{
    const char *names[SPEC_ITEMS_MAX];
    for (size_t i = 0; i < p->n_groups; i++) {
        names[i] = p->groups[i].name;
    }
    for (size_t i = 0; i < e->approval.n_from; i++) {
        const char *from = e->approval.from[i];
        const char *role = sl_starts_with(from, "role:") ? from + strlen("role:") : NULL;
        if (role != NULL && sl_project_group(p, role) == NULL) {
            spec_error(l, e->loc,
                       "approval of environment '%s' names group '%.128s', which is not "
                       "in 'groups'%s",
                       e->name, role, sl_spec_suggest(l, role, names, p->n_groups));
        }
    }
}

static void build_environments(struct spec_loader *l, const struct sl_yaml_node *root,
                               struct sl_project *p)
{
    const struct sl_yaml_pair *pairs = pairs_of(root, "environments", &p->n_environments);
    size_t n = p->n_environments;
    p->environments = SL_ARENA_ARRAY(l->arena, struct sl_environment, n + 1);
    p->n_environments = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sl_yaml_node *approval = sl_yaml_get(pairs[i].value, "approval");
        struct sl_environment e = {.name = pairs[i].key, .loc = pairs[i].key_loc};
        e.targets = sl_spec_texts_of(l, sl_yaml_get(pairs[i].value, "targets"), &e.n_targets);
        if (approval != NULL && approval->type == SL_YAML_MAP) {
            e.has_approval = true;
            sl_spec_build_approval(l, approval, &e.approval);
            check_roles(l, p, &e);
        }
        for (size_t k = 0; k < e.n_targets; k++) {
            const struct sl_environment *other = sl_project_environment_of(p, e.targets[k]);
            if (other != NULL) {
                spec_error(l, e.loc, "target '%.128s' is in environment '%s' and in '%s'",
                           e.targets[k], other->name, e.name);
            }
        }
        p->environments[p->n_environments++] = e;
    }
}

/* ---- channels --------------------------------------------------------------------------------- */

static void build_mail(struct spec_loader *l, const struct sl_yaml_node *node, struct sl_channel *c)
{
    const struct sl_yaml_pair *password = sl_yaml_pair(node, "password_secret");
    c->mail = true;
    c->to = sl_spec_texts_of(l, sl_yaml_get(node, "to"), &c->n_to);
    c->from = sl_spec_text_of(node, "from");
    c->smtp = sl_spec_text_of(node, "smtp");
    c->user = sl_spec_text_of(node, "user");
    c->password_secret = sl_spec_text_of(node, "password_secret");
    if (password != NULL && c->user == NULL) {
        spec_error(l, password->key_loc, "'password_secret' of channel '%s' needs 'user'", c->name);
    }
}

static void build_channels(struct spec_loader *l, const struct sl_yaml_node *root,
                           struct sl_project *p)
{
    const struct sl_yaml_pair *pairs = pairs_of(root, "channels", &p->n_channels);
    p->channels = SL_ARENA_ARRAY(l->arena, struct sl_channel, p->n_channels + 1);
    for (size_t i = 0; i < p->n_channels; i++) {
        struct sl_channel *c = &p->channels[i];
        const struct sl_yaml_node *webhook = sl_yaml_get(pairs[i].value, "webhook");
        const struct sl_yaml_node *mail = sl_yaml_get(pairs[i].value, "mail");
        *c = (struct sl_channel){.name = pairs[i].key,
                                 .loc = pairs[i].key_loc,
                                 .url = sl_spec_text_of(webhook, "url"),
                                 .url_secret = sl_spec_text_of(webhook, "url_secret"),
                                 .secret = sl_spec_text_of(webhook, "secret")};
        if (mail != NULL) {
            build_mail(l, mail, c);
        }
    }
}

/* ---- policies --------------------------------------------------------------------------------- */

static void build_policies(struct spec_loader *l, const struct sl_yaml_node *node,
                           struct sl_policies *p)
{
    const struct sl_yaml_node *retention = sl_yaml_get(node, "retention");
    p->dataset_metadata =
        sl_spec_texts_of(l, sl_yaml_get(node, "dataset_metadata"), &p->n_dataset_metadata);
    p->sandbox = sl_spec_sandbox_of(sl_yaml_get(node, "sandbox"));
    p->reproducible = sl_spec_bool_of(node, "reproducible", false);
    p->pinned_includes = sl_spec_bool_of(node, "pinned_includes", false);
    p->retain_runs_ms = sl_spec_ms_of(retention, "runs", 0);
    p->retain_logs_ms = sl_spec_ms_of(retention, "logs", 0);
    p->keep_last = sl_spec_bounded_int(sl_yaml_get(retention, "keep_last"), 0);
}

void sl_spec_build_project(struct spec_loader *l, const struct spec_doc *doc,
                           struct sl_project *ret)
{
    *ret = (struct sl_project){
        .name = sl_spec_text_of(doc->root, "name"),
        .description = sl_spec_text_of(doc->root, "description"),
        .file = doc->y->file,
    };
    build_groups(l, doc->root, ret);
    build_environments(l, doc->root, ret);
    build_limits(l, doc->root, ret);
    build_channels(l, doc->root, ret);
    build_policies(l, sl_yaml_get(doc->root, "policies"), &ret->policies);
}

/* ---- looking up ------------------------------------------------------------------------------- */

const struct sl_group *sl_project_group(const struct sl_project *p, const char *name)
{
    for (size_t i = 0; i < p->n_groups; i++) {
        if (sl_streq(p->groups[i].name, name)) {
            return &p->groups[i];
        }
    }
    return NULL;
}

const struct sl_channel *sl_project_channel(const struct sl_project *p, const char *name)
{
    for (size_t i = 0; i < p->n_channels; i++) {
        if (sl_streq(p->channels[i].name, name)) {
            return &p->channels[i];
        }
    }
    return NULL;
}

const struct sl_environment *sl_project_environment_of(const struct sl_project *p,
                                                       const char *target)
{
    for (size_t i = 0; i < p->n_environments; i++) {
        for (size_t k = 0; k < p->environments[i].n_targets; k++) {
            if (sl_streq(p->environments[i].targets[k], target)) {
                return &p->environments[i];
            }
        }
    }
    return NULL;
}

/**
 * The action of a step and its matrix.
 *
 * Thread: any. Must not: trust types; what the checker refused is read as absent.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/spec/spec_priv.h"

/* ---- matrix ----------------------------------------------------------------------------------- */

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Instances are named by the texts of their values, so two equal texts would be one name. */
static void refuse_twins(struct spec_loader *l, const struct sl_yaml_pair *pair, const char *id)
{
    const struct sl_yaml_node *list = pair->value;
    const char **texts = sl_calloc(SL_MAX(list->seq.n, (size_t)1), sizeof(char *));
    size_t n = 0;
    for (size_t i = 0; i < list->seq.n; i++) {
        const struct sl_yaml_node *item = list->seq.items[i];
        if (item->type != SL_YAML_SEQ && item->type != SL_YAML_MAP) {
            texts[n++] = item->text.ptr;
        }
    }
    qsort(texts, n, sizeof(char *), compare_texts);
    for (size_t i = 1; i < n; i++) {
        if (sl_streq(texts[i - 1], texts[i])) {
            spec_error(l, pair->key_loc, "'%s' of 'matrix' of step '%s' lists '%.60s' twice",
                       pair->key, id, texts[i]);
            break;
        }
    }
    free(texts);
}

static struct sl_value *list_of_maps(struct spec_loader *l, const struct sl_yaml_node *list)
{
    if (list == NULL || list->type != SL_YAML_SEQ) {
        return NULL;
    }
    struct sl_value *value = SL_ARENA_NEW(l->arena, struct sl_value);
    value->type = SL_V_LIST;
    value->list.items = SL_ARENA_ARRAY(l->arena, struct sl_value, SL_MAX(list->seq.n, (size_t)1));
    for (size_t i = 0; i < list->seq.n; i++) {
        const struct sl_yaml_node *item = list->seq.items[i];
        if (item->type != SL_YAML_MAP) {
            continue;
        }
        struct sl_value *map = &value->list.items[value->list.n++];
        map->type = SL_V_MAP;
        map->map.n = item->map.n;
        map->map.fields =
            SL_ARENA_ARRAY(l->arena, struct sl_value_field, SL_MAX(item->map.n, (size_t)1));
        for (size_t k = 0; k < item->map.n; k++) {
            map->map.fields[k] =
                (struct sl_value_field){.name = item->map.pairs[k].key,
                                        .value = sl_spec_scalar(l, item->map.pairs[k].value)};
        }
    }
    return value;
}

static bool is_setting(const char *key)
{
    static const char *const settings[] = {"as",      "exclude", "fail_fast",   "from",
                                           "include", "max",     "max_parallel"};
    for (size_t i = 0; i < SL_LEN(settings); i++) {
        if (sl_streq(key, settings[i])) {
            return true;
        }
    }
    return false;
}

static void add_axis(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_pair *pair)
{
    struct sl_matrix *m = step->matrix;
    const struct sl_yaml_node *list = pair->value;
    if (list->type != SL_YAML_SEQ) {
        return;
    }
    if (m->n_axes == SL_SPEC_MATRIX_AXES_MAX) {
        spec_error(l, pair->key_loc, "matrix of step '%s' has more than %d axes", step->id,
                   SL_SPEC_MATRIX_AXES_MAX);
        return;
    }
    refuse_twins(l, pair, step->id);
    struct sl_matrix_axis *axis = &m->axes[m->n_axes++];
    axis->name = pair->key;
    axis->n = list->seq.n;
    axis->values = SL_ARENA_ARRAY(l->arena, struct sl_value, SL_MAX(list->seq.n, (size_t)1));
    for (size_t i = 0; i < list->seq.n; i++) {
        axis->values[i] = sl_spec_scalar(l, list->seq.items[i]);
    }
}

static void check_expansion(struct spec_loader *l, const struct sl_step *step, struct sl_loc loc)
{
    const struct sl_matrix *m = step->matrix;
    size_t total = m->n_axes > 0 ? 1 : 0;
    for (size_t i = 0; i < m->n_axes && total <= SL_SPEC_EXPANSION_MAX; i++) {
        if (m->axes[i].n > SPEC_AXIS_MAX) {
            return; /* reported by the checker */
        }
        total *= m->axes[i].n;
    }
    total += m->include != NULL ? m->include->list.n : 0;
    if (total > SL_SPEC_EXPANSION_MAX) {
        spec_error(l, loc, "matrix of step '%s' has more than %d combinations", step->id,
                   SL_SPEC_EXPANSION_MAX);
    } else if (m->n_axes == 0 && m->include == NULL) {
        spec_error(l, loc, "matrix of step '%s' has no axis", step->id);
    }
}

static void check_exclude(struct spec_loader *l, const struct sl_step *step,
                          const struct sl_yaml_node *list)
{
    const char *names[SL_SPEC_MATRIX_AXES_MAX];
    for (size_t i = 0; i < step->matrix->n_axes; i++) {
        names[i] = step->matrix->axes[i].name;
    }
    for (size_t i = 0; list != NULL && list->type == SL_YAML_SEQ && i < list->seq.n; i++) {
        const struct sl_yaml_node *item = list->seq.items[i];
        for (size_t k = 0; item->type == SL_YAML_MAP && k < item->map.n; k++) {
            const struct sl_yaml_pair *pair = &item->map.pairs[k];
            bool is_known = false;
            for (size_t n = 0; n < step->matrix->n_axes; n++) {
                is_known = is_known || sl_streq(names[n], pair->key);
            }
            if (!is_known) {
                spec_error(l, pair->key_loc,
                           "'exclude' names '%.100s', which is no axis of step '%s'%s", pair->key,
                           step->id, sl_spec_suggest(l, pair->key, names, step->matrix->n_axes));
            }
        }
    }
}

/* `as` and `max` say more of `from`; without it they would be lost. */
static void refuse_fanout_keys(struct spec_loader *l, const struct sl_step *step,
                               const struct sl_yaml_node *node)
{
    static const char *const keys[] = {"as", "max"};
    for (size_t i = 0; i < SL_LEN(keys); i++) {
        const struct sl_yaml_pair *pair = sl_yaml_pair(node, keys[i]);
        if (pair != NULL) {
            spec_error(l, pair->key_loc, "'%s' of 'matrix' of step '%s' needs 'from'", keys[i],
                       step->id);
        }
    }
}

static void build_fanout(struct spec_loader *l, struct sl_step *step,
                         const struct sl_yaml_node *node)
{
    struct sl_matrix *m = step->matrix;
    const char *as = sl_spec_text_of(node, "as");
    m->from = sl_spec_use_template(l, sl_yaml_get(node, "from"));
    m->as = as != NULL ? as : "item";
    m->max = SL_MAX(1, (int)sl_spec_int_of(node, "max", SL_SPEC_FANOUT_DEFAULT));
    for (size_t i = 0; i < node->map.n; i++) {
        const struct sl_yaml_pair *pair = &node->map.pairs[i];
        if (!is_setting(pair->key) || sl_streq(pair->key, "include") ||
            sl_streq(pair->key, "exclude")) {
            spec_error(l, pair->key_loc,
                       "matrix of step '%s' has 'from' and '%.100s': a fan-out has no axes",
                       step->id, pair->key);
        }
    }
    if (sl_streq(m->as, "index")) {
        spec_error(l, sl_yaml_pair(node, "as")->value->loc,
                   "'as' of 'matrix' of step '%s' must not be 'index', which is the number of the "
                   "element",
                   step->id);
    }
}

void sl_spec_build_matrix(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *node)
{
    if (node == NULL || node->type != SL_YAML_MAP) {
        return;
    }
    struct sl_matrix *m = SL_ARENA_NEW(l->arena, struct sl_matrix);
    step->matrix = m;
    m->axes = SL_ARENA_ARRAY(l->arena, struct sl_matrix_axis, SL_SPEC_MATRIX_AXES_MAX);
    m->max_parallel = (int)sl_spec_int_of(node, "max_parallel", 0);
    m->fail_fast = sl_spec_bool_of(node, "fail_fast", true);
    m->include = list_of_maps(l, sl_yaml_get(node, "include"));
    m->exclude = list_of_maps(l, sl_yaml_get(node, "exclude"));
    size_t asked = 0;
    for (size_t i = 0; i < node->map.n; i++) {
        if (!is_setting(node->map.pairs[i].key)) {
            asked++;
            add_axis(l, step, &node->map.pairs[i]);
        }
    }
    if (sl_yaml_get(node, "from") != NULL) {
        build_fanout(l, step, node);
        return;
    }
    refuse_fanout_keys(l, step, node);
    if (asked == m->n_axes) { /* else reported already */
        check_expansion(l, step, node->loc);
    }
    check_exclude(l, step, sl_yaml_get(node, "exclude"));
}

/* ---- actions ---------------------------------------------------------------------------------- */

static void build_gate(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_node *node)
{
    struct sl_gate *gate = &step->gate;
    const char *no_champion = sl_spec_text_of(node, "no_champion");
    const struct sl_yaml_node *rules = sl_yaml_get(node, "require");
    const struct sl_yaml_node *evaluate = sl_yaml_get(node, "evaluate");
    gate->candidate = sl_spec_use_template(l, sl_yaml_get(node, "candidate"));
    gate->champion = sl_spec_use_template(l, sl_yaml_get(node, "champion"));
    gate->on = sl_spec_use_template(l, sl_yaml_get(node, "on"));
    gate->no_champion = no_champion != NULL && sl_streq(no_champion, "pass")
                            ? SL_NO_CHAMPION_PASS
                            : SL_NO_CHAMPION_REFUSE;
    if (evaluate != NULL && evaluate->type == SL_YAML_STR) {
        gate->evaluate = evaluate->text.ptr;
        sl_spec_use_name(l, gate->evaluate, evaluate->loc, "evaluate", true);
    }
    if (rules == NULL || rules->type != SL_YAML_SEQ) {
        return;
    }
    gate->require = SL_ARENA_ARRAY(l->arena, struct sl_rule, SL_MAX(rules->seq.n, (size_t)1));
    for (size_t i = 0; i < rules->seq.n && i < SPEC_RULES_MAX; i++) {
        const struct sl_yaml_node *item = rules->seq.items[i];
        struct sl_rule rule = {.expr = sl_spec_use_expr(l, item, USE_GATE_RULE),
                               .text = item->text.ptr,
                               .loc = item->loc};
        if (rule.expr != NULL) {
            gate->require[gate->n_require++] = rule;
        }
    }
}

static void build_deploy(struct spec_loader *l, struct sl_step *step,
                         const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *rules = sl_yaml_get(sl_yaml_get(node, "analysis"), "require");
    step->deploy.target = sl_spec_text_of(node, "target");
    step->deploy.model = sl_spec_use_template(l, sl_yaml_get(node, "model"));
    step->deploy.alias = sl_spec_text_of(sl_yaml_get(node, "then"), "alias");
    for (size_t i = 0; rules != NULL && rules->type == SL_YAML_SEQ && i < rules->seq.n; i++) {
        (void)sl_spec_use_expr(l, rules->seq.items[i], USE_ANALYSIS); /* checked only */
    }
}

static void build_rollback(struct spec_loader *l, struct sl_step *step,
                           const struct sl_yaml_node *node)
{
    const struct sl_yaml_pair *of = sl_yaml_pair(node, "of");
    const struct sl_yaml_pair *to = sl_yaml_pair(node, "to");
    step->rollback.target = sl_spec_text_of(node, "target");
    step->rollback.to = sl_spec_use_template(l, to != NULL ? to->value : NULL);
    if (of != NULL && of->value->type == SL_YAML_STR &&
        sl_starts_with(of->value->text.ptr, "steps.")) {
        step->rollback.of_step = of->value->text.ptr + strlen("steps.");
        sl_spec_use_name(l, step->rollback.of_step, of->value->loc, "of", true);
    }
    if (of != NULL && to != NULL) {
        spec_error(l, to->key_loc,
                   "'to' needs 'target': 'of' returns to what was live before that step");
    }
}

static const struct sl_tmpl *use_of(struct spec_loader *l, const struct sl_yaml_node *map,
                                    const char *key)
{
    return sl_spec_use_template(l, sl_yaml_get(map, key));
}

/* ---- approvals, notifications ----------------------------------------------------------------- */

static bool all_users(const struct sl_approval *a)
{
    for (size_t i = 0; i < a->n_from; i++) {
        if (!sl_starts_with(a->from[i], "user:")) {
            return false;
        }
    }
    return true;
}

static void check_approval(struct spec_loader *l, const struct sl_yaml_node *node,
                           const struct sl_approval *a)
{
    const struct sl_yaml_pair *on_timeout = sl_yaml_pair(node, "on_timeout");
    const struct sl_yaml_pair *quorum = sl_yaml_pair(node, "quorum");
    const struct sl_yaml_pair *from = sl_yaml_pair(node, "from");
    if (on_timeout != NULL && sl_yaml_get(node, "timeout") == NULL) {
        spec_error(l, on_timeout->key_loc, "'on_timeout' of 'approval' needs 'timeout'");
    }
    for (size_t i = 0; i < a->n_from; i++) {
        for (size_t k = 0; k < i; k++) {
            if (sl_streq(a->from[i], a->from[k])) {
                spec_error(l, from->key_loc, "'from' of 'approval' lists '%.140s' twice",
                           a->from[i]);
            }
        }
    }
    if (quorum != NULL && all_users(a) && a->n_from > 0 && (size_t)a->quorum > a->n_from) {
        spec_error(l, quorum->value->loc,
                   "'quorum' of 'approval' is %d, but only %zu people may approve", a->quorum,
                   a->n_from);
    }
}

void sl_spec_build_approval(struct spec_loader *l, const struct sl_yaml_node *node,
                            struct sl_approval *ret)
{
    const struct sl_yaml_node *from = sl_yaml_get(node, "from");
    const char *on_timeout = sl_spec_text_of(node, "on_timeout");
    *ret = (struct sl_approval){
        .quorum = SL_MAX(1, (int)sl_spec_int_of(node, "quorum", 1)),
        .deny_requester = sl_spec_bool_of(node, "deny_requester", true),
        .timeout_ms = sl_spec_ms_of(node, "timeout", 0),
        .on_timeout = on_timeout != NULL && sl_streq(on_timeout, "approve") ? SL_ON_TIMEOUT_APPROVE
                                                                            : SL_ON_TIMEOUT_REJECT,
        .target = sl_spec_text_of(node, "target"),
        .text = sl_spec_text_of(node, "text"),
    };
    if (from != NULL && from->type == SL_YAML_STR) {
        ret->from = SL_ARENA_ARRAY(l->arena, const char *, 2);
        ret->from[ret->n_from++] = from->text.ptr;
    } else {
        ret->from = sl_spec_texts_of(l, from, &ret->n_from);
    }
    check_approval(l, node, ret);
}

static void build_notify(struct spec_loader *l, struct sl_step *step,
                         const struct sl_yaml_node *node)
{
    struct sl_notify *n = &step->notify;
    const struct sl_yaml_pair *subject = sl_yaml_pair(node, "subject");
    const char *mail = sl_spec_text_of(node, "mail");
    n->mail = mail != NULL;
    n->channel = mail != NULL ? mail : sl_spec_text_of(node, "webhook");
    n->text = use_of(l, node, "text");
    n->subject = use_of(l, node, "subject");
    if (!n->mail && subject != NULL) {
        spec_error(l, subject->key_loc, "'subject' of 'notify' needs 'mail'");
    }
}

static void build_unsupported(struct spec_loader *l, struct sl_step *step, const char *action)
{
    step->action = SL_ACT_UNSUPPORTED;
    for (size_t i = 0; i < sl_spec_step_object.n_keys; i++) {
        const struct key *key = &sl_spec_step_object.keys[i];
        if (sl_streq(key->name, action)) {
            step->unsupported = sl_arena_printf(l->arena, "%s: %s", action, key->pending);
        }
    }
}

static void build_command(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *list)
{
    step->action = SL_ACT_COMMAND;
    if (list->type != SL_YAML_SEQ) {
        return;
    }
    step->argv = SL_ARENA_ARRAY(l->arena, const struct sl_tmpl *, SL_MAX(list->seq.n, (size_t)1));
    for (size_t i = 0; i < list->seq.n && i < SPEC_ARGV_MAX; i++) {
        const struct sl_tmpl *argument = sl_spec_use_template(l, list->seq.items[i]);
        if (argument != NULL) {
            step->argv[step->n_argv++] = argument;
        }
    }
}

void sl_spec_build_action(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *value = NULL;
    const char *action = "";
    for (size_t i = 0; sl_spec_action_keys[i] != NULL && value == NULL; i++) {
        action = sl_spec_action_keys[i];
        value = sl_yaml_get(node, action);
    }
    if (value == NULL) {
        return; /* reported by the checker */
    }
    if (sl_streq(action, "run")) {
        step->action = SL_ACT_RUN;
        step->run = value->type == SL_YAML_STR ? value->text.ptr : "";
    } else if (sl_streq(action, "command")) {
        build_command(l, step, value);
    } else if (sl_streq(action, "gate")) {
        step->action = SL_ACT_GATE;
        build_gate(l, step, value);
    } else if (sl_streq(action, "deploy")) {
        step->action = SL_ACT_DEPLOY;
        build_deploy(l, step, value);
    } else if (sl_streq(action, "rollback")) {
        step->action = SL_ACT_ROLLBACK;
        build_rollback(l, step, value);
    } else if (sl_streq(action, "approval")) {
        step->action = SL_ACT_APPROVAL;
        sl_spec_build_approval(l, value, &step->approval);
        step->approval.candidate = use_of(l, value, "candidate");
    } else if (sl_streq(action, "notify")) {
        step->action = SL_ACT_NOTIFY;
        build_notify(l, step, value);
    } else {
        build_unsupported(l, step, action);
    }
}

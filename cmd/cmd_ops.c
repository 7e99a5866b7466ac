/* deployments, rollback, fsck, audit, runners. Thread: main. */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/gpu.h"
#include "cmd/table.h"
#include "core/aio/loop.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/run/facts.h"
#include "runners/runner.h"

int sl_cmd_deployments(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    json_t *args = json_object();
    sl_json_set_str(args, "target", sl_cmd_arg(c, 0));
    sl_json_set_str(args, "limit", sl_cmd_opt(c, "limit"));
    if (sl_call(c, "deployments.list", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    const json_t *list = json_object_get(answer, "deployments");
    if (json_array_size(list) == 0) {
        sl_buf_puts(&out, "no deployments\n");
    } else {
        sl_deploy_print(list, c->color, sl_now_ms(), &out);
    }
    return sl_cmd_print(&out);
}

int sl_cmd_rollback(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    json_t *args = json_pack("{s:s, s:s}", "target", sl_cmd_arg(c, 0), "actor", sl_cmd_actor(c));
    sl_json_set_str(args, "to", sl_cmd_opt(c, "to"));
    sl_json_set_str(args, "reason", sl_cmd_opt(c, "reason"));
    if (sl_call(c, "rollback", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("%s: %s@v%lld is live", sl_json_str(answer, "target", ""),
                 sl_json_str(answer, "entity", ""), (long long)sl_json_i64(answer, "version", 0));
    if (sl_streq(sl_json_str(answer, "result", ""), "unchanged")) {
        (void)printf(" already");
    } else if (sl_json_i64(answer, "flip_ms", -1) >= 0) {
        (void)printf(", flipped in %lld ms", (long long)sl_json_i64(answer, "flip_ms", 0));
    }
    const char *note = sl_json_str(answer, "note", "");
    (void)printf("%s%s\n", note[0] != '\0' ? "; " : "", note);
    return SL_EXIT_OK;
}

/* ---- fsck and audit ------------------------------------------------------------------------------- */

int sl_cmd_fsck(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    json_t *args = json_pack("{s:b, s:b}", "rebuild", sl_cmd_flag(c, "rebuild"), "deep",
                             sl_cmd_flag(c, "deep"));
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    bool severe = false;
    size_t i = 0;
    json_t *o = NULL;
    if (sl_call(c, "fsck", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    json_array_foreach (json_object_get(answer, "findings"), i, o) {
        severe = severe || sl_json_bool(o, "severe", false);
        sl_buf_printf(&out, "%s: %s: ", sl_json_bool(o, "severe", false) ? "severe" : "note",
                      sl_json_str(o, "project", ""));
        sl_put_clean(&out, sl_json_str(o, "text", ""));
        sl_buf_putc(&out, '\n');
    }
    json_array_foreach (json_object_get(answer, "projects"), i, o) {
        sl_buf_printf(&out, "%s: %lld versions, %lld entries, %lld pieces of content\n",
                      sl_json_str(o, "project", ""), (long long)sl_json_i64(o, "versions", 0),
                      (long long)sl_json_i64(o, "entries", 0),
                      (long long)sl_json_i64(o, "blobs", 0));
    }
    sl_buf_printf(&out, "audit log: %lld entries\n%s%s\n",
                  (long long)sl_json_i64(answer, "audit_entries", 0),
                  sl_json_bool(answer, "rebuilt", false) ? "the index was rebuilt; " : "",
                  severe ? "something is lost or contradicts itself" : "all is well");
    if (c->json) {
        sl_buf_release(&out);
        (void)sl_cmd_print_json(json_incref(answer));
    } else {
        (void)sl_cmd_print(&out);
    }
    return severe ? SL_EXIT_FAILED : SL_EXIT_OK;
}

static int audit(struct sl_cmd *c, const char *op, const char *word)
{
    json_auto_t *answer = NULL;
    if (sl_call(c, op, json_object(), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("%s%lld entries, root %s\n", word, (long long)sl_json_i64(answer, "entries", 0),
                 sl_json_str(answer, "root", ""));
    return SL_EXIT_OK;
}

int sl_cmd_audit_root(struct sl_cmd *c)
{
    return audit(c, "audit.root", "");
}

int sl_cmd_audit_verify(struct sl_cmd *c)
{
    return audit(c, "audit.verify", "intact: ");
}

/* ---- runners -------------------------------------------------------------------------------------- */

/** What a backend finds on this machine, without an engine. */
static json_t *probe(struct sl_cmd *c, const struct sl_runner_ops *ops)
{
    struct sl_loop *loop = NULL;
    struct sl_runner *runner = NULL;
    json_t *facts = NULL;
    struct sl_err err = SL_ERR_INIT;
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, c->data_path, &err);
    int rc = fd < 0 ? fd : sl_loop_new(&loop, &err);
    struct sl_runner_config config = {.loop = loop, .data_dirfd = fd, .data_dir = c->data_path};
    rc = rc < 0 ? rc : ops->open(&config, &runner, &err);
    struct sl_err why = SL_ERR_INIT; /* asked for, so that the facts hold the answer */
    int strict = rc < 0 ? rc : sl_runner_can_isolate(runner, SL_ISOLATION_STRICT, &why);
    (void)strict;
    rc = rc < 0 ? rc : ops->probe(runner, &facts, &err);
    if (rc < 0) {
        facts = json_pack("{s:s}", "error", err.msg);
    }
    if (runner != NULL) {
        ops->close(runner);
    }
    sl_loop_free(loop);
    return facts;
}

static json_t *runners_json(struct sl_cmd *c)
{
    json_t *list = json_array();
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        const struct sl_runner_ops *ops = sl_runner_at(i);
        if (!sl_streq(ops->name,
                      "fake")) { /* programmed outcomes: nothing that a user can choose */
            json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", ops->name, "text",
                                                  ops->text, "facts", probe(c, ops)));
        }
    }
    struct sl_digest digest;
    return json_pack("{s:o, s:o, s:o, s:o}", "runners", list, "hardware", sl_facts_hardware(),
                     "runtime", sl_facts_runtime(&digest), "gpus", sl_cmd_gpus(c));
}

static void put_fact(const json_t *value, struct sl_buf *out)
{
    _cleanup_(free)
    char *text = json_is_string(value) ? NULL : sl_json_canonical(value);
    sl_put_clean(out, json_is_string(value) ? json_string_value(value) : text);
}

/** One line per fact; the members of an object below it. */
static void put_facts(const json_t *facts, const char *indent, struct sl_buf *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach ((json_t *)(uintptr_t)facts, key, value) {
        const char *inner_key = NULL;
        json_t *inner = NULL;
        sl_buf_printf(out, "%s%-*s", indent, json_is_object(value) ? 0 : 17, key);
        if (!json_is_object(value)) {
            put_fact(value, out);
        }
        json_object_foreach (value, inner_key, inner) {
            sl_buf_printf(out, "\n%s  %-18s ", indent, inner_key);
            put_fact(inner, out);
        }
        sl_buf_putc(out, '\n');
    }
}

int sl_cmd_runners(struct sl_cmd *c)
{
    bool made = false;
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    const char *verb = sl_cmd_arg(c, 0);
    if (verb != NULL && !sl_streq(verb, "undrain")) {
        (void)sl_err_set(&c->err, SL_EINVAL, "'undrain' is all that can be done, not '%.40s'",
                         verb);
        return sl_cmd_fail(c);
    }
    if (verb != NULL) {
        return sl_cmd_gpus_undrain(c);
    }
    if (sl_cmd_data_or_make(c, &made) < 0) {
        return sl_cmd_fail(c);
    }
    json_auto_t *all = runners_json(c);
    if (c->json) {
        return sl_cmd_print_json(json_incref(all));
    }
    size_t i = 0;
    json_t *r = NULL;
    json_array_foreach (json_object_get(all, "runners"), i, r) {
        sl_buf_printf(&out, "%s: %s\n", sl_json_str(r, "name", ""), sl_json_str(r, "text", ""));
        put_facts(json_object_get(r, "facts"), "  ", &out);
    }
    sl_buf_puts(&out, "this machine\n");
    put_facts(json_object_get(all, "hardware"), "  ", &out);
    sl_cmd_gpus_print(json_object_get(all, "gpus"), c->color, &out);
    return sl_cmd_print(&out);
}

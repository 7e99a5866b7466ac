/* project apply, project show: the groups, environments and policies in force. Thread: main. */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/table.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "pipelines/run/project.h"

/** All problems of the file at once, with carets, as lint shows them. */
static int check(struct sl_cmd *c, const char *path, const struct sl_buf *text)
{
    struct sl_diags diags;
    const struct sl_project *project = NULL;
    const struct sl_spec_source source = {.file = path, .text = {sl_buf_str(text), text->len}};
    sl_diags_init(&diags, &c->arena);
    int rc = sl_project_load(&source, &c->arena, &diags, &project);
    if (diags.n_errors > 0 || diags.n_warnings > 0) {
        sl_cmd_print_diags(c, &diags, stderr);
    }
    sl_diags_release(&diags);
    return rc;
}

int sl_cmd_project_apply(struct sl_cmd *c)
{
    const char *path = sl_cmd_arg(c, 0);
    json_auto_t *answer = NULL;
    bool made = false;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_PROJECT_BYTES_MAX + 1);
    if (sl_read_file_at(AT_FDCWD, path, SL_PROJECT_BYTES_MAX, &text, &c->err) < 0) {
        return sl_cmd_fail(c);
    }
    if (check(c, path, &text) < 0) {
        return SL_EXIT_USAGE;
    }
    json_t *args = json_pack("{s:s, s:s}", "file", path, "text", sl_buf_str(&text));
    if (args == NULL) {
        (void)sl_err_set(&c->err, SL_EINVAL, "%s is not UTF-8 text", path);
        return sl_cmd_fail(c);
    }
    int rc = sl_cmd_data_or_make(c, &made);
    if (rc < 0) {
        json_decref(args);
        return sl_cmd_fail(c);
    }
    if (sl_call(c, "project.apply", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("project %s: generation %lld %s\n", sl_json_str(answer, "name", ""),
                 (long long)sl_json_i64(answer, "generation", 0),
                 sl_json_bool(answer, "changed", false) ? "is in force" : "was in force already");
    return SL_EXIT_OK;
}

int sl_cmd_project_show(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)4 << 20);
    char when[SL_TIME_TEXT];
    if (sl_call(c, "project.show", json_object(), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    if (sl_json_i64(answer, "generation", 0) == 0) {
        (void)printf("no project was applied here; 'sluice project apply FILE' does\n");
        return SL_EXIT_OK;
    }
    sl_buf_printf(&out, "# generation %lld, applied by ",
                  (long long)sl_json_i64(answer, "generation", 0));
    sl_put_clean(&out, sl_json_str(answer, "applied_by", ""));
    sl_buf_printf(&out, " at %s from ", sl_time_format(sl_json_i64(answer, "applied_ms", 0), when));
    sl_put_clean(&out, sl_json_str(answer, "file", ""));
    sl_buf_printf(&out, "\n# sha256:%s\n", sl_json_str(answer, "digest", ""));
    const char *at = sl_json_str(answer, "text", "");
    while (*at != '\0') { /* line by line: what was applied, without control characters */
        size_t len = strcspn(at, "\n");
        _cleanup_(free)
        char *line = sl_strndup(at, len);
        sl_put_clean(&out, line);
        sl_buf_putc(&out, '\n');
        at += len + (at[len] == '\n');
    }
    return sl_cmd_print(&out);
}

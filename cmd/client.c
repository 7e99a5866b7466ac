/* Calling operations: through the engine's socket when one answers, else in this process. Thread: main. */
#include "core/base/base.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/user.h"
#include "core/http/client.h"
#include "core/http/url.h"
#include "pipelines/run/workspace.h"
#include "web/api/api.h"

#define BUSY_TRIES                                                                                 \
    100 /* an engine that is just starting or stopping holds the lock without answering */
#define BUSY_WAIT_MS 50

const char *sl_cmd_socket(struct sl_cmd *c)
{
    return sl_arena_printf(&c->arena, "%s/%s", c->data_path, SL_SOCK_NAME);
}

const char *sl_cmd_program(struct sl_cmd *c)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
    return n > 0 && (size_t)n < sizeof(path) ? sl_arena_strndup(&c->arena, path, (size_t)n) : NULL;
}

const char *sl_cmd_actor(struct sl_cmd *c)
{
    char name[SL_USER_NAME];
    return sl_arena_strdup(&c->arena, sl_user_name(geteuid(), name));
}

/* ---- requests ------------------------------------------------------------------------------------- */

static void put_query(json_t *args, struct sl_buf *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    char sep = '?';
    json_object_foreach (args, key, value) {
        _cleanup_(free)
        char *text =
            json_is_string(value) ? sl_strdup(json_string_value(value)) : sl_json_canonical(value);
        sl_buf_putc(out, sep);
        sl_url_encode(out, key);
        sl_buf_putc(out, '=');
        sl_url_encode(out, text);
        sep = '&';
    }
}

int sl_call_target(const char *pattern, const char *method, json_t *args, struct sl_buf *out,
                   struct sl_err *err)
{
    const char *at = pattern;
    while (*at != '\0') {
        size_t plain = strcspn(at, "{");
        sl_buf_add(out, at, plain);
        at += plain;
        if (*at == '{') {
            size_t len = strcspn(at + 1, "}");
            _cleanup_(free)
            char *name = sl_strndup(at + 1, len);
            const char *value = sl_json_str(args, name, "");
            if (value[0] == '\0') {
                return sl_err_set(err, SL_EINVAL, "%s must not be empty", name);
            }
            sl_url_encode(out, value);
            json_object_del(args, name);
            at += len + 2;
        }
    }
    if (sl_streq(method, "GET")) {
        put_query(args, out);
    }
    return 0;
}

static int call_engine(struct sl_cmd *c, const struct sl_api_op *op, json_t *args, json_t **ret)
{
    _cleanup_(buf)
    struct sl_buf target = SL_BUF_INIT(65536);
    json_auto_t *rest = json_deep_copy(args);
    struct sl_http_answer answer;
    int rc = sl_call_target(op->pattern, op->method, rest, &target, &c->err);
    if (rc < 0) {
        return rc;
    }
    bool posts = sl_streq(op->method, "POST");
    _cleanup_(free)
    char *body = posts ? sl_json_canonical(rest) : NULL;
    struct sl_http_call call = {.socket_path = sl_cmd_socket(c),
                                .method = op->method,
                                .target = sl_buf_str(&target),
                                .body = posts ? sl_str_c(body) : (struct sl_str){0},
                                .timeout_ms = 600000};
    rc = sl_http_call(&call, &answer, &c->err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_http_answer_error(&answer, &c->err);
    if (rc == 0) {
        *ret = sl_json_parse("answer", sl_buf_str(&answer.body), answer.body.len, &c->err);
        rc = *ret == NULL ? -SL_EIO : 0;
    }
    sl_http_answer_release(&answer);
    return rc;
}

int sl_call(struct sl_cmd *c, const char *name, json_t *args, json_t **ret)
{
    const struct sl_api_op *op = sl_api_find(name);
    int rc = sl_cmd_data(c);
    for (int i = 0; rc == 0; i++) {
        rc = call_engine(c, op, args, ret);
        if (rc == -SL_EUNREACHABLE) {
            rc = sl_api_call_local(c->data_path, op, args, ret, &c->err);
        }
        if (rc != -SL_EBUSY || op->kind != SL_API_WRITE || i >= BUSY_TRIES) {
            break;
        }
        struct timespec pause = {0, BUSY_WAIT_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        rc = 0;
    }
    json_decref(args);
    return rc;
}

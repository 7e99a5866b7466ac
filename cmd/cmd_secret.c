/* secret: set, ls, rotate, rm. Thread: main. Must not: take a value from an argument, print one, or send one that is
 * not sealed. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/table.h"
#include "core/base/mask.h"
#include "core/base/time.h"
#include "core/secret/secret.h"

#define SHORT_VALUE 8 /* bytes below which a value is not looked for in outputs */

/* ---- reading a value ------------------------------------------------------------------------------ */

/** Waits for a line while signals are held back, so that echo is on again before one of them ends us. */
static int await_line(int signals, struct sl_err *err)
{
    struct pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR) {
            return sl_err_errno(err, errno, "cannot wait for the terminal");
        }
    }
    if (fds[1].revents != 0) {
        return sl_err_set(err, SL_ECANCELLED, "nothing was stored");
    }
    return 0;
}

/** One line without its newline; the terminal gives lines of less than 4 KiB. */
static int read_line(struct sl_secret_value *ret, struct sl_err *err)
{
    _cleanup_(secret_value)
    struct sl_secret_value line = {0};
    line.bytes = sl_secret_alloc(4097);
    ssize_t n = read(STDIN_FILENO, line.bytes, 4096);
    if (n < 0) {
        return sl_err_errno(err, errno, "cannot read the value");
    }
    line.len = (size_t)n;
    if (line.len > 0 && line.bytes[line.len - 1] == '\n') {
        line.len--;
    }
    if (line.len == 0) {
        return sl_err_set(err, SL_EINVAL, "the value is empty");
    }
    if (line.len >= 4095) {
        return sl_err_set(err, SL_ELIMIT, "too long to be typed: use --file");
    }
    line.bytes[line.len] = '\0';
    *ret = line;
    line = (struct sl_secret_value){0};
    return 0;
}

static int ask(const char *prompt, int signals, struct sl_secret_value *ret, struct sl_err *err)
{
    struct termios before;
    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        return sl_err_errno(err, errno, "cannot use the terminal");
    }
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    silent.c_lflag |= ICANON;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0) {
        return sl_err_errno(err, errno, "cannot switch the terminal's echo off");
    }
    (void)fprintf(stderr, "%s", prompt);
    int rc = await_line(signals, err);
    rc = rc < 0 ? rc : read_line(ret, err);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    (void)fprintf(stderr, "\n");
    return rc;
}

static int ask_twice(const char *name, struct sl_secret_value *ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf prompt = SL_BUF_INIT(400);
    _cleanup_(secret_value)
    struct sl_secret_value again = {0};
    sigset_t set;
    sigset_t old;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, &old);
    _cleanup_(close)
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    sl_buf_printf(&prompt, "value of %s (not shown): ", name);
    int rc = signals < 0 ? sl_err_errno(err, errno, "cannot wait for signals")
                         : ask(sl_buf_str(&prompt), signals, ret, err);
    rc = rc < 0 ? rc : ask("again: ", signals, &again, err);
    (void)sigprocmask(SIG_SETMASK, &old, NULL); /* one that waits ends us here */
    if (rc == 0 && (again.len != ret->len || memcmp(again.bytes, ret->bytes, ret->len) != 0)) {
        rc = sl_err_set(err, SL_EINVAL, "the two values differ; nothing was stored");
    }
    return rc;
}

static int read_value(struct sl_cmd *c, const char *name, struct sl_secret_value *ret)
{
    const char *file = sl_cmd_opt(c, "file");
    if (file == NULL && isatty(STDIN_FILENO) == 1) {
        return ask_twice(name, ret, &c->err);
    }
    if (file == NULL) {
        return sl_secret_read_fd(STDIN_FILENO, true, ret, &c->err);
    }
    _cleanup_(close)
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(&c->err, errno, "cannot open '%s'", file);
    }
    int rc = sl_secret_read_fd(fd, false, ret, &c->err);
    return rc < 0 ? sl_err_wrap(&c->err, "'%s'", file) : 0;
}

/* ---- set and rotate ------------------------------------------------------------------------------- */

static int seal(struct sl_cmd *c, const char *name, char **ret_box, size_t *ret_len)
{
    json_auto_t *answer = NULL;
    _cleanup_(secret_value)
    struct sl_secret_value value = {0};
    int rc = sl_secret_name_check(name, &c->err);
    rc = rc < 0 ? rc : read_value(c, name, &value);
    rc = rc < 0 ? rc : sl_call(c, "secrets.key", json_object(), &answer);
    *ret_len = value.len;
    return rc < 0 ? rc
                  : sl_secret_seal(sl_json_str(answer, "public_key", ""), &value, ret_box, &c->err);
}

static int store(struct sl_cmd *c, const char *name, bool rotate)
{
    json_auto_t *answer = NULL;
    _cleanup_(free)
    char *box = NULL;
    size_t len = 0;
    if (seal(c, name, &box, &len) < 0) {
        return sl_cmd_fail(c);
    }
    json_t *args = json_pack("{s:s, s:s, s:b, s:s}", "name", name, "sealed", box, "rotate", rotate,
                             "actor", sl_cmd_actor(c));
    if (sl_call(c, "secrets.put", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (len < SHORT_VALUE) {
        (void)fprintf(stderr, "sluice: a value of less than %d bytes is %s\n",
                      len < SL_MASK_MIN ? SL_MASK_MIN : SHORT_VALUE,
                      len < SL_MASK_MIN ? "neither masked in logs nor looked for in outputs"
                                        : "masked in logs, but not looked for in outputs");
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("%s: version %lld\n", name, (long long)sl_json_i64(answer, "version", 0));
    return SL_EXIT_OK;
}

int sl_cmd_secret_set(struct sl_cmd *c)
{
    bool made = false;
    return sl_cmd_data_or_make(c, &made) < 0 ? sl_cmd_fail(c) : store(c, sl_cmd_arg(c, 0), false);
}

static int rotate_master(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    if (sl_call(c, "secrets.rotate_master", json_pack("{s:s}", "actor", sl_cmd_actor(c)), &answer) <
        0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("new master key; %lld values encrypted anew\n",
                 (long long)sl_json_i64(answer, "versions", 0));
    return SL_EXIT_OK;
}

int sl_cmd_secret_rotate(struct sl_cmd *c)
{
    const char *name = sl_cmd_arg(c, 0);
    bool master = sl_cmd_flag(c, "master");
    if ((name != NULL) == master) {
        sl_err_set(&c->err, SL_EINVAL, "give the NAME of a secret, or --master");
        return sl_cmd_fail(c);
    }
    return master ? rotate_master(c) : store(c, name, true);
}

/* ---- the rest ------------------------------------------------------------------------------------- */

int sl_cmd_secret_rm(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    json_t *args = json_pack("{s:s, s:s}", "name", sl_cmd_arg(c, 0), "actor", sl_cmd_actor(c));
    if (sl_call(c, "secrets.remove", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("%s: every version is erased\n", sl_json_str(answer, "name", ""));
    return SL_EXIT_OK;
}

static void put_row(struct sl_table *t, const json_t *s, int64_t now_ms)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(200);
    sl_table_cell(t, sl_json_str(s, "name", ""));
    sl_table_cellf(t, "v%lld", (long long)sl_json_i64(s, "version", 0));
    sl_put_ago(&text, now_ms, sl_json_i64(s, "set_ms", 0));
    sl_table_cell(t, sl_buf_str(&text));
    sl_table_cell(t, sl_json_str(s, "by", ""));
    sl_buf_clear(&text);
    sl_put_ago(&text, now_ms, sl_json_i64(s, "used_ms", 0));
    if (sl_json_i64(s, "used_ms", 0) > 0) {
        sl_buf_printf(&text, ", run %.8s", sl_json_str(s, "used_run", ""));
    }
    sl_table_cell(t, sl_buf_str(&text));
}

int sl_cmd_secret_ls(struct sl_cmd *c)
{
    static const char *const heads[] = {"NAME", "VERSION", "SET", "BY", "LAST USED", NULL};
    json_auto_t *answer = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    if (sl_call(c, "secrets.list", json_object(), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    size_t i = 0;
    json_t *s = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "secrets"), i, s) {
        put_row(&t, s, sl_now_ms());
    }
    if (t.cells.n == 0) {
        sl_buf_puts(&out, "no secrets; store one with: sluice secret set NAME\n");
    } else {
        sl_table_print(&t, c->color, &out);
    }
    return sl_cmd_print(&out);
}

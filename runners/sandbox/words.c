/* The options of bubblewrap, in the order in which it does them. Source: bwrap(1) 0.8.
 *
 * The root is an empty file system in memory, read-only once all is bound. /proc is read-only as a whole: to
 * an engine run by root its sysctls would be writable otherwise, with or without capabilities. */
#include "core/base/base.h"

#include "runners/sandbox/sandbox_priv.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"

void sl_sandbox_put(struct sl_buf *out, const char *word)
{
    sl_buf_puts(out, "box=");
    sl_buf_puts(out, word);
    sl_buf_putc(out, '\0');
}

static void put2(struct sl_buf *out, const char *a, const char *b)
{
    sl_sandbox_put(out, a);
    sl_sandbox_put(out, b);
}

static void put3(struct sl_buf *out, const char *a, const char *b, const char *c)
{
    put2(out, a, b);
    sl_sandbox_put(out, c);
}

static void put_number(struct sl_buf *out, const char *option, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    put2(out, option, text);
}

static void put_namespaces(const struct sl_sandbox *s, bool network, struct sl_buf *out)
{
    static const char *const always[] = {
        "--unshare-user",       "--unshare-pid", "--unshare-ipc",    "--unshare-uts",
        "--unshare-cgroup-try", "--new-session", "--die-with-parent"};
    for (size_t i = 0; i < SL_LEN(always); i++) {
        sl_sandbox_put(out, always[i]);
    }
    if (!network) {
        sl_sandbox_put(out, "--unshare-net");
    }
    if (s->no_nested) {
        sl_sandbox_put(out, "--disable-userns");
    }
    put_number(out, "--uid", SL_SANDBOX_UID);
    put_number(out, "--gid", SL_SANDBOX_UID);
    put2(out, "--hostname", "sandbox");
    put2(out, "--cap-drop", "ALL");
}

/* /usr, and the directories at the root that are links into it or, on older systems, real. */
static void put_system(struct sl_buf *out)
{
    static const char *const roots[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    put3(out, "--ro-bind", "/usr", "/usr");
    for (size_t i = 0; i < SL_LEN(roots); i++) {
        char target[PATH_MAX];
        ssize_t n = readlink(roots[i], target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = '\0';
            put3(out, "--symlink", target, roots[i]);
        } else {
            put3(out, "--ro-bind-try", roots[i], roots[i]);
        }
    }
}

/* No accounts, keys or settings of the machine: what a loader, a resolver and TLS need. */
static void put_etc(const struct sl_sandbox *s, bool network, struct sl_buf *out)
{
    static const char *const as_is[] = {
        "/etc/alternatives", "/etc/ld.so.cache",     "/etc/ld.so.conf",      "/etc/ld.so.conf.d",
        "/etc/localtime",    "/etc/mime.types",      "/etc/os-release",      "/etc/fonts",
        "/etc/ssl/certs",    "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/pki/tls/certs",
        "/etc/protocols",    "/etc/services"};
    static const char *const ours[] = {"passwd", "group", "nsswitch.conf", "hosts"};
    for (size_t i = 0; i < SL_LEN(as_is); i++) {
        put3(out, "--ro-bind-try", as_is[i], as_is[i]);
    }
    for (size_t i = 0; i < SL_LEN(ours); i++) {
        char from[SL_PROC_PATH_MAX];
        char to[32];
        (void)snprintf(from, sizeof(from), "%s/%s", s->etc, ours[i]);
        (void)snprintf(to, sizeof(to), "/etc/%s", ours[i]);
        bool hosts = network && sl_streq(ours[i], "hosts");
        put3(out, "--ro-bind-try", hosts ? to : from, to);
    }
    if (network) {
        put3(out, "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf");
    }
}

static void put_devices(const struct sl_attempt_sandbox *box, struct sl_buf *out)
{
    put2(out, "--dev", "/dev");
    for (size_t i = 0; box->devices != NULL && box->devices[i] != NULL; i++) {
        put3(out, "--dev-bind-try", box->devices[i], box->devices[i]);
    }
    if (box->devices != NULL && box->devices[0] != NULL) {
        put3(out, "--ro-bind-try", "/sys", "/sys"); /* where drivers say what they drive */
    }
}

static void put_memory_dir(struct sl_buf *out, const char *path, uint64_t size_bytes)
{
    put2(out, "--perms", "1777");
    if (size_bytes > 0) {
        put_number(out, "--size", size_bytes);
    }
    put2(out, "--tmpfs", path);
}

/** In a root of its own, names of machines are still those of here. The files are there to be covered. */
static void put_names(const struct sl_sandbox *s, bool network, struct sl_buf *out)
{
    char hosts[SL_PROC_PATH_MAX];
    (void)snprintf(hosts, sizeof(hosts), "%s/hosts", s->etc);
    put3(out, "--ro-bind-try", network ? "/etc/hosts" : hosts, "/etc/hosts");
    if (network) {
        put3(out, "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf");
    }
}

/* What the kernel and memory give, whatever the files are. */
static void put_places(const struct sl_attempt_sandbox *box, const struct sl_attempt_limits *limits,
                       struct sl_buf *out)
{
    uint64_t tmp = limits->disk_bytes > 0
                       ? SL_MIN(limits->disk_bytes, (uint64_t)SL_SANDBOX_TMP_BYTES)
                       : SL_SANDBOX_TMP_BYTES;
    put2(out, "--proc", "/proc");
    put_devices(box, out);
    put_memory_dir(out, "/dev/shm", limits->mem_bytes);
    put_memory_dir(out, "/tmp", tmp);
    put3(out, "--symlink", "../tmp", "/var/tmp");
}

void sl_sandbox_put_base(const struct sl_sandbox *s, const struct sl_attempt_sandbox *box,
                         const struct sl_attempt_limits *limits, struct sl_buf *out)
{
    sl_sandbox_put(out, s->program);
    put_namespaces(s, box->network, out);
    put_system(out);
    put_etc(s, box->network, out);
    put_places(box, limits, out);
}

int sl_sandbox_put_rooted(const struct sl_sandbox *s, const struct sl_attempt_spec *spec,
                          struct sl_buf *out, struct sl_err *err)
{
    const struct sl_attempt_sandbox *box = &spec->sandbox;
    sl_sandbox_put(out, s->program);
    put_namespaces(s, box->network, out);
    int rc = sl_sandbox_put_root(box->root, spec->attempt_dir, out, err);
    put_names(s, box->network, out);
    put_places(box, &spec->limits, out);
    return rc;
}

void sl_sandbox_put_end(struct sl_buf *out)
{
    static const char *const closed[] = {"/dev", "/proc", "/"};
    for (size_t i = 0; i < SL_LEN(closed); i++) {
        put2(out, "--remount-ro", closed[i]);
    }
}

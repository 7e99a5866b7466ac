/**
 * Which control groups this machine offers us.
 *
 * Sources: cgroups(7), kernel Documentation/admin-guide/cgroup-v2.rst ("no internal processes",
 * delegation) and cgroup-v1/cgroups.rst, proc(5) on mountinfo.
 *
 * Thread: any. Must not: leave a trial group behind.
 */
#include "core/base/base.h"

#include "runners/local/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

#define MOUNTINFO_MAX (4UL * 1024 * 1024)
#define CONTROL_MAX   65536UL

static const char *const resource_names[SL_RES_COUNT] = {"memory", "cpu", "pids"};

static bool read_text(const char *path, size_t max, struct sl_buf *out)
{
    struct sl_err ignored = SL_ERR_INIT;
    out->max_bytes = max;
    return sl_read_file_at(AT_FDCWD, path, max, out, &ignored) == 0;
}

static bool write_control(const char *dir, const char *file, const char *text)
{
    char path[SL_CGROUP_PATH + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, file);
    _cleanup_(close)
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Whether a blank- or comma-separated list holds the word. */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; *p != '\0'; p += strcspn(p, " ,\n")) {
        p += strspn(p, " ,\n");
        if (strncmp(p, word, n) == 0 && strchr(" ,\n", p[n]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Our path in the hierarchy of `controller` ("" is the unified one). */
static bool own_path(const char *self_text, const char *controller, char *out, size_t size)
{
    for (const char *line = self_text; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *list = memchr(line, ':', (size_t)(end - line));
        const char *path = list != NULL ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        if (path != NULL) {
            char names[256];
            (void)snprintf(names, sizeof(names), "%.*s", (int)(path - list - 1), list + 1);
            bool found = controller[0] == '\0' ? names[0] == '\0' : has_word(names, controller);
            if (found && (size_t)(end - path - 1) < size) {
                (void)snprintf(out, size, "%.*s", (int)(end - path - 1), path + 1);
                return true;
            }
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return false;
}

struct mount {
    char root[SL_CGROUP_PATH], point[SL_CGROUP_PATH], type[32], super[512];
};

static bool parse_mount(const char *line, size_t len, struct mount *m)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "%.*s", (int)SL_MIN(len, sizeof(text) - 1), line);
    const char *dash = strstr(text, " - ");
    return dash != NULL && sscanf(text, "%*s %*s %*s %511s %511s", m->root, m->point) == 2 &&
           sscanf(dash, " - %31s %*s %511s", m->type, m->super) == 2 &&
           strchr(m->point, '\\') == NULL && strstr(m->root, "..") == NULL;
}

/* The directory of our own group in one hierarchy; "" when it is not mounted where we see it. */
static void find_dir(const char *mounts, const char *self_text, const char *controller,
                     const char *parent, char out[SL_CGROUP_PATH])
{
    char path[SL_CGROUP_PATH];
    out[0] = '\0';
    if (!own_path(self_text, controller, path, sizeof(path))) {
        return;
    }
    for (const char *line = mounts; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        struct mount m = {0};
        bool unified = controller[0] == '\0';
        if (parse_mount(line, (size_t)(end - line), &m) &&
            sl_streq(m.type, unified ? "cgroup2" : "cgroup") &&
            (unified || has_word(m.super, controller))) {
            size_t root = sl_streq(m.root, "/") ? 0 : strlen(m.root);
            const char *below = parent != NULL                     ? parent
                                : strncmp(path, m.root, root) == 0 ? path + root
                                                                   : "";
            below += strspn(below, "/");
            int n =
                snprintf(out, SL_CGROUP_PATH, "%s%s%s", m.point, *below != '\0' ? "/" : "", below);
            if (n >= SL_CGROUP_PATH) {
                out[0] = '\0';
            }
            return;
        }
        line = *end == '\n' ? end + 1 : end;
    }
}

/* A group can be made there, and a process of our own group moved into it. */
static bool can_make(const char *dir)
{
    char path[SL_CGROUP_PATH + 64];
    if (dir[0] == '\0' || strchr(dir, ':') != NULL || strlen(dir) > SL_CGROUP_PATH - 80) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    if (access(path, W_OK) != 0) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%s/sluice-probe-%d", dir, (int)getpid());
    return mkdir(path, 0755) == 0 && rmdir(path) == 0;
}

static bool holds_only_us(const char *dir)
{
    char path[SL_CGROUP_PATH + 64];
    char want[32];
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(CONTROL_MAX);
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    (void)snprintf(want, sizeof(want), "%d\n", (int)getpid());
    return read_text(path, CONTROL_MAX, &text) && sl_streq(sl_buf_str(&text), want);
}

static void enable(const char *dir, const char *controller)
{
    char word[32];
    (void)snprintf(word, sizeof(word), "+%s", controller);
    if (write_control(dir, "cgroup.subtree_control", word) || !holds_only_us(dir)) {
        return;
    }
    /* A group with processes cannot hand controllers down: step aside into a leaf. */
    char leaf[SL_CGROUP_PATH + 64];
    char pid[32];
    (void)snprintf(leaf, sizeof(leaf), "%s/engine", dir);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)mkdir(leaf, 0755); /* may be there from an earlier engine */
    if (write_control(leaf, "cgroup.procs", pid)) {
        (void)write_control(dir, "cgroup.subtree_control", word); /* looked at afterwards */
    }
}

/* The words of a control file of the group; empty when it cannot be read. */
static void read_control(const char *dir, const char *file, struct sl_buf *out)
{
    char path[SL_CGROUP_PATH + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (!read_text(path, CONTROL_MAX, out)) {
        sl_buf_clear(out);
    }
}

static void probe_v2(struct sl_cgroup_facts *f)
{
    _cleanup_(buf)
    struct sl_buf offered = SL_BUF_INIT(CONTROL_MAX);
    _cleanup_(buf)
    struct sl_buf enabled = SL_BUF_INIT(CONTROL_MAX);
    read_control(f->v2, "cgroup.controllers", &offered);
    read_control(f->v2, "cgroup.subtree_control", &enabled);
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        if (has_word(sl_buf_str(&offered), resource_names[i]) &&
            !has_word(sl_buf_str(&enabled), resource_names[i])) {
            enable(f->v2, resource_names[i]);
        }
    }
    read_control(f->v2, "cgroup.subtree_control", &enabled);
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        f->v2_limits[i] = has_word(sl_buf_str(&enabled), resource_names[i]);
    }
}

static enum sl_cgroup_mode decide(const struct sl_cgroup_facts *f)
{
    bool v1 = false;
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        if (f->v2_limits[i]) {
            return SL_CGROUP_V2;
        }
        v1 = v1 || f->v1[i][0] != '\0';
    }
    return v1 ? SL_CGROUP_V1 : f->v2[0] != '\0' ? SL_CGROUP_V2 : SL_CGROUP_RLIMIT;
}

int sl_cgroup_probe(const struct sl_cgroup_options *o, struct sl_cgroup_facts *ret,
                    struct sl_err *err)
{
    struct sl_cgroup_facts f = {.mode = SL_CGROUP_RLIMIT};
    (void)snprintf(f.prefix, sizeof(f.prefix), "sluice-%08x-",
                   (unsigned)(sl_xxh3(&o->owner, sizeof(o->owner)) & 0xFFFFFFFFU));
    _cleanup_(buf)
    struct sl_buf mounts = SL_BUF_INIT(MOUNTINFO_MAX);
    _cleanup_(buf)
    struct sl_buf self = SL_BUF_INIT(CONTROL_MAX);
    const char *mountinfo = o->mountinfo != NULL ? o->mountinfo : "/proc/self/mountinfo";
    const char *self_cgroup = o->self_cgroup != NULL ? o->self_cgroup : "/proc/self/cgroup";
    if (!o->none) {
        int rc = sl_read_file_at(AT_FDCWD, mountinfo, MOUNTINFO_MAX, &mounts, err);
        rc = rc < 0 ? rc : sl_read_file_at(AT_FDCWD, self_cgroup, CONTROL_MAX, &self, err);
        if (rc < 0) {
            return sl_err_wrap(err, "cannot find out about control groups");
        }
        const char *m = sl_buf_str(&mounts);
        const char *s = sl_buf_str(&self);
        find_dir(m, s, "", o->parent, f.v2);
        if (!can_make(f.v2)) {
            f.v2[0] = '\0';
        } else {
            probe_v2(&f);
        }
        for (size_t i = 0; i < SL_RES_COUNT; i++) {
            find_dir(m, s, resource_names[i], o->parent, f.v1[i]);
            if (f.v2_limits[i] || !can_make(f.v1[i])) {
                f.v1[i][0] = '\0';
            }
        }
        f.mode = decide(&f);
    }
    *ret = f;
    return 0;
}

json_t *sl_cgroup_facts_json(const struct sl_cgroup_facts *f)
{
    static const char *const without[SL_RES_COUNT] = {"counted, rlimit", "not enforced", "counted"};
    json_t *o = json_object();
    sl_json_set_str(o, "mode", sl_cgroup_mode_name(f->mode));
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        sl_json_set_str(o, resource_names[i],
                        f->v2_limits[i]       ? "cgroup v2"
                        : f->v1[i][0] != '\0' ? "cgroup v1"
                                              : without[i]);
    }
    sl_json_set_str(o, "containment", f->v2[0] != '\0' ? "cgroup.kill" : "subreaper");
    return o;
}

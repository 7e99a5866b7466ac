/**
 * The step's cgroups: created with their knobs, emptied by KILL, removed. Only the step joins them;
 * the shim stays outside, so that a limit or a kill never takes the exit record away.
 *
 * Thread: single. Must not: touch a cgroup that is not named in the spec.
 */
#include "core/base/base.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define PATH_BYTES    4096
#define DEPTH_MAX     8 /* cgroups that the step made inside its own */
#define REMOVE_TRIES  100
#define REMOVE_NAP_MS 2

static const char *dir_at(const struct shim_spec *spec, size_t i)
{
    if (spec->cgroup_v2 != NULL) {
        if (i == 0) {
            return spec->cgroup_v2;
        }
        i--;
    }
    return i < spec->n_v1 ? spec->cgroup_v1[i] : NULL;
}

bool shim_cgroup_create(const struct shim_spec *spec, char reason[SHIM_REASON_MAX])
{
    for (size_t i = 0; dir_at(spec, i) != NULL; i++) {
        if (mkdir(dir_at(spec, i), 0755) != 0) {
            (void)snprintf(reason, SHIM_REASON_MAX, "cannot create cgroup %.180s: %s",
                           dir_at(spec, i), strerror(errno));
            shim_cgroup_remove(spec);
            return false;
        }
    }
    for (size_t i = 0; i < spec->n_set; i++) {
        if (!shim_write_file(spec->set[i].file, spec->set[i].value) && !spec->set[i].optional) {
            (void)snprintf(reason, SHIM_REASON_MAX, "cannot set %.180s to %.20s: %s",
                           spec->set[i].file, spec->set[i].value, strerror(errno));
            shim_cgroup_remove(spec);
            return false;
        }
    }
    return true;
}

/* Every process listed in the directory's cgroup.procs, once. The list may be long. */
static void kill_listed(const char *dir)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return;
    }
    int pid = 0;
    while (fscanf(f, "%d", &pid) == 1) {
        if (pid > 1) {
            (void)kill(pid, SIGKILL); /* gone already is fine */
        }
    }
    (void)fclose(f);
}

void shim_cgroup_kill(const struct shim_spec *spec)
{
    char path[PATH_BYTES];
    if (spec->cgroup_v2 != NULL) {
        (void)snprintf(path, sizeof(path), "%s/cgroup.kill", spec->cgroup_v2);
        if (!shim_write_file(path, "1")) {
            kill_listed(spec->cgroup_v2); /* kernels before 5.14 */
        }
    }
    for (size_t i = 0; i < spec->n_v1; i++) {
        kill_listed(spec->cgroup_v1[i]);
    }
}

/* Whether the counter `key` of a file of "key number" lines is above zero. */
static bool counted(const char *file, const char *key)
{
    char text[512];
    size_t len = strlen(key);
    if (file == NULL || shim_read_file(file, text, sizeof(text)) <= 0) {
        return false;
    }
    const char *p = strstr(text, key);
    return p != NULL && (p == text || p[-1] == '\n') && strtoul(p + len, NULL, 10) > 0;
}

bool shim_cgroup_oom(const struct shim_spec *spec)
{
    return counted(spec->oom_file, "oom_kill ");
}

bool shim_cgroup_pids_refused(const struct shim_spec *spec)
{
    return counted(spec->pids_file, "max ");
}

/* Children first; `path` is extended in place. */
static void remove_below(char *path, int depth)
{
    size_t len = strlen(path);
    DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (d != NULL) {
        for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
            if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
                len + strlen(e->d_name) + 2 < PATH_BYTES) {
                (void)snprintf(path + len, PATH_BYTES - len, "/%s", e->d_name);
                remove_below(path, depth + 1);
                path[len] = '\0';
            }
        }
        (void)closedir(d);
    }
    (void)rmdir(path); /* the caller looks whether it is gone */
}

static void remove_dir(const char *dir)
{
    if (rmdir(dir) == 0 || errno == ENOENT) {
        return;
    }
    for (int i = 0; i < REMOVE_TRIES; i++) { /* a dead process leaves its cgroup a moment later */
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof(path), "%s", dir);
        remove_below(path, 0);
        if (access(dir, F_OK) != 0) {
            return;
        }
        struct timespec nap = {0, REMOVE_NAP_MS * 1000000L};
        (void)nanosleep(&nap, NULL);
    }
}

void shim_cgroup_remove(const struct shim_spec *spec)
{
    for (size_t i = 0; dir_at(spec, i) != NULL; i++) {
        remove_dir(dir_at(spec, i));
    }
}

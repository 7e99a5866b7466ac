/* The checkpoint of a step: a directory of its run, kept across attempts, also seen at a path below the work
 * directory when the pipeline says so. Thread: as each function says. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs.h"

/** The path without the slash that may end it. */
static void path_of(const struct sl_step *s, char ret[1100])
{
    snprintf(ret, 1100, "%s", s->checkpoint_path);
    size_t len = strlen(ret);
    if (len > 1 && ret[len - 1] == '/') {
        ret[len - 1] = '\0';
    }
}

/** Whether one is the other, or lies in it. */
static bool meet(const char *a, const char *b)
{
    size_t len = SL_MIN(strlen(a), strlen(b));
    return strncmp(a, b, len) == 0 && (a[len] == '\0' || a[len] == '/') &&
           (b[len] == '\0' || b[len] == '/');
}

int eng_check_checkpoints(const struct eng_run *r, struct sl_err *err)
{
    for (uint32_t i = 0; i < r->core.plan->n_steps; i++) {
        const struct sl_step *s = r->core.plan->steps[i].spec;
        const struct sl_manifest *code = eng_run_code(r, i);
        char path[1100];
        if (s->checkpoint_path == NULL) {
            continue;
        }
        path_of(s, path);
        for (size_t k = 0; k < code->entries.n; k++) {
            if (meet(code->entries.items[k].path, path)) {
                return sl_err_set(err, SL_EINVAL,
                                  "step '%s': checkpoint '%.200s' is part of the code (%.200s); "
                                  "name a folder that the code lacks",
                                  s->id, s->checkpoint_path, code->entries.items[k].path);
            }
        }
    }
    return 0;
}

int eng_checkpoint_link(const struct eng_attempt *ea, int attempt_fd, struct sl_err *err)
{
    const struct sl_step *s = ea->run->core.plan->steps[ea->a->step].spec;
    char path[1100];
    char below[1200];
    if (s->checkpoint_path == NULL) {
        return 0;
    }
    path_of(s, path);
    const char *name = strrchr(path, '/');
    int len = name != NULL ? (int)(name - path) : 0;
    snprintf(below, sizeof(below), "work%s%.*s", len > 0 ? "/" : "", len, path);
    int rc = sl_mkdirs_at(attempt_fd, below, 0755, err);
    if (rc < 0) {
        return sl_err_wrap(err, "checkpoint");
    }
    _cleanup_(close)
    int dir = sl_openat_beneath(attempt_fd, below, O_RDONLY | O_DIRECTORY, 0, err);
    if (dir < 0) {
        return sl_err_wrap(err, "checkpoint");
    }
    char *target = eng_checkpoint_dir(ea->run, ea->a->step);
    rc = symlinkat(target, dir, name != NULL ? name + 1 : path) < 0
             ? sl_err_errno(err, errno, "cannot link the checkpoint to '%s'", path)
             : 0;
    free(target);
    return rc;
}

char *eng_checkpoint_dir(const struct eng_run *r, uint32_t step)
{
    return sl_asprintf("%s/runs/%s/checkpoint-%u", r->e->ws->path, r->record.id, step);
}

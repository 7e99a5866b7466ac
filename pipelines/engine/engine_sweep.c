/* Attempt directories that no journal knows: made ready ahead of their turn by an engine that died, or between
 * making and recording. Their shims have ended with it, unstarted. Thread: loop, before it runs. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/fs.h"

struct known {
    SL_VEC(char *) ids; /* sorted */
    int run_fd;
};

static int note_id(const struct sl_attempt_row *row, void *data, struct sl_err *err)
{
    struct known *k = data;
    (void)err;
    sl_vec_push(&k->ids, sl_strdup(row->id));
    return 0;
}

static int compare_ids(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

static int look_at(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    const struct known *k = data;
    (void)err;
    bool attempt = S_ISDIR(entry->st->st_mode) && sl_id_valid(entry->name);
    bool recorded =
        attempt && k->ids.n > 0 &&
        bsearch(&entry->name, k->ids.items, k->ids.n, sizeof(*k->ids.items), compare_ids) != NULL;
    if (attempt && !recorded && sl_remove_tree_at(k->run_fd, entry->name, NULL) < 0) {
        return 1; /* what stays costs space only */
    }
    return 1;
}

void eng_sweep_unrecorded(const struct eng_run *r, struct sl_db *db)
{
    char path[64];
    struct known k = {.run_fd = -1};
    snprintf(path, sizeof(path), "runs/%s", r->record.id);
    k.run_fd = sl_opendir_at(r->e->ws->fd, path, NULL);
    if (k.run_fd < 0) { /* nothing of it has started */
        return;
    }
    int rc = sl_attempts_load(db, r->record.id, -1, note_id, &k, NULL);
    if (rc == 0 && k.ids.n > 0) {
        qsort(k.ids.items, k.ids.n, sizeof(*k.ids.items), compare_ids);
    }
    rc = rc < 0 ? rc : sl_walk_at(k.run_fd, ".", look_at, &k, NULL);
    for (size_t i = 0; i < k.ids.n; i++) {
        free(k.ids.items[i]);
    }
    sl_vec_free(&k.ids);
    sl_cleanup_close(&k.run_fd);
}

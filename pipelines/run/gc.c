/* Retention: see gc.h. Thread: one that may write the workspace. Must not: read a clock. */
#include "core/base/base.h"

#include "pipelines/run/gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "core/audit/audit.h"
#include "core/base/fault.h"
#include "core/base/fs.h"
#include "pipelines/run/gc_store.h"
#include "pipelines/steps/actor.h"

struct piece {
    UT_hash_handle hh;
    struct sl_digest digest;
    bool needed;
};

enum what { KEEP, REMOVE, LOGS };
struct doomed {
    char id[SL_ID_HEX + 1];
    enum what what;
};

struct gc {
    struct sl_workspace *ws;
    struct sl_db *db;
    const struct sl_gc_opts *opts;
    json_t *list;
    SL_VEC(struct doomed) doomed;
    size_t first, n; /* of the batch */
    int64_t n_removed, n_kept, n_logs, left_out, bytes;
    struct piece *pieces;
    struct sl_blob_collected content;
    int64_t n_candidates;
};

/* ---- files ---------------------------------------------------------------------------------------- */

static int add_size(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    (void)err;
    *(int64_t *)data += S_ISREG(entry->st->st_mode) ? entry->st->st_blocks * 512 : 0;
    return 0;
}

static int64_t run_bytes(const struct gc *g, const char *id)
{
    char path[64];
    int64_t bytes = 0;
    (void)snprintf(path, sizeof(path), "runs/%s", id);
    int ignored = sl_walk_at(g->ws->fd, path, add_size, &bytes, NULL);
    (void)ignored;
    return bytes;
}

static int remove_files(const struct gc *g, const char *id, struct sl_err *err)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "runs/%s", id);
    int rc = sl_remove_tree_at(g->ws->fd, path, err);
    return rc == -SL_ENOTFOUND ? 0 : rc;
}

/** Directories of runs that a collection removed before it died. */
static int look_for_leftover(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    struct gc *g = data;
    if (!S_ISDIR(entry->st->st_mode) || !sl_id_valid(entry->name)) {
        return 1;
    }
    int found = gc_run_exists(g->db, entry->name, err);
    if (found != 0) {
        return found < 0 ? found : 1;
    }
    g->bytes += run_bytes(g, entry->name);
    int rc = g->opts->dry_run ? 0 : remove_files(g, entry->name, err);
    return rc < 0 ? rc : 1;
}

/* ---- which runs ----------------------------------------------------------------------------------- */

static void list_run(struct gc *g, const struct gc_run *run, const char *action, const char *reason,
                     int64_t bytes)
{
    char time[SL_TIME_TEXT];
    if (json_array_size(g->list) >= SL_GC_LIST_MAX) {
        g->left_out++;
        return;
    }
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I}", "id", run->id, "name", run->name, "action",
                          action, "reason", reason, "bytes", (json_int_t)bytes);
    sl_json_set_str(o, "ended_at", sl_time_format(run->ended_ms, time));
    json_array_append_new(g->list, o);
}

static void doom(struct gc *g, const struct gc_run *run, enum what what, const char *reason)
{
    struct doomed d = {.what = what};
    int64_t bytes = run_bytes(g, run->id);
    if (what == LOGS && bytes == 0) { /* gone already */
        return;
    }
    memcpy(d.id, run->id, sizeof(d.id));
    sl_vec_push(&g->doomed, d);
    g->bytes += bytes;
    g->n_removed += what == REMOVE ? 1 : 0;
    g->n_logs += what == LOGS ? 1 : 0;
    list_run(g, run, what == REMOVE ? "remove" : "logs", reason, bytes);
}

static int judge(const struct gc_run *run, void *data, struct sl_err *err)
{
    struct gc *g = data;
    const struct sl_gc_opts *o = g->opts;
    int64_t age = o->now_ms - run->ended_ms;
    char text[SL_TIME_TEXT];
    char reason[100];
    (void)err;
    (void)snprintf(reason, sizeof(reason), "it ended %s ago",
                   sl_duration_format(SL_MAX(age, (int64_t)0), text));
    if (o->runs_ms >= 0 && age >= o->runs_ms) {
        if (run->keep == NULL) {
            doom(g, run, REMOVE, reason);
            return 0;
        }
        list_run(g, run, "keep", run->keep, 0);
    }
    g->n_kept++;
    if (o->logs_ms >= 0 && age >= o->logs_ms) {
        doom(g, run, LOGS, reason);
    }
    return 0;
}

/* ---- removing them -------------------------------------------------------------------------------- */

static int audit_removal(struct sl_db *db, const struct gc *g, const struct doomed *d,
                         struct sl_err *err)
{
    int64_t index = 0;
    struct sl_actor_id actor;
    int rc = sl_actor_id(db, g->ws->actor, &actor, err);
    if (rc < 0) {
        return rc;
    }
    const struct sl_audit_obj obj = {.kind = d->what == REMOVE ? "run" : "log", .id = d->id};
    const struct sl_audit_entry entry = {.ts_ms = g->opts->now_ms,
                                         .act = SL_ACT_HISTORY_REMOVE,
                                         .actor = sl_actor_of(&actor),
                                         .objs = &obj,
                                         .n_objs = 1};
    return sl_audit_append(db, &entry, &index, err);
}

struct one {
    struct gc *g;
    struct doomed *d;
};

static int remove_one(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct one *o = arg;
    int rc = o->d->what == REMOVE ? gc_remove_run(db, o->d->id, o->g->opts, err) : 0;
    return rc < 0 ? rc : audit_removal(db, o->g, o->d, err);
}

static int remove_batch(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct gc *g = arg;
    int rc = 0;
    for (size_t i = g->first; rc == 0 && i < g->first + g->n; i++) {
        struct one o = {g, &g->doomed.items[i]};
        rc = sl_db_savepoint(db, remove_one, &o, err);
        if (rc == -SL_ECONFLICT) { /* needed since we looked: the next collection looks again */
            o.d->what = KEEP;
            g->n_removed--;
            g->n_kept++;
            rc = 0;
        }
    }
    return rc;
}

static int remove_runs(struct gc *g, struct sl_err *err)
{
    int rc = 0;
    for (g->first = 0; rc == 0 && g->first < g->doomed.n; g->first += g->n) {
        g->n = SL_MIN(g->doomed.n - g->first, (size_t)SL_GC_BATCH_MAX);
        rc = sl_ws_write(g->ws, remove_batch, g, err);
        int fault = SL_FAULT_POINT(GC_FILES);
        rc = rc == 0 && fault != 0 ? sl_err_errno(err, fault, "cannot remove files") : rc;
        for (size_t i = g->first; rc == 0 && i < g->first + g->n; i++) {
            rc = g->doomed.items[i].what != KEEP ? remove_files(g, g->doomed.items[i].id, err) : 0;
        }
    }
    return rc;
}

/* ---- content -------------------------------------------------------------------------------------- */

static struct piece *find_piece(const struct gc *g, const struct sl_digest *d)
{
    struct piece *p = NULL;
    HASH_FIND(hh, g->pieces, d, sizeof(*d), p);
    return p;
}

static int add_piece(const struct sl_digest *d, void *data, struct sl_err *err)
{
    struct gc *g = data;
    (void)err;
    if (find_piece(g, d) == NULL) {
        struct piece *p = SL_NEW(struct piece);
        p->digest = *d;
        HASH_ADD(hh, g->pieces, digest, sizeof(p->digest), p);
    }
    return 0;
}

/** Files of trees that are candidates are, too: noted before the tree, which alone names them, can go. */
static int add_files(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct gc *g = arg;
    struct piece *p = NULL;
    struct piece *next = NULL;
    int rc = 0;
    HASH_ITER (hh, g->pieces, p, next) {
        _cleanup_(manifest)
        struct sl_manifest m;
        sl_manifest_init(&m);
        if (rc == 0 && sl_ws_manifest(g->ws->blobs, &p->digest, &m, NULL) == 0) {
            for (size_t i = 0; rc == 0 && i < m.entries.n; i++) {
                const struct sl_manifest_entry *e = &m.entries.items[i];
                if (e->type == SL_ENTRY_FILE && find_piece(g, &e->sha256) == NULL) {
                    rc =
                        gc_candidate_add(db, &e->sha256, g->opts->now_ms - SL_GC_LIVE_WAIT_MS, err);
                    rc = rc < 0 ? rc : add_piece(&e->sha256, g, err);
                }
            }
        }
    }
    return rc;
}

static void need(struct gc *g, const struct sl_digest *d)
{
    struct piece *p = find_piece(g, d);
    if (p != NULL) {
        p->needed = true;
    }
}

static int mark_root(const struct sl_digest *d, enum gc_tree tree, void *data, struct sl_err *err)
{
    struct gc *g = data;
    struct sl_err own = SL_ERR_INIT;
    need(g, d);
    if (tree == GC_NO_TREE) {
        return 0;
    }
    _cleanup_(manifest)
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = sl_ws_manifest(g->ws->blobs, d, &m, &own);
    for (size_t i = 0; rc == 0 && i < m.entries.n; i++) {
        need(g, &m.entries.items[i].sha256);
    }
    if (rc < 0 && tree == GC_TREE) { /* what it names is unknown: removing could harm it further */
        return sl_err_set(err, own.code, "no content is removed: %s; see 'sluice fsck --deep'",
                          own.msg);
    }
    return 0;
}

static int sweep(struct gc *g, struct sl_err *err)
{
    SL_VEC(struct sl_digest) free_ones = {0};
    struct piece *p = NULL;
    struct piece *next = NULL;
    HASH_ITER (hh, g->pieces, p, next) {
        if (!p->needed) {
            sl_vec_push(&free_ones, p->digest);
        }
    }
    int rc = sl_blob_collect(g->ws->blobs, free_ones.items, free_ones.n,
                             g->opts->now_ms - g->opts->grace_ms + (g->opts->grace_ms == 0 ? 1 : 0),
                             &g->content, err);
    int fault = SL_FAULT_POINT(GC_SWEPT);
    sl_vec_free(&free_ones);
    return rc == 0 && fault != 0 ? sl_err_errno(err, fault, "cannot forget candidates") : rc;
}

/** What is gone or needed is no candidate any more; the young are looked at again. */
static int forget(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct gc *g = arg;
    struct piece *p = NULL;
    struct piece *next = NULL;
    int rc = 0;
    HASH_ITER (hh, g->pieces, p, next) {
        int fd = p->needed ? -1 : sl_blob_open(g->ws->blobs, &p->digest, NULL, NULL);
        if (fd < 0) {
            rc = rc < 0 ? rc : gc_candidate_drop(db, &p->digest, err);
        } else {
            (void)close(fd);
        }
    }
    return rc;
}

static int collect_content(struct gc *g, struct sl_err *err)
{
    int64_t before = g->opts->now_ms - (g->opts->live ? SL_GC_LIVE_WAIT_MS : 0);
    int rc = gc_candidates(g->db, before, add_piece, g, err);
    if (rc < 0 || g->pieces == NULL) {
        return rc;
    }
    rc = sl_ws_write(g->ws, add_files, g, err);
    rc = rc < 0 ? rc : gc_roots(g->db, mark_root, g, err);
    g->n_candidates = HASH_COUNT(g->pieces);
    rc = rc < 0 ? rc : sweep(g, err);
    return rc < 0 ? rc : sl_ws_write(g->ws, forget, g, err);
}

/* ---- all ------------------------------------------------------------------------------------------ */

static int collect(struct gc *g, struct sl_err *err)
{
    int rc = sl_walk_at(g->ws->fd, "runs", look_for_leftover, g, err);
    rc = rc == -SL_ENOTFOUND ? 0 : rc;
    rc = rc < 0 ? rc : gc_runs(g->db, g->opts, judge, g, err);
    if (rc < 0 || g->opts->dry_run) {
        return rc;
    }
    rc = remove_runs(g, err);
    return rc < 0 ? rc : collect_content(g, err);
}

int sl_gc(struct sl_workspace *ws, struct sl_db *reader, const struct sl_gc_opts *given,
          json_t **ret, struct sl_err *err)
{
    struct sl_gc_opts opts = *given;
    opts.keep_last = SL_MAX(opts.keep_last, (int64_t)1);
    struct gc g = {.ws = ws, .db = reader, .opts = &opts, .list = json_array()};
    int rc = collect(&g, err);
    if (rc == 0) {
        json_t *content =
            json_pack("{s:I, s:I, s:I, s:I}", "candidates", (json_int_t)g.n_candidates, "removed",
                      (json_int_t)g.content.n_removed, "waiting", (json_int_t)g.content.n_young,
                      "bytes", (json_int_t)g.content.bytes);
        *ret = json_pack("{s:b, s:O, s:I, s:I, s:I, s:I, s:I, s:o}", "dry_run", opts.dry_run,
                         "runs", g.list, "removed", (json_int_t)g.n_removed, "kept",
                         (json_int_t)g.n_kept, "logs", (json_int_t)g.n_logs, "left_out",
                         (json_int_t)g.left_out, "bytes", (json_int_t)g.bytes, "content", content);
    }
    struct piece *p = NULL;
    struct piece *next = NULL;
    HASH_ITER (hh, g.pieces, p, next) {
        HASH_DEL(g.pieces, p);
        free(p);
    }
    sl_vec_free(&g.doomed);
    json_decref(g.list);
    return rc;
}

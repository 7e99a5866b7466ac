/**
 * Checking a registry: the ledger's chain and replay, references, records, trees, content.
 *
 * A version's tree is built again from its manifest in memory: equal ids prove that every pointer is
 * right, and an object that had to be made shows that one is missing.
 * Thread: one at a time per registry. Must not: repair.
 */
#include "core/base/base.h"

#include "registry/registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "registry/registry_priv.h"

#define FINDING_MAX 1024 /* bytes of one finding */

struct ref_state {
    UT_hash_handle hh;
    git_oid id;
    bool seen;
    char ref[];
};

struct blob_seen {
    UT_hash_handle hh;
    struct sl_digest digest;
};

struct fsck {
    struct sl_registry *registry;
    bool deep;
    sl_fsck_fn fn;
    void *data;
    struct sl_fsck_report report;
    struct ref_state *refs;
    struct blob_seen *blobs;
};

static void find(struct fsck *f, bool severe, const char *fmt, ...) SL_PRINTF(3, 4);
static void find(struct fsck *f, bool severe, const char *fmt, ...)
{
    char text[FINDING_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    f->report.n_findings++;
    f->report.n_severe += severe ? 1 : 0;
    if (f->fn != NULL) {
        f->fn(text, severe, f->data);
    }
}

/* ---- the ledger ---- */

static struct ref_state *state_of(struct fsck *f, const char *ref)
{
    struct ref_state *state = NULL;
    size_t len = strlen(ref);
    HASH_FIND(hh, f->refs, ref, len, state);
    if (state == NULL) {
        state = sl_calloc(1, sizeof(*state) + len + 1);
        memcpy(state->ref, ref, len + 1);
        HASH_ADD_KEYPTR(hh, f->refs, state->ref, len, state);
    }
    return state;
}

static void replay_move(struct fsck *f, const git_oid *entry, const struct registry_move *m)
{
    struct ref_state *state = state_of(f, m->ref);
    if (!git_oid_equal(&state->id, &m->from)) {
        find(f, true, "ledger entry %s moves %s from where it was not", git_oid_tostr_s(entry),
             m->ref);
    }
    state->id = m->to;
}

static int replay_entry(struct fsck *f, const git_oid *id, struct sl_err *err)
{
    git_commit *commit = NULL;
    struct registry_moves moves = {.n = 0};
    int code = git_commit_lookup(&commit, f->registry->repo, id);
    if (code != 0) {
        return registry_git_error(code, err, "cannot read ledger entry %s", git_oid_tostr_s(id));
    }
    struct sl_err why = SL_ERR_INIT;
    if (registry_ledger_read(commit, &moves, &why) != 0) {
        find(f, true, "%s", why.msg);
    }
    for (size_t i = 0; i < moves.n; i++) {
        replay_move(f, id, &moves.items[i]);
    }
    registry_moves_release(&moves);
    git_commit_free(commit);
    f->report.n_ledger++;
    return 0;
}

static int replay_ledger(struct fsck *f, struct sl_err *err)
{
    git_oid at;
    SL_VEC(git_oid) chain = {0};
    int rc = registry_ref_read(f->registry, REF_LEDGER, &at, err);
    if (rc == 0 && git_oid_is_zero(&at)) {
        find(f, true, "the ledger is missing");
    }
    while (rc == 0 && !git_oid_is_zero(&at)) {
        git_commit *commit = NULL;
        if (git_commit_lookup(&commit, f->registry->repo, &at) != 0) {
            find(f, true, "ledger entry %s is missing or damaged", git_oid_tostr_s(&at));
            break;
        }
        sl_vec_push(&chain, at);
        at = git_commit_parentcount(commit) > 0 ? *git_commit_parent_id(commit, 0) : (git_oid){{0}};
        git_commit_free(commit);
    }
    for (size_t i = chain.n; rc == 0 && i > 0; i--) {
        rc = replay_entry(f, &chain.items[i - 1], err);
    }
    sl_vec_free(&chain);
    return rc;
}

/* ---- references ---- */

static int check_ref(const char *ref, const git_oid *id, void *data, struct sl_err *err)
{
    (void)err;
    struct fsck *f = data;
    if (sl_streq(ref, REF_MAIN) || sl_streq(ref, REF_LEDGER)) {
        return 0;
    }
    struct ref_state *state = NULL;
    HASH_FIND(hh, f->refs, ref, strlen(ref), state);
    if (state == NULL || !git_oid_equal(&state->id, id)) {
        find(f, true, "%s is not where the ledger put it", ref);
    }
    if (state != NULL) {
        state->seen = true;
    }
    return 0;
}

static int check_refs(struct fsck *f, struct sl_err *err)
{
    git_reference *head = NULL;
    if (git_repository_head(&head, f->registry->repo) != 0) {
        find(f, true, "HEAD does not resolve");
    }
    git_reference_free(head);
    int rc = registry_refs_each(f->registry, "refs/", check_ref, f, err);
    struct ref_state *state = NULL;
    struct ref_state *next = NULL;
    HASH_ITER (hh, f->refs, state, next) {
        if (!state->seen && !git_oid_is_zero(&state->id)) {
            find(f, true, "%s is missing; the ledger put it at %s", state->ref,
                 git_oid_tostr_s(&state->id));
        }
    }
    return rc;
}

/* ---- versions ---- */

static void check_content(struct fsck *f, const struct sl_version_ref *v, bool elsewhere,
                          const struct sl_manifest_entry *e)
{
    if (elsewhere && !sl_blob_has(f->registry->store, &e->sha256)) {
        return; /* bytes that stay at their source; checked where they are used */
    }
    struct blob_seen *seen = NULL;
    HASH_FIND(hh, f->blobs, &e->sha256, sizeof(e->sha256), seen);
    if (seen != NULL) {
        return;
    }
    seen = SL_NEW(struct blob_seen);
    seen->digest = e->sha256;
    HASH_ADD(hh, f->blobs, digest, sizeof(seen->digest), seen);
    f->report.n_blobs++;
    struct sl_err why = SL_ERR_INIT;
    uint64_t size = 0;
    int fd = sl_blob_open(f->registry->store, &e->sha256, &size, &why);
    if (fd < 0) {
        find(f, true, "%s@v%lld: %s: %s", v->name, (long long)v->number, e->path, why.msg);
        return;
    }
    sl_cleanup_close(&fd);
    if (size != e->size_bytes) {
        find(f, true, "%s@v%lld: %s: stored content has %llu bytes, the manifest says %llu",
             v->name, (long long)v->number, e->path, (unsigned long long)size,
             (unsigned long long)e->size_bytes);
    } else if (f->deep && sl_blob_verify(f->registry->store, &e->sha256, &why) != 0) {
        find(f, true, "%s@v%lld: %s: %s", v->name, (long long)v->number, e->path, why.msg);
    }
}

static int check_tree(struct fsck *f, const struct registry_record *rec,
                      const struct sl_manifest *m, struct sl_err *err)
{
    git_commit *commit = NULL;
    git_oid built;
    struct registry_batch batch = {.ids = {0}};
    int code = git_commit_lookup(&commit, f->registry->repo, &rec->id);
    if (code != 0) {
        return registry_git_error(code, err, "cannot read a version");
    }
    int rc = registry_tree_build(f->registry, &batch, m, &built, err);
    const char *name = rec->info.ref.name;
    long long number = (long long)rec->info.ref.number;
    if (rc == 0 && !git_oid_equal(&built, git_commit_tree_id(commit))) {
        find(f, true, "%s@v%lld: the git tree does not match the manifest", name, number);
    } else if (rc == 0 && batch.ids.n > 0) {
        find(f, true, "%s@v%lld: %zu git objects are missing", name, number, batch.ids.n);
    }
    registry_batch_release(f->registry, &batch);
    git_commit_free(commit);
    return rc;
}

static int check_version(struct fsck *f, const char *ref, const git_oid *id, struct sl_err *err)
{
    enum sl_kind kind;
    char name[SL_NAME_MAX + 1];
    char leaf[SL_NAME_MAX + 1];
    char number[32];
    struct registry_record rec;
    struct sl_err why = SL_ERR_INIT;
    if (!registry_ref_split(ref + strlen(REF_TAGS_PREFIX), &kind, name, leaf)) {
        find(f, true, "%s is no reference of a version", ref);
        return 0;
    }
    if (registry_record_read(f->registry, id, &rec, &why) != 0) {
        find(f, true, "%s: %s", ref, why.msg);
        return 0;
    }
    const struct sl_version_ref *v = &rec.info.ref;
    (void)snprintf(number, sizeof(number), "v%lld", (long long)v->number);
    if (v->kind != kind || !sl_streq(v->name, name) || !sl_streq(number, leaf)) {
        find(f, true, "%s points at %s %s@%s", ref, sl_kind_name(v->kind), v->name, number);
    }
    f->report.n_versions++;
    _cleanup_(manifest)
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = 0;
    if (sl_registry_manifest(f->registry, v, &m, &why) != 0) {
        find(f, true, "%s: %s", ref, why.msg);
    } else {
        rc = check_tree(f, &rec, &m, err);
        bool elsewhere = sl_trailers_reference(rec.info.trailers, rec.info.n_trailers);
        f->report.n_entries += m.entries.n;
        for (size_t i = 0; rc == 0 && i < m.entries.n; i++) {
            if (m.entries.items[i].type == SL_ENTRY_FILE) {
                check_content(f, v, elsewhere, &m.entries.items[i]);
            }
        }
    }
    registry_record_release(&rec);
    return rc;
}

/* A branch must stand at its highest version, and that many versions must lie below it. */
static void check_branch(struct fsck *f, const char *ref, const git_oid *tip)
{
    git_oid at = *tip;
    int64_t expected = 0;
    while (!git_oid_is_zero(&at)) {
        struct registry_record rec;
        struct sl_err why = SL_ERR_INIT;
        if (registry_record_read(f->registry, &at, &rec, &why) != 0) {
            find(f, true, "%s: %s", ref, why.msg);
            return;
        }
        if (expected != 0 && rec.info.ref.number != expected) {
            find(f, true, "%s: v%lld stands where v%lld belongs", ref,
                 (long long)rec.info.ref.number, (long long)expected);
        }
        expected = rec.info.ref.number - 1;
        at = rec.parent;
        registry_record_release(&rec);
    }
    if (expected != 0) {
        find(f, true, "%s: its history begins at v%lld", ref, (long long)expected + 1);
    }
}

static int check_versions(struct fsck *f, struct sl_err *err)
{
    struct ref_state *state = NULL;
    struct ref_state *next = NULL;
    HASH_ITER (hh, f->refs, state, next) {
        int rc = 0;
        if (git_oid_is_zero(&state->id)) {
            continue;
        }
        if (sl_starts_with(state->ref, REF_TAGS_PREFIX)) {
            rc = check_version(f, state->ref, &state->id, err);
        } else if (sl_starts_with(state->ref, REF_HEADS_PREFIX)) {
            check_branch(f, state->ref, &state->id);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Reading an object verifies its hash. */
static int read_object(const git_oid *id, void *payload)
{
    struct fsck *f = payload;
    git_odb_object *object = NULL;
    if (git_odb_read(&object, f->registry->disk, id) != 0) {
        find(f, true, "git object %s is damaged", git_oid_tostr_s(id));
    }
    git_odb_object_free(object);
    return 0;
}

static void release(struct fsck *f)
{
    struct ref_state *state = NULL;
    struct ref_state *next_state = NULL;
    HASH_ITER (hh, f->refs, state, next_state) {
        HASH_DEL(f->refs, state);
        free(state);
    }
    struct blob_seen *blob = NULL;
    struct blob_seen *next_blob = NULL;
    HASH_ITER (hh, f->blobs, blob, next_blob) {
        HASH_DEL(f->blobs, blob);
        free(blob);
    }
}

int sl_registry_fsck(struct sl_registry *r, bool deep, sl_fsck_fn fn, void *data,
                     struct sl_fsck_report *ret_report, struct sl_err *err)
{
    struct fsck f = {.registry = r, .deep = deep, .fn = fn, .data = data};
    int rc = registry_enter(r, err);
    rc = rc != 0 ? rc : replay_ledger(&f, err);
    rc = rc != 0 ? rc : check_refs(&f, err);
    rc = rc != 0 ? rc : check_versions(&f, err);
    if (rc == 0 && deep) {
        /* The disk's view alone: libgit2's memory backend cannot be enumerated. */
        int code = git_odb_foreach(r->disk, read_object, &f);
        rc = code == 0 ? 0 : registry_git_error(code, err, "cannot read all git objects");
    }
    release(&f);
    if (rc == 0) {
        *ret_report = f.report;
    }
    return rc;
}

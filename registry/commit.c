/**
 * Making versions.
 *
 * Content durable (the caller) -> git objects durable -> ledger swapped -> other references moved.
 * Thread: one at a time per registry. Must not: touch content.
 */
#include "core/base/base.h"

#include "registry/registry.h"

#include <stdio.h>

#include "core/base/time.h"
#include "registry/registry_priv.h"

char *sl_version_text(const struct sl_version_ref *version, char *out)
{
    (void)snprintf(out, SL_VERSION_TEXT, "%s@v%lld", version->name, (long long)version->number);
    return out;
}

bool sl_trailers_reference(const struct sl_trailer *trailers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(trailers[i].key, SL_TRAILER_REFERENCE)) {
            return true;
        }
    }
    return false;
}

static int check_content(struct sl_registry *r, const struct sl_manifest *m, struct sl_err *err)
{
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        if (e->type == SL_ENTRY_FILE && !sl_blob_has(r->store, &e->sha256)) {
            char hex[SL_DIGEST_HEX + 1];
            return sl_err_set(err, SL_ENOTFOUND, "content of '%s' (sha256:%s) is not stored",
                              e->path, sl_digest_hex(&e->sha256, hex));
        }
    }
    return 0;
}

static bool same_version(const struct sl_version_spec *spec, const struct registry_record *rec)
{
    if (!sl_digest_eq(&rec->info.ref.digest, &spec->manifest->digest)) {
        return false;
    }
    return !spec->always_new || (spec->attempt_id != NULL && rec->attempt_id != NULL &&
                                 sl_streq(spec->attempt_id, rec->attempt_id));
}

/* What exists: the newest version, and whether some version already is what is asked for. */
struct before {
    git_oid tip; /* zero: first version */
    int64_t number;
    struct sl_digest digest;
    bool found;
    struct sl_version_ref same;
};

static int look_back(struct sl_registry *r, const struct sl_version_spec *spec, struct before *ret,
                     struct sl_err *err)
{
    char ref[REF_TEXT_MAX];
    struct before b = {.number = 0};
    int rc = registry_ref_read(r, registry_ref_branch(spec->kind, spec->name, ref), &b.tip, err);
    git_oid at = b.tip;
    while (rc == 0 && !git_oid_is_zero(&at) && !b.found) {
        struct registry_record rec;
        rc = registry_record_read(r, &at, &rec, err);
        if (rc != 0) {
            break;
        }
        if (b.number == 0) {
            b.number = rec.info.ref.number;
            b.digest = rec.info.ref.digest;
        }
        b.found = same_version(spec, &rec);
        b.same = rec.info.ref;
        at = rec.parent;
        registry_record_release(&rec);
    }
    if (rc == 0) {
        *ret = b;
    }
    return rc;
}

/* Builds the version's objects in memory. */
static int build(struct sl_registry *r, struct registry_batch *batch,
                 const struct sl_version_spec *spec, const struct before *before, int64_t when_ms,
                 git_oid *ret_id, struct sl_err *err)
{
    struct sl_buf message = SL_BUF_INIT(COMMIT_TEXT_MAX);
    bool first = git_oid_is_zero(&before->tip);
    int rc = registry_record_write(spec, before->number + 1, first ? NULL : &before->digest,
                                   &message, err);
    struct registry_commit_text text = {.parent = first ? NULL : &before->tip,
                                        .author = spec->author,
                                        .when_ms = when_ms,
                                        .message = sl_buf_str(&message)};
    rc = rc != 0 ? rc : registry_tree_build(r, batch, spec->manifest, &text.tree, err);
    rc = rc != 0 ? rc : registry_commit_add(r, batch, &text, ret_id, err);
    sl_buf_release(&message);
    return rc;
}

static int publish(struct sl_registry *r, struct registry_batch *batch,
                   const struct sl_version_spec *spec, const struct before *before,
                   struct sl_version_ref *ret, struct sl_err *err)
{
    git_oid id;
    git_oid none = {{0}};
    char ref[REF_TEXT_MAX];
    int64_t when_ms = spec->when_ms != 0 ? spec->when_ms : sl_now_ms();
    when_ms -= when_ms % 1000; /* git keeps seconds */
    int rc = build(r, batch, spec, before, when_ms, &id, err);
    if (rc != 0) {
        return rc;
    }
    struct sl_version_ref made = {.kind = spec->kind,
                                  .number = before->number + 1,
                                  .digest = spec->manifest->digest,
                                  .created_ms = when_ms};
    (void)snprintf(made.name, sizeof(made.name), "%s", spec->name);
    git_oid_tostr(made.commit, sizeof(made.commit), &id);
    struct registry_moves moves = {.n = 0};
    registry_moves_add(&moves, registry_ref_branch(spec->kind, spec->name, ref), &before->tip, &id);
    registry_moves_add(&moves, registry_ref_tag(spec->kind, spec->name, made.number, ref), &none,
                       &id);
    _cleanup_(free)
    char *subject = sl_asprintf("publish %s %s v%lld", sl_kind_name(spec->kind), spec->name,
                                (long long)made.number);
    struct registry_entry entry = {.subject = subject, .author = spec->author, .when_ms = when_ms};
    rc = registry_ledger_append(r, batch, &moves, &entry, err);
    registry_moves_release(&moves);
    if (rc == 0) {
        *ret = made;
    }
    return rc;
}

int sl_registry_commit(struct sl_registry *r, const struct sl_version_spec *spec,
                       struct sl_version_ref *ret_version, bool *ret_created, struct sl_err *err)
{
    SL_ASSERT(spec->manifest != NULL && spec->manifest->sealed);
    struct before before;
    int rc = sl_name_check(spec->name, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    rc = rc != 0 ? rc : look_back(r, spec, &before, err);
    if (rc != 0) {
        return rc;
    }
    bool created = !before.found;
    if (created) {
        bool elsewhere = sl_trailers_reference(spec->trailers, spec->n_trailers);
        rc = elsewhere ? 0 : check_content(r, spec->manifest, err);
        struct registry_batch batch = {.ids = {0}};
        rc = rc != 0 ? rc : publish(r, &batch, spec, &before, &before.same, err);
        registry_batch_release(r, &batch);
    }
    if (rc != 0) {
        return rc;
    }
    *ret_version = before.same;
    if (ret_created != NULL) {
        *ret_created = created;
    }
    return 0;
}

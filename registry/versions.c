/**
 * Reading versions: resolving references, listing, records, manifests, differences.
 *
 * Thread: one at a time per registry. Must not: write.
 */
#include "core/base/base.h"

#include "registry/registry.h"

#include <stdlib.h>

#include "registry/registry_priv.h"

/* ---- names, for lists and suggestions ---- */

struct names {
    SL_VEC(char *) list;
    const char *prefix; /* of the refs walked */
};

static void release_names(struct names *n)
{
    for (size_t i = 0; i < n->list.n; i++) {
        free(n->list.items[i]);
    }
    sl_vec_free(&n->list);
}

static int collect_branch(const char *ref, const git_oid *id, void *data, struct sl_err *err)
{
    (void)id;
    (void)err;
    struct names *n = data;
    enum sl_kind kind;
    char name[SL_NAME_MAX + 1];
    if (registry_ref_split(ref + strlen(REF_HEADS_PREFIX), &kind, name, NULL)) {
        sl_vec_push(&n->list, sl_strdup(name));
    }
    return 0;
}

static int collect_leaf(const char *ref, const git_oid *id, void *data, struct sl_err *err)
{
    (void)id;
    (void)err;
    struct names *n = data;
    sl_vec_push(&n->list, sl_strdup(ref + strlen(n->prefix)));
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int entity_names(struct sl_registry *r, enum sl_kind kind, struct names *ret,
                        struct sl_err *err)
{
    _cleanup_(free)
    char *prefix = sl_asprintf(REF_HEADS_PREFIX "%s/", sl_kind_ref(kind));
    int rc = registry_refs_each(r, prefix, collect_branch, ret, err);
    if (rc == 0 && ret->list.n > 1) {
        qsort(ret->list.items, ret->list.n, sizeof(char *), by_text);
    }
    return rc;
}

static int no_entity(struct sl_registry *r, enum sl_kind kind, const char *name, struct sl_err *err)
{
    struct names names = {0};
    int rc = entity_names(r, kind, &names, err);
    if (rc == 0) {
        const char *near = sl_nearest(name, (const char *const *)names.list.items, names.list.n);
        rc = near != NULL ? sl_err_set(err, SL_ENOTFOUND, "no %s '%s'; did you mean '%s'?",
                                       sl_kind_name(kind), name, near)
                          : sl_err_set(err, SL_ENOTFOUND, "no %s '%s'", sl_kind_name(kind), name);
    }
    release_names(&names);
    return rc;
}

static int no_alias(struct sl_registry *r, enum sl_kind kind, const struct sl_ref_text *t,
                    struct sl_err *err)
{
    char prefix[REF_TEXT_MAX];
    registry_ref_alias(kind, t->name, "", prefix);
    struct names names = {.prefix = prefix};
    int rc = registry_refs_each(r, prefix, collect_leaf, &names, err);
    if (rc == 0) {
        const char *near =
            sl_nearest(t->alias, (const char *const *)names.list.items, names.list.n);
        rc = near != NULL
                 ? sl_err_set(err, SL_ENOTFOUND, "%s '%s' has no alias '%s'; did you mean '%s'?",
                              sl_kind_name(kind), t->name, t->alias, near)
                 : sl_err_set(err, SL_ENOTFOUND, "%s '%s' has no alias '%s'", sl_kind_name(kind),
                              t->name, t->alias);
    }
    release_names(&names);
    return rc;
}

/* ---- resolving ---- */

static int read_ref(struct sl_registry *r, const git_oid *id, struct sl_version_ref *ret,
                    struct sl_err *err)
{
    struct registry_record rec;
    int rc = registry_record_read(r, id, &rec, err);
    if (rc == 0) {
        *ret = rec.info.ref;
        registry_record_release(&rec);
    }
    return rc;
}

/* By digest prefix; the newest version with that content, an error when two contents match. */
static int find_digest(struct sl_registry *r, const git_oid *tip, const struct sl_ref_text *t,
                       struct sl_version_ref *ret, struct sl_err *err)
{
    bool found = false;
    git_oid at = *tip;
    while (!git_oid_is_zero(&at)) {
        struct registry_record rec;
        char hex[SL_DIGEST_HEX + 1];
        int rc = registry_record_read(r, &at, &rec, err);
        if (rc != 0) {
            return rc;
        }
        struct sl_version_ref ref = rec.info.ref;
        at = rec.parent;
        registry_record_release(&rec);
        if (!sl_starts_with(sl_digest_hex(&ref.digest, hex), t->hex)) {
            continue;
        }
        if (found && !sl_digest_eq(&ref.digest, &ret->digest)) {
            return sl_err_set(err, SL_ECONFLICT, "sha256:%s is ambiguous in '%s': v%lld and v%lld",
                              t->hex, t->name, (long long)ret->number, (long long)ref.number);
        }
        if (!found) {
            *ret = ref;
            found = true;
        }
    }
    return found ? 0
                 : sl_err_set(err, SL_ENOTFOUND, "'%s' has no version sha256:%s", t->name, t->hex);
}

static int resolve_parsed(struct sl_registry *r, enum sl_kind kind, const struct sl_ref_text *t,
                          struct sl_version_ref *ret, struct sl_err *err)
{
    char ref[REF_TEXT_MAX];
    git_oid tip;
    git_oid id;
    int rc = registry_ref_read(r, registry_ref_branch(kind, t->name, ref), &tip, err);
    if (rc != 0) {
        return rc;
    }
    if (git_oid_is_zero(&tip)) {
        return no_entity(r, kind, t->name, err);
    }
    switch (t->select) {
    case SL_SELECT_LATEST: return read_ref(r, &tip, ret, err);
    case SL_SELECT_DIGEST: return find_digest(r, &tip, t, ret, err);
    case SL_SELECT_NUMBER:
        rc = registry_ref_read(r, registry_ref_tag(kind, t->name, t->number, ref), &id, err);
        if (rc == 0 && git_oid_is_zero(&id)) {
            struct sl_version_ref latest;
            rc = read_ref(r, &tip, &latest, err);
            return rc != 0
                       ? rc
                       : sl_err_set(err, SL_ENOTFOUND, "%s '%s' has no v%lld; its newest is v%lld",
                                    sl_kind_name(kind), t->name, (long long)t->number,
                                    (long long)latest.number);
        }
        break;
    case SL_SELECT_ALIAS:
        rc = registry_ref_read(r, registry_ref_alias(kind, t->name, t->alias, ref), &id, err);
        if (rc == 0 && git_oid_is_zero(&id)) {
            return no_alias(r, kind, t, err);
        }
        break;
    }
    return rc != 0 ? rc : read_ref(r, &id, ret, err);
}

int sl_registry_resolve(struct sl_registry *r, enum sl_kind kind, const char *text,
                        struct sl_version_ref *ret_version, struct sl_err *err)
{
    struct sl_ref_text parsed;
    struct sl_version_ref found = {.kind = kind};
    int rc = sl_ref_parse(text, &parsed, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    rc = rc != 0 ? rc : resolve_parsed(r, kind, &parsed, &found, err);
    if (rc == 0) {
        *ret_version = found;
    }
    return rc;
}

/* ---- listing ---- */

int sl_registry_entities(struct sl_registry *r, enum sl_kind kind, sl_entity_fn fn, void *data,
                         struct sl_err *err)
{
    struct names names = {0};
    int rc = registry_enter(r, err);
    rc = rc != 0 ? rc : entity_names(r, kind, &names, err);
    for (size_t i = 0; rc == 0 && i < names.list.n; i++) {
        char ref[REF_TEXT_MAX];
        git_oid tip;
        struct sl_entity_info entity = {.kind = kind, .name = names.list.items[i]};
        rc = registry_ref_read(r, registry_ref_branch(kind, entity.name, ref), &tip, err);
        rc = rc != 0 ? rc : read_ref(r, &tip, &entity.latest, err);
        rc = rc != 0 ? rc : registry_stop(fn(&entity, data, err));
    }
    release_names(&names);
    return rc;
}

int sl_registry_versions(struct sl_registry *r, enum sl_kind kind, const char *name,
                         sl_version_fn fn, void *data, struct sl_err *err)
{
    char ref[REF_TEXT_MAX];
    git_oid at;
    int rc = sl_name_check(name, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    rc = rc != 0 ? rc : registry_ref_read(r, registry_ref_branch(kind, name, ref), &at, err);
    if (rc == 0 && git_oid_is_zero(&at)) {
        return no_entity(r, kind, name, err);
    }
    while (rc == 0 && !git_oid_is_zero(&at)) {
        struct registry_record rec;
        rc = registry_record_read(r, &at, &rec, err);
        if (rc == 0) {
            rc = registry_stop(fn(&rec.info, data, err));
            at = rec.parent;
            registry_record_release(&rec);
        }
    }
    return rc;
}

static int commit_id(const struct sl_version_ref *version, git_oid *ret, struct sl_err *err)
{
    return git_oid_fromstr(ret, version->commit) == 0
               ? 0
               : sl_err_set(err, SL_EINVAL, "'%s' is not a commit", version->commit);
}

int sl_registry_version(struct sl_registry *r, const struct sl_version_ref *version,
                        sl_version_fn fn, void *data, struct sl_err *err)
{
    git_oid id;
    struct registry_record rec;
    int rc = commit_id(version, &id, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    rc = rc != 0 ? rc : registry_record_read(r, &id, &rec, err);
    if (rc == 0) {
        rc = registry_stop(fn(&rec.info, data, err));
        registry_record_release(&rec);
    }
    return rc;
}

/* ---- manifests ---- */

static int decode_blob(git_blob *blob, const struct sl_version_ref *version,
                       struct sl_manifest *ret, struct sl_err *err)
{
    struct sl_digest digest;
    size_t len = (size_t)git_blob_rawsize(blob);
    sl_sha256(git_blob_rawcontent(blob), len, &digest);
    if (!sl_digest_eq(&digest, &version->digest)) {
        return sl_err_set(err, SL_ECORRUPT, "the manifest of %s@v%lld does not have its digest",
                          version->name, (long long)version->number);
    }
    return sl_manifest_decode(git_blob_rawcontent(blob), len, ret, err);
}

int sl_registry_manifest(struct sl_registry *r, const struct sl_version_ref *version,
                         struct sl_manifest *ret_manifest, struct sl_err *err)
{
    git_oid id;
    int rc = commit_id(version, &id, err);
    rc = rc != 0 ? rc : registry_enter(r, err);
    if (rc != 0) {
        return rc;
    }
    git_commit *commit = NULL;
    git_tree *tree = NULL;
    git_tree_entry *entry = NULL;
    git_blob *blob = NULL;
    int code = git_commit_lookup(&commit, r->repo, &id);
    code = code != 0 ? code : git_commit_tree(&tree, commit);
    code = code != 0 ? code : git_tree_entry_bypath(&entry, tree, ".sluice/manifest.json");
    code = code != 0 ? code : git_blob_lookup(&blob, r->repo, git_tree_entry_id(entry));
    rc = code == 0 ? decode_blob(blob, version, ret_manifest, err)
                   : registry_git_error(code, err, "cannot read the manifest of %s@v%lld",
                                        version->name, (long long)version->number);
    git_blob_free(blob);
    git_tree_entry_free(entry);
    git_tree_free(tree);
    git_commit_free(commit);
    return rc;
}

int sl_registry_diff(struct sl_registry *r, const struct sl_version_ref *from,
                     const struct sl_version_ref *to, sl_manifest_diff_fn fn, void *data,
                     struct sl_err *err)
{
    _cleanup_(manifest)
    struct sl_manifest old;
    _cleanup_(manifest)
    struct sl_manifest new;
    sl_manifest_init(&old);
    sl_manifest_init(&new);
    int rc = sl_registry_manifest(r, from, &old, err);
    rc = rc != 0 ? rc : sl_registry_manifest(r, to, &new, err);
    return rc != 0 ? rc : sl_manifest_diff(&old, &new, fn, data, err);
}

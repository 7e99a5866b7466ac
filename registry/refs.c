/**
 * Names of references, reading them, and walking them by prefix.
 *
 * Thread: one at a time per registry. Must not: move a reference (ledger.c does).
 */
#include "core/base/base.h"

#include "registry/registry_priv.h"

#include <stdio.h>

char *registry_ref_branch(enum sl_kind kind, const char *name, char out[REF_TEXT_MAX])
{
    char encoded[SL_REF_MAX];
    (void)snprintf(out, REF_TEXT_MAX, REF_HEADS_PREFIX "%s/%s", sl_kind_ref(kind),
                   sl_name_encode(name, encoded));
    return out;
}

char *registry_ref_tag(enum sl_kind kind, const char *name, int64_t number, char out[REF_TEXT_MAX])
{
    char encoded[SL_REF_MAX];
    (void)snprintf(out, REF_TEXT_MAX, REF_TAGS_PREFIX "%s/%s/v%lld", sl_kind_ref(kind),
                   sl_name_encode(name, encoded), (long long)number);
    return out;
}

char *registry_ref_alias(enum sl_kind kind, const char *name, const char *alias,
                         char out[REF_TEXT_MAX])
{
    char encoded[SL_REF_MAX];
    (void)snprintf(out, REF_TEXT_MAX, REF_ALIAS_PREFIX "%s/%s/%s", sl_kind_ref(kind),
                   sl_name_encode(name, encoded), alias);
    return out;
}

bool registry_ref_split(const char *rest, enum sl_kind *ret_kind, char name[SL_NAME_MAX + 1],
                        char leaf[SL_NAME_MAX + 1])
{
    char encoded[REF_TEXT_MAX];
    const char *slash = strchr(rest, '/');
    if (slash == NULL || strlen(rest) >= sizeof(encoded)) {
        return false;
    }
    memcpy(encoded, rest, (size_t)(slash - rest));
    encoded[slash - rest] = '\0';
    if (!sl_kind_parse(encoded, ret_kind) || !sl_streq(sl_kind_ref(*ret_kind), encoded)) {
        return false;
    }
    (void)snprintf(encoded, sizeof(encoded), "%s", slash + 1);
    if (leaf != NULL) {
        char *last = strrchr(encoded, '/');
        if (last == NULL || strlen(last + 1) > SL_NAME_MAX) {
            return false;
        }
        *last = '\0';
        memcpy(leaf, last + 1, strlen(last + 1) + 1);
    }
    return sl_name_decode(encoded, name);
}

int registry_ref_read(struct sl_registry *r, const char *ref, git_oid *ret, struct sl_err *err)
{
    git_oid id = {{0}};
    int code = git_reference_name_to_id(&id, r->repo, ref);
    if (code == GIT_ENOTFOUND) {
        *ret = (git_oid){{0}};
        return 0;
    }
    if (code != 0) {
        return registry_git_error(code, err, "cannot read %s", ref);
    }
    *ret = id;
    return 0;
}

int registry_refs_each(struct sl_registry *r, const char *prefix, registry_ref_fn fn, void *data,
                       struct sl_err *err)
{
    git_reference_iterator *it = NULL;
    _cleanup_(free)
    char *glob = sl_asprintf("%s*", prefix);
    int code = git_reference_iterator_glob_new(&it, r->repo, glob);
    if (code != 0) {
        return registry_git_error(code, err, "cannot list references");
    }
    int rc = 0;
    while (rc == 0) {
        git_reference *ref = NULL;
        code = git_reference_next(&ref, it);
        if (code != 0) {
            break;
        }
        const git_oid *id = git_reference_target(ref);
        if (id != NULL && sl_starts_with(git_reference_name(ref), prefix)) {
            rc = fn(git_reference_name(ref), id, data, err);
        }
        git_reference_free(ref);
    }
    git_reference_iterator_free(it);
    if (rc == 0 && code != GIT_ITEROVER) {
        return registry_git_error(code, err, "cannot list references");
    }
    return SL_MIN(rc, 0);
}

/**
 * Building, sealing and comparing manifests. Their text form is manifest_text.c.
 *
 * Pure. Must not: touch files; the caller states what they are.
 */
#include "core/base/base.h"

#include "registry/object/manifest.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <wchar.h>
#include <wctype.h>

#include "registry/object/manifest_priv.h"
#include "registry/object/name.h"

void sl_manifest_init(struct sl_manifest *m)
{
    *m = (struct sl_manifest){0};
    sl_arena_init(&m->arena, 0);
}

void sl_manifest_release(struct sl_manifest *m)
{
    sl_vec_free(&m->entries);
    sl_arena_release(&m->arena);
    m->sealed = false;
}

void sl_cleanup_manifest(struct sl_manifest *m)
{
    sl_manifest_release(m);
}

static int add(struct sl_manifest *m, struct sl_manifest_entry entry, struct sl_err *err)
{
    SL_ASSERT(!m->sealed);
    if (m->entries.n >= SL_MANIFEST_ENTRIES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "more than %d entries", SL_MANIFEST_ENTRIES_MAX);
    }
    int rc = sl_path_check(entry.path, err);
    if (rc != 0) {
        return rc;
    }
    entry.path = sl_arena_strdup(&m->arena, entry.path);
    if (entry.target != NULL) {
        entry.target = sl_arena_strdup(&m->arena, entry.target);
    }
    sl_vec_push(&m->entries, entry);
    return 0;
}

int sl_manifest_add_file(struct sl_manifest *m, const char *path, uint32_t mode,
                         uint64_t size_bytes, const struct sl_digest *sha256, struct sl_err *err)
{
    struct sl_manifest_entry entry = {.path = path,
                                      .type = SL_ENTRY_FILE,
                                      .mode = (mode & 0111) != 0 ? 0755 : 0644,
                                      .size_bytes = size_bytes,
                                      .sha256 = *sha256};
    return add(m, entry, err);
}

int sl_manifest_add_symlink(struct sl_manifest *m, const char *path, const char *target,
                            struct sl_err *err)
{
    if (!sl_path_link_inside(path, target)) {
        return sl_err_set(err, SL_EINVAL, "the symlink's target '%s' is not inside", target);
    }
    struct sl_manifest_entry entry = {.path = path,
                                      .target = target,
                                      .type = SL_ENTRY_SYMLINK,
                                      .mode = 0777,
                                      .size_bytes = strlen(target)};
    sl_sha256(target, strlen(target), &entry.sha256);
    return add(m, entry, err);
}

int sl_manifest_add_dir(struct sl_manifest *m, const char *path, struct sl_err *err)
{
    struct sl_manifest_entry entry = {.path = path, .type = SL_ENTRY_DIR, .mode = 0755};
    return add(m, entry, err);
}

static int by_path(const void *a, const void *b)
{
    const struct sl_manifest_entry *left = a;
    const struct sl_manifest_entry *right = b;
    return strcmp(left->path, right->path);
}

/* A path below another entry: every ancestor is looked up, so "a", "a!", "a/b" is found as well. */
static int check_ancestors(const struct sl_manifest *m, const char *path, struct sl_err *err)
{
    char parent[SL_PATH_MAX_BYTES + 1];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t len = (size_t)(slash - path);
        memcpy(parent, path, len);
        parent[len] = '\0';
        const struct sl_manifest_entry *found = sl_manifest_find(m, parent);
        if (found != NULL) {
            return sl_err_set(err, SL_EINVAL, "'%s' lies below '%s', which is %s", path, parent,
                              found->type == SL_ENTRY_DIR ? "recorded as an empty directory"
                                                          : "not a directory");
        }
    }
    return 0;
}

/* The directory part was checked with the entry before when both share it. */
static bool same_parent(const char *a, const char *b)
{
    const char *end_a = strrchr(a, '/');
    const char *end_b = strrchr(b, '/');
    if (end_a == NULL || end_b == NULL || end_a - a != end_b - b) {
        return end_b == NULL;
    }
    return memcmp(a, b, (size_t)(end_a - a)) == 0;
}

int sl_manifest_seal(struct sl_manifest *m, struct sl_err *err)
{
    SL_ASSERT(!m->sealed);
    struct sl_manifest_entry *items = m->entries.items;
    if (m->entries.n > 1) {
        qsort(items, m->entries.n, sizeof(*items), by_path);
    }
    m->n_files = m->total_bytes = 0;
    for (size_t i = 0; i < m->entries.n; i++) {
        if (i > 0 && sl_streq(items[i - 1].path, items[i].path)) {
            return sl_err_set(err, SL_EINVAL, "path '%s' occurs twice", items[i].path);
        }
        if (i == 0 || !same_parent(items[i - 1].path, items[i].path)) {
            int rc = check_ancestors(m, items[i].path, err);
            if (rc != 0) {
                return rc;
            }
        }
        if (items[i].type == SL_ENTRY_FILE) {
            m->n_files++;
            if (__builtin_add_overflow(m->total_bytes, items[i].size_bytes, &m->total_bytes)) {
                return sl_err_set(err, SL_ELIMIT, "the sizes add up to more than 2^64 bytes");
            }
        }
    }
    struct sl_buf text = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
    int rc = manifest_write(m, &text, err);
    if (rc == 0) {
        sl_sha256(sl_buf_str(&text), text.len, &m->digest);
        m->sealed = true;
    }
    sl_buf_release(&text);
    return rc;
}

const struct sl_manifest_entry *sl_manifest_find(const struct sl_manifest *m, const char *path)
{
    if (m->entries.n == 0) {
        return NULL;
    }
    struct sl_manifest_entry key = {.path = path};
    return bsearch(&key, m->entries.items, m->entries.n, sizeof(key), by_path);
}

/* Folds letter case by Unicode's simple mapping; not normalisation. */
static void fold(const char *path, locale_t unicode, struct sl_buf *out)
{
    sl_buf_clear(out);
    mbstate_t in_state = {0};
    mbstate_t out_state = {0};
    size_t left = strlen(path);
    while (left > 0) {
        wchar_t wide = 0;
        size_t n = mbrtowc(&wide, path, left, &in_state);
        if (n == 0 || n > left) {
            sl_buf_add(out, path, left);
            return;
        }
        char bytes[MB_LEN_MAX];
        size_t m = wcrtomb(bytes, (wchar_t)towlower_l((wint_t)wide, unicode), &out_state);
        sl_buf_add(out, m != (size_t)-1 ? bytes : path, m != (size_t)-1 ? m : n);
        path += n;
        left -= n;
    }
}

struct folded {
    uint64_t hash;
    size_t at;
};

static int by_hash(const void *a, const void *b)
{
    const struct folded *left = a;
    const struct folded *right = b;
    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return left->at < right->at ? -1 : left->at > right->at;
}

int sl_manifest_check_case(const struct sl_manifest *m, struct sl_err *err)
{
    SL_ASSERT(m->sealed);
    locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (unicode == (locale_t)0) {
        return sl_err_errno(err, errno, "locale C.UTF-8 is missing");
    }
    locale_t before = uselocale(unicode);
    struct folded *all = sl_calloc(m->entries.n + 1, sizeof(*all));
    struct sl_buf text = SL_BUF_INIT(8 * (SL_PATH_MAX_BYTES + 1));
    for (size_t i = 0; i < m->entries.n; i++) {
        fold(m->entries.items[i].path, unicode, &text);
        all[i] = (struct folded){sl_xxh3(sl_buf_str(&text), text.len), i};
    }
    sl_buf_release(&text);
    (void)uselocale(before);
    freelocale(unicode);
    qsort(all, m->entries.n, sizeof(*all), by_hash);
    int rc = 0;
    for (size_t i = 1; rc == 0 && i < m->entries.n; i++) {
        if (all[i].hash == all[i - 1].hash) {
            rc = sl_err_set(err, SL_EINVAL, "'%s' and '%s' differ only in letter case",
                            m->entries.items[all[i - 1].at].path, m->entries.items[all[i].at].path);
        }
    }
    free(all);
    return rc;
}

static bool same_entry(const struct sl_manifest_entry *a, const struct sl_manifest_entry *b)
{
    return a->type == b->type && a->mode == b->mode && a->size_bytes == b->size_bytes &&
           sl_digest_eq(&a->sha256, &b->sha256);
}

int sl_manifest_diff(const struct sl_manifest *from, const struct sl_manifest *to,
                     sl_manifest_diff_fn fn, void *data, struct sl_err *err)
{
    SL_ASSERT(from->sealed && to->sealed);
    size_t i = 0;
    size_t j = 0;
    int rc = 0;
    while (rc >= 0 && (i < from->entries.n || j < to->entries.n)) {
        const struct sl_manifest_entry *a = i < from->entries.n ? &from->entries.items[i] : NULL;
        const struct sl_manifest_entry *b = j < to->entries.n ? &to->entries.items[j] : NULL;
        int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a->path, b->path);
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
        if (order != 0 || !same_entry(a, b)) {
            rc = fn(order <= 0 ? a : NULL, order >= 0 ? b : NULL, data, err);
        }
    }
    return SL_MIN(rc, 0);
}

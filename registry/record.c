/**
 * A version's record: the message of its commit, written and read back.
 *
 * Message: text, blank line, "Sluice-Key: value" lines. What the caller gave is kept in order; our own
 * keys come first and cannot be given. Thread: one at a time per registry.
 */
#include "core/base/base.h"

#include "registry/registry_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/time.h"

static const char *const own_keys[] = {"Entity", "Version", "Manifest", "Parent",
                                       "Files",  "Bytes",   "Attempt"};

static bool is_own(const char *key)
{
    for (size_t i = 0; i < SL_LEN(own_keys); i++) {
        if (sl_streq(key, own_keys[i])) {
            return true;
        }
    }
    return false;
}

static int check_trailer(const struct sl_trailer *t, struct sl_err *err)
{
    size_t len = t->key != NULL ? strlen(t->key) : 0;
    bool ok = len > 0 && len <= 64 && t->key[0] >= 'A' && t->key[0] <= 'Z';
    for (size_t i = 1; ok && i < len; i++) {
        char c = t->key[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (!ok || is_own(t->key)) {
        return sl_err_set(err, SL_EINVAL, "'%s' cannot be a trailer's key",
                          t->key != NULL ? t->key : "");
    }
    size_t n = t->value != NULL ? strlen(t->value) : 0;
    if (n == 0 || n > SL_TRAILER_BYTES_MAX) {
        return sl_err_set(err, SL_EINVAL, "trailer '%s' must have 1 to %d bytes, has %zu", t->key,
                          SL_TRAILER_BYTES_MAX, n);
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)t->value[i] < 0x20) {
            return sl_err_set(err, SL_EINVAL, "trailer '%s' must be a single line", t->key);
        }
    }
    return sl_utf8_check(t->value, n) == n
               ? 0
               : sl_err_set(err, SL_EINVAL, "trailer '%s' must be UTF-8", t->key);
}

static int check_spec(const struct sl_version_spec *spec, struct sl_err *err)
{
    size_t len = spec->message != NULL ? strlen(spec->message) : 0;
    if (len > SL_VERSION_MESSAGE_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a message of %zu bytes is over the limit of %d", len,
                          SL_VERSION_MESSAGE_MAX);
    }
    if (len > 0 && sl_utf8_check(spec->message, len) != len) {
        return sl_err_set(err, SL_EINVAL, "the message must be UTF-8");
    }
    if (spec->n_trailers > SL_TRAILERS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%zu trailers are over the limit of %d", spec->n_trailers,
                          SL_TRAILERS_MAX);
    }
    if (spec->attempt_id != NULL && !sl_id_valid(spec->attempt_id)) {
        return sl_err_set(err, SL_EINVAL, "'%s' is not an attempt's id", spec->attempt_id);
    }
    for (size_t i = 0; i < spec->n_trailers; i++) {
        int rc = check_trailer(&spec->trailers[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int registry_record_write(const struct sl_version_spec *spec, int64_t number,
                          const struct sl_digest *parent, struct sl_buf *out, struct sl_err *err)
{
    int rc = check_spec(spec, err);
    if (rc != 0) {
        return rc;
    }
    char hex[SL_DIGEST_HEX + 1];
    size_t len = spec->message != NULL ? strlen(spec->message) : 0;
    while (len > 0 && strchr(" \t\r\n", spec->message[len - 1]) != NULL) {
        len--;
    }
    if (len > 0) {
        sl_buf_add(out, spec->message, len);
    } else {
        sl_buf_printf(out, "%s %s v%lld", sl_kind_name(spec->kind), spec->name, (long long)number);
    }
    sl_buf_printf(out,
                  "\n\nSluice-Entity: %s/%s\nSluice-Version: %lld\nSluice-Manifest: sha256:%s\n",
                  sl_kind_ref(spec->kind), spec->name, (long long)number,
                  sl_digest_hex(&spec->manifest->digest, hex));
    if (parent != NULL) {
        sl_buf_printf(out, "Sluice-Parent: sha256:%s\n", sl_digest_hex(parent, hex));
    }
    sl_buf_printf(out, "Sluice-Files: %llu\nSluice-Bytes: %llu\n",
                  (unsigned long long)spec->manifest->n_files,
                  (unsigned long long)spec->manifest->total_bytes);
    if (spec->attempt_id != NULL) {
        sl_buf_printf(out, "Sluice-Attempt: %s\n", spec->attempt_id);
    }
    for (size_t i = 0; i < spec->n_trailers; i++) {
        sl_buf_printf(out, "Sluice-%s: %s\n", spec->trailers[i].key, spec->trailers[i].value);
    }
    return out->overflow ? sl_err_set(err, SL_ELIMIT, "the record is too long") : 0;
}

void registry_record_release(struct registry_record *rec)
{
    sl_arena_release(&rec->arena);
}

/* Reads one of our own keys. */
static bool own_value(struct registry_record *rec, const char *key, const char *value)
{
    struct sl_version_info *info = &rec->info;
    if (sl_streq(key, "Entity")) {
        const char *slash = strchr(value, '/');
        char kind[16];
        if (slash == NULL || (size_t)(slash - value) >= sizeof(kind) ||
            strlen(slash + 1) > SL_NAME_MAX) {
            return false;
        }
        memcpy(kind, value, (size_t)(slash - value));
        kind[slash - value] = '\0';
        memcpy(info->ref.name, slash + 1, strlen(slash + 1) + 1);
        return sl_kind_parse(kind, &info->ref.kind);
    }
    if (sl_streq(key, "Version")) {
        return sl_parse_i64(value, &info->ref.number) && info->ref.number > 0;
    }
    if (sl_streq(key, "Manifest")) {
        return sl_digest_parse(value, &info->ref.digest);
    }
    if (sl_streq(key, "Parent")) {
        return sl_digest_parse(value, &info->parent);
    }
    if (sl_streq(key, "Files")) {
        return sl_parse_u64(value, &info->n_files);
    }
    if (sl_streq(key, "Bytes")) {
        return sl_parse_u64(value, &info->total_bytes);
    }
    rec->attempt_id = value;
    return true;
}

/* Splits "Sluice-Key: value" lines in place. */
static bool parse_trailers(struct registry_record *rec, char *text)
{
    size_t max = 1;
    for (const char *p = text; *p != '\0'; p++) {
        max += *p == '\n' ? 1 : 0;
    }
    struct sl_trailer *list = SL_ARENA_ARRAY(&rec->arena, struct sl_trailer, max);
    size_t n = 0;
    for (char *line = text; *line != '\0';) {
        char *end = strchrnul(line, '\n');
        bool last = *end == '\0';
        *end = '\0';
        char *colon = strstr(line, ": ");
        if (!sl_starts_with(line, "Sluice-") || colon == NULL) {
            return false;
        }
        *colon = '\0';
        const char *key = line + strlen("Sluice-");
        if (is_own(key)) {
            if (!own_value(rec, key, colon + 2)) {
                return false;
            }
        } else {
            list[n++] = (struct sl_trailer){key, colon + 2};
        }
        line = last ? end : end + 1;
    }
    rec->info.trailers = list;
    rec->info.n_trailers = n;
    return rec->info.ref.number > 0 && rec->info.ref.name[0] != '\0' &&
           !sl_digest_is_zero(&rec->info.ref.digest);
}

static bool parse_message(struct registry_record *rec, const char *message)
{
    char *text = sl_arena_strdup(&rec->arena, message);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n') {
        text[--len] = '\0';
    }
    char *trailers = NULL;
    for (char *p = strstr(text, "\n\nSluice-"); p != NULL; p = strstr(p + 1, "\n\nSluice-")) {
        trailers = p;
    }
    if (trailers == NULL) {
        return false;
    }
    *trailers = '\0';
    rec->info.message = text;
    return parse_trailers(rec, trailers + 2);
}

int registry_record_read(struct sl_registry *r, const git_oid *id, struct registry_record *ret,
                         struct sl_err *err)
{
    git_commit *commit = NULL;
    int code = git_commit_lookup(&commit, r->repo, id);
    if (code != 0) {
        return registry_git_error(code, err, "cannot read version commit %s", git_oid_tostr_s(id));
    }
    struct registry_record rec = {.id = *id};
    sl_arena_init(&rec.arena, 0);
    const git_signature *author = git_commit_author(commit);
    rec.info.author_name = sl_arena_strdup(&rec.arena, author->name);
    rec.info.author_email = sl_arena_strdup(&rec.arena, author->email);
    rec.info.ref.created_ms = (int64_t)author->when.time * 1000;
    git_oid_tostr(rec.info.ref.commit, sizeof(rec.info.ref.commit), id);
    if (git_commit_parentcount(commit) > 0) {
        rec.parent = *git_commit_parent_id(commit, 0);
    }
    bool ok = parse_message(&rec, git_commit_message_raw(commit));
    git_commit_free(commit);
    if (!ok) {
        registry_record_release(&rec);
        return sl_err_set(err, SL_ECORRUPT, "commit %s does not hold a version's record",
                          git_oid_tostr_s(id));
    }
    *ret = rec;
    return 0;
}

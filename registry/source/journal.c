/**
 * The journal of an import: one JSON line per file that is done, appended after its content is durable. It is
 * what an interrupted import goes on from, and what a refresh compares with.
 *
 * Thread: the import's. Must not: be believed about content; the store is asked.
 */
#include "core/base/base.h"

#include "registry/source/source_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <uthash.h>

#include "core/base/fs.h"

#define FILE_NAME "done"
#define BYTES_MAX ((size_t)512 << 20)

struct row {
    struct done done;
    UT_hash_handle hh;
};
struct journal {
    struct sl_arena arena;
    struct row *rows;
    int fd;
};

static void put(struct journal *j, const struct done *d)
{
    struct row *row = NULL;
    HASH_FIND_STR(j->rows, d->key, row);
    if (row == NULL) {
        row = SL_ARENA_NEW(&j->arena, struct row);
        row->done.key = sl_arena_strdup(&j->arena, d->key);
        HASH_ADD_KEYPTR(hh, j->rows, row->done.key, strlen(row->done.key), row);
    }
    row->done.etag = sl_arena_strdup(&j->arena, d->etag);
    row->done.version_id = sl_arena_strdup(&j->arena, d->version_id);
    row->done.modified = sl_arena_strdup(&j->arena, d->modified);
    row->done.size = d->size;
    row->done.sha256 = d->sha256;
    row->done.manifest = d->manifest;
}

static void take_line(struct journal *j, const char *line, size_t len)
{
    json_auto_t *o = sl_json_parse(FILE_NAME, line, len, NULL);
    struct done d = {.key = sl_json_str(o, "key", ""),
                     .etag = sl_json_str(o, "etag", ""),
                     .version_id = sl_json_str(o, "version_id", ""),
                     .modified = sl_json_str(o, "modified", ""),
                     .size = (uint64_t)sl_json_i64(o, "size", 0)};
    bool good = d.key[0] != '\0' && sl_digest_parse(sl_json_str(o, "sha256", ""), &d.sha256);
    if (sl_json_str(o, "manifest", NULL) != NULL) {
        good = good && sl_digest_parse(sl_json_str(o, "manifest", ""), &d.manifest);
    }
    if (good) {
        put(j, &d);
    }
}

int journal_open(int dirfd, struct journal **ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(BYTES_MAX);
    int fd = openat(dirfd, FILE_NAME, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open the import's journal");
    }
    int rc = sl_read_fd(fd, BYTES_MAX, &text, err);
    if (rc == -SL_ELIMIT) { /* years of changes: it only saves work, so it may begin anew */
        rc = ftruncate(fd, 0) == 0 ? 0 : sl_err_errno(err, errno, "cannot empty the journal");
        sl_buf_clear(&text);
    }
    if (rc < 0) {
        close(fd);
        return rc;
    }
    struct journal *j = SL_NEW(struct journal);
    sl_arena_init(&j->arena, 0);
    j->fd = fd;
    const char *at = sl_buf_str(&text);
    const char *stop = at + text.len;
    while (at < stop) {
        const char *end = memchr(at, '\n', (size_t)(stop - at));
        if (end == NULL) { /* torn by a crash: cut it off, so that the next line is whole */
            (void)!ftruncate(fd, (off_t)(at - sl_buf_str(&text)));
            break;
        }
        take_line(j, at, (size_t)(end - at));
        at = end + 1;
    }
    *ret = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j != NULL) {
        HASH_CLEAR(hh, j->rows);
        sl_arena_release(&j->arena);
        close(j->fd);
        free(j);
    }
}

const struct done *journal_find(const struct journal *j, const char *key)
{
    struct row *row = NULL;
    HASH_FIND_STR(j->rows, key, row);
    return row != NULL ? &row->done : NULL;
}

static void put_line(struct sl_buf *out, const struct done *d)
{
    char hex[SL_DIGEST_HEX + 1];
    json_auto_t *o = json_object();
    sl_json_set_str(o, "key", d->key);
    sl_json_set_str(o, "etag", d->etag[0] != '\0' ? d->etag : NULL);
    sl_json_set_str(o, "version_id", d->version_id[0] != '\0' ? d->version_id : NULL);
    sl_json_set_str(o, "modified", d->modified[0] != '\0' ? d->modified : NULL);
    sl_json_set_i64(o, "size", (int64_t)d->size);
    sl_json_set_str(o, "sha256", sl_digest_hex(&d->sha256, hex));
    if (!sl_digest_is_zero(&d->manifest)) {
        sl_json_set_str(o, "manifest", sl_digest_hex(&d->manifest, hex));
    }
    _cleanup_(free)
    char *text = sl_json_canonical(o);
    sl_buf_puts(out, text);
    sl_buf_putc(out, '\n');
}

int journal_add(struct journal *j, const struct done *list, size_t n, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        put_line(&out, &list[i]);
        put(j, &list[i]);
    }
    int rc = n > 0 ? sl_write_all(j->fd, sl_buf_str(&out), out.len, err) : 0;
    return rc < 0 || n == 0 ? rc : sl_fsync_fd(j->fd, err);
}

/**
 * The place of an import: <data>/import/<id>/ with `lock`, `part` (bytes of the file on its way), `part.json`
 * (what they are of) and `done` (journal.c). The id follows from source, name and manner, so the next try
 * finds it.
 *
 * Thread: the import's. Must not: trust bytes that a power cut may have taken.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/aio/proc.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "registry/source/source_priv.h"

static void place_id(const struct sl_import_opts *o, char out[SL_ID_HEX + 1])
{
    struct sl_digest d;
    char hex[SL_DIGEST_HEX + 1];
    const struct sl_source *s = &o->source;
    const char *endpoint =
        o->access != NULL && o->access->endpoint != NULL ? o->access->endpoint : "";
    _cleanup_(free)
    char *text = sl_asprintf("%s\n%s\n%s\n%s/%s\n%s%s", o->name, sl_source_kind_name(s->kind),
                             s->kind == SL_SOURCE_PATH   ? s->path
                             : s->kind == SL_SOURCE_HTTP ? s->url
                                                         : endpoint,
                             s->kind == SL_SOURCE_S3 ? s->bucket : "",
                             s->kind == SL_SOURCE_S3 ? s->prefix : "", o->extract ? "x" : "",
                             o->reference ? "r" : "");
    sl_sha256(text, strlen(text), &d);
    (void)snprintf(out, SL_ID_HEX + 1, "%.32s", sl_digest_hex(&d, hex));
}

int place_open(const struct sl_import_opts *opts, struct place *ret, struct sl_err *err)
{
    char id[SL_ID_HEX + 1];
    char path[sizeof(SL_IMPORT_DIR) + SL_ID_HEX + 2];
    place_id(opts, id);
    (void)snprintf(path, sizeof(path), "%s/%s", SL_IMPORT_DIR, id);
    int rc = sl_mkdirs_at(opts->data_dirfd, path, 0700, err);
    if (rc < 0) {
        return rc;
    }
    int fd = sl_openat_beneath(opts->data_dirfd, path, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0) {
        return fd;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return sl_err_set(err, SL_EBUSY, "an import of this source into '%s' is running",
                          opts->name);
    }
    (void)futimens(fd, NULL); /* for cleaning by age */
    ret->dirfd = fd;
    return 0;
}

void place_close(struct place *p)
{
    sl_cleanup_close(&p->dirfd);
    p->dirfd = -1;
}

char *place_part_name(int index, char out[PART_NAME])
{
    (void)snprintf(out, PART_NAME, index > 0 ? "part%d" : "part", index);
    return out;
}

static char *note_name(int index, char out[PART_NAME + 8])
{
    char part[PART_NAME];
    (void)snprintf(out, PART_NAME + 8, "%s.json", place_part_name(index, part));
    return out;
}

int place_note(struct place *p, int index, const struct part *part, uint64_t synced,
               struct sl_err *err)
{
    char name[PART_NAME + 8];
    char boot[SL_PROC_BOOT_ID] = "";
    (void)!sl_proc_boot_id(boot, NULL); /* without one nothing unsynced is trusted */
    json_auto_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:I}", "key", part->key, "etag", part->etag, "modified",
                  part->modified, "boot", boot, "synced", (json_int_t)synced);
    _cleanup_(free)
    char *text = o != NULL ? sl_json_canonical(o) : sl_strdup("{}");
    return sl_publish_file_at(p->dirfd, note_name(index, name), text, strlen(text), 0600, true,
                              err);
}

static json_t *read_note(struct place *p, int index)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(65536);
    char name[PART_NAME + 8];
    return sl_read_file_at(p->dirfd, note_name(index, name), 65536, &text, NULL) < 0
               ? NULL
               : sl_json_parse(name, sl_buf_str(&text), text.len, NULL);
}

char *place_part_key(struct place *p, int index)
{
    json_auto_t *o = read_note(p, index);
    return sl_strdup(sl_json_str(o, "key", NULL));
}

/* How many bytes of the partial file can be trusted; 0 when it is of something else. */
static uint64_t trusted(struct place *p, int index, const char *key, int fd, struct part *ret)
{
    char boot[SL_PROC_BOOT_ID] = "";
    struct stat st;
    json_auto_t *o = fstat(fd, &st) == 0 ? read_note(p, index) : NULL;
    if (o == NULL || !sl_streq(sl_json_str(o, "key", ""), key)) {
        return 0;
    }
    (void)!sl_proc_boot_id(boot, NULL);
    uint64_t size = (uint64_t)st.st_size;
    uint64_t synced = (uint64_t)sl_json_i64(o, "synced", 0);
    bool same_boot = boot[0] != '\0' && sl_streq(boot, sl_json_str(o, "boot", ""));
    (void)snprintf(ret->etag, sizeof(ret->etag), "%s", sl_json_str(o, "etag", ""));
    (void)snprintf(ret->modified, sizeof(ret->modified), "%s", sl_json_str(o, "modified", ""));
    return same_boot ? size : SL_MIN(size, synced);
}

int place_part(struct place *p, int index, const char *key, struct part *ret, int *ret_fd,
               struct sl_err *err)
{
    char name[PART_NAME];
    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->key, sizeof(ret->key), "%s", key);
    int fd = openat(p->dirfd, place_part_name(index, name),
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open the partial file");
    }
    ret->bytes = trusted(p, index, key, fd, ret);
    if (ret->bytes == 0 || (ret->etag[0] == '\0' && ret->modified[0] == '\0')) {
        ret->bytes = 0;
        ret->etag[0] = ret->modified[0] = '\0';
    }
    if (ftruncate(fd, (off_t)ret->bytes) != 0) {
        int code = errno;
        close(fd);
        return sl_err_errno(err, code, "cannot cut the partial file");
    }
    *ret_fd = fd;
    return 0;
}

struct clean {
    int64_t before_s;
    int n;
};

static int clean_one(const struct sl_walk_entry *e, void *data, struct sl_err *err)
{
    struct clean *c = data;
    if (strchr(e->path, '/') != NULL || !S_ISDIR(e->st->st_mode)) {
        return 0;
    }
    if ((int64_t)e->st->st_mtim.tv_sec < c->before_s) {
        int fd = openat(e->dirfd, e->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
            sl_remove_tree_at(e->dirfd, e->name, err) == 0) {
            c->n++;
        }
        sl_cleanup_close(&fd);
    }
    return 1;
}

int sl_source_clean(int data_dirfd, int64_t older_ms, struct sl_err *err)
{
    struct clean c = {.before_s = (sl_now_ms() - older_ms) / 1000};
    if (faccessat(data_dirfd, SL_IMPORT_DIR, F_OK, 0) != 0) {
        return 0;
    }
    int rc = sl_walk_at(data_dirfd, SL_IMPORT_DIR, clean_one, &c, err);
    return rc < 0 ? rc : c.n;
}

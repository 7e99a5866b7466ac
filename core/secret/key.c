/**
 * The master key: its file, opening it, and replacing it.
 *
 * The file is text of fixed length: a version line, "id <32 hex>", "key <64 hex>". Which key the rows
 * are encrypted under is a row of the database (secret_master), so a rotation has one commit point:
 *
 *   secret.key.new durable ──► rows re-encrypted and secret_master changed: COMMIT ──► rename
 *
 * Whoever opens the key after a crash compares ids, and renames if the commit happened.
 *
 * Thread: any. Must not: read a key file that others can, or leave the key outside of locked memory.
 */
#include "core/base/base.h"

#include "core/secret/secret_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/time.h"

#define HEAD      "sluice-secret-key 1\nid "
#define MIDDLE    "\nkey "
#define KEY_HEX   (2 * crypto_kdf_KEYBYTES)
#define ID_AT     (sizeof(HEAD) - 1)
#define MIDDLE_AT (ID_AT + SECRET_ID_HEX)
#define KEY_AT    (MIDDLE_AT + sizeof(MIDDLE) - 1)
#define FILE_LEN  (KEY_AT + KEY_HEX + 1)

static void derive(struct sl_secret_key *k)
{
    unsigned char *seed = sl_secret_alloc(crypto_box_SEEDBYTES);
    (void)crypto_kdf_derive_from_key(k->wrap, sizeof(k->wrap), 1, "sl-wrap_", k->master);
    (void)crypto_kdf_derive_from_key(seed, crypto_box_SEEDBYTES, 2, "sl-seal_", k->master);
    (void)crypto_box_seed_keypair(k->box_public, k->box_secret, seed);
    sl_secret_free(seed);
    sodium_stackzero(SECRET_STACK);
}

struct sl_secret_key *sl_secret_key_random(void)
{
    struct sl_secret_key *k = sl_secret_alloc(sizeof(*k));
    unsigned char id[SECRET_ID_HEX / 2];
    randombytes_buf(id, sizeof(id));
    (void)sodium_bin2hex(k->id, sizeof(k->id), id, sizeof(id));
    crypto_kdf_keygen(k->master);
    derive(k);
    return k;
}

void sl_secret_key_close(struct sl_secret_key *key)
{
    sl_secret_free(key);
}

void sl_cleanup_secret_key(struct sl_secret_key **key)
{
    sl_secret_key_close(*key);
}

void sl_secret_public(const struct sl_secret_key *key, char out[SL_SECRET_PUBLIC_HEX + 1])
{
    (void)sodium_bin2hex(out, SL_SECRET_PUBLIC_HEX + 1, key->box_public, sizeof(key->box_public));
}

/* ---- files ---------------------------------------------------------------------------------------- */

static int sync_dir(int dirfd, struct sl_err *err)
{
    return sl_fsync_fd(dirfd, err);
}

static int write_text(int fd, const struct sl_secret_key *key, struct sl_err *err)
{
    char *text = sl_secret_alloc(FILE_LEN + 1);
    memcpy(text, HEAD, ID_AT);
    memcpy(text + ID_AT, key->id, SECRET_ID_HEX);
    memcpy(text + MIDDLE_AT, MIDDLE, sizeof(MIDDLE) - 1);
    (void)sodium_bin2hex(text + KEY_AT, KEY_HEX + 1, key->master, sizeof(key->master));
    text[FILE_LEN - 1] = '\n';
    int rc = sl_write_all(fd, text, FILE_LEN, err);
    sl_secret_free(text);
    return rc;
}

int sl_secret_key_write(int dirfd, const char *name, const struct sl_secret_key *key,
                        struct sl_err *err)
{
    _cleanup_(close)
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot make '%s'", name);
    }
    int rc = fchmod(fd, 0600) != 0 ? sl_err_errno(err, errno, "cannot protect '%s'", name) : 0;
    rc = rc < 0 ? rc : write_text(fd, key, err);
    rc = rc < 0 ? rc : sl_fsync_fd(fd, err);
    if (rc < 0) {
        (void)unlinkat(dirfd, name, 0);
    }
    return rc;
}

static int check_file(int fd, const char *name, struct sl_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return sl_err_errno(err, errno, "cannot look at '%s'", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_EREFUSED, "'%s' is not a regular file", name);
    }
    if (st.st_uid != geteuid()) {
        return sl_err_set(err, SL_EREFUSED, "'%s' belongs to user %ld, not to user %ld", name,
                          (long)st.st_uid, (long)geteuid());
    }
    if ((st.st_mode & 077) != 0) {
        return sl_err_set(err, SL_EREFUSED,
                          "'%s' has mode %04o: others may read or change it; chmod 600 it and, if "
                          "somebody may have, change it with: sluice secret rotate --master",
                          name, (unsigned)st.st_mode & 07777);
    }
    return 0;
}

static bool parse(const char *text, size_t len, struct sl_secret_key *k)
{
    size_t n = 0;
    if (len != FILE_LEN || memcmp(text, HEAD, ID_AT) != 0 || text[FILE_LEN - 1] != '\n' ||
        memcmp(text + MIDDLE_AT, MIDDLE, sizeof(MIDDLE) - 1) != 0) {
        return false;
    }
    memcpy(k->id, text + ID_AT, SECRET_ID_HEX);
    k->id[SECRET_ID_HEX] = '\0';
    if (strspn(k->id, "0123456789abcdef") != SECRET_ID_HEX) {
        return false;
    }
    return sodium_hex2bin(k->master, sizeof(k->master), text + KEY_AT, KEY_HEX, NULL, &n, NULL) ==
               0 &&
           n == sizeof(k->master);
}

int sl_secret_key_read(int dirfd, const char *name, struct sl_secret_key **ret, struct sl_err *err)
{
    _cleanup_(close)
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open the master key '%s'", name);
    }
    int rc = check_file(fd, name, err);
    if (rc < 0) {
        return rc;
    }
    char *text = sl_secret_alloc(FILE_LEN + 1);
    struct sl_secret_key *k = sl_secret_alloc(sizeof(*k));
    ssize_t n = pread(fd, text, FILE_LEN + 1, 0);
    bool good = n > 0 && parse(text, (size_t)n, k);
    sl_secret_free(text);
    if (!good) {
        sl_secret_free(k);
        return sl_err_set(err, SL_ECORRUPT, "'%s' is not a master key", name);
    }
    derive(k);
    *ret = k;
    return 0;
}

/* ---- opening -------------------------------------------------------------------------------------- */

int sl_secret_master_id(struct sl_db *db, char out[SECRET_ID_HEX + 1], struct sl_err *err)
{
    _cleanup_(free)
    char *id = NULL;
    int rc = sl_db_get_text(db, &id, err, SL_SQL("SELECT id FROM secret_master WHERE ?"), "i", 1);
    if (rc < 0 && rc != -SL_ENOTFOUND) {
        return rc;
    }
    (void)snprintf(out, SECRET_ID_HEX + 1, "%s", rc == 0 ? id : "");
    return 0;
}

/** Makes the first key. A second process that does so at once finds the first one's. */
static int make(int dirfd, struct sl_secret_key **ret, struct sl_err *err)
{
    char name[64];
    char id[SL_ID_HEX + 1];
    struct sl_secret_key *k = sl_secret_key_random();
    (void)snprintf(name, sizeof(name), SL_SECRET_KEY_FILE ".%s", sl_id_new(NULL, id));
    int fault = SL_FAULT_POINT(SECRET_KEY);
    int rc = fault != 0 ? sl_err_errno(err, fault, "cannot make the master key")
                        : sl_secret_key_write(dirfd, name, k, err);
    if (rc < 0) {
        sl_secret_key_close(k);
        return rc;
    }
    if (linkat(dirfd, name, dirfd, SL_SECRET_KEY_FILE, 0) != 0) {
        int error = errno;
        sl_secret_key_close(k);
        (void)unlinkat(dirfd, name, 0);
        return error == EEXIST ? sl_secret_key_read(dirfd, SL_SECRET_KEY_FILE, ret, err)
                               : sl_err_errno(err, error, "cannot make '%s'", SL_SECRET_KEY_FILE);
    }
    (void)unlinkat(dirfd, name, 0);
    rc = sync_dir(dirfd, err);
    if (rc < 0) {
        sl_secret_key_close(k);
        return rc;
    }
    *ret = k;
    return 0;
}

/** A rotation committed and died before its rename: `id` says whose key the rows are encrypted under. */
static int complete(int dirfd, const char *id, struct sl_secret_key **ret, struct sl_err *err)
{
    struct sl_secret_key *k = NULL;
    int rc = sl_secret_key_read(dirfd, SECRET_KEY_NEW, &k, err);
    if (rc == 0 && strcmp(k->id, id) == 0) {
        if (renameat(dirfd, SECRET_KEY_NEW, dirfd, SL_SECRET_KEY_FILE) == 0 || errno == ENOENT) {
            rc = sync_dir(dirfd, err);
        } else {
            rc = sl_err_errno(err, errno, "cannot put the new master key in place");
        }
        if (rc == 0) {
            *ret = k;
            return 0;
        }
    } else if (rc == 0 || rc == -SL_ENOTFOUND) {
        rc = -SL_ENOTFOUND;
    }
    sl_secret_key_close(k);
    return rc;
}

int sl_secret_key_open(int data_dirfd, struct sl_db *db, bool create, struct sl_secret_key **ret,
                       struct sl_err *err)
{
    char id[SECRET_ID_HEX + 1];
    struct sl_secret_key *k = NULL;
    int rc = sl_secret_master_id(db, id, err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_secret_key_read(data_dirfd, SL_SECRET_KEY_FILE, &k, err);
    if (rc == 0 && (id[0] == '\0' || strcmp(k->id, id) == 0)) {
        *ret = k;
        return 0;
    }
    sl_secret_key_close(k);
    if (rc < 0 && rc != -SL_ENOTFOUND) {
        return rc;
    }
    if (id[0] == '\0') {
        return create ? make(data_dirfd, ret, err)
                      : sl_err_set(err, SL_ENOTFOUND, "there is no secret yet");
    }
    bool missing = rc < 0;
    rc = complete(data_dirfd, id, ret, err);
    return rc != -SL_ENOTFOUND
               ? rc
               : sl_err_set(err, SL_ECORRUPT,
                            "the secrets are encrypted under master key %.8s…, and '%s' is %s; "
                            "bring the right file back from a backup",
                            id, SL_SECRET_KEY_FILE, missing ? "missing" : "another one");
}

/* ---- rotation ------------------------------------------------------------------------------------- */

struct rotation {
    int dirfd;
    const struct sl_secret_by *by;
    int64_t versions;
};

/** Keeps two rotations apart; the lock goes with the descriptor. */
static int lock_rotation(int dirfd, struct sl_err *err)
{
    _cleanup_(close)
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open the data directory");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return sl_err_set(err, SL_EBUSY, "another rotation of the master key is going on");
    }
    return sl_take_fd(fd);
}

static int rewrap(struct sl_db *db, const struct sl_secret_key *from,
                  const struct sl_secret_key *to, const struct sl_secret_ref *place,
                  struct sl_err *err)
{
    struct secret_row row = {0};
    _cleanup_(secret_value)
    struct sl_secret_value value = {0};
    int rc = sl_secret_load(db, place, &row, err);
    rc = rc < 0 ? rc : sl_secret_decrypt(from, place, &row, &value, err);
    sl_secret_row_release(&row);
    if (rc == 0) {
        sl_secret_encrypt(to, place, &value, &row);
        rc = sl_secret_store_row(db, place, &row, err);
        sl_secret_row_release(&row);
    }
    return rc;
}

static int rewrap_all(struct sl_db *db, const struct sl_secret_key *from,
                      const struct sl_secret_key *to, int64_t *ret_n, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT project, name, version FROM secret_version WHERE text IS "
                                "NOT NULL AND ? ORDER BY project, name, version"),
                         "i", 1);
    SL_VEC(struct sl_secret_ref) places = {0};
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_secret_ref place = {sl_arena_strdup(&arena, sl_rows_str(&rows, 0)),
                                      sl_arena_strdup(&arena, sl_rows_str(&rows, 1)),
                                      sl_rows_i64(&rows, 2)};
        sl_vec_push(&places, place);
        rc = 0;
    }
    for (size_t i = 0; rc == 0 && i < places.n; i++) {
        rc = rewrap(db, from, to, &places.items[i], err);
    }
    *ret_n = (int64_t)places.n;
    sl_vec_free(&places);
    sl_arena_release(&arena);
    return rc;
}

static int note_rotation(struct sl_db *db, const struct rotation *r, const char *from,
                         const char *to, struct sl_err *err)
{
    const struct sl_audit_obj objs[] = {{"master_key", from, NULL}, {"master_key", to, NULL}};
    struct sl_audit_entry entry = {.ts_ms = r->by->ts_ms,
                                   .act = SL_ACT_SECRET_ROTATE,
                                   .actor = r->by->actor,
                                   .objs = objs,
                                   .n_objs = SL_LEN(objs)};
    int rc = sl_db_exec(db, err, SL_SQL("UPDATE secret_master SET id = ?, created_ms = ?"), "si",
                        to, r->by->ts_ms);
    return rc < 0 ? rc : sl_audit_append(db, &entry, NULL, err);
}

/** A new key file that no commit speaks of is of a rotation that died before it. */
static int write_new(int dirfd, const struct sl_secret_key *key, struct sl_err *err)
{
    if (unlinkat(dirfd, SECRET_KEY_NEW, 0) != 0 && errno != ENOENT) {
        return sl_err_errno(err, errno, "cannot remove an old '%s'", SECRET_KEY_NEW);
    }
    int fault = SL_FAULT_POINT(SECRET_KEY);
    int rc = fault != 0 ? sl_err_errno(err, fault, "cannot make the master key")
                        : sl_secret_key_write(dirfd, SECRET_KEY_NEW, key, err);
    return rc < 0 ? rc : sync_dir(dirfd, err);
}

static int rotate_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct rotation *r = arg;
    struct sl_secret_key *from = NULL;
    char id[SECRET_ID_HEX + 1];
    int rc = sl_secret_master_id(db, id, err);
    if (rc == 0 && id[0] == '\0') {
        rc = sl_err_set(err, SL_ENOTFOUND, "there is no secret yet, so no master key to rotate");
    }
    rc = rc < 0 ? rc : sl_secret_key_open(r->dirfd, db, false, &from, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_secret_key *to = sl_secret_key_random();
    rc = write_new(r->dirfd, to, err);
    rc = rc < 0 ? rc : rewrap_all(db, from, to, &r->versions, err);
    rc = rc < 0 ? rc : note_rotation(db, r, from->id, to->id, err);
    sl_secret_key_close(from);
    sl_secret_key_close(to);
    return rc;
}

int sl_secret_rotate_master(int data_dirfd, const struct sl_secret_writer *writer,
                            const struct sl_secret_by *by, int64_t *ret_versions,
                            struct sl_err *err)
{
    struct rotation r = {.dirfd = data_dirfd, .by = by};
    _cleanup_(close)
    int lock = lock_rotation(data_dirfd, err);
    int rc = lock < 0 ? lock : writer->write(writer->data, rotate_tx, &r, err);
    if (rc < 0) {
        return rc; /* a new key file may stay: the next rotation removes it, nobody else looks */
    }
    int fault = SL_FAULT_POINT(SECRET_MASTER);
    if (fault != 0 || renameat(data_dirfd, SECRET_KEY_NEW, data_dirfd, SL_SECRET_KEY_FILE) != 0) {
        int error = fault != 0 ? fault : errno;
        if (error != ENOENT) { /* else somebody who opened the key has completed it */
            return sl_err_errno(err, error,
                                "the secrets are under the new master key, but it "
                                "could not be put in place yet");
        }
    }
    *ret_versions = r.versions;
    return sync_dir(data_dirfd, err);
}

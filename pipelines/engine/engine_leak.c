/* Before anything of an attempt is stored: what it leaves behind is looked through for the secrets that it received.
 * Content and metrics are kept for ever and given to many; a value in them could not be taken back.
 * Thread: blob lane. Must not: store, or hold file content outside of locked memory. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mask.h"
#include "pipelines/engine/secrets.h"

#define VALUE_MIN    8 /* bytes: shorter values occur in data by chance */
#define BUFFER_BYTES ((size_t)256 * 1024)

struct search {
    const struct sl_secret_receipt *receipt;
    struct sl_secret_value values[SL_SECRET_LEASES_MAX];
    struct sl_mask *mask;
    char *buffer;       /* locked: what is found in it is a secret */
    const char *output; /* whose files are looked through */
    char where[400];    /* what is looked at, in words */
};

static struct sl_mask *mask_of(const struct sl_secret_value *values, size_t n)
{
    struct sl_mask_value list[SL_SECRET_LEASES_MAX];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (values[i].len >= VALUE_MIN) {
            list[used++] = (struct sl_mask_value){values[i].bytes, values[i].len};
        }
    }
    return used == 0 ? NULL : sl_mask_init(sl_secret_alloc(sl_mask_size(list, used)), list, used);
}

/** Which of them it is. */
static const char *name_of(const struct search *s, const char *text, size_t len)
{
    for (size_t i = 0; i < s->receipt->n; i++) {
        struct sl_mask *one = mask_of(&s->values[i], 1);
        bool found = one != NULL && sl_mask_find(one, text, len) >= 0;
        sl_secret_free(one);
        if (found) {
            return s->receipt->leases[i].name;
        }
    }
    return "?";
}

static int found(const struct search *s, const char *text, size_t len, struct sl_err *err)
{
    return sl_err_set(err, SL_EREFUSED,
                      "%s: holds the value of secret '%s'; nothing of this attempt was stored",
                      s->where, name_of(s, text, len));
}

static int look_at_text(const struct search *s, const char *text, struct sl_err *err)
{
    size_t len = strlen(text);
    return sl_mask_find(s->mask, text, len) < 0 ? 0 : found(s, text, len, err);
}

/** Pieces overlap by what a pattern can be long. */
static int look_at_file(const struct search *s, int dirfd, const char *name, struct sl_err *err)
{
    size_t kept = 0;
    _cleanup_(close)
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return 0; /* collecting says what is missing, and takes nothing that cannot be opened so */
    }
    for (;;) {
        ssize_t n = read(fd, s->buffer + kept, BUFFER_BYTES - kept);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? 0 : sl_err_errno(err, errno, "%s: cannot read", s->where);
        }
        size_t len = kept + (size_t)n;
        if (sl_mask_find(s->mask, s->buffer, len) >= 0) {
            return found(s, s->buffer, len, err);
        }
        kept = SL_MIN(len, (size_t)SL_MASK_PIECE_MAX);
        memmove(s->buffer, s->buffer + (len - kept), kept);
    }
}

static int look_at_entry(const struct search *s, int dirfd, const char *name, mode_t mode,
                         struct sl_err *err)
{
    if (S_ISREG(mode)) {
        return look_at_file(s, dirfd, name, err);
    }
    if (!S_ISLNK(mode)) {
        return 0; /* collecting refuses everything else by itself */
    }
    char target[4096];
    ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
    target[SL_MAX(n, (ssize_t)0)] = '\0';
    int rc = look_at_text(s, target, err);
    explicit_bzero(target, sizeof(target));
    return rc;
}

static int on_entry(const struct sl_walk_entry *e, void *data, struct sl_err *err)
{
    struct search *s = data;
    snprintf(s->where, sizeof(s->where), "output '%.100s', name of a file", s->output);
    int rc = look_at_text(s, e->name, err);
    snprintf(s->where, sizeof(s->where), "output '%.100s', file '%.250s'", s->output, e->path);
    return rc < 0 ? rc : look_at_entry(s, e->dirfd, e->name, e->st->st_mode, err);
}

static int look_at_output(struct search *s, int dirfd, const struct sl_output *o,
                          struct sl_err *err)
{
    char path[4096];
    struct stat st;
    eng_output_path(o, path, sizeof(path));
    s->output = o->name;
    snprintf(s->where, sizeof(s->where), "output '%.100s'", o->name);
    if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return 0;
    }
    return S_ISDIR(st.st_mode) ? sl_walk_at(dirfd, path, on_entry, s, err)
                               : look_at_entry(s, dirfd, path, st.st_mode, err);
}

static int look_at_all(struct search *s, const struct eng_attempt *ea, int dirfd,
                       struct sl_err *err)
{
    const struct sl_step *spec = ea->run->core.plan->steps[ea->a->step].spec;
    snprintf(s->where, sizeof(s->where), "metrics");
    int rc = look_at_file(s, dirfd, "metrics.jsonl", err);
    for (size_t i = 0; rc == 0 && ea->outcome.ok && i < spec->n_outputs; i++) {
        rc = look_at_output(s, dirfd, &spec->outputs[i], err);
    }
    return rc;
}

/* ---- the values ----------------------------------------------------------------------------------- */

static int load(struct search *s, struct eng_attempt *ea, struct sl_db *db, struct sl_err *err)
{
    int rc = 0;
    if (ea->receipt.attempt_id == NULL) { /* adopted: another engine handed them over */
        rc = sl_secret_leases(db, ea->a->id, &ea->arena, &ea->receipt, err);
    }
    for (size_t i = 0; rc == 0 && i < ea->receipt.n; i++) {
        const struct sl_secret_lease *l = &ea->receipt.leases[i];
        rc = sl_ws_secret(ea->run->e->ws->fd, db, l->name, l->version, &s->values[i], err);
        if (rc == -SL_ENOTFOUND) {
            rc = sl_err_set(
                err, SL_EREFUSED,
                "secret '%s', version %lld, was erased while the step had it, so what it "
                "made cannot be checked for it; nothing was stored",
                l->name, (long long)l->version);
        }
    }
    return rc;
}

int eng_leak_check(struct eng_attempt *ea, int dirfd, struct sl_err *err)
{
    if (ea->run->core.plan->steps[ea->a->step].spec->n_secrets == 0) {
        return 0;
    }
    struct search s = {.receipt = &ea->receipt};
    struct sl_db *db = eng_reader_get(ea->run->e, err);
    int rc = db == NULL ? -err->code : load(&s, ea, db, err);
    if (db != NULL) {
        eng_reader_put(ea->run->e, db);
    }
    s.mask = rc == 0 ? mask_of(s.values, ea->receipt.n) : NULL;
    if (s.mask != NULL) {
        s.buffer = sl_secret_alloc(BUFFER_BYTES);
        rc = look_at_all(&s, ea, dirfd, err);
        if (rc == -SL_EREFUSED) { /* the one file of these that would stay */
            (void)unlinkat(dirfd, "metrics.jsonl", 0);
        }
    }
    sl_secret_free(s.buffer);
    sl_secret_free(s.mask);
    for (size_t i = 0; i < SL_LEN(s.values); i++) {
        sl_secret_value_release(&s.values[i]);
    }
    return rc;
}

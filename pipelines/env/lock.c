/* Reading lock files: see lock.h. Pure. Thread: any. */
#include "core/base/base.h"

#include "pipelines/env/lock.h"

#include <stdlib.h>
#include <strings.h>

#include "core/base/mem.h"

#define HOW_TO_LOCK                                                                                \
    "write a lock with one of\n"                                                                   \
    "  uv pip compile --generate-hashes requirements.in -o requirements.lock\n"                    \
    "  pip-compile --generate-hashes requirements.in -o requirements.lock\n"                       \
    "and name it: runtime: { venv: requirements.lock }"

struct reader {
    const char *file;
    struct sl_str text;
    struct sl_arena *a;
    struct sl_diags *diags;
    SL_VEC(struct sl_lock_package) packages;
    SL_VEC(const char *) options;
    int line;      /* first line of the logical line in hand */
    bool any_hash; /* else one message stands for all lines */
    bool refused;  /* that message was given */
};

static void problem(struct reader *r, size_t width, const char *hint, const char *fmt, ...)
    SL_PRINTF(4, 5);

static void problem(struct reader *r, size_t width, const char *hint, const char *fmt, ...)
{
    struct sl_loc loc = {r->file, r->line, 1, width > 0 ? (int)width : 1};
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(1000);
    va_list args;
    va_start(args, fmt);
    sl_buf_vprintf(&text, fmt, args);
    va_end(args);
    sl_diag_add(r->diags, SL_SEV_ERROR, loc, r->text, hint, "%s", sl_buf_str(&text));
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static const char *skip(const char *at)
{
    while (blank(*at)) {
        at++;
    }
    return at;
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* ---- names, versions, hashes ---------------------------------------------------------------------- */

const char *sl_lock_normal_name(struct sl_arena *a, const char *name, size_t len)
{
    char *out = sl_arena_strndup(a, name, len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool dash = c == '-' || c == '_' || c == '.';
        if (dash && n > 0 && out[n - 1] == '-') {
            continue;
        }
        out[n++] = dash ? '-' : (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
    }
    out[n] = '\0';
    return out;
}

static size_t name_length(const char *at)
{
    size_t n = 0;
    while (word_char(at[n]) || (n > 0 && (at[n] == '-' || at[n] == '_' || at[n] == '.'))) {
        n++;
    }
    return n;
}

static size_t version_length(const char *at)
{
    size_t n = 0;
    while (word_char(at[n]) || (at[n] != '\0' && strchr(".+!-_", at[n]) != NULL)) {
        n++;
    }
    return n;
}

/** One line of text with runs of blanks made one, without those at the ends. */
static const char *squeeze(struct sl_arena *a, const char *text, size_t len)
{
    char *out = sl_arena_strndup(a, text, len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!blank(text[i])) {
            out[n++] = text[i];
        } else if (n > 0 && out[n - 1] != ' ') {
            out[n++] = ' ';
        }
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
    return out;
}

static bool hash_good(const char *text, size_t len)
{
    static const struct {
        const char *name;
        size_t digits;
    } kinds[] = {{"sha256:", 64}, {"sha384:", 96}, {"sha512:", 128}};
    for (size_t i = 0; i < SL_LEN(kinds); i++) {
        size_t n = strlen(kinds[i].name);
        if (len == n + kinds[i].digits && strncmp(text, kinds[i].name, n) == 0) {
            return strspn(text + n, "0123456789abcdefABCDEF") >= kinds[i].digits;
        }
    }
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** The options behind a requirement: hashes and nothing else. False when a problem was reported. */
static bool read_hashes(struct reader *r, const char *at, const char *name, struct sl_digest *ret)
{
    SL_VEC(const char *) hashes = {0};
    bool good = true;
    for (at = skip(at); good && *at != '\0'; at = skip(at)) {
        size_t len = strcspn(at, " \t\r\f\v=");
        bool is_hash = len == 6 && strncmp(at, "--hash", 6) == 0;
        const char *value = skip(at + len);
        value = *value == '=' ? skip(value + 1) : value;
        size_t n = strcspn(value, " \t\r\f\v");
        if (!is_hash) {
            problem(r, strlen(name), NULL, "'%.100s': option '%.*s' is not for a lock", name,
                    (int)SL_MIN(len, (size_t)60), at);
            good = false;
        } else if (!hash_good(value, n)) {
            problem(r, strlen(name), NULL,
                    "'%.100s': expected --hash=sha256:<64 hex digits> (or sha384, sha512), got "
                    "'%.*s'",
                    name, (int)SL_MIN(n, (size_t)80), value);
            good = false;
        } else if (hashes.n == SL_LOCK_HASHES_MAX) {
            problem(r, strlen(name), NULL, "'%.100s' has more than %d hashes", name,
                    SL_LOCK_HASHES_MAX);
            good = false;
        } else {
            sl_vec_push(&hashes, sl_lock_normal_name(r->a, value, n));
        }
        at = value + n;
    }
    if (good && hashes.n == 0) {
        problem(r, strlen(name), HOW_TO_LOCK, "'%.100s' has no hash: which bytes it is stays open",
                name);
        good = false;
    }
    if (good) {
        struct sl_sha256_ctx *c = sl_sha256_new();
        qsort(hashes.items, hashes.n, sizeof(*hashes.items), by_text);
        for (size_t i = 0; i < hashes.n; i++) {
            sl_sha256_update(c, hashes.items[i], strlen(hashes.items[i]) + 1);
        }
        sl_sha256_final(c, ret);
        sl_sha256_free(c);
    }
    sl_vec_free(&hashes);
    return good;
}

/* ---- one requirement ------------------------------------------------------------------------------ */

/** The address without what may be secret or chance: user, query, fragment. */
static const char *clean_url(struct sl_arena *a, const char *url, size_t len)
{
    const char *scheme = memmem(url, len, "://", 3);
    size_t head = scheme != NULL ? (size_t)(scheme - url) + 3 : 0;
    size_t authority = head + strcspn(url + head, "/?# \t");
    authority = SL_MIN(authority, len);
    const char *at = memrchr(url + head, '@', authority - head);
    size_t from = at != NULL ? (size_t)(at - url) + 1 : head;
    size_t end = from + strcspn(url + from, "?# \t");
    end = SL_MIN(end, len);
    return sl_arena_printf(a, "@ %.*s%.*s", (int)head, url, (int)(end - from), url + from);
}

/** The version that `spec` pins ("==1.2", "@ URL"); NULL with a problem reported. */
static const char *pinned(struct reader *r, const char *name, const char *spec, size_t len)
{
    _cleanup_(free)
    char *text = sl_strndup(spec, len);
    const char *at = skip(text);
    if (*at == '@') {
        at = skip(at + 1);
        if (sl_starts_with(at, "git+") || sl_starts_with(at, "hg+") || sl_starts_with(at, "svn+") ||
            sl_starts_with(at, "bzr+")) {
            problem(r, strlen(name), NULL,
                    "'%.100s' comes from version control, which no hash can name: build a wheel "
                    "and lock that",
                    name);
            return NULL;
        }
        return clean_url(r->a, at, strlen(at));
    }
    size_t eq = strspn(at, "=");
    const char *version = skip(at + eq);
    size_t n = version_length(version);
    if ((eq == 2 || eq == 3) && n > 0 && *skip(version + n) == '\0') {
        return sl_arena_strndup(r->a, version, n);
    }
    problem(r, strlen(name), HOW_TO_LOCK,
            "'%.100s%s%.60s' leaves the version open: expected '%s==VERSION'", name,
            *at != '\0' ? " " : "", at, name);
    return NULL;
}

static void add_package(struct reader *r, const char *name, const char *version,
                        const struct sl_digest *hashes)
{
    if (r->packages.n == SL_LOCK_PACKAGES_MAX) {
        if (!r->refused) {
            problem(r, strlen(name), NULL, "the lock has more than %d packages",
                    SL_LOCK_PACKAGES_MAX);
            r->refused = true;
        }
        return;
    }
    struct sl_lock_package p = {name, version, *hashes, r->line};
    sl_vec_push(&r->packages, p);
}

/** Where the options of a requirement begin: a blank and a dash. */
static size_t requirement_length(const char *line)
{
    size_t n = 0;
    while (line[n] != '\0' && !(blank(line[n]) && *skip(line + n) == '-')) {
        n++;
    }
    return n;
}

static void read_requirement(struct reader *r, const char *line)
{
    size_t len = name_length(line);
    size_t all = requirement_length(line);
    const char *after = skip(line + len);
    struct sl_digest hashes;
    if (len == 0 || len > SL_LOCK_NAME_MAX || len > all ||
        (*after != '\0' && strchr("[@=<>!~;(-", *after) == NULL)) {
        problem(r, SL_MIN(all, (size_t)60), NULL,
                "'%.*s' is not NAME==VERSION: a folder or a file cannot be locked; what is part of "
                "the repository is there as code anyway",
                (int)SL_MIN(all, (size_t)80), line);
        return;
    }
    const char *name = sl_lock_normal_name(r->a, line, len);
    if (!r->any_hash) {
        problem(r, len, HOW_TO_LOCK,
                "'%.100s' has no hash: %s is no lock, it leaves open what is installed", name,
                r->file);
        r->refused = true;
        return;
    }
    if (*after == '[') {
        after += strcspn(after, "]");
        after += *after == ']' ? 1 : 0;
    }
    const char *end = line + all;
    after = SL_MIN(after, end);
    const char *marker = memchr(after, ';', (size_t)(end - after));
    const char *spec_end = marker != NULL ? marker : end;
    const char *version = pinned(r, name, after, (size_t)(spec_end - after));
    if (version == NULL || !read_hashes(r, end, name, &hashes)) {
        return;
    }
    if (marker != NULL) {
        version = sl_arena_printf(r->a, "%s ; %s", version,
                                  squeeze(r->a, marker + 1, (size_t)(end - marker) - 1));
    }
    add_package(r, name, version, &hashes);
}

/* ---- options of the file -------------------------------------------------------------------------- */

/** What every option of a line of its own is: where from (no part of the name), what (part of it), or refused. */
enum option_kind { OPT_PLACE, OPT_CONTENT, OPT_FILE, OPT_LOCAL };
static const struct {
    const char *name, *letter;
    enum option_kind kind;
} options[] = {
    {"--index-url", "-i", OPT_PLACE},       {"--extra-index-url", NULL, OPT_PLACE},
    {"--find-links", "-f", OPT_PLACE},      {"--trusted-host", NULL, OPT_PLACE},
    {"--no-index", NULL, OPT_PLACE},        {"--require-hashes", NULL, OPT_PLACE},
    {"--use-feature", NULL, OPT_PLACE},     {"--pre", NULL, OPT_PLACE},
    {"--prefer-binary", NULL, OPT_CONTENT}, {"--only-binary", NULL, OPT_CONTENT},
    {"--no-binary", NULL, OPT_CONTENT},     {"--requirement", "-r", OPT_FILE},
    {"--constraint", "-c", OPT_FILE},       {"--editable", "-e", OPT_LOCAL},
};

/** pip takes several options from one line, and reads quotes as a shell does: what stands behind the first one
 * must be its value and nothing else. */
static bool one_option(const char *line)
{
    bool good = strpbrk(line, "\"'\\") == NULL;
    for (const char *at = line; good && *at != '\0'; at++) {
        good = !(blank(*at) && at[1] == '-');
    }
    return good;
}

static void read_option(struct reader *r, const char *line)
{
    size_t len = strcspn(line, " \t\r\f\v=");
    if (!one_option(line)) {
        problem(r, len, NULL, "one option to a line, without quotes or backslashes: '%.80s'", line);
        return;
    }
    _cleanup_(free)
    char *name = sl_strndup(line, len);
    const char *names[SL_LEN(options)];
    for (size_t i = 0; i < SL_LEN(options); i++) {
        names[i] = options[i].name;
        bool by_letter =
            options[i].letter != NULL && strncmp(line, options[i].letter, 2) == 0 && line[1] != '-';
        if (!by_letter && !sl_streq(name, options[i].name)) {
            continue;
        }
        switch (options[i].kind) {
        case OPT_PLACE: return;
        case OPT_CONTENT: sl_vec_push(&r->options, squeeze(r->a, line, strlen(line))); return;
        case OPT_FILE:
            problem(r, len, HOW_TO_LOCK, "'%s': a lock is one file; compile the files into one",
                    name);
            return;
        case OPT_LOCAL:
            problem(r, len, "with uv: uv export --no-emit-workspace -o requirements.lock",
                    "'%s' installs a folder, which no hash can name; what is part of the "
                    "repository is there as code anyway (set PYTHONPATH in env)",
                    name);
            return;
        }
    }
    const char *near = sl_nearest(name, names, SL_LEN(options));
    problem(r, len, NULL, "unknown option '%.60s'%s%s%s", name,
            near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
            near != NULL ? "'?" : "");
}

/* ---- lines ---------------------------------------------------------------------------------------- */

/** Cuts a comment: '#' at the beginning or behind a blank. */
static void cut_comment(char *line)
{
    for (size_t i = 0; line[i] != '\0'; i++) {
        if (line[i] == '#' && (i == 0 || blank(line[i - 1]))) {
            line[i] = '\0';
            return;
        }
    }
}

static void read_line(struct reader *r, struct sl_buf *joined)
{
    if (joined->overflow) {
        problem(r, 1, NULL, "the line is longer than %d bytes", SL_LOCK_LINE_MAX);
    } else if (joined->len > 0) {
        cut_comment(joined->ptr);
        const char *at = skip(joined->ptr);
        const char *variable = strstr(at, "${");
        if (variable != NULL) {
            problem(r, 1, NULL, "pip would put a variable of the engine's user here: '%.60s'",
                    variable);
        } else if (*at == '-') {
            read_option(r, at);
        } else if (*at != '\0' && !r->refused) {
            read_requirement(r, at);
        }
    }
    sl_buf_clear(joined);
}

static void read_lines(struct reader *r)
{
    _cleanup_(buf)
    struct sl_buf joined = SL_BUF_INIT(SL_LOCK_LINE_MAX);
    int line = 1;
    const char *end = r->text.ptr + r->text.len;
    r->line = 1;
    for (const char *at = r->text.ptr; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline != NULL ? newline : end) - at);
        size_t kept = len;
        while (kept > 0 && at[kept - 1] == '\r') {
            kept--;
        }
        size_t lead = 0;
        while (lead < kept && blank(at[lead])) {
            lead++;
        }
        bool comment = lead < kept && at[lead] == '#';
        bool goes_on = kept > 0 && at[kept - 1] == '\\' && !comment;
        if (comment) {
            sl_buf_putc(&joined, ' ');
        }
        sl_buf_add(&joined, at, goes_on ? kept - 1 : kept);
        at += len + (newline != NULL ? 1 : 0);
        if (!goes_on || at >= end) {
            read_line(r, &joined);
            r->line = line + 1;
        }
    }
}

/* ---- bytes that pip reads otherwise --------------------------------------------------------------- */

/** How many bytes from here on end a line for Python's str.splitlines, or are no text, but do not end one here. */
static size_t odd_bytes(const char *at, const char *end)
{
    size_t left = (size_t)(end - at);
    unsigned char c = (unsigned char)*at;
    if (c == '\r') {
        return left > 1 && at[1] != '\n' ? 1 : 0;
    }
    if ((c < ' ' && c != '\t' && c != '\n') || c == 0x7f) {
        return 1;
    }
    if (left >= 2 && memcmp(at, "\xc2\x85", 2) == 0) {
        return 2;
    }
    bool separator =
        left >= 3 && (memcmp(at, "\xe2\x80\xa8", 3) == 0 || memcmp(at, "\xe2\x80\xa9", 3) == 0);
    return separator ? 3 : 0;
}

/** "# -*- coding: NAME -*-" has pip decode the file by NAME, some of which hide lines. */
static bool other_coding(const char *line, const char *end)
{
    for (const char *at = line; line < end && *line == '#' && at + 7 <= end; at++) {
        if (memcmp(at, "coding", 6) != 0 || (at[6] != ':' && at[6] != '=')) {
            continue;
        }
        const char *name = at + 7;
        while (name < end && blank(*name)) {
            name++;
        }
        size_t n = 0;
        while (name + n < end && (word_char(name[n]) || strchr("-_.", name[n]) != NULL)) {
            n++;
        }
        bool utf8 = (n == 5 && strncasecmp(name, "utf-8", n) == 0) ||
                    (n == 4 && strncasecmp(name, "utf8", n) == 0);
        if (n > 0 && !utf8) {
            return true;
        }
    }
    return false;
}

/** pip reads the file itself: it must see the lines that are seen here, no more. */
static bool check_text(struct reader *r)
{
    const char *end = r->text.ptr + r->text.len;
    const char *line = r->text.ptr;
    bool utf8 = r->text.len == 0 || sl_utf8_check(r->text.ptr, r->text.len) == r->text.len;
    for (const char *at = line; at < end; at++) {
        if (odd_bytes(at, end) > 0) {
            problem(r, 1, NULL,
                    "byte 0x%02x: a control character or line separator has no place in a lock",
                    (unsigned char)*at);
            return false;
        }
        if (*at == '\n' || at + 1 == end) {
            if (r->line <= 2 && other_coding(line, at + 1)) {
                problem(r, 1, NULL, "a lock is UTF-8: this comment names another coding");
                return false;
            }
            line = at + 1;
            r->line++;
        }
    }
    r->line = 1;
    if (!utf8) {
        problem(r, 1, NULL, "a lock is UTF-8: this file is not");
    }
    return utf8;
}

/* ---- the whole file ------------------------------------------------------------------------------- */

/** Locks of other tools, by name: what makes one that pip can check. */
static const char *foreign(const char *file)
{
    static const struct {
        const char *name, *command;
    } known[] = {
        {"uv.lock", "uv export --format requirements-txt --no-emit-workspace -o requirements.lock"},
        {"poetry.lock", "poetry export --format requirements.txt -o requirements.lock"},
        {"pdm.lock", "pdm export --format requirements -o requirements.lock"},
        {"Pipfile.lock", "pipenv requirements --hash > requirements.lock"},
        {"pyproject.toml", "uv pip compile --generate-hashes pyproject.toml -o requirements.lock"},
        {"environment.yml", "conda environments are not built; list the packages for pip"},
    };
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    for (size_t i = 0; i < SL_LEN(known); i++) {
        if (sl_streq(name, known[i].name)) {
            return known[i].command;
        }
    }
    return NULL;
}

static int by_package(const void *a, const void *b)
{
    const struct sl_lock_package *x = a;
    const struct sl_lock_package *y = b;
    int c = strcmp(x->name, y->name);
    c = c != 0 ? c : strcmp(x->version, y->version);
    return c != 0 ? c : x->line - y->line;
}

static void refuse_doubles(struct reader *r)
{
    for (size_t i = 1; i < r->packages.n; i++) {
        const struct sl_lock_package *p = &r->packages.items[i];
        const struct sl_lock_package *before = p - 1;
        if (sl_streq(p->name, before->name) && sl_streq(p->version, before->version)) {
            r->line = p->line;
            problem(r, strlen(p->name), NULL, "'%.100s' is listed twice, first in line %d", p->name,
                    before->line);
        }
    }
}

int sl_lock_read(const char *file, struct sl_str text, struct sl_arena *a, struct sl_diags *diags,
                 struct sl_lock *ret)
{
    struct reader r = {.file = file, .text = text, .a = a, .diags = diags, .line = 1};
    size_t before = diags->n_errors;
    const char *other = foreign(file);
    if (other != NULL) {
        problem(&r, 1, other, "%s is no file that pip can check; export it", file);
        return -SL_EINVAL;
    }
    if (text.len > SL_LOCK_BYTES_MAX) {
        r.text = (struct sl_str){0};
        problem(&r, 1, NULL, "the lock is larger than %zu bytes", SL_LOCK_BYTES_MAX);
        return -SL_EINVAL;
    }
    if (!check_text(&r)) {
        return -SL_EINVAL;
    }
    r.any_hash = text.len > 0 && memmem(text.ptr, text.len, "--hash", 6) != NULL;
    read_lines(&r);
    if (r.packages.n > 0) {
        qsort(r.packages.items, r.packages.n, sizeof(*r.packages.items), by_package);
        refuse_doubles(&r);
    }
    if (r.options.n > 0) {
        qsort(r.options.items, r.options.n, sizeof(*r.options.items), by_text);
    }
    int rc = diags->n_errors > before ? -SL_EINVAL : 0;
    if (rc == 0) {
        *ret = (struct sl_lock){.n_packages = r.packages.n, .n_options = r.options.n};
        ret->packages = sl_arena_memdup(a, r.packages.items, r.packages.n * sizeof(*ret->packages));
        ret->options = sl_arena_memdup(a, r.options.items, r.options.n * sizeof(*ret->options));
    }
    sl_vec_free(&r.packages);
    sl_vec_free(&r.options);
    return rc;
}

/* data import, data refresh. The bytes are brought by this process; the version is made by whoever holds the data
 * directory. Thread: main. */
#include "core/base/base.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cmd/import.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "pipelines/run/workspace.h"

#define KEEP_UNFINISHED_MS ((int64_t)90 * 24 * 3600 * 1000) /* and what refreshes compare with */

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "unversioned"
#endif

/* ---- metadata ------------------------------------------------------------------------------------------ */

static struct sl_metadata metadata_of(const struct sl_cmd *c)
{
    return (struct sl_metadata){.owner = sl_cmd_opt(c, "owner"),
                                .source = sl_cmd_opt(c, "source"),
                                .licence = sl_cmd_opt(c, "licence"),
                                .retention = sl_cmd_opt(c, "retention")};
}

static void put_metadata(const struct sl_metadata *m, json_t *args)
{
    sl_json_set_str(args, "owner", m->owner);
    sl_json_set_str(args, "source", m->source);
    sl_json_set_str(args, "licence", m->licence);
    sl_json_set_str(args, "retention", m->retention);
}

void sl_cmd_put_metadata(const struct sl_cmd *c, json_t *args)
{
    struct sl_metadata m = metadata_of(c);
    put_metadata(&m, args);
}

int sl_cmd_check_metadata(struct sl_cmd *c, const struct sl_metadata *m, bool has_source)
{
    json_auto_t *answer = NULL;
    struct sl_project project = {.name = NULL};
    struct sl_err none = SL_ERR_INIT;
    const char *names[16];
    size_t i = 0;
    json_t *name = NULL;
    int rc = sl_call(c, "datasets.policy", json_object(), &answer);
    if (rc == -SL_ENOTFOUND) { /* nothing is recorded here yet, so no policy is either */
        c->err = none;
        return sl_metadata_check(m, has_source, NULL, &c->err);
    }
    json_array_foreach (json_object_get(answer, "required"), i, name) {
        if (project.policies.n_dataset_metadata < SL_LEN(names)) {
            names[project.policies.n_dataset_metadata++] = json_string_value(name);
        }
    }
    project.policies.dataset_metadata = names;
    return rc < 0 ? rc : sl_metadata_check(m, has_source, &project, &c->err);
}

/* ---- access -------------------------------------------------------------------------------------------- */

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *first_of(const char *a, const char *b, const char *c)
{
    return a != NULL ? a : b != NULL ? b : c;
}

static int load_keys(struct sl_cmd *c, const char *secret, struct sl_source_keys *keys)
{
    if (secret != NULL) {
        return sl_source_keys_load(c->data_path, secret, keys, &c->err);
    }
    keys->aws.access_key = env("AWS_ACCESS_KEY_ID");
    keys->aws.secret_key = env("AWS_SECRET_ACCESS_KEY");
    keys->aws.session_token = env("AWS_SESSION_TOKEN");
    if ((keys->aws.access_key == NULL) != (keys->aws.secret_key == NULL)) {
        return sl_err_set(&c->err, SL_EINVAL,
                          "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together");
    }
    return 0;
}

/* On top of what *ret has already (from a record, or nothing). */
static int add_access(struct sl_cmd *c, const char *secret, struct sl_source_access *ret,
                      struct sl_source_keys *keys)
{
    const char *region =
        first_of(sl_cmd_opt(c, "region"), env("AWS_REGION"), env("AWS_DEFAULT_REGION"));
    const char *endpoint =
        first_of(sl_cmd_opt(c, "endpoint"), env("AWS_ENDPOINT_URL_S3"), env("AWS_ENDPOINT_URL"));
    int rc = load_keys(c, secret, keys);
    ret->region = first_of(ret->region, region, "us-east-1");
    ret->endpoint = first_of(ret->endpoint, endpoint, NULL);
    keys->aws.region = ret->region;
    keys->aws.service = "s3";
    ret->aws = keys->aws.access_key != NULL ? &keys->aws : NULL;
    ret->fetch.ca_file = first_of(sl_cmd_opt(c, "ca"), ret->fetch.ca_file, NULL);
    ret->fetch.allow |= SL_FETCH_LOOPBACK;
    ret->fetch.allow |= sl_cmd_flag(c, "insecure-http") ? (unsigned)SL_FETCH_HTTP : 0;
    ret->fetch.allow |= sl_cmd_flag(c, "private") ? (unsigned)SL_FETCH_PRIVATE : 0;
    /* A proxy, like an endpoint, is where this person says that it is. */
    bool proxy = env("https_proxy") != NULL || env("HTTPS_PROXY") != NULL ||
                 env("http_proxy") != NULL || env("all_proxy") != NULL || env("ALL_PROXY") != NULL;
    ret->fetch.allow |= proxy ? SL_FETCH_PROXY_ENV | SL_FETCH_PRIVATE : 0u;
    ret->fetch.allow |= ret->endpoint != NULL ? (unsigned)SL_FETCH_PRIVATE : 0;
    return rc;
}

int sl_cmd_access(struct sl_cmd *c, struct sl_source_access *ret, struct sl_source_keys *keys)
{
    memset(ret, 0, sizeof(*ret));
    memset(keys, 0, sizeof(*keys));
    return add_access(c, sl_cmd_opt(c, "credentials"), ret, keys);
}

/* ---- one import ---------------------------------------------------------------------------------------- */

void sl_cmd_print_version(const json_t *answer)
{
    char size[SL_TIME_TEXT];
    const char *full = sl_json_str(answer, "name", "");
    full = sl_starts_with(full, "default/") ? full + strlen("default/") : full;
    (void)printf("%s@v%lld  %s  %lld %s, %s  sha256:%.12s\n", full,
                 (long long)sl_json_i64(answer, "version", 0),
                 sl_json_bool(answer, "created", false) ? "new" : "unchanged",
                 (long long)sl_json_i64(answer, "files", 0),
                 sl_json_i64(answer, "files", 0) == 1 ? "file" : "files",
                 sl_size_format((uint64_t)sl_json_i64(answer, "bytes", 0), size),
                 sl_json_str(answer, "digest", ""));
}

/* What came over the network, and what did not have to. */
static void add_transfer(json_t *answer, const struct sl_imported *got)
{
    sl_json_set_i64(answer, "fetched_bytes", (int64_t)got->fetched_bytes);
    sl_json_set_i64(answer, "reused_bytes", (int64_t)got->reused_bytes);
    sl_json_set_i64(answer, "resumed", got->resumed);
    sl_json_set_i64(answer, "restarted", got->restarted);
}

static int put_record(struct sl_blob_store *blobs, const json_t *record,
                      char hex[SL_DIGEST_HEX + 1], struct sl_err *err)
{
    struct sl_digest digest;
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    int rc = sl_blob_put_bytes(blobs, text, strlen(text), &digest, err);
    sl_digest_hex(&digest, hex);
    return rc;
}

/* Ctrl-C during a transfer: as a descriptor, so that the transfer asks and nothing is interrupted half way. */
static int watch_interrupts(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool interrupted(void *data)
{
    struct pollfd p = {.fd = *(const int *)data, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static int bring(struct sl_cmd *c, struct sl_import_opts *opts, struct sl_manifest *made,
                 struct sl_imported *got)
{
    struct sl_source_access access;
    const struct sl_source_access *given = opts->access;
    _cleanup_(close)
    int signals = -1;
    if (opts->source.kind != SL_SOURCE_PATH) { /* a path has nothing to resume: it dies at once */
        access = *opts->access;
        signals = watch_interrupts();
        access.fetch.cancelled = interrupted;
        access.fetch.cancel_data = &signals;
        opts->access = &access;
    }
    int rc = sl_source_import(opts, made, got, &c->err);
    opts->access = given;
    if (rc == -SL_ECANCELLED) {
        rc = sl_err_set(&c->err, SL_ECANCELLED,
                        "cancelled; the same command goes on where it stopped");
    }
    return rc;
}

static int import_and_commit(struct sl_cmd *c, struct sl_import_opts *opts, struct sl_metadata *m,
                             const char *message, json_t **ret)
{
    struct sl_imported got = {.record = NULL};
    char manifest_hex[SL_DIGEST_HEX + 1];
    char record_hex[SL_DIGEST_HEX + 1];
    _cleanup_(manifest)
    struct sl_manifest made;
    sl_manifest_init(&made);
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, c->data_path, &c->err);
    struct sl_cmd_meter *meter = sl_cmd_meter_new(c, opts->name);
    opts->data_dirfd = fd;
    opts->progress = sl_cmd_meter_tick;
    opts->data = meter;
    opts->tool = "sluice/" SLUICE_VERSION;
    SL_IGNORE(fd < 0 ? fd : sl_source_clean(fd, KEEP_UNFINISHED_MS, NULL)); /* room, no more */
    int rc = fd < 0 ? fd : bring(c, opts, &made, &got);
    sl_cmd_meter_free(meter);
    rc = rc < 0 ? rc : sl_ws_put_manifest(opts->blobs, &made, &c->err);
    rc = rc < 0 ? rc : put_record(opts->blobs, got.record, record_hex, &c->err);
    if (rc == 0) {
        json_t *args =
            json_pack("{s:s, s:s, s:s, s:s}", "kind", "dataset", "name", opts->name, "manifest",
                      sl_digest_hex(&made.digest, manifest_hex), "record", record_hex);
        sl_json_set_str(args, "message", message);
        put_metadata(m, args);
        rc = sl_call(c, "artifacts.commit", args, ret);
    }
    if (rc == 0) {
        add_transfer(*ret, &got);
    }
    json_decref(got.record);
    return rc;
}

static int finish(struct sl_cmd *c, int rc, json_t *answer)
{
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    sl_cmd_print_version(answer);
    return SL_EXIT_OK;
}

static int check_name(struct sl_cmd *c, const char *text)
{
    char project[SL_NAME_MAX + 1];
    const char *name = NULL;
    int rc = sl_ref_split(text, project, &name, &c->err);
    return rc < 0 ? rc : sl_name_check(name, &c->err);
}

int sl_cmd_data_import(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    struct sl_source_access access;
    struct sl_source_keys keys = {.memory = NULL};
    SL_VEC(const char *) exclude = {0};
    bool made = false;
    struct sl_metadata m = metadata_of(c);
    struct sl_import_opts opts = {.access = &access,
                                  .name = sl_cmd_arg(c, 1),
                                  .as = sl_cmd_opt(c, "as"),
                                  .credentials = sl_cmd_opt(c, "credentials"),
                                  .reference = sl_cmd_flag(c, "reference"),
                                  .extract = sl_cmd_flag(c, "extract")};
    for (size_t i = 0; i < c->opts->values.n; i++) {
        if (sl_streq(c->opts->values.items[i].opt->name, "exclude")) {
            sl_vec_push(&exclude, c->opts->values.items[i].value);
        }
    }
    opts.exclude = exclude.items;
    opts.n_exclude = exclude.n;
    int rc = check_name(c, opts.name);
    rc = rc < 0 ? rc : sl_source_parse(sl_cmd_arg(c, 0), &c->arena, &opts.source, &c->err);
    rc = rc < 0 ? rc : sl_cmd_data_or_make(c, &made);
    rc = rc < 0 ? rc : sl_cmd_check_metadata(c, &m, true);
    rc = rc < 0 ? rc : sl_cmd_access(c, &access, &keys);
    struct sl_blob_store *blobs = NULL;
    rc = rc < 0 ? rc : sl_workspace_open_blobs(c->data_path, &blobs, &c->err);
    opts.blobs = blobs;
    rc = rc < 0 ? rc
                : import_and_commit(c, &opts, &m,
                                    first_of(sl_cmd_opt(c, "message"), "imported", NULL), &answer);
    sl_blob_store_close(blobs);
    sl_source_keys_release(&keys);
    sl_vec_free(&exclude);
    return finish(c, rc, answer);
}

/* ---- refresh ------------------------------------------------------------------------------------------- */

static void fill_from_record(const json_t *record, struct sl_import_opts *opts, struct sl_arena *a)
{
    const json_t *list = json_object_get(record, "exclude");
    size_t n = json_array_size(list);
    const char **exclude = SL_ARENA_ARRAY(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        exclude[i] = json_string_value(json_array_get(list, i));
    }
    opts->exclude = exclude;
    opts->n_exclude = n;
    opts->as = sl_json_str(record, "as", NULL);
    opts->credentials = sl_json_str(record, "credentials", NULL);
    opts->reference = sl_json_bool(record, "reference", false);
    opts->extract = sl_json_bool(record, "extract", false);
}

/* The newest version's facts and record; *ret_name without a version. */
static int read_source(struct sl_cmd *c, json_t **ret, const char **ret_text)
{
    const char *name = sl_cmd_arg(c, 0);
    int rc = check_name(c, name);
    rc = rc < 0 ? rc : sl_call(c, "datasets.source", json_pack("{s:s}", "ref", name), ret);
    if (rc < 0) {
        return rc;
    }
    const json_t *record = json_object_get(*ret, "record");
    *ret_text = sl_json_str(record, "source", NULL);
    if (record == NULL) {
        return sl_err_set(&c->err, SL_EINVAL,
                          "%s has no recorded source to follow; 'sluice data import' records one",
                          name);
    }
    if (*ret_text == NULL) {
        return sl_err_set(&c->err, SL_EINVAL,
                          "the address of %s held a secret, so it was not recorded; give it again: "
                          "sluice data import URL %s",
                          name, name);
    }
    return 0;
}

static int refresh(struct sl_cmd *c, const json_t *found, const char *text, json_t **ret)
{
    struct sl_source_access access;
    struct sl_source_keys keys = {.memory = NULL};
    struct sl_blob_store *blobs = NULL;
    struct sl_digest digest;
    _cleanup_(manifest)
    struct sl_manifest previous;
    const json_t *record = json_object_get(found, "record");
    const json_t *facts = json_object_get(found, "facts");
    struct sl_metadata m = {.owner = sl_json_str(facts, "Owner", NULL),
                            .source = sl_json_str(facts, "Source-System", NULL),
                            .licence = sl_json_str(facts, "Licence", NULL),
                            .retention = sl_json_str(facts, "Retention", NULL)};
    struct sl_import_opts opts = {.access = &access, .name = sl_cmd_arg(c, 0)};
    sl_manifest_init(&previous);
    fill_from_record(record, &opts, &c->arena);
    sl_source_record_access(record, &access);
    int rc = sl_source_parse(text, &c->arena, &opts.source, &c->err);
    rc = rc < 0 ? rc : sl_cmd_check_metadata(c, &m, true);
    rc = rc < 0 ? rc : add_access(c, opts.credentials, &access, &keys);
    rc = rc < 0 ? rc : sl_workspace_open_blobs(c->data_path, &blobs, &c->err);
    if (rc == 0 && sl_digest_parse(sl_json_str(found, "digest", ""), &digest) &&
        sl_ws_manifest(blobs, &digest, &previous, NULL) == 0) {
        opts.previous = &previous;
    }
    opts.blobs = blobs;
    rc = rc < 0 ? rc
                : import_and_commit(c, &opts, &m,
                                    first_of(sl_cmd_opt(c, "message"), "refreshed", NULL), ret);
    sl_blob_store_close(blobs);
    sl_source_keys_release(&keys);
    return rc;
}

int sl_cmd_data_refresh(struct sl_cmd *c)
{
    json_auto_t *found = NULL;
    json_auto_t *answer = NULL;
    const char *text = NULL;
    int rc = sl_cmd_data(c);
    rc = rc < 0 ? rc : read_source(c, &found, &text);
    rc = rc < 0 ? rc : refresh(c, found, text, &answer);
    return finish(c, rc, answer);
}

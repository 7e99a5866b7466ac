/* Unpacking images: see image.h. */
#include "core/base/base.h"

#include "pipelines/env/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "pipelines/env/image_tree.h"
#include "registry/registry.h"

#define LAYOUT_FILE "{\"imageLayoutVersion\":\"1.0.0\"}"

int sl_image_parse(const char *text, char **ret_dir, struct sl_digest *ret_digest,
                   struct sl_err *err)
{
    const char *at = strrchr(text, '@');
    if (at == NULL || !sl_digest_parse(at + 1, ret_digest)) {
        return sl_err_set(err, SL_EINVAL, "image '%.200s': expected NAME@sha256:<64 hex digits>",
                          text);
    }
    if (!sl_starts_with(text, "oci:/")) {
        return sl_err_set(err, SL_EUNSUPPORTED,
                          "image '%.150s' is in a registry, which is not asked; bring it here with "
                          "'skopeo copy --preserve-digests docker://%.150s oci:/DIR' and name it "
                          "oci:/DIR%.80s",
                          text, text, at);
    }
    *ret_dir = sl_strndup(text + strlen("oci:"), (size_t)(at - text) - strlen("oci:"));
    return 0;
}

/* ---- blobs of a layout ---------------------------------------------------------------------------- */

static void blob_path(const struct sl_digest *d, char out[100])
{
    char hex[SL_DIGEST_HEX + 1];
    snprintf(out, 100, "blobs/sha256/%s", sl_digest_hex(d, hex));
}

/** Takes a blob from one layout into another, checked on the way; gives a descriptor of the copy. */
static int keep_blob(int from, int to, const struct sl_digest *want, struct sl_err *err)
{
    char path[100];
    struct sl_digest got;
    uint64_t bytes = 0;
    blob_path(want, path);
    _cleanup_(close)
    int in = openat(from, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (in < 0) {
        return sl_err_errno(err, errno, "the layout's %s", path);
    }
    _cleanup_(close)
    int out = openat(to, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (out < 0) {
        return sl_err_errno(err, errno, "cannot make %s", path);
    }
    int rc = sl_copy_fd(in, out, &got, &bytes, err);
    if (rc == 0 && !sl_digest_eq(&got, want)) {
        rc = sl_err_set(err, SL_ECORRUPT, "the layout's %s has another digest", path);
    }
    if (rc == 0 && lseek(out, 0, SEEK_SET) < 0) {
        rc = sl_err_errno(err, errno, "lseek");
    }
    return rc < 0 ? rc : sl_take_fd(out);
}

static int keep_json(int from, int to, const struct sl_digest *d, json_t **ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_IMAGE_JSON_MAX);
    _cleanup_(close)
    int fd = keep_blob(from, to, d, err);
    int rc = fd < 0 ? fd : sl_read_fd(fd, SL_IMAGE_JSON_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    *ret = sl_json_parse("the image's manifest", sl_buf_str(&text), text.len, err);
    return *ret != NULL ? 0 : -SL_EINVAL;
}

static int digest_of(const json_t *descriptor, const char *what, struct sl_digest *ret,
                     struct sl_err *err)
{
    return sl_digest_parse(sl_json_str(descriptor, "digest", ""), ret)
               ? 0
               : sl_err_set(err, SL_EINVAL, "the image's %s has no sha256 digest", what);
}

/* ---- manifest and config -------------------------------------------------------------------------- */

static const char *architecture(struct utsname *u)
{
    if (uname(u) < 0) {
        return "unknown";
    }
    return sl_streq(u->machine, "x86_64")    ? "amd64"
           : sl_streq(u->machine, "aarch64") ? "arm64"
                                             : u->machine;
}

json_t *sl_image_record(const struct sl_digest *image, struct sl_digest *ret_digest)
{
    struct utsname u;
    char hex[SL_DIGEST_HEX + 1];
    json_t *record =
        json_pack("{s:s, s:b, s:s, s:s+}", "kind", "image", "reproducible", 1, "digest",
                  sl_digest_hex(image, hex), "platform", "linux/", architecture(&u));
    SL_ASSERT(record != NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    sl_sha256(text, strlen(text), ret_digest);
    return record;
}

/** An index names a manifest for each platform: the digest of this machine's. */
static int pick(const json_t *index, struct sl_digest *ret, struct sl_err *err)
{
    struct utsname u;
    const char *arch = architecture(&u);
    size_t i = 0;
    json_t *m = NULL;
    json_array_foreach (json_object_get(index, "manifests"), i, m) {
        const json_t *platform = json_object_get(m, "platform");
        if (sl_streq(sl_json_str(platform, "os", ""), "linux") &&
            sl_streq(sl_json_str(platform, "architecture", ""), arch)) {
            return digest_of(m, "manifest", ret, err);
        }
    }
    return sl_err_set(err, SL_ENOTFOUND, "the image is not made for linux/%s", arch);
}

static int read_manifest(int from, int to, const struct sl_digest *image, json_t **ret,
                         struct sl_err *err)
{
    json_t *m = NULL;
    struct sl_digest chosen;
    int rc = keep_json(from, to, image, &m, err);
    if (rc == 0 && json_object_get(m, "manifests") != NULL) {
        rc = pick(m, &chosen, err);
        json_decref(m);
        m = NULL;
        rc = rc < 0 ? rc : keep_json(from, to, &chosen, &m, err);
    }
    if (rc == 0 && json_array_size(json_object_get(m, "layers")) > SL_IMAGE_LAYERS_MAX) {
        rc = sl_err_set(err, SL_ELIMIT, "the image has more than %d layers", SL_IMAGE_LAYERS_MAX);
    }
    if (rc < 0) {
        json_decref(m);
        return rc;
    }
    *ret = m;
    return 0;
}

static int read_config(int from, int to, const json_t *manifest, json_t **ret, struct sl_err *err)
{
    struct sl_digest d;
    json_auto_t *config = NULL;
    int rc = digest_of(json_object_get(manifest, "config"), "config", &d, err);
    rc = rc < 0 ? rc : keep_json(from, to, &d, &config, err);
    if (rc < 0) {
        return rc;
    }
    const json_t *run = json_object_get(config, "config");
    json_t *env = json_object_get(run, "Env");
    *ret = json_pack("{s:o, s:s}", "env", json_is_array(env) ? json_incref(env) : json_array(),
                     "workdir", sl_json_str(run, "WorkingDir", ""));
    return 0;
}

/* ---- layers --------------------------------------------------------------------------------------- */

static int take(const struct sl_archive_entry *e, void *data, struct sl_err *err)
{
    return image_tree_add(data, e, err);
}

/** Whatever its name, an entry reaches nothing: it is judged when it is put into the tree. */
static int let_through(const struct sl_archive_entry *e, void *data, struct sl_err *err)
{
    (void)e;
    (void)data;
    (void)err;
    return 0;
}

static int take_layer(struct sl_blob_store *blobs, struct image_tree *tree, int fd,
                      struct sl_err *err)
{
    struct sl_blob_session *session = NULL;
    const struct sl_archive_ops ops = {.check = let_through, .done = take, .data = tree};
    image_tree_next_layer(tree);
    int rc = sl_blob_session_begin(blobs, &session, err);
    rc = rc < 0 ? rc : sl_archive_ingest(session, fd, NULL, &ops, err);
    rc = rc < 0 ? rc : sl_blob_session_commit(session, err);
    sl_blob_session_free(session);
    return rc;
}

static int take_layers(int from, int to, const json_t *manifest, struct sl_blob_store *blobs,
                       struct image_tree *tree, struct sl_err *err)
{
    size_t i = 0;
    json_t *layer = NULL;
    json_array_foreach (json_object_get(manifest, "layers"), i, layer) {
        struct sl_digest d;
        int rc = digest_of(layer, "layer", &d, err);
        if (rc < 0) {
            return rc;
        }
        _cleanup_(close)
        int fd = keep_blob(from, to, &d, err);
        rc = fd < 0 ? fd : take_layer(blobs, tree, fd, err);
        if (rc < 0) {
            return sl_err_wrap(err, "layer %zu", i + 1);
        }
        (void)printf("layer %zu of %zu\n", i + 1,
                     json_array_size(json_object_get(manifest, "layers")));
        (void)fflush(stdout);
    }
    return 0;
}

/** Files that the sandbox puts its own in the place of must be there. */
static int add_places(struct image_tree *tree, struct sl_blob_store *blobs, struct sl_err *err)
{
    static const char *const files[] = {"etc/hosts", "etc/resolv.conf"};
    struct sl_archive_entry e = {.type = SL_ARCHIVE_FILE, .mode = 0644};
    int rc = sl_blob_put_bytes(blobs, "", 0, &e.added.digest, err);
    for (size_t i = 0; rc == 0 && i < SL_LEN(files); i++) {
        e.path = files[i];
        rc = image_tree_add(tree, &e, err);
    }
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static int open_layout(const char *path, bool make, struct sl_err *err)
{
    int rc = make ? sl_mkdirs_at(AT_FDCWD, path, 0755, err) : 0;
    _cleanup_(close)
    int fd = rc < 0 ? rc : sl_opendir_at(AT_FDCWD, path, err);
    if (fd >= 0 && make) {
        rc = sl_mkdirs_at(fd, "blobs/sha256", 0755, err);
        rc = rc < 0 ? rc
                    : sl_publish_file_at(fd, "oci-layout", LAYOUT_FILE, strlen(LAYOUT_FILE), 0644,
                                         false, err);
    }
    return rc < 0 ? rc : sl_take_fd(fd);
}

static int write_root(struct sl_blob_store *blobs, const struct image_tree *tree, const char *root,
                      struct sl_err *err)
{
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = image_tree_manifest(tree, &m, err);
    rc = rc < 0 ? rc : sl_manifest_materialise(blobs, &m, AT_FDCWD, root, NULL, err);
    sl_manifest_release(&m);
    return rc;
}

int sl_image_unpack(const struct sl_image_unpack *u, json_t **ret_config, struct sl_err *err)
{
    struct sl_blob_store *blobs = NULL;
    json_auto_t *manifest = NULL;
    json_auto_t *config = NULL;
    struct image_tree *tree = image_tree_new();
    _cleanup_(free)
    char *store = sl_asprintf("%s/blobs", u->data);
    _cleanup_(close)
    int from = open_layout(u->layout, false, err);
    _cleanup_(close)
    int to = from < 0 ? from : open_layout(u->keep, true, err);
    int rc = to < 0 ? to : sl_blob_store_open(AT_FDCWD, store, &blobs, err);
    rc = rc < 0 ? rc : read_manifest(from, to, &u->image, &manifest, err);
    rc = rc < 0 ? rc : read_config(from, to, manifest, &config, err);
    rc = rc < 0 ? rc : take_layers(from, to, manifest, blobs, tree, err);
    rc = rc < 0 ? rc : add_places(tree, blobs, err);
    rc = rc < 0 ? rc : write_root(blobs, tree, u->root, err);
    image_tree_free(tree);
    sl_blob_store_close(blobs);
    if (rc == 0) {
        *ret_config = json_incref(config);
    }
    return rc;
}

/* Images: names, layers over layers, limits at and past. The rest is tests/integration/image_test.py. */
#include "core/base/base.h"

#include "pipelines/env/image.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/env/image_tree.h"
#include "tests/support/sl_test.h"

#define HEX "aebbb4d79cd14ada31ccb09af56fbe2d486251b5e04ef08dbd51c58ceb6d0059"

SL_TEST(env_image, parse__layouts_and_registries)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest d;
    char *dir = NULL;
    char hex[SL_DIGEST_HEX + 1];
    SL_CHECK_OK(sl_image_parse("oci:/srv/a@b/c@sha256:" HEX, &dir, &d, &err), err);
    SL_CHECK_EQ_STR(dir, "/srv/a@b/c");
    SL_CHECK_EQ_STR(sl_digest_hex(&d, hex), HEX);
    free(dir);
    SL_CHECK_ERR(sl_image_parse("python@sha256:" HEX, &dir, &d, &err), SL_EUNSUPPORTED, err,
                 "skopeo copy --preserve-digests docker://python@sha256:");
    SL_CHECK_ERR(sl_image_parse("oci:here@sha256:" HEX, &dir, &d, &err), SL_EUNSUPPORTED, err,
                 "oci:/DIR@sha256:");
    SL_CHECK_ERR(sl_image_parse("oci:/srv/c:latest", &dir, &d, &err), SL_EINVAL, err,
                 "NAME@sha256:");
}

static int add(struct image_tree *t, enum sl_archive_type type, const char *path,
               const char *target, struct sl_err *err)
{
    struct sl_archive_entry e = {.path = path, .target = target, .type = type, .mode = 0644};
    sl_sha256(path, strlen(path), &e.added.digest);
    return image_tree_add(t, &e, err);
}

/** "path>target path ..." of what is left, sorted by path. */
static void check_tree(const struct image_tree *t, const char *want)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_manifest m;
    struct sl_buf got = SL_BUF_INIT(65536);
    sl_manifest_init(&m);
    SL_CHECK_OK(image_tree_manifest(t, &m, &err), err);
    for (size_t i = 0; i < m.entries.n; i++) {
        const struct sl_manifest_entry *e = &m.entries.items[i];
        sl_buf_printf(&got, "%s%s%s%s", i > 0 ? " " : "", e->path, e->target != NULL ? ">" : "",
                      e->target != NULL         ? e->target
                      : e->type == SL_ENTRY_DIR ? "/"
                                                : "");
    }
    SL_CHECK_EQ_STR(sl_buf_str(&got), want);
    sl_buf_release(&got);
    sl_manifest_release(&m);
}

SL_TEST(env_image, tree__whiteouts__take_away_lower_layers_only)
{
    struct sl_err err = SL_ERR_INIT;
    struct image_tree *t = image_tree_new();
    image_tree_next_layer(t);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "a/one", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "a/two/deep", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "b/old", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_DIR, "empty", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "a/twofold", NULL, &err), err);
    image_tree_next_layer(t);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "a/.wh.two", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "b/new", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "b/.wh..wh..opq", NULL, &err), err); /* after its own */
    check_tree(t, "a/one a/twofold b/new empty/");
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, ".wh..wh..opq", NULL, &err), err);
    check_tree(t, "b/new");
    image_tree_free(t);
}

SL_TEST(env_image, tree__links__lead_where_they_lead_inside)
{
    struct sl_err err = SL_ERR_INIT;
    struct image_tree *t = image_tree_new();
    image_tree_next_layer(t);
    SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, "lib", "usr/lib", &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "lib/x.so", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, "etc/abs", "/usr/lib/x.so", &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, "etc/up", "../../../../etc/passwd", &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, "etc/near", "../usr/lib", &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "../../out", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "/etc/near/y.so", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_HARDLINK, "hard", "lib/x.so", &err), err);
    check_tree(t,
               "etc/abs>../usr/lib/x.so etc/near>../usr/lib etc/up>../etc/passwd hard lib>usr/lib "
               "out usr/lib/x.so usr/lib/y.so");
    SL_CHECK_ERR(add(t, SL_ARCHIVE_HARDLINK, "bad", "nowhere", &err), SL_EINVAL, err,
                 "no file of it");
    SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, "loop", "loop", &err), err);
    SL_CHECK_ERR(add(t, SL_ARCHIVE_FILE, "loop/x", NULL, &err), SL_EINVAL, err, "too many links");
    image_tree_free(t);
}

SL_TEST(env_image, tree__a_file_in_the_place_of_a_directory__takes_all_below)
{
    struct sl_err err = SL_ERR_INIT;
    struct image_tree *t = image_tree_new();
    image_tree_next_layer(t);
    SL_CHECK_OK(add(t, SL_ARCHIVE_DIR, "a", NULL, &err), err);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, "a/b", NULL, &err), err);
    image_tree_next_layer(t);
    SL_CHECK_OK(add(t, SL_ARCHIVE_HARDLINK, "a", "a/b", &err), err); /* to what it takes away */
    check_tree(t, "a");
    SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, "a", "c", &err), err);
    check_tree(t, "a>c");
    image_tree_free(t);
}

SL_TEST(env_image, limits__links_and_entries__at_and_past)
{
    struct sl_err err = SL_ERR_INIT;
    struct image_tree *t = image_tree_new();
    char path[64];
    char target[64];
    image_tree_next_layer(t);
    SL_CHECK_OK(add(t, SL_ARCHIVE_DIR, "end", NULL, &err), err);
    for (int i = 0; i <= SL_IMAGE_LINKS_MAX; i++) { /* l40 -> l39 -> ... -> l0 -> end */
        snprintf(path, sizeof(path), "l%d", i);
        snprintf(target, sizeof(target), "l%d", i - 1);
        SL_CHECK_OK(add(t, SL_ARCHIVE_SYMLINK, path, i == 0 ? "end" : target, &err), err);
    }
    snprintf(path, sizeof(path), "l%d/x", SL_IMAGE_LINKS_MAX - 1);
    SL_CHECK_OK(add(t, SL_ARCHIVE_FILE, path, NULL, &err), err);
    snprintf(path, sizeof(path), "l%d/y", SL_IMAGE_LINKS_MAX);
    SL_CHECK_ERR(add(t, SL_ARCHIVE_FILE, path, NULL, &err), SL_EINVAL, err, "too many links");
    image_tree_free(t);
    t = image_tree_new();
    for (int i = 0; i <= SL_IMAGE_ENTRIES_MAX; i++) {
        snprintf(path, sizeof(path), "f%d", i);
        int rc = add(t, SL_ARCHIVE_FILE, path, NULL, &err);
        SL_CHECK_MSG(rc == (i < SL_IMAGE_ENTRIES_MAX ? 0 : -SL_ELIMIT), "entry %d: %d", i, rc);
    }
    image_tree_free(t);
}

/** An image whose manifest names `n` layers that are not there. */
static int unpack(int n, struct sl_err *err)
{
    char *dir = sl_test_tmpdir();
    struct sl_buf text = SL_BUF_INIT(1 << 20);
    struct sl_image_unpack u = {.layout = dir, .data = dir};
    json_t *config = NULL;
    char hex[SL_DIGEST_HEX + 1];
    sl_buf_puts(&text, "{\"config\":{\"digest\":\"sha256:" HEX "\"},\"layers\":[");
    for (int i = 0; i < n; i++) {
        sl_buf_printf(&text, "%s{\"digest\":\"sha256:" HEX "\"}", i > 0 ? "," : "");
    }
    sl_buf_puts(&text, "]}");
    sl_sha256(sl_buf_str(&text), text.len, &u.image);
    char *blob = sl_asprintf("%s/blobs/sha256/%s", dir, sl_digest_hex(&u.image, hex));
    char *root = sl_test_path(dir, "root");
    char *keep = sl_test_path(dir, "keep");
    sl_test_write_text(blob, sl_buf_str(&text));
    u.root = root;
    u.keep = keep;
    int rc = sl_image_unpack(&u, &config, err);
    SL_CHECK(!sl_test_exists(root));
    sl_buf_release(&text);
    free(blob);
    free(root);
    free(keep);
    sl_test_rmdir(dir);
    return rc;
}

SL_TEST(env_image, limits__layers__at_and_past)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_ERR(unpack(SL_IMAGE_LAYERS_MAX, &err), SL_ENOTFOUND, err, HEX); /* its config */
    SL_CHECK_ERR(unpack(SL_IMAGE_LAYERS_MAX + 1, &err), SL_ELIMIT, err, "more than 200 layers");
}

/* Plans and arrays of fan-outs as content of the store. */
#include "core/base/base.h"

#include "pipelines/run/plan_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/fanout.h"
#include "pipelines/run/workspace.h"
#include "registry/ingest.h"
#include "tests/support/sl_test.h"

#define HEAD "apiVersion: sluice/v1\nkind: Pipeline\nname: p\n"

struct rig {
    char *dir;
    struct sl_blob_store *blobs;
    struct sl_arena arena;
    struct sl_diags diags;
};

static void rig_init(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    r->dir = sl_test_tmpdir();
    char *path = sl_test_path(r->dir, "blobs");
    SL_CHECK_OK(sl_blob_store_open(AT_FDCWD, path, &r->blobs, &err), err);
    free(path);
    sl_arena_init(&r->arena, 0);
    sl_diags_init(&r->diags, &r->arena);
}

static void rig_release(struct rig *r)
{
    sl_diags_release(&r->diags);
    sl_arena_release(&r->arena);
    sl_blob_store_close(r->blobs);
    sl_test_rmdir(r->dir);
}

static const struct sl_plan *plan_of(struct rig *r, const char *text)
{
    struct sl_spec_source source = {.file = "p.yml", .text = sl_str_c(text)};
    const struct sl_spec *spec = NULL;
    const struct sl_plan *plan = NULL;
    struct sl_param_value *params = NULL;
    SL_CHECK_EQ_INT(sl_spec_load(&source, &r->arena, &r->diags, &spec), 0);
    SL_CHECK_EQ_INT(sl_plan_params(spec, NULL, 0, &r->arena, &r->diags, &params), 0);
    SL_CHECK_EQ_INT(sl_plan_build(spec, params, &r->arena, &r->diags, &plan), 0);
    return plan;
}

SL_TEST(pipelines_run_plan_store, stored__is_the_canonical_plan_byte_for_byte)
{
    static const char *const texts[] = {
        HEAD "params: { z: { type: int, default: 1 } }\nsteps:\n"
             "  a: { run: x, matrix: { i: [1, 2, 3], j: [\"\xc3\xa9\", b] } }\n"
             "  b: { run: y, needs: a }\n",
        HEAD "steps: { only: { run: x } }\n"};
    for (size_t i = 0; i < SL_LEN(texts); i++) {
        struct rig r;
        struct sl_err err = SL_ERR_INIT;
        struct sl_digest stored, expected;
        rig_init(&r);
        const struct sl_plan *plan = plan_of(&r, texts[i]);
        json_auto_t *json = sl_plan_json(plan);
        _cleanup_(free)
        char *text = sl_json_canonical(json);
        sl_sha256(text, strlen(text), &expected);
        SL_CHECK_OK(sl_plan_store(r.blobs, plan, &stored, &err), err);
        SL_CHECK(sl_digest_eq(&stored, &expected));
        SL_CHECK(sl_blob_has(r.blobs, &stored));
        rig_release(&r);
    }
}

/** Stores a file as an output; returns the artifact that names it. */
static struct sl_artifact output_of(struct rig *r, const char *name, const char *text, size_t len)
{
    struct sl_artifact artifact = {.entity = SL_ENT_ARTIFACT, .name = ""};
    struct sl_manifest m;
    struct sl_err err = SL_ERR_INIT;
    _cleanup_(buf)
    struct sl_buf encoded = SL_BUF_INIT(1 << 20);
    char *file = sl_test_path(r->dir, name);
    sl_test_write(file, text, len);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_ingest_path(r->blobs, AT_FDCWD, file, NULL, &m, &err), err);
    SL_CHECK_OK(sl_manifest_encode(&m, &encoded, &err), err);
    SL_CHECK_OK(sl_blob_put_bytes(r->blobs, encoded.ptr, encoded.len, &artifact.digest, &err), err);
    sl_manifest_release(&m);
    free(file);
    return artifact;
}

SL_TEST(pipelines_run_fanout, array__is_read_once_and_kept)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_fanout_cache cache;
    const json_t *first = NULL, *second = NULL;
    rig_init(&r);
    sl_fanout_init(&cache);
    struct sl_artifact a = output_of(&r, "l.json", "[1, {\"x\": 2}]", 13);
    SL_CHECK_OK(sl_fanout_json(&cache, r.blobs, &a, &first, &err), err);
    SL_CHECK_EQ_UINT(json_array_size(first), 2);
    SL_CHECK_OK(sl_fanout_json(&cache, r.blobs, &a, &second, &err), err);
    SL_CHECK(first == second);
    sl_fanout_release(&cache);
    rig_release(&r);
}

SL_TEST(pipelines_run_fanout, what_is_no_small_json_file__says_why)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_fanout_cache cache;
    const json_t *json = NULL;
    rig_init(&r);
    sl_fanout_init(&cache);
    struct sl_artifact bad = output_of(&r, "bad.json", "[1,", 3);
    SL_CHECK_ERR(sl_fanout_json(&cache, r.blobs, &bad, &json, &err), SL_EINVAL, err, "bad.json:1:");
    size_t len = SL_FANOUT_BYTES_MAX;
    char *text = sl_calloc(len + 1, 1);
    memset(text, ' ', len + 1);
    memcpy(text, "[7]", 3);
    struct sl_artifact most = output_of(&r, "most.json", text, len);
    struct sl_artifact more = output_of(&r, "more.json", text, len + 1);
    free(text);
    SL_CHECK_OK(sl_fanout_json(&cache, r.blobs, &most, &json, &err), err);
    SL_CHECK_EQ_UINT(json_array_size(json), 1);
    SL_CHECK_ERR(sl_fanout_json(&cache, r.blobs, &more, &json, &err), SL_ELIMIT, err,
                 "it has 1048577 bytes; at most 1048576 can be read");
    sl_fanout_release(&cache);
    rig_release(&r);
}

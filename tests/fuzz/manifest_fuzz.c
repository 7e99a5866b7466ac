/**
 * Feeds bytes to the manifest, pointer, name and path readers. What is accepted must be written back
 * byte for byte: one content, one text.
 */
#include "core/base/base.h"

#include "tests/support/sl_fuzz.h"

#include <stdlib.h>

#include "registry/object/manifest.h"
#include "registry/object/name.h"
#include "registry/object/pointer.h"

static void try_manifest(const char *text, size_t size)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_manifest m;
    sl_manifest_init(&m);
    if (sl_manifest_decode(text, size, &m, &err) == 0) {
        struct sl_buf out = SL_BUF_INIT(size);
        SL_ASSERT(sl_manifest_encode(&m, &out, &err) == 0);
        SL_ASSERT(out.len == size && memcmp(out.ptr, text, size) == 0);
        for (size_t i = 0; i < m.entries.n; i++) {
            SL_ASSERT(sl_manifest_find(&m, m.entries.items[i].path) == &m.entries.items[i]);
        }
        int rc = sl_manifest_check_case(&m, &err);
        SL_ASSERT(rc == 0 || rc == -SL_EINVAL);
        sl_buf_release(&out);
    }
    sl_manifest_release(&m);
}

static void try_pointer(const char *text, size_t size)
{
    struct sl_digest digest;
    uint64_t bytes = 0;
    char again[SL_POINTER_MAX];
    if (sl_pointer_parse(text, size, &digest, &bytes, NULL) == 0) {
        SL_ASSERT(sl_pointer_format(&digest, bytes, again) == size);
        SL_ASSERT(memcmp(again, text, size) == 0);
    }
}

static void try_names(const char *text)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_ref_text ref;
    char encoded[SL_REF_MAX];
    char name[SL_NAME_MAX + 1];
    if (sl_name_check(text, &err) == 0) {
        SL_ASSERT(sl_name_decode(sl_name_encode(text, encoded), name));
        SL_ASSERT(sl_streq(name, text));
    }
    if (sl_name_decode(text, name)) {
        SL_ASSERT(sl_streq(sl_name_encode(name, encoded), text));
    }
    int rc = sl_ref_parse(text, &ref, &err);
    SL_ASSERT(rc <= 0);
    if (sl_path_check(text, &err) == 0) {
        SL_ASSERT(text[0] != '/' && text[0] != '\0');
        (void)sl_path_link_inside("a/b", text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    SL_ASSERT(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    try_manifest(text, size);
    try_pointer(text, size);
    try_names(text);
    free(text);
    return 0;
}

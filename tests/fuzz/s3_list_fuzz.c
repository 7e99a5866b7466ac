/* The reader of S3's lists of objects: any bytes give objects within their limits, or an error. */
#include "core/base/base.h"

#include <string.h>

#include "registry/source/s3_priv.h"
#include "tests/support/sl_fuzz.h"

static int take(const struct s3_object *o, void *data, struct sl_err *err)
{
    (void)data;
    (void)err;
    SL_ASSERT(o->key[0] != '\0' && strlen(o->key) <= S3_KEY_MAX);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_page page;
    struct sl_err err = SL_ERR_INIT;
    int rc = s3_page_read((const char *)data, size, take, NULL, &page, &err);
    SL_ASSERT(rc == 0 || (rc < 0 && err.code == -rc && err.msg[0] != '\0'));
    SL_ASSERT(rc != 0 || !page.truncated || page.next[0] != '\0');
    return 0;
}

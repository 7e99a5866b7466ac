/** Inside of the manifest codec. */
#ifndef SL_REGISTRY_MANIFEST_PRIV_H
#define SL_REGISTRY_MANIFEST_PRIV_H

#include "registry/object/manifest.h"

#define MANIFEST_FORMAT "sluice-manifest/1"

/** Writes sorted entries; needs no seal. */
int manifest_write(const struct sl_manifest *m, struct sl_buf *out, struct sl_err *err)
    SL_MUST_CHECK;

#endif

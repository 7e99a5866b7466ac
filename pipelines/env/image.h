/**
 * Images: an OCI layout on this machine becomes a tree that steps see as their root.
 *
 * An image is named by the digest of its manifest (or of an index of manifests, of which that of this machine's
 * platform is taken). Every blob is checked against its digest on the way. Source: OCI image-spec 1.1, image-layout
 * and layer (whiteouts).
 *
 * Thread: any. Blocks: yes. Must not: run anything of the image, follow a link of it, or reach a network.
 */
#ifndef SL_ENV_IMAGE_H
#define SL_ENV_IMAGE_H

#include "core/base/hash.h"
#include "core/base/json.h"

#define SL_IMAGE_LAYERS_MAX  200
#define SL_IMAGE_ENTRIES_MAX 400000 /* of all layers together */
#define SL_IMAGE_JSON_MAX    ((size_t)4 << 20)
#define SL_IMAGE_LINKS_MAX   40 /* links on the way to one path */

/**
 * Splits "oci:/srv/images/python@sha256:HEX" into directory and digest.
 *
 * @return 0; -SL_EUNSUPPORTED for a name in a registry, saying how to bring it here; -SL_EINVAL
 * Owner: caller frees *ret_dir.
 */
int sl_image_parse(const char *text, char **ret_dir, struct sl_digest *ret_digest,
                   struct sl_err *err) SL_MUST_CHECK;

/** The record of an image as an environment: {"kind":"image","reproducible":true,"digest","platform"}, and
 * its digest. New reference. */
json_t *sl_image_record(const struct sl_digest *image, struct sl_digest *ret_digest);

struct sl_image_unpack {
    const char *layout; /* directory of the OCI layout */
    struct sl_digest image;
    const char *data; /* the data directory: files of layers go through its content store */
    const char *root; /* directory to make */
    const char *keep; /* layout to make of what was used: enough to do the same again */
};
/**
 * Unpacks the image into `root`.
 *
 * @param ret_config  {"env":["NAME=value"...],"workdir":PATH}, new reference
 * @return 0; -SL_ENOTFOUND when the layout lacks a blob; -SL_ECORRUPT when one has another digest;
 *         -SL_EINVAL naming the entry of a layer that cannot be; -SL_ELIMIT; as the content store
 */
int sl_image_unpack(const struct sl_image_unpack *u, json_t **ret_config, struct sl_err *err)
    SL_MUST_CHECK;

#endif

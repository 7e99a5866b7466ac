/**
 * Names of versioned things: entity kinds, entity and alias names, references, paths inside a version.
 *
 * Pure: no clock, no I/O. Thread: any.
 */
#ifndef SL_REGISTRY_NAME_H
#define SL_REGISTRY_NAME_H

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/str.h"

#define SL_NAME_MAX        250  /* bytes of an entity or alias name */
#define SL_REF_PART_MAX    200  /* bytes of one component of an encoded name */
#define SL_REF_MAX         1100 /* bytes of a full git reference name with NUL */
#define SL_PATH_MAX_BYTES  4095 /* of a path inside a version */
#define SL_PATH_PART_MAX   240  /* bytes of one path component (leaves room for escaping) */
#define SL_PATH_DEPTH_MAX  128
#define SL_VERSION_HEX_MIN 8 /* shortest digest prefix that resolves */

enum sl_kind { SL_KIND_DATASET, SL_KIND_MODEL, SL_KIND_ARTIFACT, SL_KIND_COUNT };

/** "dataset", "model", "artifact". */
const char *sl_kind_name(enum sl_kind kind);
/** Accepts the long names and ds, art. False when unknown. */
bool sl_kind_parse(const char *text, enum sl_kind *ret);
/** "ds", "model", "art": as used in refs. */
const char *sl_kind_ref(enum sl_kind kind);

/** An entity name: 1..250 bytes of UTF-8 without "/", ":" or control characters (MLflow's rule).
 * @return 0 or -SL_EINVAL with the reason */
int sl_name_check(const char *name, struct sl_err *err);
/** An alias: 1..250 word characters and "-"; not "latest", not v<digits> in any case. */
int sl_alias_check(const char *alias, struct sl_err *err);

/** Percent-encodes a name for a git reference, reversibly: [A-Za-z0-9_-] and inner single dots stay;
 * parts over SL_REF_PART_MAX are split by "%/". `out` needs SL_REF_MAX bytes. Returns out. */
char *sl_name_encode(const char *name, char *out);
/** The reverse; false when `encoded` is not exactly what sl_name_encode gives. `out` needs
 * SL_NAME_MAX + 1 bytes. */
bool sl_name_decode(const char *encoded, char *out);

/** What a reference text selects. */
enum sl_select { SL_SELECT_LATEST, SL_SELECT_NUMBER, SL_SELECT_ALIAS, SL_SELECT_DIGEST };

struct sl_ref_text {
    char name[SL_NAME_MAX + 1];
    enum sl_select select;
    int64_t number;              /* SL_SELECT_NUMBER */
    char alias[SL_NAME_MAX + 1]; /* SL_SELECT_ALIAS */
    char hex[SL_DIGEST_HEX + 1]; /* SL_SELECT_DIGEST: 8..64 lowercase hex digits */
};

/** Splits "name", "name@vN", "name@latest", "name@alias", "name@sha256:HEX" at the last "@".
 * @return 0 or -SL_EINVAL */
int sl_ref_parse(const char *text, struct sl_ref_text *ret, struct sl_err *err) SL_MUST_CHECK;

/**
 * A path inside a version: relative, "/"-separated, UTF-8, no "." ".." or empty component, no control
 * characters, no component that git reads as ".git" (any case, trailing dots or blanks, git~1,
 * ignorable code points), within the SL_PATH_* limits.
 * @return 0, -SL_EINVAL, -SL_ELIMIT
 */
int sl_path_check(const char *path, struct sl_err *err);
/** Whether symlink `path` with `target` stays inside the version's root, by text alone. */
bool sl_path_link_inside(const char *path, const char *target);
/** Appends one component as it is stored in a git tree: .gitattributes, .gitmodules and .lfsconfig (any
 * case) and names starting "%2E" or "%25" get their first byte percent-encoded. */
void sl_path_part_encode(struct sl_buf *out, const char *part, size_t len);
/** The reverse of sl_path_part_encode. */
void sl_path_part_decode(struct sl_buf *out, const char *part, size_t len);

#endif

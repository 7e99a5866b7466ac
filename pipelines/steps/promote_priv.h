/**
 * Shared by the files of promotion: texts of holders.
 */
#ifndef SL_PROMOTE_PRIV_H
#define SL_PROMOTE_PRIV_H

#include "pipelines/steps/promote.h"

#define SL_HOLDER_DIGEST (7 + SL_DIGEST_HEX + 1)
#define SL_HOLDER_TEXT   64

const struct sl_env *sl_promote_env(const struct sl_promote_world *w);
/** Both point to the same content, or neither exists. */
bool sl_holder_same(const struct sl_alias_holder *a, const struct sl_alias_holder *b);
/** "v3", or "none". Returns out. */
const char *sl_holder_text(const struct sl_alias_holder *h, char out[SL_HOLDER_TEXT]);
/** "sha256:<hex>" in out, or NULL when there is no holder. */
const char *sl_holder_digest(const struct sl_alias_holder *h, char out[SL_HOLDER_DIGEST]);

#endif

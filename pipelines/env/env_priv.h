/** What the files of this room share. */
#ifndef SL_ENV_PRIV_H
#define SL_ENV_PRIV_H

#include "pipelines/env/env.h"

#define SL_ENV_FORMAT 1 /* of the marker */

/** The name of its directory. */
void sl_env_id(const struct sl_digest *digest, char out[SL_ENV_ID_HEX + 1]);
/** The marker of an environment; NULL when there is none that can be read. New reference. */
json_t *sl_env_marker_read(const char *data, const char *id);
/** Takes the lock of one environment: held while the descriptor is open.
 * @return descriptor; -SL_EBUSY unless `wait` */
int sl_env_lock(const char *data, const char *id, bool wait, struct sl_err *err) SL_MUST_CHECK;

/** Removes what is there, the marker first. Its lock is held. */
int sl_env_clear(const char *data, const char *id, struct sl_err *err) SL_MUST_CHECK;

#endif

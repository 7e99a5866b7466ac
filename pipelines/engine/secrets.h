/**
 * Values of secrets for what runs inside the engine: steps, and the delivery of messages.
 *
 * Thread: that of the connection. Must not: keep a value longer than the caller does.
 */
#ifndef SL_RUN_SECRETS_H
#define SL_RUN_SECRETS_H

#include "core/secret/secret.h"

/**
 * Decrypts one version, opening the master key for it (again, when that is rotated meanwhile).
 *
 * @param data_dirfd  the data directory
 * @param version     0: the current one
 * @return            0; -SL_ENOTFOUND naming the nearest secret; as sl_secret_key_open and sl_secret_get
 * Owner:             caller, sl_secret_value_release. Record the use with sl_secret_lease_add.
 */
int sl_ws_secret(int data_dirfd, struct sl_db *db, const char *name, int64_t version,
                 struct sl_secret_value *ret, struct sl_err *err) SL_MUST_CHECK;

#endif

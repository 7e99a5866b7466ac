/**
 * Who an actor is: opaque ids in the log, names in a table that can be erased.
 *
 * Thread: that of the connection.
 */
#include "core/base/base.h"

#include "core/audit/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/time.h"

int sl_audit_principal(struct sl_db *db, const char *kind, const char *name,
                       char out[SL_AUDIT_PRINCIPAL], struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    if (name[0] == '\0' || strlen(name) > SL_AUDIT_ID_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a principal's name has 1 to %d bytes", SL_AUDIT_ID_MAX);
    }
    _cleanup_(free)
    char *known = NULL;
    int rc = sl_db_get_text(db, &known, err, SL_SQL("SELECT id FROM principal WHERE name = ?"), "s",
                            name);
    if (rc == 0) {
        (void)snprintf(out, SL_AUDIT_PRINCIPAL, "%s", known);
        return 0;
    }
    if (rc != -SL_ENOTFOUND) {
        return rc;
    }
    char id[SL_ID_HEX + 1], made[SL_AUDIT_PRINCIPAL];
    (void)snprintf(made, sizeof(made), "p_%s", sl_id_new(NULL, id));
    rc = sl_db_exec(db, err, SL_SQL("INSERT INTO principal(id, kind, name) VALUES (?, ?, ?)"),
                    "sss", made, kind, name);
    if (rc == 0) {
        memcpy(out, made, sizeof(made));
    }
    return rc;
}

int sl_audit_principal_name(struct sl_db *db, const char *id, char **ret, struct sl_err *err)
{
    int rc =
        sl_db_get_text(db, ret, err, SL_SQL("SELECT name FROM principal WHERE id = ?"), "s", id);
    if (rc == -SL_ENOTFOUND) {
        *ret = sl_strdup(id);
        return 0;
    }
    return rc;
}

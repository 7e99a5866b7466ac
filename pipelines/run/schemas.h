/** Every room's tables, in the order in which they are created. */
#ifndef SL_SCHEMAS_H
#define SL_SCHEMAS_H

#include "core/db/db.h"

extern const struct sl_schema *const sl_schemas[];
extern const int sl_n_schemas;
extern const struct sl_schema sl_run_schema;     /* run, step, step_output, attempt, cache, fact */
extern const struct sl_schema sl_version_schema; /* version_intent */

#endif

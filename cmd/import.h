/** What data commands share: metadata options, access to sources, the progress of an import. Thread: main. */
#ifndef SL_CMD_IMPORT_H
#define SL_CMD_IMPORT_H

#include "cmd/cmd.h"
#include "pipelines/run/data_source.h"

/** Puts --owner, --source, --licence and --retention into the arguments of artifacts.commit. */
void sl_cmd_put_metadata(const struct sl_cmd *c, json_t *args);
/** Refuses early, before anything is read, what the project's policy would refuse at the end. */
int sl_cmd_check_metadata(struct sl_cmd *c, const struct sl_metadata *m, bool has_source);

/** Access by options and environment (AWS_*, proxies); `keys` is released by the caller. */
int sl_cmd_access(struct sl_cmd *c, struct sl_source_access *ret, struct sl_source_keys *keys);

/** "name@v3  new  2 files, 1.5 GiB  sha256:..." */
void sl_cmd_print_version(const json_t *answer);

struct sl_cmd_meter; /* a bar on a terminal, else a line now and then; on standard error */
struct sl_cmd_meter *sl_cmd_meter_new(struct sl_cmd *c, const char *what);
void sl_cmd_meter_tick(const struct sl_import_progress *p, void *meter); /* any thread */
void sl_cmd_meter_free(struct sl_cmd_meter *m);

#endif

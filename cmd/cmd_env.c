/* env: environments of steps. Thread: main. */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "cmd/load.h"
#include "cmd/table.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "pipelines/env/build.h"
#include "pipelines/run/workspace.h"

/* ---- the process of an environment step ------------------------------------------------------------ */

int sl_cmd_env_step(struct sl_cmd *c)
{
    const struct sl_env_build b = {.data = sl_cmd_opt(c, "data"),
                                   .record = sl_cmd_opt(c, "record"),
                                   .lock = sl_cmd_arg(c, 0),
                                   .python = sl_cmd_opt(c, "python"),
                                   .wheels_in = sl_cmd_opt(c, "wheels"),
                                   .wheels_out = sl_cmd_opt(c, "out"),
                                   .env = (const char *const *)(uintptr_t)environ};
    if (b.data == NULL || b.record == NULL || b.python == NULL || b.wheels_out == NULL) {
        (void)sl_err_set(&c->err, SL_EINVAL,
                         "env step is what an environment's step runs; people run 'sluice env "
                         "build'");
        return sl_cmd_fail(c);
    }
    return sl_env_build(&b, &c->err) < 0 ? sl_cmd_fail(c) : SL_EXIT_OK;
}

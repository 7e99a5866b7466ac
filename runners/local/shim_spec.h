/**
 * The spec that a shim reads: NUL-terminated "key=value" strings after a version line.
 *
 * Thread: any. Must not: know a key that runners/shim/spec.c does not.
 */
#ifndef SL_SHIM_SPEC_H
#define SL_SHIM_SPEC_H

#include "runners/local/cgroup.h"
#include "runners/sandbox/sandbox.h"

#define SL_SHIM_SPEC_MAX (2UL * 1024 * 1024) /* as the shim's own limit */

/** What the machine offers. */
struct sl_shim_world {
    const struct sl_cgroup_facts *cgroups;
    struct sl_sandbox *sandbox;
};

/** Writes the spec of a checked attempt into a sealed memory file, positioned at its start.
 * @return descriptor (CLOEXEC, caller closes), or -SL_EIO, -SL_ENOMEMORY, -SL_EREFUSED (sandbox) */
int sl_shim_spec_fd(const struct sl_attempt_spec *spec, const char *nonce,
                    const struct sl_shim_world *world, struct sl_err *err) SL_MUST_CHECK;

#endif

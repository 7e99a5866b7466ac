/**
 * Facts of the machine as recorded with every run, and the digest that names its `host` runtime.
 *
 * Thread: any. Blocks: yes (reads /proc and /var/lib/dpkg).
 */
#ifndef SL_FACTS_H
#define SL_FACTS_H

#include "core/base/hash.h"
#include "core/base/json.h"

/**
 * The runtime that steps of `runtime: host` run in:
 * {"kind":"host","reproducible":false,"os","arch","libc","interpreters":{PATH:sha256},"packages":sha256}
 * Its canonical form's SHA-256 is the runtime digest of cache keys. New reference.
 */
json_t *sl_facts_runtime(struct sl_digest *ret_digest);
/** Hardware and kernel: {"host","kernel","cpu","cpus","memory_bytes","boot_id"}. New reference. */
json_t *sl_facts_hardware(void);

#endif

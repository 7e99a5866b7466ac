/**
 * Building an environment: what the process of an `env:` step does.
 *
 *   1. takes the environment's lock, clears what a dead builder left
 *   2. makes the venv at its final place (paths inside are absolute)
 *   3. wheels: taken as they are from an earlier build, else fetched or built by pip with --require-hashes
 *   4. installs them, without index and dependencies; pip checks that nothing is missing
 *   5. makes everything read-only, syncs, writes the marker
 *
 * A death anywhere leaves no marker. pip's own configuration and environment are honoured: they say where
 * packages come from, hashes say what they are.
 *
 * Thread: main of a process of its own. Blocks: yes. Says what it does on standard output.
 */
#ifndef SL_ENV_BUILD_H
#define SL_ENV_BUILD_H

#include "pipelines/env/env.h"

#define SL_ENV_WHEELS_MAX 5000

struct sl_env_build {
    const char *data;   /* the data directory, absolute */
    const char *record; /* file that holds the record, canonical */
    const char *lock; /* the lock file; not read when `wheels_in` is given. Of an image: its name */
    const char *python; /* absolute path of the interpreter; of an image: NULL */
    const char
        *wheels_in; /* wheels (of an image: the layout) of an earlier build; NULL: fetch them */
    const char *wheels_out; /* directory to leave them in; made */
    const char *const *env; /* environment of pip and of the interpreter, NULL-terminated */
};

/** @return 0 (also when it is whole already); -SL_EFAILED when a program failed (it said why) */
int sl_env_build(const struct sl_env_build *b, struct sl_err *err) SL_MUST_CHECK;

#endif

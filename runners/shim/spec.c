/**
 * The spec's reader: NUL-terminated "key=value" strings after a version line, made by
 * runners/local/shim_spec.c.
 *
 * Thread: single. Must not: accept an unknown key or version (an old shim serves its own engine).
 */
#include "core/base/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define SPEC_VERSION "sluice-shim-spec 1"

static char *read_all(int fd, size_t *ret_len)
{
    char *buf = malloc(SHIM_SPEC_MAX + 1);
    size_t len = 0;
    while (buf != NULL && len <= SHIM_SPEC_MAX) {
        ssize_t n = read(fd, buf + len, SHIM_SPEC_MAX + 1 - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    if (buf == NULL || len == 0 || len > SHIM_SPEC_MAX || buf[len - 1] != '\0') {
        free(buf);
        return NULL;
    }
    *ret_len = len;
    return buf;
}

static bool add(char **list, size_t *n, size_t max, char *value)
{
    if (*n >= max) {
        return false;
    }
    list[(*n)++] = value;
    return true;
}

/* "FILE\nVALUE" */
static bool add_set(struct shim_spec *s, char *value, bool optional)
{
    char *newline = strchr(value, '\n');
    if (newline == NULL || s->n_set >= SHIM_CGSETS) {
        return false;
    }
    *newline = '\0';
    s->set[s->n_set].file = value;
    s->set[s->n_set].value = newline + 1;
    s->set[s->n_set].optional = optional;
    s->n_set++;
    return true;
}

/* The numbers that are stored as they come. */
static uint64_t *place_of(struct shim_spec *s, const char *key)
{
    return strcmp(key, "disk_bytes") == 0   ? &s->disk_bytes
           : strcmp(key, "tree_bytes") == 0 ? &s->tree_bytes
           : strcmp(key, "tree_pids") == 0  ? &s->tree_pids
           : strcmp(key, "pids") == 0       ? &s->pids
                                            : NULL;
}

static bool take_number(struct shim_spec *s, const char *key, const char *value)
{
    uint64_t v = 0;
    if (!shim_parse_u64(value, &v) || v > (uint64_t)INT64_MAX) {
        return false;
    }
    uint64_t *place = place_of(s, key);
    if (place != NULL) {
        *place = v;
    } else if (strcmp(key, "timeout_ms") == 0) {
        s->timeout_ms = (int64_t)v;
    } else if (strcmp(key, "stall_ms") == 0) {
        s->stall_ms = (int64_t)v;
    } else if (strcmp(key, "grace_ms") == 0) {
        s->grace_ms = (int64_t)v;
    } else if (strcmp(key, "log_bytes_max") == 0) {
        s->log_bytes_max = v;
    } else if (strcmp(key, "rlimit_data") == 0) {
        s->rlimit_data = v;
    } else if (strcmp(key, "umask") == 0) {
        s->umask = (mode_t)(v & 0777);
    } else if (strcmp(key, "durable") == 0) {
        s->durable = v != 0;
    } else {
        return false;
    }
    return true;
}

static bool take_pair(struct shim_spec *s, const char *key, char *value)
{
    if (strcmp(key, "arg") == 0) {
        return add(s->argv, &s->n_argv, SHIM_STRS_MAX, value);
    }
    if (strcmp(key, "env") == 0) {
        return add(s->env, &s->n_env, SHIM_STRS_MAX, value);
    }
    if (strcmp(key, "box") == 0) {
        return add(s->box, &s->n_box, SHIM_BOX_MAX, value);
    }
    if (strcmp(key, "box_filter") == 0) {
        s->box_filter = value;
        return shim_hex_decode(value, &s->box_filter_len);
    }
    if (strcmp(key, "nonce") == 0) {
        s->nonce = value;
    } else if (strcmp(key, "cwd") == 0) {
        s->cwd = value;
    } else if (strcmp(key, "cgroup_v2") == 0) {
        s->cgroup_v2 = value;
    } else if (strcmp(key, "cgroup_v1") == 0 && s->n_v1 < SHIM_CGROUPS) {
        s->cgroup_v1[s->n_v1++] = value;
    } else if (strcmp(key, "set") == 0 || strcmp(key, "try") == 0) {
        return add_set(s, value, key[0] == 't');
    } else if (strcmp(key, "oom_file") == 0) {
        s->oom_file = value;
    } else if (strcmp(key, "pids_file") == 0) {
        s->pids_file = value;
    } else if (strcmp(key, "checkpoint") == 0) {
        s->checkpoint = value;
    } else if (strcmp(key, "secret") == 0) {
        return shim_secret_add(value);
    } else if (strcmp(key, "secret_dir") == 0) {
        shim_secret_dir(value);
    } else {
        return take_number(s, key, value);
    }
    return true;
}

bool shim_spec_read(int fd, struct shim_spec *ret, char reason[SHIM_REASON_MAX])
{
    size_t len = 0;
    char *buf = read_all(fd, &len); /* lives as long as the process */
    if (buf == NULL || strcmp(buf, SPEC_VERSION) != 0) {
        (void)snprintf(reason, SHIM_REASON_MAX, "the shim was given no spec that it knows");
        return false;
    }
    char *next = NULL;
    for (char *p = buf + sizeof(SPEC_VERSION); p < buf + len; p = next) {
        next = p + strlen(p) + 1; /* before the string is cut up */
        char *value = strchr(p, '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        if (value == NULL || !take_pair(ret, p, value)) {
            (void)snprintf(reason, SHIM_REASON_MAX, "the shim cannot use '%.60s' of its spec", p);
            return false;
        }
    }
    if (ret->nonce == NULL || ret->cwd == NULL || ret->n_argv == 0) {
        (void)snprintf(reason, SHIM_REASON_MAX, "the shim's spec is not complete");
        return false;
    }
    return true;
}

/**
 * The sandbox's program around the step: bubblewrap with its orders in a memory file.
 *
 * The orders hold the step's environment, so that neither its values nor its loader variables
 * (LD_PRELOAD and the like) reach a process outside the sandbox: the program itself runs with an
 * empty environment. What it says of the step comes back through a second memory file.
 *
 * Thread: single. Must not: put a word of the environment on a command line.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define STATUS_BYTES 512

static struct {
    int orders_fd, status_fd, filter_fd;
    char orders_text[12], status_text[12], filter_text[12];
    char *argv[SHIM_STRS_MAX + 8];
} box = {.orders_fd = -1, .status_fd = -1, .filter_fd = -1};

static bool put_to(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        text += n;
        len -= (size_t)n;
    }
    return true;
}

static bool put(const char *text, size_t len)
{
    return put_to(box.orders_fd, text, len);
}

static bool put_word(const char *word)
{
    return put(word, strlen(word) + 1);
}

static bool put_variable(const char *entry)
{
    const char *equals = strchr(entry, '=');
    if (equals == NULL || equals == entry) {
        return true; /* no variable */
    }
    return put_word("--setenv") && put(entry, (size_t)(equals - entry)) && put("", 1) &&
           put_word(equals + 1);
}

static bool prepare_filter(const struct shim_spec *spec)
{
    if (spec->box_filter == NULL) {
        return true;
    }
    box.filter_fd = memfd_create("sluice-filter", MFD_CLOEXEC);
    (void)snprintf(box.filter_text, sizeof(box.filter_text), "%d", box.filter_fd);
    return box.filter_fd >= 0 && put_to(box.filter_fd, spec->box_filter, spec->box_filter_len) &&
           lseek(box.filter_fd, 0, SEEK_SET) == 0 && put_word("--seccomp") &&
           put_word(box.filter_text);
}

int shim_box_prepare(const struct shim_spec *spec)
{
    box.orders_fd = memfd_create("sluice-orders", MFD_CLOEXEC);
    box.status_fd = memfd_create("sluice-status", MFD_CLOEXEC);
    if (box.orders_fd < 0 || box.status_fd < 0) {
        return errno;
    }
    for (size_t i = 1; i < spec->n_box; i++) {
        if (!put_word(spec->box[i])) {
            return errno;
        }
    }
    for (size_t i = 0; i < spec->n_env; i++) {
        if (!put_variable(spec->env[i])) {
            return errno;
        }
    }
    if (!prepare_filter(spec) || lseek(box.orders_fd, 0, SEEK_SET) != 0) {
        return errno;
    }
    (void)snprintf(box.orders_text, sizeof(box.orders_text), "%d", box.orders_fd);
    (void)snprintf(box.status_text, sizeof(box.status_text), "%d", box.status_fd);
    static char args[] = "--args";
    static char status[] = "--json-status-fd";
    static char end[] = "--";
    size_t n = 0;
    box.argv[n++] = spec->box[0];
    box.argv[n++] = args;
    box.argv[n++] = box.orders_text;
    box.argv[n++] = status;
    box.argv[n++] = box.status_text;
    box.argv[n++] = end;
    for (size_t i = 0; i < spec->n_argv; i++) {
        box.argv[n++] = spec->argv[i];
    }
    return 0;
}

void shim_box_forget(void)
{
    if (box.orders_fd >= 0) {
        (void)close(
            box.orders_fd); /* the memory goes when the program has read and closed its own */
        box.orders_fd = -1;
    }
}

void shim_box_exec(void)
{
    static char *const no_env[] = {NULL};
    if (fcntl(box.orders_fd, F_SETFD, 0) == 0 && fcntl(box.status_fd, F_SETFD, 0) == 0 &&
        (box.filter_fd < 0 || fcntl(box.filter_fd, F_SETFD, 0) == 0)) {
        (void)execve(box.argv[0], box.argv, no_env);
    }
}

/* What the program reported: lines of JSON, of which two members matter. */
static bool read_status(char text[STATUS_BYTES])
{
    ssize_t n = box.status_fd >= 0 ? pread(box.status_fd, text, STATUS_BYTES - 1, 0) : -1;
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

pid_t shim_box_group(void)
{
    char text[STATUS_BYTES];
    const char *p = read_status(text) ? strstr(text, "\"child-pid\":") : NULL;
    long pid = p != NULL ? strtol(p + 12, NULL, 10) : 0;
    return pid > 1 && getpgid((pid_t)pid) == (pid_t)pid ? (pid_t)pid : 0;
}

bool shim_box_began(void)
{
    char text[STATUS_BYTES];
    return read_status(text) && strstr(text, "\"exit-code\":") != NULL;
}

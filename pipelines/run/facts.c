/* Reading the machine's facts: see facts.h. */
#include "core/base/base.h"

#include "pipelines/run/facts.h"

#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

#define FACT_FILE_MAX ((size_t)64 << 20)

static const char *const interpreters[] = {"/bin/sh", "/usr/bin/python3", "/usr/bin/Rscript"};

static void set_file_digest(json_t *into, const char *key, const char *path)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(FACT_FILE_MAX);
    _cleanup_(free)
    char *real = realpath(path, NULL);
    struct sl_digest d;
    char hex[SL_DIGEST_HEX + 1];
    if (real == NULL || sl_read_file_at(AT_FDCWD, real, FACT_FILE_MAX, &text, NULL) < 0) {
        return;
    }
    sl_sha256(sl_buf_str(&text), text.len, &d);
    sl_json_set_str(into, key, sl_digest_hex(&d, hex));
}

/** The value of KEY=value or "key : value" in a small text file; caller frees, NULL when absent. */
static char *line_value(const char *path, const char *key, char separator)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(1 << 20);
    if (sl_read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL) < 0) {
        return NULL;
    }
    const char *at = sl_buf_str(&text);
    size_t key_len = strlen(key);
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        const char *sep = memchr(at, separator, len);
        if (sep != NULL && len > key_len && strncmp(at, key, key_len) == 0) {
            sep += 1 + strspn(sep + 1, " \t\"");
            size_t rest = len - (size_t)(sep - at);
            while (rest > 0 && (sep[rest - 1] == '"' || sep[rest - 1] == ' ')) {
                rest--;
            }
            return sl_strndup(sep, rest);
        }
        at += len + (at[len] == '\n' ? 1 : 0);
    }
    return NULL;
}

json_t *sl_facts_runtime(struct sl_digest *ret_digest)
{
    struct utsname u;
    json_t *files = json_object();
    _cleanup_(free)
    char *os = line_value("/etc/os-release", "PRETTY_NAME", '=');
    for (size_t i = 0; i < SL_LEN(interpreters); i++) {
        set_file_digest(files, interpreters[i], interpreters[i]);
    }
    json_t *all =
        json_pack("{s:s, s:b, s:s, s:s, s:s, s:o}", "kind", "host", "reproducible", 0, "os",
                  os != NULL ? os : "unknown", "arch", uname(&u) == 0 ? u.machine : "unknown",
                  "libc", gnu_get_libc_version(), "interpreters", files);
    SL_ASSERT(all != NULL);
    set_file_digest(all, "packages", "/var/lib/dpkg/status");
    _cleanup_(free)
    char *text = sl_json_canonical(all);
    sl_sha256(text, strlen(text), ret_digest);
    return all;
}

json_t *sl_facts_hardware(void)
{
    struct utsname u;
    bool known = uname(&u) == 0;
    _cleanup_(free)
    char *cpu = line_value("/proc/cpuinfo", "model name", ':');
    _cleanup_(buf)
    struct sl_buf boot = SL_BUF_INIT(64);
    if (sl_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL) == 0 &&
        boot.len > 0) {
        boot.ptr[strcspn(boot.ptr, "\n")] = '\0';
    }
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "host", known ? u.nodename : "unknown",
                     "kernel", known ? u.release : "unknown", "cpu", cpu != NULL ? cpu : "unknown",
                     "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
                     (json_int_t)memory, "boot_id", sl_buf_str(&boot));
}

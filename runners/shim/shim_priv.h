/**
 * The shim's own parts. A static program without any library of ours: plain C and system calls.
 *
 * Thread: single. Must not: allocate after the start byte, touch files outside the attempt
 * directory and the cgroups named in its spec, or trust anything that the step can write.
 */
#ifndef SL_SHIM_PRIV_H
#define SL_SHIM_PRIV_H

#include <sys/types.h>

#include "core/base/base.h"
#include "core/base/mask.h"

#define SHIM_SPEC_FD    3 /* the spec, read whole before anything else */
#define SHIM_START_FD   4 /* start pipe: 'G' lets the step run, end of file means never */
#define SHIM_SPEC_MAX   (2UL * 1024 * 1024)
#define SHIM_STRS_MAX   4096    /* arguments; variables */
#define SHIM_CGROUPS    5       /* hierarchies joined */
#define SHIM_CGSETS     12      /* knobs written */
#define SHIM_LINE_MAX   65536UL /* content bytes of one log line; longer ones are cut into pieces */
#define SHIM_PREFIX     32      /* bytes before the content of a log line */
#define SHIM_FLUSH_MS   100     /* an unfinished line is written after this much silence */
#define SHIM_LINGER_MS  250     /* left-over processes may end by themselves after the step did */
#define SHIM_RECORD_MAX 4096    /* bytes of an exit record; reserved on disk before the step runs */
#define SHIM_REASON_MAX 300
#define SHIM_BOX_MAX    2048        /* words for the sandbox's program */
#define SHIM_DRAIN_MAX  (4UL << 20) /* bytes taken from a stream after nobody of the step is left */

enum shim_class { /* names in record.c are those of runners/runner.h */
                  SHIM_EXIT,
                  SHIM_SIGNAL,
                  SHIM_TIMEOUT,
                  SHIM_OOM,
                  SHIM_CANCELLED,
                  SHIM_EXEC_FAILED,
                  SHIM_NEVER_STARTED,
                  SHIM_INFRA,
                  SHIM_STALLED,
                  SHIM_DISK
};

/** What the spec said. Strings point into the spec's buffer. */
struct shim_spec {
    const char *nonce, *cwd;
    int64_t timeout_ms, grace_ms, stall_ms;
    uint64_t log_bytes_max;
    uint64_t rlimit_data;           /* 0: none */
    uint64_t disk_bytes;            /* 0: none */
    uint64_t tree_bytes, tree_pids; /* limits kept by counting, without a cgroup; 0: none */
    uint64_t pids;                  /* the limit in words */
    const char *checkpoint;         /* counts for disk_bytes; NULL: none */
    mode_t umask;
    bool durable;
    char *argv[SHIM_STRS_MAX + 1];
    char *env[SHIM_STRS_MAX + 1];
    size_t n_argv, n_env;
    const char *cgroup_v2;               /* directory; NULL: none */
    const char *cgroup_v1[SHIM_CGROUPS]; /* directories */
    size_t n_v1;
    struct {
        const char *file, *value;
        bool optional;
    } set[SHIM_CGSETS];
    size_t n_set;
    const char *oom_file;    /* memory.events or memory.oom_control; NULL: none */
    const char *pids_file;   /* pids.events; NULL: none */
    char *box[SHIM_BOX_MAX]; /* the sandbox's program and its options; none: no sandbox */
    size_t n_box;
    char *box_filter; /* the sandbox's filter of system calls; NULL: none */
    size_t box_filter_len;
};

/** How it went; what the exit record says. */
struct shim_result {
    enum shim_class class;
    int code, signal;
    bool oom;
    int64_t started_ms, ended_ms, user_us, system_us, maxrss_kb;
    uint64_t dropped;
    char reason[SHIM_REASON_MAX];
};

/* spec.c */
/** Reads and parses the spec. False with `reason` filled when it is not one. */
bool shim_spec_read(int fd, struct shim_spec *ret, char reason[SHIM_REASON_MAX]);

/* record.c */
/** Creates and reserves exit.tmp. 0 or an errno value. */
int shim_record_reserve(void);
void shim_record_discard(void);
/** Writes exit.tmp and renames it to exit. */
bool shim_record_publish(const struct shim_spec *spec, const struct shim_result *result);
/** Creates the marker `exec`; EEXIST when the attempt was begun before. */
int shim_mark_exec(const struct shim_spec *spec);
uint32_t shim_crc32(const void *data, size_t len);
size_t shim_record_format(char *out, size_t size, const char *nonce,
                          const struct shim_result *result);

/* cgroup.c */
/** Creates the cgroups and writes their knobs. False with `reason`; nothing is left then. */
bool shim_cgroup_create(const struct shim_spec *spec, char reason[SHIM_REASON_MAX]);
/** KILL to everything in the cgroups. */
void shim_cgroup_kill(const struct shim_spec *spec);
bool shim_cgroup_oom(const struct shim_spec *spec);
/** Whether a process was refused to the step for its limit of processes. */
bool shim_cgroup_pids_refused(const struct shim_spec *spec);
void shim_cgroup_remove(const struct shim_spec *spec);

/* sweep.c */
/** KILL to every descendant of this process, found through /proc and stopped first. */
void shim_sweep(void);
struct shim_tree {
    uint64_t tasks; /* processes and threads of all descendants */
    uint64_t bytes; /* their anonymous memory; what several share may count several times */
};
void shim_tree_measure(struct shim_tree *ret);
/** The bytes of the tree just measured, shared ones counted once; slow. */
uint64_t shim_tree_exact_bytes(void);

/* disk.c */
struct shim_disk {
    uint64_t bytes; /* allocated, and a little for each name */
    bool too_deep;  /* directories nested past what is walked */
};
/** Sums up the attempt directory and the checkpoint. */
void shim_disk_measure(const struct shim_spec *spec, struct shim_disk *ret);

/* watch.c: limits that only looking from time to time can keep */
/** Takes the measure of what is there before the step. */
void shim_watch_prepare(const struct shim_spec *spec);
/** The step begins. */
void shim_watch_begin(const struct shim_spec *spec);
/** When to look again, monotonic ms; INT64_MAX: never. */
int64_t shim_watch_due(void);
/** Looks. True when a limit is passed: class and reason are set in `result`. */
bool shim_watch_look(const struct shim_spec *spec, struct shim_result *result);
/** The last look, when nobody of the step is left: it may have passed its quota unseen. */
void shim_watch_end(const struct shim_spec *spec, struct shim_result *result);

/* box.c */
/** Makes the sandbox's orders, with the step's environment in them. 0 or an errno value. */
int shim_box_prepare(const struct shim_spec *spec);
/** The child has the orders: ours, with the step's secrets in them, go. */
void shim_box_forget(void);
/** In the child: becomes the sandbox's program. Returns only on failure. */
void shim_box_exec(void);
/** Process group of the step inside the sandbox; 0 while there is none. */
pid_t shim_box_group(void);
/** Whether the sandbox let the step begin. Once it has ended. */
bool shim_box_began(void);

/* secret.c */
/** Takes a secret of the spec: "e NAME HEX" for a variable, "f NAME HEX" for a file. False when it is none. */
bool shim_secret_add(char *value);
/** Where files of secrets are made; must not exist. */
void shim_secret_dir(const char *path);
/** Puts variables into the environment, makes files and the mask. False with `reason`; nothing is left then. */
bool shim_secret_prepare(struct shim_spec *spec, char reason[SHIM_REASON_MAX]);
/** The step has been executed: overwrites the values. */
void shim_secret_forget(void);
/** Removes the files. Again is fine. */
void shim_secret_remove(void);
/** What to look for in the log; NULL: nothing. */
const struct sl_mask *shim_secret_mask(void);

/* log.c */
enum shim_stream { SHIM_OUT, SHIM_ERR };
/** Opens the log. 0 or an errno value. */
int shim_log_open(uint64_t bytes_max);
void shim_log_discard(void);
/** Reads what is there. False once the stream has ended. */
bool shim_log_pump(enum shim_stream stream, int fd);
/** Writes unfinished lines out, as pieces; but not what may be the start of a secret. */
void shim_log_flush_partial(void);
/** Nothing more comes: writes out what is left. */
void shim_log_finish(void);
bool shim_log_has_partial(void);
/** Hands all that is gathered to the kernel. */
void shim_log_flush(void);
uint64_t shim_log_dropped(void);
/** Bytes that came from the step so far, dropped ones too. */
uint64_t shim_log_taken(void);

/* step.c */
struct shim_step {
    pid_t pid;
    int out_fd, err_fd; /* our ends, non-blocking */
    int error;          /* errno of the child before its exec; 0 when it was executed */
    const char *stage;  /* what failed then */
    bool infra;         /* our failure rather than the program's */
};
/** Starts the step in its own process group and cgroups; waits until it is executed or failed. */
void shim_step_start(const struct shim_spec *spec, struct shim_step *ret);

/* util.c */
int64_t shim_wall_us(void);
int64_t shim_mono_ms(void);
/** Whole file into `out` (NUL-terminated). Bytes read, or -1. */
ssize_t shim_read_file(const char *path, char *out, size_t size);
bool shim_write_file(const char *path, const char *text);
bool shim_parse_u64(const char *text, uint64_t *ret);
/** Hex to bytes, in place; what is left of the hex is overwritten. */
bool shim_hex_decode(char *hex, size_t *ret_len);

#endif

/* The system calls that a shut-in step has no use for: a program for --seccomp of bubblewrap.
 *
 * Nearly all of them need rights that the step lacks anyhow; what is refused here is the code behind them. Not
 * a list of what is allowed: that would break programs with every new C library. Sources: seccomp(2), and the
 * calls that container runtimes refuse by default. */
#include "core/base/base.h"

#include "runners/sandbox/sandbox_priv.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE      AUDIT_ARCH_X86_64
#define FOREIGN_NRS 0x40000000U /* the x32 calls, which have the same architecture */
#elif defined(__aarch64__)
#define NATIVE      AUDIT_ARCH_AARCH64
#define FOREIGN_NRS 0x80000000U
#else
#error "no filter of system calls for this machine: its audit architecture is missing"
#endif

static const int refused[] = {
    SYS_acct,          SYS_add_key,         SYS_adjtimex,      SYS_bpf,
    SYS_clock_adjtime, SYS_clock_settime,   SYS_delete_module, SYS_finit_module,
    SYS_fsconfig,      SYS_fsmount,         SYS_fsopen,        SYS_fspick,
    SYS_init_module,   SYS_kexec_file_load, SYS_kexec_load,    SYS_keyctl,
    SYS_mount,         SYS_mount_setattr,   SYS_move_mount,    SYS_open_by_handle_at,
    SYS_open_tree,     SYS_perf_event_open, SYS_pivot_root,    SYS_quotactl,
    SYS_reboot,        SYS_request_key,     SYS_setns,         SYS_settimeofday,
    SYS_swapoff,       SYS_swapon,          SYS_syslog,        SYS_umount2,
    SYS_userfaultfd,
};
/* Programs fall back where these are missing. */
static const int missing[] = {SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup};

static void put_insn(struct sl_buf *out, struct sock_filter insn)
{
    sl_buf_add(out, &insn, sizeof(insn));
}

static void answer_if(struct sl_buf *out, uint32_t nr, int error)
{
    put_insn(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                               SECCOMP_RET_ERRNO | ((uint32_t)error & 0xFFFFU)));
}

/* Sockets of a virtual machine to its host know no network namespace: they would be a way out. Last of all, for
 * it leaves the argument loaded. The low half comes first on the machines above. */
static void refuse_vsock(struct sl_buf *out)
{
    const uint32_t no_family = SECCOMP_RET_ERRNO | EAFNOSUPPORT;
    put_insn(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3));
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                               offsetof(struct seccomp_data, args)));
    put_insn(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_VSOCK, 0, 1));
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, no_family));
}

void sl_sandbox_filter(struct sl_buf *out)
{
    const uint32_t nosys = SECCOMP_RET_ERRNO | ENOSYS;
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                               offsetof(struct seccomp_data, arch)));
    put_insn(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, nosys));
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                               offsetof(struct seccomp_data, nr)));
    put_insn(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN_NRS, 0, 1));
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, nosys));
    for (size_t i = 0; i < SL_LEN(refused); i++) {
        answer_if(out, (uint32_t)refused[i], EPERM);
    }
    for (size_t i = 0; i < SL_LEN(missing); i++) {
        answer_if(out, (uint32_t)missing[i], ENOSYS);
    }
    refuse_vsock(out);
    put_insn(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    SL_ASSERT(!out->overflow);
}

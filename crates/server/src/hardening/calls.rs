//! Seccomp: the system calls that the process may make from now on.
//!
//! An allow list: what a server of ours does once it serves is little, and what an intruder would do is not known. What is
//! on it is allowed; the list was taken from traces of the conformance suite and completed with what glibc and musl use in
//! the same places on both processors. Three answers:
//!
//! - **Allowed**, some with conditions on their arguments: no executable memory, no process but threads, no signal to others,
//!   no new limits, and of ioctl(2) and prctl(2) what the libraries need.
//! - **The process is killed** for calls that belong to an intruder and that no library would try by itself: to run a
//!   program, to look into other processes, to mount, to change user, to load code into the kernel. Whoever makes one is not us;
//!   what was acknowledged is durable, and systemd starts the service anew. The kernel's audit log names the call.
//! - **ENOSYS** for everything else, as from an older kernel. C libraries try new calls and fall back to older ones on that
//!   answer (clone3, for one); with EPERM they would give up. So a library or kernel that is newer than the list costs a
//!   fallback, not the service.
//!
//! Sockets may be accepted, not made: the process cannot listen anew or connect to anything.
//!
//! The kernel keeps, for each call that is allowed whatever its arguments, that it is (since Linux 5.11), and does not run the
//! filter for those: reading, writing, syncing and waiting are among them.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    #[error("the kernel does not take the filter of system calls")]
    Apply(#[source] seccompiler::Error),
    #[error("the filter of system calls is wrong")]
    Build(#[from] BackendError),
}

impl CallsError {
    /// Not built into the kernel: seccomp(2) is unknown, or refuses filters as such.
    pub(crate) fn is_unsupported(&self) -> bool {
        let Self::Apply(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error)) = self else {
            return false;
        };
        matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
    }
}

/// Allowed whatever the arguments.
const ALLOWED: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mkdirat,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older calls that only the older processor has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
/// What rename(3) is there: renameat, for which libc has no name on every C library.
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[38];

/// The process is killed.
const DEADLY: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_capset,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// prctl(2): the name of a thread, and of mappings, which the allocator gives; whether dumps are made.
const PRCTL_OPTIONS: [u64; 4] = [15, 16, 3, 0x5356_4d41];
/// ioctl(2): FIONBIO, FIONREAD, FIOCLEX, and TCGETS and TIOCGWINSZ, which ask whether there is a terminal.
const IOCTL_REQUESTS: [u64; 5] = [0x5421, 0x541b, 0x5451, 0x5401, 0x5413];

/// Lays the filter on all threads, for ever.
pub(crate) fn confine_calls() -> Result<(), CallsError> {
    let processor = TargetArch::try_from(std::env::consts::ARCH)?;
    let not_known = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or_default());
    let allow = SeccompFilter::new(allowed()?, not_known, SeccompAction::Allow, processor)?;
    let deadly = DEADLY.iter().map(|call| (*call, Vec::new())).collect();
    let kill = SeccompFilter::new(deadly, SeccompAction::Allow, SeccompAction::KillProcess, processor)?;
    // Of several filters the severest answer counts (seccomp(2)).
    for filter in [kill, allow] {
        let program: seccompiler::BpfProgram = filter.try_into()?;
        apply_filter_all_threads(&program).map_err(CallsError::Apply)?;
    }
    Ok(())
}

fn allowed() -> Result<Rules, BackendError> {
    let mut rules: Rules = ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    let executable = number(libc::PROT_EXEC);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![when(2, SeccompCmpOp::MaskedEq(executable), 0)?]);
    }
    // Threads; clone3, whose flags a filter cannot see, is not known.
    let thread = number(libc::CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    // For abort(3).
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, own)?]);
    // A thread says of itself how it ranks among the others.
    let own_thread = [condition(0, SeccompCmpOp::Eq, 0)?, condition(1, SeccompCmpOp::Eq, 0)?];
    rules.insert(libc::SYS_setpriority, vec![SeccompRule::new(own_thread.to_vec())?]);
    // Limits are read, not set.
    rules.insert(libc::SYS_prlimit64, vec![pointer_is_null(2)?]);
    // The pipe that signals wake the runtime through.
    rules.insert(libc::SYS_socketpair, vec![when(0, SeccompCmpOp::Eq, number(libc::AF_UNIX))?]);
    rules.insert(libc::SYS_ioctl, any_of(1, &IOCTL_REQUESTS)?);
    rules.insert(libc::SYS_prctl, any_of(0, &PRCTL_OPTIONS)?);
    Ok(rules)
}

fn any_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    values.iter().map(|value| when(argument, SeccompCmpOp::Eq, *value)).collect()
}

/// The kernel reads these arguments as 32 bits.
fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(argument, operator, value)?])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn pointer_is_null(argument: u8) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    SeccompRule::new(vec![condition])
}

/// The constants of libc are signed, and none is negative.
fn number(constant: libc::c_int) -> u64 {
    u64::try_from(constant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_deadly_or_listed_twice() {
        let allowed: Vec<c_long> = allowed().unwrap().into_keys().collect();
        let mut all: Vec<c_long> = allowed.iter().chain(DEADLY).copied().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), allowed.len() + DEADLY.len());
        assert_eq!(allowed.len(), ALLOWED.len() + ALLOWED_HERE.len() + 9);
    }

    /// None of these may slip into the list with a later change.
    #[test]
    fn what_makes_sockets_processes_and_signals_is_not_allowed() {
        let allowed = allowed().unwrap();
        for call in [
            libc::SYS_bind,
            libc::SYS_clone3,
            libc::SYS_connect,
            libc::SYS_io_uring_setup,
            libc::SYS_kill,
            libc::SYS_listen,
            libc::SYS_memfd_create,
            libc::SYS_pkey_mprotect,
            libc::SYS_socket,
            libc::SYS_symlinkat,
        ] {
            assert!(!allowed.contains_key(&call), "{call}");
        }
        for call in [
            libc::SYS_mmap,
            libc::SYS_mprotect,
            libc::SYS_clone,
            libc::SYS_tgkill,
            libc::SYS_prctl,
            libc::SYS_setpriority,
        ] {
            assert!(!allowed[&call].is_empty(), "{call}");
        }
    }
}

//! What the process asks of the kernel: before it holds a key, no core dumps and no tracing by others; before it serves, no
//! rights that serving does not need.
//!
//! The parts, in the order in which a server goes through them ([`Footing`](crate::footing::Footing)): memory that is locked,
//! another user without capabilities, Landlock for files and ports, seccomp for system calls. What each stops, and what not,
//! is in `docs/security.md`.

mod calls;
mod files;
mod memory;
mod privileges;

use std::fs;
use std::path::Path;

use landlock::RulesetError;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

pub use calls::CallsError;
pub(crate) use files::Reach;
pub(crate) use memory::{LockedMemory, lock_memory};
pub use privileges::PrivilegesError;
pub(crate) use privileges::{Account, Standing, shed};

use crate::config::{HardeningConfig, Layer};
use calls::confine_calls;
use files::{Enforced, confine_files};

/// Descriptors beside those of connections: the database, journal segments, listeners, reactors, standard streams.
const OTHER_FILES: u64 = 512;

#[derive(Debug, thiserror::Error)]
pub enum HardeningError {
    #[error("cannot turn core dumps off")]
    CoreDumps(#[source] Errno),
    #[error("cannot make the process non-dumpable")]
    Dumpable(#[source] Errno),
}

/// Turns core dumps off and makes the process non-dumpable, which also keeps other processes of the same user from
/// attaching to it or reading its memory. To be called before any key is loaded; an error is a reason not to start.
///
/// Both are needed: where the kernel pipes dumps to a program (`core_pattern` begins with `|`), it does not look at
/// the size limit (core(5)).
pub fn harden() -> Result<(), HardeningError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(HardeningError::CoreDumps)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardeningError::Dumpable)
}

/// Why the process could not be confined. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("cannot confine system calls; without, start with `seccomp = \"off\"` in `[hardening]`")]
    Calls(#[from] CallsError),
    #[error("cannot confine files; without, start with `landlock = \"off\"` in `[hardening]`")]
    Files(#[from] RulesetError),
    #[error(
        "this kernel has no Landlock, and `landlock = \"required\"` in `[hardening]` asks for it: Linux 5.13 has it, where \
         it is among the active security modules (`lsm=`)"
    )]
    NoLandlock,
    #[error(
        "this kernel has no seccomp filters, and `seccomp = \"required\"` in `[hardening]` asks for them"
    )]
    NoSeccomp,
    /// Somebody has loaded a library into the process that begins with a thread of its own.
    #[error(
        "{count} threads run already, and could not be confined: is a library preloaded that starts them?"
    )]
    Threads { count: usize },
}

/// What confines the process, in words for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confinement {
    pub(crate) files: &'static str,
    pub(crate) calls: &'static str,
    /// All that was asked for is there.
    pub(crate) is_whole: bool,
}

/// Confines this thread and those that it starts, as the configuration says. There must be no other yet.
pub(crate) fn confine(config: &HardeningConfig, reach: &Reach) -> Result<Confinement, ConfineError> {
    let count = threads();
    if count > 1 {
        return Err(ConfineError::Threads { count });
    }
    let files = match config.landlock {
        Layer::Off => None,
        Layer::IfAvailable => Some(confine_files(reach)?),
        Layer::Required => match confine_files(reach)? {
            Enforced::Nothing => return Err(ConfineError::NoLandlock),
            enforced => Some(enforced),
        },
    };
    let calls = match config.seccomp {
        Layer::Off => None,
        Layer::IfAvailable | Layer::Required => match confine_calls() {
            Ok(()) => Some(true),
            Err(error) if error.is_unsupported() && config.seccomp == Layer::Required => {
                return Err(ConfineError::NoSeccomp);
            }
            Err(error) if error.is_unsupported() => Some(false),
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Confinement {
        files: match files {
            None => "off",
            Some(Enforced::Nothing) => "not in this kernel",
            Some(Enforced::Partly) => "in force as far as this kernel knows it",
            Some(Enforced::Wholly) => "in force",
        },
        calls: match calls {
            None => "off",
            Some(false) => "not in this kernel",
            Some(true) => "in force",
        },
        is_whole: matches!(files, None | Some(Enforced::Wholly)) && calls != Some(false),
    })
}

/// Threads of this process; one where /proc is not there to tell.
fn threads() -> usize {
    fs::read_dir(Path::new("/proc/self/task")).map_or(1, Iterator::count)
}

/// Raises the soft limit of open files so that `connections_max` fit, as far as the hard limit allows, and returns how
/// many connections do fit. Soft limits are commonly 1024, for the sake of programs that use select(2).
///
/// More must not be let in than fit: strangers who hold the last descriptors would keep the journal from opening its
/// next file, and then nobody is answered.
pub fn raise_open_files(connections_max: usize) -> usize {
    let needed = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    // `None` is "unlimited".
    if limit.current.is_none_or(|current| current >= needed) {
        return connections_max;
    }
    let granted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit { current: Some(granted), maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => granted,
        Err(_) => limit.current.unwrap_or(granted),
    };
    if files >= needed {
        return connections_max;
    }
    let fitting = connections_that_fit(files);
    tracing::warn!(
        needed,
        hard_limit = limit.maximum,
        connections_max = fitting,
        "the limit of open files is too low for `connections_max`, which is lowered; raise it (LimitNOFILE= in systemd)"
    );
    fitting
}

/// All but what the rest of the process needs; where that would leave little, half.
fn connections_that_fit(files: u64) -> usize {
    let fitting = files.saturating_sub(OTHER_FILES).max(files / 2).min(files);
    usize::try_from(fitting).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod confinement;

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_hardened_process_cannot_be_dumped() {
        harden().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }

    #[test]
    fn open_files_are_raised_but_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        assert!(raise_open_files(usize::MAX) < usize::MAX);
        let raised = getrlimit(Resource::Nofile);
        assert_eq!(raised.current, before.maximum);
        assert_eq!(raise_open_files(7), 7);
        assert_eq!(getrlimit(Resource::Nofile), raised);
    }

    #[test]
    fn connections_leave_descriptors_to_the_rest() {
        assert_eq!(connections_that_fit(20_000), 20_000 - 512);
        assert_eq!(connections_that_fit(700), 350);
        assert_eq!(connections_that_fit(0), 0);
    }
}

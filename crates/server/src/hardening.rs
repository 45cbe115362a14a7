//! What the process asks of the kernel before it holds a key: no core dumps, no tracing by others, enough descriptors.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

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

/// Raises the soft limit of open files so that `connections_max` fit, as far as the hard limit allows, and warns where
/// it does not. Soft limits are commonly 1024, for the sake of programs that use select(2).
pub fn raise_open_files(connections_max: usize) {
    let needed = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    // `None` is "unlimited".
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let granted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit { current: Some(granted), maximum: limit.maximum };
    let outcome = setrlimit(Resource::Nofile, raised);
    if outcome.is_err() || granted < needed {
        tracing::warn!(
            needed,
            hard_limit = limit.maximum,
            "the limit of open files is too low for `connections_max`; raise it (LimitNOFILE= in systemd) or lower \
             `connections_max`"
        );
    }
}

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
        raise_open_files(usize::MAX);
        let raised = getrlimit(Resource::Nofile);
        assert_eq!(raised.current, before.maximum);
        raise_open_files(0);
        assert_eq!(getrlimit(Resource::Nofile), raised);
    }
}

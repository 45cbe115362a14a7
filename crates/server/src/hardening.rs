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

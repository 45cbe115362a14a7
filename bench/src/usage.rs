//! What a process has used, from proc(5).

use std::fs;
use std::time::Duration;

use crate::error::{BenchError, io_error};

/// `USER_HZ`: proc counts in hundredths of a second on every architecture that Rust runs on. Linux keeps the sum of
/// both times exactly and rounds only what it shows, so over two seconds this is good to one part in a hundred.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of all threads, alive or ended, in user and kernel mode.
pub(crate) fn processor_time(pid: u32) -> Result<Duration, BenchError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(io_error("read a process's times"))?;
    Ok(TICK * ticks(&stat).unwrap_or_default())
}

/// Fields 14 and 15 of proc_pid_stat(5). The second is a name in parentheses that may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Memory of the process that is in RAM, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<u64, BenchError> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).map_err(io_error("read a process's memory"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_confuse_the_fields() {
        assert_eq!(ticks("1 (a) S 1"), None);
        let stat = "7 (a) 1 (b) S 1 2 3 4 5 6 7 8 9 10 1000 234 0 0 20 0";
        assert_eq!(ticks(stat), Some(1234));
    }

    #[test]
    fn this_process_occupies_memory() {
        assert!(resident_kib(std::process::id()).unwrap() > 100);
        assert!(processor_time(std::process::id()).is_ok());
        assert!(processor_time(u32::MAX).is_err());
    }
}

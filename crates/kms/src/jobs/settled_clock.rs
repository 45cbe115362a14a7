//! The time that the clock has shown for an hour.
//!
//! A date that is past on the clock is not always past: the clock may have been set forward, or be wrong since the machine
//! started. So what destroys something asks for the *settled* time: the earliest time that the wall clock has shown at any
//! look during the last hour of uptime. A jump forward settles an hour later, and not at all if it is taken back meanwhile. A
//! process that has not been up for an hour has no settled time; a restart begins the hour anew.

use std::collections::VecDeque;
use std::time::Duration;

use strongroom_types::{Monotonic, Timestamp, limits};

const WINDOW: Duration = Duration::from_secs(limits::DESTRUCTION_UPTIME_SECS);
/// Looks that are closer together are kept as one, which bounds how many are kept.
const APART: Duration = Duration::from_secs(30);

/// What the clock showed at each look of the last hour, and at the last one before it.
#[derive(Debug, Default)]
pub(super) struct SettledClock {
    looks: VecDeque<Look>,
}

#[derive(Debug)]
struct Look {
    at: Monotonic,
    /// The earliest time shown from here to the next look.
    shown: Timestamp,
}

impl SettledClock {
    /// Takes a look and says the settled time, if there is one.
    pub(super) fn observe(&mut self, now: Timestamp, at: Monotonic) -> Option<Timestamp> {
        match self.looks.back_mut() {
            Some(last) if last.at.until(at) < APART => last.shown = last.shown.min(now),
            _ => self.looks.push_back(Look { at, shown: now }),
        }
        // The oldest look stays as long as the second oldest is not old enough to stand for the hour's beginning.
        while self.looks.get(1).is_some_and(|second| second.at.until(at) >= WINDOW) {
            self.looks.pop_front();
        }
        let has_settled = self.looks.front().is_some_and(|first| first.at.until(at) >= WINDOW);
        let earliest = self.looks.iter().map(|look| look.shown).min();
        earliest.filter(|_| has_settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// Looks once a minute from `from` to `to` minutes of uptime; the clock is `ahead` of what it should show.
    fn look(clock: &mut SettledClock, from: u64, to: u64, ahead: Duration) -> Option<Timestamp> {
        let mut settled = None;
        for minute in from..=to {
            let passed = MINUTE * u32::try_from(minute).unwrap();
            let at = Monotonic::from_nanos(u64::try_from(passed.as_nanos()).unwrap());
            settled = clock.observe(START.saturating_add(passed).saturating_add(ahead), at);
        }
        settled
    }

    fn minutes(minutes: u32) -> Timestamp {
        START.saturating_add(MINUTE * minutes)
    }

    #[test]
    fn nothing_is_settled_in_the_first_hour() {
        let mut clock = SettledClock::default();
        assert_eq!(look(&mut clock, 0, 59, Duration::ZERO), None);
        assert_eq!(look(&mut clock, 60, 60, Duration::ZERO), Some(START));
        assert_eq!(look(&mut clock, 61, 600, Duration::ZERO), Some(minutes(540)));
    }

    #[test]
    fn a_jump_forward_settles_after_an_hour() {
        let mut clock = SettledClock::default();
        look(&mut clock, 0, 99, Duration::ZERO);
        let year = Duration::from_secs(365 * 86_400);
        assert_eq!(look(&mut clock, 100, 159, year), Some(minutes(99)));
        assert_eq!(look(&mut clock, 160, 160, year), Some(minutes(100).saturating_add(year)));
    }

    #[test]
    fn a_jump_that_is_taken_back_never_settles() {
        let mut clock = SettledClock::default();
        let year = Duration::from_secs(365 * 86_400);
        look(&mut clock, 0, 58, year);
        look(&mut clock, 59, 59, Duration::ZERO);
        // The clock goes forward again; what it showed between counts for an hour.
        assert_eq!(look(&mut clock, 60, 118, year), Some(minutes(59)));
    }

    #[test]
    fn looks_are_bounded_and_the_earliest_time_is_kept() {
        let mut clock = SettledClock::default();
        for second in 0..20_000_u64 {
            let late = if second == 17_001 { 500 } else { 0 };
            let now = START.saturating_add(Duration::from_secs(second - late));
            clock.observe(now, Monotonic::from_nanos(second * 1_000_000_000));
            assert!(clock.looks.len() <= 122, "{}", clock.looks.len());
        }
        let end = Monotonic::from_nanos(20_000 * 1_000_000_000);
        let settled = clock.observe(START.saturating_add(Duration::from_secs(20_000)), end);
        assert!(settled.unwrap() <= START.saturating_add(Duration::from_secs(16_400)));
    }

    #[test]
    fn a_pause_of_hours_between_two_looks_settles_what_was_shown_before_it() {
        let mut clock = SettledClock::default();
        look(&mut clock, 0, 0, Duration::ZERO);
        assert_eq!(look(&mut clock, 300, 300, Duration::ZERO), Some(START));
    }
}

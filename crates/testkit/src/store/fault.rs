//! Which call fails, when and how.

use crate::random::SeededRandom;

/// A call of the store that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    CommitGroup,
    Get,
    IntegrityCheck,
    Revision,
    Scan,
    TruncateLog,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every batch of the group that has a precondition conflicts, as if somebody else had been faster. Other calls fail.
    Conflict,
    /// The process dies after the group was synced and before the answer: the group survives, and every later call on
    /// this store fails. Other calls: the process dies.
    CrashAfterSync,
    /// The process dies before the group was synced: nothing of the group survives.
    CrashBeforeSync,
    /// The call fails and changes nothing.
    Fail,
    /// The outcome of the commit is not told; it was applied. Other calls fail.
    UnknownApplied,
    /// The outcome of the commit is not told; it was not applied. Other calls fail.
    UnknownDropped,
    /// The outcome of the commit is not told and not decided yet: the next calls are refused, and then it is applied,
    /// unless the process dies before. Other calls fail.
    UnknownLate,
}

/// How often calls fail of themselves, in a thousand. Those on commits alone are all but the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultRates {
    pub fail_per_mille: u16,
    /// Crashes in commits; half of them before the sync.
    pub crash_per_mille: u16,
    /// Half of the unknown outcomes were applied.
    pub unknown_per_mille: u16,
    /// Unknown outcomes that are decided late.
    pub late_per_mille: u16,
    pub conflict_per_mille: u16,
}

/// What is to fail in the life of one store.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    ordered: Vec<Ordered>,
    drawn: Option<(SeededRandom, FaultRates)>,
}

#[derive(Debug)]
struct Ordered {
    /// Any call, if `None`.
    call: Option<Call>,
    skipped: u64,
    fault: Fault,
}

impl FaultPlan {
    pub(super) fn order(&mut self, call: Option<Call>, skipped: u64, fault: Fault) {
        self.ordered.push(Ordered { call, skipped, fault });
    }

    pub(super) fn draw(&mut self, seed: u64, rates: FaultRates) {
        self.drawn = Some((SeededRandom::new(seed), rates));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What becomes of this call. What was ordered comes before what is drawn.
    pub(super) fn next(&mut self, call: Call) -> Option<Fault> {
        let mut due = None;
        for (at, ordered) in self.ordered.iter_mut().enumerate() {
            if ordered.call.is_some_and(|wanted| wanted != call) {
                continue;
            }
            if ordered.skipped > 0 {
                ordered.skipped -= 1;
            } else if due.is_none() {
                due = Some(at);
            }
        }
        if let Some(at) = due {
            return Some(self.ordered.remove(at).fault);
        }
        self.drawn.as_mut().and_then(|(random, rates)| drawn(random, *rates, call))
    }
}

fn drawn(random: &mut SeededRandom, rates: FaultRates, call: Call) -> Option<Fault> {
    if random.chance(rates.fail_per_mille) {
        return Some(Fault::Fail);
    }
    if call != Call::CommitGroup {
        return None;
    }
    if random.chance(rates.crash_per_mille) {
        return Some(if random.chance(500) { Fault::CrashAfterSync } else { Fault::CrashBeforeSync });
    }
    if random.chance(rates.unknown_per_mille) {
        return Some(if random.chance(500) { Fault::UnknownApplied } else { Fault::UnknownDropped });
    }
    if random.chance(rates.late_per_mille) {
        return Some(Fault::UnknownLate);
    }
    if random.chance(rates.conflict_per_mille) {
        return Some(Fault::Conflict);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_faults_come_in_turn_and_once() {
        let mut plan = FaultPlan::default();
        plan.order(Some(Call::Get), 1, Fault::Fail);
        plan.order(None, 2, Fault::CrashBeforeSync);
        plan.order(Some(Call::CommitGroup), 0, Fault::UnknownDropped);
        assert_eq!(plan.next(Call::Get), None);
        assert_eq!(plan.next(Call::CommitGroup), Some(Fault::UnknownDropped));
        assert_eq!(plan.next(Call::Get), Some(Fault::Fail));
        assert_eq!(plan.next(Call::Scan), Some(Fault::CrashBeforeSync));
        assert_eq!(plan.next(Call::Get), None);
    }

    #[test]
    fn drawn_faults_follow_from_the_seed() {
        let rates = FaultRates {
            fail_per_mille: 100,
            crash_per_mille: 100,
            unknown_per_mille: 100,
            late_per_mille: 100,
            conflict_per_mille: 100,
        };
        let draws = |seed| {
            let mut plan = FaultPlan::default();
            plan.draw(seed, rates);
            (0..2000).map(|_| plan.next(Call::CommitGroup)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        use Fault::*;
        for fault in
            [Conflict, CrashAfterSync, CrashBeforeSync, Fail, UnknownApplied, UnknownDropped, UnknownLate]
        {
            assert!(draws(1).contains(&Some(fault)), "{fault:?}");
        }
    }

    #[test]
    fn reads_draw_plain_failures_only() {
        let mut plan = FaultPlan::default();
        plan.draw(1, FaultRates { crash_per_mille: 1000, unknown_per_mille: 1000, ..FaultRates::default() });
        assert!((0..100).all(|_| plan.next(Call::Get).is_none()));
        plan.draw(1, FaultRates { fail_per_mille: 1000, ..FaultRates::default() });
        assert_eq!(plan.next(Call::Get), Some(Fault::Fail));
        plan.clear();
        assert_eq!(plan.next(Call::Get), None);
    }
}

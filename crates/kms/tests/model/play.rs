//! A sequence is played: the service and the model are asked the same, and at the end everything is looked at once more,
//! after a crash.
//!
//! There may be several models at a time. A change that was answered with KMSInternalException, because calls of the store
//! failed, may have been done or not: both are followed until an answer tells which it was. What cannot be is that no model
//! is left.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_audit::{Event, EventKind};
use strongroom_testkit::store::Fault;
use strongroom_types::{Env, KeyId, RequestId};

use crate::model::{Expected, Model};
use crate::scene::{Given, Marker, Scene};
use crate::steps::*;
use crate::world::{Engine, Process, Site, Told};

/// How the service is set up for a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) engine: Engine,
    /// Of the ids that the service draws.
    pub(crate) seed: u64,
    /// Rows in each cache: few, to see what happens when there is no room.
    pub(crate) cached_rows_max: usize,
}

/// How often what was seen, over all sequences.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) destroyed: usize,
    pub(crate) in_doubt: u64,
}

const MODELS_MAX: usize = 4096;
const HOUR_MILLIS: u64 = 3_600_000;
const CALMING_CALLS_MAX: u32 = 10_000;

/// A request that was answered.
struct Sent {
    request_id: RequestId,
    /// `Success`, or the error without `Exception`.
    outcome: String,
    /// Nobody knew who asked: that is in another log.
    is_stranger: bool,
    /// Refused while calls failed: it may have been done nevertheless.
    in_doubt: bool,
}

pub(crate) struct Player<'a> {
    pub(crate) site: Site,
    /// `None` only between two.
    pub(crate) process: Option<Process>,
    pub(crate) scene: Scene,
    pub(crate) models: Vec<Model>,
    sent: Vec<Sent>,
    /// Calls may fail.
    trouble: bool,
    /// How far the clock is ahead of the right time.
    ahead: Duration,
    /// The clock was set back by more than the hour that the drainer allows for (`CLOCK_STEP_MAX`): the next process may
    /// record once more what it finds in the outbox, under the same event id.
    may_record_again: bool,
    /// What this process's jobs have seen: uptime and clock.
    looks: Vec<(u64, u64)>,
    ids: IdWatch,
    /// The models know which request used a key last.
    pub(crate) knows_uses: bool,
    tally: &'a mut Tally,
}

/// Foretells the ids that the service draws: the key of a CreateKey whose outcome nobody was told has one of them.
struct IdWatch {
    seed: u64,
}

/// Plays the sequence from a fresh service. `Err` tells what was wrong.
pub(crate) fn play(steps: &[Step], setup: Setup, tally: &mut Tally) -> Result<(), String> {
    let mut player = Player::new(setup, tally);
    for (at, step) in steps.iter().enumerate() {
        player.step(step).map_err(|wrong| format!("step {at}, {}: {wrong}", step.spell()))?;
    }
    player.finish()
}

impl<'a> Player<'a> {
    pub(crate) fn new(setup: Setup, tally: &'a mut Tally) -> Self {
        let site = Site::new(setup.engine, setup.seed, setup.cached_rows_max);
        let process = Some(site.start());
        Self {
            site,
            process,
            scene: Scene::default(),
            models: vec![Model::default()],
            sent: Vec::new(),
            trouble: false,
            ahead: Duration::ZERO,
            may_record_again: false,
            looks: Vec::new(),
            ids: IdWatch { seed: setup.seed },
            knows_uses: true,
            tally,
        }
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a process runs")
    }

    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Ask(who, op) => self.ask(who, &op)?,
            AskManyAliases(who, from, count, key) => {
                for name in from..from + count {
                    self.ask(who, &CreateAlias(Named(name), key))?;
                }
            }
            AskPages(who, op, size) => self.ask_pages(who, op, size)?,
            Calm => self.calm()?,
            ClockBack => self.set_clock(Duration::ZERO),
            ClockForward(minutes) => {
                self.set_clock(Duration::from_secs(u64::from(minutes) * 60));
                // What a clock that was set forward must not do, it would do at once.
                self.tick()?;
            }
            Fail(call, skipped, fault) => {
                if let Some(store) = self.site.memory() {
                    // A conflict is no trouble: the decision is taken again.
                    self.trouble |= fault != Fault::Conflict;
                    store.fail_after(Some(call), skipped, fault);
                }
            }
            Pass(steps, minutes) => {
                for _ in 0..steps {
                    self.site.env.advance(Duration::from_secs(u64::from(minutes) * 60));
                    self.tick()?;
                }
            }
            Restart { crash } => self.restart(crash),
        }
        Ok(())
    }

    /// The markers lead through all pages, and the last one has none.
    fn ask_pages(&mut self, who: Who, op: Op, size: u16) -> Result<(), String> {
        self.ask(who, &op)?;
        let next = match op {
            ListAliases(key, _) => ListAliases(key, Next(size)),
            ListResourceTags(key, _) => ListResourceTags(key, Next(size)),
            _ => ListKeys(Next(size)),
        };
        // Nothing has more entries than a thousand here.
        for _ in 0..1000 {
            let before = self.scene.marker(who).map(Marker::after).map(str::to_owned);
            if before.is_none() {
                return Ok(());
            }
            self.ask(who, &next)?;
            if self.scene.marker(who).map(Marker::after).map(str::to_owned) == before {
                // Refused: the marker is another list's, or the caller may not.
                return Ok(());
            }
        }
        Err("a list without an end".to_owned())
    }

    fn set_clock(&mut self, ahead: Duration) {
        let right = self.site.env.now().saturating_sub(self.ahead);
        self.site.env.set_now(right.saturating_add(ahead));
        self.may_record_again |= self.ahead.saturating_sub(ahead) > Duration::from_millis(HOUR_MILLIS);
        self.ahead = ahead;
        self.scene.forget_markers();
    }

    fn restart(&mut self, crash: bool) {
        let process = self.process.take().expect("a process runs");
        self.site.end(process, crash);
        self.process = Some(self.site.start());
        self.looks.clear();
        self.trouble = false;
    }

    /// No call fails any more; what was left undecided is decided.
    fn calm(&mut self) -> Result<(), String> {
        let Some(store) = self.site.memory() else { return Ok(()) };
        store.clear_faults();
        if store.is_crashed() {
            self.restart(true);
            return Ok(());
        }
        for _ in 0..CALMING_CALLS_MAX {
            // Both a read of the store and a commit.
            let told = [
                self.tell(OwnerUs, &ListKeys(First(1)), false)?,
                self.tell(OwnerUs, &DeleteAlias(Named(0)), true)?,
            ];
            if told.iter().all(|told| !is_internal(told)) {
                self.trouble = false;
                return Ok(());
            }
        }
        Err("the store works again and the service does not".to_owned())
    }

    fn tick(&mut self) -> Result<(), String> {
        self.process().tick();
        self.looked();
        let Some(settled) = settled(&self.looks) else { return Ok(()) };
        self.destroy_what_is_due(settled)
    }

    /// The jobs have looked at the clock.
    pub(crate) fn looked(&mut self) {
        let (now, up) = (self.site.env.now().as_millis(), self.site.env.monotonic().as_nanos() / 1_000_000);
        match self.looks.last_mut() {
            Some(look) if look.0 == up => look.1 = look.1.min(now),
            _ => self.looks.push((up, now)),
        }
    }

    fn destroy_what_is_due(&mut self, settled: u64) -> Result<(), String> {
        let mut after = Vec::new();
        for model in &self.models {
            let mut some = vec![model.clone()];
            for id in model.due(settled) {
                let gone = some.iter().cloned().map(|mut model| {
                    model.destroy(&id);
                    model
                });
                // While calls fail, the job may have to wait.
                some = if self.trouble { gone.chain(some.iter().cloned()).collect() } else { gone.collect() };
            }
            after.extend(some);
        }
        self.keep(after)
    }

    fn keep(&mut self, models: Vec<Model>) -> Result<(), String> {
        let mut kept: Vec<Model> = Vec::new();
        for model in models {
            if !kept.contains(&model) {
                kept.push(model);
            }
        }
        if kept.len() > MODELS_MAX {
            return Err(format!("{} models are more than the test can follow", kept.len()));
        }
        self.models = kept;
        Ok(())
    }

    fn ask(&mut self, who: Who, op: &Op) -> Result<(), String> {
        self.tell(who, op, is_change(op)).map(drop)
    }

    /// Asks the service and the models.
    fn tell(&mut self, who: Who, op: &Op, changes: bool) -> Result<Told, String> {
        self.scene.now = self.site.env.now().as_millis();
        let (name, body) = self.scene.request(who, op);
        let env = std::sync::Arc::clone(&self.site.env);
        let faults = self.faults();
        let told = self.process().send(&env, who, op, name, &body);
        let in_doubt = self.trouble && is_internal(&told);
        self.note(&told, op, in_doubt);
        if in_doubt {
            // A commit whose outcome is open is a call that failed while the request was there.
            if changes && self.faults() != faults {
                self.doubt(who, op, told.request_id)?;
            }
            return Ok(told);
        }
        let mut answer = told.result.clone();
        let key_id = answer.as_ref().map_or_else(|_| String::new(), new_key);
        let given = Given { key_id, request_id: Some(told.request_id) };
        let asked = self.scene.clone();
        if let Ok(answer) = &mut answer {
            self.scene.learn(who, op, &body, answer)?;
        }
        let mut expected = Vec::new();
        let mut after = Vec::new();
        for model in &self.models {
            let mut model = model.clone();
            let wanted = model.ask(who, op, &asked, &given);
            if is_as(&wanted, &answer) {
                after.push(model);
            } else {
                expected.push(wanted);
            }
        }
        if after.is_empty() {
            return Err(format!("{name} {body} was answered\n  {answer:?}\nand not\n  {expected:?}"));
        }
        self.keep(after)?;
        Ok(told)
    }

    fn faults(&self) -> u64 {
        self.site.memory().map_or(0, |store| store.counters().faults)
    }

    pub(crate) fn note(&mut self, told: &Told, op: &Op, in_doubt: bool) {
        let outcome = match &told.result {
            Ok(_) => "Success".to_owned(),
            Err(error) => error.clone(),
        };
        self.tally.requests += 1;
        self.tally.in_doubt += u64::from(in_doubt);
        *self.tally.outcomes.entry(outcome.clone()).or_default() += 1;
        let is_stranger = matches!(op, OddRequest(OtherRegion | OtherSecret | TooOld));
        self.sent.push(Sent { request_id: told.request_id, outcome, is_stranger, in_doubt });
    }

    /// Follows both: that it was done, and that it was not.
    fn doubt(&mut self, who: Who, op: &Op, request_id: RequestId) -> Result<(), String> {
        let ids = match op {
            CreateKey { .. } => self.ids.drawn_after(request_id),
            _ => vec![String::new()],
        };
        let mut after = self.models.clone();
        for model in &self.models {
            for key_id in &ids {
                let mut done = model.clone();
                let given = Given { key_id: key_id.clone(), request_id: Some(request_id) };
                if matches!(done.ask(who, op, &self.scene, &given), Expected::Answer(_)) {
                    done.done_nevertheless.insert(request_id);
                    after.push(done);
                }
            }
        }
        self.keep(after)
    }

    // ---- the end

    pub(crate) fn finish(mut self) -> Result<(), String> {
        self.step(&Calm).map_err(|wrong| format!("at the end: {wrong}"))?;
        self.look_at_everything().map_err(|wrong| format!("at the end: {wrong}"))?;
        self.restart(true);
        self.look_at_everything().map_err(|wrong| format!("after the last crash: {wrong}"))?;
        let problems = self.process().problems();
        if !problems.is_empty() {
            return Err(format!("the check says {problems:?}"));
        }
        let process = self.process.take().expect("a process runs");
        self.site.end(process, false);
        self.check_trail()
    }

    /// Whatever was acknowledged is there, and whatever was deleted is not.
    fn look_at_everything(&mut self) -> Result<(), String> {
        for who in [OwnerUs, OwnerEu, StrangerUs, StrangerEu] {
            self.ask(who, &ListKeys(First(1000)))?;
            self.ask(who, &ListAliases(None, First(100)))?;
        }
        let mut homes: Vec<_> = self.scene.homes().collect();
        homes.sort_by_key(|(slot, _)| *slot);
        for (slot, home) in homes {
            let is_home = |who: &&Who| who.region() == home.region && who.account() == Some(home.account);
            let who = *EVERYBODY.iter().find(is_home).expect("every key has a home");
            for op in [
                DescribeKey(Arn(slot)),
                GetKeyPolicy(Arn(slot)),
                ListResourceTags(Arn(slot), First(50)),
                ListAliases(Some(Arn(slot)), First(100)),
            ] {
                self.ask(who, &op)?;
            }
            if self.knows_uses {
                self.ask(who, &GetKeyLastUsage(Arn(slot)))?;
            }
        }
        let mut blobs: Vec<_> = self.scene.blobs().map(|(slot, blob)| (slot, blob.context)).collect();
        blobs.sort_unstable();
        for (blob, context) in blobs {
            for who in [OwnerUs, OwnerEu, StrangerUs] {
                self.ask(who, &Decrypt { blob, key: None, context, mode: Plain, damage: Whole })?;
            }
        }
        Ok(())
    }

    /// Every answer has its one record, and so has every change that was done, whatever was answered.
    fn check_trail(&mut self) -> Result<(), String> {
        let mut of_requests: BTreeMap<RequestId, Vec<Event<'static>>> = BTreeMap::new();
        let mut destroyed: BTreeMap<String, u64> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for event in self.site.events() {
            if !ids.insert(event.id) && self.may_record_again {
                continue;
            }
            match (event.kind, event.request_id) {
                (EventKind::ApiCall, Some(request_id)) => {
                    of_requests.entry(request_id).or_default().push(event)
                }
                (EventKind::ServiceEvent, _) if event.name == "DeleteKey" => {
                    for resource in event.resources.iter() {
                        let id = resource.arn.rsplit('/').next().unwrap_or_default().to_owned();
                        *destroyed.entry(id).or_default() += 1;
                    }
                }
                (EventKind::ServiceEvent, _) => {}
                _ => return Err(format!("an event that nobody knows of: {event:?}")),
            }
        }
        let mut done_nevertheless = std::collections::BTreeSet::new();
        for sent in &self.sent {
            let events = of_requests.remove(&sent.request_id).unwrap_or_default();
            let wrong = |what: &str| {
                Err(format!("{} answered {}: {what}: {events:?}", sent.request_id, sent.outcome))
            };
            let successes = events.iter().filter(|event| event.failure.is_none()).count();
            if sent.is_stranger {
                if !events.is_empty() {
                    return wrong("recorded among the callers");
                }
            } else if sent.in_doubt {
                if successes > 1 || events.len() > successes + 1 {
                    return wrong("recorded too often");
                }
                if successes == 1 {
                    done_nevertheless.insert(sent.request_id);
                }
            } else {
                let [event] = &events[..] else { return wrong("not recorded once") };
                let failure = event.failure.as_ref().map(|failure| failure.code.to_string());
                let failure = failure.as_deref().map(|code| code.strip_suffix("Exception").unwrap_or(code));
                if failure.unwrap_or("Success") != sent.outcome {
                    return wrong("recorded otherwise");
                }
            }
        }
        if let Some(events) = of_requests.values().next() {
            return Err(format!("a record of no request: {events:?}"));
        }
        if let Some((key, count)) = destroyed.iter().find(|(_, count)| **count != 1) {
            return Err(format!("the destruction of {key} is recorded {count} times"));
        }
        self.tally.destroyed += destroyed.len();
        let is_true = |model: &&Model| {
            model.done_nevertheless == done_nevertheless && model.destroyed.iter().eq(destroyed.keys())
        };
        if self.models.iter().any(|model| is_true(&model)) {
            return Ok(());
        }
        let models = self.models.iter().map(|model| (&model.done_nevertheless, &model.destroyed));
        let models: Vec<_> = models.collect();
        Err(format!(
            "recorded as done: {done_nevertheless:?}, as destroyed: {destroyed:?}; and not: {models:?}"
        ))
    }
}

/// The earliest time that the clock has shown during the last hour of uptime, beginning with the last look before it.
fn settled(looks: &[(u64, u64)]) -> Option<u64> {
    let (up, _) = looks.last()?;
    let begin = looks.iter().rposition(|(at, _)| up - at >= HOUR_MILLIS)?;
    looks[begin..].iter().map(|(_, shown)| *shown).min()
}

fn is_internal(told: &Told) -> bool {
    told.result.as_ref().is_err_and(|error| matches!(error.as_str(), "InternalFailure" | "KMSInternal"))
}

pub(crate) fn new_key(answer: &Value) -> String {
    answer["KeyMetadata"]["KeyId"].as_str().unwrap_or_default().to_owned()
}

fn is_change(op: &Op) -> bool {
    match op {
        CancelKeyDeletion(_)
        | CreateAlias(..)
        | CreateKey { .. }
        | DeleteAlias(_)
        | DisableKey(_)
        | EnableKey(_)
        | PutKeyPolicy(..)
        | ScheduleKeyDeletion(..)
        | TagResource(..)
        | UntagResource(..)
        | UpdateAlias(..)
        | UpdateKeyDescription(..) => true,
        Decrypt { .. }
        | DescribeKey(_)
        | Encrypt { .. }
        | GenerateDataKey { .. }
        | GenerateRandom(_)
        | GetCallerIdentity
        | GetKeyLastUsage(_)
        | GetKeyPolicy(_)
        | ListAliases(..)
        | ListKeyPolicies(_)
        | ListKeys(_)
        | ListResourceTags(..)
        | OddRequest(_)
        | ReEncrypt { .. } => false,
    }
}

pub(crate) fn is_as(expected: &Expected, answer: &Result<Value, String>) -> bool {
    match (expected, answer) {
        (Expected::Answer(expected), Ok(answer)) => plain(expected) == plain(answer),
        (Expected::Refusal(errors), Err(error)) => errors.contains(&error.as_str()),
        (Expected::Answer(_), Err(_)) | (Expected::Refusal(_), Ok(_)) => false,
    }
}

/// One spelling for what may be spelled in several ways: numbers, and the default policy's text, which is pretty-printed.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::String(text) if text.contains("key-default-1") => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        value => value.clone(),
    }
}

impl IdWatch {
    /// The keys that could have been made with the ids that were drawn after this one: each attempt at the decision draws one
    /// for the key and one for the record.
    fn drawn_after(&self, request_id: RequestId) -> Vec<String> {
        const ATTEMPTS_MAX: usize = 5;
        let env = strongroom_testkit::env::SeededEnv::new(self.seed);
        let draws = std::iter::repeat_with(|| env.random_id()).take(1_000_000);
        let later = draws.skip_while(|id| RequestId::from_random(*id) != request_id).skip(1);
        let keys = later.step_by(2).take(ATTEMPTS_MAX);
        keys.map(|id| KeyId::single_region(id).to_string()).collect()
    }
}

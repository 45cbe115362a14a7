//! Several clients at once, and the jobs beside them: what they were told must be what they could have been told one after
//! another, each request at some moment between its sending and its answer (linearisability: Herlihy, Wing,
//! "Linearizability: A Correctness Condition for Concurrent Objects", 1990). The search is over the whole model.
//!
//! What is checked less strictly, because the service does not promise it: a request that only reads, or that is refused,
//! sees several rows one after the other and not at one moment. So one that names its key by an alias may find the key at
//! one moment and look at it at a later one, and a change of an alias that is refused needs each reason only at some moment.
//! Lists read the store and may be ahead of what other requests see while a change is under way: they are asked when all
//! is quiet.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use serde_json::Value;
use strongroom_testkit::random::SeededRandom;

use crate::model::Model;
use crate::play::{Player, Setup, Tally, is_as, new_key};
use crate::scene::{Given, Scene};
use crate::steps::*;
use crate::world::{arrival, told, walk};

pub(crate) const CLIENTS: u8 = 3;
const REQUESTS_OF_A_CLIENT: u8 = 8;
/// The slot whose key is pending deletion, and due when the race begins.
const DUE: u8 = 2;
/// Nothing names the keys that are made in a race.
const NEW: u8 = 200;

/// One request of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Racer(pub(crate) u8, pub(crate) Who, pub(crate) Op);

/// A request and its answer, and when they were.
struct Exchange {
    sent: u64,
    answered: u64,
    who: Who,
    op: Op,
    /// What the client knew when it asked.
    scene: Scene,
    given: Given,
    answer: Result<Value, String>,
}

/// What each client, and at last the job, did.
type History = Vec<Vec<Event>>;

enum Event {
    Asked(Box<Exchange>),
    /// The jobs ran: keys that were due then were destroyed, each at its own moment.
    Destroyed {
        id: String,
        settled: u64,
        sent: u64,
        answered: u64,
    },
}

impl Event {
    fn sent(&self) -> u64 {
        match self {
            Self::Asked(exchange) => exchange.sent,
            Self::Destroyed { sent, .. } => *sent,
        }
    }

    fn answered(&self) -> u64 {
        match self {
            Self::Asked(exchange) => exchange.answered,
            Self::Destroyed { answered, .. } => *answered,
        }
    }
}

/// Who asks what, from a seed.
pub(crate) fn racers(seed: u64) -> Vec<Racer> {
    let mut random = SeededRandom::new(seed);
    let mut racers = Vec::new();
    for _ in 0..REQUESTS_OF_A_CLIENT {
        for client in 0..CLIENTS {
            racers.push(Racer(client, OwnerUs, op(&mut random, client)));
        }
    }
    racers
}

fn op(random: &mut SeededRandom, client: u8) -> Op {
    let mut below = |bound: u64| u8::try_from(random.below(bound)).expect("less than a byte");
    let key = if below(2) == 0 { Id(below(3)) } else { Arn(below(3)) };
    let name = below(2);
    let (context, mode, into) = (0, Plain, client);
    match below(24) {
        0 => CreateKey {
            slot: NEW,
            policy: Standard,
            bypass: false,
            text: 1,
            tags: Range(0, 1, 1),
            kind: Symmetric,
        },
        1 | 2 => CreateAlias(Named(name), key),
        3..=5 => UpdateAlias(Named(name), key),
        6 => DeleteAlias(Named(name)),
        7 => EnableKey(key),
        8 | 9 => DisableKey(key),
        10 => ScheduleKeyDeletion(key, 7),
        11 | 12 => CancelKeyDeletion(key),
        13 => UpdateKeyDescription(key, below(4)),
        14 => TagResource(key, Range(below(3), 2, below(3))),
        15 => UntagResource(key, Range(below(3), 1, 0)),
        16 => DescribeKey(key),
        17 | 18 => DescribeKey(ByAlias(name)),
        19 | 20 => Encrypt { key: ByAliasArn(name), context, size: 9, mode, into },
        21 => Encrypt { key, context, size: 9, mode, into },
        22 => Decrypt { blob: into, key: None, context, mode, damage: Whole },
        _ => ListResourceTags(key, First(50)),
    }
}

/// Three keys, of which one is due for destruction when the jobs run next; an alias on each of the others.
pub(crate) const PRELUDE: [Step; 9] = [
    Ask(OwnerUs, CREATE[0]),
    Ask(OwnerUs, CREATE[1]),
    Ask(OwnerUs, CREATE[2]),
    Ask(OwnerUs, CreateAlias(Named(0), Id(0))),
    Ask(OwnerUs, CreateAlias(Named(1), Id(DUE))),
    Pass(1, 1),
    Ask(OwnerUs, ScheduleKeyDeletion(Id(DUE), 7)),
    Pass(1, 7 * 24 * 60),
    Ask(OwnerUs, Encrypt { key: Id(0), context: 0, size: 9, mode: Plain, into: 0 }),
];

const CREATE: [Op; 3] = [create(0), create(1), create(DUE)];

const fn create(slot: u8) -> Op {
    CreateKey { slot, policy: Standard, bypass: false, text: 0, tags: Range(0, 0, 0), kind: Symmetric }
}

/// Runs the race once, from a fresh service.
pub(crate) fn race(racers: &[Racer], setup: Setup, tally: &mut Tally) -> Result<(), String> {
    let mut player = Player::new(setup, tally);
    for step in &PRELUDE {
        player.step(step)?;
    }
    // An hour of uptime past the date, which the jobs have yet to see.
    player.site.env.advance(std::time::Duration::from_secs(3700));
    let history = run(&mut player, racers);
    for event in history.iter().flatten() {
        if let Event::Asked(exchange) = event
            && let Err(error) = &exchange.answer
            && ["KMSInternal", "Throttling"].contains(&error.as_str())
        {
            return Err(format!("{:?} was answered {error}", exchange.op));
        }
    }
    let [before] = &player.models[..] else { return Err("the prelude is in doubt".to_owned()) };
    let after = orders(before, &history);
    if after.is_empty() {
        return Err(format!("no order explains the answers:\n{}", spell(&history)));
    }
    player.models = after;
    // Which of two concurrent uses came last is not among what the search orders.
    player.knows_uses = false;
    player.finish()
}

fn run(player: &mut Player<'_>, racers: &[Racer]) -> History {
    let moment = AtomicU64::new(0);
    let start = Barrier::new(usize::from(CLIENTS) + 1);
    let env = Arc::clone(&player.site.env);
    player.scene.now = now(player);
    let due = player.models.first().map(|model| model.due(player.scene.now)).unwrap_or_default();
    let settled = player.scene.now;
    let scene = player.scene.clone();
    let process = player.process.as_mut().expect("a process runs");
    let corridor = Arc::clone(&process.corridor);
    let (mut history, asked): (History, Vec<_>) = std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let (moment, start, env, mut scene) = (&moment, &start, &env, scene.clone());
            let corridor = Arc::clone(&corridor);
            let own: Vec<_> = racers.iter().filter(|racer| racer.0 == client).copied().collect();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                start.wait();
                let mut events = Vec::new();
                let mut asked = Vec::new();
                for Racer(_, who, op) in own {
                    let (name, body) = scene.request(who, &op);
                    let arrival = arrival(env, who, &op, name, &body);
                    let sent = moment.fetch_add(1, Ordering::SeqCst);
                    let answer = runtime.block_on(walk(Arc::clone(&corridor), arrival));
                    let answered = moment.fetch_add(1, Ordering::SeqCst);
                    let told = told(&answer);
                    let mut answer = told.result.clone();
                    let key_id = answer.as_ref().map_or_else(|_| String::new(), new_key);
                    let knew = scene.clone();
                    if let Ok(answer) = &mut answer {
                        scene.learn(who, &op, &body, answer).unwrap();
                    }
                    let given = Given { key_id, request_id: None };
                    let exchange = Exchange { sent, answered, who, op, scene: knew, given, answer };
                    events.push(Event::Asked(Box::new(exchange)));
                    asked.push((told, op));
                }
                (events, asked)
            })
        });
        let clients: Vec<_> = clients.collect();
        start.wait();
        let sent = moment.fetch_add(1, Ordering::SeqCst);
        process.tick();
        let answered = moment.fetch_add(1, Ordering::SeqCst);
        let (mut history, mut asked) = (History::new(), Vec::new());
        for client in clients {
            let (events, told) = client.join().unwrap();
            history.push(events);
            asked.extend(told);
        }
        history.extend(due.into_iter().map(|id| vec![Event::Destroyed { id, settled, sent, answered }]));
        (history, asked)
    });
    for (told, op) in &asked {
        player.note(told, op, false);
    }
    history.retain(|events| !events.is_empty());
    player.looked();
    history
}

fn now(player: &Player<'_>) -> u64 {
    use strongroom_types::Env;
    player.site.env.now().as_millis()
}

/// Where the search is: how much of each client's history is explained, which key an alias was found to name by a request
/// that is under way, and the model then.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    explained: Vec<usize>,
    found: Vec<Option<String>>,
    model: Model,
}

/// The models that the history can have led to.
fn orders(before: &Model, history: &History) -> Vec<Model> {
    let begin =
        Place { explained: vec![0; history.len()], found: vec![None; history.len()], model: before.clone() };
    let (mut seen, mut open, mut ends) = (HashSet::new(), vec![begin], Vec::new());
    while let Some(place) = open.pop() {
        if !seen.insert(place.clone()) {
            continue;
        }
        let next = |client: usize| history[client].get(place.explained[client]);
        if (0..history.len()).all(|client| next(client).is_none()) {
            if !ends.contains(&place.model) {
                ends.push(place.model);
            }
            continue;
        }
        for client in 0..history.len() {
            let Some(event) = next(client) else { continue };
            let others = (0..history.len()).filter(|other| *other != client).filter_map(next);
            if others.map(Event::answered).any(|answered| answered < event.sent()) {
                continue;
            }
            open.extend(explain(&place, client, event));
        }
    }
    ends
}

/// Where the search can be after this event, or a part of it, has its moment.
fn explain(place: &Place, client: usize, event: &Event) -> Vec<Place> {
    let mut done = place.clone();
    done.explained[client] += 1;
    done.found[client] = None;
    let exchange = match event {
        Event::Destroyed { id, settled, .. } => {
            if done.model.due(*settled).contains(id) {
                done.model.destroy(id);
            }
            return vec![done];
        }
        Event::Asked(exchange) => exchange,
    };
    let Exchange { who, op, scene, given, answer, .. } = &**exchange;
    let mut places = Vec::new();
    if let Some(name) = alias_read(op) {
        match &place.found[client] {
            // The first moment: which key the alias names.
            None => match place.model.target(*who, name) {
                Some(target) => {
                    let mut found = place.clone();
                    found.found[client] = Some(target);
                    places.push(found);
                }
                None if answer == &Err("NotFound".to_owned()) => places.push(done),
                None => {}
            },
            // The second: what the key is like.
            Some(target) if done.model.key(target).is_none() => {
                if answer == &Err("NotFound".to_owned()) {
                    places.push(done);
                }
            }
            Some(target) => {
                let mut model = done.model.clone();
                model.point(*who, name, target);
                if is_as(&model.ask(*who, op, scene, given), answer) {
                    places.push(done);
                }
            }
        }
        return places;
    }
    let expected = done.model.ask(*who, op, scene, given);
    if is_as(&expected, answer) {
        places.push(done);
    } else if let Err(error) = answer
        && is_plausible(&place.model, *who, op, scene, error)
    {
        done.model = place.model.clone();
        places.push(done);
    }
    places
}

/// The alias that a request that only reads names its key by.
fn alias_read(op: &Op) -> Option<u8> {
    match op {
        DescribeKey(ByAlias(name) | ByAliasArn(name))
        | Encrypt { key: ByAlias(name) | ByAliasArn(name), .. } => Some(*name),
        _ => None,
    }
}

/// Whether there is at this moment one of the reasons for which a change of an alias is refused so.
fn is_plausible(model: &Model, who: Who, op: &Op, scene: &Scene, error: &str) -> bool {
    let (alias, target) = match op {
        CreateAlias(Named(alias), key) | UpdateAlias(Named(alias), key) => (*alias, Some(key)),
        DeleteAlias(Named(alias)) => (*alias, None),
        _ => return false,
    };
    let named = model.target(who, alias);
    let target = target.and_then(|key| match key {
        Id(slot) | Arn(slot) => Some(scene.key_id(*slot)),
        _ => None,
    });
    match error {
        "AlreadyExists" => named.is_some(),
        "KMSInvalidState" => target.and_then(|id| model.key(id)).is_some_and(|key| key.is_pending()),
        "NotFound" => named.is_none() || target.is_some_and(|id| model.key(id).is_none()),
        _ => false,
    }
}

fn spell(history: &History) -> String {
    let mut lines = Vec::new();
    for (client, events) in history.iter().enumerate() {
        for event in events {
            let line = match event {
                Event::Asked(exchange) => {
                    let answer = match &exchange.answer {
                        Ok(answer) => answer.to_string(),
                        Err(error) => error.clone(),
                    };
                    format!("client {client}: {:?}: {answer}", exchange.op)
                }
                Event::Destroyed { id, .. } => format!("the jobs: {id} is due"),
            };
            lines.push((event.sent(), format!("  {:>3} to {:>3}, {line}", event.sent(), event.answered())));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

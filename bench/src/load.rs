//! The load generator. Flat out, each connection sends its next request as soon as the reply is there. At a [`Pace`],
//! requests fall due one after the other whether replies come or not, and a reply's latency is counted from when its
//! request was due: a server that stalls does not hide the time of those who would have come meanwhile.
//!
//! As cheap as can be, because it runs beside the server: requests are signed before, replies are looked at just enough
//! to know that they are whole and say 200, and a thread with many connections waits for all of them with one epoll.

use std::net::SocketAddr;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use crate::connection::{Connection, SILENCE_MAX};
use crate::error::{BenchError, io_error};
use crate::histogram::Histogram;

/// The part of a round's length that goes before it.
const WARM_UP_DIVISOR: u32 = 10;

/// One round of load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    /// What each connection sends, in turn and over again.
    pub(crate) requests: &'a [Vec<Vec<u8>>],
    pub(crate) threads: usize,
    pub(crate) length: Duration,
    pub(crate) pace: Pace,
}

/// How fast requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    FlatOut,
    /// Of all connections together.
    PerSecond(f64),
}

/// What came of a round, and what `read` said at its beginning and at its end.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) latencies: Histogram,
    pub(crate) before: T,
    pub(crate) after: T,
}

impl Load<'_> {
    /// Loads the server. Replies that come between the two readings count.
    pub(crate) fn run<T>(&self, read: impl Fn() -> Result<T, BenchError>) -> Result<Loaded<T>, BenchError> {
        let connections = self.requests.iter().map(|requests| {
            let connection = Connection::open(self.address).map_err(io_error("connect to the server"))?;
            Ok(Caller { connection, requests, sent: 0, due: Instant::now(), is_waiting: false })
        });
        let mut callers = connections.collect::<Result<Vec<Caller<'_>>, BenchError>>()?;
        let begin = Instant::now();
        let interval = match self.pace {
            Pace::FlatOut => None,
            Pace::PerSecond(rate) => Some(Duration::from_secs_f64(callers.len() as f64 / rate.max(1.0))),
        };
        if let Some(interval) = interval {
            // One connection after the other, so that the load is even.
            let step = interval.div_f64(callers.len().max(1) as f64);
            for (caller, number) in callers.iter_mut().zip(0..) {
                caller.due = begin + step * number;
            }
        }
        let from = begin + self.length / WARM_UP_DIVISOR;
        let span = Span { from, to: from + self.length };
        let callers_per_thread = callers.len().div_ceil(self.threads.max(1)).max(1);
        thread::scope(|scope| {
            let threads: Vec<_> = callers
                .chunks_mut(callers_per_thread)
                .map(|callers| {
                    scope.spawn(move || match interval {
                        None => drive(callers, span),
                        Some(interval) => drive_paced(callers, span, interval),
                    })
                })
                .collect();
            sleep_until(span.from);
            let before = read();
            sleep_until(span.to);
            let after = read();
            let mut latencies = Histogram::new();
            for thread in threads {
                let joined = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                latencies.add(&joined?);
            }
            Ok(Loaded { latencies, before: before?, after: after? })
        })
    }
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: Instant,
    to: Instant,
}

impl Span {
    /// Counts a reply that came inside the span.
    fn record(self, latencies: &mut Histogram, due: Instant, now: Instant) {
        if (self.from..self.to).contains(&now) {
            latencies.record(now.saturating_duration_since(due));
        }
    }
}

/// A connection with its requests.
struct Caller<'a> {
    connection: Connection,
    requests: &'a [Vec<u8>],
    sent: usize,
    /// When the request was due that waits for its reply, or else when the next one is.
    due: Instant,
    is_waiting: bool,
}

impl Caller<'_> {
    fn send(&mut self) -> Result<(), BenchError> {
        let next = self.sent.checked_rem(self.requests.len()).and_then(|at| self.requests.get(at));
        self.sent = self.sent.wrapping_add(1);
        self.is_waiting = true;
        self.connection.send(next.map_or(&[], Vec::as_slice))
    }
}

/// Keeps every caller calling until the span is over, and waits for the last replies.
fn drive(callers: &mut [Caller<'_>], span: Span) -> Result<Histogram, BenchError> {
    let mut latencies = Histogram::new();
    let mut readiness = Readiness::new(callers)?;
    for caller in &mut *callers {
        caller.due = Instant::now();
        caller.send()?;
    }
    let mut in_flight = callers.len();
    while in_flight > 0 {
        for place in readiness.wait(SILENCE_MAX)? {
            let Some(caller) = callers.get_mut(place) else { continue };
            if !caller.connection.receive()? {
                continue;
            }
            let now = Instant::now();
            span.record(&mut latencies, caller.due, now);
            if now < span.to {
                caller.due = now;
                caller.send()?;
            } else {
                in_flight -= 1;
            }
        }
        readiness.check_silence(in_flight > 0)?;
    }
    Ok(latencies)
}

/// Lets each caller call once in every interval. A caller whose reply is late sends the next request when it has come,
/// and that one's latency is counted from when it was due.
fn drive_paced(callers: &mut [Caller<'_>], span: Span, interval: Duration) -> Result<Histogram, BenchError> {
    let mut latencies = Histogram::new();
    let mut readiness = Readiness::with_epoll(callers)?;
    // A thread is woken up to 50 us late unless it says otherwise. Where it may not, latencies show it.
    let _ = rustix::thread::set_current_timer_slack(NonZero::new(1000));
    loop {
        let now = Instant::now();
        let mut pause = SILENCE_MAX;
        let mut in_flight = 0;
        for caller in &mut *callers {
            if !caller.is_waiting && caller.due <= now && now < span.to {
                caller.send()?;
            }
            if caller.is_waiting {
                in_flight += 1;
            } else {
                pause = pause.min(caller.due.saturating_duration_since(now));
            }
        }
        if now >= span.to && in_flight == 0 {
            return Ok(latencies);
        }
        for place in readiness.wait(pause)? {
            let Some(caller) = callers.get_mut(place) else { continue };
            if caller.connection.receive()? {
                span.record(&mut latencies, caller.due, Instant::now());
                caller.due += interval;
                caller.is_waiting = false;
            }
        }
        readiness.check_silence(in_flight > 0)?;
    }
}

/// Which callers have something to read.
struct Readiness {
    /// A thread with one connection needs none: it waits in `read`, which is a system call less.
    epoll: Option<OwnedFd>,
    events: Vec<epoll::Event>,
    heard: Instant,
}

impl Readiness {
    fn new(callers: &[Caller<'_>]) -> Result<Self, BenchError> {
        if callers.len() == 1 {
            return Ok(Self { epoll: None, events: Vec::new(), heard: Instant::now() });
        }
        Self::with_epoll(callers)
    }

    fn with_epoll(callers: &[Caller<'_>]) -> Result<Self, BenchError> {
        let failed = |error: rustix::io::Errno| io_error("wait for replies")(error.into());
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        for (place, caller) in callers.iter().enumerate() {
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&poll, &caller.connection, data, epoll::EventFlags::IN).map_err(failed)?;
        }
        Ok(Self {
            epoll: Some(poll),
            events: Vec::with_capacity(callers.len().max(1)),
            heard: Instant::now(),
        })
    }

    /// Waits no longer than `pause`; maybe for nothing.
    fn wait(&mut self, pause: Duration) -> Result<impl Iterator<Item = usize> + '_, BenchError> {
        self.events.clear();
        if let Some(poll) = &self.epoll {
            let pause = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: pause.subsec_nanos().into() };
            match epoll::wait(poll, spare_capacity(&mut self.events), Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => self.heard = Instant::now(),
                Err(error) => return Err(io_error("wait for replies")(error.into())),
            }
        }
        let alone = self.epoll.is_none().then_some(0);
        Ok(self.events.iter().map(|event| event.data.u64() as usize).chain(alone))
    }

    /// A server that owes replies and sends none is stuck. A lone connection's `read` has its own limit.
    fn check_silence(&self, is_owed: bool) -> Result<(), BenchError> {
        if is_owed && self.epoll.is_some() && self.heard.elapsed() > SILENCE_MAX {
            return Err(BenchError::Timeout { seconds: SILENCE_MAX.as_secs() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers every read with `reply`, on as many connections as come.
    fn server(reply: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(reply.as_bytes());
                    }
                });
            }
        });
        address
    }

    fn load(reply: &'static str, connections: usize, threads: usize) -> Result<Loaded<()>, BenchError> {
        load_at(Pace::FlatOut, reply, connections, threads)
    }

    fn load_at(
        pace: Pace,
        reply: &'static str,
        connections: usize,
        threads: usize,
    ) -> Result<Loaded<()>, BenchError> {
        let requests = vec![vec![b"x".to_vec()]; connections];
        let length = Duration::from_millis(50);
        Load { address: server(reply), requests: &requests, threads, length, pace }.run(|| Ok(()))
    }

    #[test]
    fn a_refusal_stops_the_round_with_its_body() {
        let refused = load("HTTP/1.1 400 No\r\ncontent-length: 2\r\n\r\nno", 3, 2).unwrap_err();
        assert!(matches!(refused, BenchError::Refused { status: 400, .. }), "{refused}");
    }

    #[test]
    fn every_connection_is_served_by_some_thread() {
        for (connections, threads) in [(1, 1), (1, 4), (5, 1), (5, 2), (5, 9)] {
            let loaded =
                load("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", connections, threads).unwrap();
            assert!(loaded.latencies.count() > 0, "{connections} {threads}");
        }
    }

    #[test]
    fn a_pace_is_kept_and_refusals_stop_it() {
        let refusal = "HTTP/1.1 400 No\r\ncontent-length: 2\r\n\r\nno";
        assert!(load_at(Pace::PerSecond(1000.0), refusal, 3, 1).is_err());
        let reply = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        for connections in [1, 4] {
            let loaded = load_at(Pace::PerSecond(1000.0), reply, connections, 1).unwrap();
            // Fifty-five are due by the end, those of the warm-up included; a slow machine manages fewer, none more.
            assert!((1..=56).contains(&loaded.latencies.count()), "{}", loaded.latencies.count());
        }
    }
}

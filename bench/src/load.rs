//! The load generator: each connection sends its request again as soon as the reply is there.
//!
//! As cheap as can be, because it runs beside the server: requests are signed before, replies are looked at just enough
//! to know that they are whole and say 200, and a thread with many connections waits for all of them with one epoll.

use std::net::SocketAddr;
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
    /// One per connection.
    pub(crate) requests: &'a [Vec<u8>],
    pub(crate) threads: usize,
    pub(crate) length: Duration,
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
        let connections = self.requests.iter().map(|request| {
            let connection = Connection::open(self.address).map_err(io_error("connect to the server"))?;
            Ok(Caller { connection, request, sent: Instant::now() })
        });
        let mut callers = connections.collect::<Result<Vec<Caller<'_>>, BenchError>>()?;
        let from = Instant::now() + self.length / WARM_UP_DIVISOR;
        let span = Span { from, to: from + self.length };
        let callers_per_thread = callers.len().div_ceil(self.threads.max(1)).max(1);
        thread::scope(|scope| {
            let threads: Vec<_> = callers
                .chunks_mut(callers_per_thread)
                .map(|callers| scope.spawn(move || drive(callers, span)))
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

/// A connection with its request.
struct Caller<'a> {
    connection: Connection,
    request: &'a [u8],
    sent: Instant,
}

impl Caller<'_> {
    fn send(&mut self, now: Instant) -> Result<(), BenchError> {
        self.sent = now;
        self.connection.send(self.request)
    }
}

/// Keeps every caller calling until the span is over, and waits for the last replies.
fn drive(callers: &mut [Caller<'_>], span: Span) -> Result<Histogram, BenchError> {
    let mut latencies = Histogram::new();
    let mut readiness = Readiness::new(callers)?;
    for caller in &mut *callers {
        caller.send(Instant::now())?;
    }
    let mut in_flight = callers.len();
    while in_flight > 0 {
        for place in readiness.wait()? {
            let Some(caller) = callers.get_mut(place) else { continue };
            if !caller.connection.receive()? {
                continue;
            }
            let now = Instant::now();
            if (span.from..span.to).contains(&now) {
                latencies.record(now.duration_since(caller.sent));
            }
            if now < span.to {
                caller.send(now)?;
            } else {
                in_flight -= 1;
            }
        }
    }
    Ok(latencies)
}

/// Which callers have something to read.
struct Readiness {
    /// A thread with one connection needs none: it waits in `read`, which is a system call less.
    epoll: Option<OwnedFd>,
    events: Vec<epoll::Event>,
}

impl Readiness {
    fn new(callers: &[Caller<'_>]) -> Result<Self, BenchError> {
        let failed = |error: rustix::io::Errno| io_error("wait for replies")(error.into());
        if callers.len() == 1 {
            return Ok(Self { epoll: None, events: Vec::new() });
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        for (place, caller) in callers.iter().enumerate() {
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&poll, &caller.connection, data, epoll::EventFlags::IN).map_err(failed)?;
        }
        Ok(Self { epoll: Some(poll), events: Vec::with_capacity(callers.len().max(1)) })
    }

    fn wait(&mut self) -> Result<impl Iterator<Item = usize> + '_, BenchError> {
        self.events.clear();
        if let Some(poll) = &self.epoll {
            let silence = Timespec { tv_sec: SILENCE_MAX.as_secs() as i64, tv_nsec: 0 };
            match epoll::wait(poll, spare_capacity(&mut self.events), Some(&silence)) {
                Ok(0) => return Err(BenchError::Timeout { seconds: SILENCE_MAX.as_secs() }),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io_error("wait for replies")(error.into())),
            }
        }
        let alone = self.epoll.is_none().then_some(0);
        Ok(self.events.iter().map(|event| event.data.u64() as usize).chain(alone))
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
        let requests = vec![b"x".to_vec(); connections];
        let length = Duration::from_millis(50);
        Load { address: server(reply), requests: &requests, threads, length }.run(|| Ok(()))
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
}

//! A real server on loopback, a service that does as the path says, and clients that write bytes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use strongroom_pipeline::{Answer, Arrival};
use strongroom_types::limits::{
    REFUSED_BODY_BYTES_MAX, REQUEST_BODY_BYTES_MAX, REQUEST_HEADERS_MAX, SMALL_BODY_BYTES_MAX,
    UNAUTHENTICATED_BODIES_BYTES_MAX,
};
use strongroom_types::{RequestId, Timestamp};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::*;
use crate::env::SystemEnv;

mod limits;
mod secure;

const REQUEST_ID: RequestId = RequestId::from_bytes([7; 16]);
/// Longer than any test may take: what waits for this is broken.
const NEVER: Duration = Duration::from_secs(60);
/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(40);

#[derive(Debug, PartialEq)]
enum Event {
    Started,
    Dropped,
}

struct Fake {
    events: Mutex<Sender<Event>>,
    release: Semaphore,
}

struct TellsWhenDropped<'a>(&'a Fake);

impl Drop for TellsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.tell(Event::Dropped);
    }
}

impl Fake {
    fn tell(&self, event: Event) {
        let _ = self.events.lock().unwrap().send(event);
    }
}

impl Service for Fake {
    async fn call(&self, arrival: Arrival) -> Answer {
        let body = match arrival.path.as_str() {
            "/describe" => {
                let Arrival { method, path, query, source, .. } = &arrival;
                format!("{method} {path} {query} {source}").into_bytes()
            }
            "/echo" => arrival.body.to_vec(),
            "/tls" => format!("{:?}", arrival.tls).into_bytes(),
            "/length" => arrival.body.len().to_string().into_bytes(),
            "/panic" => panic!("as asked"),
            "/wait" => {
                let _told = TellsWhenDropped(self);
                self.tell(Event::Started);
                self.release.acquire().await.unwrap().forget();
                b"released".to_vec()
            }
            other => panic!("no such path: {other}"),
        };
        Answer {
            status: if arrival.query == "bad" { 400 } else { 200 },
            request_id: REQUEST_ID,
            body: Zeroizing::new(body),
            content_type: "application/x-amz-json-1.1",
            operation: "Encrypt",
            outcome: "Success",
        }
    }
}

#[derive(Default)]
struct FakeHealth {
    is_sick: AtomicBool,
}

impl Health for FakeHealth {
    fn healthy(&self) -> Result<(), String> {
        if self.is_sick.load(Ordering::Relaxed) {
            Err("the journal cannot be written".to_owned())
        } else {
            Ok(())
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.healthy()
    }
}

/// A running server. Dropping it shuts it down and asserts that it ended well.
struct Server {
    address: SocketAddr,
    admin_address: SocketAddr,
    budget: Arc<Budget>,
    events: Receiver<Event>,
    fake: Arc<Fake>,
    health: Arc<FakeHealth>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Server {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_secure(None, change)
    }

    fn start_secure(tls: Option<Arc<Tls>>, change: impl FnOnce(&mut Settings)) -> Self {
        let any_port = "127.0.0.1:0".parse().unwrap();
        let threads = "2".parse().unwrap();
        let config = Config { listen: any_port, admin_listen: any_port, threads, ..Config::default() };
        let listeners = Listeners::bind(&config).unwrap();
        let shutdown = Shutdown::new();
        let mut settings = Settings::main(&config, shutdown.clone());
        settings.timeouts = Timeouts { body: NEVER, header: NEVER, idle: NEVER };
        settings.grace = NEVER;
        change(&mut settings);
        let (sender, events) = channel();
        let fake = Arc::new(Fake { events: Mutex::new(sender), release: Semaphore::new(0) });
        let health = Arc::new(FakeHealth::default());
        let budget = Arc::<Budget>::default();
        let parts = Parts {
            appenders: Arc::default(),
            env: Arc::new(SystemEnv::new()),
            health: Arc::clone(&health) as Arc<dyn Health>,
            metrics: Arc::new(Metrics::new(Timestamp::default())),
            service: Arc::clone(&fake),
            tls,
        };
        let (address, admin_address) = (listeners.address(), listeners.admin_address());
        let shared = Arc::clone(&budget);
        let thread = thread::spawn(move || serve_with(listeners, parts, &settings, &shared));
        Self { address, admin_address, budget, events, fake, health, shutdown, thread: Some(thread) }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    fn admin(&self, request: &str) -> Reply {
        let mut connection = Connection::open(self.admin_address);
        connection.send(request);
        connection.reply().unwrap()
    }

    fn next_event(&self) -> Event {
        self.events.recv_timeout(NEVER).unwrap()
    }

    fn wait_for_the_end(&mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

struct Connection(BufReader<Client>);

#[derive(Debug, Default)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn is_refusal(&self, status: u16, name: &str) -> bool {
        self.status == status
            && self.body.starts_with(&format!("{{\"__type\":\"{name}\",\"message\":"))
            && self.header("content-type") == Some("application/x-amz-json-1.1")
            && RequestId::parse(self.header("x-amzn-requestid").unwrap()).is_ok()
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let client = Client::connect(address).unwrap();
        client.set_read_timeout(Some(NEVER)).unwrap();
        client.set_write_timeout(Some(NEVER)).unwrap();
        Self(BufReader::new(client))
    }

    /// Sends bytes. A server that has closed already is seen by reading.
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.get_mut().write_all(bytes.as_ref());
    }

    fn post(&mut self, path: &str, body: &str) {
        let length = body.len();
        self.send(format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}"));
    }

    fn post_chunked(&mut self, path: &str, chunks: &[&str]) {
        self.send(format!("POST {path} HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"));
        for chunk in chunks {
            self.send(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        }
        self.send("0\r\n\r\n");
    }

    /// The next reply; `None` if the connection was closed instead.
    fn reply(&mut self) -> Option<Reply> {
        let line = self.line()?;
        let mut reply =
            Reply { status: line.split(' ').nth(1).unwrap().parse().unwrap(), ..Reply::default() };
        while let Some((name, value)) = self.line()?.split_once(": ") {
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn is_closed(&mut self) -> bool {
        self.line().is_none()
    }

    fn echoes(&mut self, text: &str) -> bool {
        self.post("/echo", text);
        self.reply().is_some_and(|reply| reply.status == 200 && reply.body == text)
    }
}

fn headers(count: usize) -> String {
    (0..count).map(|n| format!("x-{n}: v\r\n")).collect()
}

/// A request whose head has exactly so many bytes.
fn request_with_head_of(bytes: usize) -> String {
    let empty = "GET /describe HTTP/1.1\r\nx: \r\n\r\n";
    format!("GET /describe HTTP/1.1\r\nx: {}\r\n\r\n", "v".repeat(bytes - empty.len()))
}

#[test]
fn one_header_too_many_is_refused() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send(format!("GET /describe HTTP/1.1\r\n{}\r\n", headers(REQUEST_HEADERS_MAX)));
    assert_eq!(connection.reply().unwrap().status, 200);
    connection.send(format!("GET /describe HTTP/1.1\r\n{}\r\n", headers(REQUEST_HEADERS_MAX + 1)));
    assert_eq!(connection.reply().unwrap().status, 431);
    assert!(connection.is_closed());
}

#[test]
fn a_head_one_byte_too_large_is_refused() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send(request_with_head_of(REQUEST_HEAD_BYTES_MAX));
    assert_eq!(connection.reply().unwrap().status, 200);
    let mut connection = server.connect();
    connection.send(request_with_head_of(REQUEST_HEAD_BYTES_MAX + 1));
    assert_eq!(connection.reply().unwrap().status, 431);
    assert!(connection.is_closed());
}

#[test]
fn what_is_not_http_is_refused() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send("\u{16}\u{3}\u{1} this is TLS\r\n\r\n");
    assert_eq!(connection.reply().unwrap().status, 400);
    assert!(connection.is_closed());
}

#[test]
fn a_body_one_byte_too_large_is_refused_and_the_client_told() {
    let server = Server::start();
    let largest = "x".repeat(REQUEST_BODY_BYTES_MAX);
    let refused = |mut connection: Connection| {
        let reply = connection.reply().unwrap();
        assert!(reply.is_refusal(413, "RequestEntityTooLargeException"));
        assert!(connection.is_closed());
    };
    let mut connection = server.connect();
    connection.post("/length", &format!("{largest}x"));
    refused(connection);
    let mut connection = server.connect();
    connection.post_chunked("/length", &[&largest, "x"]);
    refused(connection);
    let mut connection = server.connect();
    connection.post("/length", &largest);
    assert_eq!(connection.reply().unwrap().body, REQUEST_BODY_BYTES_MAX.to_string());
    let mut connection = server.connect();
    connection.post_chunked("/length", &[&largest]);
    assert_eq!(connection.reply().unwrap().body, REQUEST_BODY_BYTES_MAX.to_string());
}

#[test]
fn an_absurdly_large_body_is_refused_before_it_is_sent() {
    let server = Server::start();
    for length in [(REFUSED_BODY_BYTES_MAX + 1).to_string(), (u64::MAX - 2).to_string()] {
        let mut connection = server.connect();
        connection.send(format!("POST /length HTTP/1.1\r\ncontent-length: {length}\r\n\r\n"));
        let reply = connection.reply().unwrap();
        assert!(reply.is_refusal(413, "RequestEntityTooLargeException"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(connection.is_closed());
    }
    assert_eq!(server.budget.in_use_bytes(), 0);
}

#[test]
fn a_client_that_waits_to_send_too_much_is_told_so_at_once() {
    let server = Server::start();
    let mut connection = server.connect();
    let length = REQUEST_BODY_BYTES_MAX + 1;
    connection
        .send(format!("POST /length HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"));
    assert!(connection.reply().unwrap().is_refusal(413, "RequestEntityTooLargeException"));
    assert!(connection.is_closed());
}

#[test]
fn a_slow_body_is_timed_out() {
    let server = Server::start_with(|settings| settings.timeouts.body = SHORT);
    for rest in ["content-length: 10\r\n\r\n123", "transfer-encoding: chunked\r\n\r\n3\r\n123\r\n"] {
        let mut connection = server.connect();
        connection.send(format!("POST /length HTTP/1.1\r\n{rest}"));
        let reply = connection.reply().unwrap();
        assert!(reply.is_refusal(408, "RequestTimeoutException"), "{reply:?}");
        assert!(connection.is_closed());
    }
    assert_eq!(server.budget.in_use_bytes(), 0);
}

#[test]
fn a_slow_head_is_cut_off() {
    let server = Server::start_with(|settings| settings.timeouts.header = SHORT);
    let mut connection = server.connect();
    assert!(connection.is_closed(), "a connection that sends nothing");
    let mut connection = server.connect();
    connection.send("POST /length HTT");
    assert!(connection.is_closed(), "a connection that stops in its first head");
}

#[test]
fn a_slow_second_head_is_cut_off() {
    // The first request must not run out of time, so it comes whole; the second has the same time.
    let server = Server::start_with(|settings| settings.timeouts.header = Duration::from_secs(1));
    let mut connection = server.connect();
    assert!(connection.echoes("first"));
    connection.send("POST /length HTT");
    assert!(connection.is_closed());
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start_with(|settings| settings.timeouts.idle = SHORT);
    let mut connection = server.connect();
    assert!(connection.echoes("first"));
    assert!(connection.is_closed());
}

#[test]
fn a_call_outlasts_every_timeout() {
    let server = Server::start_with(|settings| {
        settings.timeouts = Timeouts { body: SHORT, header: NEVER, idle: SHORT };
    });
    let mut connection = server.connect();
    connection.post("/wait", "");
    assert_eq!(server.next_event(), Event::Started);
    // Another connection's timeout passes meanwhile.
    let mut other = server.connect();
    other.send("POST /length HTTP/1.1\r\ncontent-length: 10\r\n\r\n123");
    assert_eq!(other.reply().unwrap().status, 408);
    server.fake.release.add_permits(1);
    assert_eq!(connection.reply().unwrap().body, "released");
}

#[test]
fn an_exhausted_budget_refuses_until_there_is_room() {
    let server = Server::start();
    let pieces = UNAUTHENTICATED_BODIES_BYTES_MAX / SMALL_BODY_BYTES_MAX;
    let all: Vec<_> = (0..pieces).map(|_| server.budget.reserve(SMALL_BODY_BYTES_MAX).unwrap()).collect();
    let mut connection = server.connect();
    connection.post("/length", "x");
    assert!(connection.reply().unwrap().is_refusal(503, "ServiceUnavailableException"));
    connection.post_chunked("/length", &["x"]);
    assert!(connection.reply().unwrap().is_refusal(503, "ServiceUnavailableException"));
    drop(all);
    assert!(connection.echoes("x"));
}

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let server = Server::start_with(|settings| settings.gate = Arc::new(Gate::new(2)));
    let (mut first, mut second) = (server.connect(), server.connect());
    first.post("/wait", "");
    second.post("/wait", "");
    assert_eq!([server.next_event(), server.next_event()], [Event::Started, Event::Started]);
    let mut third = server.connect();
    assert!(third.is_closed());
    server.fake.release.add_permits(2);
    assert_eq!(first.reply().unwrap().body, "released");
    assert!(first.echoes("still"));
    drop(second);
    // The place is free again as soon as the server has seen the end of the second connection.
    while !server.connect().echoes("3") {
        thread::yield_now();
    }
    let metrics = server.admin("GET /metrics HTTP/1.1\r\n\r\n").body;
    let refused = metrics.lines().find_map(|line| line.strip_prefix("strongroom_connections_refused_total "));
    assert_ne!(refused.unwrap(), "0");
}

#[test]
fn a_panic_is_answered_and_the_next_request_works() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.post("/panic", "");
    let reply = connection.reply().unwrap();
    assert!(reply.is_refusal(500, "KMSInternalException"));
    assert!(!reply.body.contains("as asked"));
    assert!(connection.echoes("after"));
    assert_eq!(server.budget.in_use_bytes(), 0);
}

#[test]
fn a_lost_connection_drops_the_call() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.post("/wait", "some body");
    assert_eq!(server.next_event(), Event::Started);
    assert_eq!(server.budget.in_use_bytes(), 9);
    drop(connection);
    assert_eq!(server.next_event(), Event::Dropped);
}

#[test]
fn a_request_has_its_answer_with_all_headers() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send("GET /describe?a=%20b&c HTTP/1.1\r\nhost: h\r\n\r\n");
    let reply = connection.reply().unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, "GET /describe a=%20b&c 127.0.0.1"));
    for (name, value) in [
        ("x-amzn-requestid", REQUEST_ID.to_string().as_str()),
        ("content-type", "application/x-amz-json-1.1"),
        ("cache-control", "no-cache, no-store, must-revalidate, private"),
        ("pragma", "no-cache"),
        ("expires", "0"),
        ("content-length", "32"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    assert!(reply.header("date").is_some());
    connection.post("/echo?bad", "");
    let reply = connection.reply().unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (400, Some("0")));
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let server = Server::start();
    let mut connection = server.connect();
    for n in 0..100 {
        assert!(connection.echoes(&format!("request {n}")));
    }
    connection.post_chunked("/echo", &["in ", "three ", "chunks"]);
    assert_eq!(connection.reply().unwrap().body, "in three chunks");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut connection = server.connect();
    let request = |path: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let requests =
        [request("/wait", ""), request("/echo", "two"), request("/panic", ""), request("/echo", "four")];
    connection.send(requests.concat());
    assert_eq!(server.next_event(), Event::Started);
    server.fake.release.add_permits(1);
    assert_eq!(connection.reply().unwrap().body, "released");
    assert_eq!(connection.reply().unwrap().body, "two");
    assert_eq!(connection.reply().unwrap().status, 500);
    assert_eq!(connection.reply().unwrap().body, "four");
}

#[test]
fn a_reply_does_not_wait_for_the_rest_of_the_next_head() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send("GET /describe HTTP/1.1\r\n\r\nGET /desc");
    assert_eq!(connection.reply().unwrap().status, 200);
    connection.send("ribe?b HTTP/1.1\r\n\r\n");
    assert_eq!(connection.reply().unwrap().body, "GET /describe b 127.0.0.1");
}

#[test]
fn a_client_that_waits_to_send_is_asked_to() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(connection.line().unwrap(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line().unwrap(), "");
    connection.send("body");
    assert_eq!(connection.reply().unwrap().body, "body");
}

#[test]
fn a_shutdown_lets_a_request_in_flight_end() {
    let mut server = Server::start();
    let (mut busy, mut idle) = (server.connect(), server.connect());
    assert!(idle.echoes("idle from now on"));
    busy.post("/wait", "");
    assert_eq!(server.next_event(), Event::Started);
    server.shutdown.trigger();
    assert!(idle.is_closed());
    while Client::connect(server.address).is_ok() {
        thread::yield_now();
    }
    assert_eq!(server.admin("GET /readyz HTTP/1.1\r\n\r\n").status, 503);
    assert_eq!(server.admin("GET /healthz HTTP/1.1\r\n\r\n").status, 200);
    server.fake.release.add_permits(1);
    let reply = busy.reply().unwrap();
    assert_eq!((reply.body.as_str(), reply.header("connection")), ("released", Some("close")));
    assert!(busy.is_closed());
    server.wait_for_the_end().unwrap();
    assert!(Client::connect(server.admin_address).is_err());
}

#[test]
fn a_shutdown_does_not_wait_longer_than_its_grace() {
    let mut server = Server::start_with(|settings| settings.grace = SHORT);
    let mut connection = server.connect();
    connection.post("/wait", "");
    assert_eq!(server.next_event(), Event::Started);
    server.shutdown.trigger();
    server.wait_for_the_end().unwrap();
    assert_eq!(server.next_event(), Event::Dropped);
    assert!(connection.is_closed());
}

#[test]
fn metrics_show_what_was_sent() {
    let server = Server::start();
    let mut connection = server.connect();
    assert!(connection.echoes("1") && connection.echoes("2"));
    connection.post("/panic", "");
    assert_eq!(connection.reply().unwrap().status, 500);
    let reply = server.admin("GET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(
        reply.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for expected in [
        "strongroom_requests_total{operation=\"Encrypt\",outcome=\"Success\"} 2",
        "strongroom_requests_total{operation=\"Unknown\",outcome=\"KMSInternalException\"} 1",
        "strongroom_request_duration_seconds_count{operation=\"Encrypt\"} 2",
        "strongroom_connections_open 1.0",
        "strongroom_connections_refused_total 0",
        "strongroom_bodies_bytes 0.0",
    ] {
        assert!(reply.body.lines().any(|line| line == expected), "{expected} is not in {}", reply.body);
    }
}

#[test]
fn the_admin_listener_refuses_all_else() {
    let server = Server::start();
    assert_eq!(server.admin("GET / HTTP/1.1\r\n\r\n").status, 404);
    assert_eq!(server.admin("GET /healthz/ HTTP/1.1\r\n\r\n").status, 404);
    let reply = server.admin("POST /healthz HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    let long = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "v".repeat(ADMIN_HEAD_BYTES_MAX));
    assert_eq!(server.admin(&long).status, 431);
}

#[test]
fn health_is_what_the_parts_say() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\n\r\n");
        let reply = server.admin(&request);
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"));
        server.health.is_sick.store(true, Ordering::Relaxed);
        let reply = server.admin(&request);
        assert_eq!((reply.status, reply.body.as_str()), (503, "the journal cannot be written\n"));
        server.health.is_sick.store(false, Ordering::Relaxed);
    }
}

#[test]
fn both_threads_serve() {
    let server = Server::start();
    // Where a connection lands is a hash of its ports: fifty of fifty on one thread is one in 2^49.
    let mut connections: Vec<_> = (0..50).map(|_| server.connect()).collect();
    assert!(connections.iter_mut().all(|connection| connection.echoes("here")));
}

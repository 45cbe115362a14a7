//! What strangers and callers may take of the server, and that others are served all the same.

use strongroom_types::limits::SMALL_REQUEST_BYTES_MAX;

use super::*;

/// A head of so many bytes that lacks its last two.
fn unfinished_head_of(bytes: usize) -> String {
    let whole = request_with_head_of(bytes + 2);
    whole.strip_suffix("\r\n").unwrap().to_owned()
}

fn metric(server: &Server, name: &str) -> String {
    let metrics = server.admin("GET /metrics HTTP/1.1\r\n\r\n").body;
    metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap().to_owned()
}

#[test]
fn one_request_too_many_is_throttled_and_the_next_is_not() {
    let server = Server::start_with(|settings| settings.requests = Arc::new(Gate::new(1)));
    let (mut busy, mut other) = (server.connect(), server.connect());
    busy.post("/wait", "");
    assert_eq!(server.next_event(), Event::Started);
    other.post("/echo", "x");
    let refused = other.reply().unwrap();
    assert!(refused.is_refusal(400, "ThrottlingException"), "{refused:?}");
    assert!(refused.body.contains("You have exceeded the rate at which you may call KMS."));
    assert_eq!(metric(&server, "strongroom_requests_open"), "1.0");
    server.fake.release.add_permits(1);
    assert_eq!(busy.reply().unwrap().body, "released");
    assert!(other.echoes("x"));
    let counted = "strongroom_requests_total{operation=\"Unknown\",outcome=\"ThrottlingException\"}";
    assert_eq!(metric(&server, counted), "1");
}

#[test]
fn a_large_request_needs_a_place_and_small_ones_do_not() {
    let server = Server::start_with(|settings| settings.large_requests = Arc::new(Gate::new(1)));
    let mut large = server.connect();
    large.send(unfinished_head_of(SMALL_REQUEST_BYTES_MAX + 1));
    // Until the first one has its place the second may still get it, and then it is the first that is closed.
    let mut other = server.connect();
    other.send(unfinished_head_of(SMALL_REQUEST_BYTES_MAX + 1));
    while metric(&server, "strongroom_large_requests_refused_total") == "0" {
        thread::yield_now();
    }
    let mut small = server.connect();
    small.send(request_with_head_of(SMALL_REQUEST_BYTES_MAX));
    assert_eq!(small.reply().unwrap().status, 200);
    large.send("\r\n");
    other.send("\r\n");
    let replies: Vec<_> = [large.reply(), other.reply()].into_iter().flatten().collect();
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200]);
}

#[test]
fn the_answer_to_a_large_request_is_the_connections_last() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send(request_with_head_of(SMALL_REQUEST_BYTES_MAX));
    let reply = connection.reply().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, None));
    connection.send(request_with_head_of(SMALL_REQUEST_BYTES_MAX + 1));
    let reply = connection.reply().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(connection.is_closed());
}

#[test]
fn connections_that_ask_nothing_make_room() {
    let server = Server::start_with(|settings| settings.gate = Arc::new(Gate::new(2)));
    let (mut busy, mut idle) = (server.connect(), server.connect());
    assert!(idle.echoes("1"));
    busy.post("/wait", "");
    assert_eq!(server.next_event(), Event::Started);
    // Each connection is on one of two threads, and a thread can only end its own.
    while !server.connect().echoes("2") {
        thread::yield_now();
    }
    assert!(idle.is_closed());
    server.fake.release.add_permits(1);
    assert_eq!(busy.reply().unwrap().body, "released");
}

#[test]
fn a_source_has_no_more_connections_than_it_may() {
    let server = Server::start_with(|settings| settings.sources = Some(Arc::new(Sources::new(1))));
    let mut first = server.connect();
    assert!(first.echoes("1"));
    assert!(server.connect().is_closed());
    assert!(first.echoes("still"));
    assert_ne!(metric(&server, "strongroom_connections_refused_total"), "0");
    drop(first);
    while !server.connect().echoes("2") {
        thread::yield_now();
    }
}

#[test]
fn accepting_goes_on_at_once_after_a_connection_that_has_gone() {
    use std::io::Error;
    assert!(is_of_one_connection(&Error::from(ErrorKind::ConnectionAborted)));
    // EMFILE: no descriptor is left, and trying again at once would spin.
    assert!(!is_of_one_connection(&Error::from_raw_os_error(24)));
}

#[test]
fn trouble_with_accepting_is_told_once_in_a_while() {
    let mut troubles = Troubles::default();
    let error = io::Error::from_raw_os_error(24);
    for _ in 0..1000 {
        troubles.tell(&error);
    }
    assert_eq!(troubles.untold, 999);
}

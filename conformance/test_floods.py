"""Attacks on the transport, each with an honest client beside it and the number of docs/security.md that holds.

What is malformed or too large is in test_attacks.py; here it is well-formed enough, and too much of it.
"""

import resource
import select
import socket
import ssl
import threading

import pytest
from botocore.config import Config

import boto3
from clients import RawClient, client
from conftest import REGION
from http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2,
    field,
    frame,
    request_head,
    settings,
)

pytestmark = pytest.mark.process

TIMEOUT_SECONDS = 5
MIB = 1024 * 1024

# The numbers of docs/security.md.
IDLE_CONNECTIONS = 10_000
IDLE_MEMORY_MAX = 448 * MIB
UNFINISHED_MEMORY_MAX = 960 * MIB
LARGE_REQUESTS_MAX = 1024
SMALL_REQUEST_BYTES = 16 * 1024
BODIES_MAX = 64 * MIB
LARGE_BODIES_MAX = 48
HTTP2_STREAMS_MAX = 100
HTTP2_HEAD_BYTES_MAX = 32 * 1024
HTTP2_RESETS_MAX = 20
FLOOD_MEMORY_MAX = 128 * MIB

SETTINGS_FILE = f"""
body_timeout_secs = {TIMEOUT_SECONDS}
header_timeout_secs = {TIMEOUT_SECONDS}
connections_max = 12000
"""


def patient(target, **options):
    """A client that tries again, as all SDKs do unless told otherwise: one that meets a full house may lose a connection."""
    return client(target, REGION, attempts=5, **options)


def honest_client(target, **options):
    kms = patient(target, **options)
    id = kms.create_key()["KeyMetadata"]["KeyId"]

    def ask() -> bool:
        blob = kms.encrypt(KeyId=id, Plaintext=b"honest")["CiphertextBlob"]
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"honest"

    return ask


def settings_file(made, text: str = SETTINGS_FILE) -> tuple[str, str]:
    path = made.home / "strongroom.toml"
    path.write_text(text)
    return ("--config", str(path))


@pytest.fixture(scope="module")
def target(new_server):
    made = new_server().init()
    return made.start(extra=settings_file(made))


@pytest.fixture(scope="module")
def honest(target):
    """An honest client with a connection that was open before the attack."""
    return honest_client(target)


@pytest.fixture
def newcomer(target):
    """Honest clients that come during the attack: each call is one."""
    return lambda: client(target, REGION).list_keys()["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.fixture(scope="module")
def secure(new_server):
    made = new_server().init()
    return made.start_with_tls(made.make_certificates(), extra=settings_file(made))


@pytest.fixture(scope="module")
def ca(secure):
    return secure.home / "tls" / "ca.pem"


@pytest.fixture(scope="module")
def honest_secure(secure, ca):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CA_BUNDLE", str(ca))
        return honest_client(secure)


@pytest.fixture
def newcomer_secure(secure, ca, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca))
    return lambda: patient(secure).list_keys()["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.fixture(autouse=True)
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Many connections of one attacker."""

    def __init__(self, target, count: int, first: bytes = b""):
        self.sockets = [socket.create_connection(("127.0.0.1", target.port), timeout=20) for _ in range(count)]
        self.send(first)

    def send(self, data: bytes) -> None:
        for connection in self.sockets if data else ():
            try:
                connection.sendall(data)
            except OSError:
                pass  # closed by the server already

    def closed(self, within: float = 0) -> int:
        """How many the server has closed, after what it had to say; waits until all are, at most so long."""
        poll = select.poll()
        waiting = {connection.fileno(): connection for connection in self.sockets}
        for number in waiting:
            poll.register(number, select.POLLIN)
        while waiting and (ready := poll.poll(within * 1000)):
            for number, _ in ready:
                try:
                    over = not waiting[number].recv(65_536)
                except OSError:
                    over = True
                if over:
                    poll.unregister(number)
                    del waiting[number]
        return len(self.sockets) - len(waiting)

    def answers(self) -> list[int]:
        """The status that each connection got first; 0 where it was closed instead."""
        return [status_of(connection) for connection in self.sockets]

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_) -> None:
        for connection in self.sockets:
            connection.close()


def status_of(connection: socket.socket) -> int:
    try:
        answer = connection.recv(65_536)
    except ConnectionError:
        return 0
    return int(answer.split(b" ", 2)[1]) if answer else 0


def head(*lines: str) -> bytes:
    return ("\r\n".join(["POST / HTTP/1.1", "Host: 127.0.0.1", *lines]) + "\r\n\r\n").encode()


UNSIGNED = head("X-Amz-Target: TrentService.ListKeys", "Content-Length: 2") + b"{}"


def wire(signed) -> bytes:
    """A signed request as HTTP/1.1."""
    lines = [f"{name}: {value}" for name, value in signed.headers if name.lower() != "content-length"]
    text = "\r\n".join(["POST / HTTP/1.1", *lines, f"Content-Length: {len(signed.body)}"])
    return text.encode() + b"\r\n\r\n" + signed.body


# In the clear.


def test_slow_senders_are_cut_off_and_others_served(target, honest, newcomer):
    heads = Crowd(target, 500, b"POST / HTTP/1.1\r\nHost: x\r\n")
    bodies = Crowd(target, 500, head("Content-Length: 100"))
    with heads, bodies:
        for _ in range(5):
            heads.send(b"X")
            bodies.send(b"x")
            assert honest() and newcomer()
        assert heads.closed(2 * TIMEOUT_SECONDS) == 500
        assert bodies.closed(2 * TIMEOUT_SECONDS) == 500


def test_half_open_connections_are_cut_off_and_others_served(target, honest, newcomer):
    silent, half_closed = Crowd(target, 500), Crowd(target, 500, b"POST / HTTP/1.1\r\n")
    with silent, half_closed:
        for connection in half_closed.sockets:
            connection.shutdown(socket.SHUT_WR)
        assert honest() and newcomer()
        assert silent.closed(2 * TIMEOUT_SECONDS) == 500
        assert half_closed.closed(2 * TIMEOUT_SECONDS) == 500


def test_10_000_idle_connections_fit_and_others_are_served(new_server):
    """As it is configured by default, with as many connections as may be open."""
    made = new_server().init().start()
    honest = honest_client(made)
    before = made.memory("VmRSS")
    with Crowd(made, IDLE_CONNECTIONS) as idle:
        idle.send(UNSIGNED)
        # Those that were silent longest have made room for the last ones.
        assert idle.answers().count(400) > 0.9 * IDLE_CONNECTIONS
        grown = made.memory("VmRSS") - before
        print(f"{made.metric('strongroom_connections_open'):.0f} idle connections: {grown / MIB:.0f} MiB")
        assert grown < IDLE_MEMORY_MAX
        for _ in range(5):
            assert honest() and patient(made).list_keys()["Keys"]
        assert made.metric("strongroom_connections_open") > 0.8 * IDLE_CONNECTIONS


def test_10_000_unfinished_heads_fit_and_others_are_served(new_server):
    """Each as large as it may be without a place among the large requests."""
    made = new_server().init().start()
    honest = honest_client(made)
    before = made.memory()
    start = b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: "
    with Crowd(made, IDLE_CONNECTIONS) as crowd:
        crowd.send(start + b"x" * (SMALL_REQUEST_BYTES - len(start)))
        for _ in range(5):
            assert honest() and patient(made).list_keys()["Keys"]
        assert made.metric("strongroom_large_requests_refused_total") == 0
        grown = made.memory() - before
        print(f"{made.metric('strongroom_connections_open'):.0f} unfinished heads: {grown / MIB:.0f} MiB")
        assert grown < UNFINISHED_MEMORY_MAX


def test_large_heads_have_a_number_of_places(target, honest, newcomer):
    before = target.memory("VmRSS")
    more = 200
    with Crowd(target, LARGE_REQUESTS_MAX + more) as crowd:
        crowd.send(b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * (SMALL_REQUEST_BYTES + 1))
        target.wait_for("places are refused", lambda: target.metric("strongroom_large_requests_refused_total") >= more)
        assert target.metric("strongroom_large_requests_refused_total") == more
        assert honest() and newcomer()
        assert target.memory("VmRSS") - before < FLOOD_MEMORY_MAX


def test_bodies_of_strangers_share_one_budget(target, honest, newcomer):
    more = 50
    with Crowd(target, LARGE_BODIES_MAX + more) as crowd:
        crowd.send(head("Content-Length: 1048576", "Expect: 100-continue"))
        answers = crowd.answers()
        assert sorted(answers) == [100] * LARGE_BODIES_MAX + [503] * more
        assert target.metric("strongroom_bodies_bytes") == LARGE_BODIES_MAX * MIB < BODIES_MAX
        assert honest() and newcomer()
    target.wait_for("the budget is whole again", lambda: target.metric("strongroom_bodies_bytes") == 0)


def test_pipelining_without_reading_ends_and_others_are_served(target, honest, newcomer):
    before = target.memory()
    raw = RawClient(target, REGION)
    request = wire(raw.sign("GenerateRandom", {"NumberOfBytes": 1024}))
    with Crowd(target, 20) as crowd:
        threads = [threading.Thread(target=push, args=(one, request * 2000)) for one in crowd.sockets]
        for thread in threads:
            thread.start()
        for _ in range(10):
            assert honest() and newcomer()
        assert crowd.closed(2 * TIMEOUT_SECONDS) == 20
        for thread in threads:
            thread.join(timeout=20)
    assert target.memory() - before < FLOOD_MEMORY_MAX


def push(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        pass  # closed by the server, as it should


def test_overload_is_shed_with_throttling_and_retries_succeed(new_server):
    made = new_server().init()
    made.start(extra=settings_file(made, "requests_max = 2\n"))
    login = made.login()
    honest = boto3.session.Session().client(
        "kms",
        region_name=REGION,
        endpoint_url=made.endpoint(REGION),
        aws_access_key_id=login.access_key,
        aws_secret_access_key=login.secret_key,
        config=Config(retries={"total_max_attempts": 20, "mode": "standard"}),
    )
    request = wire(RawClient(made, REGION).sign("GenerateRandom", {"NumberOfBytes": 8}))
    name = 'strongroom_requests_total{operation="Unknown",outcome="ThrottlingException"}'
    with Crowd(made, 300) as crowd:
        seen = set()
        for _ in range(50):
            crowd.send(request)
            assert len(honest.generate_random(NumberOfBytes=8)["Plaintext"]) == 8
            seen |= set(crowd.answers())
            if seen == {200, 400}:
                break
        assert seen == {200, 400}
        assert made.metric(name) > 0
    assert len(honest.generate_random(NumberOfBytes=8)["Plaintext"]) == 8


def test_descriptors_that_run_out_stop_nobody_who_is_in(new_server):
    made = new_server().init()
    made.start(open_files_max=300)
    assert "`connections_max`, which is lowered" in made.log()
    honest = honest_client(made)
    with Crowd(made, 400) as crowd:
        made.wait_for("all are accepted or refused", lambda: crowd.closed() >= 400 - 150)
        # Half of the descriptors are left to the store, the journal and the admin listener.
        assert made.metric("strongroom_connections_open") <= 150
        assert honest()
    assert honest()
    # Fewer than are open: accept(2) fails, for which there is no limit of ours.
    resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (3, 300))
    with Crowd(made, 20) as crowd:
        made.wait_for("the log says so", lambda: "cannot accept connections" in made.log())
        assert honest()
        resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (300, 300))
        assert patient(made).list_keys()["Keys"]


# Inside TLS.


def hello(ca) -> bytes:
    """The first flight of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=ca)
    connection = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def test_handshakes_that_stop_half_way_keep_nobody_out(secure, ca, honest_secure, newcomer_secure):
    first = hello(ca)
    silent, half, whole = Crowd(secure, 300), Crowd(secure, 300, first[:50]), Crowd(secure, 600, first)
    with silent, half, whole:
        assert honest_secure() and newcomer_secure()
        for crowd in (silent, half, whole):
            assert crowd.closed(2 * TIMEOUT_SECONDS) == len(crowd.sockets)
    assert secure.metric("strongroom_tls_handshakes_failed_total") >= 1200


def test_a_flood_of_handshakes_leaves_open_connections_served(secure, ca, honest_secure, newcomer_secure):
    first = hello(ca)
    is_over = threading.Event()

    def flood():
        while not is_over.is_set():
            with Crowd(secure, 20, first):
                pass

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert honest_secure() and newcomer_secure()
    finally:
        is_over.set()
        for thread in threads:
            thread.join(timeout=20)


@pytest.fixture
def http2(secure, ca):
    """An attacker's HTTP/2 connection; the server's memory stays bounded and it stays up whatever comes over it."""
    before = secure.memory()
    with Http2(secure.port, ca) as connection:
        yield connection
    assert secure.is_alive() and "panicked" not in secure.log()
    assert secure.memory() - before < FLOOD_MEMORY_MAX


def test_http2_rapid_reset_ends_the_connection(http2, honest_secure, newcomer_secure):
    opening = request_head(fields=[("content-length", "100")])
    pairs = [
        frame(HEADERS, END_HEADERS, stream, opening) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
        for stream in range(1, 2 * 5 * HTTP2_RESETS_MAX, 2)
    ]
    http2.send(*pairs)
    last = http2.read_until(GOAWAY)
    assert last is not None and last.error == ENHANCE_YOUR_CALM
    assert honest_secure() and newcomer_secure()


def test_http2_resets_up_to_the_limit_are_taken(http2):
    opening = request_head(fields=[("content-length", "100")])
    for stream in range(1, 2 * HTTP2_RESETS_MAX, 2):
        http2.send(frame(HEADERS, END_HEADERS, stream, opening), frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    http2.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * HTTP2_RESETS_MAX + 1, request_head()))
    assert http2.read_until(HEADERS, GOAWAY).status == 400


def test_http2_continuation_flood_ends_the_connection(http2, honest_secure, newcomer_secure):
    http2.send(frame(HEADERS, 0, 1, request_head()))
    for number in range(100_000):
        if not http2.send(frame(CONTINUATION, 0, 1, field(f"x-{number}", "y" * 100)) * 100):
            break
    else:
        raise AssertionError("ten million headers were taken")
    assert honest_secure() and newcomer_secure()


def test_http2_empty_continuation_flood_ends_the_connection(http2, honest_secure, newcomer_secure):
    http2.send(frame(HEADERS, 0, 1, request_head()))
    for _ in range(10_000):
        if not http2.send(frame(CONTINUATION, 0, 1) * 100):
            break
    else:
        raise AssertionError("a million empty frames were taken")
    assert honest_secure() and newcomer_secure()


def test_http2_head_past_the_limit_is_refused(http2):
    def status(stream: int, size: int) -> int:
        fields = [(f"x-{number}", "y" * 4000) for number in range(size // 4000)]
        parts = request_head(fields=fields)
        first, rest = parts[:16_000], parts[16_000:]
        frames = [frame(HEADERS, END_STREAM, stream, first)]
        while rest:
            piece, rest = rest[:16_000], rest[16_000:]
            frames.append(frame(CONTINUATION, 0 if rest else END_HEADERS, stream, piece))
        http2.send(*frames)
        answer = http2.read_until(HEADERS, RST_STREAM, GOAWAY)
        return answer.status if answer.kind == HEADERS else 0

    assert status(1, HTTP2_HEAD_BYTES_MAX - 4000) == 400
    assert status(3, HTTP2_HEAD_BYTES_MAX + 4000) in (0, 431)


def test_http2_one_stream_too_many_is_refused(http2, honest_secure):
    opening = request_head(fields=[("content-length", "100")])
    streams = range(1, 2 * HTTP2_STREAMS_MAX + 3, 2)
    http2.send(frame(SETTINGS, 1), *[frame(HEADERS, END_HEADERS, stream, opening) for stream in streams])
    refused = http2.read_until(RST_STREAM, GOAWAY)
    assert (refused.kind, refused.stream, refused.error) == (RST_STREAM, streams[-1], REFUSED_STREAM)
    assert honest_secure()
    # The others are cut off like every body that is too slow.
    assert http2.read_until(HEADERS, GOAWAY).status == 408


def test_http2_answers_that_are_not_taken_are_paid_for(secure, ca, honest_secure, newcomer_secure):
    with Http2(secure.port, ca, settings(initial_window_size=0)) as connection:
        streams = range(1, 2 * HTTP2_STREAMS_MAX, 2)
        connection.send(
            *[frame(HEADERS, END_HEADERS | END_STREAM, stream, request_head()) for stream in streams],
        )
        for _ in streams:
            assert connection.read_until(HEADERS, GOAWAY).status == 400
        assert secure.metric("strongroom_bodies_bytes") >= HTTP2_STREAMS_MAX * 2048
        assert honest_secure() and newcomer_secure()
    secure.wait_for("the budget is whole again", lambda: secure.metric("strongroom_bodies_bytes") == 0)


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, payload=b"12345678"),
        settings(initial_window_size=1000),
        frame(DATA, 0, 1),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
        frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
    ],
    ids=["ping", "settings", "empty data", "window update", "reset"],
)
def test_http2_floods_of_cheap_frames_keep_nobody_out(http2, honest_secure, newcomer_secure, flood):
    http2.send(frame(HEADERS, END_HEADERS, 1, request_head(fields=[("content-length", "100")])))
    is_over = threading.Event()

    def send():
        while not is_over.is_set() and http2.send(flood * 1000):
            pass

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(5):
            assert honest_secure() and newcomer_secure()
    finally:
        is_over.set()
        try:
            http2.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed by the server already
        thread.join(timeout=20)

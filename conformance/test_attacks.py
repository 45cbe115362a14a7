"""What strangers send: the server stays up, its memory stays bounded, and honest requests are served meanwhile."""

import base64
import json
import os
import random
import socket
import threading
import time

import pytest

from clients import RawClient, client
from conftest import REGION

pytestmark = pytest.mark.process

BODY_MAX = 1024 * 1024
# The unauthenticated bodies' budget is 64 MiB; twice that is room for the allocator.
MEMORY_GROWTH_BYTES_MAX = 128 * 1024 * 1024
BODY_TIMEOUT_SECONDS = 2


@pytest.fixture(scope="module")
def target(new_server):
    made = new_server().init()
    settings = made.home / "strongroom.toml"
    settings.write_text(f"body_timeout_secs = {BODY_TIMEOUT_SECONDS}\nheader_timeout_secs = {BODY_TIMEOUT_SECONDS}\n")
    return made.start(extra=("--config", str(settings)))


@pytest.fixture(scope="module")
def raw(target):
    return RawClient(target, REGION)


@pytest.fixture(scope="module")
def honest(target):
    kms = client(target, REGION)
    id = kms.create_key()["KeyMetadata"]["KeyId"]

    def ask():
        blob = kms.encrypt(KeyId=id, Plaintext=b"honest")["CiphertextBlob"]
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"honest"

    return ask


@pytest.fixture(autouse=True)
def stays_up(target, honest):
    before = peak_memory(target)
    yield
    assert target.is_alive(), target.log()
    assert honest()
    assert peak_memory(target) - before < MEMORY_GROWTH_BYTES_MAX
    assert "panicked" not in target.log()


def peak_memory(target) -> int:
    with open(f"/proc/{target.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def connect(target) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", target.port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send(target, *parts: bytes) -> bytes:
    """Sends what the server lets us, then reads until it closes; a reset is an end like another."""
    with connect(target) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass
        return drain(connection)


def drain(connection: socket.socket) -> bytes:
    """All that comes until the server closes; it must, for every request here is its connection's last."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def head(*lines: str) -> bytes:
    return ("\r\n".join(["POST / HTTP/1.1", "Host: 127.0.0.1", *lines]) + "\r\n\r\n").encode()


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


MEGABYTE = b"x" * BODY_MAX


def test_body_of_100_mb_is_refused(target):
    answer = send(target, head("Content-Length: 104857600", "Connection: close"), *[MEGABYTE] * 100)
    assert statuses(answer) in ([413], [])


def test_body_of_100_mb_without_a_length_is_refused(target):
    chunk = b"%x\r\n%s\r\n" % (BODY_MAX, MEGABYTE)
    answer = send(target, head("Transfer-Encoding: chunked", "Connection: close"), *[chunk] * 100, b"0\r\n\r\n")
    assert statuses(answer) in ([413], [])


def test_body_one_byte_past_the_limit_is_told_the_limit(raw):
    signed = raw.sign("ListKeys", b"{}".ljust(BODY_MAX + 1))
    answer = signed.send()
    assert answer.status == 413
    assert str(BODY_MAX) in answer.message
    assert raw("ListKeys", b"{}".ljust(BODY_MAX)).status == 200


def test_absurd_lengths_are_refused(target):
    for value in ("-1", "99999999999999999999999", "1e3", "0x10", "", "1, 2", "１"):
        answer = send(target, head(f"Content-Length: {value}", "Connection: close"))
        assert all(400 <= status < 500 for status in statuses(answer)), (value, answer)


def test_length_and_chunks_at_once_are_not_smuggled(target):
    smuggled = (
        head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    answer = send(target, smuggled, head("Connection: close", "Content-Length: 0"))
    assert 200 not in statuses(answer)


def test_two_lengths_are_refused(target):
    answer = send(target, head("Content-Length: 2", "Content-Length: 3", "Connection: close"), b"{}{")
    assert statuses(answer) in ([400], [])


def test_header_of_a_megabyte_is_refused(target):
    answer = send(target, b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ", MEGABYTE, b"\r\n\r\n")
    assert statuses(answer) in ([431], [400], [])


def test_request_line_of_a_megabyte_is_refused(target):
    answer = send(target, b"POST /" + MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(answer) in ([414], [431], [400], [])


def test_5000_headers_are_refused(target):
    answer = send(target, head(*[f"X-Header-{number}: value" for number in range(5000)]))
    assert statuses(answer) in ([431], [400], [])


def test_signed_request_with_eighty_more_headers_is_served(raw):
    assert raw("ListKeys", {}, headers=[(f"X-Header-{number}", "v") for number in range(80)]).status == 200


@pytest.mark.parametrize("seed", range(8))
def test_garbage_bytes_are_no_request(target, seed):
    garbage = random.Random(seed).randbytes(4096)
    with connect(target) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        answer = drain(connection)
    assert statuses(answer) in ([400], [431], []), answer[:200]


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n" * 2000,
        b"\0" * 4096,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64,
        b"POST / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=["newlines", "zeros", "tls", "http2", "version", "space", "folding", "cr", "colon", "connect", "absolute"],
)
def test_what_is_no_request_is_never_served(target, text):
    with connect(target) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = drain(connection)
    assert all(400 <= status < 600 for status in statuses(answer)), answer[:200]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"])
def test_other_methods_are_refused(target, method):
    request = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    (status,) = statuses(send(target, request.encode()))
    assert 400 <= status < 500


def test_body_that_never_ends_times_out(target):
    with connect(target) as connection:
        connection.sendall(head("Content-Length: 1000") + b"{")
        begun = time.monotonic()
        answer = drain(connection)
    assert statuses(answer) in ([408], [])
    assert time.monotonic() - begun < 5 * BODY_TIMEOUT_SECONDS


def test_head_that_never_ends_times_out(target):
    with connect(target) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")
        begun = time.monotonic()
        answer = drain(connection)
    assert 200 not in statuses(answer)
    assert time.monotonic() - begun < 5 * BODY_TIMEOUT_SECONDS


def test_slow_strangers_do_not_keep_honest_callers_out(target, honest):
    slow = [connect(target) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(head("Content-Length: 1048576") + b"{")
        assert honest()
    finally:
        for connection in slow:
            connection.close()


def test_pipelined_requests_are_answered_in_order(target, raw):
    requests = b""
    for number in range(1, 21):
        signed = raw.sign("GenerateRandom", {"NumberOfBytes": number})
        lines = [f"{name}: {value}" for name, value in signed.headers if name.lower() != "host"]
        if number == 20:
            lines.append("Connection: close")
        lines.append(f"Content-Length: {len(signed.body)}")
        host = f"Host: {signed.header('Host')}"
        requests += ("\r\n".join(["POST / HTTP/1.1", host, *lines]) + "\r\n\r\n").encode() + signed.body
    answer = send(target, requests)
    assert statuses(answer) == [200] * 20
    bodies = [json.loads(part[: part.index(b"}") + 1]) for part in answer.split(b"\r\n\r\n")[1:]]
    assert [len(base64.b64decode(body["Plaintext"])) for body in bodies] == list(range(1, 21))


def test_many_clients_at_once_are_all_served(target, honest):
    outcomes = []

    def work():
        outcomes.append(all(honest() for _ in range(10)))

    threads = [threading.Thread(target=work) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert outcomes == [True] * 24


def test_connections_that_come_and_go_leak_nothing(target):
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{target.process.pid}/fd"))

    before = descriptors()
    for number in range(500):
        with connect(target) as connection:
            if number % 2:
                connection.sendall(b"POST / HTTP/1.1\r\nContent-Le")
    deadline = time.monotonic() + 10
    while descriptors() > before + 10 and time.monotonic() < deadline:
        time.sleep(0.05)  # the bounded poll until the server has seen the ends
    assert descriptors() <= before + 10

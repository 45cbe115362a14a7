"""The admin listener: health, readiness, metrics; and that neither listener does the other's work."""

import http.client
import re
import time

import pytest

pytestmark = pytest.mark.process


def samples(server) -> dict[str, float]:
    """Every sample of /metrics by its name with labels."""
    found = {}
    for line in server.admin("/metrics").text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def counts(server, *words: str) -> float:
    """The sum of all counters (not sums of seconds, not buckets) that name all words."""
    return sum(
        value
        for name, value in samples(server).items()
        if all(f'"{word}"' in name for word in words) and re.match(r"\w+(_total|_count)\{", name)
    )


def test_unknown_path_is_not_found(server):
    for path in ("/", "/nothing", "/metrics/x", "/healthz/../metrics"):
        assert server.admin(path).status == 404


def test_other_methods_are_refused(server):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.admin(path, method="POST").status in (404, 405)


def test_admin_listener_does_not_serve_kms(server, raw):
    signed = raw.sign("ListKeys")
    connection = http.client.HTTPConnection("127.0.0.1", server.admin_port, timeout=5)
    connection.request("POST", "/", signed.body, dict(signed.headers))
    response = connection.getresponse()
    assert response.status in (404, 405)
    assert b"Keys" not in response.read()
    connection.close()


def test_main_listener_does_not_serve_metrics(server):
    for path in ("/metrics", "/healthz", "/readyz"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", path)
        response = connection.getresponse()
        assert 400 <= response.status < 500
        assert b"strongroom" not in response.read()
        connection.close()


def test_health_and_readiness_are_good(server):
    assert server.admin("/healthz").status == 200
    assert server.admin("/readyz").status == 200


def test_metrics_are_open_metrics_text(server):
    answer = server.admin("/metrics")
    assert answer.status == 200
    kind = {name.lower(): value for name, value in answer.headers.items()}["content-type"]
    assert kind.startswith(("application/openmetrics-text", "text/plain"))
    assert "# TYPE " in answer.text and "# HELP " in answer.text
    assert samples(server)["process_resident_memory_bytes"] > 1_000_000


def test_success_is_counted_by_operation(server, kms, key):
    before = counts(server, "Encrypt", "Success")
    for _ in range(7):
        kms.encrypt(KeyId=key.id, Plaintext=b"x")
    assert counts(server, "Encrypt", "Success") >= before + 7


def test_refusal_is_counted_by_its_error(server, raw):
    before = counts(server, "DescribeKey", "NotFoundException")
    for _ in range(5):
        assert raw("DescribeKey", {"KeyId": "nonsense"}).code == "NotFoundException"
    assert counts(server, "DescribeKey", "NotFoundException") >= before + 5


def test_labels_hold_nothing_that_a_caller_chose(server, raw):
    invented = ["InventedOperationXyzzy", "Plugh<script>"]
    before = len(samples(server))
    for name in invented:
        raw(name, {})
        raw("DescribeKey", {"KeyId": name})
    page = server.admin("/metrics").text
    assert not [name for name in invented if name in page]
    # A first error of its kind may add a series; a series for each stranger's word would not stop.
    for number in range(100):
        raw(f"Invented{number}", {})
    assert len(samples(server)) <= before + 40


def test_jobs_run_and_fail_not(server):
    deadline = time.monotonic() + 10
    while samples(server)["strongroom_jobs_last_run_timestamp_seconds"] == 0 and time.monotonic() < deadline:
        time.sleep(0.05)  # the bounded poll of the first run, which begins with the server
    found = samples(server)
    assert abs(found["strongroom_jobs_last_run_timestamp_seconds"] - time.time()) < 120
    assert found["strongroom_jobs_failures_total"] == 0
    assert found["strongroom_domain_keys_older"] == 0

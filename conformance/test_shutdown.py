"""Starting, stopping, and what is refused before a server starts."""

import json
import os
import socket
import stat
import subprocess
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from clients import RawClient, client
from conftest import ACCOUNT, REGION
from server import Server, binary, clean_environment, free_port, run

pytestmark = pytest.mark.process

EXIT_SECONDS_MAX = 20


def serve_refused(target: Server, *more: str, arguments: list[str] | None = None) -> str:
    """Runs `serve`, which must end by itself with an error; its stderr."""
    done = subprocess.run(
        [binary(), *(arguments or target.serve_arguments()), *more],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=EXIT_SECONDS_MAX,
    )
    assert done.returncode != 0
    assert done.stderr.strip()
    assert "panicked" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def running(new_server):
    return new_server().init().start()


# Refused.


def test_serve_without_init_is_refused(new_server):
    serve_refused(new_server())


def test_init_of_an_initialised_directory_is_refused_and_changes_nothing(new_server):
    target = new_server().init()
    before = target.credentials_path.read_bytes()
    again = run("init", *target.directories(), "--account", ACCOUNT)
    assert again.returncode != 0
    assert again.stderr.strip()
    assert target.credentials_path.read_bytes() == before
    target.start()
    client(target, REGION).list_keys()


def test_init_with_a_malformed_account_or_region_is_refused(new_server):
    target = new_server()
    for wrong in (["--account", "12345"], ["--account", ACCOUNT, "--region", "US EAST"]):
        done = run("init", *target.directories(), *wrong)
        assert done.returncode != 0
        assert done.stderr.strip()
    target.init()


def test_second_serve_on_the_same_data_is_refused(running):
    port = free_port()
    ports = ["--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{free_port(port)}"]
    serve_refused(running, arguments=["serve", *running.directories(), *ports])
    assert running.is_ready()
    client(running, REGION).list_keys()


def test_check_of_data_that_is_served_is_refused(running):
    done = running.check()
    assert done.returncode != 0
    assert done.stderr.strip()
    assert running.is_ready()


def test_port_that_is_taken_is_refused(running, new_server):
    other = new_server().init()
    other.port = running.port
    assert str(running.port) in serve_refused(other)
    client(running, REGION).list_keys()


def test_listening_to_other_machines_in_plaintext_is_refused(new_server):
    target = new_server().init()
    for address in ("0.0.0.0", "[::]"):
        arguments = ["serve", *target.directories(), "--listen", f"{address}:{target.port}"]
        arguments += ["--admin-listen", f"127.0.0.1:{target.admin_port}"]
        assert "insecure-plaintext" in serve_refused(target, arguments=arguments)
    target.serve_arguments = lambda: [
        *("serve", *target.directories(), "--listen", f"0.0.0.0:{target.port}"),
        *("--admin-listen", f"127.0.0.1:{target.admin_port}", "--insecure-plaintext"),
    ]
    target.start()
    client(target, REGION).list_keys()


def test_root_directory_of_another_deployment_is_refused(new_server):
    target, other = new_server().init(), new_server().init()
    arguments = ["serve", "--data", str(target.data), "--root-dir", str(other.root_directory)]
    arguments += ["--listen", f"127.0.0.1:{target.port}", "--admin-listen", f"127.0.0.1:{target.admin_port}"]
    serve_refused(target, arguments=arguments)
    target.start()


def test_unknown_field_in_the_configuration_is_refused(new_server):
    target = new_server().init()
    settings = target.home / "strongroom.toml"
    settings.write_text("no_such_field = 1\n")
    assert "no_such_field" in serve_refused(target, "--config", str(settings))
    settings.write_text("")
    target.start(extra=("--config", str(settings)))


# Served.


def test_help_is_there():
    for command in ([], ["init"], ["serve"], ["check"]):
        done = run(*command, "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout


def test_root_directory_is_the_owners_alone(new_server):
    target = new_server().init()
    assert stat.S_IMODE(os.stat(target.root_directory).st_mode) == 0o700
    for file in target.root_directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    for path in [target.data, *target.data.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_root_directory_lies_beside_the_data_by_default(tmp_path):
    done = run("init", "--data", str(tmp_path / "data"), "--account", ACCOUNT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data.root" / "credentials").is_file()
    secret = Server(tmp_path, ACCOUNT, [REGION])
    secret.root_directory = tmp_path / "data.root"
    assert secret.login().secret_key not in done.stdout + done.stderr
    try:
        secret.start()
        client(secret, REGION).list_keys()  # us-east-1 is the default region
    finally:
        secret.close()


def test_account_roots_credential_can_be_chosen(new_server):
    target = new_server()
    chosen = {
        "STRONGROOM_ROOT_ACCESS_KEY_ID": "AKIACONFORMANCE12345",
        "STRONGROOM_ROOT_SECRET_ACCESS_KEY": "chosen-secret-of-the-conformance-suite-1",
    }
    target.init(environment=chosen).start()
    login = target.login()
    assert (login.access_key, login.secret_key) == tuple(chosen.values())
    client(target, REGION).list_keys()


def test_sigterm_lets_a_request_in_flight_finish(new_server):
    target = new_server().init().start()
    raw = RawClient(target, REGION)
    signed = raw.sign("CreateKey", {"Description": "in flight"})
    lines = [f"{name}: {value}" for name, value in signed.headers]
    lines += [f"Content-Length: {len(signed.body)}", "Expect: 100-continue"]
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as connection:
        connection.sendall(("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
        # The interim answer shows that the request is in the server's hands.
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        target.terminate()
        await_not_ready(target)
        connection.sendall(signed.body)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert target.wait() == 0
    target.start()
    kms = client(target, REGION)
    keys = [kms.describe_key(KeyId=entry["KeyId"])["KeyMetadata"] for entry in kms.list_keys()["Keys"]]
    assert [key["Description"] for key in keys] == ["in flight"]


def await_not_ready(target) -> None:
    """Readiness ends when the shutdown begins, so that balancers send nothing more."""
    deadline = time.monotonic() + 10
    while target.is_ready():
        assert time.monotonic() < deadline, "still ready ten seconds after SIGTERM"
        time.sleep(0.01)


def test_sigterm_under_load_loses_nothing_that_was_acknowledged(new_server):
    target = new_server().init().start()
    kms = client(target, REGION)
    acknowledged, enough = [], threading.Event()

    def work():
        while True:
            try:
                acknowledged.append(kms.create_key()["KeyMetadata"]["KeyId"])
            except (BotoCoreError, ClientError):
                return
            if len(acknowledged) >= 50:
                enough.set()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert enough.wait(timeout=60)
    assert target.stop() == 0
    for thread in threads:
        thread.join(timeout=30)
    assert target.check().returncode == 0
    target.start()
    kms = client(target, REGION)
    listed = {entry["KeyId"] for page in kms.get_paginator("list_keys").paginate() for entry in page["Keys"]}
    assert set(acknowledged) <= listed


def test_sigterm_records_what_it_ends_without_grace(new_server):
    """Of keys that take long to make some are being made, and the others wait for their turn."""
    target = new_server().init()
    settings = target.home / "strongroom.toml"
    settings.write_text("shutdown_grace_secs = 0\n")
    target.start(extra=("--config", str(settings)))
    kms = client(target, REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    asked, answered = 24, []

    def work():
        try:
            answered.append(kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="RSA_3072"))
        except (BotoCoreError, ClientError):
            pass

    threads = [threading.Thread(target=work) for _ in range(asked)]
    for thread in threads:
        thread.start()
    is_in = lambda: target.metric("strongroom_requests_open") >= asked - len(answered)  # noqa: E731
    target.wait_for("all requests are in the server's hands", is_in)
    assert target.stop() == 0, target.log()
    for thread in threads:
        thread.join(timeout=30)
    records = [json.loads(line) for line in run("audit", *target.directories()).stdout.splitlines()]
    of_pairs = [r for r in records if r["eventName"] == "GenerateDataKeyPairWithoutPlaintext"]
    abandoned = [r for r in of_pairs if r.get("additionalEventData", {}).get("abandoned")]
    assert len(of_pairs) == asked
    assert len(answered) < asked and abandoned, "the server was ended too late for this test"
    assert len(answered) <= asked - len(abandoned)


def test_second_start_serves_what_the_first_made(new_server):
    target = new_server().init().start()
    kms = client(target, REGION)
    made = kms.create_key(Description="kept")["KeyMetadata"]
    kms.create_alias(AliasName="alias/kept", TargetKeyId=made["KeyId"])
    blob = kms.encrypt(KeyId="alias/kept", Plaintext=b"kept", EncryptionContext={"a": "b"})["CiphertextBlob"]
    for _ in range(2):
        target.restart()
        kms = client(target, REGION)
        assert kms.describe_key(KeyId="alias/kept")["KeyMetadata"] == made
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"kept"


def test_check_of_clean_data_is_content(new_server):
    target = new_server().init()
    checked = target.check()
    assert checked.returncode == 0, checked.stderr
    target.start()
    kms = client(target, REGION)
    for number in range(5):
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/checked/{number}", TargetKeyId=key)
    kms.delete_alias(AliasName="alias/checked/0")
    assert target.stop() == 0
    checked = target.check()
    assert checked.returncode == 0, checked.stderr


def test_stdout_says_where_and_holds_no_secret(running):
    text = running.stdout_path.read_text()
    assert f"http://127.0.0.1:{running.port}" in text
    assert str(running.credentials_path) in text
    assert running.login().secret_key not in text

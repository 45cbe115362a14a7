"""A sealed start and its end, room on the disk, the log."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from clients import RawClient, client
from conftest import REGION
from server import READY_SECONDS_MAX, Server, binary, clean_environment, run
from test_metrics_health import samples

pytestmark = pytest.mark.process

PASSPHRASE = "correct horse battery"


def poll(condition, what: str) -> None:
    """The bounded poll of something that another process does."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def reaches(target: Server) -> bool:
    try:
        return target.admin("/healthz").status in (200, 503)
    except OSError:
        return False


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("passphrase") / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return path


@pytest.fixture(scope="module")
def wrong(passphrase) -> Path:
    path = passphrase.with_name("wrong")
    path.write_text("incorrect horse battery\n")
    return path


class Sealed(Server):
    """A server that starts without its passphrase."""

    def start_sealed(self, extra: tuple[str, ...] = ()) -> "Sealed":
        with self.log_path.open("ab") as log, self.stdout_path.open("ab") as stdout:
            self.process = subprocess.Popen(
                [binary(), *self.serve_arguments(), *extra],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
            )
        poll(lambda: reaches(self) or self.process.poll() is not None, "the admin listener does not answer")
        assert self.process.poll() is None, self.log()
        return self

    def unseal(self, file: Path, *more: str) -> subprocess.CompletedProcess:
        return run("unseal", "--data", str(self.data), "--passphrase-file", str(file), *more)

    @property
    def socket(self) -> Path:
        return self.data / "unseal.sock"


@pytest.fixture
def sealed(tmp_path, account, passphrase):
    target = Sealed(tmp_path, account, [REGION])
    arguments = ["--account", account, "--region", REGION, "--passphrase-file", str(passphrase)]
    done = run("init", *target.directories(), *arguments)
    assert done.returncode == 0, done.stderr
    yield target.start_sealed()
    target.close()


# Sealed.


def test_sealed_server_says_so_and_refuses_every_request(sealed):
    ready = sealed.admin("/readyz")
    assert ready.status == 503 and ready.text == "sealed: waiting for `strongroom unseal`\n"
    assert sealed.admin("/healthz").status == 200
    assert samples(sealed)["strongroom_sealed"] == 1
    for operation in ("ListKeys", "GenerateRandom", "NoSuchOperation"):
        answer = RawClient(sealed, REGION)(operation, {})
        assert answer.status == 500 and answer.code == "KMSInternalException", answer.body
        assert "sealed" in answer.message and answer.request_id
    assert "strongroom unseal --data" in sealed.stdout_path.read_text()
    locked = sealed.check()
    assert locked.returncode != 0 and "in use" in locked.stderr
    assert sealed.stop() == 0
    assert not sealed.socket.exists()


def test_wrong_passphrase_leaves_the_server_sealed(sealed, wrong, passphrase):
    for _ in range(2):
        refused = sealed.unseal(wrong)
        assert refused.returncode != 0 and "the passphrase does not open" in refused.stderr
        assert "incorrect horse" not in refused.stderr + sealed.log()
        assert sealed.admin("/readyz").status == 503
    assert sealed.unseal(passphrase).returncode == 0
    assert sealed.is_ready()


def test_unsealed_server_serves_and_waits_no_more(sealed, passphrase):
    mode = sealed.socket.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    told = sealed.unseal(passphrase)
    assert told.returncode == 0 and "serves" in told.stdout, told.stderr
    poll(lambda: not sealed.socket.exists(), "the socket stays")
    assert sealed.is_ready() and samples(sealed)["strongroom_sealed"] == 0
    kms = client(sealed, REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"unsealed")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"unsealed"
    again = sealed.unseal(passphrase)
    assert again.returncode != 0 and "no sealed server waits" in again.stderr
    assert PASSPHRASE not in sealed.log() + sealed.stdout_path.read_text()
    assert sealed.stop() == 0
    checked = run("check", *sealed.directories(), "--passphrase-file", str(passphrase))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_strange_lines_at_the_socket_are_no_passphrases(sealed, passphrase):
    for line in (b"", b"\n", b"x" * 5000, b"\0\xff\n"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(sealed.socket))
            stranger.settimeout(READY_SECONDS_MAX)
            try:
                stranger.sendall(line)
                stranger.shutdown(socket.SHUT_WR)
                answer = stranger.recv(4096)
            except OSError:
                answer = b""
        assert not answer.startswith(b"unsealed")
        assert sealed.admin("/readyz").status == 503
    assert sealed.unseal(passphrase).returncode == 0


def test_killed_while_sealed_starts_sealed_again(sealed, passphrase):
    sealed.kill()
    assert sealed.socket.exists()
    sealed.start_sealed()
    assert sealed.unseal(passphrase).returncode == 0
    assert sealed.is_ready()


def test_socket_may_lie_elsewhere(sealed, passphrase, tmp_path):
    sealed.kill()
    place = ("--unseal-socket", str(tmp_path / "s"))
    sealed.start_sealed(extra=place)
    assert "--unseal-socket" in sealed.stdout_path.read_text()
    assert sealed.unseal(passphrase, *place).returncode == 0
    assert sealed.is_ready()


def test_passphrase_file_starts_unsealed_and_other_roots_do_not_wait(sealed, passphrase, new_server):
    sealed.kill()
    sealed.start(extra=("--passphrase-file", str(passphrase)))
    assert samples(sealed)["strongroom_sealed"] == 0
    plain = new_server().init().start()
    assert not (plain.data / "unseal.sock").exists()
    nobody = run("unseal", "--data", str(plain.data), "--passphrase-file", str(passphrase))
    assert nobody.returncode != 0 and "no sealed server waits" in nobody.stderr


# The disk.


def configured(target: Server, text: str) -> tuple[str, str]:
    path = target.home / "strongroom.toml"
    path.write_text(text)
    return "--config", str(path)


def test_reserve_takes_room_and_holds_nothing(new_server):
    target = new_server().init().start(extra=())
    reserve = target.data / "reserve"
    assert reserve.stat().st_size == 64 * 1024 * 1024 == samples(target)["strongroom_disk_reserve_bytes"]
    assert reserve.stat().st_blocks * 512 >= reserve.stat().st_size
    assert stat.S_IMODE(reserve.stat().st_mode) == 0o600
    assert reserve.read_bytes().count(0) == reserve.stat().st_size
    free = os.statvfs(target.data)
    seen = samples(target)["strongroom_disk_free_bytes"]
    assert abs(seen - free.f_bavail * free.f_frsize) < 8 * 1024**3
    assert target.stop() == 0
    target.start(extra=configured(target, "disk_reserve_mib = 0\n"))
    assert reserve.stat().st_size == 0 == samples(target)["strongroom_disk_reserve_bytes"]


def test_little_room_is_announced_and_refuses_nothing(new_server):
    target = new_server().init()
    target.start(extra=configured(target, "disk_free_alarm_mib = 1000000000\n"))
    ready = target.admin("/readyz")
    assert ready.status == 200 and "disk: little room is left" in ready.text
    assert samples(target)["strongroom_disk_alarm"] == 1
    assert target.log().count("little room is left on the disk") == 1
    client(target, REGION).create_key()


# The log.


def test_log_file_is_opened_anew_on_hangup(new_server):
    target = new_server().init()
    log, old = target.home / "strongroom.log", target.home / "strongroom.log.1"
    target.start(extra=configured(target, f'log_file = "{log}"\nlog_format = "json"\nlog_level = "debug"\n'))
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.rename(old)
    target.process.send_signal(signal.SIGHUP)
    poll(lambda: log.exists() and "opened anew" in log.read_text(), "the log was not opened anew")
    assert client(target, REGION).list_keys()["Keys"] == []
    assert target.stop() == 0
    assert "serving" in old.read_text() and "stopped serving" in log.read_text()
    for line in [*old.read_text().splitlines(), *log.read_text().splitlines()]:
        assert {"timestamp", "level", "message"} <= set(json.loads(line))
    assert target.log() == ""


def test_log_file_that_cannot_be_opened_is_refused(new_server):
    target = new_server().init()
    settings = configured(target, f'log_file = "{target.home}/missing/strongroom.log"\n')
    done = run(*target.serve_arguments(), *settings)
    assert done.returncode != 0 and "missing/strongroom.log" in done.stderr

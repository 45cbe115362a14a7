"""What the server gives up before it serves, seen from outside, and tried from inside its own process. Needs root."""

import errno
import os
import pwd
import resource
import shutil
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from clients import client
from conftest import ACCOUNT, REGION
from faults import PROBE, library
from server import Server, binary, clean_environment, run

pytestmark = pytest.mark.process

NOBODY = pwd.getpwnam("nobody")
MIB = 1024 * 1024
ENOSYS, EACCES = errno.ENOSYS, errno.EACCES


class Owned(Server):
    """A deployment whose data belong to `nobody`, in a directory that this user can reach."""

    def __init__(self, home: Path):
        super().__init__(home, ACCOUNT, [REGION])
        self.anchor = home / "anchor" / "anchor"
        self.anchor.parent.mkdir()

    def directories(self) -> list[str]:
        return [*super().directories(), "--anchor", str(self.anchor)]

    def give(self, *more: Path) -> "Owned":
        for top in (self.data, self.anchor.parent, *more):
            for path in (top, *top.rglob("*")):
                os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        return self

    def start_as_nobody(self, locked_bytes_max: int) -> "Owned":
        """Started as an ordinary user, who may lock so much."""
        self.give(self.root_directory)

        def become():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (locked_bytes_max, locked_bytes_max))
            os.setgroups([])
            os.setgid(NOBODY.pw_gid)
            os.setuid(NOBODY.pw_uid)

        with self.log_path.open("ab") as log, self.stdout_path.open("ab") as stdout:
            command = [str(self.home / "strongroom"), *self.serve_arguments()]
            shutil.copy(binary(), command[0])
            streams = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": log}
            self.process = subprocess.Popen(command, env=clean_environment(), preexec_fn=become, **streams)
        self.wait_for("ready", lambda: self.process.poll() is not None or self.is_ready())
        assert self.is_alive(), self.log()
        return self

    def refusal(self, *arguments: str) -> str:
        done = run(*self.serve_arguments(), *arguments)
        assert done.returncode == 1, done.stderr
        return done.stderr

    def statuses(self) -> list[dict[str, str]]:
        """proc_pid_status(5) of every thread."""
        texts = [path.read_text() for path in Path(f"/proc/{self.process.pid}/task").glob("*/status")]
        return [{name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())} for text in texts]


@pytest.fixture
def owned():
    home = Path(tempfile.mkdtemp(prefix="strongroom-hardening-"))
    home.chmod(0o755)
    target = Owned(home)
    yield target.init()
    target.close()
    shutil.rmtree(home)


def works(target: Server) -> None:
    kms = client(target, REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"confined")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"confined"


def settings(target: Server, text: str) -> tuple[str, str]:
    path = target.home / "strongroom.toml"
    path.write_text(text)
    return "--config", str(path)


# Another user


def test_users_that_cannot_be_become_are_refused_with_the_way_out(owned):
    assert "there is no user `nobody-at-all`" in owned.refusal("--user", "nobody-at-all")
    assert "there is no group `none-at-all`" in owned.refusal("--user", "nobody", "--group", "none-at-all")
    assert "`user` is root" in owned.refusal("--user", "root")
    assert "`group` is set and `user` is not" in owned.refusal("--group", "nogroup")
    assert f"run `chown -R nobody: {owned.data}`" in owned.refusal("--user", "nobody")
    owned.give()
    store = owned.data / "strongroom.sqlite3"
    os.chown(store, 0, 0)
    assert f"`{store}` belongs to user 0, not to `nobody`" in owned.refusal("--user", "nobody")


def test_an_ordinary_user_cannot_become_another_one(owned):
    copy = shutil.copy(binary(), owned.home / "strongroom")
    owned.give(owned.root_directory)
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", copy, *owned.serve_arguments()]
    done = subprocess.run([*command, "--user", "daemon"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "only root can become `daemon`" in done.stderr


def test_root_becomes_the_user_for_ever(owned):
    owned.give().start(extra=("--user", "nobody"))
    works(owned)
    statuses = owned.statuses()
    assert len(statuses) > 5
    for status in statuses:
        assert status["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert status["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert status["Groups"] == ""
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "serving as root" not in owned.log()
    # Of the root directory, which is root's, nothing can be read any more; what is written belongs to the user.
    assert owned.root_directory.stat().st_uid == 0
    assert {path.stat().st_uid for path in owned.data.rglob("*")} == {NOBODY.pw_uid}
    assert owned.anchor.stat().st_uid == NOBODY.pw_uid
    assert owned.restart().stop() == 0


def test_root_without_a_user_is_warned_and_keeps_one_capability(owned):
    owned.start()
    assert "serving as root: name a user" in owned.log()
    for status in owned.statuses():
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 1  # CAP_DAC_OVERRIDE
        assert int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1"


def test_threads_that_compute_for_long_rank_behind_the_others(owned):
    """Also under seccomp, which would answer the call with ENOSYS if it did not know it."""
    owned.start()
    kms = client(owned, REGION)
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.sign(KeyId=key, Message=b"x", SigningAlgorithm="RSASSA_PSS_SHA_256")
    nice = {}
    for task in Path(f"/proc/{owned.process.pid}/task").iterdir():
        # proc_pid_stat(5): what follows the name begins with field 3, and field 19 is the nice value.
        nice.setdefault((task / "comm").read_text().strip(), set()).add(
            int((task / "stat").read_text().rsplit(")", 1)[1].split()[16])
        )
    # The thread that makes RSA keys ahead is a child of one of them, and ranks like it.
    assert (nice.pop("tokio-rt-worker"), nice.pop("strongroom-keys")) == ({15}, {15})
    assert "strongroom-http" in nice and set().union(*nice.values()) == {os.nice(0)}, nice


@pytest.mark.beyond_fips
def test_sealed_server_of_another_user_is_unsealed_by_root(owned):
    passphrase = owned.home / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    for path in (owned.data, owned.root_directory, owned.anchor.parent):
        shutil.rmtree(path)
    owned.anchor.parent.mkdir()
    given = ("--passphrase-file", str(passphrase))
    assert run("init", *owned.directories(), "--account", ACCOUNT, *given).returncode == 0
    owned.give()
    # The file of the root key, and with it the passphrase's, are read before the user changes.
    assert owned.start(extra=("--user", "nobody", *given)).stop() == 0
    with owned.log_path.open("ab") as log:
        command = [binary(), *owned.serve_arguments(), "--user", "nobody"]
        owned.process = subprocess.Popen(command, env=clean_environment(), stdout=log, stderr=log)
    owned.wait_for("sealed", lambda: (owned.data / "unseal.sock").exists())
    assert {status["Uid"].split()[0] for status in owned.statuses()} == {str(NOBODY.pw_uid)}
    done = run("unseal", "--data", str(owned.data), *given)
    assert done.returncode == 0, done.stderr + owned.log()
    owned.wait_for("ready", owned.is_ready)
    works(owned)
    owned.wait_for("the socket is removed", lambda: not (owned.data / "unseal.sock").exists())
    assert owned.stop() == 0


# Locked memory


def may_lock_all() -> bool:
    """The limit is unlimited, or this root may make it so, which needs CAP_SYS_RESOURCE."""
    own = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY or bool(int(own["CapEff"], 16) >> 24 & 1)


def test_root_locks_all_memory_where_it_may(owned):
    owned.give().start(extra=("--user", "nobody"))
    if may_lock_all():
        assert "all memory is locked" in owned.log()
        assert owned.memory("VmLck") > 0.9 * owned.memory("VmRSS")
    else:
        assert "keys and cached key material are locked" in owned.log()
        assert owned.memory("VmLck") > 0
    # The limit that goes with the user must not stop what comes later.
    works(owned)
    assert owned.metric("strongroom_keys_unlocked") == 0


def test_without_a_limit_to_speak_of_nothing_is_locked_and_a_warning_says_so(owned):
    owned.start_as_nobody(0)
    assert "keys are not locked: RLIMIT_MEMLOCK is 0 KiB" in owned.log() and "may be written to swap" in owned.log()
    works(owned)
    assert owned.metric("strongroom_keys_unlocked") > 8 and owned.memory("VmLck") == 0


def test_with_a_small_limit_the_keys_are_locked_and_material_is_not(owned):
    owned.start_as_nobody(64 * 1024)
    assert "cached key material only up to 0 keys: RLIMIT_MEMLOCK is 64 KiB" in owned.log()
    works(owned)
    assert owned.memory("VmLck") == owned.metric("strongroom_key_memory_locked_bytes") == 64 * 1024
    assert owned.metric("strongroom_keys_unlocked") == 1


def test_with_the_usual_limit_an_ordinary_user_locks_all_keys(owned):
    owned.start_as_nobody(8 * MIB)
    assert "keys and cached key material are locked" in owned.log() and "may be written to swap" not in owned.log()
    works(owned)
    assert owned.memory("VmLck") == owned.metric("strongroom_key_memory_locked_bytes") == 128 * 1024
    assert owned.metric("strongroom_keys_unlocked") == 0
    for status in owned.statuses():
        assert int(status["CapEff"], 16) == 0 and (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


# Files, ports, system calls: an intruder in the server's process


@pytest.fixture
def probe(owned):
    """A server with an intruder in its process, who tells what happened to its calls."""
    told = owned.home / "told"
    told.touch()
    owned.environment = {
        "LD_PRELOAD": str(library(PROBE)),
        "PROBE_OUT": str(told),
        "PROBE_ROOT_KEY": str(owned.root_directory / "root.key"),
        "PROBE_CREDENTIALS": str(owned.credentials_path),
        "PROBE_ELSEWHERE": str(owned.home / "elsewhere"),
        "PROBE_DATA": str(owned.data / "strongroom.sqlite3"),
    }

    def outcomes() -> dict[str, int]:
        return {name: int(number) for name, number in (line.split() for line in told.read_text().splitlines())}

    owned.outcomes = outcomes
    return owned


OUTCOMES = {
    "open-passwd": EACCES,
    "open-root-key": EACCES,
    "open-credentials": EACCES,
    "create-elsewhere": EACCES,
    "socket-tcp": ENOSYS,
    "socket-unix": ENOSYS,
    "fork": ENOSYS,
    "clone3": ENOSYS,
    "kill": ENOSYS,
    "memory-execute": ENOSYS,
    "memfd": ENOSYS,
    "io-uring": ENOSYS,
    "setrlimit": ENOSYS,
    "prctl-dumpable": ENOSYS,
    "open-data": 0,
    "end": 0,
}


def test_forbidden_calls_of_the_process_are_refused_and_it_serves_on(probe):
    probe.start()
    assert probe.outcomes() == OUTCOMES
    assert not (probe.home / "elsewhere").exists()
    works(probe)
    assert probe.stop() == 0


@pytest.mark.parametrize(
    "call",
    ["execve", "ptrace", "process_vm_readv", "unshare", "mount", "setuid", "bpf", "keyctl", "init_module"],
)
def test_a_deadly_call_of_the_process_ends_it(probe, call):
    probe.environment["PROBE_DEADLY"] = call
    with pytest.raises(AssertionError, match=f"serve exited with -{int(signal.SIGSYS)} "):
        probe.start()
    assert probe.outcomes() == {name: number for name, number in OUTCOMES.items() if name != "end"}


def test_what_is_turned_off_is_off_and_the_log_says_so(probe):
    probe.start(extra=settings(probe, '[hardening]\nlandlock = "off"\nseccomp = "off"\n'))
    assert 'landlock="off" seccomp="off"' in probe.log()
    outcomes = probe.outcomes()
    assert outcomes["open-root-key"] == outcomes["socket-tcp"] == 0
    assert {status["Seccomp"] for status in probe.statuses()} == {"0"}
    # Without privileges to gain all the same.
    assert {status["NoNewPrivs"] for status in probe.statuses()} == {"1"}


def test_one_layer_stands_without_the_other(probe):
    probe.start(extra=settings(probe, '[hardening]\nlandlock = "required"\nseccomp = "off"\n'))
    outcomes = probe.outcomes()
    assert outcomes["open-root-key"] == EACCES and outcomes["memory-execute"] == 0
    assert 'landlock="in force" seccomp="off"' in probe.log()


# What must go on under it


def shown(target: Server) -> str:
    return ssl.get_server_certificate(("127.0.0.1", target.port))


def test_one_hangup_opens_the_log_anew_and_reads_new_certificates(owned):
    first, second = owned.make_certificates("first"), owned.make_certificates("second")
    tls = owned.home / "tls"
    shutil.copytree(first, tls)
    logs = owned.home / "logs"
    logs.mkdir()
    owned.give(tls, logs)
    log = logs / "strongroom.log"
    extra = ("--user", "nobody", *settings(owned, f'log_file = "{log}"\n'))
    owned.start_with_tls(tls, extra)
    assert "hardened" in log.read_text()
    before = shown(owned)
    assert before == (first / "server.pem").read_text()[: len(before)]
    log.rename(logs / "strongroom.log.1")
    for name in ("server.pem", "server-key.pem"):
        draft = shutil.copy(second / name, tls / f"{name}.new")
        os.chown(draft, NOBODY.pw_uid, NOBODY.pw_gid)
        os.rename(draft, tls / name)
    owned.process.send_signal(signal.SIGHUP)
    owned.wait_for("a new log", log.exists)
    owned.wait_for("the new certificate", lambda: shown(owned) != before)
    after = shown(owned)
    assert after == (second / "server.pem").read_text()[: len(after)]
    owned.wait_for("both are told", lambda: "opened anew" in log.read_text())
    assert owned.metric("strongroom_tls_reloads_failed_total") == 0
    assert owned.metric("process_resident_memory_bytes") > MIB
    assert owned.stop() == 0


def test_a_backup_is_made_beside_a_confined_server(owned):
    owned.give().start(extra=("--user", "nobody"))
    works(owned)
    done = run("backup", *owned.directories(), "--to", str(owned.home / "backup"))
    assert done.returncode == 0, done.stderr
    works(owned)
    assert owned.restart().stop() == 0

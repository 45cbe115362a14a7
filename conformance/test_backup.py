"""Backups beside a running server, and what is restored of them."""

import json
import resource
import shutil
import signal
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clients import MARKER, client
from conftest import OTHER_REGION, REGION
from formats import Backup, Deployment, Root, read_rows
from server import Server, binary, clean_environment, run
from test_crash import WORKERS, Acknowledged, verify, work

pytestmark = pytest.mark.process

# The anchor, or the journal, may have seen more than the backup has.
ACCEPTED = ("--accept-rollback",)


def backup(target: Server, to: Path) -> str:
    done = run("backup", *target.directories(), "--to", str(to))
    assert done.returncode == 0, done.stderr
    return done.stdout


def restored(target: Server, source: Path, made: Server) -> Server:
    """`made`, whose data are those of the backup and whose root directory is a copy of `target`'s."""
    shutil.copytree(target.root_directory, made.root_directory)
    done = run("restore", *made.directories(), "--from", str(source))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean:" in done.stdout and "sound:" in done.stdout
    return made


@pytest.fixture(scope="module")
def story(new_server, tmp_path_factory):
    """A small deployment and its backup."""
    target = new_server().init().start()
    kms = client(target, REGION)
    key = kms.create_key(Description="in the backup")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/in-the-backup", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    file = tmp_path_factory.mktemp("backups") / "backup"
    told = backup(target, file)
    return target, key, blob, file, told


# Refused.


def test_backup_without_a_deployment_or_over_a_file_is_refused(new_server, story, tmp_path):
    done = run("backup", *new_server().directories(), "--to", str(tmp_path / "backup"))
    assert done.returncode != 0 and "not initialised" in done.stderr
    target, _, _, file, _ = story
    before = file.read_bytes()
    done = run("backup", *target.directories(), "--to", str(file))
    assert done.returncode != 0 and "not overwritten" in done.stderr
    assert file.read_bytes() == before
    assert not any(tmp_path.iterdir())


def test_restore_over_data_is_refused(story):
    target, _, _, file, _ = story
    done = run("restore", *target.directories(), "--from", str(file))
    assert done.returncode != 0 and "not empty" in done.stderr
    assert target.is_ready()


def test_restore_with_another_root_key_names_both(story, new_server):
    _, _, _, file, told = story
    other = new_server().init()
    shutil.rmtree(other.data)
    done = run("restore", *other.directories(), "--from", str(file))
    assert done.returncode != 0 and not other.data.exists()
    (root,) = [line.split()[-1] for line in told.splitlines() if line.startswith("  root key")]
    assert root in done.stderr and Root.read(other.root_directory / "root.key").id.hex() in done.stderr


def test_damaged_and_cut_backups_are_refused(story, new_server, tmp_path):
    target, _, _, file, _ = story
    made = new_server()
    shutil.copytree(target.root_directory, made.root_directory)
    whole, altered = file.read_bytes(), tmp_path / "altered"
    size = len(whole)
    for at in (0, 8, 12, 20, 40, 100, 200, 300, size // 3, size // 2, size - 40, size - 1):
        altered.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert run("restore", *made.directories(), "--from", str(altered)).returncode != 0, at
        altered.write_bytes(whole[:at])
        assert run("restore", *made.directories(), "--from", str(altered)).returncode != 0, at
    assert not made.data.exists()


def test_full_disk_leaves_no_partial_file(story, tmp_path):
    target, _, _, file, _ = story

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size // 2, resource.RLIM_INFINITY))

    done = subprocess.run(
        [binary(), "backup", *target.directories(), "--to", str(tmp_path / "backup")],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=full,
        restore_signals=False,
        timeout=60,
    )
    assert done.returncode != 0 and "cannot write" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []
    backup(target, tmp_path / "backup")


# Done.


def test_backup_says_what_it_is_and_holds_nothing_in_the_clear(story):
    target, key, _, file, told = story
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for word in ("root key", "revision", "global/service/checkpoint/1", f"{REGION}/domain/1"):
        assert word in told
    data = file.read_bytes()
    # Alias names stand in the clear in the store, and the journal is not sealed: in the backup both are.
    for secret in (MARKER, b"in-the-backup", b"in the backup", key.encode(), target.login().secret_key.encode()):
        assert secret not in data
    assert (target.root_directory / "root.key").read_bytes()[26:58] not in data


def test_backup_is_as_the_documents_say(story):
    target, _, _, file, _ = story
    opened = Backup.read(file, Root.read(target.root_directory / "root.key"))
    assert opened.keys == [address for address in opened.rows if address.startswith("keyring/")]
    live = read_rows(target.data / "strongroom.sqlite3")
    kept = {address: row for address, row in live.items() if row.table not in ("state", "outbox")}
    assert kept == {address: row for address, row in opened.rows.items() if row.table not in ("state", "outbox")}
    for name, part in opened.segments.items():
        assert (target.data / "journal" / name).read_bytes().startswith(part)
    assert part[-32:] != bytes(32)


def test_restored_deployment_serves_what_was_there(story, new_server):
    target, key, blob, file, _ = story
    made = restored(target, file, new_server())
    Deployment(made.data, made.root_directory / "root.key")
    made.start(extra=ACCEPTED)
    kms = client(made, REGION)
    assert kms.describe_key(KeyId="alias/in-the-backup")["KeyMetadata"]["Description"] == "in the backup"
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"
    kms.create_key()
    assert made.stop() == 0
    assert made.check().returncode == 0
    lines = run("audit", *made.directories()).stdout.splitlines()
    names = [json.loads(line)["eventName"] for line in lines]
    assert names.count("CreateKey") == 2 and names.count("CreateAlias") == 1


def test_restored_data_that_the_anchor_knows_to_be_older_start_once_with_the_operators_word(new_server, tmp_path):
    target = new_server().init().start()
    key = client(target, REGION).create_key()["KeyMetadata"]["KeyId"]
    backup(target, tmp_path / "backup")
    client(target, REGION).create_key()
    assert target.stop() == 0
    for anchor in ("of later data", "lost"):
        made = new_server()
        shutil.copytree(target.root_directory, made.root_directory)
        if anchor == "lost":
            (made.root_directory / "anchor").unlink()
        done = run("restore", *made.directories(), "--from", str(tmp_path / "backup"))
        assert done.returncode == 0 and "clean:" in done.stdout, done.stdout + done.stderr
        assert "--accept-rollback" in done.stderr
        with pytest.raises(AssertionError, match="--accept-rollback"):
            made.start()
        refused = run("credential", "list", *made.directories())
        assert refused.returncode != 0 and "--accept-rollback" in refused.stderr
        assert made.check().returncode != 0
        made.start(extra=ACCEPTED)
        assert [entry["KeyId"] for entry in client(made, REGION).list_keys()["Keys"]] == [key]
        assert made.restart().stop() == 0
        assert made.check().returncode == 0
        assert "--accept-rollback" in run("audit", "--notes", *made.directories()).stdout


def test_backup_of_a_stopped_and_of_a_killed_deployment(new_server, tmp_path):
    for end in ("stop", "kill"):
        target = new_server(regions=(REGION, OTHER_REGION)).init().start()
        keys = [client(target, region).create_key()["KeyMetadata"]["KeyId"] for region in target.regions]
        getattr(target, end)()
        backup(target, tmp_path / end)
        made = restored(target, tmp_path / end, new_server(regions=(REGION, OTHER_REGION))).start(extra=ACCEPTED)
        for region, key in zip(made.regions, keys):
            assert client(made, region).describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
        assert target.start().stop() == 0


def test_backup_under_load_has_everything_acknowledged_before_it(new_server, tmp_path):
    target = new_server().init().start()
    before, later, stopped = Acknowledged(goal=60), Acknowledged(goal=100_000), threading.Event()
    kms = client(target, REGION)
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            first = threading.Event()
            running = [pool.submit(work, kms, worker, before, first) for worker in range(WORKERS)]
            assert before.enough.wait(timeout=60)
            first.set()
            [future.result() for future in running]
            running = [pool.submit(work, kms, worker, later, stopped) for worker in range(WORKERS)]
            for number in range(3):
                backup(target, tmp_path / f"{number}")
        finally:
            first.set()
            stopped.set()
        [future.result() for future in running]
    assert later.keys, "nothing happened while the backups were made"
    for number in range(3):
        made = restored(target, tmp_path / f"{number}", new_server()).start(extra=ACCEPTED)
        verify(client(made, REGION), before)
        assert made.stop() == 0
        assert made.check().returncode == 0
    assert target.stop() == 0
    assert target.check().returncode == 0

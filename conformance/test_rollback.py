"""Somebody puts the store, the journal or the anchor back to an earlier time: refused at start, or found soon after it."""

import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from clients import client
from conftest import REGION, make_key
from formats import read_rows
from server import Server, run
from test_formats import copy_of

pytestmark = pytest.mark.process

VERIFIED_SECONDS_MAX = 20


class Story:
    """A deployment with a past: copies of its directories as they were, and as they are now."""

    def __init__(self, target: Server, home: Path):
        self.target, self.home = target, home
        kms = client(target, REGION)
        self.key = make_key(kms)
        kms.create_alias(AliasName="alias/gone", TargetKeyId=self.key.id)
        self.keep("before")
        kms = client(target.start(), REGION)
        kms.delete_alias(AliasName="alias/gone")
        kms.disable_key(KeyId=self.key.id)
        self.keep("now")

    def keep(self, name: str) -> None:
        assert self.target.stop() == 0
        for directory in ("data", "root"):
            shutil.copytree(self.target.home / directory, self.home / name / directory)

    def rows(self, name: str) -> dict:
        return read_rows(self.home / name / "data" / "strongroom.sqlite3")


@pytest.fixture(scope="module")
def story(new_server, tmp_path_factory) -> Story:
    return Story(new_server().init().start(), tmp_path_factory.mktemp("story"))


@pytest.fixture
def deployment(story, new_server):
    """Makes deployments out of the story's copies: `data` and `root` say of which time."""
    made = []

    def make(data: str = "now", root: str = "now") -> Server:
        target = new_server()
        made.append(target)
        shutil.copytree(story.home / data / "data", target.data)
        shutil.copytree(story.home / root / "root", target.root_directory)
        return target

    yield make
    for target in made:
        target.close()


def refused(target: Server, *extra: str) -> str:
    """What `serve` says when it does not start."""
    with pytest.raises(AssertionError, match="serve exited with 1 before it was ready"):
        target.start(extra)
    return target.log()


def notes(target: Server) -> str:
    printed = run("audit", "--notes", *target.directories())
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


def verification(target: Server) -> str:
    """What `/readyz` says of the store once the verification has ended."""
    deadline = time.monotonic() + VERIFIED_SECONDS_MAX
    while "is being verified" in (text := target.admin("/readyz").text):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)  # the bounded poll of the verification
    return text


def metric(target: Server, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", target.admin("/metrics").text, re.MULTILINE)
    return float(found.group(1))


def change(target: Server, rows: dict) -> None:
    """Writes rows into the store behind the service's back; None removes one."""
    connection = sqlite3.connect(target.data / "strongroom.sqlite3")
    with connection:
        for address, row in rows.items():
            connection.execute("DELETE FROM rows WHERE address = ?", (address.encode(),))
            if row is not None:
                values = (address.encode(), row.version, row.value)
                connection.execute("INSERT INTO rows VALUES (?, ?, ?)", values)
    connection.close()


def test_what_was_seen_last_is_served_and_found_sound(deployment):
    target = deployment().start()
    assert re.fullmatch(r"ok\nstore: holds what was last written, \d+ rows\n", verification(target))
    assert metric(target, "strongroom_store_verified") == 1 and metric(target, "strongroom_store_problems") == 0
    assert metric(target, "strongroom_anchor_written_timestamp_seconds") > time.time() - 60
    assert target.stop() == 0
    checked = target.check()
    assert checked.returncode == 0 and "anchor  written" in checked.stdout, checked.stdout + checked.stderr


def test_anchor_that_is_older_than_the_data_is_no_rollback(deployment):
    target = deployment(root="before").start()
    assert target.stop() == 0
    # It has caught up.
    assert target.check().returncode == 0


def test_old_data_directory_is_refused_until_it_is_accepted(story, deployment):
    target = deployment(data="before")
    said = refused(target)
    assert f"shard `{REGION}` had a state of version" in said and "and the store has version" in said
    assert "the audit journal ends with record" in said
    assert "`--accept-rollback`" in said
    checked = target.check()
    assert checked.returncode == 1 and f"shard `{REGION}` had a state of version" in checked.stderr
    # A backup is older than the anchor, and that alone is no fault of it.
    backup = run("check", "--backup", *target.directories())
    assert backup.returncode == 0 and "older than the anchor, as a backup is" in backup.stderr, backup.stderr
    # Nothing was changed by trying.
    assert f"shard `{REGION}` had a state of version" in refused(target)
    target.start(("--accept-rollback",))
    kms = client(target, REGION)
    assert kms.describe_key(KeyId="alias/gone")["KeyMetadata"]["KeyState"] == "Enabled"
    assert target.stop() == 0
    assert re.search(rf"`--accept-rollback`: the anchor of \S+ saw more: shard `{REGION}`", notes(target))
    # Accepted once: it is what was seen last now.
    target.start()
    assert "nothing to accept" not in target.log()
    target.restart()
    assert target.stop() == 0


def test_flag_that_has_nothing_to_accept_says_so(deployment):
    target = deployment().start(("--accept-rollback",))
    assert "`--accept-rollback` had nothing to accept" in target.log()
    assert target.stop() == 0
    assert notes(target) == ""


def test_old_store_with_the_new_journal_is_refused(story, deployment):
    target = deployment()
    for path in target.data.glob("strongroom.sqlite3*"):
        path.unlink()
    for path in (story.home / "before" / "data").glob("strongroom.sqlite3*"):
        shutil.copy(path, target.data)
    assert f"shard `{REGION}` had a state of version" in refused(target)
    # The journal alone tells, too: its checkpoints are signed.
    shutil.copy(story.home / "before" / "root" / "anchor", target.root_directory / "anchor")
    said = refused(target)
    assert "the audit journal's checkpoint of" in said.rpartition("error:")[2], said
    assert "saw more: shard" in run("check", "--backup", *target.directories()).stderr


def test_journal_that_lost_its_end_is_refused(story, deployment):
    target = deployment()
    shutil.rmtree(target.data / "journal")
    shutil.copytree(story.home / "before" / "data" / "journal", target.data / "journal")
    said = refused(target)
    assert "the audit journal ends with record" in said and "shard" not in said.rpartition("error:")[2]
    shutil.rmtree(target.data / "journal")
    assert "the audit journal ends with record 0" in refused(target)


@pytest.mark.parametrize("at", [0, 8, 12, 13, 40, -1])
def test_anchor_with_a_flipped_bit_is_refused(deployment, at):
    target = deployment()
    path = target.root_directory / "anchor"
    anchor = bytearray(path.read_bytes())
    anchor[at] ^= 1
    path.write_bytes(anchor)
    assert f"the anchor `{path}` cannot be trusted" in refused(target)
    assert f"the anchor `{path}` cannot be trusted" in target.check().stderr
    target.start(("--accept-rollback",))
    assert target.restart().stop() == 0
    assert "cannot be trusted" in notes(target)


def test_anchor_of_another_deployment_is_refused(deployment, new_server):
    target, other = deployment(), new_server().init()
    shutil.copy(other.root_directory / "anchor", target.root_directory / "anchor")
    assert "another deployment's" in refused(target)


def test_anchor_cut_short_or_too_long_is_refused(deployment):
    target = deployment()
    path = target.root_directory / "anchor"
    whole = path.read_bytes()
    for anchor in (b"", whole[:20], whole + bytes(1), whole + bytes(100_000)):
        path.write_bytes(anchor)
        assert "cannot be trusted" in refused(target)
    path.write_bytes(whole)
    assert target.start().stop() == 0


def test_missing_anchor_is_refused(deployment):
    target = deployment()
    (target.root_directory / "anchor").unlink()
    assert "there is no anchor" in refused(target)
    assert "there is no anchor" in target.check().stderr
    target.start(("--accept-rollback",))
    assert target.restart().stop() == 0


def test_anchor_that_cannot_be_written_is_refused_and_may_lie_elsewhere(deployment, tmp_path):
    target = deployment()
    # A directory where the draft should be: that stops root as well.
    (target.root_directory / "anchor.new").mkdir()
    said = refused(target)
    assert f"cannot write the anchor `{target.root_directory / 'anchor'}`" in said and "`--anchor`" in said
    elsewhere = tmp_path / "anchor"
    shutil.copy(target.root_directory / "anchor", elsewhere)
    target.start(("--anchor", str(elsewhere)))
    assert target.stop() == 0
    assert run("check", "--anchor", str(elsewhere), *target.directories()).returncode == 0


def test_init_does_not_take_the_place_of_another_anchor(new_server, tmp_path):
    target, anchor = new_server(), tmp_path / "anchor"
    anchor.write_bytes(b"somebody's")
    refusal = run("init", *target.directories(), "--anchor", str(anchor))
    assert refusal.returncode == 1 and "is an anchor already" in refusal.stderr
    assert anchor.read_bytes() == b"somebody's"


def test_crash_leaves_nothing_to_accept(story, deployment):
    target = deployment().start()
    kms = client(target, REGION)
    for _ in range(5):
        make_key(kms)
    target.kill()
    assert "holds what was last written" in verification(target.start())
    assert target.stop() == 0
    assert target.check().returncode == 0


def test_old_row_put_back_is_found_after_the_start(story, deployment):
    address = f"key/{REGION}/{story.key.id}"
    target = deployment()
    change(target, {address: story.rows("before")[address]})
    assert "does not hold what was last written" in verification(target.start())
    assert metric(target, "strongroom_store_verified") == 0 and metric(target, "strongroom_store_problems") > 0
    assert f"shard `{REGION}` holds a row that is not the one last written" in target.log()
    # Which one nobody can say, but what refers to it may: the old row lists an alias that was deleted.
    assert f"key row `{address}` lists alias `alias/gone`, which is not its own" in target.log()
    # Everything else works.
    assert make_key(client(target, REGION)).metadata["KeyState"] == "Enabled"


def test_deleted_row_put_back_is_named_and_refused(story, deployment, account):
    address = f"alias/{REGION}/{story.target.account}/alias/gone"
    target = deployment()
    change(target, {address: story.rows("before")[address]})
    assert "does not hold what was last written" in verification(target.start())
    assert f"row `{address}` is unknown to the state of its shard" in target.log()
    assert f"row `{address}` is unknown to the state of its shard" in run("check", *copy_of(target, Copy(target)).directories()).stderr
    kms = client(target, REGION)
    with pytest.raises(ClientError) as raised:
        kms.describe_key(KeyId="alias/gone")
    assert raised.value.response["Error"]["Code"] == "KMSInternalException"
    assert kms.describe_key(KeyId=story.key.id)["KeyMetadata"]["KeyState"] == "Disabled"
    # Without the row everything is as it was.
    assert target.stop() == 0
    change(target, {address: None})
    assert "holds what was last written" in verification(target.start())


class Copy(Server):
    """Where a copy of a running server's directories goes."""

    def __init__(self, original: Server):
        home = original.home / "copy"
        home.mkdir()
        super().__init__(home, original.account, original.regions)


@pytest.mark.parametrize("table", ["alias", "account-key", "access-key"])
def test_removed_row_is_found_after_the_start(story, deployment, table):
    rows = [row for row in story.rows("before").values() if row.table == table]
    target = deployment(data="before", root="before")
    change(target, {rows[-1].address: None})
    assert "does not hold what was last written" in verification(target.start())
    assert f"shard `{rows[-1].scope}` should hold" in target.log()


def test_verification_is_right_while_requests_change_the_store(story, deployment):
    target = deployment().start()
    kms = client(target, REGION)
    for number in range(30):
        key = make_key(kms)
        kms.create_alias(AliasName=f"alias/busy-{number}", TargetKeyId=key.id)
    target.restart()
    kms = client(target, REGION)
    for number in range(30):
        kms.delete_alias(AliasName=f"alias/busy-{number}")
        make_key(kms)
    assert "holds what was last written" in verification(target)

"""Every kind of call on every class of file fails, under load: each answer is a success or the right error, what was
acknowledged is there and recorded, and the service goes on by itself when the disk does.

One process lives through all of it, on a disk that fails on command (faults.py). The last test kills it and looks.
docs/testing.md has the table of what is expected.
"""

import errno
import random
import time
import uuid
from dataclasses import dataclass

import pytest

from conftest import ACCOUNT, REGION
from faults import ALWAYS, Call, Disk, File, Manner
from load import Account, Caller, Load, every_key_is_recorded, hold, recorded
from server import Server

pytestmark = pytest.mark.process

SECONDS_MAX = 30
STORE = [File.DATABASE, File.LOG, File.INDEX]
INTERNAL = (500, "KMSInternalException")
JOURNAL_DOWN, STORE_DOWN = "the audit journal cannot be written\n", "the store cannot be written\n"


@dataclass
class House:
    server: Server
    disk: Disk
    account: Account
    load: Load
    key: str
    caller: Caller

    def ask(self, operation: str, **body) -> tuple[int, str]:
        """The status and code of one request beside the load."""
        answer = self.account.ask(self.caller, operation, body)
        assert answer is not None, self.server.log()[-2000:]
        return answer.status, "" if answer.status == 200 else answer.code

    def read(self) -> tuple[int, str]:
        return self.ask("GenerateDataKey", KeyId=self.key, KeySpec="AES_256")

    def change(self) -> tuple[int, str]:
        return self.ask("CreateKey", Description="beside the load")

    def ready(self) -> tuple[int, str]:
        """Without the remarks that follow the verdict."""
        answer = self.server.admin("/readyz")
        return answer.status, answer.text.splitlines(keepends=True)[0]

    def recovers(self) -> None:
        """By itself, in the same process."""
        self.disk.works()
        # A call that failed just before may be told of just after.
        works = (200, "ok\n"), (200, ""), (200, "")
        until(lambda: (self.ready(), self.read(), self.change()) == works, "it does not work again")
        self.account.wait_for(20)
        assert self.server.is_alive()
        assert set(self.account.refusals()) <= {INTERNAL, (400, "NotFoundException")}, self.account.refusals()


def until(holds, what: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)  # the bounded poll


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    home = tmp_path_factory.mktemp("anomaly")
    (home / "small.toml").write_text("journal_segment_mib = 1\n")
    (home / "disk").mkdir()
    disk = Disk(home / "control")
    server = disk.attach(Server(home / "disk", ACCOUNT, [REGION])).init()
    server.start(("--config", str(home / "small.toml")))
    account, caller = Account(), Caller(server)
    key = caller.done("CreateKey", {})["KeyMetadata"]["KeyId"]
    with Load(server, account, workers=3, is_heavy=True) as load:
        yield House(server, disk, account, load, key, caller)
        disk.works()
        load.stop()
    server.close()


# What fails once or a few times, most often in the middle of a request's commit.
PASSING = [
    (Call.WRITE, File.JOURNAL, errno.EIO, Manner.REFUSED),
    (Call.WRITE, File.JOURNAL, errno.ENOSPC, Manner.HALF),
    (Call.SYNC, File.JOURNAL, errno.EIO, Manner.REFUSED),
    (Call.SYNC, File.JOURNAL, errno.EIO, Manner.DONE_ANYWAY),
    (Call.OPEN, File.JOURNAL, errno.EMFILE, Manner.REFUSED),
    (Call.RENAME, File.JOURNAL, errno.EIO, Manner.REFUSED),
    (Call.SYNC, File.DIRECTORY, errno.EIO, Manner.REFUSED),
    (Call.OPEN, File.DIRECTORY, errno.EMFILE, Manner.REFUSED),
    (Call.WRITE, File.LOG, errno.EIO, Manner.REFUSED),
    (Call.WRITE, File.LOG, errno.ENOSPC, Manner.HALF),
    (Call.SYNC, File.LOG, errno.EIO, Manner.REFUSED),
    (Call.SYNC, File.LOG, errno.EIO, Manner.DONE_ANYWAY),
    (Call.READ, File.LOG, errno.EIO, Manner.REFUSED),
    (Call.WRITE, File.DATABASE, errno.EIO, Manner.REFUSED),
    (Call.SYNC, File.DATABASE, errno.EIO, Manner.REFUSED),
]
# These are asked for only when the journal begins a segment, which it does after a failure.
AT_A_SEGMENTS_BEGINNING = {(Call.OPEN, File.JOURNAL), (Call.RENAME, File.JOURNAL)}
AT_A_SEGMENTS_BEGINNING |= {(Call.SYNC, File.DIRECTORY), (Call.OPEN, File.DIRECTORY)}


def named(case) -> str:
    call, file, error, manner = case
    return f"{call.name}-{file.name}-{errno.errorcode[error]}-{manner.name}".lower()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("case", PASSING, ids=named)
def test_a_call_that_fails_costs_at_most_the_requests_that_needed_it(house, case, times):
    call, file, error, manner = case
    fault = house.disk.fail(call, file, error, times=times, manner=manner)
    if (call, file) in AT_A_SEGMENTS_BEGINNING:
        house.disk.fail(Call.SYNC, File.JOURNAL)
    house.account.wait_until(lambda: fault.hits >= 1)
    house.account.wait_for(10)
    house.recovers()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_without_a_journal_nothing_is_answered(house, error):
    house.disk.fail([Call.WRITE, Call.SYNC, Call.OPEN], File.JOURNAL, error, times=ALWAYS, manner=Manner.HALF)
    until(lambda: house.ready() == (503, JOURNAL_DOWN), "nobody says that the journal fails")
    assert house.read() == INTERNAL
    assert house.change() == INTERNAL
    assert house.server.admin("/healthz").status == 503
    house.recovers()


@pytest.mark.parametrize("call", [Call.WRITE, Call.SYNC])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_without_a_store_changes_are_refused_and_what_is_in_memory_is_answered(house, call, error):
    house.disk.fail(call, File.LOG, error, times=ALWAYS, manner=Manner.HALF)
    until(lambda: house.ready() == (503, STORE_DOWN), "nobody says that the store fails")
    assert house.change() == INTERNAL
    assert house.read() == (200, "")
    assert house.server.admin("/healthz").status == 200
    house.recovers()


def test_a_store_that_cannot_be_read_is_not_an_empty_one(house):
    nobody = str(uuid.uuid4())
    assert house.ask("DescribeKey", KeyId=nobody) == (400, "NotFoundException")
    house.disk.fail(Call.READ, [File.DATABASE, File.LOG], times=ALWAYS)
    # Pages that a reader has in memory are read from there, until somebody has changed them.
    until(lambda: house.ask("DescribeKey", KeyId=nobody) == INTERNAL, "reads do not fail")
    assert house.read() == (200, "")
    house.recovers()
    assert house.ask("DescribeKey", KeyId=nobody) == (400, "NotFoundException")


def test_files_that_cannot_be_opened_are_opened_later(house):
    house.disk.fail(Call.OPEN, [*STORE, File.JOURNAL], errno.EMFILE, times=ALWAYS)
    # Whoever has failed needs a new descriptor.
    house.disk.fail(Call.SYNC, File.LOG)
    until(lambda: house.ready() == (503, STORE_DOWN), "the store is still open")
    assert house.change() == INTERNAL
    house.disk.fail(Call.SYNC, File.JOURNAL)
    until(lambda: house.ready() == (503, JOURNAL_DOWN), "the journal is still open")
    assert house.read() == INTERNAL
    house.recovers()


def test_the_whole_disk_is_full(house):
    growing = [Call.WRITE, Call.TRUNCATE, Call.MKDIR]
    house.disk.fail(growing, list(File), errno.ENOSPC, times=ALWAYS, manner=Manner.HALF)
    until(lambda: house.ready() == (503, JOURNAL_DOWN), "nobody says that the disk is full")
    assert house.read() == INTERNAL
    assert house.change() == INTERNAL
    house.recovers()


def test_the_log_of_strangers_is_nobodys_condition(house):
    fault = house.disk.fail([Call.WRITE, Call.OPEN, Call.RENAME], File.STRANGERS, errno.ENOSPC, times=ALWAYS)
    signed = house.caller.raw.sign("ListKeys", {})
    assert signed.replace("Authorization", signed.header("Authorization")[:-4] + "0000").send().status == 400
    until(lambda: fault.hits > 0, "no failure was written")
    assert house.ready() == (200, "ok\n")
    house.recovers()


def test_a_checkpoint_that_fails_again_and_again_is_nobodys_condition(house):
    # What was sent before may still be told of an earlier failure.
    begun = len(house.account.asked)
    fault = house.disk.fail([Call.WRITE, Call.SYNC], File.DATABASE, times=ALWAYS)
    house.account.wait_until(lambda: fault.hits >= 3)
    assert house.ready() == (200, "ok\n")
    assert house.read() == house.change() == (200, "")
    assert set(house.account.refusals(begun)) <= {(400, "NotFoundException")}
    house.recovers()
    synced = house.disk.calls(Call.SYNC, File.DATABASE)
    house.account.wait_until(lambda: house.disk.calls(Call.SYNC, File.DATABASE) > synced)


def test_readiness_comes_back_although_nobody_asks_for_anything(house):
    house.load.stop()
    house.disk.fail(Call.SYNC, File.LOG, times=ALWAYS)
    assert house.change() == INTERNAL
    assert house.ready() == (503, STORE_DOWN)
    house.disk.works()
    until(lambda: house.ready() == (200, "ok\n"), "it waits for a request")


def test_after_all_of_it_nothing_is_lost(house):
    """The last of this file: whatever was answered above is there after a kill, each with its record."""
    house.load.stop()
    house.server.kill()
    truth = house.account.at()
    checked = house.server.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    house.server.start()
    hold(house.server, truth, random.Random(1))
    assert house.server.stop() == 0
    records = recorded(house.server, truth)
    house.server.start()
    every_key_is_recorded(house.server, records)
    assert house.server.stop() == 0
    assert house.server.check().returncode == 0
    print(f"{len(house.account.asked)} requests, refused: {house.account.refusals()}")

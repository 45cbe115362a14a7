"""A power cut at any moment: whatever was acknowledged is there, with its record, and a torn tail is cut and noted.

The real binary works under load on a disk that remembers (faults.py); what that disk could hold after a cut is laid out
anew (power.py), and the real binary is started on it. `conformance/power-cut --rounds 100` for a long night.
"""

import errno
import random
import shutil
from pathlib import Path

import pytest

from conftest import ACCOUNT, REGION
from faults import ALWAYS, Call, Disk, File, Manner
from load import Account, Caller, Load, every_key_is_recorded, hold, recorded
from power import Replay
from server import Server, run

pytestmark = pytest.mark.process

ANSWERS = 700
TORN = "ends in"


@pytest.fixture
def dice(request) -> random.Random:
    seed = request.config.getoption("--power-seed")
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    return random.Random(seed)


def new_disk(home: Path) -> tuple[Server, Disk]:
    home.mkdir()
    (home / "disk").mkdir()
    disk = Disk(home / "control", traced=True)
    server = disk.attach(Server(home / "disk", ACCOUNT, [REGION]))
    (home / "small.toml").write_text("journal_segment_mib = 1\n")
    return server, disk


def laid_out(replay: Replay, original: Server, position: int, home: Path) -> Server:
    """A server, not yet running, on what the disk could hold after a cut."""
    home.mkdir()
    replay.lay_out(position, home)
    return Server(home, original.account, original.regions)


def survives(server: Server, account: Account, position: int, dice: random.Random) -> bool:
    """Holds what was laid out against the account. Says whether there was a torn tail."""
    checked = server.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    verified = run("audit", *server.directories(), "--verify")
    is_torn = TORN in verified.stderr
    # A tail that nobody was answered for is said and is the one thing that may be wrong.
    assert verified.returncode == 0 or (is_torn and "error:" not in verified.stderr), verified.stdout + verified.stderr
    truth = account.at(position)
    server.start()
    try:
        hold(server, truth, dice)
        # It does not only hold what it had, it works.
        caller = Caller(server)
        made = caller.done("CreateKey", {"Description": "after the cut"})["KeyMetadata"]["KeyId"]
        caller.done("GenerateDataKey", {"KeyId": made, "KeySpec": "AES_256"})
        caller.close()
        assert server.stop() == 0, server.log()
        records = recorded(server, truth)
        server.start()
        every_key_is_recorded(server, records)
        assert server.stop() == 0, server.log()
    finally:
        server.close()
    checked = server.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    segments = sorted((server.data / "journal").glob("journal-*.seg"))
    notes = sum(segment.read_bytes().count(b"torn tail cut: ") for segment in segments[-4:])
    assert notes >= is_torn, verified.stderr
    return is_torn


def cuts(replay: Replay, account: Account, begun: int, count: int, dice: random.Random) -> list[int]:
    """Moments from the first start on: when an answer had just come, in the middle of a sync, any."""
    ends, syncs = account.ends(), [at for at in replay.moments("E") if at >= begun]
    chosen = [dice.choice(ends) for _ in range(count // 3)] + [dice.choice(syncs) for _ in range(count // 3)]
    chosen += [dice.randrange(begun, replay.length + 1) for _ in range(count - len(chosen) - 1)]
    return sorted([*chosen, replay.length])


def cut_and_look(home: Path, disk: Disk, server: Server, account: Account, begun: int, count: int, dice) -> int:
    replay, torn = Replay(disk.trace, server.home, dice.randrange(1 << 32)), 0
    for number, position in enumerate(cuts(replay, account, begun, count, dice)):
        place = home / f"cut-{number}-at-{position}"
        after = laid_out(replay, server, position, place)
        torn += survives(after, account, position, dice)
        shutil.rmtree(place)  # kept only where something was lost
    assert replay.differs() == [], "the trace is not of these files: the tests above have shown nothing"
    replay.close()
    return torn


def rounds(request) -> range:
    return range(request.config.getoption("--power-rounds"))


def test_acknowledged_survives_a_power_cut(request, tmp_path, dice):
    torn = 0
    for number in rounds(request):
        home = tmp_path / f"round-{number}"
        server, disk = new_disk(home)
        server.init()
        begun, account = disk.position(), Account(disk.position)
        server.start(("--config", str(home / "small.toml")))
        with Load(server, account, seed=dice.randrange(1 << 32)):
            account.wait_for(ANSWERS)
            if dice.random() < 0.5:
                server.terminate()
                assert server.wait() == 0, server.log()
            else:
                disk.kill(server)
        server.start(("--config", str(home / "small.toml")))
        with Load(server, account, seed=dice.randrange(1 << 32)):
            account.wait_for(ANSWERS)
        disk.kill(server)
        torn += cut_and_look(home, disk, server, account, begun, request.config.getoption("--power-cuts"), dice)
        shutil.rmtree(home)
    print(f"{torn} torn tails")


# What may go wrong on a disk that will lose its power a moment later.
FAULTS = [
    (Call.SYNC, File.JOURNAL, errno.EIO),
    (Call.SYNC, File.LOG, errno.EIO),
    (Call.SYNC, File.DATABASE, errno.EIO),
    (Call.SYNC, File.DIRECTORY, errno.EIO),
    (Call.WRITE, File.JOURNAL, errno.ENOSPC),
    (Call.WRITE, File.LOG, errno.ENOSPC),
    (Call.WRITE, File.DATABASE, errno.EIO),
    (Call.OPEN, File.JOURNAL, errno.EMFILE),
]


def test_acknowledged_survives_failing_syncs_and_then_a_power_cut(request, tmp_path, dice):
    """After a failed sync the system forgets what it had not written: whoever trusts that file again loses it."""
    for number in rounds(request):
        home = tmp_path / f"round-{number}"
        server, disk = new_disk(home)
        server.init()
        begun, account = disk.position(), Account(disk.position)
        server.start(("--config", str(home / "small.toml")))
        with Load(server, account, seed=dice.randrange(1 << 32)):
            for _ in range(8):
                account.wait_for(ANSWERS // 8)
                call, file, error = dice.choice(FAULTS)
                manner = dice.choice((Manner.REFUSED, Manner.HALF, Manner.DONE_ANYWAY))
                disk.fail(call, file, error, times=dice.randint(1, 3), manner=manner)
            account.wait_for(ANSWERS // 8)
            disk.works()
            account.wait_for(ANSWERS // 4)
        disk.kill(server)
        assert set(account.refusals()) <= {(500, "KMSInternalException")}, account.refusals()
        cut_and_look(home, disk, server, account, begun, request.config.getoption("--power-cuts"), dice)
        shutil.rmtree(home)


def test_a_checkpoint_that_failed_is_made_again_from_the_beginning(tmp_path, dice):
    """SQLite takes pages for moved that an earlier, partial checkpoint has written and not synced. When the sync of a later
    one fails, those are lost too, and no later sync brings them back."""
    server, disk = new_disk(tmp_path / "checkpoint")
    server.init()
    begun, account = disk.position(), Account(disk.position)
    server.start()

    def moved(pages: int):
        goal = disk.calls(Call.WRITE, File.DATABASE) + pages
        account.wait_until(lambda: disk.calls(Call.WRITE, File.DATABASE) >= goal)

    with Load(server, account, seed=dice.randrange(1 << 32), is_heavy=True):
        moved(2500)
        fault = disk.fail(Call.SYNC, File.DATABASE)
        account.wait_until(lambda: fault.hits > 0)
        synced = disk.calls(Call.SYNC, File.DATABASE)
        account.wait_until(lambda: disk.calls(Call.SYNC, File.DATABASE) > synced + 1)
        account.wait_for(50)
    disk.kill(server)
    assert account.refusals() == {}, "a checkpoint is nobody's request"
    for number in range(3):
        # The dice also say which pages the failed sync has brought to the disk.
        home = tmp_path / f"dice-{number}"
        home.mkdir()
        cut_and_look(home, disk, server, account, begun, 1, dice)


def test_a_disk_that_lies_is_found_out(tmp_path, dice):
    """That the tests above can fail."""
    server, disk = new_disk(tmp_path / "liar")
    server.init()
    begun, account = disk.position(), Account(disk.position)
    server.start()
    with Load(server, account, seed=dice.randrange(1 << 32)):
        account.wait_for(50)
        disk.fail(Call.SYNC, [File.JOURNAL, File.LOG], times=ALWAYS, manner=Manner.LIED)
        account.wait_for(200)
    disk.kill(server)
    with pytest.raises(AssertionError):
        cut_and_look(tmp_path, disk, server, account, begun, 1, dice)


def test_init_is_done_or_says_that_it_was_interrupted(tmp_path, dice):
    server, disk = new_disk(tmp_path / "init")
    server.init()
    replay = Replay(disk.trace, server.home, dice.randrange(1 << 32))
    moments = sorted(dice.sample(range(replay.length), 10)) + [replay.length] * 3
    done = interrupted = 0
    for number, position in enumerate(moments):
        home = tmp_path / f"cut-{number}"
        after = laid_out(replay, server, position, home)
        checked = after.check()
        if checked.returncode == 0:
            after.start()
            Caller(after).done("CreateKey", {})
            assert after.stop() == 0
            done += 1
            continue
        assert position < replay.length, f"init was done, and is not: {checked.stderr}"
        assert "strongroom init" in checked.stderr or "was interrupted" in checked.stderr, checked.stderr
        interrupted += 1
        # The way out that the message names.
        shutil.rmtree(after.data, ignore_errors=True)
        shutil.rmtree(after.root_directory, ignore_errors=True)
        after.init()
        assert after.check().returncode == 0
    assert done >= 3 and interrupted >= 1, (done, interrupted)

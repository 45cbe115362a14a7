"""What a disk could hold after a power cut.

Reads the trace that `faults/disk.c` has written, from its beginning to the moment of the cut, and lays out the files anew:

- what a sync that ended with success found written is there;
- of every other write each sector of 512 bytes is there or not, as the dice say, and of every other truncation the whole;
- of the names that no sync of their directory found, the first few are there: file systems journal names in order;
- what a sync that *failed* found written is decided then and there. A later sync that succeeds does not bring it back: the
  system has forgotten that these pages were never written ("PostgreSQL's fsync() surprise", LWN 752063).

A sector is written whole or not at all, as SQLite assumes of disks too ("Powersafe Overwrite").
"""

import mmap
import os
import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

ENTRY = struct.Struct("=cBHIQQQ")
SECTOR = 512


@dataclass(frozen=True)
class Change:
    """A write of whole sectors, or, without data, a truncation. `size` is the file's size afterwards."""

    at: int
    start: int
    data: bytes | None
    size: int


@dataclass
class TracedFile:
    """A file as the process sees it, and as the disk has it for certain."""

    seen: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def write(self, at: int, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if len(self.seen) < end:
            self.seen.extend(bytes(end - len(self.seen)))
        self.seen[offset:end] = data
        # A sector goes to the disk with all that the process has put there.
        start, stop = offset - offset % SECTOR, min(end + -end % SECTOR, len(self.seen))
        self.pending.append(Change(at, start, bytes(self.seen[start:stop]), len(self.seen)))

    def truncate(self, at: int, size: int) -> None:
        _resize(self.seen, size)
        self.pending.append(Change(at, 0, None, size))

    def synced(self, begun: int) -> None:
        for change in self._before(begun):
            _apply(self.kept, change)

    def sync_failed(self, begun: int, dice: random.Random) -> None:
        for change in self._before(begun):
            _apply_in_part(self.kept, change, dice)

    def _before(self, begun: int) -> list[Change]:
        before = [change for change in self.pending if change.at < begun]
        self.pending = self.pending[len(before) :]
        return before

    def after_cut(self, dice: random.Random) -> bytearray:
        kept = bytearray(self.kept)
        # Most often all or nothing has reached the disk; what is interesting lies between.
        manner = dice.choice(("all", "none", "some", "some"))
        for change in self.pending:
            if manner == "all":
                _apply(kept, change)
            elif manner == "some":
                _apply_in_part(kept, change, dice)
        return kept


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        _resize(content, change.size)
        return
    stop = change.start + len(change.data)
    if len(content) < stop:
        _resize(content, stop)
    content[change.start : stop] = change.data


def _apply_in_part(content: bytearray, change: Change, dice: random.Random) -> None:
    odds = dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    if change.data is None:
        if dice.random() < odds:
            _apply(content, change)
        return
    for at in range(0, len(change.data), SECTOR):
        if dice.random() < odds:
            _apply(content, Change(change.at, change.start + at, change.data[at : at + SECTOR], change.size))


class Replay:
    """Goes forward through a trace. One pass serves many cuts, if they are asked for in order."""

    def __init__(self, trace: Path, under: Path, seed: int):
        self._file = trace.open("rb")
        self._bytes = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._under = under
        self._at = 0
        self._seed = seed
        self._dice = random.Random(seed)
        self._inodes: dict[int, TracedFile] = {}
        self._names: dict[Path, TracedFile | None] = {}  # as the process sees them; None is a directory
        self._kept_names: dict[Path, TracedFile | None] = {under: None}
        self._pending_names: dict[Path, list[tuple[int, str, tuple[Path, ...], TracedFile | None]]] = {}
        self._syncs: dict[int, tuple[int, Path | None]] = {}

    @property
    def length(self) -> int:
        return len(self._bytes)

    def forward(self, position: int) -> None:
        """Takes in all that was done before `position`."""
        while self._at < min(position, self.length):
            at = self._at
            mark, flag, name_bytes, data_bytes, inode, offset, length = ENTRY.unpack_from(self._bytes, at)
            start = at + ENTRY.size
            name = self._bytes[start : start + name_bytes].decode()
            data = self._bytes[start + name_bytes : start + name_bytes + data_bytes]
            self._at = start + name_bytes + data_bytes
            paths = tuple(Path(part) for part in name.split("\n")) if name else ()
            self._take(mark.decode(), at, flag, paths, inode, offset, bytes(length) if flag else data)

    def _take(self, mark: str, at: int, flag: int, paths: tuple, inode: int, offset: int, data: bytes) -> None:
        match mark:
            case "P":
                self._syncs = {}
            case "C":
                self._inodes[inode] = TracedFile()
                self._name(at, mark, paths, self._inodes[inode])
            case "M" | "U":
                self._name(at, mark, paths, None)
            case "R":
                self._name(at, mark, paths, self._names.get(paths[0]))
            case "W" if inode in self._inodes:
                self._inodes[inode].write(at, offset, data)
            case "T" if inode in self._inodes:
                self._inodes[inode].truncate(at, offset)
            case "B":
                self._syncs[offset] = (at, paths[0] if flag else None)
            case "E":
                begun, directory = self._syncs.pop(offset)
                self._synced(begun, directory, inode, bool(flag))
            case _:
                raise ValueError(f"a {mark} of a file that the trace does not know, at {at}")

    def _name(self, at: int, mark: str, paths: tuple, file: TracedFile | None) -> None:
        _rename(self._names, mark, paths, file)
        self._pending_names.setdefault(paths[-1].parent, []).append((at, mark, paths, file))

    def _synced(self, begun: int, directory: Path | None, inode: int, is_done: bool) -> None:
        if directory is None:
            file = self._inodes[inode]
            file.synced(begun) if is_done else file.sync_failed(begun, self._dice)
        elif is_done:
            pending = self._pending_names.get(directory, [])
            before = [change for change in pending if change[0] < begun]
            for _, mark, paths, file in before:
                _rename(self._kept_names, mark, paths, file)
            self._pending_names[directory] = pending[len(before) :]

    def lay_out(self, position: int, home: Path) -> None:
        """Writes what the disk could hold if the power went at `position`; the same for the same seed and position."""
        self.forward(position)
        dice = random.Random(f"{self._seed} {position}")
        names = dict(self._kept_names)
        for directory in sorted(self._pending_names):
            pending = self._pending_names[directory]
            for _, mark, paths, file in pending[: dice.choice((0, len(pending), dice.randint(0, len(pending))))]:
                _rename(names, mark, paths, file)
        for path in sorted(names):
            place = home / path.relative_to(self._under)
            if path == self._under or not place.parent.is_dir():
                continue
            if names[path] is None:
                place.mkdir(mode=0o700)
                continue
            content = names[path].after_cut(dice)
            if path.name.endswith("-shm"):  # written through a mapping: anything may be there
                content = dice.randbytes(32768)
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)

    def differs(self) -> list[Path]:
        """Files of the process that are not as the trace has them by now; none if nothing has happened since. Without what
        the trace does not see: writes through a mapping, and the room that the reserve takes."""
        is_seen = lambda path: not path.name.endswith("-shm") and path.name != "reserve"  # noqa: E731
        files = {path: file for path, file in self._names.items() if file and is_seen(path)}
        return [path for path, file in files.items() if path.read_bytes() != file.seen]

    def moments(self, mark: str, flag: int | None = None) -> list[int]:
        """The positions just before all entries of one kind."""
        found, at = [], 0
        while at < self.length:
            entry = ENTRY.unpack_from(self._bytes, at)
            if entry[0] == mark.encode() and flag in (None, entry[1]):
                found.append(at)
            at += ENTRY.size + entry[2] + entry[3]
        return found

    def close(self) -> None:
        self._bytes.close()
        self._file.close()


def _rename(names: dict, mark: str, paths: tuple, file: TracedFile | None) -> None:
    if mark == "U":
        names.pop(paths[0], None)
    elif mark == "R":
        names.pop(paths[0], None)
        names[paths[1]] = file
    else:
        names[paths[0]] = file

"""A disk that fails on command and remembers what was asked of it: the side of the tests. The other is faults/disk.c.

`Disk(directory)` makes the control file; `disk.attach(server)` has the server's processes run on it. From then on
`disk.fail(…)` lets calls fail, while the process runs and without its knowledge, and `disk.position()` is a place in the
trace that `power.py` reads.
"""

import ctypes
import enum
import errno
import mmap
import os
import subprocess
import time
from pathlib import Path

from server import REPOSITORY, Server, expect

SOURCE = Path(__file__).resolve().parent / "faults" / "disk.c"
PROBE = SOURCE.with_name("probe.c")
MAGIC = 0x6469736B66617531
RULES, ALWAYS = 8, 0
HALT_SECONDS_MAX = 10


class Call(enum.IntEnum):
    OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR = range(8)


class File(enum.IntEnum):
    OTHER, JOURNAL, DATABASE, LOG, INDEX, DIRECTORY, STRANGERS = range(7)


class Manner(enum.IntEnum):
    """What becomes of a call that fails."""

    REFUSED, HALF, DONE_ANYWAY, LIED = range(4)


class _Rule(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in "armed kinds classes skip times error manner hits".split()]


class _Control(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint64),
        ("position", ctypes.c_uint64),
        ("halted", ctypes.c_uint64),
        ("inside", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 4),
        ("rules", _Rule * RULES),
        ("calls", ctypes.c_uint64 * len(File) * len(Call)),
    ]


def library(source: Path = SOURCE) -> Path:
    """Builds a library that is loaded into the server, if its source has changed."""
    built = REPOSITORY / "target" / "conformance" / f"{source.stem}.so"
    if not built.exists() or built.stat().st_mtime <= source.stat().st_mtime:
        built.parent.mkdir(parents=True, exist_ok=True)
        draft = built.with_suffix(f".{os.getpid()}")
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["cc", *flags, "-o", draft, source, "-ldl", "-lpthread"], check=True)
        draft.rename(built)
    return built


class Disk:
    """What lies under the files of one server. With `traced` it also remembers; the trace stands in `directory`."""

    def __init__(self, directory: Path, traced: bool = False):
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "control"
        self._path.write_bytes(bytes(ctypes.sizeof(_Control)))
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(_Control))
        self._control = _Control.from_buffer(self._map)
        self._control.magic = MAGIC
        self.trace = directory / "trace" if traced else None
        if self.trace:
            self.trace.touch()

    def attach(self, server: Server) -> Server:
        expect(server.home == server.home.resolve(), "the disk goes by paths without links")
        server.environment = {
            "LD_PRELOAD": str(library()),
            "DISK_UNDER": str(server.home),
            "DISK_CONTROL": str(self._path),
        }
        if self.trace:
            server.environment["DISK_TRACE"] = str(self.trace)
        return server

    def fail(
        self,
        calls: list[Call] | Call,
        files: list[File] | File,
        error: int = errno.EIO,
        *,
        skip: int = 0,
        times: int = 1,
        manner: Manner = Manner.REFUSED,
    ) -> "Fault":
        """After `skip` such calls the next `times` fail; with ALWAYS, until the fault is lifted."""
        for rule in self._control.rules:
            if not rule.armed:
                rule.kinds, rule.classes = _mask(calls), _mask(files)
                rule.skip, rule.times, rule.error, rule.manner, rule.hits = skip, times, error, manner, 0
                rule.armed = 1  # last: the process looks at this first
                return Fault(rule)
        raise RuntimeError("no rule is free")

    def works(self) -> None:
        """Lifts every fault."""
        for rule in self._control.rules:
            rule.armed = 0

    def kill(self, server: Server) -> None:
        """Kills the server's process between two calls: within one it would leave a trace that is not of its files."""
        self._control.halted = 1
        deadline = time.monotonic() + HALT_SECONDS_MAX
        while True:
            time.sleep(0.001)  # longer than a processor keeps a store to itself
            if not self._control.inside:
                break
            expect(time.monotonic() < deadline, "a call on the disk does not end")
        server.kill()
        self._control.halted = 0

    def position(self) -> int:
        """How long the trace is: what is in the trace by now had been done when this was asked."""
        return self._control.position

    def calls(self, call: Call, file: File) -> int:
        return self._control.calls[call][file]


class Fault:
    def __init__(self, rule: _Rule):
        self._rule = rule

    @property
    def hits(self) -> int:
        return self._rule.hits

    def lift(self) -> None:
        self._rule.armed = 0


def _mask(chosen: list | int) -> int:
    return sum(1 << item for item in (chosen if isinstance(chosen, list) else [chosen]))

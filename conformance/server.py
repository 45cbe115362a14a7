"""The strongroom process as an operator sees it: a binary, a data directory, a root directory, two listeners."""

import configparser
import http.client
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
READY_SECONDS_MAX = 20
EXIT_SECONDS_MAX = 30


def binary() -> str:
    return os.environ.get("STRONGROOM_BINARY", str(REPOSITORY / "target" / "release" / "strongroom"))


def is_fips_build() -> bool:
    """Whether the binary computes with the FIPS module, and so refuses what that does not do."""
    if "CONFORMANCE_ENDPOINT" in os.environ:
        return False
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=False)
    return "FIPS" in said.stdout


@dataclass(frozen=True)
class Login:
    """An access key and its secret, as the SDKs take them."""

    access_key: str
    secret_key: str
    token: str | None = None


def free_port(*taken: int) -> int:
    """A port below the kernel's ephemeral range, so that no outgoing connection of a test takes it meanwhile; none of `taken`."""
    for _ in range(200):
        port = random.randrange(12_000, 32_000)
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 12000 and 32000")


def run(*arguments: str, environment: dict | None = None) -> subprocess.CompletedProcess:
    """Runs one `strongroom` command to its end."""
    return subprocess.run(
        [binary(), *arguments],
        env=clean_environment() | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def clean_environment() -> dict:
    """The process's environment without anything that would change what strongroom or an AWS client does."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STRONGROOM_"))}


def expect(condition: bool, what: str, log: str = "") -> None:
    if not condition:
        raise AssertionError(f"{what}\n{log}")


class Server:
    """One data directory and the process that serves it."""

    def __init__(self, home: Path, account: str, regions: list[str]):
        self.home = home
        self.account = account
        self.regions = regions
        self.data = home / "data"
        self.root_directory = home / "root"
        self.log_path = home / "stderr.log"
        self.stdout_path = home / "stdout.log"
        self.port = free_port()
        self.admin_port = free_port(self.port)
        self.scheme = "http"
        self.process: subprocess.Popen | None = None
        # For the processes of this server alone, such as what `faults.py` loads into them.
        self.environment: dict[str, str] = {}
        # What must never be found at rest: filled by the clients that `clients.py` makes for this server.
        self.secrets: list[bytes] = []
        self.ciphertexts: list[bytes] = []

    # What an operator does.

    def init(self, environment: dict | None = None) -> "Server":
        arguments = ["init", *self.directories(), "--account", self.account]
        for region in self.regions:
            arguments += ["--region", region]
        done = run(*arguments, environment=self.environment | (environment or {}))
        expect(done.returncode == 0, f"init exited with {done.returncode}", done.stderr)
        return self

    def directories(self) -> list[str]:
        return ["--data", str(self.data), "--root-dir", str(self.root_directory)]

    def serve_arguments(self) -> list[str]:
        listen = ["--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin_port}"]
        return ["serve", *self.directories(), *listen]

    def start(self, extra: tuple[str, ...] = (), open_files_max: int | None = None) -> "Server":
        expect(self.process is None, "this server runs already")
        limit = None
        if open_files_max is not None:
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (open_files_max, open_files_max))  # noqa: E731
        with self.log_path.open("ab") as log, self.stdout_path.open("ab") as stdout:
            self.process = subprocess.Popen(
                [binary(), *self.serve_arguments(), *extra],
                env=clean_environment() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                preexec_fn=limit,
            )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.is_ready():
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise AssertionError(f"serve exited with {code} before it was ready\n{self.log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"not ready after {READY_SECONDS_MAX} s\n{self.log()}")
            time.sleep(0.01)  # the bounded poll of readiness
        return self

    def is_ready(self) -> bool:
        try:
            return self.admin("/readyz").status == 200
        except OSError:
            return False

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        code = self.process.wait(timeout=EXIT_SECONDS_MAX)
        self.process = None
        return code

    def stop(self) -> int:
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def restart(self) -> "Server":
        code = self.stop()
        expect(code == 0, f"SIGTERM ended serve with {code}", self.log())
        return self.start()

    def close(self) -> None:
        """For fixtures: ends the process whatever its state."""
        if self.process is not None:
            self.kill()

    def discard(self) -> None:
        """Closes, and removes all that was written: the disk reserve alone makes every deployment 64 MiB large."""
        self.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def check(self) -> subprocess.CompletedProcess:
        return run("check", *self.directories())

    def make_certificates(self, name: str = "tls") -> Path:
        """Certificates for trying out, in a directory of this name; returns it."""
        directory = self.home / name
        done = run("dev-cert", "--directory", str(directory))
        expect(done.returncode == 0, f"dev-cert exited with {done.returncode}", done.stderr)
        return directory

    def start_with_tls(self, directory: Path, extra: tuple[str, ...] = ()) -> "Server":
        self.scheme = "https"
        files = ("--tls-cert", str(directory / "server.pem"), "--tls-key", str(directory / "server-key.pem"))
        return self.start(extra=(*files, *extra))

    # What an operator sees.

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def login(self, profile: str = "default") -> Login:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.credentials_path)
        section = parser[profile]
        return Login(section["aws_access_key_id"], section["aws_secret_access_key"])

    @property
    def credentials_path(self) -> Path:
        return self.root_directory / "credentials"

    def endpoint(self, region: str) -> str:
        """One endpoint serves all regions: the credential scope of the signature names the region."""
        expect(region in self.regions, f"{region} is not a region of this server")
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def admin(self, path: str, method: str = "GET") -> "AdminAnswer":
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return AdminAnswer(response.status, dict(response.getheaders()), response.read().decode())
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """One number of /metrics, by its name and labels as they stand there."""
        lines = self.admin("/metrics").text.splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.rsplit(" ", 1)[0] == name)

    def memory(self, kind: str = "VmHWM") -> int:
        """Bytes, by a name of proc_pid_status(5): by default the most that was ever in RAM."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{kind}:"))

    def wait_for(self, what: str, is_so) -> None:
        """The bounded poll for what the server does by itself in its own time."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not is_so():
            expect(time.monotonic() < deadline, f"not within {READY_SECONDS_MAX} s: {what}", self.log())
            time.sleep(0.01)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def files_at_rest(self) -> list[Path]:
        """Every file under the data directory, and both logs: what a thief of the disk would hold. But for the reserve,
        which is large and holds nothing (`test_operations.py`)."""
        paths = [*self.data.rglob("*"), self.log_path, self.stdout_path]
        return [path for path in paths if path.is_file() and path.name != "reserve"]


@dataclass(frozen=True)
class AdminAnswer:
    status: int
    headers: dict
    text: str


class Elsewhere:
    """An endpoint that somebody else runs; only tests without the `process` mark run against it."""

    def __init__(self):
        self.account = os.environ["CONFORMANCE_ACCOUNT"]
        self.regions = json.loads(os.environ.get("CONFORMANCE_REGIONS", '["us-east-1", "eu-central-1"]'))
        self.template = os.environ["CONFORMANCE_ENDPOINT"]
        self.secrets: list[bytes] = []
        self.ciphertexts: list[bytes] = []

    def endpoint(self, region: str) -> str:
        return self.template.replace("{region}", region)

    def login(self, profile: str = "default") -> Login:
        expect(profile == "default", "another deployment's operator is not ours to ask")
        keys = os.environ["CONFORMANCE_ACCESS_KEY_ID"], os.environ["CONFORMANCE_SECRET_ACCESS_KEY"]
        return Login(*keys, os.environ.get("CONFORMANCE_SESSION_TOKEN"))

    def close(self) -> None:
        pass

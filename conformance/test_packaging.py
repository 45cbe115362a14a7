"""The systemd unit and the Debian package, as far as they can be looked at without installing them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server import REPOSITORY, binary, clean_environment

pytestmark = pytest.mark.process

UNIT = REPOSITORY / "packaging" / "strongroom.service"
EXPOSURE_MAX = 1.0


def ok(*command: str, **more) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment(), **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return Path(ok(str(REPOSITORY / "packaging" / "deb"), binary(), str(tmp_path_factory.mktemp("deb"))).strip())


def settings(unit: Path) -> dict[str, list[str]]:
    found = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def test_unit_keeps_what_it_promises():
    unit = settings(UNIT)
    for name, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "MemoryDenyWriteExecute": "yes",
        "LimitCORE": "0",
        "CapabilityBoundingSet": "",
        "User": "strongroom",
        "LoadCredential": "root.key:/etc/strongroom/root.key",
    }.items():
        assert unit[name] == [value]
    # The root directory is read-only there, and the anchor is written.
    assert "--anchor /var/lib/strongroom/anchor " in unit["ExecStart"][0] and unit["StateDirectory"] == ["strongroom"]
    assert unit["LimitMEMLOCK"] == ["infinity"] and unit["SystemCallFilter"][0] == "@system-service"
    # What the service confines itself with, systemd must let through.
    needed = {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "setrlimit"}
    assert needed <= set(unit["SystemCallFilter"][-1].split())
    # `insecure` listening or a passphrase in the unit would undo what the rest does.
    assert not re.search("insecure|passphrase-file", unit["ExecStart"][0])


def test_exposure_is_the_one_that_the_documents_name():
    named = re.search(r"\(systemd 252\) is (\d\.\d)", (REPOSITORY / "docs" / "operations.md").read_text())
    assert named and float(named[1]) <= EXPOSURE_MAX
    # Where systemd is not installed the recorded number stands.
    if shutil.which("systemd-analyze"):
        told = ok("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT))
        found = re.search(r"Overall exposure level for strongroom.service: (\d+\.\d+)", told)
        assert found and float(found[1]) <= EXPOSURE_MAX, told


def test_package_holds_what_it_should_and_nothing_of_the_machine(package):
    listed = ok("dpkg-deb", "--contents", str(package)).splitlines()
    files = {line.split()[5].removeprefix("."): line.split() for line in listed if line.startswith("-")}
    for path, mode in {
        "/usr/bin/strongroom": "-rwxr-xr-x",
        "/lib/systemd/system/strongroom.service": "-rw-r--r--",
        "/etc/strongroom/strongroom.toml": "-rw-r--r--",
        "/usr/share/doc/strongroom/operations.md": "-rw-r--r--",
        "/usr/share/doc/strongroom/copyright": "-rw-r--r--",
    }.items():
        assert files[path][0] == mode
    assert {line[1] for line in files.values()} == {"root/root"}
    fields = ok("dpkg-deb", "--field", str(package))
    assert "Package: strongroom\n" in fields and "Depends: libc6" in fields
    scripts = ok("dpkg-deb", "--info", str(package), "postinst") + ok("dpkg-deb", "--info", str(package), "prerm")
    assert "strongroom init" not in scripts and "systemctl enable" not in scripts


def test_installed_binary_serves(package, new_server, tmp_path, monkeypatch):
    ok("dpkg-deb", "--extract", str(package), str(tmp_path))
    monkeypatch.setenv("STRONGROOM_BINARY", str(tmp_path / "usr/bin/strongroom"))
    target = new_server().init()
    target.start(extra=("--config", str(tmp_path / "etc/strongroom/strongroom.toml")))
    assert target.stop() == 0


def test_checksums_and_configuration_are_in_the_package(package, tmp_path):
    ok("dpkg-deb", "--raw-extract", str(package), str(tmp_path / "raw"))
    control = tmp_path / "raw" / "DEBIAN"
    assert (control / "conffiles").read_text() == "/etc/strongroom/strongroom.toml\n"
    ok("md5sum", "--check", "--quiet", str(control / "md5sums"), cwd=tmp_path / "raw")
    for script in ("postinst", "prerm"):
        ok("sh", "-n", str(control / script))

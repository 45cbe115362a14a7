#!/usr/bin/env python3
"""Keeps a data directory of a release, for the upgrade rule: `conformance/keep_release.py NAME` with STRONGROOM_BINARY set.

Run it once per release, with that release's own binary and this suite's virtual environment (`.venv/bin/python`), and check the
file in. It makes a small deployment, uses all that the release can do with keys, kills the server (so that log, outbox and
journal lie as a crash leaves them), and packs both directories and a list of what must be there into `releases/NAME.tar.xz`.
"""

import base64
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from clients import client, policy
from server import Server, run

HERE = Path(__file__).resolve().parent
ACCOUNT, REGIONS = "111122223333", ["us-east-1", "eu-central-1"]
KIB_MAX = 300


def story(target: Server) -> dict:
    """What happens in the deployment, and so what a later release must find."""
    expected = {"account": ACCOUNT, "regions": {}}
    for region in REGIONS:
        kms = client(target, region)
        keys, blobs, aliases = {}, [], {}
        for number in range(3):
            made = kms.create_key(Description=f"key {number} of {region}", Policy=policy(ACCOUNT))["KeyMetadata"]
            id = made["KeyId"]
            context = {"number": str(number), "region": region}
            plaintext = f"plaintext {number} of {region}".encode()
            blob = kms.encrypt(KeyId=id, Plaintext=plaintext, EncryptionContext=context)["CiphertextBlob"]
            blobs.append({"key": id, "context": context, "plaintext": plaintext.decode(), "blob": encoded(blob)})
            name = f"alias/{region}/{number}"
            kms.create_alias(AliasName=name, TargetKeyId=id)
            aliases[name] = id
            keys[id] = {"arn": made["Arn"], "description": made["Description"], "state": "Enabled"}
        kms.disable_key(KeyId=id)
        keys[id]["state"] = "Disabled"
        expected["regions"][region] = {"keys": keys, "aliases": aliases, "blobs": blobs, "policy": policy(ACCOUNT)}
    return expected


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pack(home: Path, expected: dict, to: Path) -> None:
    def own(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        # The reserve holds nothing; sockets and the lock are the process's.
        if Path(member.name).name in ("reserve", "lock", "unseal.sock") or not (member.isfile() or member.isdir()):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o700 if member.isdir() else 0o600
        return member

    text = json.dumps(expected, indent=1).encode()
    with tarfile.open(to, "w:xz") as archive:
        for name in ("data", "root"):
            archive.add(home / name, name, filter=own)
        listed = tarfile.TarInfo("expected.json")
        listed.size = len(text)
        archive.addfile(listed, io.BytesIO(text))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    version = run("--version").stdout.strip()
    to = HERE / "releases" / f"{sys.argv[1]}.tar.xz"
    if to.exists():
        print(f"{to} exists already: what was released does not change", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as home:
        target = Server(Path(home), ACCOUNT, REGIONS).init().start()
        try:
            # A restart in between: the journal has more than one segment then, and the log was emptied once.
            expected = story(target) | {"version": version}
            target.restart()
            last = client(target, REGIONS[0]).create_key(Description="after the restart")["KeyMetadata"]
            expected["regions"][REGIONS[0]]["keys"][last["KeyId"]] = {
                **{"arn": last["Arn"], "description": last["Description"], "state": "Enabled"}
            }
        finally:
            target.kill()
        to.parent.mkdir(exist_ok=True)
        pack(Path(home), expected, to)
    size = to.stat().st_size
    print(f"{to}: {version}, {size} bytes")
    if size > KIB_MAX * 1024:
        print(f"more than {KIB_MAX} KiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

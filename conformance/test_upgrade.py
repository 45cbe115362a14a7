"""The upgrade rule: today's binary runs on the data of every release, as its last process left them."""

import base64
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from clients import client, refusal
from server import Server, run

pytestmark = pytest.mark.process

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.tar.xz"))


def unpacked(archive: Path, make) -> tuple[Server, dict]:
    target = make()
    with tarfile.open(archive) as packed:
        packed.extractall(target.home, filter="data")
    expected = json.loads((target.home / "expected.json").read_text())
    target.account, target.regions = expected["account"], list(expected["regions"])
    return target, expected


@pytest.fixture(params=RELEASES, ids=[path.name.removesuffix(".tar.xz") for path in RELEASES])
def kept(request, new_server):
    return unpacked(request.param, new_server)


def test_there_is_a_release_to_upgrade_from():
    assert RELEASES
    for path in RELEASES:
        assert path.stat().st_size <= 300 * 1024


def test_data_without_their_root_key_are_refused(kept, new_server):
    target, _ = kept
    other = new_server().init()
    shutil.copy(other.root_directory / "root.key", target.root_directory / "root.key")
    assert target.check().returncode != 0


def test_data_of_a_release_are_clean_before_anything_is_written(kept):
    target, _ = kept
    checked = target.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_data_of_a_release_are_served(kept):
    target, expected = kept
    target.start()
    for region, there in expected["regions"].items():
        kms = client(target, region)
        listed = {entry["KeyId"] for entry in kms.list_keys()["Keys"]}
        assert listed == set(there["keys"])
        for id, key in there["keys"].items():
            metadata = kms.describe_key(KeyId=id)["KeyMetadata"]
            assert {name: metadata[name] for name in ("Arn", "Description", "KeyState")} == {
                **{"Arn": key["arn"], "Description": key["description"], "KeyState": key["state"]}
            }
        aliases = {entry["AliasName"]: entry["TargetKeyId"] for entry in kms.list_aliases()["Aliases"]}
        assert aliases == there["aliases"]
        for sealed in there["blobs"]:
            parameters = {"CiphertextBlob": base64.b64decode(sealed["blob"]), "EncryptionContext": sealed["context"]}
            assert kms.get_key_policy(KeyId=sealed["key"])["Policy"] == there["policy"]
            if there["keys"][sealed["key"]]["state"] == "Disabled":
                assert refusal(kms.decrypt, **parameters).code == "DisabledException"
                kms.enable_key(KeyId=sealed["key"])
            wrong = parameters | {"EncryptionContext": {"number": "9"}}
            assert refusal(kms.decrypt, **wrong).code == "InvalidCiphertextException"
            assert kms.decrypt(**parameters)["Plaintext"] == sealed["plaintext"].encode()
        kms.create_key(Description="made by a later release")
    assert target.stop() == 0
    checked = target.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_trail_of_a_release_is_read_and_continued(kept):
    target, expected = kept
    assert target.start().stop() == 0
    events = [json.loads(line) for line in run("audit", *target.directories()).stdout.splitlines()]
    made = [event for event in events if event["eventName"] == "CreateKey"]
    # The record of the last change was in the outbox when the process was killed, or in the journal; it is there once.
    assert len(made) == sum(len(there["keys"]) for there in expected["regions"].values())
    assert len({event["eventID"] for event in events}) == len(events)
    verified = run("audit", *target.directories(), "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_data_of_a_release_are_backed_up_and_administered(kept, new_server, tmp_path):
    target, expected = kept
    done = run("backup", *target.directories(), "--to", str(tmp_path / "backup"))
    assert done.returncode == 0, done.stderr
    done = run("credential", "reset", "root", *target.directories())
    assert done.returncode == 0, done.stderr
    done = run("region", "add", "eu-west-3", *target.directories())
    assert done.returncode == 0, done.stderr
    region = next(iter(expected["regions"]))
    assert len(client(target.start(), region).list_keys()["Keys"]) == len(expected["regions"][region]["keys"])

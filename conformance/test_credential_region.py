"""Offline administration: access keys are changed and regions are added while nobody serves."""

import json
import stat

import pytest
from botocore.exceptions import ClientError

from clients import client, refusal
from conftest import ACCOUNT, OTHER_REGION, REGION
from server import Login, Server, run

pytestmark = pytest.mark.process


def offline(target: Server, *command: str, more: tuple[str, ...] = ()) -> str:
    done = run(*command, *target.directories(), *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(target: Server, *command: str, more: tuple[str, ...] = ()) -> str:
    done = run(*command, *target.directories(), *more)
    assert done.returncode != 0, done.stdout
    assert done.stderr.strip() and "panicked" not in done.stderr
    return done.stderr


def service_events(target: Server, name: str) -> list[dict]:
    lines = offline(target, "audit").splitlines()
    return [event for event in map(json.loads, lines) if event["eventName"] == name]


def listed(target: Server, owner: str) -> list[str]:
    lines = offline(target, "credential", "list").splitlines()
    return [line.split()[0] for line in lines if line.endswith(owner)]


def is_good(target: Server, login: Login) -> bool:
    try:
        client(target, REGION, login=login).list_keys()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "UnrecognizedClientException"
        return False
    return True


def assert_clean(target: Server) -> None:
    checked = target.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr


# Access keys.


def test_credentials_of_data_that_is_served_are_not_changed(server):
    for command in (["list"], ["reset", "root"], ["rotate", "operator"], ["retire", "AKIAUNKNOWNUNKNOWN12"]):
        assert "in use" in refused(server, "credential", *command)
    assert "in use" in refused(server, "region", "add", "eu-west-3")


def test_credentials_without_the_root_key_are_not_changed(new_server):
    target, other = new_server().init(), new_server().init()
    before = target.credentials_path.read_bytes()
    foreign = ["--data", str(target.data), "--root-dir", str(other.root_directory)]
    theirs = other.credentials_path.read_bytes()
    for command in (["reset", "root"], ["rotate", "root"], ["list"]):
        assert run("credential", *command, *foreign).returncode != 0
    assert target.credentials_path.read_bytes() == before
    assert other.credentials_path.read_bytes() == theirs
    assert is_good(target.start(), target.login())


def test_a_foreign_account_and_an_unknown_access_key_are_refused(new_server):
    target = new_server().init()
    assert "999900001111" in refused(target, "credential", "reset", "root", more=("--account", "999900001111"))
    assert "AKIAUNKNOWNUNKNOWN12" in refused(target, "credential", "retire", "AKIAUNKNOWNUNKNOWN12")
    assert run("credential", "reset", "somebody", *target.directories()).returncode == 2


def test_reset_takes_the_old_key_away_and_makes_a_new_one(new_server):
    target = new_server().init()
    old, operator = target.login(), target.login("operator")
    told = offline(target, "credential", "reset", "root")
    new = target.login()
    assert new.access_key in told and old.access_key in told and new.secret_key not in told
    assert new.access_key != old.access_key and new.secret_key != old.secret_key
    assert target.login("operator") == operator
    assert stat.S_IMODE(target.credentials_path.stat().st_mode) == 0o600
    assert sorted(path.name for path in target.root_directory.iterdir()) == ["anchor", "credentials", "root.key"]
    target.start()
    assert not is_good(target, old)
    assert is_good(target, new)
    assert target.stop() == 0
    assert_clean(target)
    (event,) = service_events(target, "ResetCredential")
    assert event["eventType"] == "AwsServiceEvent" and event["eventSource"] == "strongroom"
    assert event["userIdentity"]["type"] == "Operator"
    details = event["serviceEventDetails"]
    assert details["accessKeyId"] == new.access_key and details["earlierAccessKeyIds"] == [old.access_key]
    assert details["principal"] == "root" and details["accountId"] == ACCOUNT


def test_the_operators_key_is_reset_alone(new_server):
    target = new_server().init()
    root, operator = target.login(), target.login("operator")
    offline(target, "credential", "reset", "operator")
    assert target.login() == root
    assert target.login("operator").access_key != operator.access_key
    assert listed(target, "operator") == [target.login("operator").access_key]


def test_rotation_from_the_first_key_to_the_second(new_server):
    target = new_server().init()
    first = target.login()
    assert "credential rotate" in refused(target, "credential", "retire", first.access_key)
    offline(target, "credential", "rotate", "root")
    second = target.login()
    assert "credential retire" in refused(target, "credential", "rotate", "root")
    assert target.login() == second
    assert listed(target, f"root of {ACCOUNT}") == [first.access_key, second.access_key]
    target.start()
    assert is_good(target, first) and is_good(target, second)
    target.stop()
    told = offline(target, "credential", "retire", first.access_key)
    assert "still names it" not in told
    target.start()
    assert not is_good(target, first)
    assert is_good(target, second)
    target.stop()
    assert "credential rotate" in refused(target, "credential", "retire", second.access_key)
    assert_clean(target)
    assert [len(service_events(target, f"{verb}Credential")) for verb in ("Rotate", "Retire")] == [1, 1]
    verified = run("audit", *target.directories(), "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_retiring_the_key_that_the_file_names_says_so(new_server):
    target = new_server().init()
    first = target.login()
    offline(target, "credential", "rotate", "root")
    assert "still names it" in offline(target, "credential", "retire", target.login().access_key)
    assert is_good(target.start(), first)


def test_other_profiles_of_the_file_stay(new_server):
    target = new_server().init()
    with target.credentials_path.open("a") as file:
        file.write("[mine]\nregion = eu-west-1\n")
    offline(target, "credential", "reset", "root")
    assert target.credentials_path.read_text().endswith("[mine]\nregion = eu-west-1\n")
    target.credentials_path.unlink()
    offline(target, "credential", "reset", "root")
    assert is_good(target.start(), target.login())


def test_secrets_are_in_no_output(new_server):
    target = new_server().init()
    told = offline(target, "credential", "rotate", "root") + offline(target, "credential", "list")
    for profile in ("default", "operator"):
        assert target.login(profile).secret_key not in told


# Regions.


def test_known_malformed_and_foreign_regions_are_refused(new_server):
    target = new_server().init()
    before = offline(target, "region", "list")
    assert "already" in refused(target, "region", "add", REGION)
    for malformed in ("US EAST", "global", "-x"):
        assert run("region", "add", *target.directories(), "--", malformed).returncode != 0
    for foreign in ("us-iso-east-1", "eusc-de-east-1"):
        assert "partition" in refused(target, "region", "add", foreign)
    assert offline(target, "region", "list") == before == f"{REGION}\n"
    assert_clean(target)


def test_region_of_a_foreign_partition_is_refused_at_init(new_server):
    target = new_server()
    done = run("init", *target.directories(), "--region", "us-isob-east-1")
    assert done.returncode != 0 and "aws-iso-b" in done.stderr
    target.init()


def test_added_region_is_served_and_the_others_are_as_before(new_server):
    target = new_server().init().start()
    key = client(target, REGION).create_key(Description="before")["KeyMetadata"]["KeyId"]
    blob = client(target, REGION).encrypt(KeyId=key, Plaintext=b"before")["CiphertextBlob"]
    target.regions.append(OTHER_REGION)
    assert refusal(client(target, OTHER_REGION).list_keys).code == "InvalidSignatureException"
    target.stop()
    assert OTHER_REGION in offline(target, "region", "add", OTHER_REGION)
    assert offline(target, "region", "list").split() == sorted([REGION, OTHER_REGION])
    assert_clean(target)
    target.start()
    there = client(target, OTHER_REGION)
    assert there.list_keys()["Keys"] == []
    made = there.create_key()["KeyMetadata"]
    assert f":{OTHER_REGION}:" in made["Arn"]
    sealed = there.encrypt(KeyId=made["KeyId"], Plaintext=b"there")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"there"
    assert client(target, REGION).decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"
    assert target.stop() == 0
    assert_clean(target)
    (event,) = service_events(target, "AddRegion")
    assert event["serviceEventDetails"] == {"region": OTHER_REGION}


def test_region_is_added_to_a_deployment_that_was_killed(new_server):
    target = new_server().init().start()
    keys = [client(target, REGION).create_key()["KeyMetadata"]["KeyId"] for _ in range(5)]
    target.kill()
    offline(target, "region", "add", "cn-north-1")
    target.regions.append("cn-north-1")
    target.start()
    assert client(target, "cn-north-1").create_key()["KeyMetadata"]["Arn"].startswith("arn:aws-cn:kms:cn-north-1:")
    assert {entry["KeyId"] for entry in client(target, REGION).list_keys()["Keys"]} == set(keys)
    target.stop()
    assert_clean(target)


def test_regions_end_at_their_limit(new_server):
    names = [f"xx-test-{number}" for number in range(64)]
    target = new_server(regions=names[:63]).init()
    offline(target, "region", "add", names[63])
    assert "64" in refused(target, "region", "add", "xx-test-64")
    assert_clean(target)

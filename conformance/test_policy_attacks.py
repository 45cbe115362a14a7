"""Attempts to get by policies: other cases, look-alikes, tags, facts that are absent or empty, texts at their limits.

A Deny must hold however the caller writes what it is about, and an Allow must not reach further than it says. One server, whose
root user gives rights to users.
"""

import http.client
import json

import pytest

from clients import client, refusal
from conftest import REGION, make_key
from test_credential_region import offline, refused
from test_identities import OWNER, allow, of, quoted, text, user

pytestmark = pytest.mark.process

POLICY_BYTES_MAX, POLICIES_MAX = 10_240, 10
CYRILLIC_E, KELVIN, FULL_WIDTH_T = "\u0435", "\u212a", "\uff54"


def of_size(size: int) -> str:
    """A policy of the largest size, which allows DescribeKey only after thousands of wildcards."""
    policy = text(allow("kms:DescribeKey", Condition={"StringLike": {"aws:username": ["*a" * 2000 + "*b", "*large*"]}}))
    return policy + " " * (size - len(policy))


def large(size: int = POLICY_BYTES_MAX, count: int = POLICIES_MAX) -> str:
    file = user("large", boundary=quoted(of_size(POLICY_BYTES_MAX)))
    return file + "".join(f"policies.p{number} = {quoted(of_size(size))}\n" for number in range(count))


FILE = (
    user("bob", tags='{ team = "red", note = "", kind = "kelvin" }')
    + user("eve", tags=f'{{ team = "r{CYRILLIC_E}d", Team-2 = "red", kind = "{KELVIN}elvin" }}')
    + user("tagger", text(allow("kms:*")), tags='{ team = "blue" }')
    + large()
)


@pytest.fixture(scope="module")
def house(new_server):
    target = new_server(account=OWNER)
    target.init()
    path = target.home / "identities.toml"
    path.write_text(FILE)
    offline(target, "identity", "apply", str(path))
    return target.start()


@pytest.fixture(scope="module")
def kms(house):
    return client(house, REGION)


@pytest.fixture(scope="module")
def users(house):
    return {name: of(house, name) for name in ("bob", "eve", "tagger", "large")}


@pytest.fixture()
def key(kms):
    return make_key(kms)


def put(kms, key, *statements: dict) -> None:
    root = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:root"})
    kms.put_key_policy(KeyId=key.id, Policy=text(root, *statements))


def anyone(condition: dict, effect: str = "Allow") -> dict:
    return allow("kms:Encrypt", Principal="*", Condition=condition) | {"Effect": effect}


def may(kms, key, context: dict | None = None) -> bool:
    call = {"KeyId": key.id, "Plaintext": b"x"} | ({"EncryptionContext": context} if context is not None else {})
    try:
        kms.encrypt(**call)
    except kms.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException"
        return False
    return True


# Case.


@pytest.mark.parametrize("name", ["aws:PrincipalTag/team", "AWS:PRINCIPALTAG/TEAM", "aws:principaltag/tEAM"])
def test_condition_keys_are_the_same_in_whatever_case(kms, users, key, name):
    put(kms, key, anyone({}), anyone({"StringEquals": {name: "red"}}, "Deny"))
    assert not may(users["bob"], key)
    assert may(users["eve"], key)


@pytest.mark.parametrize("context_key", ["Dept", "dept", "DEPT"])
def test_a_deny_of_a_context_holds_for_its_key_in_whatever_case(kms, users, key, context_key):
    deny = anyone({"StringEquals": {"kms:EncryptionContext:Dept": "secret"}}, "Deny")
    put(kms, key, anyone({}), deny)
    assert not may(users["bob"], key, {context_key: "secret"})
    # Nor does a second key beside it help.
    assert not may(users["bob"], key, {context_key: "secret", "dEPT": "open"})
    assert may(users["bob"], key, {context_key: "open"})


def test_an_allow_of_a_context_needs_every_key_that_has_the_name(kms, users, key):
    put(kms, key, anyone({"StringEquals": {"kms:EncryptionContext:Dept": "hr"}}))
    assert not may(users["bob"], key, {"dept": "hr", "Dept": "it"})
    assert not may(users["bob"], key, {"dept": "HR"})
    assert may(users["bob"], key, {"dept": "hr", "Dept": "hr"})


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:iam::{OWNER}:user/Bob",
        f"arn:aws:iam::{OWNER}:User/bob",
        f"ARN:aws:iam::{OWNER}:user/bob",
        f"arn:AWS:iam::{OWNER}:user/bob",
        f"arn:aws:IAM::{OWNER}:user/bob",
    ],
)
def test_arns_are_exact(kms, users, key, arn):
    put(kms, key, anyone({"ArnEquals": {"aws:PrincipalArn": arn}}))
    assert not may(users["bob"], key)
    statement = allow("kms:Encrypt", Principal={"AWS": arn})
    root = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:root"})
    error = refusal(kms.put_key_policy, KeyId=key.id, Policy=text(root, statement))
    assert error.code == "MalformedPolicyDocumentException"
    put(kms, key, anyone({"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:user/bob"}}))
    assert may(users["bob"], key)


# Look-alikes.


def test_letters_that_look_alike_are_others(kms, users, key):
    put(kms, key, anyone({"StringEquals": {"aws:PrincipalTag/team": "red"}}))
    assert not may(users["eve"], key)
    assert may(users["bob"], key)
    # U+212A in lower case is `k`, for those who fold more than ASCII.
    put(kms, key, anyone({"StringEqualsIgnoreCase": {"aws:PrincipalTag/kind": "KELVIN"}}))
    assert not may(users["eve"], key)
    assert may(users["bob"], key)
    put(kms, key, anyone({"StringEquals": {"kms:EncryptionContext:Dept": "hr"}}))
    assert not may(users["bob"], key, {f"D{CYRILLIC_E}pt": "hr"})
    assert not may(users["bob"], key, {f"Dep{FULL_WIDTH_T}": "hr"})
    assert may(users["bob"], key, {"Dept": "hr"})


@pytest.mark.parametrize("name", [f"\u0435ve", "bob\u200b", "\u202ebob", "b\u00f6b"])
def test_users_cannot_have_names_that_look_alike(house, name):
    house.stop()
    try:
        path = house.home / "look-alike.toml"
        path.write_text(user(name))
        assert "this is no name" in refused(house, "identity", "apply", str(path))
    finally:
        house.start()


# Tags.


def test_nobody_gives_themselves_rights_by_a_tag(kms, users, key):
    """Who may tag, and may use keys of the own team, needs a Deny on the tag that decides: it holds for each way to set it."""
    kms.tag_resource(KeyId=key.id, Tags=[{"TagKey": "team", "TagValue": "red"}])
    other_team = {"StringNotEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    team_tag = {"ForAnyValue:StringEqualsIgnoreCase": {"aws:TagKeys": "team"}}
    user_arn = {"AWS": f"arn:aws:iam::{OWNER}:user/tagger"}
    put(
        kms,
        key,
        allow("kms:Encrypt", Principal="*", Condition=other_team) | {"Effect": "Deny"},
        allow("kms:TagResource", "kms:UntagResource", Principal=user_arn, Condition=team_tag) | {"Effect": "Deny"},
    )
    tagger = users["tagger"]
    assert not may(tagger, key)
    for name in ("team", "Team", "TEAM"):
        tags = [{"TagKey": "harmless", "TagValue": "x"}, {"TagKey": name, "TagValue": "blue"}]
        assert refusal(tagger.tag_resource, KeyId=key.id, Tags=tags).code == "AccessDeniedException"
        assert refusal(tagger.untag_resource, KeyId=key.id, TagKeys=["x", name]).code == "AccessDeniedException"
    tagger.tag_resource(KeyId=key.id, Tags=[{"TagKey": "harmless", "TagValue": "x"}])
    assert not may(tagger, key)
    kms.tag_resource(KeyId=key.id, Tags=[{"TagKey": "team", "TagValue": "blue"}])
    assert may(tagger, key)


def test_a_second_tag_of_the_same_name_in_another_case_widens_nothing(kms, users, key):
    own_team = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    kms.tag_resource(KeyId=key.id, Tags=[{"TagKey": "team", "TagValue": "green"}])
    put(kms, key, anyone(own_team))
    assert not may(users["bob"], key)
    kms.tag_resource(KeyId=key.id, Tags=[{"TagKey": "Team", "TagValue": "red"}])
    assert not may(users["bob"], key)
    kms.tag_resource(KeyId=key.id, Tags=[{"TagKey": "team", "TagValue": "red"}])
    assert may(users["bob"], key)


# Absent and empty.


@pytest.mark.parametrize(
    "condition, bob_may, eve_may",
    [
        # Bob's note is empty, Eve has none.
        ({"StringEquals": {"aws:PrincipalTag/note": ""}}, True, False),
        ({"StringNotEquals": {"aws:PrincipalTag/note": ""}}, False, True),
        ({"StringLike": {"aws:PrincipalTag/note": "*"}}, True, False),
        ({"Null": {"aws:PrincipalTag/note": "true"}}, False, True),
        ({"Null": {"aws:PrincipalTag/note": "false"}}, True, False),
        ({"StringEqualsIfExists": {"aws:PrincipalTag/note": "x"}}, False, True),
        ({"ForAllValues:StringEquals": {"aws:PrincipalTag/note": "x"}}, True, True),
        ({"ForAnyValue:StringEquals": {"aws:PrincipalTag/note": ["", "x"]}}, False, False),
        # An absent value in a variable is no empty text.
        ({"StringEquals": {"aws:username": "bob${aws:PrincipalTag/note}"}}, True, False),
        ({"StringEquals": {"aws:username": "eve${aws:PrincipalTag/note}"}}, False, False),
        ({"StringNotEquals": {"aws:username": "x${aws:PrincipalTag/note}"}}, True, False),
        ({"StringEquals": {"aws:username": "eve${aws:PrincipalTag/note, ''}"}}, False, True),
        # What nobody here has.
        ({"StringEquals": {"aws:PrincipalOrgID": ""}}, False, False),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, False, False),
        ({"Null": {"aws:PrincipalOrgID": "true"}}, True, True),
    ],
)
def test_absent_is_not_empty(kms, users, key, condition, bob_may, eve_may):
    put(kms, key, anyone(condition))
    assert may(users["bob"], key) == bob_may
    assert may(users["eve"], key) == eve_may


def test_no_context_and_an_empty_one_are_the_same(kms, users, key):
    put(kms, key, anyone({"Null": {"kms:EncryptionContextKeys": "false"}}))
    assert not may(users["bob"], key) and not may(users["bob"], key, {})
    assert may(users["bob"], key, {"a": "b"})
    put(kms, key, anyone({"Null": {"kms:EncryptionContextKeys": "true"}}))
    assert may(users["bob"], key) and may(users["bob"], key, {})
    assert not may(users["bob"], key, {"a": "b"})


# Limits.


def test_identity_policies_at_their_limits_decide(users, key):
    assert users["large"].describe_key(KeyId=key.id)["KeyMetadata"]["KeyId"] == key.id
    assert not may(users["large"], key)


@pytest.mark.parametrize("file", [large(POLICY_BYTES_MAX + 1, 1), large(200 + 4100, POLICIES_MAX + 1)], ids=["long", "many"])
def test_identity_policies_past_their_limits_are_refused(house, file):
    house.stop()
    try:
        path = house.home / "large.toml"
        path.write_text(file)
        assert "more than" in refused(house, "identity", "apply", str(path))
    finally:
        house.start()


# Nobody, and services.


def test_a_policy_for_everyone_lets_nobody_in_without_a_signature(house, kms, key):
    put(kms, key, anyone({}), allow("kms:*", Principal={"Service": "logs.amazonaws.com"}))
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Encrypt"}
    connection = http.client.HTTPConnection("127.0.0.1", house.port)
    connection.request("POST", "/", json.dumps({"KeyId": key.id, "Plaintext": "eA=="}), headers)
    answer = connection.getresponse()
    assert answer.status == 400
    assert json.loads(answer.read())["__type"].endswith("MissingAuthenticationTokenException")


def test_a_service_in_a_policy_is_nobody_who_calls(kms, users, key):
    statement = allow("kms:Encrypt", Principal={"Service": "logs.amazonaws.com"})
    put(kms, key, statement, anyone({"Bool": {"aws:PrincipalIsAWSService": "true"}}))
    assert not may(users["bob"], key)
    put(kms, key, statement, anyone({"Bool": {"aws:PrincipalIsAWSService": "false"}}))
    assert may(users["bob"], key)

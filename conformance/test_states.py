"""The tables of key states, driven with boto3: what every operation answers about a key in every state that calls lead to.

The tables are the product's own golden files, which its tests hold against the operations themselves, also in the states
that no call leads to yet."""

import re
from pathlib import Path

import pytest

from clients import refusal
from conftest import make_key

TABLES = Path(__file__).resolve().parent.parent / "crates" / "kms" / "tests" / "states"
STATES = ["Enabled", "Disabled", "PendingDeletion"]
TAGS = [{"TagKey": "old", "TagValue": ""}]


def read(name: str) -> tuple[dict, dict[str, list[str]]]:
    """The codes with what they stand for, and the rows of a table."""
    blocks = (TABLES / name).read_text().split("\n\n")
    codes = {line[:5].strip(): line[5:] for line in blocks[0].splitlines()}
    rows = [re.split(r"  +", line.strip()) for line in blocks[-1].splitlines()]
    return codes, {row[0]: row[1:] for row in rows[1:]}


CODES, OPERATIONS = read("operations.txt")
_, EVENTS = read("events.txt")


def in_state(kms, state: str):
    """A tagged key in this state, which had encrypted something before and has a grant."""
    key = make_key(kms, Tags=TAGS)
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
    principal = f"arn:aws:iam::{key.arn.split(':')[4]}:root"
    grant = kms.create_grant(KeyId=key.id, GranteePrincipal=principal, Operations=["Decrypt"])
    if state == "Disabled":
        kms.disable_key(KeyId=key.id)
    return key, blob, grant["GrantId"]


def moved_to(kms, key, state: str) -> None:
    if state == "PendingDeletion":
        kms.schedule_key_deletion(KeyId=key.id)
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == state


def calls(kms, key, blob, grant_id: str, other, alias_name: str) -> dict:
    """Each row of the table as a call; `<alias>/old` is the key's, `<alias>/other` the other's."""
    text = kms.get_key_policy(KeyId=other.id)["Policy"]
    elsewhere = kms.encrypt(KeyId=other.id, Plaintext=b"x")["CiphertextBlob"]
    id = {"KeyId": key.id}
    data_key = id | {"KeySpec": "AES_256"}
    principal = f"arn:aws:iam::{key.arn.split(':')[4]}:root"
    grant = id | {"GranteePrincipal": principal, "Operations": ["Encrypt"]}
    ended = id | {"GrantId": grant_id}
    return {
        "CancelKeyDeletion": (kms.cancel_key_deletion, id),
        "CreateAlias": (kms.create_alias, {"AliasName": f"{alias_name}/new", "TargetKeyId": key.id}),
        "CreateGrant": (kms.create_grant, grant),
        "CreateGrant dry": (kms.create_grant, grant | {"DryRun": True}),
        "Decrypt": (kms.decrypt, {"CiphertextBlob": blob}),
        "Decrypt dry": (kms.decrypt, {"CiphertextBlob": blob, "DryRun": True}),
        "DeleteAlias": (kms.delete_alias, {"AliasName": f"{alias_name}/old"}),
        "DescribeKey": (kms.describe_key, id),
        "DisableKey": (kms.disable_key, id),
        "EnableKey": (kms.enable_key, id),
        "Encrypt": (kms.encrypt, id | {"Plaintext": b"x"}),
        "Encrypt dry": (kms.encrypt, id | {"Plaintext": b"x", "DryRun": True}),
        "GenerateDataKey": (kms.generate_data_key, data_key),
        "GenerateDataKeyWithoutPlaintext": (kms.generate_data_key_without_plaintext, data_key),
        "GetKeyPolicy": (kms.get_key_policy, id),
        "ListAliases": (kms.list_aliases, id),
        "ListGrants": (kms.list_grants, id),
        "ListKeyPolicies": (kms.list_key_policies, id),
        "ListResourceTags": (kms.list_resource_tags, id),
        "PutKeyPolicy": (kms.put_key_policy, id | {"Policy": text}),
        "ReEncrypt from": (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": other.id}),
        "ReEncrypt to": (kms.re_encrypt, {"CiphertextBlob": elsewhere, "DestinationKeyId": key.id}),
        "RetireGrant": (kms.retire_grant, ended),
        "RevokeGrant": (kms.revoke_grant, ended),
        "ScheduleKeyDeletion": (kms.schedule_key_deletion, id),
        "TagResource": (kms.tag_resource, id | {"Tags": [{"TagKey": "new", "TagValue": ""}]}),
        "UntagResource": (kms.untag_resource, id | {"TagKeys": ["old"]}),
        "UpdateAlias from": (kms.update_alias, {"AliasName": f"{alias_name}/old", "TargetKeyId": other.id}),
        "UpdateAlias to": (kms.update_alias, {"AliasName": f"{alias_name}/other", "TargetKeyId": key.id}),
        "UpdateKeyDescription": (kms.update_key_description, id | {"Description": "new"}),
    }


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", OPERATIONS)
def test_operation_answers_as_the_table_says(kms, second_key, alias_name, row, state):
    key, blob, grant_id = in_state(kms, state)
    kms.create_alias(AliasName=f"{alias_name}/old", TargetKeyId=key.id)
    kms.create_alias(AliasName=f"{alias_name}/other", TargetKeyId=second_key.id)
    moved_to(kms, key, state)
    call, parameters = calls(kms, key, blob, grant_id, second_key, alias_name)[row]
    code = OPERATIONS[row][STATES.index(state)]
    if code == "ok":
        call(**parameters)
    else:
        error = refusal(call, **parameters)
        assert f"{error.code}: {error.message}" == CODES[code].replace("<arn>", key.arn)
    if row.split()[0] not in ("CancelKeyDeletion", "DisableKey", "EnableKey", "ScheduleKeyDeletion"):
        assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == state
    for entry in kms.get_paginator("list_aliases").paginate().search("Aliases[].AliasName"):
        if entry.startswith(alias_name):
            kms.delete_alias(AliasName=entry)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "at, name", enumerate(["cancel_key_deletion", "disable_key", "enable_key", "schedule_key_deletion"])
)
def test_event_leads_where_the_table_says(kms, at, name, state):
    key, *_ = in_state(kms, state)
    moved_to(kms, key, state)
    expected = EVENTS[state][at]
    if expected in CODES:
        error = refusal(getattr(kms, name), KeyId=key.id)
        assert f"{error.code}: {error.message}" == CODES[expected].replace("<arn>", key.arn)
    else:
        getattr(kms, name)(KeyId=key.id)
    metadata = kms.describe_key(KeyId=key.id)["KeyMetadata"]
    after = state if expected in CODES else expected
    assert (metadata["KeyState"], metadata["Enabled"]) == (after, after == "Enabled")
    assert ("DeletionDate" in metadata) == (after == "PendingDeletion")

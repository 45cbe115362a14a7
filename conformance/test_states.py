"""The tables of key states, driven with boto3: what every operation answers about a key in every state that calls lead to.

The tables are the product's own golden files, which its tests hold against the operations themselves, also in the states
that no call leads to yet."""

import re
from pathlib import Path

import pytest

from clients import refusal
from conftest import Key, make_key

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


SPECS = {
    "DeriveSharedSecret": ("ECC_NIST_P256", "KEY_AGREEMENT"),
    "GenerateMac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
    "GetPublicKey": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "Sign": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "Verify": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "VerifyMac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
}
SIGNING = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
MAC = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
# Not in the pinned botocore; the product's own tests hold these rows.
NEWER_THAN_BOTOCORE = {"Decapsulate", "Encapsulate"}


def in_state(kms, state: str, operation: str = ""):
    """A tagged key in this state with a grant, and what it had made for the operation before: a blob, a signature, a MAC, a
    public key."""
    if operation in SPECS:
        spec, usage = SPECS[operation]
        metadata = kms.create_key(Tags=TAGS, KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        key = Key(metadata["KeyId"], metadata["Arn"], "", metadata)
        made = {"Verify": (kms.sign, SIGNING, "Signature"), "VerifyMac": (kms.generate_mac, MAC, "Mac")}
        made["DeriveSharedSecret"] = (kms.get_public_key, {}, "PublicKey")
        call, parameters, member = made.get(operation, (None, {}, ""))
        blob = call(KeyId=key.id, **parameters)[member] if call else b""
    else:
        key = make_key(kms, Tags=TAGS)
        blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
    principal = f"arn:aws:iam::{key.arn.split(':')[4]}:root"
    grant = kms.create_grant(KeyId=key.id, GranteePrincipal=principal, Operations=["DescribeKey"])
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
    pair = id | {"KeyPairSpec": "ECC_NIST_P256"}
    return {
        "CancelKeyDeletion": (kms.cancel_key_deletion, id),
        "CreateAlias": (kms.create_alias, {"AliasName": f"{alias_name}/new", "TargetKeyId": key.id}),
        "CreateGrant": (kms.create_grant, grant),
        "CreateGrant dry": (kms.create_grant, grant | {"DryRun": True}),
        "Decrypt": (kms.decrypt, {"CiphertextBlob": blob}),
        "Decrypt dry": (kms.decrypt, {"CiphertextBlob": blob, "DryRun": True}),
        "DeleteAlias": (kms.delete_alias, {"AliasName": f"{alias_name}/old"}),
        "DeriveSharedSecret": (kms.derive_shared_secret, id | {"KeyAgreementAlgorithm": "ECDH", "PublicKey": blob}),
        "DescribeKey": (kms.describe_key, id),
        "DisableKey": (kms.disable_key, id),
        "EnableKey": (kms.enable_key, id),
        "Encrypt": (kms.encrypt, id | {"Plaintext": b"x"}),
        "Encrypt dry": (kms.encrypt, id | {"Plaintext": b"x", "DryRun": True}),
        "GenerateDataKey": (kms.generate_data_key, data_key),
        "GenerateDataKeyPair": (kms.generate_data_key_pair, pair),
        "GenerateDataKeyPairWithoutPlaintext": (kms.generate_data_key_pair_without_plaintext, pair),
        "GenerateDataKeyWithoutPlaintext": (kms.generate_data_key_without_plaintext, data_key),
        "GenerateMac": (kms.generate_mac, id | MAC),
        "GetKeyLastUsage": (kms.get_key_last_usage, id),
        "GetKeyPolicy": (kms.get_key_policy, id),
        "GetPublicKey": (kms.get_public_key, id),
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
        "Sign": (kms.sign, id | SIGNING),
        "Sign dry": (kms.sign, id | SIGNING | {"DryRun": True}),
        "TagResource": (kms.tag_resource, id | {"Tags": [{"TagKey": "new", "TagValue": ""}]}),
        "UntagResource": (kms.untag_resource, id | {"TagKeys": ["old"]}),
        "UpdateAlias from": (kms.update_alias, {"AliasName": f"{alias_name}/old", "TargetKeyId": other.id}),
        "UpdateAlias to": (kms.update_alias, {"AliasName": f"{alias_name}/other", "TargetKeyId": key.id}),
        "UpdateKeyDescription": (kms.update_key_description, id | {"Description": "new"}),
        "Verify": (kms.verify, id | SIGNING | {"Signature": blob}),
        "VerifyMac": (kms.verify_mac, id | MAC | {"Mac": blob}),
    }


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", [row for row in OPERATIONS if row not in NEWER_THAN_BOTOCORE])
def test_operation_answers_as_the_table_says(kms, second_key, alias_name, row, state):
    key, blob, grant_id = in_state(kms, state, row.split()[0])
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
    "at, name", list(enumerate(["cancel_key_deletion", "disable_key", "enable_key", "schedule_key_deletion"]))
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

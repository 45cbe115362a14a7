"""AWS's own examples, as the installed botocore has them, replayed with this account's ids in place of theirs."""

import json

import botocore.loaders
import pytest

from clients import refusal
from conftest import Key, make_key
from test_not_built import BUILT, NOT_BUILT, UNSUPPORTED

EXAMPLES = botocore.loaders.create_loader().load_service_model("kms", "examples-1")["examples"]
CASES = [
    pytest.param(operation, example, id=example["id"])
    for operation in sorted(BUILT)
    for example in EXAMPLES.get(operation, [])
]
OF_KINDS_NOT_BUILT = {"MultiRegion", "Origin", "CustomKeyStoreId"}
# Newer than AWS's examples.
WITHOUT_EXAMPLE = {"Decapsulate", "DeriveSharedSecret", "Encapsulate", "GetKeyLastUsage"}
# The keys that the examples have in mind.
KEYS = {
    "GenerateMac": ("HMAC_384", "GENERATE_VERIFY_MAC"),
    "GetPublicKey": ("RSA_2048", "ENCRYPT_DECRYPT"),
    "Sign": ("ECC_NIST_P384", "SIGN_VERIFY"),
    "Verify": ("ECC_NIST_P384", "SIGN_VERIFY"),
    "VerifyMac": ("HMAC_384", "GENERATE_VERIFY_MAC"),
}


def method(kms, operation: str):
    names = {kms.meta.method_to_api_mapping[name]: name for name in kms.meta.method_to_api_mapping}
    return getattr(kms, names[operation])


def prepared(kms, operation: str, given: dict, alias_name: str, account: str) -> dict:
    """The example's input, with a key, a blob and an alias that exist."""
    call = dict(given)
    if operation in KEYS:
        spec, usage = KEYS[operation]
        metadata = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        key = Key(metadata["KeyId"], metadata["Arn"], "", metadata)
    else:
        key = make_key(kms)
    for member in ("KeyId", "TargetKeyId", "DestinationKeyId"):
        if member in call:
            call[member] = key.arn if call[member].startswith("arn:") else key.id
    if str(given.get("KeyId", "")).startswith("alias/"):
        kms.create_alias(AliasName=alias_name, TargetKeyId=key.id)
        call["KeyId"] = alias_name
    if operation in ("DeleteAlias", "UpdateAlias"):
        kms.create_alias(AliasName=alias_name, TargetKeyId=make_key(kms).id)
    for member in ("GranteePrincipal", "RetiringPrincipal"):
        if member in call:
            # The example's role does not exist here.
            call[member] = f"arn:aws:iam::{account}:root"
    if "GrantId" in call:
        principal = f"arn:aws:iam::{account}:root"
        grant = kms.create_grant(KeyId=key.id, GranteePrincipal=principal, Operations=["Encrypt"])
        call["GrantId"] = grant["GrantId"]
    if operation == "Verify":
        signing = {name: call[name] for name in ("Message", "MessageType", "SigningAlgorithm")}
        call["Signature"] = kms.sign(KeyId=key.id, **signing)["Signature"]
    if operation == "VerifyMac":
        mac = {name: call[name] for name in ("Message", "MacAlgorithm")}
        call["Mac"] = kms.generate_mac(KeyId=key.id, **mac)["Mac"]
    if operation == "CancelKeyDeletion":
        kms.schedule_key_deletion(KeyId=key.id)
    if "AliasName" in call:
        call["AliasName"] = alias_name
    if "Plaintext" in call:
        call["Plaintext"] = b"the example's plaintext"
    if "CiphertextBlob" in call:
        call["CiphertextBlob"] = kms.encrypt(KeyId=key.id, Plaintext=b"the example's plaintext")["CiphertextBlob"]
    if "Policy" in call:
        call["Policy"] = call["Policy"].replace("111122223333", account)
    return call


def edited(policy: str, account: str) -> str:
    """The example's policy with the account in place of its users and roles, conditions and all."""
    document = json.loads(policy)
    for statement in document["Statement"]:
        statement["Principal"] = {"AWS": f"arn:aws:iam::{account}:root"}
    return json.dumps(document, indent=4)


def test_every_built_operation_has_an_example():
    assert {case.values[0] for case in CASES} == BUILT - WITHOUT_EXAMPLE


@pytest.mark.parametrize("operation, example", CASES)
def test_example(kms, operation, example, alias_name, account):
    call = prepared(kms, operation, example.get("input") or {}, alias_name, account)
    function = method(kms, operation)
    if operation == "CreateKey" and OF_KINDS_NOT_BUILT & set(call):
        error = refusal(function, **call)
        assert error.code == UNSUPPORTED and NOT_BUILT in error.message
        return
    if operation == "PutKeyPolicy":
        call["PolicyName"] = "default"
        text = call["Policy"]
        # Its users and roles do not exist here.
        assert refusal(function, **call).code == "MalformedPolicyDocumentException"
        call["Policy"] = edited(text, account)
    answer = function(**call)
    expected = set(example.get("output") or {})
    if operation in ("ListKeys", "ListAliases"):
        expected |= {"NextMarker"} if answer["Truncated"] else set()
    # Answers have grown since the examples were written; nothing that they show may be missing.
    assert expected <= set(answer), expected - set(answer)
    for member in ("KeyMetadata",):
        if member in expected:
            shown = set(example["output"][member])
            # CloudHsmClusterId and the like stand in examples of other kinds of keys only.
            other_kinds = {"CustomKeyStoreId", "CloudHsmClusterId", "MultiRegionConfiguration", "DeletionDate"}
            other_kinds |= set() if "KeySpec" in call else {"SigningAlgorithms", "MacAlgorithms"}
            assert shown - other_kinds <= set(answer[member]), shown - set(answer[member])

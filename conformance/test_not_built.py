"""What is not built yet says so, and README.md says the same."""

import pytest

from clients import refusal
from operations import botocore_model, minimal_parameters, operation_names, readme_table

BUILT = {
    "CancelKeyDeletion", "CreateAlias", "CreateGrant", "CreateKey", "Decapsulate", "Decrypt", "DeleteAlias",
    "DeriveSharedSecret", "DescribeKey", "DisableKey", "EnableKey", "Encapsulate", "Encrypt", "GenerateDataKey",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
    "GenerateRandom", "GetKeyLastUsage", "GetKeyPolicy", "GetPublicKey", "ListAliases", "ListGrants", "ListKeyPolicies", "ListKeys",
    "ListResourceTags", "ListRetirableGrants", "PutKeyPolicy", "ReEncrypt", "RetireGrant", "RevokeGrant",
    "ScheduleKeyDeletion", "Sign", "TagResource", "UntagResource", "UpdateAlias", "UpdateKeyDescription", "Verify",
    "VerifyMac",
}  # fmt: skip
UNSUPPORTED = "UnsupportedOperationException"
NOT_BUILT = "not built yet"


@pytest.mark.parametrize("operation", sorted(operation_names() - BUILT))
def test_operation_that_is_not_built_says_so(raw, key, operation):
    answer = raw(operation, minimal_parameters(operation, key.id))
    assert (answer.status, answer.code) == (400, UNSUPPORTED), answer.body
    assert NOT_BUILT in answer.message


@pytest.mark.parametrize(
    "parameters",
    [
        {"MultiRegion": True},
        {"Origin": "EXTERNAL"},
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": "cks-1234567890abcdef0", "XksKeyId": "bb8562717f809024"},
        {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY", "MultiRegion": True},
        {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC", "Origin": "EXTERNAL"},
    ],
    ids=lambda parameters: "-".join(str(value) for value in parameters.values())[:50],
)
def test_kind_of_key_that_is_not_built_says_so(kms, parameters):
    error = refusal(kms.create_key, **parameters)
    assert error.code == UNSUPPORTED
    assert NOT_BUILT in error.message


def test_key_store_of_generate_random_says_so(kms):
    error = refusal(kms.generate_random, NumberOfBytes=8, CustomKeyStoreId="cks-1234567890abcdef0")
    assert error.code == UNSUPPORTED
    assert NOT_BUILT in error.message


def test_refused_kinds_leave_no_key_behind(kms_elsewhere):
    def count() -> int:
        return sum(len(page["Keys"]) for page in kms_elsewhere.get_paginator("list_keys").paginate())

    before = count()
    refusal(kms_elsewhere.create_key, MultiRegion=True)
    refusal(kms_elsewhere.create_key, Origin="EXTERNAL")
    assert count() == before
    kms_elsewhere.create_key()
    assert count() == before + 1


def test_readme_names_every_operation():
    table = readme_table()
    assert operation_names() - set(table) == set()
    assert {name for name, state in table.items() if state == "works"} == BUILT


def test_built_operations_are_operations():
    assert BUILT <= operation_names()


@pytest.mark.parametrize("operation", sorted(operation_names()))
def test_readme_tells_the_truth(raw, fresh_key, operation):
    """A call with the least parameters: what it answers is another test's matter, whether it is built is this one's."""
    answer = raw(operation, minimal_parameters(operation, fresh_key.id))
    refused = answer.status == 400 and answer.code == UNSUPPORTED and NOT_BUILT in (answer.message or "")
    assert ("not yet" if refused else "works") == readme_table()[operation], answer.body

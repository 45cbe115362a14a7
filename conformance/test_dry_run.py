"""DryRun: the whole check, none of the effect; its success is an error."""

import pytest

from clients import b64, deny, policy, refusal

SUCCESS = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")


@pytest.fixture(scope="module")
def blob(kms, key) -> bytes:
    return kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]


def calls(kms, blob: bytes, key) -> dict:
    data_key = {"KeyId": key.id, "KeySpec": "AES_256"}
    return {
        "Encrypt": (kms.encrypt, {"KeyId": key.id, "Plaintext": b"x"}),
        "Decrypt": (kms.decrypt, {"CiphertextBlob": blob, "KeyId": key.id}),
        "ReEncrypt": (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key.id}),
        "GenerateDataKey": (kms.generate_data_key, data_key),
        "GenerateDataKeyWithoutPlaintext": (kms.generate_data_key_without_plaintext, data_key),
    }


OPERATIONS = ["Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_denied_caller_is_denied(kms, fresh_key, account, operation):
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    denied = deny("kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*")
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, denied))
    call, parameters = calls(kms, blob, fresh_key)[operation]
    assert refusal(call, DryRun=True, **parameters).code == "AccessDeniedException"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_disabled_key_is_refused(kms, fresh_key, operation):
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=fresh_key.id)
    call, parameters = calls(kms, blob, fresh_key)[operation]
    error = refusal(call, DryRun=True, **parameters)
    assert (error.code, error.message) == ("DisabledException", f"{fresh_key.arn} is disabled.")


@pytest.mark.parametrize("operation", ["Decrypt", "ReEncrypt"])
def test_blob_that_does_not_open_is_refused(kms, blob, key, operation):
    call, parameters = calls(kms, blob[:-1] + bytes([blob[-1] ^ 1]), key)[operation]
    assert refusal(call, DryRun=True, **parameters).code == "InvalidCiphertextException"


def test_unknown_key_is_refused(kms):
    error = refusal(kms.encrypt, KeyId="00000000-0000-4000-8000-000000000005", Plaintext=b"x", DryRun=True)
    assert error.code == "NotFoundException"


def test_invalid_parameters_are_refused(kms, loose, key):
    assert refusal(kms.generate_data_key, KeyId=key.id, DryRun=True).code == "ValidationException"
    assert refusal(loose.encrypt, KeyId=key.id, Plaintext=b"x" * 4097, DryRun=True).code == "ValidationException"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_success_is_the_dry_run_error_and_gives_nothing_away(kms, raw, blob, key, operation):
    call, parameters = calls(kms, blob, key)[operation]
    error = refusal(call, DryRun=True, **parameters)
    assert (error.code, error.message) == SUCCESS
    body = {k: b64(v) if isinstance(v, bytes) else v for k, v in parameters.items()}
    answer = raw(operation, body | {"DryRun": True})
    assert (answer.status, set(answer.json)) == (400, {"__type", "message"})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_dry_run_false_is_the_real_call(kms, blob, key, operation):
    call, parameters = calls(kms, blob, key)[operation]
    assert call(DryRun=False, **parameters)["ResponseMetadata"]["HTTPStatusCode"] == 200


# IGNORE_CIPHERTEXT asks for the permission only.

IGNORE = {"DryRunModifiers": ["IGNORE_CIPHERTEXT"]}


def test_modifier_without_dry_run_is_refused(kms, blob, key):
    assert refusal(kms.decrypt, CiphertextBlob=blob, KeyId=key.id, **IGNORE).code == "ValidationException"
    assert refusal(kms.decrypt, CiphertextBlob=blob, KeyId=key.id, DryRun=False, **IGNORE).code == "ValidationException"


def test_modifier_without_a_key_is_refused(kms, blob):
    assert refusal(kms.decrypt, CiphertextBlob=blob, DryRun=True, **IGNORE).code == "ValidationException"


def test_unknown_modifier_is_refused(loose, key):
    error = refusal(loose.decrypt, KeyId=key.id, DryRun=True, DryRunModifiers=["IGNORE_POLICY"])
    assert error.code == "ValidationException"


def test_modifier_skips_the_ciphertext_but_not_the_permission(kms, fresh_key, account):
    calls = [
        (kms.decrypt, {"KeyId": fresh_key.id}),
        (kms.decrypt, {"KeyId": fresh_key.id, "CiphertextBlob": b"garbage"}),
    ]
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny("kms:Decrypt")))
    for call, parameters in calls:
        assert refusal(call, DryRun=True, **parameters, **IGNORE).code == "AccessDeniedException"
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account))
    for call, parameters in calls:
        error = refusal(call, DryRun=True, **parameters, **IGNORE)
        assert (error.code, error.message) == SUCCESS

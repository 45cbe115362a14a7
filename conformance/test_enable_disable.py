"""EnableKey and DisableKey, and what a disabled key refuses."""

import pytest

from clients import marked, refusal


@pytest.mark.parametrize("name", ["enable_key", "disable_key"])
def test_unknown_key_is_refused(kms, account, region, name):
    unknown = "00000000-0000-4000-8000-000000000001"
    error = refusal(getattr(kms, name), KeyId=unknown)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Key 'arn:aws:kms:{region}:{account}:key/{unknown}' does not exist",
    )


def crypto_calls(kms, key, blob, other) -> dict:
    return {
        "Encrypt": lambda: refusal(kms.encrypt, KeyId=key.id, Plaintext=b"x"),
        "Decrypt": lambda: refusal(kms.decrypt, CiphertextBlob=blob),
        "Decrypt with key id": lambda: refusal(kms.decrypt, CiphertextBlob=blob, KeyId=key.id),
        "ReEncrypt from": lambda: refusal(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=other.id),
        "ReEncrypt to": lambda: refusal(
            kms.re_encrypt,
            CiphertextBlob=kms.encrypt(KeyId=other.id, Plaintext=b"x")["CiphertextBlob"],
            DestinationKeyId=key.id,
        ),
        "GenerateDataKey": lambda: refusal(kms.generate_data_key, KeyId=key.id, KeySpec="AES_256"),
        "GenerateDataKeyWithoutPlaintext": lambda: refusal(
            kms.generate_data_key_without_plaintext, KeyId=key.id, KeySpec="AES_256"
        ),
    }


def test_disabled_key_refuses_every_cryptographic_use_until_enabled(kms, fresh_key, key):
    plaintext = marked()
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=plaintext)["CiphertextBlob"]
    kms.disable_key(KeyId=fresh_key.id)
    for name, call in crypto_calls(kms, fresh_key, blob, key).items():
        error = call()
        assert (name, error.code, error.message) == (name, "DisabledException", f"{fresh_key.arn} is disabled.")
    kms.enable_key(KeyId=fresh_key.id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext


def test_disabled_key_may_still_be_managed(kms, disabled_key, alias_name):
    text = kms.get_key_policy(KeyId=disabled_key.id)["Policy"]
    kms.put_key_policy(KeyId=disabled_key.id, Policy=text)
    kms.create_alias(AliasName=alias_name, TargetKeyId=disabled_key.id)
    assert [a["AliasName"] for a in kms.list_aliases(KeyId=disabled_key.id)["Aliases"]] == [alias_name]
    kms.delete_alias(AliasName=alias_name)
    assert kms.describe_key(KeyId=disabled_key.id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_both_may_be_repeated(kms, fresh_key):
    def state():
        metadata = kms.describe_key(KeyId=fresh_key.id)["KeyMetadata"]
        return metadata["KeyState"], metadata["Enabled"]

    for change, expected in [
        (kms.enable_key, ("Enabled", True)),
        (kms.disable_key, ("Disabled", False)),
        (kms.disable_key, ("Disabled", False)),
        (kms.enable_key, ("Enabled", True)),
        (kms.enable_key, ("Enabled", True)),
    ]:
        change(KeyId=fresh_key.arn)
        assert state() == expected


def test_the_answer_has_an_empty_body(raw, fresh_key):
    for operation in ("DisableKey", "EnableKey"):
        answer = raw(operation, {"KeyId": fresh_key.id})
        assert (operation, answer.status, answer.body) == (operation, 200, b"")
        assert answer.headers["Content-Length"] == "0"

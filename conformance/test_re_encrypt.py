"""ReEncrypt between keys, contexts and onto the same key."""

import pytest

from clients import b64, deny, marked, policy, refusal


@pytest.fixture(scope="module")
def plaintext() -> bytes:
    return marked()


@pytest.fixture(scope="module")
def blob(kms, key, plaintext) -> bytes:
    return kms.encrypt(KeyId=key.id, Plaintext=plaintext, EncryptionContext={"from": "1"})["CiphertextBlob"]


def test_without_a_destination_is_refused(raw, blob):
    answer = raw("ReEncrypt", {"CiphertextBlob": b64(blob)})
    assert (answer.code, answer.message) == (
        "ValidationException",
        "1 validation error detected: Value null at 'destinationKeyId' failed to satisfy constraint: "
        "Member must not be null",
    )


def test_wrong_source_context_is_an_invalid_ciphertext(raw, blob, second_key):
    for context in (None, {"from": "2"}, {"to": "1"}):
        answer = raw(
            "ReEncrypt",
            {"CiphertextBlob": b64(blob), "SourceEncryptionContext": context, "DestinationKeyId": second_key.id},
        )
        assert (answer.code, answer.message) == ("InvalidCiphertextException", None)


def test_another_source_key_than_the_blobs_is_refused(kms, blob, second_key):
    call = {"SourceEncryptionContext": {"from": "1"}, "DestinationKeyId": second_key.id}
    error = refusal(kms.re_encrypt, CiphertextBlob=blob, SourceKeyId=second_key.id, **call)
    assert (error.code, error.message) == (
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )


def test_unknown_destination_is_refused(kms, account, region, blob):
    unknown = "00000000-0000-4000-8000-000000000004"
    call = {"CiphertextBlob": blob, "SourceEncryptionContext": {"from": "1"}}
    error = refusal(kms.re_encrypt, DestinationKeyId=unknown, **call)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Key 'arn:aws:kms:{region}:{account}:key/{unknown}' does not exist",
    )


def test_both_permissions_are_needed(kms, fresh_key, key, account, root_arn):
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    for action in ("ReEncryptFrom", "ReEncryptTo"):
        kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny(f"kms:{action}")))
        error = refusal(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=fresh_key.id)
        assert (error.code, error.message) == (
            "AccessDeniedException",
            f"User: {root_arn} is not authorized to perform: kms:{action} on resource: {fresh_key.arn} "
            "with an explicit deny in a resource-based policy",
        )
    # Neither Encrypt nor Decrypt is asked for.
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny("kms:Encrypt", "kms:Decrypt")))
    assert kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=fresh_key.id)["KeyId"] == fresh_key.arn


@pytest.mark.parametrize("which", ["SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm"])
def test_algorithm_of_another_key_spec_is_refused(kms, key, second_key, blob, which):
    call = {"CiphertextBlob": blob, "SourceEncryptionContext": {"from": "1"}, "SourceKeyId": key.id}
    error = refusal(kms.re_encrypt, DestinationKeyId=second_key.id, **call, **{which: "RSAES_OAEP_SHA_256"})
    assert (error.code, error.message) == (
        "InvalidKeyUsageException",
        "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.",
    )


def test_blob_moves_to_another_key_and_context(kms, key, second_key, blob, plaintext):
    answer = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"from": "1"},
        SourceKeyId=key.arn,
        DestinationKeyId=second_key.id,
        DestinationEncryptionContext={"to": "2"},
    )
    moved = answer.pop("CiphertextBlob")
    del answer["ResponseMetadata"]
    assert answer == {
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationKeyMaterialId": second_key.material,
        "KeyId": second_key.arn,
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyId": key.arn,
        "SourceKeyMaterialId": key.material,
    }
    assert refusal(kms.decrypt, CiphertextBlob=moved, EncryptionContext={"from": "1"}).code == (
        "InvalidCiphertextException"
    )
    opened = kms.decrypt(CiphertextBlob=moved, EncryptionContext={"to": "2"})
    assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, second_key.arn)


def test_context_may_be_dropped_and_the_key_may_stay(kms, key, alias, blob, plaintext):
    answer = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"from": "1"}, DestinationKeyId=alias)
    assert (answer["SourceKeyId"], answer["KeyId"]) == (key.arn, key.arn)
    assert answer["CiphertextBlob"] != blob
    assert kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == plaintext


def test_largest_plaintext_moves(kms, key, second_key):
    largest = kms.encrypt(KeyId=key.id, Plaintext=b"\xff" * 4096)["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=largest, DestinationKeyId=second_key.id)["CiphertextBlob"]
    assert len(moved) == len(largest)
    assert kms.decrypt(CiphertextBlob=moved)["Plaintext"] == b"\xff" * 4096

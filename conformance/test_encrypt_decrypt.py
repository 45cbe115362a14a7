"""Encrypt and Decrypt under a symmetric key."""

import itertools

import pytest

from clients import b64, marked, refusal

OVERHEAD = 119
MESSAGE = "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length %s"
WRONG_KEY = "The key ID in the request does not identify a CMK that can perform this operation."
# version 1 | suite 1 | flags 1 | key id 16 | material tag 8 | salt 32 | commitment 32 | nonce 12 | ciphertext | tag 16
FIELDS = {
    "version": 0, "suite": 1, "material tag": 19, "last of the material tag": 26, "salt": 27, "last of the salt": 58,
    "commitment": 59, "last of the commitment": 90, "nonce": 91, "last of the nonce": 102, "ciphertext": 103,
    "tag": -16, "last of the tag": -1,
}  # fmt: skip
UNKNOWN_BLOB = (
    "is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does "
    "not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
)


def flipped(blob: bytes, at: int, mask: int = 0x01) -> bytes:
    changed = bytearray(blob)
    changed[at] ^= mask
    return bytes(changed)


def invalid_ciphertext(raw, body: dict) -> None:
    """One error for all that authenticated decryption refuses, and no message with it."""
    answer = raw("Decrypt", body)
    assert (answer.status, answer.code) == (400, "InvalidCiphertextException")
    assert answer.message is None


@pytest.fixture(scope="module")
def blob(kms, key) -> bytes:
    return kms.encrypt(KeyId=key.id, Plaintext=marked(), EncryptionContext={"a": "b"})["CiphertextBlob"]


def test_empty_plaintext_is_refused(raw, key):
    answer = raw("Encrypt", {"KeyId": key.id, "Plaintext": ""})
    assert (answer.status, answer.code, answer.message) == (
        400,
        "ValidationException",
        MESSAGE % ("plaintext", "greater than or equal to 1"),
    )


def test_plaintext_past_4096_bytes_is_refused_without_repeating_it(kms, key):
    error = refusal(kms.encrypt, KeyId=key.id, Plaintext=b"x" * 4097)
    assert (error.code, error.message) == ("ValidationException", MESSAGE % ("plaintext", "less than or equal to 4096"))


def test_blob_past_6144_bytes_is_refused(kms):
    error = refusal(kms.decrypt, CiphertextBlob=b"x" * 6145)
    assert (error.code, error.message) == (
        "ValidationException",
        MESSAGE % ("ciphertextBlob", "less than or equal to 6144"),
    )


def test_empty_blob_is_refused(raw):
    answer = raw("Decrypt", {"CiphertextBlob": ""})
    assert (answer.code, answer.message) == (
        "ValidationException",
        MESSAGE % ("ciphertextBlob", "greater than or equal to 1"),
    )


def test_decrypt_without_a_blob_is_refused(raw):
    assert raw("Decrypt", {}).code == "ValidationException"


@pytest.mark.parametrize("size", [1, 2, 102, 103, 118, 119, 120, 6144])
def test_garbage_is_an_invalid_ciphertext(raw, size):
    invalid_ciphertext(raw, {"CiphertextBlob": b64(b"\xa5" * size)})


@pytest.mark.parametrize("field", FIELDS)
def test_any_changed_byte_is_an_invalid_ciphertext(raw, blob, field):
    changed = flipped(blob, FIELDS[field])
    invalid_ciphertext(raw, {"CiphertextBlob": b64(changed), "EncryptionContext": {"a": "b"}})


@pytest.mark.parametrize("mask", [0x02, 0x04, 0x80])
def test_unknown_flag_is_an_invalid_ciphertext(raw, blob, mask):
    invalid_ciphertext(raw, {"CiphertextBlob": b64(flipped(blob, 2, mask)), "EncryptionContext": {"a": "b"}})


def test_every_shortened_blob_is_refused(raw, blob):
    for size in (1, 18, 19, 50, 102, 103, len(blob) - 17, len(blob) - 16, len(blob) - 1):
        invalid_ciphertext(raw, {"CiphertextBlob": b64(blob[:size]), "EncryptionContext": {"a": "b"}})


def test_lengthened_blob_is_refused(raw, blob):
    for more in (b"\0", b"\0" * 16, blob):
        invalid_ciphertext(raw, {"CiphertextBlob": b64(blob + more), "EncryptionContext": {"a": "b"}})


@pytest.mark.parametrize(
    "context",
    [None, {}, {"a": "B"}, {"A": "b"}, {"a": "b", "c": ""}, {"ab": ""}, {"a": "b "}, {"": "ab"}, {"b": "a"}],
    ids=str,
)
def test_another_context_is_an_invalid_ciphertext(raw, blob, context):
    invalid_ciphertext(raw, {"CiphertextBlob": b64(blob), "EncryptionContext": context})


def test_parts_of_a_context_cannot_move(kms, key):
    contexts = [{"ab": "c"}, {"a": "bc"}, {"a": "b", "c": ""}, {"abc": ""}, {"": "abc"}, {}]
    for sealed, offered in itertools.permutations(contexts, 2):
        made = kms.encrypt(KeyId=key.id, Plaintext=b"x", EncryptionContext=sealed)["CiphertextBlob"]
        error = refusal(kms.decrypt, CiphertextBlob=made, EncryptionContext=offered)
        assert (sealed, offered, error.code) == (sealed, offered, "InvalidCiphertextException")


def test_unicode_contexts_are_not_normalised(kms, key):
    composed, decomposed = {"k": "\u00e9"}, {"k": "e\u0301"}
    made = kms.encrypt(KeyId=key.id, Plaintext=b"x", EncryptionContext=composed)["CiphertextBlob"]
    error = refusal(kms.decrypt, CiphertextBlob=made, EncryptionContext=decomposed)
    assert error.code == "InvalidCiphertextException"
    assert kms.decrypt(CiphertextBlob=made, EncryptionContext=composed)["Plaintext"] == b"x"


def test_context_past_8192_bytes_is_refused(kms, key):
    # The encoding is a count and, for each part, a length: thirteen bytes beside a key of one.
    limit = {"k": "v" * (8192 - 13)}
    error = refusal(kms.encrypt, KeyId=key.id, Plaintext=b"x", EncryptionContext={"k": "v" * (8192 - 12)})
    assert error.code == "ValidationException"
    made = kms.encrypt(KeyId=key.id, Plaintext=b"x", EncryptionContext=limit)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=made, EncryptionContext=limit)["Plaintext"] == b"x"


def test_context_that_names_a_key_twice_is_refused(raw, key):
    body = '{"KeyId":"%s","Plaintext":"eA==","EncryptionContext":{"a":"1","a":"1"}}' % key.id
    answer = raw("Encrypt", body.encode())
    assert (answer.status, answer.code) in [(400, "SerializationException"), (400, "ValidationException")]


def test_null_in_a_context_is_refused(raw, key):
    answer = raw("Encrypt", {"KeyId": key.id, "Plaintext": "eA==", "EncryptionContext": {"a": None}})
    assert (answer.status, answer.code) in [(400, "SerializationException"), (400, "ValidationException")]


def test_another_key_than_the_blobs_is_refused(kms, key, second_key, blob):
    for named in (second_key.id, second_key.arn):
        error = refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "b"}, KeyId=named)
        assert (error.code, error.message) == ("IncorrectKeyException", WRONG_KEY)


def test_blob_of_an_unknown_key_is_refused_as_if_foreign(kms, root_arn, blob):
    error = refusal(kms.decrypt, CiphertextBlob=flipped(blob, 10), EncryptionContext={"a": "b"})
    assert (error.code, error.message) == ("AccessDeniedException", f"User: {root_arn} {UNKNOWN_BLOB}")


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"])
def test_algorithm_of_another_key_spec_is_refused(kms, key, blob, algorithm):
    expected = ("InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec SYMMETRIC_DEFAULT.")
    error = refusal(kms.encrypt, KeyId=key.id, Plaintext=b"x", EncryptionAlgorithm=algorithm)
    assert (error.code, error.message) == expected
    error = refusal(kms.decrypt, CiphertextBlob=blob, KeyId=key.id, EncryptionAlgorithm=algorithm)
    assert (error.code, error.message) == expected


def test_unknown_algorithm_is_refused(loose, key):
    error = refusal(loose.encrypt, KeyId=key.id, Plaintext=b"x", EncryptionAlgorithm="ROT13")
    assert error.code == "ValidationException"
    assert "Value 'ROT13' at 'encryptionAlgorithm' failed to satisfy constraint" in error.message


@pytest.mark.parametrize("size", [1, 15, 16, 17, 255, 4095, 4096])
def test_what_was_encrypted_comes_back(kms, key, size):
    plaintext = bytes(i % 251 for i in range(size))
    sealed = kms.encrypt(KeyId=key.id, Plaintext=plaintext)
    assert set(sealed) - {"ResponseMetadata"} == {"CiphertextBlob", "KeyId", "EncryptionAlgorithm"}
    assert (sealed["KeyId"], sealed["EncryptionAlgorithm"]) == (key.arn, "SYMMETRIC_DEFAULT")
    assert len(sealed["CiphertextBlob"]) == size + OVERHEAD
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    del opened["ResponseMetadata"]
    assert opened == {
        "KeyId": key.arn,
        "Plaintext": plaintext,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "KeyMaterialId": key.material,
    }


def test_decrypt_may_name_the_key_in_each_of_four_ways(kms, account, region, key, alias, blob):
    plaintexts = {
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}, **named)["Plaintext"]
        for named in [
            {},
            {"KeyId": key.id},
            {"KeyId": key.arn},
            {"KeyId": alias},
            {"KeyId": f"arn:aws:kms:{region}:{account}:{alias}", "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
        ]
    }
    assert len(plaintexts) == 1 and len(plaintexts.pop()) == 64


def test_order_of_the_context_does_not_matter(kms, key):
    pairs = [("b", "2"), ("a", "1"), ("ü", "3"), ("", "")]
    made = kms.encrypt(KeyId=key.id, Plaintext=b"x", EncryptionContext=dict(pairs))["CiphertextBlob"]
    for order in itertools.permutations(pairs):
        assert kms.decrypt(CiphertextBlob=made, EncryptionContext=dict(order))["Plaintext"] == b"x"


def test_empty_context_is_no_context(kms, key):
    made = kms.encrypt(KeyId=key.id, Plaintext=b"x", EncryptionContext={})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=made)["Plaintext"] == b"x"


def test_same_plaintext_twice_gives_blobs_with_nothing_in_common(kms, key):
    one, two = (kms.encrypt(KeyId=key.id, Plaintext=b"same")["CiphertextBlob"] for _ in range(2))
    salt, nonce = slice(27, 59), slice(91, 103)
    assert one[salt] != two[salt] and one[nonce] != two[nonce] and one[103:] != two[103:]

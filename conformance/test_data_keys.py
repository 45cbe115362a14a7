"""GenerateDataKey and GenerateDataKeyWithoutPlaintext."""

import pytest

from clients import refusal

SIZES = [
    ({"KeySpec": "AES_128"}, 16),
    ({"KeySpec": "AES_256"}, 32),
    ({"NumberOfBytes": 1}, 1),
    ({"NumberOfBytes": 64}, 64),
    ({"NumberOfBytes": 1024}, 1024),
]
OVERHEAD = 119


@pytest.fixture(params=["generate_data_key", "generate_data_key_without_plaintext"])
def generate(request, kms):
    return getattr(kms, request.param)


@pytest.mark.parametrize("size", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}], ids=["neither", "both"])
def test_exactly_one_size_must_be_given(generate, key, size):
    error = refusal(generate, KeyId=key.id, **size)
    assert (error.code, error.message) == (
        "ValidationException",
        "Please specify either number of bytes or key spec.",
    )


@pytest.mark.parametrize(
    "number, text",
    [(0, "greater than or equal to 1"), (-1, "greater than or equal to 1"), (1025, "less than or equal to 1024")],
)
def test_size_outside_1_to_1024_is_refused(loose, key, number, text):
    for call in (loose.generate_data_key, loose.generate_data_key_without_plaintext):
        error = refusal(call, KeyId=key.id, NumberOfBytes=number)
        assert (error.code, error.message) == (
            "ValidationException",
            f"1 validation error detected: Value '{number}' at 'numberOfBytes' failed to satisfy constraint: "
            f"Member must have value {text}",
        )


def test_unknown_key_spec_is_refused(loose, key):
    error = refusal(loose.generate_data_key, KeyId=key.id, KeySpec="AES_512")
    assert error.code == "ValidationException"
    assert error.message in [
        "1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{one}, {two}]"
        for one, two in (("AES_256", "AES_128"), ("AES_128", "AES_256"))
    ]


def test_wrong_context_does_not_open_a_data_key(kms, key):
    made = kms.generate_data_key(KeyId=key.id, KeySpec="AES_256", EncryptionContext={"volume": "1"})
    error = refusal(kms.decrypt, CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"volume": "2"})
    assert error.code == "InvalidCiphertextException"
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"volume": "1"})
    assert opened["Plaintext"] == made["Plaintext"]


@pytest.mark.parametrize("size, length", SIZES, ids=str)
def test_data_key_comes_plain_and_wrapped(kms, key, size, length):
    made = kms.generate_data_key(KeyId=key.id, **size)
    assert set(made) - {"ResponseMetadata"} == {"CiphertextBlob", "Plaintext", "KeyId", "KeyMaterialId"}
    assert (made["KeyId"], made["KeyMaterialId"]) == (key.arn, key.material)
    assert len(made["Plaintext"]) == length
    assert len(made["CiphertextBlob"]) == length + OVERHEAD
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
    assert opened["Plaintext"] == made["Plaintext"]
    assert opened["KeyMaterialId"] == made["KeyMaterialId"]


@pytest.mark.parametrize("size, length", SIZES, ids=str)
def test_data_key_without_plaintext_comes_wrapped_only(kms, key, alias, size, length):
    made = kms.generate_data_key_without_plaintext(KeyId=alias, **size)
    assert set(made) - {"ResponseMetadata"} == {"CiphertextBlob", "KeyId", "KeyMaterialId"}
    assert (made["KeyId"], made["KeyMaterialId"]) == (key.arn, key.material)
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
    assert len(opened["Plaintext"]) == length
    assert opened["KeyMaterialId"] == made["KeyMaterialId"]


def test_no_two_data_keys_are_equal(kms, key):
    keys = [kms.generate_data_key(KeyId=key.id, KeySpec="AES_128")["Plaintext"] for _ in range(20)]
    assert len(set(keys)) == 20

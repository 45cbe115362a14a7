"""CreateKey: single-Region symmetric encryption keys."""

import time

import pytest

from clients import CONTENT_TYPE, HEX64, UUID, deny, enum_set, policy, refusal

KEY_SPECS = {
    "SYMMETRIC_DEFAULT", "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521",
    "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "ML_DSA_44", "ML_DSA_65",
    "ML_DSA_87", "SM2",
}  # fmt: skip
LOCKOUT = "The new key policy will not allow you to update the key policy in the future."


def test_unknown_key_spec_is_refused(loose):
    error = refusal(loose.create_key, KeySpec="AES_256")
    assert error.code == "ValidationException"
    assert error.message.startswith(
        "1 validation error detected: Value 'AES_256' at 'keySpec' failed to satisfy constraint: "
    )
    # A newer model may know more specs than botocore's, never fewer.
    assert enum_set(error.message) >= KEY_SPECS


def test_unknown_origin_is_refused(loose):
    error = refusal(loose.create_key, Origin="ELSEWHERE")
    assert error.code == "ValidationException"
    assert "Value 'ELSEWHERE' at 'origin' failed to satisfy constraint" in error.message
    assert enum_set(error.message) == {"AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"}


@pytest.mark.parametrize("usage", ["SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"])
def test_usage_that_does_not_fit_the_spec_is_refused(kms, usage):
    error = refusal(kms.create_key, KeyUsage=usage, KeySpec="SYMMETRIC_DEFAULT")
    assert (error.code, error.message) == (
        "ValidationException",
        f"KeyUsage {usage} is not compatible with KeySpec SYMMETRIC_DEFAULT",
    )


def test_description_past_8192_characters_is_refused(kms):
    error = refusal(kms.create_key, Description="d" * 8193)
    assert error.code == "ValidationException"
    assert "'description' failed to satisfy constraint" in error.message
    assert error.message.endswith("Member must have length less than or equal to 8192")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '"text"', '{"Version":"2012-10-17"}', '{"Version":"1999-01-01","Statement":[]}'],
    ids=["no json", "an array", "a string", "no statement", "unknown version"],
)
def test_malformed_policy_is_refused(kms, text):
    assert refusal(kms.create_key, Policy=text).code == "MalformedPolicyDocumentException"


def test_policy_past_32768_characters_is_refused(kms, account):
    error = refusal(kms.create_key, Policy=policy(account).ljust(32_769))
    assert error.code == "LimitExceededException"


def test_policy_that_locks_its_maker_out_is_refused(kms, account):
    for text in (policy(account, actions="kms:Encrypt"), policy(account, deny("kms:PutKeyPolicy"))):
        error = refusal(kms.create_key, Policy=text)
        assert (error.code, error.message) == ("MalformedPolicyDocumentException", LOCKOUT)


def test_policy_that_locks_its_maker_out_is_accepted_on_demand(kms, account):
    text = policy(account, actions=["kms:Encrypt", "kms:GetKeyPolicy"])
    made = kms.create_key(Policy=text, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]
    assert refusal(kms.put_key_policy, KeyId=made["KeyId"], Policy=policy(account)).code == "AccessDeniedException"
    assert kms.get_key_policy(KeyId=made["KeyId"])["Policy"] == text


def test_policy_of_32768_characters_is_kept_to_the_byte(kms, account):
    text = policy(account).ljust(32_768)
    made = kms.create_key(Policy=text)["KeyMetadata"]
    assert kms.get_key_policy(KeyId=made["KeyId"])["Policy"] == text


def test_new_key_has_exactly_the_members_of_a_symmetric_key(kms, account, region):
    before = time.time()
    answer = kms.create_key()
    after = time.time()
    made = answer["KeyMetadata"]
    assert UUID.fullmatch(made["KeyId"])
    assert HEX64.fullmatch(made["CurrentKeyMaterialId"])
    # The service may round to milliseconds or whole seconds.
    assert before - 1 <= made["CreationDate"].timestamp() <= after + 1
    expected = {
        "AWSAccountId": account,
        "Arn": f"arn:aws:kms:{region}:{account}:key/{made['KeyId']}",
        "CreationDate": made["CreationDate"],
        "CurrentKeyMaterialId": made["CurrentKeyMaterialId"],
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": "",
        "Enabled": True,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyId": made["KeyId"],
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": False,
        "Origin": "AWS_KMS",
    }
    assert made == expected
    assert set(answer) == {"KeyMetadata", "ResponseMetadata"}


def test_defaults_may_be_spelled_out(kms):
    explicit = {
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "Origin": "AWS_KMS",
        "MultiRegion": False,
    }
    made = kms.create_key(**explicit)["KeyMetadata"]
    assert {name: made[name] for name in explicit} == explicit


def test_deprecated_name_of_the_key_spec_works(kms):
    made = kms.create_key(CustomerMasterKeySpec="SYMMETRIC_DEFAULT")["KeyMetadata"]
    assert made["KeySpec"] == made["CustomerMasterKeySpec"] == "SYMMETRIC_DEFAULT"


@pytest.mark.parametrize("text", ["d" * 8192, 'Schlüssel 鍵 🔑 \\ " \n\t'], ids=["8192 characters", "not ascii"])
def test_description_comes_back_as_it_was_given(kms, text):
    made = kms.create_key(Description=text)["KeyMetadata"]
    assert made["Description"] == text
    assert kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]["Description"] == text


def test_two_keys_share_neither_id_nor_material(kms):
    one, two = (kms.create_key()["KeyMetadata"] for _ in range(2))
    assert one["KeyId"] != two["KeyId"]
    assert one["CurrentKeyMaterialId"] != two["CurrentKeyMaterialId"]


def test_timestamps_are_json_numbers(raw):
    answer = raw("CreateKey", {"Description": None})
    assert (answer.status, answer.headers["Content-Type"]) == (200, CONTENT_TYPE)
    date = answer.json["KeyMetadata"]["CreationDate"]
    assert isinstance(date, (int, float)) and not isinstance(date, bool)
    assert abs(date - time.time()) < 60

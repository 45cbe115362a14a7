"""Two regions in one process are two worlds."""

from clients import refusal


def test_blob_of_one_region_does_not_open_in_the_other(kms, kms_elsewhere, key):
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
    assert refusal(kms_elsewhere.decrypt, CiphertextBlob=blob).code == "AccessDeniedException"
    assert refusal(kms_elsewhere.decrypt, CiphertextBlob=blob, KeyId=key.id).code in (
        "NotFoundException",
        "AccessDeniedException",
    )
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_key_of_one_region_is_not_in_the_other(kms, kms_elsewhere, account, region, other_region, key):
    error = refusal(kms_elsewhere.describe_key, KeyId=key.id)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Key 'arn:aws:kms:{other_region}:{account}:key/{key.id}' does not exist",
    )
    error = refusal(kms_elsewhere.describe_key, KeyId=key.arn)
    assert (error.code, error.message) == ("NotFoundException", f"Invalid arn {region}")
    pages = kms_elsewhere.get_paginator("list_keys").paginate()
    assert key.id not in {entry["KeyId"] for page in pages for entry in page["Keys"]}


def test_one_alias_name_may_stand_in_both(kms, kms_elsewhere, account, other_region, key, alias_name):
    there = kms_elsewhere.create_key()["KeyMetadata"]
    assert there["Arn"] == f"arn:aws:kms:{other_region}:{account}:key/{there['KeyId']}"
    kms.create_alias(AliasName=alias_name, TargetKeyId=key.id)
    assert refusal(kms_elsewhere.describe_key, KeyId=alias_name).code == "NotFoundException"
    kms_elsewhere.create_alias(AliasName=alias_name, TargetKeyId=there["KeyId"])
    assert kms.describe_key(KeyId=alias_name)["KeyMetadata"]["KeyId"] == key.id
    assert kms_elsewhere.describe_key(KeyId=alias_name)["KeyMetadata"]["KeyId"] == there["KeyId"]
    kms.delete_alias(AliasName=alias_name)
    assert kms_elsewhere.describe_key(KeyId=alias_name)["KeyMetadata"]["KeyId"] == there["KeyId"]
    kms_elsewhere.delete_alias(AliasName=alias_name)


def test_re_encrypt_does_not_cross_regions(kms, kms_elsewhere, key):
    there = kms_elsewhere.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
    assert refusal(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=there["Arn"]).code == "NotFoundException"
    assert refusal(kms_elsewhere.re_encrypt, CiphertextBlob=blob, DestinationKeyId=there["KeyId"]).code == (
        "AccessDeniedException"
    )

"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases."""

import time
import uuid

import pytest

from clients import refusal

PREFIX_TEXT = (
    'Alias must start with the prefix "alias/". Please see '
    "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
)
PATTERN = "^[a-zA-Z0-9:/_-]+$"


def aliases_of(kms, key) -> list[dict]:
    pages = kms.get_paginator("list_aliases").paginate(KeyId=key.id)
    return [entry for page in pages for entry in page["Aliases"]]


def test_alias_without_its_prefix_is_refused(kms, key):
    for name in ("name", "ALIAS/name", "aliasname"):
        error = refusal(kms.create_alias, AliasName=name, TargetKeyId=key.id)
        assert (error.code, error.message) == ("ValidationException", PREFIX_TEXT)


def test_alias_of_nothing_but_the_prefix_is_refused(kms, key):
    error = refusal(kms.create_alias, AliasName="alias/", TargetKeyId=key.id)
    assert error.code in ("ValidationException", "InvalidAliasNameException")


def test_alias_with_a_colon_is_refused(kms, key):
    error = refusal(kms.create_alias, AliasName="alias/a:b", TargetKeyId=key.id)
    assert error.code in ("ValidationException", "InvalidAliasNameException")
    assert error.message == "alias/a:b contains invalid characters for an alias"


@pytest.mark.parametrize("name", ["alias/a b", "alias/ü", "alias/a.b", "alias/a\nb", "alias/*"])
def test_alias_outside_the_pattern_is_refused(kms, key, name):
    error = refusal(kms.create_alias, AliasName=name, TargetKeyId=key.id)
    assert (error.code, error.message) == (
        "ValidationException",
        f"1 validation error detected: Value '{name}' at 'aliasName' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {PATTERN}",
    )


def test_alias_of_257_characters_is_refused(kms, key):
    name = "alias/".ljust(257, "a")
    error = refusal(kms.create_alias, AliasName=name, TargetKeyId=key.id)
    assert (error.code, error.message) == (
        "ValidationException",
        f"1 validation error detected: Value '{name}' at 'aliasName' failed to satisfy constraint: "
        "Member must have length less than or equal to 256",
    )


def test_alias_of_256_characters_is_created(kms, fresh_key):
    name = f"alias/{uuid.uuid4()}".ljust(256, "a")
    kms.create_alias(AliasName=name, TargetKeyId=fresh_key.id)
    assert [entry["AliasName"] for entry in aliases_of(kms, fresh_key)] == [name]


def test_reserved_prefix_is_refused(kms, key):
    error = refusal(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key.id)
    assert error.code == "NotAuthorizedException"
    assert refusal(kms.delete_alias, AliasName="alias/aws/mine").code in ("NotAuthorizedException", "NotFoundException")


def test_alias_of_an_alias_is_refused(kms, alias, alias_name):
    error = refusal(kms.create_alias, AliasName=alias_name, TargetKeyId=alias)
    assert (error.code, error.message) == ("ValidationException", "Aliases must refer to keys. Not aliases")


def test_alias_of_an_unknown_key_is_refused(kms, account, region, alias_name):
    unknown = "00000000-0000-4000-8000-000000000002"
    error = refusal(kms.create_alias, AliasName=alias_name, TargetKeyId=unknown)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Key 'arn:aws:kms:{region}:{account}:key/{unknown}' does not exist",
    )


def test_name_that_is_taken_is_refused(kms, account, region, key, second_key, alias):
    for target in (key, second_key):
        error = refusal(kms.create_alias, AliasName=alias, TargetKeyId=target.id)
        assert (error.code, error.message) == (
            "AlreadyExistsException",
            f"An alias with the name arn:aws:kms:{region}:{account}:{alias} already exists",
        )
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key.id


def test_fifty_first_alias_of_a_key_is_refused(kms, fresh_key):
    unique = uuid.uuid4()
    for number in range(50):
        kms.create_alias(AliasName=f"alias/{unique}/{number}", TargetKeyId=fresh_key.id)
    error = refusal(kms.create_alias, AliasName=f"alias/{unique}/50", TargetKeyId=fresh_key.id)
    assert error.code == "LimitExceededException"
    assert len(aliases_of(kms, fresh_key)) == 50
    # A place that became free may be taken again.
    kms.delete_alias(AliasName=f"alias/{unique}/0")
    kms.create_alias(AliasName=f"alias/{unique}/50", TargetKeyId=fresh_key.id)
    assert len(aliases_of(kms, fresh_key)) == 50


def test_delete_of_an_unknown_alias_is_refused(kms, account, region, alias_name):
    error = refusal(kms.delete_alias, AliasName=alias_name)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Alias arn:aws:kms:{region}:{account}:{alias_name} is not found.",
    )


def test_update_of_an_unknown_alias_or_to_no_key_is_refused(kms, account, region, key, alias, alias_name):
    error = refusal(kms.update_alias, AliasName=alias_name, TargetKeyId=key.id)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Alias arn:aws:kms:{region}:{account}:{alias_name} is not found.",
    )
    unknown = "00000000-0000-4000-8000-000000000004"
    assert refusal(kms.update_alias, AliasName=alias, TargetKeyId=unknown).code == "NotFoundException"
    error = refusal(kms.update_alias, AliasName=alias, TargetKeyId=alias)
    assert (error.code, error.message) == ("ValidationException", "Aliases must refer to keys. Not aliases")
    error = refusal(kms.update_alias, AliasName="name", TargetKeyId=key.id)
    assert (error.code, error.message) == ("ValidationException", PREFIX_TEXT)
    assert refusal(kms.update_alias, AliasName="alias/aws/s3", TargetKeyId=key.id).code == "NotAuthorizedException"


def test_moved_alias_names_the_new_key_and_old_blobs_still_open(kms, fresh_key, second_key, alias_name):
    kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.id)
    blob = kms.encrypt(KeyId=alias_name, Plaintext=b"x")["CiphertextBlob"]
    (before,) = aliases_of(kms, fresh_key)
    kms.update_alias(AliasName=alias_name, TargetKeyId=second_key.arn)
    assert kms.encrypt(KeyId=alias_name, Plaintext=b"x")["KeyId"] == second_key.arn
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"] == fresh_key.arn
    assert aliases_of(kms, fresh_key) == []
    (after,) = (entry for entry in aliases_of(kms, second_key) if entry["AliasName"] == alias_name)
    assert after["TargetKeyId"] == second_key.id
    assert after["CreationDate"] == before["CreationDate"]
    assert after["LastUpdatedDate"] >= before["LastUpdatedDate"]
    kms.delete_alias(AliasName=alias_name)


def test_list_for_an_alias_or_an_unknown_key_is_refused(kms, alias):
    assert refusal(kms.list_aliases, KeyId="00000000-0000-4000-8000-000000000003").code == "NotFoundException"
    assert refusal(kms.list_aliases, KeyId=alias).code in ("NotFoundException", "ValidationException")


def test_alias_lives_from_create_to_delete(kms, account, region, fresh_key, alias_name):
    kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.arn)
    (entry,) = aliases_of(kms, fresh_key)
    assert set(entry) == {"AliasName", "AliasArn", "TargetKeyId", "CreationDate", "LastUpdatedDate"}
    assert entry["AliasName"] == alias_name
    assert entry["AliasArn"] == f"arn:aws:kms:{region}:{account}:{alias_name}"
    assert entry["TargetKeyId"] == fresh_key.id
    assert entry["CreationDate"] == entry["LastUpdatedDate"]
    assert abs(entry["CreationDate"].timestamp() - time.time()) < 60
    everything = [e for page in kms.get_paginator("list_aliases").paginate() for e in page["Aliases"]]
    assert entry in everything
    assert kms.describe_key(KeyId=alias_name)["KeyMetadata"]["Arn"] == fresh_key.arn
    kms.delete_alias(AliasName=alias_name)
    assert aliases_of(kms, fresh_key) == []
    assert refusal(kms.describe_key, KeyId=alias_name).code == "NotFoundException"


def test_name_is_free_after_delete(kms, fresh_key, second_key, alias_name):
    kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.id)
    kms.delete_alias(AliasName=alias_name)
    kms.create_alias(AliasName=alias_name, TargetKeyId=second_key.id)
    assert kms.describe_key(KeyId=alias_name)["KeyMetadata"]["KeyId"] == second_key.id
    kms.delete_alias(AliasName=alias_name)


def test_names_differ_by_case(kms, fresh_key, second_key, alias_name):
    kms.create_alias(AliasName=alias_name + "/name", TargetKeyId=fresh_key.id)
    kms.create_alias(AliasName=alias_name + "/NAME", TargetKeyId=second_key.id)
    assert kms.describe_key(KeyId=alias_name + "/name")["KeyMetadata"]["KeyId"] == fresh_key.id
    assert kms.describe_key(KeyId=alias_name + "/NAME")["KeyMetadata"]["KeyId"] == second_key.id
    kms.delete_alias(AliasName=alias_name + "/name")
    kms.delete_alias(AliasName=alias_name + "/NAME")


def test_the_answer_has_an_empty_body(raw, fresh_key, alias_name):
    for operation, body in [
        ("CreateAlias", {"AliasName": alias_name, "TargetKeyId": fresh_key.id}),
        ("UpdateAlias", {"AliasName": alias_name, "TargetKeyId": fresh_key.id}),
        ("DeleteAlias", {"AliasName": alias_name}),
    ]:
        answer = raw(operation, body)
        assert (operation, answer.status, answer.body) == (operation, 200, b"")

"""DescribeKey and ListKeys; paging itself is in test_paging."""

from clients import UUID, refusal


def test_describe_of_an_unknown_key_is_refused(kms, account, region):
    unknown = "00000000-0000-4000-8000-000000000000"
    error = refusal(kms.describe_key, KeyId=unknown)
    assert (error.code, error.message) == (
        "NotFoundException",
        f"Key 'arn:aws:kms:{region}:{account}:key/{unknown}' does not exist",
    )


def test_describe_without_a_key_is_refused(raw):
    for body in ({}, {"KeyId": None}):
        answer = raw("DescribeKey", body)
        assert (answer.status, answer.code, answer.message) == (
            400,
            "ValidationException",
            "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null",
        )


def test_describe_says_what_create_said(kms, key):
    answer = kms.describe_key(KeyId=key.id)
    assert answer["KeyMetadata"] == key.metadata
    assert set(answer) == {"KeyMetadata", "ResponseMetadata"}


def test_describe_shows_a_disabled_key_as_disabled(kms, disabled_key):
    metadata = kms.describe_key(KeyId=disabled_key.id)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Disabled", False)
    assert metadata["CurrentKeyMaterialId"] == disabled_key.material


def test_list_names_every_key_once(kms, account, region, key, second_key, disabled_key):
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1000})
    entries = [entry for page in pages for entry in page["Keys"]]
    ids = [entry["KeyId"] for entry in entries]
    assert len(set(ids)) == len(ids)
    assert {key.id, second_key.id, disabled_key.id} <= set(ids)
    for entry in entries:
        assert set(entry) == {"KeyId", "KeyArn"}
        assert UUID.fullmatch(entry["KeyId"])
        assert entry["KeyArn"] == f"arn:aws:kms:{region}:{account}:key/{entry['KeyId']}"


def test_truncated_is_always_there_and_the_marker_only_with_more(raw, key, second_key):
    part = raw("ListKeys", {"Limit": 1}).json
    assert set(part) == {"Keys", "Truncated", "NextMarker"}
    assert part["Truncated"] is True and len(part["Keys"]) == 1
    whole = raw("ListAliases", {"KeyId": second_key.id}).json
    assert whole == {"Aliases": [], "Truncated": False}

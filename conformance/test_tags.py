"""TagResource, UntagResource, ListResourceTags, the Tags of CreateKey, and UpdateKeyDescription."""

import pytest

from clients import refusal
from conftest import make_key

RESERVED = "Tags beginning with aws: are reserved"


def tags(**pairs: str) -> list[dict]:
    return [{"TagKey": key, "TagValue": value} for key, value in pairs.items()]


def numbered(count: int) -> list[dict]:
    return [{"TagKey": f"tag-{number:02}", "TagValue": str(number)} for number in range(count)]


def listed(kms, key) -> dict[str, str]:
    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key.id)
    return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}


WRONG = [
    pytest.param([*tags(a="1"), *tags(a="2")], "Duplicate tag keys", id="duplicate"),
    pytest.param(numbered(51), "Too many tags", id="51"),
    pytest.param([{"TagKey": "aws:x", "TagValue": ""}], RESERVED, id="reserved"),
    pytest.param([{"TagKey": "AWS:x", "TagValue": ""}], RESERVED, id="reserved in capitals"),
    pytest.param([{"TagKey": "Owner", "TagValue": "My & My Team"}], "Invalid tag", id="alphabet"),
]


@pytest.mark.parametrize("wrong, message", WRONG)
def test_tags_that_no_key_may_have_are_refused(kms, fresh_key, wrong, message):
    for call, key in ((kms.create_key, {}), (kms.tag_resource, {"KeyId": fresh_key.id})):
        error = refusal(call, Tags=wrong, **key)
        assert (error.code, error.message) == ("TagException", message)
    assert listed(kms, fresh_key) == {}


@pytest.mark.parametrize(
    "key, value, path, bound",
    [
        ("", "", "tags.1.member.tagKey", "greater than or equal to 1"),
        ("k" * 129, "", "tags.1.member.tagKey", "less than or equal to 128"),
        ("k", "v" * 257, "tags.1.member.tagValue", "less than or equal to 256"),
    ],
    ids=["empty key", "long key", "long value"],
)
def test_tag_outside_its_lengths_is_refused(raw, fresh_key, key, value, path, bound):
    answer = raw("TagResource", {"KeyId": fresh_key.id, "Tags": [{"TagKey": key, "TagValue": value}]})
    assert answer.code == "ValidationException"
    assert answer.message.endswith(f"at '{path}' failed to satisfy constraint: Member must have length {bound}")


def test_fifty_first_tag_is_refused(kms):
    key = make_key(kms, Tags=numbered(50))
    error = refusal(kms.tag_resource, KeyId=key.id, Tags=tags(more=""))
    assert (error.code, error.message) == ("TagException", "Too many tags")
    kms.tag_resource(KeyId=key.id, Tags=[{"TagKey": "tag-00", "TagValue": "replaced"}])
    kms.untag_resource(KeyId=key.id, TagKeys=["tag-49"])
    kms.tag_resource(KeyId=key.id, Tags=tags(more=""))
    found = listed(kms, key)
    assert (len(found), found["tag-00"], "tag-49" in found) == (50, "replaced", False)


def test_tags_come_and_go(kms):
    key = make_key(kms, Tags=tags(team="payments", Team="other"))
    assert listed(kms, key) == {"team": "payments", "Team": "other"}
    longest = {"é" * 128: "ü" * 256}
    kms.tag_resource(KeyId=key.arn, Tags=tags(team="", stage="test", **longest))
    assert listed(kms, key) == {"team": "", "Team": "other", "stage": "test"} | longest
    kms.untag_resource(KeyId=key.arn, TagKeys=["Team", "absent", *longest])
    assert listed(kms, key) == {"team": "", "stage": "test"}


@pytest.mark.parametrize("limit, sizes", [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (50, [7]), (None, [7])])
def test_every_tag_comes_once_whatever_the_page_size(kms, limit, sizes):
    key = make_key(kms, Tags=numbered(7))
    found, marker = [], {}
    for size in sizes:
        page = kms.list_resource_tags(KeyId=key.id, **({"Limit": limit} if limit else {}), **marker)
        found += page["Tags"]
        assert (len(page["Tags"]), page["Truncated"], "NextMarker" in page) == (
            size,
            len(found) < 7,
            page["Truncated"],
        )
        marker = {"Marker": page.get("NextMarker")}
    assert found == numbered(7)


def test_marker_of_another_key_or_list_and_a_page_of_51_are_refused(kms, second_key):
    key, other = make_key(kms, Tags=numbered(3)), make_key(kms, Tags=numbered(3))
    marker = kms.list_resource_tags(KeyId=key.id, Limit=1)["NextMarker"]
    of_keys = kms.list_keys(Limit=1)["NextMarker"]
    for key_id, wrong in ((other.id, marker), (key.id, of_keys), (key.id, "x"), (second_key.id, marker)):
        assert refusal(kms.list_resource_tags, KeyId=key_id, Marker=wrong).code == "InvalidMarkerException"
    error = refusal(kms.list_resource_tags, KeyId=key.id, Limit=51)
    assert error.message.endswith("Member must have value less than or equal to 50")


def test_description_is_replaced(raw, kms, fresh_key):
    answer = raw("UpdateKeyDescription", {"KeyId": fresh_key.id, "Description": "d" * 8193})
    assert answer.message.endswith("Member must have length less than or equal to 8192")
    for description in ("d" * 8192, "für Zahlungen", ""):
        kms.update_key_description(KeyId=fresh_key.id, Description=description)
        assert kms.describe_key(KeyId=fresh_key.id)["KeyMetadata"]["Description"] == description


def test_the_answer_has_an_empty_body(raw, fresh_key):
    for operation, more in [
        ("TagResource", {"Tags": tags(a="b")}),
        ("UntagResource", {"TagKeys": ["a"]}),
        ("UpdateKeyDescription", {"Description": "d"}),
    ]:
        answer = raw(operation, {"KeyId": fresh_key.id} | more)
        assert (operation, answer.status, answer.body) == (operation, 200, b"")

"""The protocol's own errors: validation, serialization, routing, and the shape of every error."""

import json
import re

import pytest

from clients import CONTENT_TYPE, UUID, b64, enum_set

NULL = "Value null at '%s' failed to satisfy constraint: Member must not be null"


def items(message: str) -> set[str]:
    """The items of a validation message; their order is not part of the contract, their number is."""
    found = re.fullmatch(r"(\d+) validation (error|errors) detected: (.*)", message, re.DOTALL)
    assert found, message
    parts = found.group(3).split("; ")
    assert int(found.group(1)) == len(parts), message
    assert found.group(2) == ("error" if len(parts) == 1 else "errors"), message
    return set(parts)


def check_shape(answer, code: str, status: int = 400) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert UUID.fullmatch(answer.request_id)
    assert set(answer.json) <= {"__type", "message"}, answer.json


# Validation.


def test_one_missing_member_is_one_error(raw, key):
    answer = raw("Encrypt", {"KeyId": key.id})
    check_shape(answer, "ValidationException")
    assert answer.message == "1 validation error detected: " + NULL % "plaintext"


def test_two_missing_members_are_two_errors(raw):
    answer = raw("Encrypt", {})
    check_shape(answer, "ValidationException")
    assert items(answer.message) == {NULL % "keyId", NULL % "plaintext"}
    assert answer.message.startswith("2 validation errors detected: ")


def test_errors_of_every_kind_are_told_together(raw):
    body = {
        "KeyId": "",
        "KeySpec": "AES_512",
        "NumberOfBytes": 2000,
        "GrantTokens": ["t"] * 11,
    }
    answer = raw("GenerateDataKey", body)
    check_shape(answer, "ValidationException")
    found = items(answer.message.replace("[AES_256, AES_128]", "[AES_128, AES_256]"))
    tokens = [item for item in found if "'grantTokens'" in item]
    assert len(tokens) == 1 and tokens[0].endswith("Member must have length less than or equal to 10")
    assert found - set(tokens) == {
        "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
        "Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: "
        "[AES_128, AES_256]",
        "Value '2000' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024",
    }


def test_list_indices_begin_at_one(raw):
    answer = raw("TagResource", {"KeyId": "k", "Tags": [{"TagKey": "k", "TagValue": "v"}, {"TagValue": "v"}]})
    if answer.code == "UnsupportedOperationException":
        answer = raw("Decrypt", {"CiphertextBlob": "eA==", "GrantTokens": ["t", "", "t"]})
        check_shape(answer, "ValidationException")
        assert "'grantTokens.2.member' failed to satisfy constraint" in answer.message
    else:
        check_shape(answer, "ValidationException")
        assert items(answer.message) == {NULL % "tags.2.member.tagKey"}


def test_sensitive_value_is_left_out(raw, key):
    answer = raw("Encrypt", {"KeyId": key.id, "Plaintext": b64(b"sensitive-value-" * 300)})
    check_shape(answer, "ValidationException")
    assert items(answer.message) == {
        "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"
    }


@pytest.mark.parametrize("limit, text", [(0, "greater than or equal to 1"), (1001, "less than or equal to 1000")])
@pytest.mark.parametrize("operation", ["ListKeys", "ListAliases"])
def test_limit_outside_the_models_range_is_refused(raw, operation, limit, text):
    answer = raw(operation, {"Limit": limit})
    check_shape(answer, "ValidationException")
    assert items(answer.message) == {
        f"Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value {text}"
    }


def test_enum_error_names_the_whole_set(raw, key):
    body = {"KeyId": key.id, "Plaintext": "eA==", "EncryptionAlgorithm": "NONE"}
    answer = raw("Encrypt", body)
    check_shape(answer, "ValidationException")
    assert enum_set(answer.message) == {"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"}


# Serialization.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"}",
        b"{]",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b'{"KeyId":}',
        b"{'KeyId':'x'}",
        b'{"KeyId":"x",}',
        b'{"KeyId":"x"} {}',
        b'{"KeyId":"x"}garbage',
        b'{"KeyId":"\xff"}',
        b'{"KeyId":"\\ud800"}',
        b'{"KeyId":"a\nb"}',
        b"\x00" * 16,
        b'{"KeyId":"' + b"a" * 64,
        b"<xml/>",
        b"KeyId=x",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_is_a_serialization_error(raw, body):
    answer = raw("DescribeKey", body)
    if body == b"" and answer.code == "ValidationException":
        assert answer.message.endswith(NULL % "keyId")  # an empty body may also stand for no members
        return
    check_shape(answer, "SerializationException")


@pytest.mark.parametrize(
    "body",
    [
        {"KeyId": 1},
        {"KeyId": True},
        {"KeyId": 1.5},
        {"KeyId": ["x"]},
        {"KeyId": {"x": "y"}},
        {"KeyId": "k", "Plaintext": 7},
        {"KeyId": "k", "Plaintext": "not base64!"},
        {"KeyId": "k", "Plaintext": "eA"},
        {"KeyId": "k", "Plaintext": "eA==", "DryRun": "yes"},
        {"KeyId": "k", "Plaintext": "eA==", "DryRun": {}},
        {"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": []},
        {"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": "text"},
        {"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": {"a": 1}},
        {"KeyId": "k", "Plaintext": "eA==", "GrantTokens": "token"},
        {"KeyId": "k", "Plaintext": "eA==", "GrantTokens": [1]},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_wrong_type_is_a_serialization_error(raw, body):
    check_shape(raw("Encrypt", body), "SerializationException")


@pytest.mark.parametrize("limit", ['"10"', "1.5", "true", "[]", "1e400", "99999999999999999999"])
def test_what_is_no_integer_is_a_serialization_error(raw, limit):
    check_shape(raw("ListKeys", b'{"Limit":%s}' % limit.encode()), "SerializationException")


def test_nesting_past_the_limit_is_a_serialization_error(raw):
    deep = b'{"Unknown":' + b"[" * 5000 + b"]" * 5000 + b"}"
    check_shape(raw("ListKeys", deep), "SerializationException")


def test_unknown_members_are_ignored(raw, key):
    body = {"KeyId": key.id, "NoSuchMember": {"a": [1, "b", None]}, "keyId": "lower case is another name"}
    answer = raw("DescribeKey", body)
    assert (answer.status, answer.json["KeyMetadata"]["KeyId"]) == (200, key.id)


def test_null_members_are_absent(raw, key):
    body = {"KeyId": key.id, "Plaintext": "eA==", "EncryptionContext": None, "DryRun": None, "GrantTokens": None}
    answer = raw("Encrypt", body)
    assert (answer.status, answer.json["KeyId"]) == (200, key.arn)


# Routing.


@pytest.mark.parametrize(
    "target", ["TrentService.MakeCoffee", "TrentService.describeKey", "Other.DescribeKey", "TrentService."]
)
def test_unknown_operation_is_refused(raw, target):
    check_shape(raw(target, {}), "UnknownOperationException")


def test_missing_operation_is_refused(raw):
    check_shape(raw(None, {}), "UnknownOperationException")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/xml", None], ids=str)
def test_another_content_type_is_refused(raw, content_type):
    answer = raw("ListKeys", {}, content_type=content_type)
    assert 400 <= answer.status < 500
    assert answer.code in ("UnknownOperationException", "SerializationException", "UnsupportedMediaTypeException")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_than_post_is_refused(raw, method):
    answer = raw("ListKeys", {}, method=method)
    assert 400 <= answer.status < 500
    assert answer.code in (
        "UnknownOperationException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
    )


@pytest.mark.parametrize("path", ["/index.html", "/metrics", "/healthz", "/readyz", "/%2e%2e/", "/a/b"])
def test_another_path_than_the_root_is_refused(raw, path):
    answer = raw("ListKeys", {}, path=path)
    assert 400 <= answer.status < 500
    assert set(answer.json) <= {"__type", "message"}
    assert b"Keys" not in answer.body


# Every answer.


def test_request_id_of_an_answer_is_the_headers(kms, key):
    metadata = kms.describe_key(KeyId=key.id)["ResponseMetadata"]
    assert UUID.fullmatch(metadata["RequestId"])
    assert metadata["HTTPHeaders"]["x-amzn-requestid"] == metadata["RequestId"]
    assert kms.describe_key(KeyId=key.id)["ResponseMetadata"]["RequestId"] != metadata["RequestId"]


def test_answers_are_not_to_be_cached(raw, key):
    for answer in (raw("DescribeKey", {"KeyId": key.id}), raw("DescribeKey", {})):
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert answer.headers["Date"]


def test_errors_with_a_text_carry_it_in_lower_case_message(raw):
    for operation, body in [("DescribeKey", {}), ("DescribeKey", {"KeyId": "nonsense"}), ("GenerateRandom", {})]:
        answer = raw(operation, body)
        assert set(answer.json) == {"__type", "message"}
        assert answer.message

"""Signatures: every request is signed, for this region and service, now, as it stands."""

import hashlib

import pytest

from clients import RawClient, refusal, client
from server import Login

INVALID = "InvalidSignatureException"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details."
)
UNKNOWN_TOKEN = "The security token included in the request is invalid."
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
LIMIT = 300
# The clock of a test runs on between signing and checking: this close to the limit nothing is asserted.
MARGIN = 20


def refused(answer, code: str) -> str:
    """A refusal without a decision: no data, a request id, and the error's text."""
    assert (answer.status, answer.code) == (400, code), (answer.status, answer.body)
    assert set(answer.json) <= {"__type", "message"}
    assert answer.request_id
    return answer.message


def accepted(answer, key) -> None:
    assert answer.status == 200, answer.body
    assert answer.json["KeyMetadata"]["KeyId"] == key.id


@pytest.fixture
def body(key) -> dict:
    return {"KeyId": key.id}


# Who signs.


def test_wrong_secret_is_refused(server, region, raw, body):
    login = Login(raw.login.access_key, raw.login.secret_key[:-1] + ("A" if raw.login.secret_key[-1] != "A" else "B"))
    assert refused(raw("DescribeKey", body, login=login), INVALID).startswith(MISMATCH)
    assert refusal(client(server, region, login=login).list_keys).code == INVALID


def test_unknown_access_key_is_refused(raw, body):
    login = Login("AKIAUNKNOWNUNKNOWN12", raw.login.secret_key)
    assert refused(raw("DescribeKey", body, login=login), "UnrecognizedClientException") == UNKNOWN_TOKEN


def test_access_key_in_another_case_is_unknown(raw, body):
    swapped = raw.login.access_key.swapcase()
    answer = raw("DescribeKey", body, login=Login(swapped, raw.login.secret_key))
    refused(answer, "UnrecognizedClientException")


def test_session_token_that_was_never_issued_is_refused(raw, body):
    login = Login(raw.login.access_key, raw.login.secret_key, "FwoGZXIvYXdzEBYaDnever-issued")
    refused(raw("DescribeKey", body, login=login), "UnrecognizedClientException")


def test_request_without_a_signature_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body).replace("Authorization", None)
    text = refused(signed.send(), "MissingAuthenticationTokenException")
    assert text == "Missing Authentication Token"


@pytest.mark.parametrize(
    "part, text",
    [
        ("Credential=", "Authorization header requires 'Credential' parameter."),
        ("SignedHeaders=", "Authorization header requires 'SignedHeaders' parameter."),
        ("Signature=", "Authorization header requires 'Signature' parameter."),
    ],
)
def test_authorization_header_without_a_part_is_incomplete(raw, body, part, text):
    signed = raw.sign("DescribeKey", body)
    algorithm, _, rest = signed.header("Authorization").partition(" ")
    kept = ", ".join(p for p in rest.split(", ") if not p.startswith(part))
    answer = signed.replace("Authorization", f"{algorithm} {kept}").send()
    assert text in refused(answer, "IncompleteSignatureException")


def test_request_without_a_date_is_incomplete(raw, body):
    answer = raw.sign("DescribeKey", body).replace("X-Amz-Date", None).send()
    text = refused(answer, "IncompleteSignatureException")
    assert "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header." in text


@pytest.mark.parametrize(
    "value",
    [
        "",
        "AWS4-HMAC-SHA256",
        "Basic dXNlcjpwYXNz",
        "Bearer token",
        "AWS4-HMAC-SHA256 nonsense",
        "AWS AKIA:sig",
        ",=,=,",
    ],
)
def test_malformed_authorization_header_is_refused(raw, body, value):
    answer = raw.sign("DescribeKey", body).replace("Authorization", value).send()
    assert answer.status == 400
    assert answer.code in ("IncompleteSignatureException", "MissingAuthenticationTokenException", INVALID)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + "0", lambda s: s.upper(), lambda s: "0" * 64, lambda s: ""]
)
def test_changed_signature_is_refused(raw, body, change):
    signed = raw.sign("DescribeKey", body)
    head, _, signature = signed.header("Authorization").rpartition("=")
    answer = signed.replace("Authorization", f"{head}={change(signature)}").send()
    assert answer.status == 400
    assert answer.code in (INVALID, "IncompleteSignatureException")


# For what.


def test_scope_of_another_region_is_refused(raw, body):
    for region in ("ap-southeast-2", "us-east-1x", "global"):
        text = refused(raw("DescribeKey", body, region=region), INVALID)
        assert text.strip() == "Credential should be scoped to a valid region."


def test_scope_of_another_service_is_refused(raw, body):
    for service in ("s3", "KMS"):
        text = refused(raw("DescribeKey", body, service=service), INVALID)
        assert text.strip() == "Credential should be scoped to correct service: 'kms'."


def test_scope_with_another_terminator_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    changed = signed.header("Authorization").replace("aws4_request", "aws5_request")
    text = refused(signed.replace("Authorization", changed).send(), INVALID)
    assert text.startswith("Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'.")


def test_scope_of_another_day_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    day = signed.header("X-Amz-Date")[:8]
    changed = signed.header("Authorization").replace(f"/{day}/", "/20200101/")
    text = refused(signed.replace("Authorization", changed).send(), INVALID)
    assert text.startswith("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")


# When.


def test_signature_older_than_five_minutes_is_refused(raw, body):
    for age in (LIMIT + 2, LIMIT + 3600, 86_400 * 400):
        signed = raw.sign("DescribeKey", body, skew=-age)
        text = refused(signed.send(), INVALID)
        assert text.startswith(f"Signature expired: {signed.header('X-Amz-Date')} is now earlier than ")
        assert text.endswith(" - 5 min.)")


def test_signature_from_more_than_five_minutes_ahead_is_refused(raw, body):
    for lead in (LIMIT + MARGIN, LIMIT + 3600, 86_400 * 400):
        signed = raw.sign("DescribeKey", body, skew=lead)
        text = refused(signed.send(), INVALID)
        assert text.startswith(f"Signature not yet current: {signed.header('X-Amz-Date')} is still later than ")
        assert text.endswith(" + 5 min.)")


@pytest.mark.parametrize("skew", [-(LIMIT - MARGIN), -60, 0, 60, LIMIT - 2])
def test_signature_within_five_minutes_is_accepted(raw, body, key, skew):
    accepted(raw("DescribeKey", body, skew=skew), key)


@pytest.mark.parametrize("date", ["yesterday", "2024-01-01T00:00:00Z", "20240101", "20241301T000000Z", ""])
def test_malformed_date_is_refused(raw, body, date):
    answer = raw.sign("DescribeKey", body).replace("X-Amz-Date", date).send()
    assert answer.status == 400
    assert answer.code in (INVALID, "IncompleteSignatureException")


# As it stands.


def test_changed_body_is_refused(raw, body, second_key):
    signed = raw.sign("DescribeKey", body)
    signed.body = signed.body.replace(body["KeyId"].encode(), second_key.id.encode())
    assert refused(signed.send(), INVALID).startswith(MISMATCH)


def test_body_that_grew_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    signed.body += b" "
    refused(signed.send(), INVALID)


@pytest.mark.parametrize("name, value", [("X-Amz-Target", "TrentService.DisableKey"), ("Host", "elsewhere:80")])
def test_changed_signed_header_is_refused(raw, kms, body, key, name, value):
    refused(raw.sign("DescribeKey", body).replace(name, value).send(), INVALID)
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "Enabled"


def test_header_of_amz_that_is_not_signed_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    signed.headers.append(("X-Amz-Anything", "added on the way"))
    refused(signed.send(), INVALID)


def test_signed_header_that_is_missing_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body, headers=[("X-Amz-Meta", "v")]).replace("X-Amz-Meta", None)
    refused(signed.send(), INVALID)


def test_host_that_is_not_signed_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    changed = signed.header("Authorization").replace("host;", "")
    refused(signed.replace("Authorization", changed).send(), INVALID)


def test_added_query_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    signed.target = "/?a=b"
    refused(signed.send(), INVALID)


def test_two_authorization_headers_are_refused(raw, body):
    signed = raw.sign("DescribeKey", body)
    signed.headers.append(("Authorization", signed.header("Authorization")))
    answer = signed.send()
    assert answer.status == 400
    assert answer.code in (INVALID, "IncompleteSignatureException")


def test_wrong_content_hash_is_refused(raw, body):
    headers = [("X-Amz-Content-SHA256", EMPTY_HASH)]
    refused(raw("DescribeKey", body, headers=headers), INVALID)


@pytest.mark.parametrize(
    "value", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]
)
def test_unsigned_payload_is_refused(raw, body, value):
    # botocore's signer takes the header's value into the canonical request: the signature itself is right.
    refused(raw("DescribeKey", body, headers=[("X-Amz-Content-SHA256", value)]), INVALID)


def test_right_content_hash_is_accepted(raw, key):
    exact = b'{"KeyId": "%s"}' % key.id.encode()
    headers = [("X-Amz-Content-SHA256", hashlib.sha256(exact).hexdigest())]
    accepted(raw("DescribeKey", exact, headers=headers), key)


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Amz-Meta", "one"), ("X-Amz-Meta", "two")],
        [("X-Amz-Meta", "  much   inner    space  ")],
        [("X-Amz-Meta", "Grüße 鍵")],
        [("X-Amz-Meta", "")],
        [("X-Amz-Meta", "a,b, c"), ("X-Amz-Meta", "d")],
        [("Zebra", "last"), ("Accept-Language", "de"), ("X-Amz-Meta-A_b", "underscore")],
    ],
    ids=["twice", "spaces", "utf-8", "empty", "commas", "not amz"],
)
def test_unusual_headers_are_accepted_when_signed(raw, body, key, headers):
    accepted(raw("DescribeKey", body, headers=headers), key)


def test_headers_that_are_not_amz_need_no_signature(raw, body, key):
    signed = raw.sign("DescribeKey", body)
    signed.headers += [("Accept", "*/*"), ("X-Forwarded-For", "10.0.0.1"), ("User-Agent", "anything")]
    accepted(signed.send(), key)


@pytest.mark.parametrize("query", ["a=b", "b=2&a=1", "a=1&a=0", "a", "a=", "k%C3%BC=v%20w", "A=1&a=2&a%2Bb=c"])
def test_signed_query_is_accepted(raw, body, key, query):
    # botocore signs `a` as `a=`, and so does the specification.
    accepted(raw("DescribeKey", body, query=query), key)


def test_date_header_may_stand_for_amz_date(raw, body, key):
    answer = raw("DescribeKey", body, headers=[("Date", "replaced by the signer")])
    accepted(answer, key)


# Presigned: the signature in the query.


def test_presigned_request_is_refused_after_its_expiry(raw, body):
    answer = raw("DescribeKey", body, presigned_seconds=60, skew=-62)
    assert refused(answer, INVALID).startswith("Signature expired: ")


def test_presigned_request_is_refused_after_five_minutes_whatever_it_says(raw, body):
    answer = raw("DescribeKey", body, presigned_seconds=604_800, skew=-(LIMIT + 2))
    assert refused(answer, INVALID).startswith("Signature expired: ")


def test_presigned_request_from_the_future_is_refused(raw, body):
    answer = raw("DescribeKey", body, presigned_seconds=60, skew=LIMIT + MARGIN)
    assert refused(answer, INVALID).startswith("Signature not yet current: ")


@pytest.mark.parametrize("seconds", [-1, "60s", "", "1.5"])
def test_presigned_request_of_an_impossible_duration_is_refused(raw, body, seconds):
    answer = raw("DescribeKey", body, presigned_seconds=seconds)
    assert answer.status == 400
    assert answer.code in (INVALID, "IncompleteSignatureException")


def test_presigned_request_with_a_changed_parameter_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body, presigned_seconds=60)
    signed.target = signed.target.replace("X-Amz-Expires=60", "X-Amz-Expires=61")
    refused(signed.send(), INVALID)


def test_presigned_request_with_a_changed_body_is_refused(raw, body, second_key):
    signed = raw.sign("DescribeKey", body, presigned_seconds=60)
    signed.body = signed.body.replace(body["KeyId"].encode(), second_key.id.encode())
    refused(signed.send(), INVALID)


@pytest.mark.parametrize(
    "name", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"]
)
def test_presigned_request_without_a_parameter_is_refused(raw, body, name):
    signed = raw.sign("DescribeKey", body, presigned_seconds=60)
    path, _, query = signed.target.partition("?")
    signed.target = path + "?" + "&".join(p for p in query.split("&") if not p.startswith(name + "="))
    answer = signed.send()
    assert answer.status == 400
    assert answer.code in (INVALID, "IncompleteSignatureException", "MissingAuthenticationTokenException")


def test_signature_in_header_and_query_at_once_is_refused(raw, body):
    signed = raw.sign("DescribeKey", body, presigned_seconds=60)
    signed.headers.append(("Authorization", raw.sign("DescribeKey", body).header("Authorization")))
    answer = signed.send()
    assert answer.status == 400
    assert answer.code in (INVALID, "IncompleteSignatureException")


@pytest.mark.parametrize("seconds, age", [(60, 0), (60, 40), (300, 250), (604_800, 250)])
def test_presigned_request_is_accepted_in_time(raw, body, key, seconds, age):
    accepted(raw("DescribeKey", body, presigned_seconds=seconds, skew=-age), key)


def test_presigned_request_may_carry_a_query_of_its_own(raw, body, key):
    accepted(raw("DescribeKey", body, presigned_seconds=60, query="b=2&a=%20"), key)


def test_the_same_request_twice_is_answered_twice(raw, body, key):
    signed = raw.sign("DescribeKey", body)
    accepted(signed.send(), key)
    accepted(signed.send(), key)


def test_each_region_has_its_own_scope(server, region, other_region):
    for name in (region, other_region):
        assert RawClient(server, name)("ListAliases").status == 200

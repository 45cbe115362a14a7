"""sts:GetCallerIdentity: the first thing that half of all tools ask."""

import datetime
import http.client
import json
import subprocess
import xml.etree.ElementTree as ElementTree
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import UUID, RawClient
from server import Login, run

NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
QUERY = BODY.decode()


def sts(server, region, login=None):
    login = login or server.login()
    return boto3.session.Session().client(
        "sts",
        region_name=region,
        endpoint_url=server.endpoint(server.regions[0]),
        aws_access_key_id=login.access_key,
        aws_secret_access_key=login.secret_key,
        aws_session_token=login.token,
        config=Config(retries={"total_max_attempts": 1}),
    )


def refusal(call) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    assert UUID.fullmatch(response["ResponseMetadata"]["RequestId"])
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def post(raw: RawClient, body: bytes = BODY, **signing):
    return raw.sign(None, body, **({"service": "sts", "content_type": FORM} | signing)).send()


def error(answer) -> tuple[str, str]:
    """Code and message of an error, whose form is checked on the way."""
    assert answer.headers["Content-Type"] == "text/xml"
    document = ElementTree.fromstring(answer.body)
    assert document.tag == NAMESPACE + "ErrorResponse"
    assert document.findtext(NAMESPACE + "RequestId") == answer.request_id
    inner = document.find(NAMESPACE + "Error")
    assert inner.findtext(NAMESPACE + "Type") == "Sender"
    return inner.findtext(NAMESPACE + "Code"), inner.findtext(NAMESPACE + "Message")


def test_wrong_secret_is_refused(server, region):
    login = Login(server.login().access_key, "w" * 40)
    code, message, status = refusal(sts(server, region, login).get_caller_identity)
    assert (code, status) == ("SignatureDoesNotMatch", 403)
    assert message.startswith("The request signature we calculated does not match")


def test_unknown_access_key_and_token_are_refused(server, region):
    for login in (
        Login("AKIAUNKNOWNEXAMPLE00", "w" * 40),
        Login(server.login().access_key, server.login().secret_key, "token"),
    ):
        expected = ("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
        assert refusal(sts(server, region, login).get_caller_identity) == expected


def test_region_of_no_deployment_is_refused(server):
    code, message, status = refusal(sts(server, "ap-south-1").get_caller_identity)
    assert (code, status) == ("SignatureDoesNotMatch", 403)
    assert "Credential should be scoped to a valid region" in message


def test_operation_that_is_not_there_is_refused(server, region):
    code, message, status = refusal(sts(server, region).get_session_token)
    assert (code, status) == ("InvalidAction", 400)
    assert message == "Could not find operation GetSessionToken for version 2011-06-15"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"Action=GetCallerIdentity", "InvalidAction"),
        (b"Action=GetCallerIdentity&Version=2010-05-08", "InvalidAction"),
        (b"Version=2011-06-15", "InvalidAction"),
        (b"", "InvalidAction"),
        (BODY + b"&Action=GetCallerIdentity", "ValidationError"),
        (b"\xff=\xff&" + BODY, "ValidationError"),
    ],
)
def test_form_that_names_nothing_is_refused(raw, body, code):
    answer = post(raw, body)
    assert (answer.status, error(answer)[0]) == (400, code)


def test_request_without_a_signature_is_refused(server, region):
    connection = http.client.HTTPConnection(urlsplit(server.endpoint(region)).netloc, timeout=10)
    connection.request("POST", "/", BODY, {"Content-Type": FORM})
    response = connection.getresponse()
    body = response.read().decode()
    assert response.status == 403
    assert "<Code>MissingAuthenticationToken</Code>" in body
    assert "<Message>Request is missing Authentication Token</Message>" in body


def test_signature_for_kms_and_changed_bodies_are_refused(raw):
    answer = post(raw, service="kms")
    assert answer.status == 403
    assert error(answer) == ("SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'. ")
    signed = raw.sign(None, BODY, service="sts", content_type=FORM)
    signed.body = BODY + b"&x=1"
    assert error(signed.send())[0] == "SignatureDoesNotMatch"
    answer = post(raw, skew=-600)
    assert error(answer)[0] == "SignatureDoesNotMatch" and "Signature expired" in error(answer)[1]


def test_boto3_learns_who_it_is(server, region, other_region, account):
    for where in (region, other_region):
        answer = sts(server, where).get_caller_identity()
        assert answer["Account"] == answer["UserId"] == account
        assert answer["Arn"] == f"arn:aws:iam::{account}:root"
        assert UUID.fullmatch(answer["ResponseMetadata"]["RequestId"])


@pytest.mark.process
def test_global_endpoint_is_signed_for_us_east_1_wherever_the_deployment_is(new_server):
    target = new_server(regions=["eu-central-1"]).init().start()
    answer = sts(target, "us-east-1").get_caller_identity()
    assert answer["Arn"] == f"arn:aws:iam::{target.account}:root"
    assert refusal(sts(target, "us-west-2").get_caller_identity)[0] == "SignatureDoesNotMatch"


def test_cli_learns_who_it_is(server, region, aws, account):
    done: subprocess.CompletedProcess = aws("sts", "get-caller-identity", AWS_ENDPOINT_URL_STS=server.endpoint(region))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "UserId": account,
        "Account": account,
        "Arn": f"arn:aws:iam::{account}:root",
    }


@pytest.mark.process
def test_operator_is_of_no_account(server, region):
    answer = sts(server, region, server.login("operator")).get_caller_identity()
    assert (answer["Arn"], answer["UserId"]) == ("arn:aws:strongroom:::operator", "operator")
    assert answer.get("Account") in (None, "")


def get(url: str, headers: dict) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path or '/'}?{parts.query}", headers=headers)
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"], response.read()


def test_presigned_url_tells_whoever_has_it_who_signed(server, region, account):
    # What aws-iam-authenticator's tokens are made of.
    url = sts(server, region).generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]
    status, kind, body = get(url, {})
    assert (status, kind) == (200, "text/xml")
    result = ElementTree.fromstring(body).find(NAMESPACE + "GetCallerIdentityResult")
    assert [member.tag.removeprefix(NAMESPACE) for member in result] == ["Arn", "UserId", "Account"]
    assert result.findtext(NAMESPACE + "Account") == account
    status, kind, body = get(url, {"Accept": "application/json"})
    assert (status, kind) == (200, "application/json")
    identity = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
    assert identity == {"Account": account, "Arn": f"arn:aws:iam::{account}:root", "UserId": account}
    status, _, body = get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), {})
    assert status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in body
    status, kind, body = get(url + "0", {"Accept": "application/json"})
    assert (status, kind) == (403, "application/json")
    assert json.loads(body)["Error"]["Code"] == "SignatureDoesNotMatch"


def test_get_signed_in_the_header_works(raw, account):
    answer = raw.sign(None, b"", service="sts", content_type=None, method="GET", query=QUERY).send()
    assert answer.status == 200 and f"<Account>{account}</Account>" in answer.body.decode()


def test_signed_header_of_vault_is_honoured_and_guarded(raw):
    # Vault's iam login: the server's name is in a header that must be signed.
    headers = [("X-Vault-AWS-IAM-Server-ID", "vault.example.com")]
    signed = raw.sign(None, BODY, service="sts", content_type=FORM, headers=headers)
    assert signed.send().status == 200
    assert error(signed.replace("X-Vault-AWS-IAM-Server-ID", "elsewhere").send())[0] == "SignatureDoesNotMatch"


def test_answer_has_aws_form(raw, account):
    answer = post(raw)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml")
    assert answer.body.decode() == f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::{account}:root</Arn>
    <UserId>{account}</UserId>
    <Account>{account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>{answer.request_id}</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"""


@pytest.mark.process
def test_it_is_recorded_as_an_event_of_sts(new_server):
    target = new_server().init().start()
    began = datetime.datetime.now(datetime.timezone.utc)
    sts(target, "us-east-1").get_caller_identity()
    assert target.stop() == 0
    printed = run("audit", *target.directories())
    (event,) = [json.loads(line) for line in printed.stdout.splitlines()]
    assert (event["eventSource"], event["eventName"]) == ("sts.amazonaws.com", "GetCallerIdentity")
    assert event["readOnly"] is True and event["requestParameters"] is None
    assert event["eventTime"][:4] == str(began.year)

"""boto3 clients and raw signed requests.

`client` is what users have. `RawClient` signs with botocore's own signer and sends with `http.client`, so that a test can send
what no SDK would: wrong types, wrong scopes, a body that was changed after it was signed.
"""

import base64
import datetime
import hashlib
import http.client
import json
import re
import secrets as randomness
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HEX64 = re.compile(r"[0-9a-f]{64}")
MARKER = b"strongroom-conformance-secret-"
CONTENT_TYPE = "application/x-amz-json-1.1"
SECRETS_MAX = 40

_session_lock = threading.Lock()


def marked(size: int = 64) -> bytes:
    """A plaintext that `test_silence` can recognise wherever it lies."""
    text = MARKER + randomness.token_hex(size // 2).encode()
    return text[:size] if size > len(MARKER) + 16 else text


def client(target, region: str, profile: str = "default", login=None, validate: bool = True, attempts: int = 1):
    """A boto3 KMS client that does not retry unless it is given more `attempts`; with `validate=False` also one that sends what it is given."""
    login = login or target.login(profile)
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        parameter_validation=validate,
        max_pool_connections=50,
        connect_timeout=10,
        read_timeout=60,
    )
    with _session_lock:  # boto3's session factory is not safe to use from several threads
        made = boto3.session.Session().client(
            "kms",
            region_name=region,
            endpoint_url=target.endpoint(region),
            aws_access_key_id=login.access_key,
            aws_secret_access_key=login.secret_key,
            aws_session_token=login.token,
            config=config,
        )
    _listen_for_secrets(made, target)
    return made


def _listen_for_secrets(made, target) -> None:
    def sent(params, **_):
        plaintext = params.get("Plaintext")
        if isinstance(plaintext, bytes) and plaintext.startswith(MARKER):
            _remember(target.secrets, plaintext)

    def received(parsed, model, **_):
        if model.name in ("GenerateDataKey", "GenerateRandom") and len(parsed.get("Plaintext", b"")) >= 16:
            _remember(target.secrets, parsed["Plaintext"])
        if "CiphertextBlob" in parsed:
            _remember(target.ciphertexts, parsed["CiphertextBlob"])

    made.meta.events.register("provide-client-params.kms", sent)
    made.meta.events.register("after-call.kms", received)


def _remember(kept: list[bytes], secret: bytes) -> None:
    if len(kept) < SECRETS_MAX:
        kept.append(secret)


@dataclass(frozen=True)
class Refusal:
    code: str
    message: str
    status: int


def refusal(call, **parameters) -> Refusal:
    """The error that a call answers with. Every client error is HTTP 400 and carries a request id."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        assert UUID.fullmatch(metadata["RequestId"]), metadata
        assert metadata["HTTPStatusCode"] == 400, error.response
        body = error.response["Error"]
        return Refusal(body["Code"], body.get("Message", ""), metadata["HTTPStatusCode"])
    raise AssertionError(f"was not refused: {sorted(answer)}")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.status != 200, f"was not refused: {self.body[:200]}"
        return self.json["__type"]

    @property
    def message(self) -> str | None:
        return self.json.get("message")

    @property
    def request_id(self) -> str:
        return self.headers["x-amzn-RequestId"]


class _Signer(SigV4Auth):
    """botocore's signer at a time of our choosing."""

    when = None
    payload_hash = None

    def add_auth(self, request):
        request.context["timestamp"] = self.when
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))

    def payload(self, request):
        return self.payload_hash


class _QuerySigner(_Signer, SigV4QueryAuth):
    pass


def timestamp(seconds_from_now: float = 0) -> str:
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return now.strftime("%Y%m%dT%H%M%SZ")


@dataclass
class Signed:
    """One signed request, open to tampering before it is sent."""

    endpoint: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    extra: dict = field(default_factory=dict)

    def replace(self, name: str, value: str | None) -> "Signed":
        """Sets a header after signing; None removes it."""
        self.headers = [(n, v) for n, v in self.headers if n.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))
        return self

    def header(self, name: str) -> str:
        return next(v for n, v in self.headers if n.lower() == name.lower())

    def send(self) -> Answer:
        url = urlsplit(self.endpoint)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.netloc, timeout=30)
        try:
            connection.putrequest(self.method, self.target, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers:
                connection.putheader(name, value.encode())
            if not any(name.lower() == "content-length" for name, _ in self.headers):
                connection.putheader("Content-Length", str(len(self.body)))
            connection.endheaders(self.body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


class RawClient:
    """Signs what it is told to and sends it as it is."""

    def __init__(self, target, region: str, login=None):
        self.target = target
        self.region = region
        self.login = login or target.login()

    def __call__(self, operation: str, body=None, **signing) -> Answer:
        return self.sign(operation, body, **signing).send()

    def sign(
        self,
        operation: str | None,
        body=None,
        *,
        headers: list[tuple[str, str]] = (),
        content_type: str | None = CONTENT_TYPE,
        region: str | None = None,
        service: str = "kms",
        skew: float = 0,
        login=None,
        method: str = "POST",
        path: str = "/",
        query: str = "",
        presigned_seconds: int | None = None,
        payload_hash: str | None = None,
    ) -> Signed:
        login = login or self.login
        raw_body = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        endpoint = self.target.endpoint(self.region)
        request = AWSRequest(method=method, url=endpoint + path + (f"?{query}" if query else ""))
        request.headers["Host"] = urlsplit(endpoint).netloc
        if content_type is not None:
            request.headers["Content-Type"] = content_type
        if operation is not None:
            request.headers["X-Amz-Target"] = operation if "." in operation else f"TrentService.{operation}"
        for name, value in headers:
            request.headers.add_header(name, value)
        scope = (Credentials(login.access_key, login.secret_key, login.token), service, region or self.region)
        if presigned_seconds is None:
            signer = _Signer(*scope)
        else:
            signer = _QuerySigner(*scope, expires=presigned_seconds)
        signer.when = timestamp(skew)
        signer.payload_hash = payload_hash or hashlib.sha256(raw_body).hexdigest()
        signer.add_auth(request)
        url = urlsplit(request.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return Signed(endpoint, method, target, list(request.headers.items()), raw_body)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def enum_set(message: str) -> set[str]:
    """The members named by `Member must satisfy enum value set: [A, B]`; their order is not part of the contract."""
    found = re.search(r"Member must satisfy enum value set: \[([^\]]*)\]", message)
    assert found, message
    return set(found.group(1).split(", "))


def policy(account: str, *more: dict, actions="kms:*") -> str:
    """A key policy that gives the account `actions`, with further statements."""
    root = {"AWS": f"arn:aws:iam::{account}:root"}
    allow = {"Sid": "Owner", "Effect": "Allow", "Principal": root, "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow, *more]})


def deny(*actions: str, **more) -> dict:
    return {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": "*"} | more

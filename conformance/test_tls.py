"""TLS as users meet it: boto3, the AWS CLI, curl and OpenSSL against the main listener."""

import http.client
import json
import shutil
import signal
import ssl
import subprocess

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, SSLError

from clients import RawClient, client
from conftest import REGION, make_key
from http2_frames import HEADERS, END_HEADERS, END_STREAM, GOAWAY, RST_STREAM, Http2, frame, request_head
from server import run

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def target(new_server):
    made = new_server().init()
    return made.start_with_tls(made.make_certificates())


@pytest.fixture(scope="module")
def ca(target):
    return target.home / "tls" / "ca.pem"


def trusting(target, ca, **options):
    """A boto3 client that trusts this CA."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CA_BUNDLE", str(ca))
        made = client(target, REGION)
        if options:
            login = target.login()
            import boto3

            made = boto3.session.Session().client(
                "kms",
                region_name=REGION,
                endpoint_url=target.endpoint(REGION),
                aws_access_key_id=login.access_key,
                aws_secret_access_key=login.secret_key,
                config=Config(retries={"total_max_attempts": 1}, **options),
            )
        return made


@pytest.fixture(scope="module")
def kms(target, ca):
    return trusting(target, ca)


def s_client(target, *arguments: str) -> subprocess.CompletedProcess:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{target.port}", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


def test_boto3_refuses_a_server_whose_ca_it_does_not_know(target, ca):
    with pytest.raises(SSLError):
        client(target, REGION).list_keys()


def test_boto3_round_trip(kms):
    key = make_key(kms)
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"inside TLS")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"inside TLS"


def test_aws_cli_round_trip(target, ca, aws):
    environment = {
        "AWS_ENDPOINT_URL_KMS": target.endpoint(REGION),
        "AWS_SHARED_CREDENTIALS_FILE": str(target.credentials_path),
    }
    refused = aws("kms", "list-keys", **environment)
    assert refused.returncode != 0 and "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    done = aws("kms", "generate-random", "--number-of-bytes", "8", AWS_CA_BUNDLE=str(ca), **environment)
    assert done.returncode == 0, done.stderr
    assert "Plaintext" in json.loads(done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-tls1", "-cipher", "ALL@SECLEVEL=0"),
        ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"),
    ],
    ids=["1.0", "1.1", "no forward secrecy", "CBC", "SHA-1"],
)
def test_openssl_with_what_is_old_is_refused(target, ca, arguments):
    refused = s_client(target, "-CAfile", str(ca), *arguments)
    assert refused.returncode != 0
    assert "alert" in refused.stderr, refused.stderr


@pytest.mark.parametrize("version, shown", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_openssl_with_what_is_current_is_served(target, ca, version, shown):
    done = s_client(target, "-CAfile", str(ca), "-verify_return_error", "-verify_hostname", "localhost", version)
    assert done.returncode == 0, done.stderr
    assert f"New, {shown}, Cipher is" in done.stdout
    assert "Verify return code: 0 (ok)" in done.stdout


def test_http2_with_curl_signed_by_curl(target, ca):
    login = target.login()

    def curl(*more: str) -> tuple[str, str, str]:
        arguments = [
            "curl", "--silent", "--show-error", "--cacert", ca, "--aws-sigv4", f"aws:amz:{REGION}:kms",
            "--user", f"{login.access_key}:{login.secret_key}",
            "--header", "X-Amz-Target: TrentService.GenerateRandom",
            "--header", "Content-Type: application/x-amz-json-1.1",
            "--data", '{"NumberOfBytes":8}', "--write-out", "\n%{http_version}\n%{http_code}",
            *more, f"https://localhost:{target.port}/",
        ]  # fmt: skip
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return tuple(done.stdout.rsplit("\n", 2))

    refused = curl("--http2", "--user", f"{login.access_key}:wrong")
    assert refused[1:] == ("2", "400") and "InvalidSignatureException" in refused[0]
    for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
        body, spoken, status = curl(option)
        assert (spoken, status) == (version, "200"), body
        assert "Plaintext" in json.loads(body)


def test_an_http2_authority_that_is_not_the_signed_host_is_refused(target, ca):
    signed = RawClient(target, REGION).sign("GenerateRandom", {"NumberOfBytes": 8})
    fields = [(name, value) for name, value in signed.headers if name.lower() != "host"]

    def status(authority: str) -> int:
        with Http2(target.port, ca) as connection:
            head = request_head(authority, [*fields, ("content-length", str(len(signed.body)))])
            connection.send(frame(HEADERS, END_HEADERS, 1, head), frame(0, END_STREAM, 1, signed.body))
            return connection.read_until(HEADERS, RST_STREAM, GOAWAY).status

    assert status("elsewhere.example") == 400
    assert status(signed.header("Host")) == 200


def test_the_trail_says_how_a_request_was_protected(new_server):
    made = new_server().init()
    made.start_with_tls(made.make_certificates())
    trusting(made, made.home / "tls" / "ca.pem").list_keys()
    assert made.stop() == 0
    trail = [json.loads(line) for line in run("audit", *made.directories()).stdout.splitlines()]
    details = next(record["tlsDetails"] for record in trail if record["eventName"] == "ListKeys")
    assert details["tlsVersion"] == "TLSv1.3"
    assert details["cipherSuite"].startswith("TLS_")
    assert details["clientProvidedHostHeader"] == f"127.0.0.1:{made.port}"


def test_client_certificates_are_a_gate_before_the_signature(new_server):
    made = new_server().init()
    directory, foreign = made.make_certificates(), made.make_certificates("foreign")
    made.start_with_tls(directory, extra=("--tls-client-ca", str(directory / "ca.pem")))

    def pair(at):
        return (str(at / "client.pem"), str(at / "client-key.pem"))

    for options in ({}, {"client_cert": pair(foreign)}):
        with pytest.raises(BotoCoreError):
            trusting(made, directory / "ca.pem", **options).list_keys()
    kms = trusting(made, directory / "ca.pem", client_cert=pair(directory))
    assert kms.list_keys()["Keys"] == []
    # The certificate is no identity: with it and a wrong signature nothing is answered.
    context = ssl.create_default_context(cafile=directory / "ca.pem")
    context.load_cert_chain(*pair(directory))
    connection = http.client.HTTPSConnection("127.0.0.1", made.port, context=context, timeout=20)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "TrentService.ListKeys"})
    assert connection.getresponse().status == 400


def test_certificates_change_under_open_connections(new_server):
    made = new_server().init()
    directory, other = made.make_certificates(), made.make_certificates("other")
    made.start_with_tls(directory)
    old_ca = made.home / "old-ca.pem"
    shutil.copy(directory / "ca.pem", old_ca)
    signed = RawClient(made, REGION)

    def ask(connection) -> int:
        request = signed.sign("GenerateRandom", {"NumberOfBytes": 8})
        connection.request("POST", "/", request.body, dict(request.headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def connect(ca):
        context = ssl.create_default_context(cafile=ca)
        connection = http.client.HTTPSConnection("127.0.0.1", made.port, context=context, timeout=20)
        connection.connect()
        return connection

    open_before = connect(old_ca)
    assert ask(open_before) == 200

    (directory / "server.pem").write_text("not a certificate\n")
    made.process.send_signal(signal.SIGHUP)
    made.wait_for("the log says so", lambda: "the certificate in use stays" in made.log())
    assert made.metric("strongroom_tls_reloads_failed_total") == 1
    assert ask(open_before) == 200 and ask(connect(old_ca)) == 200

    for name in ("server.pem", "server-key.pem"):
        shutil.copy(other / name, directory / name)
    made.process.send_signal(signal.SIGHUP)
    made.wait_for("the log says so", lambda: "new TLS certificate in use" in made.log())
    assert ask(open_before) == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(old_ca)
    assert ask(connect(other / "ca.pem")) == 200


def test_the_end_of_the_certificate_is_a_metric(target, ca):
    context = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection("127.0.0.1", target.port, context=context, timeout=20)
    connection.connect()
    shown = ssl.cert_time_to_seconds(connection.sock.getpeercert()["notAfter"])
    assert target.metric("strongroom_tls_certificate_not_after_seconds") == shown


def test_a_key_that_everybody_may_read_keeps_the_server_from_starting(new_server):
    made = new_server().init()
    directory = made.make_certificates()
    (directory / "server-key.pem").chmod(0o644)
    with pytest.raises(AssertionError, match="0644"):
        made.start_with_tls(directory)
    (directory / "server-key.pem").chmod(0o600)
    made.start_with_tls(directory)


def test_dev_cert_overwrites_nothing_and_says_what_to_paste(tmp_path):
    directory = tmp_path / "tls"
    done = run("dev-cert", "--directory", str(directory), "--name", "kms.example")
    assert done.returncode == 0, done.stderr
    for expected in (
        f"--tls-cert '{directory}/server.pem' --tls-key '{directory}/server-key.pem'",
        f"export AWS_CA_BUNDLE='{directory}/ca.pem'",
        "kms.example",
    ):
        assert expected in done.stdout
    before = (directory / "server-key.pem").read_bytes()
    refused = run("dev-cert", "--directory", str(directory))
    assert refused.returncode == 1 and "is not overwritten" in refused.stderr
    assert (directory / "server-key.pem").read_bytes() == before


def test_a_server_that_others_can_reach_needs_tls_or_a_word(new_server):
    made = new_server().init()
    everywhere = ("--listen", f"0.0.0.0:{made.port}")
    arguments = made.serve_arguments()
    arguments[arguments.index("--listen") : arguments.index("--listen") + 2] = everywhere
    refused = run(*arguments)
    assert refused.returncode == 1 and "--tls-cert" in refused.stderr
    made.serve_arguments = lambda: arguments
    made.start_with_tls(made.make_certificates())
    assert trusting(made, made.home / "tls" / "ca.pem").list_keys()["Keys"] == []

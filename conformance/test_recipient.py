"""Attested recipients with boto3, the AWS CLI and OpenSSL: whose document is believed, what policies make of it, and that
answers open with the recipient's key alone."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from attestation import Authority, Recipient, argument, certify, register
from clients import client, marked, refusal
from conftest import REGION, make_key
from server import clean_environment, run
from test_silence import at_rest, occurrences

pytestmark = pytest.mark.process

OPERATIONS = ["Decrypt", "DeriveSharedSecret", "GenerateDataKey", "GenerateDataKeyPair", "GenerateRandom"]
ON_KEYS = [operation for operation in OPERATIONS if operation != "GenerateRandom"]
PLAINTEXT = {"DeriveSharedSecret": "SharedSecret", "GenerateDataKeyPair": "PrivateKeyPlaintext"}
SESAME = marked()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def target(new_server, authority):
    made = new_server().init()
    root = authority.write_root(made.home / "nitro-root.pem")
    configuration = made.home / "strongroom.toml"
    configuration.write_text(f"[attestation]\nroots = [{str(root)!r}]\n")
    made.configured = ("--config", str(configuration))
    return made.start(extra=made.configured)


@pytest.fixture(scope="module")
def kms(target):
    return client(target, REGION)


@pytest.fixture(scope="module")
def recipient(tmp_path_factory) -> Recipient:
    return Recipient(tmp_path_factory.mktemp("recipient"))


@pytest.fixture(scope="module")
def peer(kms) -> bytes:
    key = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    return kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]


@pytest.fixture(scope="module")
def requests(kms, peer):
    """For each operation: how it is called, and with what."""
    key = make_key(kms)
    agreement = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key.id, Plaintext=SESAME)["CiphertextBlob"]
    shared = {"KeyAgreementAlgorithm": "ECDH", "PublicKey": peer}
    return {
        "Decrypt": (kms.decrypt, {"CiphertextBlob": blob, "KeyId": key.id}),
        "DeriveSharedSecret": (kms.derive_shared_secret, {"KeyId": agreement, **shared}),
        "GenerateDataKey": (kms.generate_data_key, {"KeyId": key.id, "KeySpec": "AES_256"}),
        "GenerateDataKeyPair": (kms.generate_data_key_pair, {"KeyId": key.id, "KeyPairSpec": "RSA_2048"}),
        "GenerateRandom": (kms.generate_random, {"NumberOfBytes": 48}),
    }


def hostile(authority, recipient):
    """Documents that nobody may believe, and what is said of them."""
    good = authority.enclave(recipient)
    flipped = bytearray(good)
    flipped[-1] ^= 1
    payload = authority.payload(recipient.public_key)
    self_signed = Authority()
    small = Recipient(recipient.path.parent, 1024)
    elliptic = certify("no RSA key", None, True).key.public_key()
    elliptic = elliptic.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    late = Authority(authority.root, leaf_hours=(-5.0, -2.0))
    return {
        "no CBOR": (b"x" * 64, "malformed"),
        "cut": (good[:-1], "malformed"),
        "another algorithm": (authority.sign(payload, algorithm=-7), "not ES384"),
        "a bit of the signature": (bytes(flipped), "signature"),
        "another digest": (authority.enclave(recipient, digest="SHA256"), "malformed: digest"),
        "no registers": (authority.enclave(recipient, pcrs={}), "malformed: pcrs"),
        "a register of 20 bytes": (authority.enclave(recipient, pcrs={0: bytes(20)}), "malformed: pcrs"),
        "register 32": (authority.enclave(recipient, pcrs={32: bytes(48)}), "malformed: pcrs"),
        "no bundle": (authority.enclave(recipient, cabundle=[]), "malformed: cabundle"),
        "a bundle with a gap": (authority.enclave(recipient, cabundle=authority.bundle[:-1]), "trusted root"),
        "another root": (self_signed.enclave(recipient), "trusted root"),
        "another's certificate": (self_signed.sign(payload), "signature"),
        "a certificate that is over": (late.enclave(recipient), "not valid at this time"),
        "six minutes old": (authority.enclave(recipient, timestamp=payload["timestamp"] - 360_000), "expired"),
        "of tomorrow": (authority.enclave(recipient, timestamp=payload["timestamp"] + 86_400_000), "future"),
        "no public key": (authority.sign(authority.payload(None)), "no public key"),
        "an RSA key of 1024 bits": (authority.enclave(small), "no RSA key"),
        "an elliptic key": (authority.sign(authority.payload(elliptic)), "no RSA key"),
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_document_that_is_not_believed_is_refused(requests, authority, recipient, operation):
    call, parameters = requests[operation]
    for what, (document, why) in hostile(authority, recipient).items():
        error = refusal(call, **parameters, Recipient=argument(document))
        assert (error.code, error.status) == ("ValidationException", 400), what
        assert why in error.message, (what, error.message)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_half_a_recipient_is_refused(requests, authority, recipient, operation):
    call, parameters = requests[operation]
    whole = argument(authority.enclave(recipient))
    for member in whole:
        half = {name: value for name, value in whole.items() if name != member}
        error = refusal(call, **parameters, Recipient=half)
        assert error.code == "ValidationException" and "must not be null" in error.message


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("platform", ["enclave", "nitro_tpm"])
def test_only_the_recipient_can_open_the_answer(requests, authority, recipient, kms, operation, platform):
    call, parameters = requests[operation]
    clear = call(**parameters)
    answer = call(**parameters, Recipient=argument(getattr(authority, platform)(recipient)))
    member = PLAINTEXT.get(operation, "Plaintext")
    assert member in clear and member not in answer and "KeyMaterialId" not in answer
    others = {name for name in clear if name not in (member, "KeyMaterialId", "ResponseMetadata")}
    assert others | {"CiphertextForRecipient", "ResponseMetadata"} == set(answer)
    plaintext = recipient.open(answer["CiphertextForRecipient"])
    if operation == "Decrypt":
        assert plaintext == SESAME
    elif operation == "DeriveSharedSecret":
        assert plaintext == clear["SharedSecret"]
    elif operation == "GenerateRandom":
        assert len(plaintext) == 48 and plaintext != clear["Plaintext"]
    else:
        blob = answer.get("CiphertextBlob") or answer["PrivateKeyCiphertextBlob"]
        assert plaintext == kms.decrypt(CiphertextBlob=blob)["Plaintext"]


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_recipients_have_keys_of_all_sizes(requests, authority, tmp_path, bits):
    recipient, other = Recipient(tmp_path, bits), Recipient(tmp_path.parent, 2048)
    call, parameters = requests["Decrypt"]
    envelope = call(**parameters, Recipient=argument(authority.enclave(recipient)))["CiphertextForRecipient"]
    assert recipient.open(envelope) == SESAME
    wrong = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", str(other.path)], input=envelope, capture_output=True
    )
    assert SESAME not in wrong.stdout


def test_envelope_is_of_the_form_that_aws_documents(requests, authority, recipient):
    call, parameters = requests["Decrypt"]
    envelope = call(**parameters, Recipient=argument(authority.enclave(recipient)))["CiphertextForRecipient"]
    shown = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-inform", "DER"], input=envelope, capture_output=True, check=True
    ).stdout.decode()
    for line in [
        "pkcs7-envelopedData",
        "d.subjectKeyIdentifier",
        "rsaesOaep",
        "sha256",
        "mgf1",
        "contentType: pkcs7-data",
        "aes-256-cbc",
    ]:
        assert line in shown, shown
    assert shown.count("d.ktri") == 1
    # The Nitro Enclaves SDK for C walks these headers, of indefinite length.
    assert envelope.startswith(bytes.fromhex("308006092a864886f70d010703a0803080020102"))
    assert envelope.endswith(bytes(10))


@pytest.mark.parametrize("operation", ON_KEYS)
def test_dry_run_verifies_the_document(requests, authority, recipient, operation):
    call, parameters = requests[operation]
    error = refusal(call, **parameters, DryRun=True, Recipient=argument(b"x" * 64))
    assert error.code == "ValidationException"
    error = refusal(call, **parameters, DryRun=True, Recipient=argument(authority.enclave(recipient)))
    assert error.code == "DryRunOperationException"


CONDITIONS = [
    ("kms:RecipientAttestation:ImageSha384", "enclave", 0),
    *[(f"kms:RecipientAttestation:PCR{index}", "enclave", index) for index in range(16)],
    *[(f"kms:RecipientAttestation:NitroTPMPCR{index}", "nitro_tpm", index) for index in range(24)],
]


@pytest.mark.parametrize(("condition", "platform", "index"), CONDITIONS, ids=[case[0] for case in CONDITIONS])
def test_condition_refuses_and_allows(requests, target, kms, authority, recipient, condition, platform, index):
    principal = {"AWS": f"arn:aws:iam::{target.account}:root"}
    document = argument(getattr(authority, platform)(recipient))
    other = argument(getattr(authority, "nitro_tpm" if platform == "enclave" else "enclave")(recipient))
    for operation in ON_KEYS:
        call, parameters = requests[operation]

        def allow_only_if(value: str) -> None:
            statements = [
                {"Effect": "Allow", "Principal": principal, "NotAction": f"kms:{operation}", "Resource": "*"},
                {
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": f"kms:{operation}",
                    "Resource": "*",
                    "Condition": {"StringEqualsIgnoreCase": {condition: value}},
                },
            ]
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            kms.put_key_policy(KeyId=parameters["KeyId"], Policy=policy)

        allow_only_if(register(index + 1).hex())
        assert refusal(call, **parameters, Recipient=document).code == "AccessDeniedException"
        allow_only_if(register(index).hex())
        assert refusal(call, **parameters).code == "AccessDeniedException"
        assert refusal(call, **parameters, Recipient=other).code == "AccessDeniedException"
        assert recipient.open(call(**parameters, Recipient=document)["CiphertextForRecipient"])
        kms.put_key_policy(KeyId=parameters["KeyId"], Policy=allow_all(principal))


def allow_all(principal: dict) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_cli_sends_a_document_from_a_file(target, requests, authority, recipient, tmp_path):
    document = tmp_path / "document.bin"
    document.write_bytes(authority.enclave(recipient))
    _, parameters = requests["GenerateDataKey"]
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "aws"), "kms", "generate-data-key", "--key-id", parameters["KeyId"],
            "--key-spec", "AES_128", "--recipient",
            f"KeyEncryptionAlgorithm=RSAES_OAEP_SHA_256,AttestationDocument@=fileb://{document}",
        ],
        env=clean_environment() | {
            "AWS_ENDPOINT_URL_KMS": target.endpoint(REGION),
            "AWS_SHARED_CREDENTIALS_FILE": str(target.credentials_path),
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "Plaintext" not in answer
    assert len(recipient.open(base64.b64decode(answer["CiphertextForRecipient"]))) == 16


def test_trail_tells_who_was_attested(target, requests, authority, recipient):
    call, parameters = requests["Decrypt"]
    document = authority.enclave(recipient)
    answer = call(**parameters, Recipient=argument(document))
    request_id = answer["ResponseMetadata"]["RequestId"]
    target.stop()
    try:
        done = run("audit", *target.directories())
    finally:
        target.start(extra=target.configured)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() if request_id in line]
    assert len(events) == 1
    told = events[0]["additionalEventData"]["recipient"]
    assert told["attestationDocumentModuleId"] == "i-0123456789abcdef0-enc0123456789abcdef"
    assert told["attestationDocumentEnclaveImageDigest"] == register(0).hex()
    assert told["attestationDocumentEnclavePCR8"] == register(8).hex()
    for secret in [document, answer["CiphertextForRecipient"], SESAME, recipient.public_key]:
        assert base64.b64encode(secret).decode() not in done.stdout


def test_roots_are_exchanged_without_a_restart(target, requests, authority, recipient):
    call, parameters = requests["GenerateRandom"]
    root, next_authority = target.home / "nitro-root.pem", Authority()
    kept = root.read_bytes()

    def is_believed(by: Authority) -> bool:
        try:
            call(**parameters, Recipient=argument(by.enclave(recipient)))
        except call.__self__.exceptions.ClientError as error:
            assert "trusted root" in str(error)
            return False
        return True

    assert is_believed(authority) and not is_believed(next_authority)
    root.write_text("no certificate")
    os.kill(target.process.pid, signal.SIGHUP)
    target.wait_for("the refusal of the file", lambda: "those in use stay" in target.log())
    assert is_believed(authority)
    next_authority.write_root(root)
    os.kill(target.process.pid, signal.SIGHUP)
    target.wait_for("the new root", lambda: is_believed(next_authority))
    assert not is_believed(authority)
    root.write_bytes(kept)
    os.kill(target.process.pid, signal.SIGHUP)
    target.wait_for("the old root", lambda: is_believed(authority))


def test_without_roots_it_is_said_what_to_configure(server, kms, authority, recipient):
    shared = client(server, REGION)
    error = refusal(shared.generate_random, NumberOfBytes=8, Recipient=argument(authority.enclave(recipient)))
    assert error.code == "UnsupportedOperationException"
    assert "`roots` of `[attestation]`" in error.message


def test_certificate_that_is_no_root_keeps_the_server_from_starting(new_server, authority):
    made = new_server().init()
    root = made.home / "root.pem"
    root.write_bytes(authority.leaf.certificate.public_bytes(serialization.Encoding.PEM))
    configuration = made.home / "strongroom.toml"
    configuration.write_text(f"[attestation]\nroots = [{str(root)!r}]\n")
    with pytest.raises(AssertionError, match="serve exited"):
        made.start(extra=("--config", str(configuration)))
    assert "may sign certificates" in made.log()


def test_what_was_enveloped_is_nowhere_at_rest(target, requests, authority, recipient):
    """In no file of the server, no log and no metric; neither are documents and envelopes."""
    secrets, sent = [SESAME], []
    for call, parameters in requests.values():
        document = authority.enclave(recipient)
        envelope = call(**parameters, Recipient=argument(document))["CiphertextForRecipient"]
        secrets.append(recipient.open(envelope))
        sent += [document[-96:], envelope[-64:-10]]
    contents = at_rest(target) | {"metrics": target.admin("/metrics").text.encode()}
    assert sum(len(content) for content in contents.values()) > 10_000
    assert occurrences([*secrets, *recipient.opened, *target.secrets, *sent], contents) == []

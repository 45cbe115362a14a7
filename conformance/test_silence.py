"""Known secrets, sent and received by the whole suite, are nowhere at rest. This module runs last."""

import base64
import os
import uuid

import pytest

from clients import MARKER, RawClient, b64, client, marked, policy, refusal
from conftest import REGION

pytestmark = pytest.mark.process

CONTEXT = {"conformance-context-name": "conformance-context-value"}


def spellings(secret: bytes) -> list[bytes]:
    """The ways in which bytes end up in files: as they are, hex, base64 at each alignment, a list of numbers."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        # Without the characters at both ends that depend on the neighbours.
        encoded = base64.b64encode(b"\0" * shift + secret)
        found.append(encoded[(0, 2, 3)[shift] : len(encoded) // 4 * 4 - 4])
        found.append(found[-1].replace(b"+", b"-").replace(b"/", b"_"))
    found.append(", ".join(str(byte) for byte in secret).encode())
    return found


def occurrences(secrets: list[bytes], contents: dict[str, bytes]) -> list[str]:
    return [
        f"a secret of {len(secret)} bytes stands in {name} (spelling {number})"
        for secret in secrets
        for number, text in enumerate(spellings(secret))
        for name, content in contents.items()
        if text in content
    ]


def at_rest(target) -> dict[str, bytes]:
    return {str(path.relative_to(target.home)): path.read_bytes() for path in target.files_at_rest()}


@pytest.fixture(scope="module")
def known(server, kms, key) -> list[bytes]:
    """All secrets that the suite knows; at least these, also when this module runs alone."""
    plaintexts = [marked(200), marked(64)]
    for plaintext in plaintexts:
        blob = kms.encrypt(KeyId=key.id, Plaintext=plaintext, EncryptionContext=CONTEXT)["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"] == plaintext
    data_keys = [kms.generate_data_key(KeyId=key.id, KeySpec="AES_256")["Plaintext"] for _ in range(3)]
    numbers = [kms.generate_random(NumberOfBytes=32)["Plaintext"]]
    credentials = [server.login(profile).secret_key.encode() for profile in ("default", "operator")]
    return [*server.secrets, *plaintexts, *data_keys, *numbers, *credentials]


def test_the_search_finds_what_is_there():
    secret = os.urandom(32)
    for shift in range(3):
        for spelled in (
            secret,
            secret.hex().encode(),
            secret.hex().upper().encode(),
            base64.b64encode(b"x" * shift + secret + b"yz"),
            base64.urlsafe_b64encode(b"x" * shift + secret + b"y"),
            str(list(secret)).encode(),
        ):
            assert occurrences([secret], {"file": b"before " + spelled + b" after"}), (shift, spelled)
    assert not occurrences([secret], {"file": b"before " + os.urandom(4096) + b" after"})


def test_no_secret_lies_in_data_or_logs(server, known):
    contents = at_rest(server)
    assert sum(len(content) for content in contents.values()) > 10_000, sorted(contents)
    assert occurrences(known, contents) == []
    for name, content in contents.items():
        assert MARKER not in content, name


def test_no_ciphertext_of_a_caller_lies_in_data_or_logs(server, known, kms, key):
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"ciphertexts are not recorded")["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob)
    assert occurrences([blob, *server.ciphertexts[:30]], at_rest(server)) == []


def test_no_secret_stands_in_the_metrics(server, known):
    page = server.admin("/metrics").text.encode()
    assert len(page) > 200
    assert occurrences(known, {"metrics": page}) == []
    assert MARKER not in page


def test_no_secret_comes_back_in_an_error(server, raw, known, kms, key, disabled_key):
    secret = marked(100)
    text = b64(secret)
    bodies = [
        ("Encrypt", {"KeyId": disabled_key.id, "Plaintext": text}),
        ("Encrypt", {"KeyId": "nonsense", "Plaintext": text}),
        ("Encrypt", {"KeyId": key.id, "Plaintext": b64(secret * 50)}),
        ("Encrypt", {"KeyId": key.id, "Plaintext": text + "!"}),
        ("Encrypt", {"KeyId": key.id, "Plaintext": [text]}),
        ("Encrypt", {"Plaintext": text}),
        ("Encrypt", {"KeyId": key.id, "Plaintext": text, "DryRun": True}),
        ("Encrypt", b'{"Plaintext":"' + text.encode()),
        ("Decrypt", {"CiphertextBlob": text}),
        ("NoSuchOperation", {"Plaintext": text}),
        ("Sign", {"KeyId": key.id, "Message": text, "SigningAlgorithm": "RSASSA_PSS_SHA_256"}),
    ]
    answers = {f"{number} {operation}": raw(operation, body) for number, (operation, body) in enumerate(bodies)}
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 400)
    tampered = raw.sign("Encrypt", {"KeyId": key.id, "Plaintext": text})
    tampered.body += b" "
    answers["tampered"] = tampered.send()
    assert answers["tampered"].status == 400
    contents = {name: answer.body + str(answer.headers).encode() for name, answer in answers.items()}
    assert occurrences([secret, server.login().secret_key.encode()], contents) == []
    assert occurrences([secret], at_rest(server)) == []


def test_description_and_policy_of_a_key_are_sealed_in_the_store(server, kms, account):
    """Alias names stand in row addresses; nothing else that a caller wrote lies open there."""
    description, sid = f"description {uuid.uuid4()}", uuid.uuid4().hex
    kms.create_key(Description=description, Policy=policy(account).replace("Owner", sid))
    store = {
        name: content
        for name, content in at_rest(server).items()
        if "journal" not in name and "audit" not in name and name.startswith("data")
    }
    assert store
    assert occurrences([description.encode(), sid.encode()], store) == []


def test_encryption_context_is_in_the_journal(server, known):
    """In clear, as AWS records it: who used a key for what is the question that the trail answers."""
    contents = at_rest(server)
    for text in ("conformance-context-name", "conformance-context-value"):
        assert [name for name, content in contents.items() if text.encode() in content], text


def test_debug_logging_is_as_silent(new_server):
    target = new_server().init()
    settings = target.home / "strongroom.toml"
    settings.write_text('log_level = "trace"\n')
    target.start(extra=("--config", str(settings)))
    kms, raw, secret = client(target, REGION), RawClient(target, REGION), marked(100)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=secret)["CiphertextBlob"]
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == secret
    assert refusal(kms.encrypt, KeyId="nonsense", Plaintext=secret).code == "NotFoundException"
    signature = raw.sign("ListKeys")
    assert signature.send().status == 200
    secrets = [secret, data_key, target.login().secret_key.encode()]
    before = len(target.log())
    target.stop()
    assert len(target.log()) >= before > 0
    assert occurrences(secrets, at_rest(target)) == []
    # A signature is good for five minutes.
    assert signature.header("Authorization").rpartition("=")[2] not in target.log()

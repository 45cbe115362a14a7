"""Keys of every kind are nowhere but in the process: not at rest, not in what it says; and its memory forgets them in time.

The keys searched for are the real ones: `formats.py` takes them out of the data and root directories.
"""

import base64
import http.client
import json
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from clients import Answer, RawClient, b64, client, marked, policy, refusal
from conftest import REGION, make_key
from formats import Deployment, seal_blob
from server import Login, Server, is_fips_build, run
from test_formats import id_bytes, key_row, root_key
from test_silence import at_rest, occurrences, spellings

pytestmark = pytest.mark.process

CACHE_ROWS_MAX = 1000
# A cache may keep a key that was used often through a time of keys used once; it must be gone after this many.
OTHER_KEYS = 3500
SAMPLED_KEYS_MAX = 40
BODY_BYTES_MAX = 1024 * 1024
CHINA = "cn-north-1"
PAGE_BYTES = 4096
EMPTY_PAGE = bytes(PAGE_BYTES)

# By their numbers in rows (docs/formats.md).
SPECS = (
    *("SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "RSA_2048", "RSA_3072", "RSA_4096"),
    *("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"),
    *("ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024", "SM2"),
)
# Every way in which a private key is parsed and kept. Of RSA's sizes two are enough.
OTHER_KINDS = [
    (spec, usage)
    for spec, usage in [
        *((f"HMAC_{size}", "GENERATE_VERIFY_MAC") for size in (224, 256, 384, 512)),
        *(("RSA_2048", "SIGN_VERIFY"), ("RSA_3072", "ENCRYPT_DECRYPT")),
        *((f"ECC_NIST_P{size}", usage) for size in (256, 384, 521) for usage in ("SIGN_VERIFY", "KEY_AGREEMENT")),
        *(("ECC_SECG_P256K1", "SIGN_VERIFY"), ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")),
        *((f"ML_DSA_{set}", "SIGN_VERIFY") for set in (44, 65, 87)),
        *((f"ML_KEM_{set}", "ENCAPSULATE_DECAPSULATE") for set in (512, 768, 1024)),
        *(("SM2", usage) for usage in ("SIGN_VERIFY", "ENCRYPT_DECRYPT", "KEY_AGREEMENT")),
    ]
    if not (is_fips_build() and spec in ("ECC_SECG_P256K1", "SM2"))
]
PAIRS = sorted({spec for spec, _ in OTHER_KINDS if not spec.startswith(("HMAC", "ML_DSA"))})
SIGNING = {
    "RSA_2048": "RSASSA_PSS_SHA_256",
    "ECC_NIST_P256": "ECDSA_SHA_256",
    "ECC_NIST_P384": "ECDSA_SHA_384",
    "ECC_NIST_P521": "ECDSA_SHA_512",
    "ECC_SECG_P256K1": "ECDSA_SHA_256",
    "ECC_NIST_EDWARDS25519": "ED25519_SHA_512",
    "SM2": "SM2DSA",
} | dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), "ML_DSA_SHAKE_256")


def pieces(spec: str, secret: bytes) -> dict[str, bytes]:
    """What nobody may find of a key. Numbers stand in both orders of their bytes: libraries keep the lowest first."""
    if spec.startswith("RSA"):
        private = load_der_private_key(secret, password=None).private_numbers()
        half = int(spec[4:]) // 16
        numbers = {"d": (private.d, 2 * half), "p": (private.p, half), "q": (private.q, half)}
    elif spec.startswith(("ECC_NIST_P", "ECC_SECG")):
        private = load_der_private_key(secret, password=None)
        numbers = {"scalar": (private.private_numbers().private_value, (private.key_size + 7) // 8)}
    elif spec == "SM2":
        scalar = secret if len(secret) == 32 else secret.split(bytes.fromhex("0201010420"))[1][:32]
        numbers = {"scalar": (int.from_bytes(scalar, "big"), 32)}
    elif spec.startswith("ML_KEM"):
        return {"d": secret[-64:-32], "z": secret[-32:]}
    else:
        # Keys and seeds: the end of a document, too.
        return {"": secret[-32:] if spec == "ECC_NIST_EDWARDS25519" else secret}
    return {
        f"{name} {order}": number.to_bytes(size, order)
        for name, (number, size) in numbers.items()
        for order in ("big", "little")
    }


def keys_of(target: Server) -> dict[str, bytes]:
    """Every secret key of a deployment: root, domains, services, and of the KMS keys a sample if they are many."""
    deployment = Deployment(target.data, root_key(target))
    found = {"root": deployment.root.key}
    for lines in (deployment.domain_keys, deployment.service_keys):
        found |= {f"{name} {version}": key for name, line in lines.items() for version, key in line.items()}
    rows = deployment.of("key")
    for row in rows[:: len(rows) // SAMPLED_KEYS_MAX + 1]:
        spec = SPECS[deployment.decode(row)["spec"]]
        for number, material in enumerate(deployment.materials(row)):
            found |= {f"{row.address} {number} {name}": piece for name, piece in pieces(spec, material.bytes).items()}
    # The shortest is that of an HMAC_224 key.
    assert all(len(key) >= 28 for key in found.values())
    return found


# At rest, and in what the service says


@pytest.fixture(scope="module")
def handed_out() -> dict[str, bytes]:
    """What is secret of the private keys and shared secrets that the busy server has answered with."""
    return {}


@pytest.fixture(scope="module")
def busy(new_server, handed_out) -> Server:
    """A server that logs everything, has done all it can, has been restarted and killed, and still runs."""
    target, others = new_server(regions=(REGION, CHINA)).init(), None
    for at, end in enumerate((target.stop, target.stop, target.kill, target.kill)):
        configured(target, 'log_level = "trace"')
        work(target)
        others = others or other_keys(target)
        handed_out |= {f"{at} {name}": piece for name, piece in use_other_keys(target, others).items()}
        end()
    return configured(target, 'log_level = "trace"')


def configured(target: Server, setting: str) -> Server:
    """Starts the server with one setting of its configuration file."""
    settings = target.home / "strongroom.toml"
    settings.write_text(f"{setting}\n")
    return target.start(extra=("--config", str(settings)))


def work(target: Server) -> None:
    """Every operation that there is, in vain and with success, and what is no request at all."""
    kms, raw = client(target, REGION), RawClient(target, REGION)
    stranger = RawClient(target, REGION, login=Login("AKIAUNKNOWNUNKNOWN12", "not a secret that anybody knows"))
    assert stranger("ListKeys").code == "UnrecognizedClientException"
    assert raw("Encrypt", bytes(BODY_BYTES_MAX + 1)).status == 413
    key, other = make_key(kms, Description="busy"), make_key(kms)
    names = {"AliasName": f"alias/{key.id}"}
    kms.create_alias(**names, TargetKeyId=key.id)
    blob = kms.encrypt(KeyId=names["AliasName"], Plaintext=marked(), EncryptionContext={"a": "b"})["CiphertextBlob"]
    refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "c"})
    refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "b"}, KeyId=other.id)
    blob = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"a": "b"}, DestinationKeyId=other.id)["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob)
    kms.generate_data_key(KeyId=key.id, KeySpec="AES_128")
    kms.generate_data_key_without_plaintext(KeyId=key.id, NumberOfBytes=64)
    kms.generate_random(NumberOfBytes=64)
    kms.put_key_policy(KeyId=key.id, Policy=policy(target.account))
    kms.get_key_policy(KeyId=key.id)
    kms.disable_key(KeyId=key.id)
    refusal(kms.encrypt, KeyId=key.id, Plaintext=b"x")
    kms.enable_key(KeyId=key.id)
    kms.describe_key(KeyId=key.id)
    kms.list_keys(Limit=1)
    kms.list_aliases()
    kms.delete_alias(**names)
    refusal(kms.describe_key, KeyId=names["AliasName"])
    kms.create_alias(**names, TargetKeyId=key.id)


def other_keys(target: Server) -> dict[tuple[str, str], str]:
    """A key of each of the other kinds."""
    found = {}
    for spec, usage in OTHER_KINDS:
        kms = client(target, CHINA if spec == "SM2" else REGION)
        found[spec, usage] = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    return found


def use_other_keys(target: Server, keys: dict[tuple[str, str], str]) -> dict[str, bytes]:
    """Uses each private key, in vain where that is possible and with success; and gives what of the answers is secret."""
    found = {}
    for (spec, usage), id in keys.items():
        region, name = CHINA if spec == "SM2" else REGION, f"shared secret of {spec}"
        kms, raw = client(target, region), RawClient(target, region)
        match usage:
            case "SIGN_VERIFY":
                common = {"KeyId": id, "SigningAlgorithm": SIGNING[spec]}
                signature = kms.sign(Message=b"x", **common)["Signature"]
                refusal(kms.verify, Message=b"y", Signature=signature, **common)
                if spec.startswith("ML_DSA"):
                    kms.sign(Message=bytes(64), MessageType="EXTERNAL_MU", **common)
            case "GENERATE_VERIFY_MAC":
                common = {"KeyId": id, "MacAlgorithm": f"HMAC_SHA_{spec[5:]}", "Message": b"x"}
                refusal(kms.verify_mac, Mac=kms.generate_mac(**common)["Mac"][:-1] + b"x", **common)
            case "ENCRYPT_DECRYPT":
                common = {"KeyId": id, "EncryptionAlgorithm": "SM2PKE" if spec == "SM2" else "RSAES_OAEP_SHA_256"}
                ciphertext = kms.encrypt(Plaintext=b"x", **common)["CiphertextBlob"]
                refusal(kms.decrypt, CiphertextBlob=ciphertext[:-1], **common)
                assert kms.decrypt(CiphertextBlob=ciphertext, **common)["Plaintext"] == b"x"
            case "KEY_AGREEMENT":
                common = {"KeyId": id, "KeyAgreementAlgorithm": "ECDH"}
                peer = kms.get_public_key(KeyId=id)["PublicKey"]
                refusal(kms.derive_shared_secret, PublicKey=peer[:-1], **common)
                found[name] = kms.derive_shared_secret(PublicKey=peer, **common)["SharedSecret"]
            case "ENCAPSULATE_DECAPSULATE":
                common = {"KeyId": id, "EncapsulationAlgorithm": "ML_KEM"}
                sealed = raw("Encapsulate", common).json
                blob = {"SharedSecretCiphertextBlob": sealed["SharedSecretCiphertextBlob"]}
                assert raw("Decapsulate", common | blob).json["SharedSecret"] == sealed["SharedSecret"]
                found[name] = base64.b64decode(sealed["SharedSecret"])
    for region in (REGION, CHINA):
        kms = client(target, region, validate=False)
        wrapping = kms.create_key()["KeyMetadata"]["KeyId"]
        for spec in (spec for spec in PAIRS if (spec == "SM2") == (region == CHINA)):
            private = kms.generate_data_key_pair(KeyId=wrapping, KeyPairSpec=spec)["PrivateKeyPlaintext"]
            kms.generate_data_key_pair_without_plaintext(KeyId=wrapping, KeyPairSpec=spec)
            found |= {f"pair of {spec} {name}": piece for name, piece in pieces(spec, private).items()}
    return found


@pytest.fixture(scope="module")
def busy_keys(busy, handed_out) -> dict[str, bytes]:
    found = keys_of(busy)
    ids = {name.split()[0] for name in found if name.startswith("key/")}
    # Two keys and two that wrap pairs of each of the four processes, and one of each other kind.
    assert len(ids) == 4 * 4 + len(OTHER_KINDS), sorted(ids)
    # The root key, three domain keys, seven service keys.
    assert len(found) - sum(name.startswith("key/") for name in found) == 1 + 3 + 7, sorted(found)
    assert len(handed_out) > 4 * len(PAIRS)
    assert len(set(found.values())) == len(found)
    return found | handed_out


def finds(keys: dict[str, bytes], contents: dict[str, bytes]) -> list[str]:
    return [f"{name}: {found}" for name, key in keys.items() for found in occurrences([key], contents)]


def test_the_search_finds_the_root_key_where_it_lies(busy, busy_keys):
    contents = {path.name: path.read_bytes() for path in busy.root_directory.iterdir()}
    assert finds(busy_keys, contents) == ["root: a secret of 32 bytes stands in root.key (spelling 0)"]


def test_no_key_lies_in_data_or_logs_of_a_running_server(busy, busy_keys):
    contents = at_rest(busy)
    names = " ".join(contents)
    assert all(part in names for part in ("sqlite3-wal", "journal-", "strangers", "stderr.log", "stdout.log")), names
    assert all(level in busy.log() for level in (" INFO ", " DEBUG "))
    assert finds(busy_keys, contents) == []


def test_no_key_stands_in_the_metrics(busy, busy_keys):
    pages = {path: busy.admin(path).text.encode() for path in ("/metrics", "/healthz", "/readyz", "/nowhere")}
    assert len(pages["/metrics"]) > 200
    assert finds(busy_keys, pages) == []


def test_no_key_comes_back_in_an_error(busy, busy_keys):
    raw, answers = RawClient(busy, REGION), {}
    listed = [entry["KeyId"] for entry in json.loads(raw("ListKeys").body)["Keys"]]
    described = [json.loads(raw("DescribeKey", {"KeyId": id}).body)["KeyMetadata"] for id in listed]
    ids = {(each["KeySpec"], each["KeyUsage"]): each["KeyId"] for each in described}
    key, text = ids["SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"], b64(b"x" * 256)
    message, mac, oaep = {"Message": text}, {"Mac": text}, {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    mu, ecdh = message | {"MessageType": "EXTERNAL_MU"}, {"KeyAgreementAlgorithm": "ECDH"}
    encapsulation = {"SharedSecretCiphertextBlob": text, "EncapsulationAlgorithm": "ML_KEM"}
    for number, (operation, body) in enumerate(
        [
            ("Encrypt", {"KeyId": key, "Plaintext": ""}),
            ("Encrypt", {"KeyId": key, "Plaintext": b64(b"x" * 5000)}),
            ("Decrypt", {"KeyId": key, "CiphertextBlob": b64(b"\1\1\0" + bytes(116 + 32))}),
            ("Decrypt", {"KeyId": key, "CiphertextBlob": "eA=="}),
            ("GenerateDataKey", {"KeyId": key, "NumberOfBytes": 99_999}),
            ("ListKeys", {"Marker": "x" * 100}),
            ("GetPublicKey", {"KeyId": key}),
            ("Encrypt", b"{"),
            ("VerifyMac", {"KeyId": ids["HMAC_224", "GENERATE_VERIFY_MAC"], "MacAlgorithm": "HMAC_SHA_224"} | message | mac),
            ("Decrypt", {"KeyId": ids["RSA_2048", "SIGN_VERIFY"], "CiphertextBlob": text} | oaep),
            ("Decrypt", {"KeyId": ids["RSA_3072", "ENCRYPT_DECRYPT"], "CiphertextBlob": text} | oaep),
            ("Sign", {"KeyId": ids["ECC_NIST_P256", "SIGN_VERIFY"], "SigningAlgorithm": "ED25519_SHA_512"} | message),
            ("Sign", {"KeyId": ids["ML_DSA_44", "SIGN_VERIFY"], "SigningAlgorithm": "ML_DSA_SHAKE_256"} | mu),
            ("DeriveSharedSecret", {"KeyId": ids["ECC_NIST_P384", "KEY_AGREEMENT"], "PublicKey": text} | ecdh),
            ("Decapsulate", {"KeyId": ids["ML_KEM_512", "ENCAPSULATE_DECAPSULATE"]} | encapsulation),
        ]
    ):
        answers[f"{number} {operation}"] = raw(operation, body)
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 400)
    contents = {name: answer.body + str(answer.headers).encode() for name, answer in answers.items()}
    assert finds(busy_keys, contents) == []


def test_no_key_is_left_or_said_by_the_offline_commands(busy, busy_keys):
    assert busy.stop() == 0
    said = {}
    for command in (["check"], ["audit"], ["audit", "--verify"], ["init", "--account", busy.account]):
        done = run(*command[:1], *busy.directories(), *command[1:])
        assert done.returncode == (1 if command[0] == "init" else 0), done.stderr
        said[" ".join(command)] = (done.stdout + done.stderr).encode()
    assert len(said["audit"]) > 10_000
    assert finds(busy_keys, said | at_rest(busy)) == []


def test_no_key_of_the_whole_suite_lies_in_data_or_logs(server, kms, key):
    """Says most when it runs after all others: conftest.py sees to that."""
    assert kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"])["Plaintext"] == b"x"
    contents = at_rest(server) | {"metrics": server.admin("/metrics").text.encode()}
    assert finds(keys_of(server), contents) == []


# In memory


def memory(pid: int) -> bytes:
    """Everything that a process can read, but for the kernel's own pages and those of zeros, which are nine of ten. Fails where
    it may not be looked at."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            first, last, readable, name = re.match(r"(\w+)-(\w+) (.)(?:\S+ +){4}(.*)", line).groups()
            if readable == "r" and not name.startswith(("[vvar", "[vsyscall")):
                file.seek(int(first, 16))
                size = int(last, 16) - int(first, 16)
                content = file.read(size)
                assert len(content) == size, line
                pages = (content[at : at + PAGE_BYTES] for at in range(0, size, PAGE_BYTES))
                found.append(b"".join(page for page in pages if page != EMPTY_PAGE))
    return b"\0".join(found)


def remembered(target: Server, secrets: dict[str, bytes], spelled=spellings) -> list[str]:
    """The secrets of which the process has either end: a freed block has lost its first bytes to the allocator."""
    pid = target.process.pid
    target.process.send_signal(signal.SIGSTOP)
    try:
        image = memory(pid)
    finally:
        target.process.send_signal(signal.SIGCONT)
    ends = {name: (secret[:16], secret[-16:]) for name, secret in secrets.items()}
    return [name for name, pair in ends.items() if any(text in image for end in pair for text in spelled(end))]


def other_pieces(target: Server, keys: dict[tuple[str, str], str]) -> dict[str, bytes]:
    """What is secret of the keys of other kinds."""
    deployment, found = Deployment(target.data, root_key(target)), {}
    for (spec, usage), id in keys.items():
        (material,) = deployment.materials(deployment.rows[f"key/{CHINA if spec == 'SM2' else REGION}/{id}"])
        found |= {f"{spec} {usage} {name}": piece for name, piece in pieces(spec, material.bytes).items()}
    return found


class Hurried:
    """Signed calls over one connection per thread: thousands of them in seconds."""

    def __init__(self, target: Server):
        self.raw, self.port, self.local = RawClient(target, REGION), target.port, threading.local()

    def __call__(self, operation: str, body: dict) -> dict:
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        signed = self.raw.sign(operation, body)
        self.local.connection.request("POST", "/", signed.body, dict(signed.headers))
        response = self.local.connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        assert answer.status == 200, answer.body
        return answer.json


def use_another_key(call: Hurried) -> None:
    key = call("CreateKey", {})["KeyMetadata"]["KeyId"]
    call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})


@dataclass
class Forgetful:
    """A server with a small cache and what it held before and after other keys pushed some of its own out."""

    materials: dict[str, bytes]
    returned: dict[str, bytes]
    in_use: list[str]
    others: dict[str, bytes]
    others_in_use: list[str]
    others_kept: list[str]
    pushed_out: list[str]
    sent_and_kept: list[str]
    back: list[str]
    cached_keys: float


@pytest.fixture(scope="module")
def forgetful(new_server) -> Forgetful:
    target = new_server(regions=(REGION, CHINA)).init()
    configured(target, f"cache_rows_max = {CACHE_ROWS_MAX}")
    kms, call = client(target, REGION), Hurried(target)
    keys = [make_key(kms) for _ in range(3)]
    deployment = Deployment(target.data, root_key(target))
    materials = {key.id: deployment.materials(key_row(deployment, key))[0] for key in keys}
    returned = returned_secrets(kms, keys[0], materials[keys[0].id])
    sent = {f"{size} bytes": os.urandom(size) for size in (32, 300, 4096)}
    for plaintext in sent.values():
        kms.encrypt(KeyId=keys[0].id, Plaintext=plaintext)
    for key in keys:
        blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
        kms.decrypt(CiphertextBlob=blob)
        kms.generate_data_key_without_plaintext(KeyId=key.id, KeySpec="AES_256")
    bare = {id: material.bytes for id, material in materials.items()}
    in_use = remembered(target, bare)
    kept_here = other_keys(target)
    handed_out = use_other_keys(target, kept_here)
    others = other_pieces(target, kept_here)
    others_in_use = remembered(target, others, spelled=lambda end: [end])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: use_another_key(call), range(OTHER_KEYS)))
    cached = re.search(r"^strongroom_cached_keys (\S+)$", target.admin("/metrics").text, re.MULTILINE)
    pushed_out = remembered(target, bare | returned)
    others_kept = remembered(target, others, spelled=lambda end: [end]) + remembered(target, handed_out)
    sent_and_kept = remembered(target, sent, spelled=lambda end: [end])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    back = remembered(target, {keys[-1].id: bare[keys[-1].id]})
    return Forgetful(
        *(bare, returned, in_use, others | handed_out, others_in_use, others_kept),
        *(pushed_out, sent_and_kept, back, float(cached.group(1))),
    )


def returned_secrets(kms, key, material) -> dict[str, bytes]:
    """Secrets that the service was never sent: what it opens here was sealed elsewhere."""
    found = {}
    for size in (32, 300, 4096):
        plaintext = os.urandom(size)
        blob = seal_blob(id_bytes(key), material, plaintext)
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
        found[f"plaintext of {size} bytes"] = plaintext
    found["data key"] = kms.generate_data_key(KeyId=key.id, KeySpec="AES_256")["Plaintext"]
    found["long data key"] = kms.generate_data_key(KeyId=key.id, NumberOfBytes=1024)["Plaintext"]
    found["random bytes"] = kms.generate_random(NumberOfBytes=1024)["Plaintext"]
    return found


def test_material_of_a_cached_key_is_found_in_memory(forgetful):
    """Without this the search could be blind."""
    assert forgetful.in_use == list(forgetful.materials)
    assert forgetful.back == list(forgetful.materials)[-1:]


def test_material_of_an_evicted_key_is_nowhere_in_memory(forgetful):
    assert 0 < forgetful.cached_keys <= CACHE_ROWS_MAX
    assert [name for name in forgetful.pushed_out if name in forgetful.materials] == []


def test_private_keys_of_other_kinds_are_found_in_memory_while_they_are_in_use(forgetful):
    """Without this the search could be blind. Of a MAC's key AWS-LC keeps two states of the hash, of ML-KEM's seed z alone."""
    found = {tuple(name.split()[:2]) for name in forgetful.others_in_use}
    assert found >= {kind for kind in OTHER_KINDS if not kind[0].startswith("HMAC")}


def test_nothing_of_evicted_keys_of_other_kinds_and_of_data_key_pairs_is_in_memory(forgetful):
    assert len(forgetful.others) > len(OTHER_KINDS) + len(PAIRS)
    assert forgetful.others_kept == []


def test_plaintexts_and_data_keys_that_were_returned_are_nowhere_in_memory(forgetful):
    assert len(forgetful.returned) == 6
    assert [name for name in forgetful.pushed_out if name in forgetful.returned] == []


def test_plaintexts_that_were_sent_are_nowhere_in_memory_as_bytes(forgetful):
    """In base64 they may be: the HTTP library reads requests into a buffer that it does not wipe."""
    assert forgetful.sent_and_kept == []

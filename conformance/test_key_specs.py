"""Every other key spec than the symmetric one, with the cryptography of others: what the service signs, encrypts, derives and
encapsulates is verified and opened by Python's `cryptography` (OpenSSL inside), the `openssl` command, `kyber-py` and PyJWT,
and what they make by the service.

Where the private half never leaves the service, `formats.py` takes it out of the data directory for the other side."""

import base64
import hashlib
import hmac
import subprocess

import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024

from clients import client, refusal
from conftest import REGION
from formats import Deployment
from test_formats import root_key

MESSAGE = b"strongroom signs this"
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
RSA = ["RSA_2048", "RSA_3072", "RSA_4096"]
RSA_SIGNING = [f"RSASSA_{kind}_SHA_{size}" for kind in ("PKCS1_V1_5", "PSS") for size in HASHES]
ECDSA = {
    "ECC_NIST_P256": (ec.SECP256R1(), "ECDSA_SHA_256"),
    "ECC_NIST_P384": (ec.SECP384R1(), "ECDSA_SHA_384"),
    "ECC_NIST_P521": (ec.SECP521R1(), "ECDSA_SHA_512"),
    "ECC_SECG_P256K1": (ec.SECP256K1(), "ECDSA_SHA_256"),
}
ML_DSA = {"ML_DSA_44": mldsa.MLDSA44PublicKey, "ML_DSA_65": mldsa.MLDSA65PublicKey, "ML_DSA_87": mldsa.MLDSA87PublicKey}
ML_DSA_PRIVATE = {
    "ML_DSA_44": mldsa.MLDSA44PrivateKey,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey,
}
ML_KEM = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}
ML_KEM_ELSEWHERE = {"ML_KEM_512": ML_KEM_512, "ML_KEM_768": ML_KEM_768, "ML_KEM_1024": ML_KEM_1024}
HMAC = ["224", "256", "384", "512"]


@pytest.fixture(scope="module")
def made(kms):
    """One key of each kind, made when it is first asked for."""
    keys = {}

    def get(spec: str, usage: str = "SIGN_VERIFY") -> str:
        if (spec, usage) not in keys:
            keys[spec, usage] = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
        return keys[spec, usage]

    return get


def public_key(kms, key_id: str):
    return serialization.load_der_public_key(kms.get_public_key(KeyId=key_id)["PublicKey"])


def secret_of(target, region: str, key_id: str) -> bytes:
    """The key's material, which no call gives away."""
    deployment = Deployment(target.data, root_key(target))
    (material,) = deployment.materials(deployment.rows[f"key/{region}/{key_id}"])
    return material.bytes


class Curve:
    """A curve in affine coordinates, slow and plain."""

    def __init__(self, p: int, a: int, order: int, base: tuple[int, int]):
        self.p, self.a, self.order, self.base = p, a, order, base

    def add(self, a, b):
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % self.p == 0:
            return None
        if a == b:
            slope = (3 * a[0] ** 2 + self.a) * pow(2 * a[1], -1, self.p)
        else:
            slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, self.p)
        x = (slope**2 - a[0] - b[0]) % self.p
        return x, (slope * (a[0] - x) - a[1]) % self.p

    def multiply(self, point, n: int):
        total = None
        while n:
            total = self.add(total, point) if n & 1 else total
            point, n = self.add(point, point), n >> 1
        return total


SECP256K1 = Curve(
    p=2**256 - 2**32 - 977,
    a=0,
    order=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    base=(
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    ),
)
# GM/T 0003.5.
SM2 = Curve(
    p=2**256 - 2**224 - 2**96 + 2**64 - 1,
    a=-3,
    order=0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123,
    base=(
        0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
        0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
    ),
)
# What stands before the 64 bytes of the point, and around the scalar: RFC 5480, RFC 5915, both with the curve's OID.
SM2_PUBLIC = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
SM2_PRIVATE = bytes.fromhex("30310201010420"), bytes.fromhex("a00a06082a811ccf5501822d")


def refused_signature(kms, **parameters) -> None:
    error = refusal(kms.verify, **parameters)
    # boto3 has its own words where the service has none.
    assert error.code == "KMSInvalidSignatureException"


def rsa_scheme(algorithm: str):
    hash = HASHES[algorithm[-3:]]
    pss = padding.PSS(mgf=padding.MGF1(hash), salt_length=hash.digest_size)
    return (pss if "PSS" in algorithm else padding.PKCS1v15()), hash


def digest(hash) -> bytes:
    context = hashes.Hash(hash)
    context.update(MESSAGE)
    return context.finalize()


@pytest.mark.parametrize("algorithm", RSA_SIGNING)
@pytest.mark.parametrize("spec", RSA)
def test_rsa_signature_verifies_elsewhere(kms, made, spec, algorithm):
    key_id = made(spec)
    scheme, hash = rsa_scheme(algorithm)
    public = public_key(kms, key_id)
    assert (public.key_size, public.public_numbers().e) == (int(spec[4:]), 65537)
    for kind, message in [("RAW", MESSAGE), ("DIGEST", digest(hash))]:
        signed = kms.sign(KeyId=key_id, Message=message, MessageType=kind, SigningAlgorithm=algorithm)
        public.verify(signed["Signature"], MESSAGE, scheme, hash)
        with pytest.raises(InvalidSignature):
            public.verify(signed["Signature"], MESSAGE + b"!", scheme, hash)
        common = {"KeyId": key_id, "SigningAlgorithm": algorithm, "Signature": signed["Signature"]}
        refused_signature(kms, Message=MESSAGE + b"!", **common)
        assert kms.verify(Message=MESSAGE, **common)["SignatureValid"] is True
        assert kms.verify(Message=digest(hash), MessageType="DIGEST", **common)["SignatureValid"] is True


@pytest.mark.parametrize("spec", ECDSA)
def test_ecdsa_signature_verifies_elsewhere(kms, made, spec):
    key_id = made(spec)
    curve, algorithm = ECDSA[spec]
    hash = HASHES[algorithm[-3:]]
    public = public_key(kms, key_id)
    assert public.curve.name == curve.name
    for kind, message in [("RAW", MESSAGE), ("DIGEST", digest(hash))]:
        signed = kms.sign(KeyId=key_id, Message=message, MessageType=kind, SigningAlgorithm=algorithm)["Signature"]
        public.verify(signed, MESSAGE, ec.ECDSA(hash))
        public.verify(signed, digest(hash), ec.ECDSA(Prehashed(hash)))
        with pytest.raises(InvalidSignature):
            public.verify(signed, MESSAGE + b"!", ec.ECDSA(hash))
        refused_signature(kms, KeyId=key_id, Message=MESSAGE + b"!", SigningAlgorithm=algorithm, Signature=signed)
        kms.verify(KeyId=key_id, Message=MESSAGE, SigningAlgorithm=algorithm, Signature=signed)


def test_ed25519_signature_verifies_elsewhere(kms, made):
    key_id = made("ECC_NIST_EDWARDS25519")
    public = public_key(kms, key_id)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    signed = kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512")["Signature"]
    public.verify(signed, MESSAGE)
    with pytest.raises(InvalidSignature):
        public.verify(signed, MESSAGE + b"!")
    refused_signature(kms, KeyId=key_id, Message=b"!", SigningAlgorithm="ED25519_SHA_512", Signature=signed)
    kms.verify(KeyId=key_id, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512", Signature=signed)


class Edwards:
    """Ed25519ph of RFC 8032 section 5.1, verification, for want of a library that has it."""

    P = 2**255 - 19
    L = 2**252 + 27742317777372353535851937790883648493
    D = -121665 * pow(121666, -1, P) % P

    @classmethod
    def add(cls, a, b):
        (x1, y1), (x2, y2) = a, b
        k = cls.D * x1 * x2 * y1 * y2 % cls.P
        x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, cls.P)
        y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, cls.P)
        return x % cls.P, y % cls.P

    @classmethod
    def multiply(cls, point, n):
        total = (0, 1)
        while n:
            if n & 1:
                total = cls.add(total, point)
            point, n = cls.add(point, point), n >> 1
        return total

    @classmethod
    def decode(cls, encoded: bytes):
        y = int.from_bytes(encoded, "little")
        sign, y = y >> 255, y & (2**255 - 1)
        square = (y * y - 1) * pow(cls.D * y * y + 1, -1, cls.P) % cls.P
        x = pow(square, (cls.P + 3) // 8, cls.P)
        if x * x % cls.P != square:
            x = x * pow(2, (cls.P - 1) // 4, cls.P) % cls.P
        assert x * x % cls.P == square
        return (cls.P - x if x & 1 != sign else x), y

    @classmethod
    def verifies_prehashed(cls, public: bytes, message: bytes, signature: bytes) -> bool:
        base = cls.decode((4 * pow(5, -1, cls.P) % cls.P).to_bytes(32, "little"))
        hashed = hashlib.sha512(message).digest()
        prefix = b"SigEd25519 no Ed25519 collisions\x01\x00"
        k = int.from_bytes(hashlib.sha512(prefix + signature[:32] + public + hashed).digest(), "little") % cls.L
        s = int.from_bytes(signature[32:], "little")
        right = cls.add(cls.decode(signature[:32]), cls.multiply(cls.decode(public), k))
        return cls.multiply(base, s) == right


def test_ed25519ph_hashes_the_digest_once_more(kms, made):
    """AWS applies the pre-hash of Ed25519ph to what it calls the digest."""
    key_id = made("ECC_NIST_EDWARDS25519")
    public = public_key(kms, key_id).public_bytes_raw()
    hashed = hashlib.sha512(MESSAGE).digest()
    common = {"KeyId": key_id, "MessageType": "DIGEST", "SigningAlgorithm": "ED25519_PH_SHA_512"}
    signed = kms.sign(Message=hashed, **common)["Signature"]
    assert not Edwards.verifies_prehashed(public, MESSAGE, signed)
    assert Edwards.verifies_prehashed(public, hashed, signed)
    refused_signature(kms, Message=hashlib.sha512(hashed).digest(), Signature=signed, **common)
    kms.verify(Message=hashed, Signature=signed, **common)


@pytest.mark.parametrize("spec", ML_DSA)
def test_ml_dsa_signature_verifies_elsewhere(kms, made, spec):
    key_id = made(spec)
    public = public_key(kms, key_id)
    assert isinstance(public, ML_DSA[spec])
    common = {"KeyId": key_id, "SigningAlgorithm": "ML_DSA_SHAKE_256"}
    # FIPS 204, algorithms 2 and 7: mu = H(H(public key) ‖ 0 ‖ length of the context ‖ context ‖ message).
    identity = hashlib.shake_256(public.public_bytes_raw()).digest(64)
    mu = hashlib.shake_256(identity + b"\0\0" + MESSAGE).digest(64)
    for kind, message in [("RAW", MESSAGE), ("EXTERNAL_MU", mu)]:
        signed = kms.sign(Message=message, MessageType=kind, **common)["Signature"]
        public.verify(signed, MESSAGE)
        with pytest.raises(InvalidSignature):
            public.verify(signed, MESSAGE + b"!")
        refused_signature(kms, Message=MESSAGE + b"!", Signature=signed, **common)
        kms.verify(Message=MESSAGE, Signature=signed, **common)
        kms.verify(Message=mu, MessageType="EXTERNAL_MU", Signature=signed, **common)


@pytest.mark.process
@pytest.mark.parametrize("spec", ML_DSA)
def test_ml_dsa_signature_made_elsewhere_verifies(server, region, kms, made, spec):
    key_id = made(spec)
    private = ML_DSA_PRIVATE[spec].from_seed_bytes(secret_of(server, region, key_id))
    public = private.public_key().public_bytes_raw()
    assert public_key(kms, key_id).public_bytes_raw() == public
    mu = hashlib.shake_256(hashlib.shake_256(public).digest(64) + b"\0\0" + MESSAGE).digest(64)
    theirs = private.sign(MESSAGE)
    common = {"KeyId": key_id, "SigningAlgorithm": "ML_DSA_SHAKE_256"}
    refused_signature(kms, Message=MESSAGE, Signature=private.sign(MESSAGE, b"context"), **common)
    refused_signature(kms, Message=MESSAGE, Signature=ML_DSA_PRIVATE[spec].generate().sign(MESSAGE), **common)
    for kind, message in [("RAW", MESSAGE), ("EXTERNAL_MU", mu)]:
        wrong = bytes([message[0] ^ 1]) + message[1:]
        refused_signature(kms, Message=wrong, MessageType=kind, Signature=theirs, **common)
        refused_signature(kms, Message=message, MessageType=kind, Signature=theirs[:-1] + b"\xff", **common)
        assert kms.verify(Message=message, MessageType=kind, Signature=theirs, **common)["SignatureValid"] is True


@pytest.mark.parametrize("size", HMAC)
def test_mac_is_of_its_key_alone(kms, made, size):
    key_id = made(f"HMAC_{size}", "GENERATE_VERIFY_MAC")
    common = {"KeyId": key_id, "Message": MESSAGE, "MacAlgorithm": f"HMAC_SHA_{size}"}
    mac = kms.generate_mac(**common)["Mac"]
    assert len(mac) == int(size) // 8
    assert refusal(kms.verify_mac, Mac=hmac.digest(b"", MESSAGE, f"sha{size}"), **common).code == "KMSInvalidMacException"
    assert kms.verify_mac(Mac=mac, **common)["MacValid"] is True
    assert kms.generate_mac(**common)["Mac"] == mac


@pytest.mark.parametrize("size", ["1", "256"])
@pytest.mark.parametrize("spec", RSA)
def test_oaep_opens_what_others_encrypt_and_the_other_way_round(kms, made, key, spec, size):
    key_id = made(spec, "ENCRYPT_DECRYPT")
    hash = {"1": hashes.SHA1(), "256": hashes.SHA256()}[size]
    scheme = padding.OAEP(mgf=padding.MGF1(hash), algorithm=hash, label=None)
    algorithm = f"RSAES_OAEP_SHA_{size}"
    public = public_key(kms, key_id)
    longest = int(spec[4:]) // 8 - 2 * hash.digest_size - 2
    for plaintext in [b"x", b"y" * longest]:
        theirs = public.encrypt(plaintext, scheme)
        opened = kms.decrypt(KeyId=key_id, CiphertextBlob=theirs, EncryptionAlgorithm=algorithm)
        assert (opened["Plaintext"], opened["EncryptionAlgorithm"]) == (plaintext, algorithm)
        ours = kms.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionAlgorithm=algorithm)["CiphertextBlob"]
        assert len(ours) == int(spec[4:]) // 8
        assert kms.decrypt(KeyId=key_id, CiphertextBlob=ours, EncryptionAlgorithm=algorithm)["Plaintext"] == plaintext
    error = refusal(kms.encrypt, KeyId=key_id, Plaintext=b"z" * (longest + 1), EncryptionAlgorithm=algorithm)
    assert error.message == f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {longest} bytes."
    blob = kms.re_encrypt(
        CiphertextBlob=ours, SourceKeyId=key_id, SourceEncryptionAlgorithm=algorithm, DestinationKeyId=key.id
    )["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"y" * longest


@pytest.mark.parametrize("spec", [spec for spec in ECDSA if spec != "ECC_SECG_P256K1"])
def test_shared_secret_is_what_the_peer_derives(kms, made, spec):
    key_id = made(spec, "KEY_AGREEMENT")
    curve, _ = ECDSA[spec]
    peer = ec.generate_private_key(curve)
    theirs = peer.exchange(ec.ECDH(), public_key(kms, key_id))
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    common = {"KeyId": key_id, "KeyAgreementAlgorithm": "ECDH"}
    other = ec.SECP384R1() if spec != "ECC_NIST_P384" else ec.SECP256R1()
    wrong = ec.generate_private_key(other).public_key().public_bytes(*form)
    right = peer.public_key().public_bytes(*form)
    for refused in (wrong, right + b"\0", right[:-1], right[:-1] + bytes([right[-1] ^ 1])):
        assert refusal(kms.derive_shared_secret, PublicKey=refused, **common).code == "ValidationException"
    ours = kms.derive_shared_secret(PublicKey=right, **common)
    assert (ours["SharedSecret"], ours["KeyOrigin"]) == (theirs, "AWS_KMS")


@pytest.fixture(scope="module")
def encapsulated(raw, made):
    """Encapsulate, which boto3 does not know: a ciphertext and its secret."""

    def call(spec: str) -> tuple[bytes, bytes]:
        parameters = {"KeyId": made(spec, "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM"}
        answer = raw("Encapsulate", parameters)
        assert answer.status == 200, answer.body
        return tuple(base64.b64decode(answer.json[name]) for name in ("SharedSecretCiphertextBlob", "SharedSecret"))

    return call


@pytest.fixture(scope="module")
def decapsulated(raw, made):
    """Decapsulate: the secret in a ciphertext."""

    def call(spec: str, ciphertext: bytes) -> bytes:
        parameters = {"KeyId": made(spec, "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM"}
        answer = raw("Decapsulate", parameters | {"SharedSecretCiphertextBlob": base64.b64encode(ciphertext).decode()})
        assert answer.status == 200, answer.body
        return base64.b64decode(answer.json["SharedSecret"])

    return call


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("spec", ML_KEM)
def test_encapsulation_is_opened_and_others_are_rejected_without_a_word(kms, made, encapsulated, decapsulated, spec):
    ciphertext, secret = encapsulated(spec)
    assert (len(ciphertext), len(secret)) == (ML_KEM[spec], 32)
    rejected = decapsulated(spec, bytes(len(ciphertext)))
    assert len(rejected) == 32 and rejected != secret
    assert decapsulated(spec, ciphertext) == secret
    public = kms.get_public_key(KeyId=made(spec, "ENCAPSULATE_DECAPSULATE"))["PublicKey"]
    secret, ciphertext = ML_KEM_ELSEWHERE[spec].encaps(public[22:])
    assert decapsulated(spec, flipped(ciphertext, 0)) not in (secret, rejected)
    assert decapsulated(spec, ciphertext) == secret
    if spec != "ML_KEM_512":  # which `cryptography` has not
        public = public_key(kms, made(spec, "ENCAPSULATE_DECAPSULATE"))
        assert isinstance(public, (mlkem.MLKEM768PublicKey, mlkem.MLKEM1024PublicKey))
        secret, ciphertext = public.encapsulate()
        assert decapsulated(spec, ciphertext) == secret


@pytest.mark.process
@pytest.mark.parametrize("spec", ML_KEM)
def test_kyber_opens_an_encapsulation_and_rejects_to_the_same_secret(
    server, region, kms, made, encapsulated, decapsulated, spec
):
    key_id = made(spec, "ENCAPSULATE_DECAPSULATE")
    elsewhere = ML_KEM_ELSEWHERE[spec]
    public, private = elsewhere.key_derive(secret_of(server, region, key_id))
    assert kms.get_public_key(KeyId=key_id)["PublicKey"][22:] == public
    ciphertext, secret = encapsulated(spec)
    for at in (0, len(ciphertext) // 2, len(ciphertext) - 1):
        wrong = flipped(ciphertext, at)
        rejected = decapsulated(spec, wrong)
        assert rejected != secret
        # J(z ‖ ciphertext), FIPS 203 algorithm 18: pseudorandom, and the same every time.
        assert rejected == elsewhere.decaps(private, wrong)
    assert elsewhere.decaps(private, ciphertext) == secret


@pytest.mark.parametrize("spec", ML_KEM)
def test_kyber_uses_an_ml_kem_data_key_pair(loose, key, spec):
    """The private key in the seed form of RFC 9935: `[0] seed` of 64 bytes."""
    elsewhere, last = ML_KEM_ELSEWHERE[spec], {"ML_KEM_512": 1, "ML_KEM_768": 2, "ML_KEM_1024": 3}[spec]
    pair, other = (loose.generate_data_key_pair(KeyId=key.id, KeyPairSpec=spec) for _ in range(2))
    document, public = pair["PrivateKeyPlaintext"], pair["PublicKey"][22:]
    identifier = bytes.fromhex("300b06096086480165030404") + bytes([last])
    assert document[:-64] == bytes.fromhex("3054020100") + identifier + bytes.fromhex("04428040")
    assert pair["PublicKey"][4:17] == identifier
    derived, private = elsewhere.key_derive(document[-64:])
    assert derived == public
    secret, ciphertext = elsewhere.encaps(public)
    _, foreign = elsewhere.key_derive(other["PrivateKeyPlaintext"][-64:])
    assert elsewhere.decaps(foreign, ciphertext) != secret
    assert elsewhere.decaps(private, ciphertext) == secret


@pytest.mark.parametrize("spec", [*RSA, *ECDSA, "ECC_NIST_EDWARDS25519", *ML_KEM])
def test_data_key_pair_is_a_pair_to_others(kms, loose, key, spec):
    context = {"pair": spec}
    made = loose.generate_data_key_pair(KeyId=key.id, KeyPairSpec=spec, EncryptionContext=context)
    without = loose.generate_data_key_pair_without_plaintext(KeyId=key.id, KeyPairSpec=spec)
    assert "PrivateKeyPlaintext" not in without
    assert refusal(kms.decrypt, CiphertextBlob=made["PrivateKeyCiphertextBlob"]).code == "InvalidCiphertextException"
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == made["PrivateKeyPlaintext"]
    hidden = kms.decrypt(CiphertextBlob=without["PrivateKeyCiphertextBlob"])["Plaintext"]
    for document, public in [(made["PrivateKeyPlaintext"], made["PublicKey"]), (hidden, without["PublicKey"])]:
        if spec == "ML_KEM_512":
            assert (len(document), len(public)) == (86, 822)
            continue
        private = serialization.load_der_private_key(document, password=None)
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        assert private.public_key().public_bytes(*form) == public


@pytest.mark.parametrize(
    "spec, algorithm, name",
    [
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", "RS256"),
        ("RSA_2048", "RSASSA_PSS_SHA_256", "PS256"),
        ("ECC_NIST_P256", "ECDSA_SHA_256", "ES256"),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "EdDSA"),
    ],
)
def test_jwt_is_accepted_by_pyjwt(kms, made, spec, algorithm, name):
    key_id = made(spec)
    claims = {"sub": "strongroom"}

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    header = part(b'{"alg":"%s","typ":"JWT"}' % name.encode())
    signed = header + b"." + part(b'{"sub":"strongroom"}')
    signature = kms.sign(KeyId=key_id, Message=signed, SigningAlgorithm=algorithm)["Signature"]
    if name == "ES256":
        signature = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
    token = (signed + b"." + part(signature)).decode()
    assert jwt.decode(token, public_key(kms, key_id), algorithms=[name]) == claims
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, public_key(kms, key_id_of_other(kms, spec)), algorithms=[name])


def key_id_of_other(kms, spec: str) -> str:
    return kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]


def test_jwt_of_an_hmac_key_verifies_here(kms, made):
    key_id = made("HMAC_256", "GENERATE_VERIFY_MAC")
    message = b"eyJhbGciOiJIUzI1NiJ9.e30"
    mac = kms.generate_mac(KeyId=key_id, Message=message, MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert kms.verify_mac(KeyId=key_id, Message=message, MacAlgorithm="HMAC_SHA_256", Mac=mac)["MacValid"]


@pytest.mark.beyond_fips
def test_chain_recovers_the_signer_of_a_low_s_signature(kms, made):
    """What Ethereum's `ecrecover` does: from the hash and the signature to the public key (SEC 1, section 4.1.6)."""
    key_id = made("ECC_SECG_P256K1")
    p, order, add, multiply = SECP256K1.p, SECP256K1.order, SECP256K1.add, SECP256K1.multiply
    numbers = public_key(kms, key_id).public_numbers()
    for at in range(8):
        hashed = hashlib.sha256(b"transaction %d" % at).digest()
        signed = kms.sign(KeyId=key_id, Message=hashed, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
        r, s = decode_dss_signature(signed["Signature"])
        assert s <= order // 2, "a chain refuses the other half"
        y = pow(r**3 + 7, (p + 1) // 4, p)
        e = int.from_bytes(hashed, "big")
        candidates = [
            add(multiply((r, root), s * pow(r, -1, order) % order), multiply(SECP256K1.base, -e * pow(r, -1, order) % order))
            for root in (y, p - y)
        ]
        assert (numbers.x, numbers.y) in candidates
        # The same signature with the other s verifies, too, as at AWS.
        high = encode_dss_signature(r, order - s)
        kms.verify(
            KeyId=key_id, Message=hashed, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256", Signature=high
        )


@pytest.mark.parametrize(
    "spec, algorithm, oid",
    [
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", "1.2.840.113549.1.1.11"),
        ("ECC_NIST_P384", "ECDSA_SHA_384", "1.2.840.10045.4.3.3"),
    ],
)
def test_openssl_accepts_a_certificate_request_of_a_key(kms, made, tmp_path, spec, algorithm, oid):
    """A PKCS #10 request whose body OpenSSL's library writes and whose signature is ours."""
    key_id = made(spec)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "strongroom")])
    # The body is that of a request which another key of the kind has signed, with our public key in its place.
    other = rsa.generate_private_key(65537, 2048) if spec.startswith("RSA") else ec.generate_private_key(ec.SECP384R1())
    hash = HASHES[algorithm[-3:]]
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(other, hash)
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ours = kms.get_public_key(KeyId=key_id)["PublicKey"]
    theirs = other.public_key().public_bytes(*form)
    assert len(ours) == len(theirs)
    body = request.tbs_certrequest_bytes.replace(theirs, ours)
    signature = kms.sign(KeyId=key_id, Message=body, SigningAlgorithm=algorithm)["Signature"]

    def element(tag: int, content: bytes) -> bytes:
        length = len(content)
        size = (length.bit_length() + 7) // 8
        head = bytes([length]) if length < 128 else bytes([0x80 | size]) + length.to_bytes(size, "big")
        return bytes([tag]) + head + content

    def dotted(text: str) -> bytes:
        first, second, *rest = map(int, text.split("."))
        out = bytes([40 * first + second])
        for number in rest:
            digits = [number & 0x7F]
            while number := number >> 7:
                digits.append(0x80 | number & 0x7F)
            out += bytes(reversed(digits))
        return element(0x06, out)

    identifier = element(0x30, dotted(oid) + (b"\x05\x00" if spec.startswith("RSA") else b""))
    for name, given in [("right", signature), ("wrong", bytes(len(signature)))]:
        (tmp_path / name).write_bytes(element(0x30, body + identifier + element(0x03, b"\0" + given)))
        command = ["openssl", "req", "-inform", "DER", "-in", str(tmp_path / name), "-verify", "-noout"]
        output = subprocess.run(command, capture_output=True, text=True)
        told = output.stdout + output.stderr
        assert ("verify OK" in told) == (name == "right"), told


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_SECG_P256K1"])
def test_openssl_verifies_a_signature(kms, made, tmp_path, spec):
    key_id = made(spec)
    algorithm = "RSASSA_PKCS1_V1_5_SHA_256" if spec.startswith("RSA") else "ECDSA_SHA_256"
    signed = kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm=algorithm)["Signature"]
    public, signature, message = (tmp_path / name for name in ("public", "signature", "message"))
    public.write_bytes(kms.get_public_key(KeyId=key_id)["PublicKey"])
    signature.write_bytes(signed)
    command = ["openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", str(public), "-signature", str(signature), str(message)]
    for content, told in [(MESSAGE + b"!", "Verification failure"), (MESSAGE, "Verified OK")]:
        message.write_bytes(content)
        output = subprocess.run(command, capture_output=True, text=True)
        assert told in output.stdout + output.stderr


@pytest.mark.parametrize("spec, usage", [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC")])
def test_key_without_a_public_half_says_so(kms, made, spec, usage):
    assert refusal(kms.get_public_key, KeyId=made(spec, usage)).code == "UnsupportedOperationException"


def test_sm2_is_for_the_regions_of_china(kms):
    assert refusal(kms.create_key, KeySpec="SM2", KeyUsage="SIGN_VERIFY").code == "UnsupportedOperationException"


@pytest.mark.beyond_fips
@pytest.mark.process
def test_sm2_is_where_the_configuration_says(new_server):
    target = new_server(regions=("cn-north-1", REGION)).init()
    settings = target.home / "strongroom.toml"
    settings.write_text(f'sm2_regions = ["{REGION}"]\n')
    target.start(extra=("--config", str(settings)))
    elsewhere, here = client(target, "cn-north-1"), client(target, REGION)
    for call in (
        lambda kms: kms.create_key(KeySpec="SM2", KeyUsage="KEY_AGREEMENT"),
        lambda kms: kms.generate_data_key_pair(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], KeyPairSpec="SM2"),
    ):
        error = refusal(lambda call=call: call(elsewhere))
        assert error.code == "UnsupportedOperationException" and "region cn-north-1" in error.message
        call(here)


@pytest.mark.beyond_fips
@pytest.mark.process
def test_keys_work_after_a_restart(new_server):
    """Keys of every kind are read back from their rows: made by one process, used by another."""
    target = new_server().init().start()
    kms = client(target, target.regions[0], validate=False)
    keys = {}
    for spec, algorithm in [
        ("RSA_2048", "RSASSA_PSS_SHA_256"),
        ("ECC_NIST_P256", "ECDSA_SHA_256"),
        ("ECC_SECG_P256K1", "ECDSA_SHA_256"),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
        ("ML_DSA_44", "ML_DSA_SHAKE_256"),
    ]:
        key_id = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        keys[key_id] = (algorithm, kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm=algorithm)["Signature"])
    mac_key = kms.create_key(KeySpec="HMAC_384", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    mac = kms.generate_mac(KeyId=mac_key, Message=MESSAGE, MacAlgorithm="HMAC_SHA_384")["Mac"]
    target.kill()
    target.start()
    kms = client(target, target.regions[0], validate=False)
    for key_id, (algorithm, signature) in keys.items():
        common = {"KeyId": key_id, "Message": MESSAGE, "SigningAlgorithm": algorithm}
        kms.verify(Signature=signature, **common)
        kms.verify(Signature=kms.sign(**common)["Signature"], **common)
    assert kms.generate_mac(KeyId=mac_key, Message=MESSAGE, MacAlgorithm="HMAC_SHA_384")["Mac"] == mac


@pytest.fixture(scope="module")
def china_server(new_server):
    return new_server(regions=("cn-north-1",)).init().start()


@pytest.fixture(scope="module")
def china(china_server):
    """A client for a region of China, where there is SM2."""
    return client(china_server, "cn-north-1")


def openssl(*arguments, told: str = "") -> bytes:
    output = subprocess.run(["openssl", *map(str, arguments)], capture_output=True)
    assert told.encode() in output.stdout + output.stderr, output
    return output.stdout


@pytest.mark.process
def test_openssl_verifies_an_sm2_signature_and_ours_verifies_its(china, tmp_path):
    key_id = china.create_key(KeySpec="SM2", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    public, signature, message = (tmp_path / name for name in ("public", "signature", "message"))
    public.write_bytes(china.get_public_key(KeyId=key_id)["PublicKey"])
    common = {"KeyId": key_id, "SigningAlgorithm": "SM2DSA"}
    signature.write_bytes(china.sign(Message=MESSAGE, **common)["Signature"])
    options = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]
    verify = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", public, *options, "-sigfile", signature, "-in", message]
    for content, told in [(MESSAGE + b"!", "Signature Verification Failure"), (MESSAGE, "Signature Verified Successfully")]:
        message.write_bytes(content)
        openssl(*verify, told=told)
    refused_signature(china, Message=b"!", Signature=signature.read_bytes(), **common)
    china.verify(Message=MESSAGE, Signature=signature.read_bytes(), **common)


@pytest.mark.process
def test_what_openssl_encrypts_with_sm2_is_opened(china, tmp_path):
    key_id = china.create_key(KeySpec="SM2", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    public, plaintext, ciphertext = (tmp_path / name for name in ("public", "plaintext", "ciphertext"))
    public.write_bytes(china.get_public_key(KeyId=key_id)["PublicKey"])
    common = {"KeyId": key_id, "EncryptionAlgorithm": "SM2PKE"}
    for content in [b"x", MESSAGE, b"y" * 1024]:
        plaintext.write_bytes(content)
        openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", public, "-in", plaintext, "-out", ciphertext)
        assert china.decrypt(CiphertextBlob=ciphertext.read_bytes(), **common)["Plaintext"] == content
        ours = china.encrypt(Plaintext=content, **common)["CiphertextBlob"]
        assert china.decrypt(CiphertextBlob=ours, **common)["Plaintext"] == content
        assert refusal(china.decrypt, CiphertextBlob=ours[:-1], **common).code == "InvalidCiphertextException"
    assert refusal(china.encrypt, Plaintext=b"z" * 1025, **common).code == "ValidationException"


@pytest.mark.process
def test_openssl_opens_what_is_encrypted_with_sm2(china, china_server, tmp_path):
    key_id = china.create_key(KeySpec="SM2", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    private, ciphertext = tmp_path / "private", tmp_path / "ciphertext"
    private.write_bytes(secret_of(china_server, "cn-north-1", key_id).join(SM2_PRIVATE))
    public = openssl("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER")
    assert public == china.get_public_key(KeyId=key_id)["PublicKey"]
    decrypt = ["pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", private, "-in", ciphertext]
    # Often enough for coordinates with and without a leading zero.
    for content in [b"x", b"y" * 1024, *([MESSAGE] * 12)]:
        ours = china.encrypt(KeyId=key_id, Plaintext=content, EncryptionAlgorithm="SM2PKE")["CiphertextBlob"]
        ciphertext.write_bytes(flipped(ours, len(ours) - 1))
        assert openssl(*decrypt, told="Public Key operation error") == b""
        ciphertext.write_bytes(ours)
        assert openssl(*decrypt) == content


@pytest.mark.process
def test_sm2_shared_secret_is_what_the_peer_derives(china, tmp_path):
    """The peer's key is OpenSSL's; it has no agreement with it, so the peer computes by hand."""
    key_id = china.create_key(KeySpec="SM2", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    ours = china.get_public_key(KeyId=key_id)["PublicKey"]
    assert ours[:-64] == SM2_PUBLIC
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    elsewhere = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*form)
    common = {"KeyId": key_id, "KeyAgreementAlgorithm": "ECDH"}
    for _ in range(4):
        private = tmp_path / "private"
        private.write_bytes(openssl("ecparam", "-name", "SM2", "-genkey", "-noout", "-outform", "DER"))
        theirs = openssl("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER")
        _, document = private.read_bytes().split(bytes.fromhex("0201010420"))
        scalar = int.from_bytes(document[:32], "big")
        assert SM2.multiply(SM2.base, scalar) == point(theirs)
        zeros = SM2_PUBLIC + bytes(64)
        other_curve, off_curve = elsewhere, SM2_PUBLIC + elsewhere[-64:]
        cut, longer, bare = theirs[:-1], theirs + b"\0", theirs[-65:]
        for refused in (other_curve, off_curve, flipped(theirs, len(theirs) - 1), zeros, cut, longer, bare):
            assert refusal(china.derive_shared_secret, PublicKey=refused, **common).code == "ValidationException"
        expected = SM2.multiply(point(ours), scalar)[0].to_bytes(32, "big")
        assert china.derive_shared_secret(PublicKey=theirs, **common)["SharedSecret"] == expected


def point(public: bytes) -> tuple[int, int]:
    return int.from_bytes(public[-64:-32], "big"), int.from_bytes(public[-32:], "big")


@pytest.mark.process
def test_openssl_uses_an_sm2_data_key_pair(china, tmp_path):
    wrapping = china.create_key()["KeyMetadata"]["KeyId"]
    pair = china.generate_data_key_pair(KeyId=wrapping, KeyPairSpec="SM2")
    private, public = tmp_path / "private", tmp_path / "public"
    private.write_bytes(pair["PrivateKeyPlaintext"])
    public.write_bytes(openssl("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER"))
    assert public.read_bytes() == pair["PublicKey"]

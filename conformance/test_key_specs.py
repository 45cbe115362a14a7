"""Every other key spec than the symmetric one, with the cryptography of others: what the service signs, encrypts, derives and
encapsulates is verified and opened by Python's `cryptography` (OpenSSL inside), the `openssl` command and PyJWT, and what
they make by the service."""

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

from clients import client, refusal
from conftest import REGION

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
ML_KEM = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}
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


@pytest.mark.parametrize("spec", ML_KEM)
def test_encapsulation_is_opened_and_others_are_rejected_without_a_word(raw, kms, made, spec):
    def call(operation: str, **parameters) -> dict:
        answer = raw(operation, {"KeyId": made(spec, "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM"} | parameters)
        assert answer.status == 200, answer.body
        return answer.json

    def opened(ciphertext: bytes) -> bytes:
        blob = base64.b64encode(ciphertext).decode()
        return base64.b64decode(call("Decapsulate", SharedSecretCiphertextBlob=blob)["SharedSecret"])

    made_here = call("Encapsulate")
    ciphertext, secret = (base64.b64decode(made_here[name]) for name in ("SharedSecretCiphertextBlob", "SharedSecret"))
    assert (len(ciphertext), len(secret)) == (ML_KEM[spec], 32)
    rejected = opened(bytes(len(ciphertext)))
    assert len(rejected) == 32 and rejected != secret
    assert opened(ciphertext) == secret
    if spec != "ML_KEM_512":  # which `cryptography` has not
        public = public_key(kms, made(spec, "ENCAPSULATE_DECAPSULATE"))
        assert isinstance(public, (mlkem.MLKEM768PublicKey, mlkem.MLKEM1024PublicKey))
        secret, ciphertext = public.encapsulate()
        assert opened(ciphertext) == secret


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
    p, order = 2**256 - 2**32 - 977, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    base = (
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    )

    def add(a, b):
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % p == 0:
            return None
        slope = 3 * a[0] ** 2 * pow(2 * a[1], -1, p) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, p)
        x = (slope**2 - a[0] - b[0]) % p
        return x, (slope * (a[0] - x) - a[1]) % p

    def multiply(point, n):
        total = None
        while n:
            total = add(total, point) if n & 1 else total
            point, n = add(point, point), n >> 1
        return total

    numbers = public_key(kms, key_id).public_numbers()
    for at in range(8):
        hashed = hashlib.sha256(b"transaction %d" % at).digest()
        signed = kms.sign(KeyId=key_id, Message=hashed, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
        r, s = decode_dss_signature(signed["Signature"])
        assert s <= order // 2, "a chain refuses the other half"
        y = pow(r**3 + 7, (p + 1) // 4, p)
        e = int.from_bytes(hashed, "big")
        candidates = [
            add(multiply((r, root), s * pow(r, -1, order) % order), multiply(base, -e * pow(r, -1, order) % order))
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
        error = refusal(call, elsewhere)
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
def china(new_server):
    """A client for a region of China, where there is SM2."""
    target = new_server(regions=("cn-north-1",)).init().start()
    return client(target, "cn-north-1")


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
def test_openssl_uses_an_sm2_data_key_pair(china, tmp_path):
    wrapping = china.create_key()["KeyMetadata"]["KeyId"]
    pair = china.generate_data_key_pair(KeyId=wrapping, KeyPairSpec="SM2")
    private, public = tmp_path / "private", tmp_path / "public"
    private.write_bytes(pair["PrivateKeyPlaintext"])
    public.write_bytes(openssl("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER"))
    assert public.read_bytes() == pair["PublicKey"]

"""An authority like AWS's Nitro PKI, made here: certificates, attestation documents, recipients.

Written from AWS's "Nitro Enclaves Attestation Process" and "Validate a NitroTPM Attestation Document" alone.
"""

import datetime
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

DER = serialization.Encoding.DER
ES384 = -35


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


@dataclass
class Certified:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)


def certify(subject: str, issuer: Certified | None, is_ca: bool, from_hours=-1.0, to_hours=3.0, path_length=None):
    key = ec.generate_private_key(ec.SECP384R1())
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"],
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + datetime.timedelta(hours=from_hours))
        .not_valid_after(now() + datetime.timedelta(hours=to_hours))
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, **usage), critical=True
        )
    )
    return Certified(builder.sign(issuer.key if issuer else key, hashes.SHA384()), key)


def register(index: int) -> bytes:
    return bytes([index]) * 47 + bytes([0xA0 | index & 15])


@dataclass
class Authority:
    """Five certificates, as AWS has them: root, region, zone, instance, and the one that signs documents."""

    root: Certified = field(default_factory=lambda: certify("aws.nitro-enclaves", None, True, to_hours=24.0))
    leaf_hours: tuple[float, float] = (-1.0, 3.0)

    def __post_init__(self):
        chain = [self.root]
        for place, path_length in [("region", 2), ("zone", 1), ("instance", 0)]:
            chain.append(certify(f"{place}.aws.nitro-enclaves", chain[-1], True, path_length=path_length))
        self.bundle = [certified.der for certified in chain]
        self.leaf = certify("i-0123456789abcdef0-enc", chain[-1], False, *self.leaf_hours)

    def write_root(self, path: Path) -> Path:
        path.write_bytes(self.root.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def payload(self, public_key: bytes | None, **changes) -> dict:
        payload = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": int(time.time() * 1000),
            "pcrs": {index: register(index) for index in range(16)},
            "certificate": self.leaf.der,
            "cabundle": self.bundle,
            "public_key": public_key,
            "user_data": None,
            "nonce": None,
        }
        payload |= changes
        return payload

    def sign(self, payload: dict, algorithm: int = ES384) -> bytes:
        protected, body = cbor2.dumps({1: algorithm}), cbor2.dumps(payload)
        signed = cbor2.dumps(["Signature1", protected, b"", body])
        r, s = decode_dss_signature(self.leaf.key.sign(signed, ec.ECDSA(hashes.SHA384())))
        return cbor2.dumps([protected, {}, body, r.to_bytes(48, "big") + s.to_bytes(48, "big")])

    def enclave(self, recipient: "Recipient", **changes) -> bytes:
        return self.sign(self.payload(recipient.public_key, **changes))

    def nitro_tpm(self, recipient: "Recipient", **changes) -> bytes:
        payload = self.payload(recipient.public_key, **changes)
        del payload["pcrs"]
        return self.sign(payload | {"nitrotpm_pcrs": {index: register(index) for index in range(24)}})


class Recipient:
    """Whoever is attested: a key pair of which the document has the public half."""

    def __init__(self, directory: Path, bits: int = 2048):
        #: What nobody else may have.
        self.opened: list[bytes] = []
        self.key = rsa.generate_private_key(65537, bits)
        self.public_key = self.key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.path = directory / f"recipient-{bits}.pem"
        self.path.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def open(self, envelope: bytes) -> bytes:
        """With OpenSSL, which was told nothing but the key."""
        done = subprocess.run(
            ["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", str(self.path)],
            input=envelope,
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        self.opened.append(done.stdout)
        return done.stdout


def argument(document: bytes) -> dict:
    """The parameter of a request."""
    return {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}

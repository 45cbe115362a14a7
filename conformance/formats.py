"""An independent reader of everything that Strongroom keeps: keys, rows, ciphertext blobs, the audit journal.

It follows docs/formats.md with public libraries and shares nothing with the product. What it opens is as that document says, and
whatever is not is a `FormatError`. It also makes ciphertext blobs, which the service must open.
"""

import base64
import hashlib
import hmac
import io
import os
import re
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.kbkdf import CounterLocation, KBKDFHMAC, Mode
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ENVELOPE_BYTES = 16 + 12 + 16  # salt, nonce, tag
BLOB_HEADER_BYTES, BLOB_FIXED_BYTES = 103, 119
SEGMENT_NAME = re.compile(r"journal-([0-9a-f]{16})\.seg")
SEGMENT_HEADER_BYTES, RECORD_FIXED_BYTES, PAYLOAD_BYTES_MAX = 80, 57, 262_144
EVENT, CHECKPOINT, NOTE = 1, 2, 3

# The fields of the rows, by their CBOR keys.
ROW_FIELDS = {
    "access-key": ("access_key_id", "principal", "secret", "created"),
    "account": ("account", "created"),
    "account-key": ("key_id",),
    "alias": ("target", "created", "updated"),
    "deployment": ("format", "created", "regions", "anchored"),
    "grant": (
        *("key_id", "grant_id", "created", "key_created", "serial"),
        *("grantee", "retiring", "issuing_account", "terms", "name"),
    ),
    "identity": ("unique_id", "account", "path_and_name", "created", "tags", "policies", "boundary"),
    "identity-name": ("unique_id",),
    "key": (
        *("key_id", "account", "created", "spec", "usage", "origin"),
        *("state", "description", "policy", "aliases", "materials", "deletion_date", "tags"),
        "public_key",
        *(number for number in range(14, 20)),  # not in use
        "grants",
        "bindings",
    ),
    "key-usage": ("key_id", "operation", "at", "event_id", "request_id"),
    "orphaned-grants": ("key_id", "key_created"),
    "outbox": ("created", "event"),
    "retirable": ("retiring", "key_id", "grant_id"),
    "state": ("set_hash", "rows"),
    "usage-tracking": ("sequence", "since"),
}
MATERIAL_FIELDS = ("id", "wrapped", "created")
EVENT_FIELDS = (
    *("version", "event_id", "request_id", "time", "region", "kind", "source", "identity", "name", "source_ip"),
    *("user_agent", "tls", "error_code", "error_message", "read_only", "request_parameters", "response_elements"),
    *("additional", "resources", "recipient"),
)


class FormatError(Exception):
    """Bytes that are not what the documents say."""


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise FormatError(what)


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def be32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def be64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def fields(*parts: bytes) -> bytes:
    """`f(part) ‖ …` of the documents."""
    return b"".join(be32(len(part)) + part for part in parts)


def derive(key: bytes, label: str, *parts: bytes, size: int = 32) -> bytes:
    """NIST SP 800-108r1, counter mode, HMAC-SHA256."""
    info = label.encode() + b"\0" + fields(*parts) + be32(size * 8)
    location = CounterLocation.BeforeFixed
    return KBKDFHMAC(SHA256(), Mode.CounterMode, size, 4, None, location, None, None, info).derive(key)


def gcm_open(what: str, key: bytes, nonce: bytes, body: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, body, aad)
    except InvalidTag:
        raise FormatError(f"{what} is not authentic") from None


def cbor(data: bytes):
    """Exactly one item, of definite length, without a key that stands twice."""
    stream = io.BytesIO(data)
    value = cbor2.CBORDecoder(stream, allow_indefinite=False, allow_duplicate_keys=False).decode()
    expect(stream.read() == b"", "bytes follow the CBOR item")
    return value


def named(numbered: dict, names: tuple[str, ...]) -> dict:
    """A CBOR map with its fields by name; what the documents do not know keeps its number."""
    return {names[key] if key < len(names) else key: value for key, value in numbered.items()}


# Keys


@dataclass(frozen=True)
class Root:
    id: bytes
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path, passphrase: bytes | None = None) -> "Root":
        data = path.read_bytes()
        header, root_id, kind = data[:26], data[10:26], data[9]
        expect(header[:9] == b"STRGROOT\x01", "not a root key file of version 1")
        if kind == 1:
            expect(len(data) == 90 and passphrase is None, "a root key without a passphrase has 90 bytes")
            check = hashlib.sha256(b"strongroom/root-file/v1\0" + header + data[26:58]).digest()
            expect(data[58:] == check, "the root key file's check does not hold")
            return cls(root_id, data[26:58])
        expect(kind == 2 and len(data) == 114 and passphrase is not None, "a wrapped root key has 114 bytes")
        memory, passes, lanes = (number(data[at : at + 4]) for at in (26, 30, 34))
        salt, nonce, aad = data[38:54], data[54:66], data[:66]
        stretch = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        return cls(root_id, gcm_open("root key", stretch.derive(passphrase), nonce, data[66:], aad))

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        expect(wrapped[:1] == b"\x01" and wrapped[1:17] == self.id, "wrapped by another root, or of another version")
        return gcm_open("wrapped key", self.key, wrapped[17:29], wrapped[29:], wrapped[:29] + purpose)


def open_envelope(what: str, prefix: int, data: bytes, key: bytes, label: str, bound: bytes) -> bytes:
    """`prefix | salt 16 | nonce 12 | ciphertext | tag 16` under a key of its own."""
    expect(len(data) >= prefix + ENVELOPE_BYTES, f"{what} is too short")
    header = data[: prefix + 28]
    sealing = derive(key, label, header[prefix : prefix + 16])
    return gcm_open(what, sealing, header[prefix + 16 :], data[prefix + 28 :], header + bound)


# Rows


@dataclass(frozen=True)
class StoredRow:
    address: str
    version: int
    value: bytes = field(repr=False)

    @property
    def table(self) -> str:
        return self.address.split("/")[0]

    @property
    def scope(self) -> str:
        return self.address.split("/")[1]


@dataclass(frozen=True)
class Material:
    id: bytes
    bytes: bytes = field(repr=False)


def read_rows(database: Path) -> dict[str, StoredRow]:
    """Every row of the store, as it lies there."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT address, version, value FROM rows").fetchall()
    finally:
        connection.close()
    return {address.decode(): StoredRow(address.decode(), version, value) for address, version, value in found}


class Deployment:
    """A data directory, opened with its root key."""

    def __init__(self, data: Path, root_key: Path, passphrase: bytes | None = None):
        self.journal_directory = data / "journal"
        self.root = Root.read(root_key, passphrase)
        self.rows = read_rows(data / "strongroom.sqlite3")
        self.domain_keys: dict[str, dict[int, bytes]] = {}
        self.service_keys: dict[str, dict[int, bytes]] = {}
        for row in self.rows.values():
            if row.table == "keyring":
                self._take_up(row)

    def _take_up(self, row: StoredRow) -> None:
        _, scope, kind, *rest = row.address.split("/")
        version = int(rest[-1])
        if kind == "domain":
            purpose = fields(b"domain", scope.encode(), be32(version))
            self.domain_keys.setdefault(scope, {})[version] = self.root.unwrap(row.value, purpose)
        else:
            expect(kind == "service" and scope == "global", f"{row.address} is neither a domain nor a service key")
            purpose = fields(b"service", rest[0].encode(), be32(version))
            self.service_keys.setdefault(rest[0], {})[version] = self.root.unwrap(row.value, purpose)

    @property
    def sealed_rows(self) -> list[StoredRow]:
        return [row for row in self.rows.values() if row.table != "keyring"]

    def of(self, table: str, scope: str | None = None) -> list[StoredRow]:
        return [row for row in self.rows.values() if row.table == table and scope in (None, row.scope)]

    def open(self, row: StoredRow) -> bytes:
        expect(row.value[:1] == b"\x01", f"row {row.address} is not of version 1")
        key = self.domain_keys[row.scope][number(row.value[1:5])]
        place = fields(row.table.encode(), row.address.encode(), b"row", be64(row.version))
        return open_envelope(f"row {row.address}", 5, row.value, key, "strongroom/row/v1", place)

    def decode(self, row: StoredRow) -> dict:
        decoded = named(cbor(self.open(row)), ROW_FIELDS[row.table])
        if row.table == "key":
            decoded["materials"] = [named(material, MATERIAL_FIELDS) for material in decoded["materials"]]
        return decoded

    def materials(self, key_row: StoredRow) -> list[Material]:
        """The unwrapped materials of a key, oldest first."""
        decoded = self.decode(key_row)
        (key_id, multi_region), found = decoded["key_id"], []
        for entry in decoded["materials"]:
            wrapped = entry["wrapped"]
            expect(wrapped[:2] == bytes([1, decoded["spec"] + 1]), "not a material of version 1 and the key's spec")
            expect(decoded["spec"] != 0 or len(wrapped) == 82, "not a symmetric material")
            key = self.domain_keys[key_row.scope][number(wrapped[2:6])]
            place = fields(key_row.scope.encode(), key_id, bytes([multi_region]))
            material = open_envelope("material", 6, wrapped, key, "strongroom/material-wrap/v1", place)
            found.append(Material(entry["id"], material))
        return found

    def material_ids(self, key_id: bytes, material: bytes) -> list[bytes]:
        """The id of a material under each version of the service key."""
        text = b"strongroom/material-id/v1\0" + fields(key_id, material)
        return [hmac.digest(key, text, "sha256") for key in self.service_keys["material-id"].values()]

    def row_state(self, scope: str) -> tuple[bytes, int]:
        """The set-hash and the number of a scope's rows, computed from the rows themselves."""
        keys = self.service_keys["row-state"]
        key = derive(keys[max(keys)], "strongroom/row-state/v1")
        counted = [row for row in self.sealed_rows if row.scope == scope and row.table != "state"]
        state = 0
        for row in counted:
            mac = hmac.digest(key, fields(row.address.encode(), be64(row.version), row.value[-16:]), "sha256")
            state ^= number(mac)
        return state.to_bytes(32, "big"), len(counted)

    @property
    def checkpoint_public_key(self) -> bytes:
        keys = self.service_keys["checkpoint"]
        pair = Ed25519PrivateKey.from_private_bytes(keys[max(keys)])
        return pair.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


# Ciphertext blobs


def encode_context(context: dict[str, str] | None) -> bytes:
    pairs = sorted((key.encode(), value.encode()) for key, value in (context or {}).items())
    return be32(len(pairs)) + b"".join(fields(*pair) for pair in pairs) if pairs else b""


def seal_blob(key_id: bytes, material: Material, plaintext: bytes, context: dict[str, str] | None = None) -> bytes:
    """What Encrypt would have made with a key of a single region."""
    salt, nonce = os.urandom(32), os.urandom(12)
    derived = derive(material.bytes, "strongroom/blob/v1", key_id, material.id, salt, size=64)
    header = bytes([1, 1, 0]) + key_id + material.id[:8] + salt + derived[32:] + nonce
    aad = header + material.id + encode_context(context)
    return header + AESGCM(derived[:32]).encrypt(nonce, plaintext, aad)


def open_blob(materials: list[Material], blob: bytes, context: dict[str, str] | None = None) -> bytes:
    expect(len(blob) >= BLOB_FIXED_BYTES, "the blob is too short")
    header, body = blob[:BLOB_HEADER_BYTES], blob[BLOB_HEADER_BYTES:]
    expect(header[:2] == b"\x01\x01" and header[2] in (0, 1), "not a blob of version 1 and suite 1")
    key_id, tag, salt, commitment, nonce = header[3:19], header[19:27], header[27:59], header[59:91], header[91:]
    for material in materials:
        derived = derive(material.bytes, "strongroom/blob/v1", key_id, material.id, salt, size=64)
        if tag == material.id[:8] and commitment == derived[32:]:
            return gcm_open("blob", derived[:32], nonce, body, header + material.id + encode_context(context))
    raise FormatError("no material has the blob's tag and commitment")


# The audit journal


@dataclass(frozen=True)
class Record:
    sequence: int
    durable: int
    kind: int
    payload: bytes = field(repr=False)
    link: bytes = field(repr=False)


@dataclass(frozen=True)
class Segment:
    name: str
    data: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Segment":
        segment = cls(path.name, path.read_bytes())
        header = segment.data[:SEGMENT_HEADER_BYTES]
        expect(header[:10] == b"SRJOURNL\0\1" and number(header[10:12]) in (0, 1), f"{path.name} is no segment")
        expect(number(header[76:80]) == crc32c(header[:76]), f"the checksum of {path.name} does not hold")
        expect(path.name == f"journal-{segment.first:016x}.seg", f"{path.name} has another's name")
        return segment

    @property
    def predecessor_has_void_tail(self) -> bool:
        return number(self.data[10:12]) == 1

    @property
    def first(self) -> int:
        return number(self.data[12:20])

    @property
    def predecessor(self) -> int:
        return number(self.data[20:28])

    @property
    def predecessor_end(self) -> int:
        return number(self.data[28:36])

    @property
    def chain(self) -> bytes:
        return self.data[36:68]

    def records(self, end: int) -> list[Record]:
        """All records up to `end`, each whole, in its place and linked to the one before."""
        at, sequence, link, found = SEGMENT_HEADER_BYTES, self.first, self.chain, []
        while at < end:
            where = f"{self.name} at {at}"
            length = number(self.data[at : at + 4])
            expect(length <= PAYLOAD_BYTES_MAX and at + RECORD_FIXED_BYTES + length <= end, f"{where}: not whole")
            body = self.data[at : at + 25 + length]
            expect(number(body[4:8]) == crc32c(body[:4] + body[8:]), f"{where}: the checksum does not hold")
            expect(number(body[8:16]) == sequence, f"{where}: out of sequence")
            expect(number(body[16:24]) < sequence, f"{where}: says that it was durable before it was written")
            link = hashlib.sha256(link + body).digest()
            at += RECORD_FIXED_BYTES + length
            expect(self.data[at - 32 : at] == link, f"{where}: the chain is broken")
            found.append(Record(sequence, number(body[16:24]), body[24], body[25:], link))
            sequence += 1
        return found


def read_journal(directory: Path) -> list[Record]:
    """Every record of a journal that was closed in good order: a torn tail is an error here."""
    paths = sorted(path for path in directory.iterdir() if SEGMENT_NAME.fullmatch(path.name))
    segments, records = [Segment.read(path) for path in paths], []
    for segment, successor in zip(segments, [*segments[1:], None]):
        if successor is None:
            records += segment.records(len(segment.data))
            continue
        end = successor.predecessor_end
        expect(successor.predecessor == segment.first, f"{successor.name} continues another segment")
        expect(end == len(segment.data) or successor.predecessor_has_void_tail, f"{segment.name} has grown")
        records += segment.records(end)
        sequence, link = (records[-1].sequence, records[-1].link) if records else (0, bytes(32))
        expect((successor.first - 1, successor.chain) == (sequence, link), f"{successor.name} begins elsewhere")
    if segments:
        first = segments[0]
        expect((first.first, first.predecessor, first.chain) == (1, 0, bytes(32)), "the journal's beginning is missing")
    return records


def decode_event(payload: bytes) -> dict:
    values = cbor(payload)
    expect(values[0] == 1 and len(values) >= len(EVENT_FIELDS), "not an event of version 1")
    return dict(zip(EVENT_FIELDS, values))


@dataclass(frozen=True)
class Checkpoint:
    sequence: int
    chain: bytes
    time: int
    public_key: bytes
    state: bytes

    @classmethod
    def verify(cls, payload: bytes) -> "Checkpoint":
        """The checkpoint, if its signature holds under the key that it names."""
        expect(144 <= len(payload) <= 144 + 4096, "not a checkpoint")
        signed, signature, state = payload[:80], payload[80:144], payload[144:]
        try:
            public_key = Ed25519PublicKey.from_public_bytes(signed[48:80])
            public_key.verify(signature, b"strongroom/checkpoint/v1\0" + signed + state)
        except InvalidSignature:
            raise FormatError("the checkpoint's signature does not hold") from None
        return cls(number(signed[:8]), signed[8:40], number(signed[40:48]), signed[48:80], state)


# Backups


@dataclass(frozen=True)
class Backup:
    """A backup file, opened with the root key."""

    created: int
    revision: int
    program: str
    keys: list[str]
    rows: dict[str, StoredRow]
    segments: dict[str, bytes] = field(repr=False)

    @classmethod
    def read(cls, path: Path, root: Root) -> "Backup":
        data = path.read_bytes()
        expect(data[:9] == b"SRBACKUP\x01", "not a backup of version 1")
        end = 13 + number(data[9:13])
        header, texts = data[:end], take_fields(data[29:end])
        key = root.unwrap(texts[0], fields(b"backup", b"file", be32(1)))
        parts, frame = [], 0
        while True:
            kind, size = data[end], number(data[end + 1 : end + 5])
            sealed = data[end + 5 : end + 5 + size]
            aad = b"strongroom/backup/v1\0" + fields(hashlib.sha256(header).digest(), be64(frame), bytes([kind]))
            plain = gcm_open(f"frame {frame}", key, sealed[:12], sealed[12:], aad)
            expect(len(plain) <= 1_048_576, "a frame is too long")
            end, frame = end + 5 + size, frame + 1
            if kind == 3:
                break
            if kind == 1:
                parts.append([plain.decode(), b""])
            else:
                expect(kind == 2, "a frame is of no known kind")
                parts[-1][1] += plain
        listed = [fields(name.encode()) + be64(len(part)) + hashlib.sha256(part).digest() for name, part in parts]
        expect(plain == hashlib.sha256(b"".join(listed)).digest(), "the list of parts is another")
        expect(end == len(data), "bytes follow the end")
        (name, rows), *rest = parts
        expect(name == "rows" and all(name.startswith("journal/") for name, _ in rest), "parts are not in their place")
        texts = [text.decode() for text in texts[1:]]
        segments = {name.removeprefix("journal/"): part for name, part in rest}
        return cls(number(data[13:21]), number(data[21:29]), texts[0], texts[1:], cls._rows(rows), segments)

    @staticmethod
    def _rows(data: bytes) -> dict[str, StoredRow]:
        found = {}
        while data:
            size = number(data[:4])
            address, data = data[4 : 4 + size].decode(), data[4 + size :]
            version, size = number(data[:8]), number(data[8:12])
            expect(not found or address > max(found), "rows are not in their order")
            found[address] = StoredRow(address, version, data[12 : 12 + size])
            data = data[12 + size :]
        return found


def take_fields(data: bytes) -> list[bytes]:
    """The reverse of `fields`."""
    found = []
    while data:
        size = number(data[:4])
        expect(len(data) >= 4 + size, "a field is cut short")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC32C = _crc32c_table()


def crc32c(data: bytes) -> int:
    """The CRC of iSCSI (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


# Grants


def grantee_tag(key_id: list, kind: int, principal: str) -> bytes:
    """The first half of a grant's id."""
    place = fields(key_id[0] + bytes([key_id[1]]), bytes([kind]), principal.encode())
    return hashlib.sha256(b"strongroom/grantee/v1\0" + place).digest()[:16]


def principal_tag(kind: int, principal: str) -> bytes:
    return hashlib.sha256(b"strongroom/grant-principal/v1\0" + fields(bytes([kind]), principal.encode())).digest()[:16]


def encoded_context(pairs: list | None) -> bytes:
    if not pairs:
        return b""
    return be32(len(pairs)) + b"".join(fields(name.encode(), value.encode()) for name, value in pairs)


def named_half(grant: dict) -> bytes:
    """The second half of the id of a grant with a name."""
    terms = grant["terms"]
    kind, retiring = grant.get("retiring", (None, ""))
    return hashlib.sha256(
        b"strongroom/grant-name/v1\0"
        + fields(
            be64(grant["key_created"]),
            grant["issuing_account"].encode(),
            grant["name"].encode(),
            ",".join(sorted(terms[0])).encode(),
            {None: b"", 0: b"arn", 1: b"service"}[kind],
            retiring.encode(),
            bytes([1 in terms, 2 in terms]),
            encoded_context(terms.get(1)),
            encoded_context(terms.get(2)),
            terms.get(3, "").encode(),
        )
    ).digest()[:16]


def open_grant_token(service_keys: dict[int, bytes], region: str, token: str) -> tuple[list, bytes, bytes]:
    """The key, the grant and the serial that a token names."""
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    expect(len(sealed) == 114 and sealed[0] == 1, "not a grant token of version 1")
    key = derive(service_keys[number(sealed[1:5])], "strongroom/grant-token/v1", sealed[5:21])
    body = gcm_open("grant token", key, sealed[21:33], sealed[33:], sealed[:33] + fields(region.encode()))
    return [body[:16], body[16] == 1], body[17:49], body[49:]

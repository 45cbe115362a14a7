"""Everything at rest is what docs/formats.md says: `formats.py`, which knows nothing else, reads it all, and its blobs open."""

import base64
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients import UUID, client, marked, policy, refusal
from conftest import OTHER_REGION, REGION, Key, make_key
from formats import (
    CHECKPOINT,
    EVENT,
    NOTE,
    Checkpoint,
    Deployment,
    FormatError,
    Root,
    StoredRow,
    crc32c,
    decode_event,
    grantee_tag,
    named_half,
    open_blob,
    open_grant_token,
    principal_tag,
    read_journal,
    seal_blob,
)
from server import Server, run

pytestmark = pytest.mark.process

TAGS = {"Größe": "値", "Cost Center": "", "team": "payments"}
CONTEXT = {"Purpose": "Test", "Department": "IT", "Ünïcode": "ключ 🔑", "empty": ""}
NO_ROWS = bytes(32)


@dataclass
class Story:
    """A deployment with two processes behind it, stopped, and what its clients know of it."""

    target: Server
    deployment: Deployment
    key: Key
    elsewhere: Key
    disabled: Key
    pending: Key
    policy: str
    aliases: dict[str, Key]
    described: dict[str, dict]
    blobs: list[tuple[Key, bytes, bytes, dict]]
    calls: list[str]


@pytest.fixture(scope="module")
def story(new_server, account) -> Story:
    target = new_server(regions=(REGION, OTHER_REGION)).init().start()
    kms, calls = client(target, REGION), []
    kms.meta.events.register("before-call.kms", lambda model, **_: calls.append(model.name))
    far = client(target, OTHER_REGION)
    key = make_key(kms, Description="d" * 8192)
    disabled, elsewhere, pending = make_key(kms), make_key(far), make_key(kms)
    kms.create_alias(AliasName="alias/one", TargetKeyId=key.id)
    kms.create_alias(AliasName="alias/two/parts", TargetKeyId=disabled.id)
    kms.create_alias(AliasName="alias/gone", TargetKeyId=key.id)
    blobs = []
    for used, caller in ((key, kms), (elsewhere, far)):
        for plaintext, context in ((b"x", {}), (marked(), CONTEXT), (marked(4096), {"one": "pair"})):
            sealed = caller.encrypt(KeyId=used.id, Plaintext=plaintext, EncryptionContext=context)
            blobs.append((used, sealed["CiphertextBlob"], plaintext, context))
    target.restart()
    made = kms.generate_data_key(KeyId="alias/one", KeySpec="AES_256", EncryptionContext=CONTEXT)
    blobs.append((key, made["CiphertextBlob"], made["Plaintext"], CONTEXT))
    moved = kms.re_encrypt(CiphertextBlob=blobs[0][1], DestinationKeyId=disabled.id, DestinationEncryptionContext=CONTEXT)
    blobs.append((disabled, moved["CiphertextBlob"], b"x", CONTEXT))
    text = policy(account).replace("Owner", "Röot")
    kms.put_key_policy(KeyId=key.id, Policy=text)
    kms.delete_alias(AliasName="alias/gone")
    kms.delete_alias(AliasName="alias/two/parts")
    kms.create_alias(AliasName="alias/two/parts", TargetKeyId=key.id)
    kms.disable_key(KeyId=disabled.id)
    kms.tag_resource(KeyId=disabled.id, Tags=[{"TagKey": key, "TagValue": value} for key, value in TAGS.items()])
    kms.schedule_key_deletion(KeyId=pending.id, PendingWindowInDays=7)
    refusal(kms.encrypt, KeyId=disabled.id, Plaintext=b"x")
    described = {id: kms.describe_key(KeyId=id)["KeyMetadata"] for id in (key.id, disabled.id, pending.id)}
    described[elsewhere.id] = far.describe_key(KeyId=elsewhere.id)["KeyMetadata"]
    assert target.stop() == 0
    aliases = {"alias/one": key, "alias/two/parts": key}
    deployment = Deployment(target.data, root_key(target))
    return Story(target, deployment, key, elsewhere, disabled, pending, text, aliases, described, blobs, calls)


def root_key(target) -> Path:
    return target.root_directory / "root.key"


def id_bytes(key: Key) -> bytes:
    return uuid.UUID(key.id).bytes


def key_row(deployment: Deployment, key: Key) -> StoredRow:
    return deployment.rows[f"key/{key.arn.split(':')[3]}/{key.id}"]


def materials(story, key: Key):
    return story.deployment.materials(key_row(story.deployment, key))


# The reader itself: it must be able to say no.


def test_reader_refuses_a_row_that_is_altered_or_elsewhere(story):
    deployment, row = story.deployment, key_row(story.deployment, story.key)
    for at in (0, 4, 5, 21, 33, len(row.value) - 1):
        value = bytearray(row.value)
        value[at] ^= 1
        with pytest.raises((FormatError, KeyError)):
            deployment.open(StoredRow(row.address, row.version, bytes(value)))
    for address, version in ((key_row(deployment, story.disabled).address, row.version), (row.address, row.version - 1)):
        with pytest.raises(FormatError):
            deployment.open(StoredRow(address, version, row.value))
    assert deployment.open(row)


def test_reader_refuses_a_blob_of_another_context(story):
    key, blob, plaintext, context = story.blobs[1]
    for wrong in (None, {**context, "more": "x"}, {**context, "Purpose": "test"}):
        with pytest.raises(FormatError):
            open_blob(materials(story, key), blob, wrong)
    assert open_blob(materials(story, key), blob, context) == plaintext


# Rows


def test_every_row_opens_and_holds_no_field_that_the_document_lacks(story):
    rows = story.deployment.sealed_rows
    assert {row.table for row in rows} == {
        *("access-key", "account", "account-key", "alias", "deployment", "key", "key-usage", "outbox", "state"),
        "usage-tracking",
    }
    for row in rows:
        decoded = story.deployment.decode(row)
        assert all(isinstance(name, str) for name in decoded), (row.address, decoded.keys())
    for key in (story.key, story.elsewhere, story.disabled, story.pending):
        decoded = story.deployment.decode(key_row(story.deployment, key))
        assert all(isinstance(name, str) for entry in decoded["materials"] for name in entry)


def test_key_rows_say_what_describe_key_says(story, account):
    for key in (story.key, story.elsewhere, story.disabled, story.pending):
        row = story.deployment.decode(key_row(story.deployment, key))
        described = story.described[key.id]
        assert row["key_id"] == [id_bytes(key), False]
        assert row["account"] == account == described["AWSAccountId"]
        assert row["created"] == round(described["CreationDate"].timestamp() * 1000)
        assert row["description"] == described["Description"]
        assert (row["spec"], row["usage"], row["origin"]) == (0, 0, 0)
        assert row["state"] == {"Enabled": 0, "Disabled": 1, "PendingDeletion": 2}[described["KeyState"]]
        assert [entry["id"].hex() for entry in row["materials"]] == [described["CurrentKeyMaterialId"]]
    assert story.deployment.decode(key_row(story.deployment, story.key))["policy"] == story.policy


def test_deletion_date_and_tags_are_there_only_when_the_key_has_them(story):
    plain, tagged, pending = (
        story.deployment.decode(key_row(story.deployment, key)) for key in (story.key, story.disabled, story.pending)
    )
    assert not {"deletion_date", "tags"} & set(plain)
    assert "deletion_date" not in tagged
    assert tagged["tags"] == [[name, TAGS[name]] for name in sorted(TAGS, key=str.encode)]
    date = story.described[story.pending.id]["DeletionDate"]
    assert (pending["deletion_date"], "tags" in pending) == (round(date.timestamp() * 1000), False)


def test_row_versions_begin_at_random(story):
    # A row that is deleted and made again must not have a version that it had before.
    rows = story.deployment.rows.values()
    versions = [row.version for row in rows if not row.address.startswith(("keyring/", "state/"))]
    assert len(set(versions)) == len(versions)
    assert max(versions) > 2**48 and max(versions) < 2**63


def test_indexes_and_aliases_point_at_their_keys(story, account):
    deployment = story.deployment
    for key in (story.key, story.elsewhere, story.disabled, story.pending):
        region = key.arn.split(":")[3]
        index = deployment.decode(deployment.rows[f"account-key/{region}/{account}/{key.id}"])
        assert index == {"key_id": [id_bytes(key), False]}
    assert {row.address for row in deployment.of("alias")} == {f"alias/{REGION}/{account}/{name}" for name in story.aliases}
    for name, key in story.aliases.items():
        alias = deployment.decode(deployment.rows[f"alias/{REGION}/{account}/{name}"])
        assert alias["target"] == [id_bytes(key), False]
        assert 0 < alias["created"] <= alias["updated"]
    assert deployment.decode(key_row(deployment, story.key))["aliases"] == sorted(story.aliases)
    assert deployment.decode(key_row(deployment, story.disabled))["aliases"] == []


def test_deployment_accounts_and_access_keys(story, account):
    deployment = story.deployment
    row = deployment.decode(deployment.rows["deployment/global/deployment"])
    assert (row["format"], row["regions"]) == (1, sorted([REGION, OTHER_REGION]))
    assert deployment.decode(deployment.rows[f"account/global/{account}"])["account"] == account
    for profile, principal in (("default", [0, [account]]), ("operator", [1, []])):
        login = story.target.login(profile)
        row = deployment.decode(deployment.rows[f"access-key/global/{login.access_key}"])
        assert (row["access_key_id"], row["principal"]) == (login.access_key, principal)
        assert row["secret"] == login.secret_key.encode()


def test_row_states_count_every_row(story):
    states = story.deployment.of("state")
    assert {row.scope for row in states} == {"global", REGION, OTHER_REGION}
    for row in states:
        state = story.deployment.decode(row)
        assert (state["set_hash"], state["rows"]) == story.deployment.row_state(row.scope), row.scope


def test_row_state_of_no_rows_is_zero(new_server):
    target = new_server().init()
    deployment = Deployment(target.data, root_key(target))
    assert deployment.decode(deployment.rows[f"state/{REGION}/rows"]) == {"set_hash": NO_ROWS, "rows": 0}
    assert deployment.row_state(REGION) == (NO_ROWS, 0)


def test_keyring_has_a_key_for_every_scope_and_purpose(story):
    deployment = story.deployment
    assert {scope: sorted(keys) for scope, keys in deployment.domain_keys.items()} == {
        scope: [1] for scope in ("global", REGION, OTHER_REGION)
    }
    assert set(deployment.service_keys) == {
        *("checkpoint", "grant-token", "import-token", "marker", "material-id", "row-state", "session-token"),
    }
    lines = [*deployment.domain_keys.values(), *deployment.service_keys.values()]
    every = [deployment.root.key, *(key for keys in lines for key in keys.values())]
    assert len(set(every)) == len(every) and {len(key) for key in every} == {32}
    assert root_key(story.target).stat().st_mode & 0o777 == 0o600


def test_grants_their_index_and_their_tokens(new_server, account):
    target = new_server().init().start()
    kms = client(target, REGION)
    key, me = make_key(kms), f"arn:aws:iam::{account}:root"
    plain = kms.create_grant(KeyId=key.id, GranteePrincipal=me, Operations=["Encrypt"])
    constraints = {"EncryptionContextEquals": {"b": "2", "a": "1"}, "EncryptionContextSubset": {"ä": "ö"}}
    named = kms.create_grant(
        KeyId=key.id,
        GranteePrincipal=me,
        RetiringPrincipal=me,
        Operations=["Encrypt", "Decrypt"],
        Constraints=constraints,
        Name="a-name",
    )
    assert target.stop() == 0
    deployment = Deployment(target.data, root_key(target))
    assert deployment.decode(key_row(deployment, key))["grants"] == 2
    rows = {row.address.split("/")[3]: deployment.decode(row) for row in deployment.of("grant")}
    assert set(rows) == {plain["GrantId"], named["GrantId"]}
    for made in (plain, named):
        row = rows[made["GrantId"]]
        assert all(isinstance(name, str) for name in row)
        assert row["key_id"] == [id_bytes(key), False] and row["grantee"] == [0, me]
        assert row["key_created"] == round(key.metadata["CreationDate"].timestamp() * 1000)
        assert row["grant_id"].hex() == made["GrantId"]
        assert row["grant_id"][:16] == grantee_tag(row["key_id"], 0, me)
        token = open_grant_token(deployment.service_keys["grant-token"], REGION, made["GrantToken"])
        assert token == (row["key_id"], row["grant_id"], row["serial"])
    row = rows[named["GrantId"]]
    assert row["terms"] == {0: ["Encrypt", "Decrypt"], 1: [["a", "1"], ["b", "2"]], 2: [["ä", "ö"]]}
    assert row["grant_id"][16:] == named_half(row)
    (index,) = deployment.of("retirable")
    assert index.address == f"retirable/{REGION}/{principal_tag(0, me).hex()}/{key.id}/{named['GrantId']}"
    assert deployment.decode(index) == {"retiring": [0, me], "key_id": row["key_id"], "grant_id": row["grant_id"]}
    with pytest.raises(FormatError):
        open_grant_token(deployment.service_keys["grant-token"], OTHER_REGION, named["GrantToken"])


# Materials and blobs


def test_materials_open_and_have_the_ids_that_they_are_given(story):
    found = {}
    for key in (story.key, story.elsewhere, story.disabled, story.pending):
        (material,) = materials(story, key)
        assert story.deployment.material_ids(id_bytes(key), material.bytes) == [material.id]
        assert material.id.hex() == key.material
        found[material.bytes] = key
    assert len(found) == 4 and {len(bytes) for bytes in found} == {32}


def test_blobs_of_the_service_open(story):
    for key, blob, plaintext, context in story.blobs:
        assert len(blob) == len(plaintext) + 119
        assert open_blob(materials(story, key), blob, context) == plaintext


def test_blobs_made_elsewhere_open_in_the_service(story):
    target, (material,) = story.target, materials(story, story.key)
    target.start()
    kms = client(target, REGION)
    for plaintext, context in ((b"y", {}), (marked(4096), CONTEXT)):
        blob = seal_blob(id_bytes(story.key), material, plaintext, context)
        for at in (0, 1, 2, 19, 27, 59, 91, 103, len(blob) - 1):
            altered = bytearray(blob)
            altered[at] ^= 2
            refused = refusal(kms.decrypt, CiphertextBlob=bytes(altered), EncryptionContext=context)
            assert refused.code == "InvalidCiphertextException", at
        wrong = refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"other": "context"})
        assert wrong.code == "InvalidCiphertextException"
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
        assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, story.key.arn)
        assert opened["KeyMaterialId"] == story.key.material
    assert target.stop() == 0


# The journal


def test_checksum_is_that_of_iscsi():
    assert crc32c(b"123456789") == 0xE3069283


def test_every_record_chains_and_the_last_is_a_checkpoint_of_ours(story):
    records = read_journal(story.target.data / "journal")
    assert [record.sequence for record in records] == list(range(1, len(records) + 1))
    links = {record.sequence: record.link for record in records}
    checkpoints = [Checkpoint.verify(record.payload) for record in records if record.kind == CHECKPOINT]
    # Each process ended one.
    assert len(checkpoints) >= 2 and records[-1].kind == CHECKPOINT
    assert checkpoints[-1].sequence == len(records) - 1
    for checkpoint in checkpoints:
        assert checkpoint.chain == links[checkpoint.sequence]
        assert checkpoint.public_key == story.deployment.checkpoint_public_key
    assert not [record for record in records if record.kind == NOTE]


def test_events_are_what_the_clients_did(story, account):
    events = [decode_event(record.payload) for record in read_journal(story.target.data / "journal") if record.kind == EVENT]
    assert len({event["event_id"] for event in events}) == len(events)
    home = [event for event in events if event["region"] == REGION]
    # Changes reach the journal beside the reads, so the order of the calls is not the journal's.
    done = sorted(event["name"] for event in home)
    assert [name for name in sorted(story.calls) if done.count(name) < story.calls.count(name)] == []
    for event in events:
        assert (event["kind"], event["source"], event["source_ip"]) == (0, 0, "127.0.0.1")
        assert event["identity"][:3] == [0, int(account), f"arn:aws:iam::{account}:root"]
        assert event["recipient"] == int(account)
    sealed = [event for event in home if event["name"] == "Encrypt" and event["error_code"] is None]
    assert [event["request_parameters"].get("encryptionContext") or {} for event in sealed] == [
        context for key, _, _, context in story.blobs[:3]
    ]
    refused = [event for event in events if event["error_code"] and event["name"] == "Encrypt"]
    assert [event["error_code"] for event in refused] == ["DisabledException"]


def test_outbox_rows_hold_events_that_the_journal_has(story):
    records = read_journal(story.target.data / "journal")
    recorded = {record.payload for record in records if record.kind == EVENT}
    rows = story.deployment.of("outbox")
    assert len(rows) >= 8
    for row in rows:
        decoded = story.deployment.decode(row)
        assert decoded["event"] in recorded
        assert UUID.fullmatch(row.address.split("/")[2])
        assert decode_event(decoded["event"])["request_id"] == uuid.UUID(row.address.split("/")[2]).bytes


def test_journal_with_a_flipped_byte_is_refused_by_both_readers(story, new_server):
    assert audit(story.target).returncode == 0
    for where in (0.3, 0.6, 0.9):
        target = copy_of(story.target, new_server())
        (segment,) = sorted((target.data / "journal").glob("*.seg"))[:1]
        data = bytearray(segment.read_bytes())
        data[int(len(data) * where)] ^= 1
        segment.write_bytes(data)
        with pytest.raises(FormatError):
            read_journal(target.data / "journal")
        refused = audit(target)
        assert refused.returncode == 1 and segment.name in refused.stderr, refused.stderr


def audit(target):
    return run("audit", "--verify", *target.directories())


def copy_of(original: Server, target: Server) -> Server:
    """`target` with the data of a stopped server in the place of its own."""
    for name in ("data", "root"):
        shutil.copytree(original.home / name, target.home / name)
    return target


# A root key behind a passphrase


class Guarded(Server):
    """A server whose root key file is wrapped by a passphrase."""

    passphrase_file: Path | None = None

    def with_passphrase(self, text: str) -> "Guarded":
        self.passphrase_file = self.home / f"passphrase-{uuid.uuid4()}"
        self.passphrase_file.write_text(text)
        return self

    def directories(self) -> list[str]:
        named = ["--passphrase-file", str(self.passphrase_file)] if self.passphrase_file else []
        return [*super().directories(), *named]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, account):
    target = Guarded(tmp_path_factory.mktemp("guarded"), account, [REGION]).with_passphrase("correct horse\n")
    yield target.init()
    target.close()


@pytest.fixture(scope="module")
def guarded_blob(guarded) -> bytes:
    """Made by the one process that was given the passphrase when it was new."""
    guarded.start()
    kms = client(guarded, REGION)
    blob = kms.encrypt(KeyId=make_key(kms).id, Plaintext=b"behind a passphrase")["CiphertextBlob"]
    assert guarded.stop() == 0
    return blob


def test_passphrase_that_is_too_short_makes_nothing(tmp_path, account):
    target = Guarded(tmp_path, account, [REGION]).with_passphrase("seven77\n")
    refused = run("init", *target.directories())
    assert refused.returncode == 1 and "a root passphrase has 8 to 1024 bytes" in refused.stderr
    assert not root_key(target).exists() and not (target.data / "strongroom.sqlite3").exists()


@pytest.mark.parametrize("command", ["serve", "check", "audit"])
def test_wrong_passphrase_is_refused(guarded, guarded_blob, command):
    wrong = Guarded(guarded.home, guarded.account, guarded.regions).with_passphrase("incorrect horse\n")
    refused = run(*arguments(wrong, command))
    assert refused.returncode == 1
    assert f"the passphrase does not open `{root_key(guarded)}`" in refused.stderr
    assert "incorrect horse" not in refused.stderr + refused.stdout


@pytest.mark.parametrize("command", ["check", "audit"])
def test_missing_passphrase_is_asked_for(guarded, guarded_blob, command):
    without = Guarded(guarded.home, guarded.account, guarded.regions)
    refused = run(*arguments(without, command))
    assert refused.returncode == 1 and "--passphrase-file" in refused.stderr, refused.stderr


def arguments(target, command: str) -> list[str]:
    return target.serve_arguments() if command == "serve" else [command, *target.directories()]


def test_reader_opens_the_root_key_with_the_passphrase_only(guarded, guarded_blob):
    for wrong in (b"incorrect horse", b"correct horse\n", None):
        with pytest.raises(FormatError):
            Root.read(root_key(guarded), wrong)
    deployment = Deployment(guarded.data, root_key(guarded), b"correct horse")
    (row,) = deployment.of("key")
    assert open_blob(deployment.materials(row), guarded_blob) == b"behind a passphrase"


def test_passphrase_opens_the_deployment(guarded, guarded_blob):
    checked = guarded.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # Only the first line counts.
    guarded.with_passphrase("correct horse\nand a second line\n").start()
    opened = client(guarded, REGION).decrypt(CiphertextBlob=guarded_blob)
    assert opened["Plaintext"] == b"behind a passphrase"
    assert guarded.stop() == 0
    at_rest = b"".join(path.read_bytes() for path in [*guarded.files_at_rest(), root_key(guarded)])
    key = Root.read(root_key(guarded), b"correct horse").key
    for secret in (b"correct horse", key, key.hex().encode(), base64.b64encode(key)):
        assert secret not in at_rest

"""Somebody with the disk writes to the store: `check` finds it, and no request is answered from a row that cannot be trusted."""

import sqlite3
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from clients import UUID, client, refusal
from conftest import REGION, Key, make_key
from formats import StoredRow, read_rows
from server import Server
from test_formats import copy_of

pytestmark = pytest.mark.process

MIDDLE, LAST = None, -1


@dataclass
class Story:
    """A stopped server, its rows now, and those of an earlier day."""

    target: Server
    before: dict[str, StoredRow]
    now: dict[str, StoredRow]
    victim: Key
    other: Key
    bystander: Key
    disabled: Key
    blobs: dict[str, bytes]

    def row(self, key: Key) -> StoredRow:
        return self.now[f"key/{REGION}/{key.id}"]

    def one(self, table: str) -> StoredRow:
        """A row of a table, in the region if the table has any there."""
        rows = [row for row in self.now.values() if row.table == table]
        return next((row for row in rows if row.scope == REGION), rows[0])


@pytest.fixture(scope="module")
def story(new_server) -> Story:
    target = new_server().init().start()
    kms = client(target, REGION)
    victim, other, bystander, disabled = (make_key(kms) for _ in range(4))
    kms.create_alias(AliasName="alias/kept", TargetKeyId=victim.id)
    kms.create_alias(AliasName="alias/gone", TargetKeyId=other.id)
    keys = (victim, other, bystander, disabled)
    blobs = {key.id: kms.encrypt(KeyId=key.id, Plaintext=key.id.encode())["CiphertextBlob"] for key in keys}
    assert target.stop() == 0
    before = read_rows(target.data / "strongroom.sqlite3")
    target.start()
    kms.disable_key(KeyId=disabled.id)
    kms.delete_alias(AliasName="alias/gone")
    assert target.stop() == 0
    now = read_rows(target.data / "strongroom.sqlite3")
    return Story(target, before, now, *keys, blobs)


@pytest.fixture
def tampered(story, new_server):
    """Makes a copy of the story's data in which rows are replaced, or removed where the new one is None."""

    made = []

    def make(rows: dict[str, StoredRow | None]) -> Server:
        target = copy_of(story.target, new_server())
        made.append(target)
        connection = sqlite3.connect(target.data / "strongroom.sqlite3")
        with connection:
            for address, row in rows.items():
                connection.execute("DELETE FROM rows WHERE address = ?", (address.encode(),))
                if row is not None:
                    values = (address.encode(), row.version, row.value)
                    connection.execute("INSERT INTO rows VALUES (?, ?, ?)", values)
        connection.close()
        return target

    yield make
    for target in made:
        target.close()


def flipped(row: StoredRow, at: int | None) -> StoredRow:
    value = bytearray(row.value)
    value[len(value) // 2 if at is MIDDLE else at] ^= 1
    return StoredRow(row.address, row.version, bytes(value))


def problems(target: Server) -> str:
    """What `check` complains about; that it complains is its exit code."""
    checked = target.check()
    assert checked.returncode == 1, checked.stdout + checked.stderr
    return checked.stderr


def is_refused_internally(target: Server, address: str, call, **parameters) -> None:
    """The caller learns nothing, the log everything."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    error = raised.value.response
    assert error["Error"]["Code"] == "KMSInternalException", error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 500
    request_id = error["ResponseMetadata"]["RequestId"]
    assert UUID.fullmatch(request_id) and address not in str(error)
    assert [line for line in target.log().splitlines() if request_id in line and f"`{address}`" in line]


def is_useless(target: Server, story: Story, key: Key) -> None:
    """Nothing that needs the key's row is answered from it."""
    kms, address = client(target, REGION), story.row(key).address
    is_refused_internally(target, address, kms.describe_key, KeyId=key.id)
    is_refused_internally(target, address, kms.encrypt, KeyId=key.id, Plaintext=b"x")
    is_refused_internally(target, address, kms.decrypt, CiphertextBlob=story.blobs[key.id])
    is_refused_internally(target, address, kms.generate_data_key, KeyId=key.id, KeySpec="AES_256")
    is_refused_internally(target, address, kms.enable_key, KeyId=key.id)
    is_refused_internally(target, address, kms.get_key_policy, KeyId=key.id)
    is_refused_internally(target, address, kms.create_alias, AliasName="alias/new", TargetKeyId=key.id)


def works(target: Server, story: Story, *keys: Key) -> None:
    """These keys, and what has nothing to do with any key that exists."""
    kms = client(target, REGION)
    for key in keys:
        assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["Arn"] == key.arn
        assert kms.decrypt(CiphertextBlob=story.blobs[key.id])["Plaintext"] == key.id.encode()
        kms.encrypt(KeyId=key.id, Plaintext=b"x")
    assert make_key(kms).metadata["KeyState"] == "Enabled"
    assert len(kms.generate_random(NumberOfBytes=16)["Plaintext"]) == 16


def test_copy_of_the_data_is_clean_and_works(story, tampered):
    target = tampered({})
    checked = target.check()
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr
    works(target.start(), story, story.victim, story.other, story.bystander)


def test_rows_that_changed_places_are_found_and_refused(story, tampered):
    victim, other = story.row(story.victim), story.row(story.other)
    target = tampered({victim.address: other, other.address: victim})
    found = problems(target)
    assert f"row `{victim.address}`" in found and f"row `{other.address}`" in found
    target.start()
    is_useless(target, story, story.victim)
    is_useless(target, story, story.other)
    is_refused_internally(target, victim.address, client(target, REGION).describe_key, KeyId="alias/kept")
    works(target, story, story.bystander)


def test_row_copied_to_a_new_address_is_found_and_refused(story, tampered):
    address = f"key/{REGION}/{'0' * 8}-0000-4000-8000-{'0' * 12}"
    target = tampered({address: story.row(story.victim)})
    assert f"row `{address}`" in problems(target)
    target.start()
    is_refused_internally(target, address, client(target, REGION).describe_key, KeyId=address.rpartition("/")[2])
    works(target, story, story.victim, story.bystander)


@pytest.mark.parametrize("at", [0, 4, 5, 21, 33, MIDDLE, LAST])
def test_key_row_with_one_flipped_bit_is_found_and_refused(story, tampered, at):
    row = story.row(story.victim)
    target = tampered({row.address: flipped(row, at)})
    assert f"row `{row.address}` cannot be trusted" in problems(target)
    target.start()
    is_useless(target, story, story.victim)
    works(target, story, story.other, story.bystander)


@pytest.mark.parametrize("table", ["access-key", "account", "account-key", "alias", "deployment", "outbox", "state"])
def test_flipped_bit_in_any_other_row_is_found(story, tampered, table):
    row = story.one(table)
    assert f"row `{row.address}` cannot be trusted" in problems(tampered({row.address: flipped(row, MIDDLE)}))


def test_alias_row_with_a_flipped_bit_is_refused(story, tampered):
    row = story.one("alias")
    target = tampered({row.address: flipped(row, MIDDLE)}).start()
    kms = client(target, REGION)
    is_refused_internally(target, row.address, kms.describe_key, KeyId="alias/kept")
    is_refused_internally(target, row.address, kms.encrypt, KeyId="alias/kept", Plaintext=b"x")
    is_refused_internally(target, row.address, kms.delete_alias, AliasName="alias/kept")
    is_refused_internally(target, row.address, kms.list_aliases)
    works(target, story, story.victim, story.bystander)


def test_index_row_with_a_flipped_bit_is_refused(story, tampered):
    row = story.one("account-key")
    target = tampered({row.address: flipped(row, MIDDLE)}).start()
    is_refused_internally(target, row.address, client(target, REGION).list_keys)
    works(target, story, story.victim, story.bystander)


def test_access_key_with_a_flipped_bit_signs_nothing(story, tampered):
    row = story.now[f"access-key/global/{story.target.login().access_key}"]
    target = tampered({row.address: flipped(row, MIDDLE)}).start()
    is_refused_internally(target, row.address, client(target, REGION).list_keys)
    operator = refusal(client(target, REGION, profile="operator").list_keys)
    assert operator.code == "AccessDeniedException"


def test_old_value_under_the_new_version_is_found_and_refused(story, tampered):
    now = story.row(story.disabled)
    old = story.before[now.address]
    assert old.version < now.version
    target = tampered({now.address: StoredRow(now.address, now.version, old.value)})
    assert f"row `{now.address}` cannot be trusted" in problems(target)
    target.start()
    is_useless(target, story, story.disabled)
    works(target, story, story.bystander)


def test_old_row_put_back_whole_is_found(story, tampered):
    # It opens, so only the shard's state tells; the state says that there is such a row, not which.
    address = story.row(story.disabled).address
    found = problems(tampered({address: story.before[address]}))
    assert f"shard `{REGION}` holds a row that is not the one last written" in found


def test_removed_key_row_is_found_and_its_key_answers_nothing(story, tampered):
    target = tampered({story.row(story.victim).address: None})
    found = problems(target)
    assert f"/{story.victim.id}` has no key" in found
    assert f"shard `{REGION}` should hold" in found
    kms = client(target.start(), REGION)
    for call, parameters in (
        (kms.describe_key, {"KeyId": story.victim.id}),
        (kms.describe_key, {"KeyId": "alias/kept"}),
        (kms.encrypt, {"KeyId": story.victim.id, "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": story.blobs[story.victim.id]}),
    ):
        with pytest.raises(ClientError):
            call(**parameters)
    works(target, story, story.other, story.bystander)


def test_key_removed_with_all_that_names_it_is_found(story, tampered):
    id = story.victim.id
    named = [address for address in story.now if address.endswith(id)] + [story.one("alias").address]
    assert len(named) == 4
    assert f"shard `{REGION}` should hold" in problems(tampered(dict.fromkeys(named)))


@pytest.mark.parametrize("table", ["access-key", "account", "account-key", "alias", "outbox"])
def test_removed_row_of_any_table_is_found(story, tampered, table):
    row = story.one(table)
    assert f"shard `{row.scope}` should hold" in problems(tampered({row.address: None}))


@pytest.mark.parametrize(
    ("table", "found", "said"),
    [
        ("deployment", "shard `global` should hold", "the store holds no deployment row"),
        ("state", f"row `state/{REGION}/rows` is missing", f"row `state/{REGION}/rows` is missing"),
    ],
)
def test_nothing_is_served_without_the_rows_that_say_what_is_served(story, tampered, table, found, said):
    target = tampered({story.one(table).address: None})
    assert found in problems(target)
    with pytest.raises(AssertionError, match="serve exited with 1 before it was ready"):
        target.start()
    assert said in target.log()


def test_deleted_row_put_back_is_found(story, tampered, account):
    address = f"alias/{REGION}/{account}/alias/gone"
    assert address not in story.now
    found = problems(tampered({address: story.before[address]}))
    assert f"alias row `{address}` is not listed by its target" in found
    assert f"shard `{REGION}` should hold" in found


def test_old_state_row_is_found(story, tampered):
    address = f"state/{REGION}/rows"
    assert f"shard `{REGION}` should hold" in problems(tampered({address: story.before[address]}))


def test_old_row_with_its_old_state_row_is_found(story, tampered):
    addresses = [story.row(story.disabled).address, f"state/{REGION}/rows"]
    found = problems(tampered({address: story.before[address] for address in addresses}))
    assert f"shard `{REGION}`" in found


@pytest.mark.parametrize("name", [f"keyring/{REGION}/domain/1", "keyring/global/domain/1", "keyring/global/service/row-state/1"])
def test_altered_keyring_is_not_opened(story, tampered, name):
    row = story.now[name]
    target = tampered({name: flipped(row, LAST)})
    assert f"`{name}`" in problems(target)
    with pytest.raises(AssertionError, match="serve exited with 1 before it was ready"):
        target.start()
    assert f"`{name}`" in target.log()


def test_key_of_the_keyring_under_another_name_is_not_opened(story, tampered):
    name = f"keyring/{REGION}/domain/2"
    assert f"`{name}`" in problems(tampered({name: story.now[f"keyring/{REGION}/domain/1"]}))


def test_row_of_no_table_is_found(story, tampered):
    address = f"keys/{REGION}/stranger"
    assert f"row `{address}` is not of any table" in problems(tampered({address: story.row(story.victim)}))

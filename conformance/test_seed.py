"""`strongroom init --seed`: the documented example, and what is refused."""

import json
from pathlib import Path

import pytest

from clients import client, marked, refusal
from conftest import OTHER_REGION, REGION
from server import run

pytestmark = pytest.mark.process

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
EXAMPLE = DOCUMENT.read_text().split("```toml\n")[1].split("```")[0]
FIXED = "11111111-1111-4111-8111-111111111111"
RANDOM = "22222222-2222-4222-8222-222222222222"


def init(target, tmp_path, text: str):
    seed = tmp_path / "seed.toml"
    seed.write_text(text)
    regions = [argument for region in target.regions for argument in ("--region", region)]
    return run("init", *target.directories(), "--account", target.account, *regions, "--seed", str(seed))


@pytest.fixture(scope="module")
def seeded(new_server, tmp_path_factory):
    """Two deployments with the seed of the documentation."""
    made = []
    for _ in range(2):
        target = new_server((REGION, OTHER_REGION))
        done = init(target, tmp_path_factory.mktemp("seed"), EXAMPLE)
        assert done.returncode == 0, done.stderr
        assert "seeded       2 keys, 2 aliases" in done.stdout
        made.append(target.start())
    return made


@pytest.mark.parametrize(
    "change, told",
    [
        (('aliases = ["alias/app"', 'aliases = ["app"'), 'number 1, field `aliases`: Alias must start with the prefix'),
        (('"Cost Center" = ""', '"aws:x" = ""'), "number 1, field `tags`: Tags beginning with aws: are reserved"),
        (('"AWS": "111122223333"', '"AWS": "999988887777"'), "number 1, field `policy`: Policy contains a statement"),
        (('region = "eu-central-1"', 'region = "ap-south-1"'), "number 2, field `region`: the deployment has no region"),
        ((RANDOM, FIXED), "number 2, field `id`:"),
        (("GxwdHh8=", "GxwdHh8"), "number 1, field `material`: it is not 32 bytes in base64"),
        (("description =", "descripton ="), "line 4: unknown field `descripton`"),
    ],
    ids=["aliases", "tags", "policy", "region", "id", "material", "unknown"],
)
def test_what_is_wrong_is_named_and_nothing_is_made(new_server, tmp_path, change, told):
    target = new_server((REGION, OTHER_REGION))
    assert change[0] in EXAMPLE
    done = init(target, tmp_path, EXAMPLE.replace(*change))
    assert done.returncode != 0 and told in done.stderr and str(tmp_path / "seed.toml") in done.stderr, done.stderr
    assert "AAECAwQ" not in done.stderr
    assert not target.data.exists() and not target.root_directory.exists()
    done = init(target, tmp_path, EXAMPLE)
    assert done.returncode == 0, done.stderr


def test_seeded_keys_are_there_with_all_that_was_said(seeded, account):
    for target in seeded:
        kms = client(target, REGION)
        metadata = kms.describe_key(KeyId="alias/team/app")["KeyMetadata"]
        assert metadata["Arn"] == f"arn:aws:kms:{REGION}:{account}:key/{FIXED}"
        assert (metadata["Description"], metadata["KeyState"]) == ("for our tests", "Enabled")
        tags = kms.list_resource_tags(KeyId=FIXED)["Tags"]
        assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == {"team": "payments", "Cost Center": ""}
        (statement,) = json.loads(kms.get_key_policy(KeyId=FIXED)["Policy"])["Statement"]
        assert statement["Principal"] == {"AWS": "111122223333"}
        assert refusal(kms.describe_key, KeyId=RANDOM).code == "NotFoundException"
        assert client(target, OTHER_REGION).describe_key(KeyId=RANDOM)["KeyMetadata"]["Enabled"]


def test_blob_of_one_deployment_opens_in_the_other(seeded):
    one, other = (client(target, REGION) for target in seeded)
    plaintext, context = marked(), {"purpose": "test"}
    blob = one.encrypt(KeyId="alias/app", Plaintext=plaintext, EncryptionContext=context)["CiphertextBlob"]
    assert refusal(other.decrypt, CiphertextBlob=blob).code == "InvalidCiphertextException"
    assert other.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == plaintext


def test_blob_under_material_that_was_not_given_does_not(seeded):
    one, other = (client(target, OTHER_REGION) for target in seeded)
    blob = one.encrypt(KeyId=RANDOM, Plaintext=b"x")["CiphertextBlob"]
    assert refusal(other.decrypt, CiphertextBlob=blob).code == "InvalidCiphertextException"


def test_each_key_and_alias_has_its_record_and_the_store_is_clean(seeded):
    target = seeded[0]
    assert target.stop() == 0
    done = run("check", *target.directories())
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("audit", *target.directories())
    records = [json.loads(line) for line in done.stdout.splitlines()]
    made = [(record["eventName"], record["awsRegion"]) for record in records if "serviceEventDetails" in record]
    assert sorted(made) == sorted(
        [("CreateKey", REGION), ("CreateKey", OTHER_REGION), ("CreateAlias", REGION), ("CreateAlias", REGION)]
    )
    assert "AAECAwQ" not in done.stdout

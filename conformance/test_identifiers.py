"""How a request may name a key: four forms, and everything that is none of them."""

import pytest

from clients import b64, refusal

UNKNOWN = "00000000-0000-4000-8000-00000000000f"
FOREIGN_ACCOUNT = "999988887777"
FOREIGN_TAIL = (
    "on this resource because the resource does not exist in this Region, no resource-based policies allow access, "
    "or a resource-based policy explicitly denies access"
)


def calls(kms, blob) -> dict:
    """Every operation that names a key, and what else it needs."""
    return {
        "describe_key": (kms.describe_key, "KeyId", {}),
        "encrypt": (kms.encrypt, "KeyId", {"Plaintext": b"x"}),
        "generate_data_key": (kms.generate_data_key, "KeyId", {"KeySpec": "AES_128"}),
        "generate_data_key_without_plaintext": (
            kms.generate_data_key_without_plaintext,
            "KeyId",
            {"KeySpec": "AES_128"},
        ),
        "re_encrypt": (kms.re_encrypt, "DestinationKeyId", {"CiphertextBlob": blob}),
        "enable_key": (kms.enable_key, "KeyId", {}),
        "disable_key": (kms.disable_key, "KeyId", {}),
        "get_key_last_usage": (kms.get_key_last_usage, "KeyId", {}),
        "get_key_policy": (kms.get_key_policy, "KeyId", {}),
        "put_key_policy": (kms.put_key_policy, "KeyId", {"Policy": "{}"}),
        "list_aliases": (kms.list_aliases, "KeyId", {}),
        "list_key_policies": (kms.list_key_policies, "KeyId", {}),
        "list_resource_tags": (kms.list_resource_tags, "KeyId", {}),
        "schedule_key_deletion": (kms.schedule_key_deletion, "KeyId", {}),
        "cancel_key_deletion": (kms.cancel_key_deletion, "KeyId", {}),
        "tag_resource": (kms.tag_resource, "KeyId", {"Tags": [{"TagKey": "k", "TagValue": "v"}]}),
        "untag_resource": (kms.untag_resource, "KeyId", {"TagKeys": ["k"]}),
        "update_key_description": (kms.update_key_description, "KeyId", {"Description": "d"}),
        "create_alias": (kms.create_alias, "TargetKeyId", {"AliasName": "alias/conformance/never"}),
    }


TAKE_ALIASES = [
    "describe_key", "encrypt", "generate_data_key", "generate_data_key_without_plaintext", "re_encrypt",
]  # fmt: skip
TAKE_NO_ALIASES = [
    "enable_key", "disable_key", "get_key_last_usage", "get_key_policy", "put_key_policy", "list_aliases",
    "list_key_policies",
    "list_resource_tags", "schedule_key_deletion", "cancel_key_deletion", "tag_resource", "untag_resource",
    "update_key_description",
]  # fmt: skip
ALL = [*TAKE_ALIASES, *TAKE_NO_ALIASES, "create_alias"]


@pytest.fixture(scope="module")
def blob(kms, second_key) -> bytes:
    return kms.encrypt(KeyId=second_key.id, Plaintext=b"x")["CiphertextBlob"]


@pytest.fixture(scope="module")
def refused_as(loose, blob):
    def call(name: str, identifier: str):
        function, member, rest = calls(loose, blob)[name]
        return refusal(function, **{member: identifier}, **rest)

    return call


@pytest.mark.parametrize("name", ALL)
def test_unknown_key_is_not_found(refused_as, account, region, name):
    arn = f"arn:aws:kms:{region}:{account}:key/{UNKNOWN}"
    for identifier in (UNKNOWN, arn):
        error = refused_as(name, identifier)
        assert (error.code, error.message) == ("NotFoundException", f"Key '{arn}' does not exist")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "identifier",
    ["nonsense", "1234abcd12ab34cd56ef1234567890ab", "1234ABCD-12AB-34CD-56EF-1234567890AB", "mrk-1234", "*"],
)
def test_what_is_no_key_id_is_not_found(refused_as, name, identifier):
    error = refused_as(name, identifier)
    assert (error.code, error.message) == ("NotFoundException", f"Invalid keyId '{identifier}'")


@pytest.mark.parametrize("name", ALL)
def test_arn_of_another_region_is_not_found(refused_as, account, key, name):
    for region in ("eu-central-1", "ap-south-1"):
        error = refused_as(name, f"arn:aws:kms:{region}:{account}:key/{key.id}")
        assert (error.code, error.message) == ("NotFoundException", f"Invalid arn {region}")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "template",
    [
        "arn:aws:kms:{region}:{account}",
        "arn:aws:kms",
        "arn:",
        "arn:aws:s3:{region}:{account}:key/{key}",
        "arn:aws:kms:{region}:1:key/{key}",
        "arn:aws:kms:{region}:{account}:queue/{key}",
        "arn:aws:kms::{account}:key/{key}",
    ],
)
def test_malformed_arn_is_refused(refused_as, account, region, key, name, template):
    error = refused_as(name, template.format(region=region, account=account, key=key.id))
    assert error.code in ("InvalidArnException", "NotFoundException", "ValidationException")
    assert error.message != ""


@pytest.mark.parametrize("name", ALL)
def test_arn_of_another_partition_is_refused(refused_as, account, region, key, name):
    error = refused_as(name, f"arn:aws-cn:kms:{region}:{account}:key/{key.id}")
    assert error.code in ("InvalidArnException", "NotFoundException", "ValidationException")


@pytest.mark.parametrize("name", TAKE_ALIASES)
def test_unknown_alias_is_not_found(refused_as, account, region, alias_name, name):
    arn = f"arn:aws:kms:{region}:{account}:{alias_name}"
    for identifier in (alias_name, arn):
        error = refused_as(name, identifier)
        assert (error.code, error.message) == ("NotFoundException", f"Alias {arn} is not found.")


@pytest.mark.parametrize("name", TAKE_NO_ALIASES)
def test_alias_is_refused_where_only_keys_are_taken(refused_as, kms, account, region, key, alias, name):
    error = refused_as(name, alias)
    assert (error.code, error.message) == ("NotFoundException", f"Invalid keyId '{alias}'")
    error = refused_as(name, f"arn:aws:kms:{region}:{account}:{alias}")
    assert error.code in ("NotFoundException", "InvalidArnException", "ValidationException")
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize("name", TAKE_ALIASES)
def test_key_of_a_foreign_account_is_denied_whether_or_not_it_exists(refused_as, region, root_arn, key, name):
    for id in (UNKNOWN, key.id):
        error = refused_as(name, f"arn:aws:kms:{region}:{FOREIGN_ACCOUNT}:key/{id}")
        assert error.code == "AccessDeniedException"
        assert error.message.startswith(f"User: {root_arn} is not authorized to perform: kms:")
        assert error.message.endswith(FOREIGN_TAIL)


@pytest.mark.parametrize("name", [*TAKE_NO_ALIASES, "create_alias"])
def test_key_of_a_foreign_account_cannot_be_managed(refused_as, kms, region, key, name):
    error = refused_as(name, f"arn:aws:kms:{region}:{FOREIGN_ACCOUNT}:key/{key.id}")
    assert error.code in ("AccessDeniedException", "NotFoundException")
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize("name", ALL)
def test_empty_identifier_is_refused(refused_as, name):
    error = refused_as(name, "")
    assert error.code == "ValidationException"
    assert error.message.endswith("Member must have length greater than or equal to 1")


@pytest.mark.parametrize("name", ALL)
def test_identifier_of_2049_characters_is_refused(refused_as, name):
    error = refused_as(name, "k" * 2049)
    assert error.code == "ValidationException"
    assert error.message.endswith("Member must have length less than or equal to 2048")
    # At the limit it is only a wrong id.
    assert refused_as(name, "k" * 2048).code == "NotFoundException"


def test_all_four_forms_name_the_key_and_the_answer_has_its_arn(kms, account, region, key, alias, blob):
    for identifier in (key.id, key.arn, alias, f"arn:aws:kms:{region}:{account}:{alias}"):
        for name in TAKE_ALIASES:
            function, member, rest = calls(kms, blob)[name]
            answer = function(**{member: identifier}, **rest)
            arn = answer["KeyMetadata"]["Arn"] if name == "describe_key" else answer["KeyId"]
            assert (name, identifier, arn) == (name, identifier, key.arn)


def test_id_and_arn_name_the_key_to_the_operations_that_manage_it(kms, fresh_key, alias_name):
    for number, identifier in enumerate((fresh_key.id, fresh_key.arn)):
        text = kms.get_key_policy(KeyId=identifier)["Policy"]
        kms.put_key_policy(KeyId=identifier, Policy=text)
        kms.disable_key(KeyId=identifier)
        kms.enable_key(KeyId=identifier)
        kms.create_alias(AliasName=f"{alias_name}/{number}", TargetKeyId=identifier)
        assert len(kms.list_aliases(KeyId=identifier)["Aliases"]) == number + 1


def test_key_of_another_region_does_not_exist_here(kms, kms_elsewhere):
    made = kms_elsewhere.create_key()["KeyMetadata"]
    assert refusal(kms.describe_key, KeyId=made["KeyId"]).code == "NotFoundException"


def test_wrong_source_key_forms_of_decrypt_are_refused(raw, blob, account, region):
    for identifier, code in [("nonsense", "NotFoundException"), (UNKNOWN, "NotFoundException")]:
        answer = raw("Decrypt", {"CiphertextBlob": b64(blob), "KeyId": identifier})
        assert (answer.status, answer.code) == (400, code)

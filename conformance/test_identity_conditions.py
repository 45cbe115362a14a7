"""Conditions where no key policy decides: in the policies of users, for CreateKey, GenerateRandom and ListKeys.

Each case is a user whose one policy allows one action under one condition. The first call does not meet it, the second does.
"""

import json

import pytest

from attestation import Authority, Recipient, argument, register
from clients import client, refusal
from conftest import REGION
from test_credential_region import offline

pytestmark = pytest.mark.process

ACCOUNT = "111122223333"
SIGNING = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
RED, BLUE = ({"Tags": [{"TagKey": "Team", "TagValue": value}]} for value in ("red", "blue"))


def equals(key: str, *values) -> dict:
    return {"StringEquals": {key: list(values)}}


CREATE_KEY = {
    "aws:RequestTag": (equals("aws:RequestTag/Team", "red"), BLUE, RED),
    "aws:RequestTag, absent": (equals("aws:RequestTag/Team", ""), {}, {"Tags": [{"TagKey": "team", "TagValue": ""}]}),
    "aws:TagKeys": (
        {"ForAllValues:StringEquals": {"aws:TagKeys": "Team"}},
        {"Tags": [*RED["Tags"], {"TagKey": "Other", "TagValue": "x"}]},
        RED,
    ),
    "kms:BypassPolicyLockoutSafetyCheck": (
        {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "false"}},
        {"BypassPolicyLockoutSafetyCheck": True},
        {"BypassPolicyLockoutSafetyCheck": False},
    ),
    "kms:CustomerMasterKeySpec": (equals("kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"), SIGNING, {}),
    "kms:CustomerMasterKeyUsage": (equals("kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT"), SIGNING, {}),
    "kms:KeySpec": (equals("kms:KeySpec", "ECC_NIST_P256"), {}, SIGNING),
    "kms:KeyUsage": (equals("kms:KeyUsage", "SIGN_VERIFY"), {}, SIGNING),
}
# What is the same in every call: one value never allows, the other always.
FIXED = {
    "aws:PrincipalAccount": (equals("aws:PrincipalAccount", "444455556666"), equals("aws:PrincipalAccount", ACCOUNT)),
    "aws:RequestedRegion": (equals("aws:RequestedRegion", "eu-west-3"), equals("aws:RequestedRegion", REGION)),
    "kms:CallerAccount": (equals("kms:CallerAccount", "444455556666"), equals("kms:CallerAccount", ACCOUNT)),
    "kms:KeyOrigin": (equals("kms:KeyOrigin", "EXTERNAL"), equals("kms:KeyOrigin", "AWS_KMS")),
    "kms:MultiRegion": ({"Bool": {"kms:MultiRegion": "true"}}, {"Bool": {"kms:MultiRegion": "false"}}),
}
MEASURED = {
    "kms:RecipientAttestation:PCR0": ("enclave", 0),
    "kms:RecipientAttestation:ImageSha384": ("enclave", 0),
    "kms:RecipientAttestation:PCR8": ("enclave", 8),
    "kms:RecipientAttestation:NitroTPMPCR7": ("nitro_tpm", 7),
}


def user(name: str, action: str, condition: dict) -> str:
    # Who makes a key with tags must be allowed to tag it.
    actions = [f"kms:{action}", "kms:TagResource"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    return f"[[user]]\nname = \"{name}\"\naccount = \"{ACCOUNT}\"\npolicies.main = '''{policy}'''\n"


def named(case: str) -> str:
    return case.replace(":", "-").replace(", ", "-")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def house(new_server, authority):
    target = new_server(account=ACCOUNT).init()
    users = [user(named(name), "CreateKey", case[0]) for name, case in CREATE_KEY.items()]
    for name, conditions in FIXED.items():
        users += [user(f"{word}-{named(name)}", "CreateKey", condition) for word, condition in zip(("never", "always"), conditions)]
    users += [
        user(named(name), "GenerateRandom", {"StringEqualsIgnoreCase": {name: register(index).hex().upper()}})
        for name, (_, index) in MEASURED.items()
    ]
    users.append(user("nobody-asks", "ListKeys", {"Null": {"kms:CallerAccount": "true"}}))
    users.append(user("somebody-asks", "ListKeys", {"Null": {"kms:CallerAccount": "false"}}))
    path = target.home / "identities.toml"
    path.write_text("".join(users))
    offline(target, "identity", "apply", str(path))
    root = authority.write_root(target.home / "nitro-root.pem")
    configuration = target.home / "strongroom.toml"
    configuration.write_text(f"[attestation]\nroots = [{str(root)!r}]\n")
    return target.start(extra=("--config", str(configuration)))


def of(house, name: str):
    return client(house, REGION, profile=f"{ACCOUNT}/{name}")


def denied(call, **parameters) -> bool:
    error = refusal(call, **parameters)
    return error.code == "AccessDeniedException" and "no identity-based policy allows the kms:" in error.message


@pytest.mark.parametrize("name", CREATE_KEY)
def test_condition_on_a_new_key(house, name):
    _, refused, allowed = CREATE_KEY[name]
    kms = of(house, named(name))
    assert denied(kms.create_key, **refused)
    assert kms.create_key(**allowed)["KeyMetadata"]["Enabled"]


@pytest.mark.parametrize("name", FIXED)
def test_condition_on_what_never_changes(house, name):
    assert denied(of(house, f"never-{named(name)}").create_key)
    assert of(house, f"always-{named(name)}").create_key()["KeyMetadata"]["Enabled"]


@pytest.mark.parametrize("name", MEASURED)
def test_random_bytes_for_a_measured_recipient_alone(house, authority, tmp_path, name):
    platform, index = MEASURED[name]
    recipient, other = Recipient(tmp_path), "nitro_tpm" if platform == "enclave" else "enclave"
    ask = of(house, named(name)).generate_random
    assert denied(ask, NumberOfBytes=32)
    wrong = argument(getattr(authority, other)(recipient))
    assert denied(ask, NumberOfBytes=32, Recipient=wrong)
    answer = ask(NumberOfBytes=32, Recipient=argument(getattr(authority, platform)(recipient)))
    assert "Plaintext" not in answer and answer["CiphertextForRecipient"]


def test_operations_about_no_key_have_no_caller_account(house):
    assert denied(of(house, "somebody-asks").list_keys)
    assert of(house, "nobody-asks").list_keys()["Keys"]

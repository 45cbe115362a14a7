"""Conditions in key policies: each condition key once refusing and once allowing, through the API.

Each case is an Allow with one condition for one action on a key whose policy otherwise allows everything but that action. The
first call does not meet the condition, the second does.
"""

import datetime
import json
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients import client, refusal
from conftest import make_key

CONTEXT = {"Dept": "finance", "Purpose": "test"}


@dataclass
class Case:
    """A condition, the call that it is about, and what that call must have to be refused and to be allowed."""

    condition: dict
    action: str = "Encrypt"
    refused: dict = field(default_factory=dict)
    allowed: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    #: What the key is made with.
    made_with: dict = field(default_factory=dict)
    #: A second condition in place of another call, for facts that a caller cannot choose.
    never: dict | None = None


def equals(key: str, *values) -> dict:
    return {"StringEquals": {key: list(values)}}


def any_of(key: str, *values) -> dict:
    return {"ForAnyValue:StringEquals": {key: list(values)}}


def fixed(key: str, value, other, operator: str = "StringEquals", **more) -> Case:
    """A fact that is the same in every call: one value allows, the other never."""
    return Case({operator: {key: value}}, never={operator: {key: other}}, **more)


TOMORROW = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

#: Of a key pair made elsewhere, for DeriveSharedSecret.
PEER = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
P256 = {"KeySpec": "ECC_NIST_P256"}
SIGNED = {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
RSA = {"Message": b"x" * 32, "MessageType": "DIGEST"}
ROOT = "arn:aws:iam::%account:root"
GRANT = {"GranteePrincipal": ROOT, "Operations": ["Encrypt", "Decrypt"]}
ABSENT_HERE = [
    "aws:CalledVia",
    "aws:CalledViaFirst",
    "aws:CalledViaLast",
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalServiceName",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:TokenIssueTime",
    "kms:MultiRegionKeyType",
    "kms:RecipientAttestation:PCR0",
]

CASES = {
    "aws:CurrentTime": fixed("aws:CurrentTime", TOMORROW, "2020-01-01T00:00:00Z", "DateLessThan"),
    "aws:EpochTime": fixed("aws:EpochTime", "1500000000", "4000000000", "NumericGreaterThan"),
    "aws:PrincipalAccount": fixed("aws:PrincipalAccount", "%account", "444455556666"),
    "aws:PrincipalArn": fixed("aws:PrincipalArn", "arn:aws:iam::%account:ro*", "arn:aws:iam::%account:user/*", "ArnLike"),
    "aws:PrincipalIsAWSService": fixed("aws:PrincipalIsAWSService", "false", "true", "Bool"),
    "aws:PrincipalOrgID": fixed("aws:PrincipalOrgID", "true", "false", "Null"),
    "aws:PrincipalTag": fixed("aws:PrincipalTag/team", "true", "false", "Null"),
    "aws:PrincipalType": fixed("aws:PrincipalType", "Account", "User"),
    "aws:RequestTag": Case(
        equals("aws:RequestTag/Team", "red"),
        "TagResource",
        {"Tags": [{"TagKey": "Team", "TagValue": "blue"}]},
        {"Tags": [{"TagKey": "Team", "TagValue": "red"}]},
    ),
    "aws:RequestedRegion": fixed("aws:RequestedRegion", "%region", "eu-west-3"),
    "aws:ResourceAccount": fixed("aws:ResourceAccount", "%account", "444455556666"),
    "aws:ResourceTag": fixed("aws:resourcetag/Stage", "prod", "dev", tags={"stage": "prod"}),
    "aws:SecureTransport": fixed("aws:SecureTransport", False, True, "Bool"),
    "aws:SourceIp": fixed("aws:SourceIp", ["127.0.0.0/8", "::1/128"], "203.0.113.0/24", "IpAddress"),
    "aws:SourceIp, negated": fixed("aws:SourceIp", "203.0.113.0/24", "127.0.0.0/8", "NotIpAddress"),
    "aws:TagKeys": Case(
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "Stage"]}},
        "TagResource",
        {"Tags": [{"TagKey": "Team", "TagValue": "x"}, {"TagKey": "Owner", "TagValue": "x"}]},
        {"Tags": [{"TagKey": "Team", "TagValue": "x"}, {"TagKey": "Stage", "TagValue": "x"}]},
    ),
    "aws:TagKeys of UntagResource": Case(
        any_of("aws:TagKeys", "Team"), "UntagResource", {"TagKeys": ["team"]}, {"TagKeys": ["Team", "Stage"]}
    ),
    "aws:UserAgent": fixed("aws:UserAgent", "*otocore*", "curl*", "StringLike"),
    "aws:ViaAWSService": fixed("aws:ViaAWSService", "false", "true", "Bool"),
    "aws:userid": fixed("aws:userid", "%account", "AIDA*", "StringLike"),
    "aws:username": fixed("aws:username", "true", "false", "Null"),
    "kms:BypassPolicyLockoutSafetyCheck": Case(
        {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": False}},
        "PutKeyPolicy",
        {"BypassPolicyLockoutSafetyCheck": True},
        {"BypassPolicyLockoutSafetyCheck": False},
    ),
    "kms:CallerAccount": fixed("kms:CallerAccount", "%account", "444455556666"),
    "kms:CustomerMasterKeySpec": fixed("kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT", "RSA_2048"),
    "kms:CustomerMasterKeyUsage": fixed("kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"),
    "kms:DataKeyPairSpec": Case(
        equals("kms:DataKeyPairSpec", "ECC_NIST_P256"),
        "GenerateDataKeyPair",
        {"KeyPairSpec": "ECC_NIST_P384"},
        {"KeyPairSpec": "ECC_NIST_P256"},
    ),
    "kms:DataKeyPairSpec without plaintext": Case(
        equals("kms:DataKeyPairSpec", "ECC_NIST_P256"),
        "GenerateDataKeyPairWithoutPlaintext",
        {"KeyPairSpec": "ECC_NIST_P384"},
        {"KeyPairSpec": "ECC_NIST_P256"},
    ),
    "kms:EncryptionAlgorithm": fixed("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_256"),
    "kms:EncryptionAlgorithm of data keys": fixed(
        "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_256", action="GenerateDataKey"
    ),
    "kms:EncryptionContext": Case(
        equals("kms:EncryptionContext:Dept", "finance"),
        refused={"EncryptionContext": CONTEXT | {"Dept": "Finance"}},
        allowed={"EncryptionContext": CONTEXT},
    ),
    "kms:EncryptionContext, absent": Case(
        equals("kms:EncryptionContext:Dept", ""), refused={}, allowed={"EncryptionContext": {"dept": ""}}
    ),
    "kms:EncryptionContext, either case": Case(
        equals("kms:encryptioncontext:DEPT", "finance"),
        refused={"EncryptionContext": {"Dept": "finance", "dept": "hr"}},
        allowed={"EncryptionContext": CONTEXT},
    ),
    "kms:EncryptionContextKeys": Case(
        {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["Dept", "Purpose"]}},
        refused={"EncryptionContext": {"dept": "finance"}},
        allowed={"EncryptionContext": CONTEXT},
    ),
    "kms:EncryptionContextKeys, absent": Case(
        {"Null": {"kms:EncryptionContextKeys": "false"}}, refused={}, allowed={"EncryptionContext": CONTEXT}
    ),
    "kms:GrantConstraintType": Case(
        equals("kms:GrantConstraintType", "EncryptionContextEquals"),
        "CreateGrant",
        GRANT | {"Constraints": {"EncryptionContextSubset": CONTEXT}},
        GRANT | {"Constraints": {"EncryptionContextEquals": CONTEXT}},
    ),
    "kms:GrantIsForAWSResource": fixed(
        "kms:GrantIsForAWSResource", False, True, "Bool", action="CreateGrant", allowed=GRANT
    ),
    "kms:GrantIsForAWSResource of ListGrants": fixed(
        "kms:GrantIsForAWSResource", False, True, "Bool", action="ListGrants"
    ),
    "kms:GrantOperations": Case(
        {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}},
        "CreateGrant",
        GRANT | {"Operations": ["Encrypt", "CreateGrant"]},
        GRANT,
    ),
    "kms:GranteePrincipal": Case(
        equals("kms:GranteePrincipal", ROOT),
        "CreateGrant",
        GRANT | {"GranteePrincipal": "arn:aws:iam::444455556666:root"},
        GRANT,
    ),
    "kms:KeyAgreementAlgorithm": fixed(
        "kms:KeyAgreementAlgorithm",
        "ECDH",
        "OTHER",
        action="DeriveSharedSecret",
        allowed={"KeyAgreementAlgorithm": "ECDH", "PublicKey": PEER},
        made_with=P256 | {"KeyUsage": "KEY_AGREEMENT"},
    ),
    "kms:KeyOrigin": fixed("kms:KeyOrigin", "AWS_KMS", "EXTERNAL"),
    "kms:KeySpec": fixed("kms:KeySpec", "SYMMETRIC_DEFAULT", "RSA_2048", action="DescribeKey"),
    "kms:KeyUsage": fixed("kms:KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY", action="GenerateDataKey"),
    "kms:KeySpec of an asymmetric key": fixed(
        "kms:KeySpec", "ECC_NIST_P256", "SYMMETRIC_DEFAULT", action="GetPublicKey", made_with=P256 | {"KeyUsage": "SIGN_VERIFY"}
    ),
    "kms:MacAlgorithm": fixed(
        "kms:MacAlgorithm",
        "HMAC_SHA_256",
        "HMAC_SHA_512",
        action="GenerateMac",
        allowed={"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"},
        made_with={"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    ),
    "kms:MessageType": Case(
        equals("kms:MessageType", "DIGEST"),
        "Sign",
        SIGNED | {"MessageType": "RAW"},
        SIGNED | RSA,
        made_with=P256 | {"KeyUsage": "SIGN_VERIFY"},
    ),
    "kms:MessageType, by default": Case(
        equals("kms:MessageType", "RAW"),
        "Sign",
        SIGNED | RSA,
        SIGNED,
        made_with=P256 | {"KeyUsage": "SIGN_VERIFY"},
    ),
    "kms:MultiRegion": fixed("kms:MultiRegion", False, True, "Bool"),
    "kms:PolicyName": fixed("kms:PolicyName", "default", "AWS_RAM", action="GetKeyPolicy"),
    "kms:RequestAlias": Case(
        equals("kms:RequestAlias", "%alias"), refused={}, allowed={"KeyId": "%alias"}
    ),
    "kms:RequestAlias by ARN": Case(
        equals("kms:RequestAlias", "%alias"),
        "DescribeKey",
        refused={"KeyId": "%arn"},
        allowed={"KeyId": "arn:aws:kms:%region:%account:%alias"},
    ),
    "kms:ResourceAliases": Case(any_of("kms:ResourceAliases", "%alias"), never=any_of("kms:ResourceAliases", "alias/other")),
    "kms:RetiringPrincipal": Case(
        equals("kms:RetiringPrincipal", ROOT), "CreateGrant", GRANT, GRANT | {"RetiringPrincipal": ROOT}
    ),
    "kms:ScheduleKeyDeletionPendingWindowInDays": Case(
        {"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": 20}},
        "ScheduleKeyDeletion",
        {"PendingWindowInDays": 19},
        {},
    ),
    "kms:SigningAlgorithm": Case(
        equals("kms:SigningAlgorithm", "RSASSA_PSS_SHA_256"),
        "Sign",
        RSA | {"SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"},
        RSA | {"SigningAlgorithm": "RSASSA_PSS_SHA_256"},
        made_with={"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
    ),
    "kms:TrailingDaysWithoutKeyUsage": Case(
        {"NumericLessThan": {"kms:TrailingDaysWithoutKeyUsage": 1}},
        "DisableKey",
        never={"NumericGreaterThanEquals": {"kms:TrailingDaysWithoutKeyUsage": 1}},
    ),
    "kms:TrailingDaysWithoutKeyUsage of ScheduleKeyDeletion": Case(
        {"NumericLessThan": {"kms:TrailingDaysWithoutKeyUsage": 1}},
        "ScheduleKeyDeletion",
        never={"NumericGreaterThanEquals": {"kms:TrailingDaysWithoutKeyUsage": 1}},
    ),
    "kms:TrailingDaysWithoutKeyUsage, never there": fixed(
        "kms:TrailingDaysWithoutKeyUsage", "true", "false", "Null", action="EnableKey"
    ),
    "kms:ViaService": fixed("kms:ViaService", "s3.*.amazonaws.com", "s3.%region.amazonaws.com", "StringNotLike") ,
}
# A condition that no direct call can meet, for the negated operator above.
# Facts that nothing here has: no call meets a condition on their values, every call meets the one on their absence.
CASES |= {f"{key}, never there": fixed(key, "true", "false", "Null") for key in ABSENT_HERE}
CASES["kms:ViaService"].never = {"StringLike": {"kms:ViaService": "*"}}

DEFAULTS = {
    "Encrypt": {"Plaintext": b"x"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
}


def method(kms, action: str):
    name = "".join("_" + letter.lower() if letter.isupper() else letter for letter in action).lstrip("_")
    return getattr(kms, name)


def with_condition(root_arn: str, action: str, condition: dict) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": root_arn}, "Resource": "*"}
    text = {
        "Version": "2012-10-17",
        "Statement": [
            statement | {"NotAction": f"kms:{action}"},
            statement | {"Action": f"kms:{action}", "Condition": condition},
        ],
    }
    return json.dumps(text)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_condition_key_refuses_and_allows(kms, case, account, region, root_arn, alias_name):
    tags = [{"TagKey": key, "TagValue": value} for key, value in case.tags.items()]
    metadata = kms.create_key(**case.made_with, **({"Tags": tags} if tags else {}))["KeyMetadata"]
    key_id, key_arn = metadata["KeyId"], metadata["Arn"]
    kms.create_alias(AliasName=alias_name, TargetKeyId=key_id)
    places = {"%account": account, "%region": region, "%alias": alias_name, "%arn": key_arn}

    def filled(value):
        if isinstance(value, dict):
            return {name: filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        if isinstance(value, str):
            for place, text in places.items():
                value = value.replace(place, text)
        return value

    def put(condition):
        policy = with_condition(root_arn, case.action, filled(condition))
        kms.put_key_policy(KeyId=key_id, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
        return policy

    def call(more):
        parameters = {"KeyId": key_id} | DEFAULTS.get(case.action, {}) | filled(more)
        if case.action == "PutKeyPolicy":
            parameters["Policy"] = policy
        return method(kms, case.action), parameters

    policy = put(case.condition if case.never is None else case.never)
    function, parameters = call(case.refused if case.never is None else case.allowed)
    error = refusal(function, **parameters)
    assert error.code == "AccessDeniedException"
    assert error.message.endswith(f"because no resource-based policy allows the kms:{case.action} action")
    if case.never is not None:
        policy = put(case.condition)
    function, parameters = call(case.allowed)
    function(**parameters)


def test_re_encrypt_asks_each_side_with_its_own_context(kms, root_arn):
    source, destination = make_key(kms), make_key(kms)
    for key, action, purpose in ((source, "ReEncryptFrom", "old"), (destination, "ReEncryptTo", "new")):
        condition = equals("kms:EncryptionContext:Purpose", purpose)
        kms.put_key_policy(KeyId=key.id, Policy=with_condition(root_arn, action, condition))
    blob = kms.encrypt(KeyId=source.id, Plaintext=b"x", EncryptionContext={"Purpose": "old"})["CiphertextBlob"]
    call = {"CiphertextBlob": blob, "SourceEncryptionContext": {"Purpose": "old"}, "DestinationKeyId": destination.arn}
    error = refusal(kms.re_encrypt, **call, DestinationEncryptionContext={"Purpose": "old"})
    assert error.message.endswith("because no resource-based policy allows the kms:ReEncryptTo action")
    error = refusal(kms.re_encrypt, **call | {"SourceEncryptionContext": {"Purpose": "new"}})
    assert error.message.endswith("because no resource-based policy allows the kms:ReEncryptFrom action")
    moved = kms.re_encrypt(**call, DestinationEncryptionContext={"Purpose": "new"})
    assert moved["KeyId"] == destination.arn


@pytest.mark.parametrize("is_same", [True, False])
def test_re_encrypt_on_the_same_key(kms, root_arn, is_same):
    key, other = make_key(kms), make_key(kms)
    condition = {"Bool": {"kms:ReEncryptOnSameKey": is_same}}
    kms.put_key_policy(KeyId=key.id, Policy=with_condition(root_arn, "ReEncryptFrom", condition))
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
    good, bad = (key, other) if is_same else (other, key)
    assert refusal(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=bad.id).code == "AccessDeniedException"
    assert kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=good.id)["KeyId"] == good.arn


def test_a_deny_with_a_condition_denies_only_where_it_holds(kms, fresh_key, root_arn):
    statement = {"Effect": "Allow", "Principal": {"AWS": root_arn}, "Action": "kms:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}
    deny["Condition"] = {"StringNotEquals": {"kms:EncryptionContext:Dept": "finance"}}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement, deny]})
    kms.put_key_policy(KeyId=fresh_key.id, Policy=text)
    bare = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    error = refusal(kms.decrypt, CiphertextBlob=bare)
    assert error.message.endswith("with an explicit deny in a resource-based policy")
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"] == b"x"


def test_lockout_check_asks_the_conditions(kms, fresh_key, root_arn):
    never = with_condition(root_arn, "PutKeyPolicy", {"Bool": {"aws:SecureTransport": "true"}})
    error = refusal(kms.put_key_policy, KeyId=fresh_key.id, Policy=never)
    assert error.code == "MalformedPolicyDocumentException"
    here = with_condition(root_arn, "PutKeyPolicy", equals("kms:PolicyName", "default"))
    kms.put_key_policy(KeyId=fresh_key.id, Policy=here)
    refused = refusal(kms.create_key, Policy=never)
    assert refused.code == "MalformedPolicyDocumentException"
    assert kms.create_key(Policy=here)["KeyMetadata"]["Enabled"]


def test_an_alias_that_points_elsewhere_gives_no_right_to_the_new_key(kms, root_arn, alias_name):
    """kms:RequestAlias is about the alias of the request; the key that it points to has its own policy."""
    first, second = make_key(kms), make_key(kms)
    kms.create_alias(AliasName=alias_name, TargetKeyId=first.id)
    kms.put_key_policy(
        KeyId=first.id, Policy=with_condition(root_arn, "Encrypt", equals("kms:RequestAlias", alias_name))
    )
    kms.put_key_policy(
        KeyId=second.id, Policy=with_condition(root_arn, "Encrypt", any_of("kms:ResourceAliases", "alias/none"))
    )
    kms.encrypt(KeyId=alias_name, Plaintext=b"x")
    kms.update_alias(AliasName=alias_name, TargetKeyId=second.id)
    assert refusal(kms.encrypt, KeyId=alias_name, Plaintext=b"x").code == "AccessDeniedException"
    assert refusal(kms.encrypt, KeyId=first.id, Plaintext=b"x").code == "AccessDeniedException"


def test_a_tag_that_gives_rights_is_guarded_by_the_right_to_tag(kms, fresh_key, root_arn):
    """Whoever may set the tag that a condition asks for gives themselves what it guards; a Deny on the tag's key stops that."""
    statement = {"Effect": "Allow", "Principal": {"AWS": root_arn}, "Resource": "*"}
    text = {
        "Version": "2012-10-17",
        "Statement": [
            statement | {"NotAction": "kms:Encrypt"},
            statement | {"Action": "kms:Encrypt", "Condition": equals("aws:ResourceTag/Stage", "open")},
            statement
            | {
                "Effect": "Deny",
                "Action": ["kms:TagResource", "kms:UntagResource"],
                "Condition": {"ForAnyValue:StringEqualsIgnoreCase": {"aws:TagKeys": "stage"}},
            },
        ],
    }
    kms.put_key_policy(KeyId=fresh_key.id, Policy=json.dumps(text))
    for name in ("Stage", "stage", "STAGE"):
        error = refusal(kms.tag_resource, KeyId=fresh_key.id, Tags=[{"TagKey": name, "TagValue": "open"}])
        assert error.message.endswith("with an explicit deny in a resource-based policy")
    kms.tag_resource(KeyId=fresh_key.id, Tags=[{"TagKey": "Stages", "TagValue": "open"}])
    assert refusal(kms.encrypt, KeyId=fresh_key.id, Plaintext=b"x").code == "AccessDeniedException"


def test_a_policy_of_the_largest_size_decides(kms, fresh_key, root_arn):
    """Thousands of wildcards, up to the last character."""
    statement = {"Effect": "Allow", "Principal": {"AWS": root_arn}, "Action": "kms:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}
    deny["Condition"] = {"StringLike": {"kms:EncryptionContext:k": "*a" * 15_000 + "*b"}}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement, deny]})
    kms.put_key_policy(KeyId=fresh_key.id, Policy=text + " " * (32_768 - len(text)))
    context = {"k": "a" * 8000}
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"


@pytest.mark.process
def test_service_facts_are_not_taken_from_headers(server, region, key, root_arn):
    """Nobody becomes a service by saying so: the confused deputy's headers are not read."""
    kms = client(server, region)
    fresh = make_key(kms)
    for name, wanted in (
        ("kms:ViaService", "s3.us-east-1.amazonaws.com"),
        ("aws:SourceArn", "arn:aws:s3:::bucket"),
        ("aws:SourceAccount", server.account),
        ("aws:CalledVia", "s3.amazonaws.com"),
    ):
        kms.put_key_policy(KeyId=fresh.id, Policy=with_condition(root_arn, "Encrypt", any_of(name, wanted)))

        def pretend(request, **_):
            request.headers["X-Amz-Source-Arn"] = "arn:aws:s3:::bucket"
            request.headers["X-Amz-Source-Account"] = server.account
            request.headers["X-Amz-Via-Service"] = "s3.us-east-1.amazonaws.com"
            request.headers["X-Forwarded-For"] = "203.0.113.1"

        kms.meta.events.register("before-sign.kms", pretend)
        assert refusal(kms.encrypt, KeyId=fresh.id, Plaintext=b"x").code == "AccessDeniedException"
        kms.meta.events.unregister("before-sign.kms", pretend)


#: Members that the pinned botocore does not know: who grants to a service names a resource, and who retires the grant.
SERVICE_GRANT = {
    "GranteeServicePrincipal": "rds.amazonaws.com",
    "RetiringPrincipal": ROOT,
    "Operations": ["Encrypt"],
    "Constraints": {"SourceArn": "arn:aws:rds:us-east-1:444455556666:db:one"},
}
SERVICE_CASES = {
    "kms:GrantConstraintSourceArn": (
        {"ArnLike": {"kms:GrantConstraintSourceArn": "arn:aws:rds:*:444455556666:db:*"}},
        {"Constraints": {"SourceArn": "arn:aws:rds:us-east-1:444455556666:cluster:one"}},
        {},
    ),
    "kms:GranteeServicePrincipal": (
        equals("kms:GranteeServicePrincipal", "rds.amazonaws.com"),
        {"GranteeServicePrincipal": "s3.amazonaws.com"},
        {},
    ),
    "kms:RetiringServicePrincipal": (
        equals("kms:RetiringServicePrincipal", "rds.amazonaws.com"),
        {},
        {"RetiringPrincipal": None, "RetiringServicePrincipal": "rds.amazonaws.com"},
    ),
}


@pytest.mark.parametrize("case", SERVICE_CASES.values(), ids=SERVICE_CASES.keys())
def test_condition_key_of_grants_to_services(raw, kms, case, account, root_arn):
    condition, refused, allowed = case
    key = make_key(kms)
    kms.put_key_policy(KeyId=key.id, Policy=with_condition(root_arn, "CreateGrant", condition))
    for more, status in ((refused, 400), (allowed, 200)):
        body = SERVICE_GRANT | {"KeyId": key.id} | more
        answer = raw("CreateGrant", json.loads(json.dumps(body).replace("%account", account)))
        assert answer.status == status, answer
    assert len(kms.list_grants(KeyId=key.id)["Grants"]) == 1

"""Grants with the real clients: what they allow, their tokens, names, children and end; and that they survive and end at once."""

import json
import threading

import pytest

from clients import HEX64, client, refusal
from conftest import OTHER_REGION, REGION, make_key

CONTEXT = {"app": "a", "env": "test"}


@pytest.fixture(scope="module")
def me(account) -> str:
    return f"arn:aws:iam::{account}:root"


def limited_policy(me: str, *actions: str) -> str:
    """Allows root these actions and the government of the key, nothing else."""
    allowed = ["kms:PutKeyPolicy", "kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant", "kms:ScheduleKeyDeletion"]
    statement = {"Effect": "Allow", "Principal": {"AWS": me}, "Action": [*allowed, *actions], "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def closed(kms, me):
    """A key that its own account may only use by a grant."""
    return make_key(kms, Policy=limited_policy(me))


def grant(kms, key, me, operations=("Encrypt",), **more) -> dict:
    made = kms.create_grant(KeyId=key.id, GranteePrincipal=me, Operations=list(operations), **more)
    assert HEX64.fullmatch(made["GrantId"])
    return made


def test_a_grant_allows_until_it_is_revoked(kms, closed, me):
    assert refusal(kms.encrypt, KeyId=closed.id, Plaintext=b"x").code == "AccessDeniedException"
    made = grant(kms, closed, me, ("Encrypt", "DescribeKey"))
    sealed = kms.encrypt(KeyId=closed.id, Plaintext=b"x", GrantTokens=[made["GrantToken"]])
    assert sealed["KeyId"] == closed.arn
    assert kms.describe_key(KeyId=closed.id)["KeyMetadata"]["Arn"] == closed.arn
    assert refusal(kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"]).code == "AccessDeniedException"
    kms.revoke_grant(KeyId=closed.id, GrantId=made["GrantId"])
    assert refusal(kms.encrypt, KeyId=closed.id, Plaintext=b"x").code == "AccessDeniedException"
    assert refusal(kms.revoke_grant, KeyId=closed.id, GrantId=made["GrantId"]).code == "NotFoundException"


def test_constraints(kms, closed, me):
    equals = grant(kms, closed, me, Constraints={"EncryptionContextEquals": CONTEXT})
    for context in ({}, {"app": "a"}, CONTEXT | {"more": "1"}, {"APP": "a", "env": "test"}):
        error = refusal(kms.encrypt, KeyId=closed.id, Plaintext=b"x", EncryptionContext=context)
        assert error.code == "AccessDeniedException"
    kms.encrypt(KeyId=closed.id, Plaintext=b"x", EncryptionContext=CONTEXT)
    kms.revoke_grant(KeyId=closed.id, GrantId=equals["GrantId"])
    grant(kms, closed, me, Constraints={"EncryptionContextSubset": CONTEXT})
    for context in ({}, {"app": "a"}, {"app": "b", "env": "test"}):
        error = refusal(kms.encrypt, KeyId=closed.id, Plaintext=b"x", EncryptionContext=context)
        assert error.code == "AccessDeniedException"
    kms.encrypt(KeyId=closed.id, Plaintext=b"x", EncryptionContext=CONTEXT | {"more": "1"})


def test_a_name_makes_a_grant_once(kms, closed, me):
    first = grant(kms, closed, me, ("Encrypt", "Decrypt"), Name="one")
    again = grant(kms, closed, me, ("Decrypt", "Encrypt"), Name="one")
    assert first["GrantId"] == again["GrantId"] and first["GrantToken"] != again["GrantToken"]
    other = grant(kms, closed, me, ("Encrypt",), Name="one")
    assert other["GrantId"] != first["GrantId"]
    assert len(kms.list_grants(KeyId=closed.id)["Grants"]) == 2


def test_the_same_name_at_once_makes_one_grant(kms, closed, me):
    ids, barrier = [], threading.Barrier(8)

    def make():
        barrier.wait()
        ids.append(grant(kms, closed, me, Name="at-once")["GrantId"])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8 and len(set(ids)) == 1
    assert len(kms.list_grants(KeyId=closed.id)["Grants"]) == 1


def test_tokens_of_other_keys_forged_ones_and_those_of_ended_grants_are_invalid(kms, kms_elsewhere, fresh_key, me):
    key = fresh_key
    token = grant(kms, key, me)["GrantToken"]
    kms.encrypt(KeyId=key.id, Plaintext=b"x", GrantTokens=[token])
    ended = grant(kms, key, me)
    kms.retire_grant(GrantToken=ended["GrantToken"])
    bad = [
        grant(kms, make_key(kms), me)["GrantToken"],
        grant(kms_elsewhere, make_key(kms_elsewhere), me)["GrantToken"],
        ended["GrantToken"],
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token[:40],
        "AAAA",
    ]
    for token in bad:
        for call, parameters in (
            (kms.encrypt, {"KeyId": key.id, "Plaintext": b"x"}),
            (kms.describe_key, {"KeyId": key.id}),
            (kms.create_grant, {"KeyId": key.id, "GranteePrincipal": me, "Operations": ["Encrypt"]}),
        ):
            assert refusal(call, GrantTokens=[token], **parameters).code == "InvalidGrantTokenException"


def test_a_token_is_no_key(kms, closed, fresh_key, me):
    """The attack: the token of a grant on one key, to use another."""
    token = grant(kms, fresh_key, me, ("Encrypt", "Decrypt", "CreateGrant"))["GrantToken"]
    assert refusal(kms.encrypt, KeyId=closed.id, Plaintext=b"x", GrantTokens=[token]).code == "AccessDeniedException"


def test_nobody_grants_more_than_a_grant_gave(kms, me):
    """The attack: a grant to oneself, wider than what one has."""
    key = make_key(kms, Policy=limited_policy(me))
    parent = grant(kms, key, me, ("CreateGrant", "Decrypt"), Constraints={"EncryptionContextSubset": {"app": "a"}})
    kms.put_key_policy(
        KeyId=key.id,
        Policy=limited_policy(me).replace('"kms:CreateGrant", ', ""),
    )
    narrow = {"EncryptionContextSubset": {"app": "a"}}
    for operations, constraints in (
        (["Encrypt"], narrow),
        (["Decrypt", "Encrypt"], narrow),
        (["Decrypt"], {}),
        (["Decrypt"], {"EncryptionContextSubset": {"app": "b"}}),
        (["Decrypt"], {"EncryptionContextEquals": {"env": "test"}}),
    ):
        error = refusal(
            kms.create_grant, KeyId=key.id, GranteePrincipal=me, Operations=operations, Constraints=constraints
        )
        assert error.code == "AccessDeniedException"
    grant(kms, key, me, ("Decrypt",), Constraints={"EncryptionContextSubset": CONTEXT})
    kms.revoke_grant(KeyId=key.id, GrantId=parent["GrantId"])
    error = refusal(kms.create_grant, KeyId=key.id, GranteePrincipal=me, Operations=["Decrypt"], Constraints=narrow)
    assert error.code == "AccessDeniedException"


def test_retiring_by_token_and_by_id(kms, closed, me):
    by_token, by_id = grant(kms, closed, me), grant(kms, closed, me)
    for parameters in ({}, {"KeyId": closed.arn}, {"GrantId": by_id["GrantId"]}, {"GrantToken": by_token["GrantToken"], "KeyId": closed.arn}):
        assert refusal(kms.retire_grant, **parameters).code == "ValidationException"
    assert refusal(kms.retire_grant, GrantToken=by_token["GrantToken"], DryRun=True).code == "DryRunOperationException"
    kms.retire_grant(GrantToken=by_token["GrantToken"])
    assert refusal(kms.retire_grant, GrantToken=by_token["GrantToken"]).code == "InvalidGrantTokenException"
    kms.retire_grant(KeyId=closed.arn, GrantId=by_id["GrantId"])
    assert refusal(kms.retire_grant, KeyId=closed.arn, GrantId=by_id["GrantId"]).code == "NotFoundException"
    assert refusal(kms.retire_grant, KeyId=closed.arn, GrantId="x").code == "InvalidGrantIdException"
    assert kms.list_grants(KeyId=closed.id)["Grants"] == []


def test_what_cannot_be_granted(kms, loose, closed, me):
    for more, code in (
        ({"GranteePrincipal": me, "Operations": ["Sign"]}, "ValidationException"),
        ({"GranteePrincipal": me, "Operations": ["Burn"]}, "ValidationException"),
        ({"GranteePrincipal": me, "Operations": []}, "ValidationException"),
        ({"GranteePrincipal": "arn:aws:iam::999999999999:user/Nobody", "Operations": ["Encrypt"]}, "InvalidArnException"),
        ({"GranteePrincipal": me, "RetiringPrincipal": "nobody", "Operations": ["Encrypt"]}, "InvalidArnException"),
        ({"Operations": ["Encrypt"]}, "ValidationException"),
    ):
        assert refusal(loose.create_grant, KeyId=closed.id, **more).code == code, more
    kms.create_grant(KeyId=closed.id, GranteePrincipal=me, Operations=["GenerateDataKeyPair", "ReEncryptTo"])
    kms.schedule_key_deletion(KeyId=closed.id)
    error = refusal(kms.create_grant, KeyId=closed.id, GranteePrincipal=me, Operations=["Encrypt"])
    assert error.code == "KMSInvalidStateException"


def test_lists(kms, closed, me, account):
    ids = {
        grant(kms, closed, me, Name=f"n{number}", RetiringPrincipal=me)["GrantId"] for number in range(5)
    }
    pages = kms.get_paginator("list_grants").paginate(KeyId=closed.id, PaginationConfig={"PageSize": 2})
    listed = [entry for page in pages for entry in page["Grants"]]
    assert len(listed) == 5 and {entry["GrantId"] for entry in listed} == ids
    entry = listed[0]
    assert entry["KeyId"] == closed.arn and entry["GranteePrincipal"] == entry["RetiringPrincipal"] == me
    assert entry["IssuingAccount"] == me and entry["Operations"] == ["Encrypt"] and "Constraints" not in entry
    one = kms.list_grants(KeyId=closed.id, GrantId=entry["GrantId"])
    assert [found["GrantId"] for found in one["Grants"]] == [entry["GrantId"]] and one["Truncated"] is False
    pages = kms.get_paginator("list_retirable_grants").paginate(RetiringPrincipal=me, PaginationConfig={"PageSize": 2})
    assert ids <= {entry["GrantId"] for page in pages for entry in page["Grants"]}
    first = kms.list_grants(KeyId=closed.id, Limit=1)
    error = refusal(kms.list_grants, KeyId=make_key(kms).id, Marker=first["NextMarker"])
    assert error.code == "InvalidMarkerException"


def test_a_revoked_grant_is_over_when_the_call_returns_under_load(server, region, kms, me):
    """Threads use the grant all the while; none that begins after the revocation has returned gets through."""
    key = make_key(kms, Policy=limited_policy(me))
    clients, revoked, failures = [client(server, region) for _ in range(4)], threading.Event(), []
    for _ in range(10):
        made = grant(kms, key, me)
        revoked.clear()
        began = threading.Barrier(len(clients) + 1)

        def use(caller, began=began):
            try:
                caller.encrypt(KeyId=key.id, Plaintext=b"x")
                began.wait(60)
                while True:
                    was_revoked = revoked.is_set()
                    try:
                        caller.encrypt(KeyId=key.id, Plaintext=b"x")
                    except caller.exceptions.ClientError as error:
                        assert error.response["Error"]["Code"] == "AccessDeniedException"
                        return
                    assert not was_revoked, "used after its revocation"
            except Exception as error:
                failures.append(error)
                began.abort()

        threads = [threading.Thread(target=use, args=(caller,)) for caller in clients]
        for thread in threads:
            thread.start()
        began.wait(60)
        kms.revoke_grant(KeyId=key.id, GrantId=made["GrantId"])
        revoked.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.mark.process
def test_what_was_acknowledged_survives_a_kill(new_server):
    target = new_server(regions=(REGION, OTHER_REGION)).init().start()
    kms = client(target, REGION)
    key = make_key(kms)
    me = f"arn:aws:iam::{key.arn.split(':')[4]}:root"
    kms.put_key_policy(KeyId=key.id, Policy=limited_policy(me))
    kept, ended = grant(kms, key, me, Name="kept"), grant(kms, key, me, ("Decrypt",))
    kms.revoke_grant(KeyId=key.id, GrantId=ended["GrantId"])
    target.kill()
    target.start()
    kms = client(target, REGION)
    assert [entry["GrantId"] for entry in kms.list_grants(KeyId=key.id)["Grants"]] == [kept["GrantId"]]
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"x", GrantTokens=[kept["GrantToken"]])["CiphertextBlob"]
    assert refusal(kms.decrypt, CiphertextBlob=blob).code == "AccessDeniedException"
    target.stop()
    assert target.check().returncode == 0

"""Accounts, users and roles from a file; what their policies allow; and what key policies that name them mean.

One server for the module. `apply` stops it, applies a file, and starts it again: identities change only while nobody serves.
"""

import json
import subprocess

import pytest
from botocore.exceptions import ClientError

from clients import client, deny, refusal
from conftest import REGION, make_key
from server import REPOSITORY, binary, clean_environment
from test_credential_region import assert_clean, offline, refused, service_events
from test_sts import sts as sts_client

pytestmark = pytest.mark.process

OWNER, OTHER = "111122223333", "444455556666"


def text(*statements: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, **more) -> dict:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"} | more


def quoted(policy: str) -> str:
    return f"'''{policy}'''"


def user(name: str, policy: str | None = None, account: str = OWNER, kind: str = "user", **more: str) -> str:
    lines = [f"[[{kind}]]", f'name = "{name}"', f'account = "{account}"']
    lines += [f"{key} = {value}" for key, value in more.items() if key != "tags"]
    if policy is not None:
        lines.append(f"policies.main = {quoted(policy)}")
    if "tags" in more:
        lines.append(f"tags = {more['tags']}")
    return "\n".join(lines) + "\n"


FIRST = (
    f'[[account]]\nid = "{OTHER}"\n'
    + user("bob", text(allow("kms:Encrypt", "kms:DescribeKey", "kms:ListKeys")), path='"/team/"', tags='{ team = "red" }')
    + user("eve")
    + user("limited", text(allow("kms:*")), boundary=quoted(text(allow("kms:Decrypt"))))
    + user("denied", text(allow("kms:*"), deny("kms:Encrypt") | {"Principal": None}).replace('"Principal": null, ', ""))
    + user("stranger", text(allow("kms:Encrypt", "kms:PutKeyPolicy")), account=OTHER)
    + user("app", text(allow("kms:*")), kind="role")
)


@pytest.fixture(scope="module")
def house(new_server):
    target = new_server(account=OWNER)
    target.init()
    path = target.home / "identities.toml"
    path.write_text(FIRST)
    told = offline(target, "identity", "apply", str(path))
    assert f"user {OWNER}/team/bob is made; its profile is `{OWNER}/bob`" in told
    return target.start()


@pytest.fixture()
def apply(house):
    def change(file: str) -> str:
        house.stop()
        path = house.home / "change.toml"
        path.write_text(file)
        try:
            return offline(house, "identity", "apply", str(path))
        finally:
            house.start()

    return change


def of(house, name: str, account: str = OWNER):
    return client(house, REGION, profile=f"{account}/{name}" if name else account)


@pytest.fixture()
def kms(house):
    return client(house, REGION)


@pytest.fixture()
def own_key(kms):
    return make_key(kms)


def key_policy(*statements: dict) -> str:
    return text(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:root"}), *statements)


def denied(name: str, action: str, arn: str, reason: str) -> tuple[str, str]:
    who = f"arn:aws:iam::{OWNER}:user/{name}"
    message = f"User: {who} is not authorized to perform: kms:{action} on resource: {arn} {reason}"
    return "AccessDeniedException", message


def no(kind: str, action: str) -> str:
    return f"because no {kind} allows the kms:{action} action"


def told(call, **parameters) -> tuple[str, str]:
    error = refusal(call, **parameters)
    return error.code, error.message


# Files.


@pytest.mark.parametrize(
    "file, problem",
    [
        ("[[user]]\nnames = 'x'\n", "line 5"),
        (user("a b"), "this is no name"),
        (user("x", path='"team"'), "is no path"),
        (user("x", account="999999999999"), "there is no account"),
        (user("x", "{}"), "element `Statement` is missing"),
        (user("x", text(allow("kms:*", Principal="*"))), "`Principal` has no place"),
        (user("x") + user("X"), "the file has it twice"),
        (user("x", kind="role", access_key="true"), "a role has no access key"),
        (user("x", boundary="'no'"), "is not expected"),
    ],
    ids=["field", "name", "path", "account", "policy", "principal", "twice", "role", "boundary"],
)
def test_file_with_a_mistake_changes_nothing(house, file, problem):
    house.stop()
    try:
        before = offline(house, "identity", "list")
        path = house.home / "wrong.toml"
        path.write_text(user("before") + file)
        assert problem in refused(house, "identity", "apply", str(path))
        assert offline(house, "identity", "list") == before
    finally:
        house.start()


def test_identities_are_listed_recorded_and_checked(house):
    house.stop()
    try:
        lines = offline(house, "identity", "list").splitlines()
        assert any(line.endswith(f"{OWNER}  user/team/bob") and line.startswith("AIDA") for line in lines)
        assert any(line.endswith(f"{OWNER}  role/app") and line.startswith("AROA") for line in lines)
        assert any(
            event["serviceEventDetails"].get("name") == "team/bob" for event in service_events(house, "CreateUser")
        )
        assert len(service_events(house, "CreateAccount")) == 1
        path = house.home / "again.toml"
        path.write_text(FIRST)
        assert f"user {OWNER}/team/bob: is as it should be" in offline(house, "identity", "apply", str(path))
        assert_clean(house)
    finally:
        house.start()


# Identity policies.


def test_root_statement_leaves_it_to_identity_policies(house, own_key):
    bob, eve = of(house, "bob"), of(house, "eve")
    reason = no("identity-based policy", "Encrypt")
    assert told(eve.encrypt, KeyId=own_key.arn, Plaintext=b"x") == denied("eve", "Encrypt", own_key.arn, reason)
    blob = bob.encrypt(KeyId=own_key.id, Plaintext=b"x")["CiphertextBlob"]
    reason = no("identity-based policy", "Decrypt")
    assert told(bob.decrypt, CiphertextBlob=blob) == denied("team/bob", "Decrypt", own_key.arn, reason)
    assert own_key.id in {key["KeyId"] for key in bob.list_keys()["Keys"]}
    assert told(eve.list_keys) == denied("eve", "ListKeys", "*", no("identity-based policy", "ListKeys"))
    assert told(bob.create_key) == denied("team/bob", "CreateKey", "*", no("identity-based policy", "CreateKey"))


def test_without_the_account_in_the_key_policy_identity_policies_allow_nothing(house, kms, own_key):
    only_eve = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:user/eve"})
    kms.put_key_policy(KeyId=own_key.id, Policy=text(only_eve), BypassPolicyLockoutSafetyCheck=True)
    reason = no("resource-based policy", "Encrypt")
    bob = of(house, "bob")
    assert told(bob.encrypt, KeyId=own_key.id, Plaintext=b"x") == denied("team/bob", "Encrypt", own_key.arn, reason)
    of(house, "eve").encrypt(KeyId=own_key.id, Plaintext=b"x")


def test_boundary_limits_what_the_account_gives_but_not_what_the_key_gives(house, kms, own_key):
    limited = of(house, "limited")
    reason = no("permissions boundary", "Encrypt")
    call = {"KeyId": own_key.id, "Plaintext": b"x"}
    assert told(limited.encrypt, **call) == denied("limited", "Encrypt", own_key.arn, reason)
    direct = allow("kms:Encrypt", Principal={"AWS": f"arn:aws:iam::{OWNER}:user/limited"})
    kms.put_key_policy(KeyId=own_key.id, Policy=key_policy(direct))
    limited.encrypt(**call)


def test_explicit_deny_of_an_identity_policy_beats_the_key_policy(house, kms, own_key):
    kms.put_key_policy(KeyId=own_key.id, Policy=key_policy(allow("kms:*", Principal="*")))
    user_client = of(house, "denied")
    reason = "with an explicit deny in an identity-based policy"
    call = {"KeyId": own_key.id, "Plaintext": b"x"}
    assert told(user_client.encrypt, **call) == denied("denied", "Encrypt", own_key.arn, reason)
    user_client.generate_data_key(KeyId=own_key.id, KeySpec="AES_256")


def test_lockout_check_is_about_the_caller(house, kms, own_key):
    limited = of(house, "denied")
    only_root = text(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:user/eve"}))
    error = refusal(limited.put_key_policy, KeyId=own_key.id, Policy=only_root)
    assert error.code == "MalformedPolicyDocumentException"
    limited.put_key_policy(KeyId=own_key.id, Policy=key_policy())


# Other accounts.


def test_other_account_needs_both_sides_and_learns_nothing_else(house, kms, own_key):
    stranger = of(house, "stranger", OTHER)
    call = {"KeyId": own_key.arn, "Plaintext": b"x"}
    closed = refusal(stranger.encrypt, **call)
    missing = own_key.arn[:-12] + "000000000000"
    assert closed == refusal(stranger.encrypt, KeyId=missing, Plaintext=b"x")
    assert closed.message.endswith("or a resource-based policy explicitly denies access")
    open_to_account = allow("kms:Encrypt", "kms:Decrypt", "kms:PutKeyPolicy", Principal={"AWS": OTHER})
    kms.put_key_policy(KeyId=own_key.id, Policy=key_policy(open_to_account))
    blob = stranger.encrypt(**call)["CiphertextBlob"]
    assert refusal(stranger.decrypt, CiphertextBlob=blob).message.endswith(no("identity-based policy", "Decrypt"))
    assert of(house, "", OTHER).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    # What does not cross accounts does not, whoever allows it.
    assert refusal(stranger.put_key_policy, KeyId=own_key.arn, Policy=key_policy()).code == "AccessDeniedException"


# Conditions about who calls.


@pytest.mark.parametrize(
    "condition, bob_may, eve_may",
    [
        ({"StringEquals": {"aws:username": "bob"}}, True, False),
        ({"StringEquals": {"aws:username": "Bob"}}, False, False),
        ({"StringEquals": {"aws:PrincipalTag/Team": "red"}}, True, False),
        ({"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:user/team/*"}}, True, False),
        ({"StringLike": {"aws:userid": "AIDA*"}}, True, True),
        ({"StringEquals": {"aws:PrincipalType": "User"}}, True, True),
        ({"StringEquals": {"aws:PrincipalType": "Account"}}, False, False),
        ({"StringEquals": {"kms:EncryptionContext:owner": "${aws:username}"}}, True, False),
        ({"Null": {"aws:PrincipalTag/team": "true"}}, False, True),
    ],
)
def test_conditions_know_the_user(house, kms, own_key, condition, bob_may, eve_may):
    anyone = allow("kms:GenerateDataKey", Principal="*", Condition=condition)
    kms.put_key_policy(KeyId=own_key.id, Policy=key_policy(anyone))
    for name, may in (("bob", bob_may), ("eve", eve_may)):
        call = {"KeyId": own_key.id, "KeySpec": "AES_256", "EncryptionContext": {"Owner": "bob"}}
        if may:
            of(house, name).generate_data_key(**call)
        else:
            assert refusal(of(house, name).generate_data_key, **call).code == "AccessDeniedException"


# Principals of key policies.


@pytest.mark.parametrize(
    "principal",
    [
        f"arn:aws:iam::{OWNER}:user/bob",
        f"arn:aws:iam::{OWNER}:user/team/Bob",
        f"arn:aws:iam::{OWNER}:user/nobody",
        f"arn:aws:iam::{OWNER}:role/bob",
        f"arn:aws:iam::{OTHER}:user/team/bob",
        f"arn:aws:iam::{OWNER}:user/team/b\u043eb",
        f"arn:aws:sts::{OWNER}:assumed-role/App/session",
        "AIDAAAAAAAAAAAAAAAAAA",
    ],
    ids=["path", "case", "nobody", "kind", "account", "look-alike", "role's case", "unique id"],
)
def test_principal_that_does_not_exist_is_refused(loose_policy, own_key, principal):
    error = loose_policy(own_key, principal)
    assert error.code in ("MalformedPolicyDocumentException", "ValidationException")


@pytest.fixture()
def loose_policy(house):
    kms = client(house, REGION, validate=False)

    def put(key, principal):
        statement = allow("kms:*", Principal={"AWS": principal})
        return refusal(kms.put_key_policy, KeyId=key.id, Policy=key_policy(statement))

    return put


def test_roles_and_their_sessions_can_be_named(kms, own_key):
    role = allow("kms:*", Principal={"AWS": [f"arn:aws:iam::{OWNER}:role/app", f"arn:aws:sts::{OWNER}:assumed-role/app/x"]})
    policy = key_policy(role)
    kms.put_key_policy(KeyId=own_key.id, Policy=policy)
    assert kms.get_key_policy(KeyId=own_key.id)["Policy"] == policy


def test_a_user_that_is_made_again_is_another_one(house, apply, kms, own_key):
    """The key policy keeps meaning the one that is gone, and shows it by its unique id, as AWS does."""
    apply(user("carl"))
    arn = f"arn:aws:iam::{OWNER}:user/carl"
    policy = key_policy(allow("kms:Encrypt", Principal={"AWS": arn}))
    kms.put_key_policy(KeyId=own_key.id, Policy=policy)
    before = of(house, "carl")
    before.encrypt(KeyId=own_key.id, Plaintext=b"x")
    assert "is deleted" in apply(user("carl", delete="true"))
    assert refusal(before.encrypt, KeyId=own_key.id, Plaintext=b"x").code == "UnrecognizedClientException"
    shown = kms.get_key_policy(KeyId=own_key.id)["Policy"]
    assert arn not in shown and '"AIDA' in shown
    assert refusal(kms.put_key_policy, KeyId=own_key.id, Policy=policy).code == "MalformedPolicyDocumentException"
    apply(user("carl"))
    assert refusal(of(house, "carl").encrypt, KeyId=own_key.id, Plaintext=b"x").code == "AccessDeniedException"
    assert kms.get_key_policy(KeyId=own_key.id)["Policy"] == shown
    kms.put_key_policy(KeyId=own_key.id, Policy=policy)
    of(house, "carl").encrypt(KeyId=own_key.id, Plaintext=b"x")


def test_a_user_that_moves_stays_the_same(house, apply, kms, own_key):
    """What names the user follows it to its new path; texts that only look like its ARN do not."""
    apply(user("mary"))
    before, after = (f"arn:aws:iam::{OWNER}:user/{name}" for name in ("mary", "moved/mary"))
    condition = {"ArnEquals": {"aws:PrincipalArn": [before, after]}}
    statements = [
        allow("kms:Encrypt", Principal={"AWS": before}, Condition=condition),
        {"Sid": before, **allow("kms:Verify", Principal={"AWS": [before]})},
    ]
    policy = key_policy(*statements)
    kms.put_key_policy(KeyId=own_key.id, Policy=policy)
    kms.create_grant(KeyId=own_key.id, GranteePrincipal=before, Operations=["Decrypt"])
    apply(user("mary", path='"/moved/"'))
    shown = kms.get_key_policy(KeyId=own_key.id)["Policy"]
    assert shown == policy.replace(f'{{"AWS": "{before}"', f'{{"AWS": "{after}"').replace(f'["{before}"]}}', f'["{after}"]}}', 1)
    blob = of(house, "mary").encrypt(KeyId=own_key.id, Plaintext=b"x")["CiphertextBlob"]
    of(house, "mary").decrypt(CiphertextBlob=blob)
    assert [grant["GranteePrincipal"] for grant in kms.list_grants(KeyId=own_key.id)["Grants"]] == [after]


# Grants.


def test_a_grant_to_nobody_is_refused(kms, own_key):
    for name in ("user/nobody", "user/bob", "role/team/bob", "user/team/BOB"):
        arn = f"arn:aws:iam::{OWNER}:{name}"
        for member in ("GranteePrincipal", "RetiringPrincipal"):
            names = {"GranteePrincipal": f"arn:aws:iam::{OWNER}:user/eve"} | {member: arn}
            error = refusal(kms.create_grant, KeyId=own_key.id, Operations=["Encrypt"], **names)
            assert error.code == "InvalidArnException"
    assert kms.list_grants(KeyId=own_key.id)["Grants"] == []


def test_a_grant_is_the_user_s_that_had_the_name(house, apply, kms, own_key):
    apply(user("gina"))
    arn, eve = (f"arn:aws:iam::{OWNER}:user/{name}" for name in ("gina", "eve"))
    call = {"KeyId": own_key.id, "Plaintext": b"x"}
    reason = no("identity-based policy", "Encrypt")
    assert told(of(house, "gina").encrypt, **call) == denied("gina", "Encrypt", own_key.arn, reason)
    grant = {"KeyId": own_key.id, "Operations": ["Encrypt"], "GranteePrincipal": arn, "RetiringPrincipal": arn, "Name": "n"}
    first = kms.create_grant(**grant)["GrantId"]
    assert kms.create_grant(**grant)["GrantId"] == first
    of(house, "gina").encrypt(**call)
    assert told(of(house, "eve").encrypt, **call) == denied("eve", "Encrypt", own_key.arn, reason)
    [listed] = kms.list_grants(KeyId=own_key.id, GranteePrincipal=arn)["Grants"]
    assert (listed["GranteePrincipal"], listed["RetiringPrincipal"]) == (arn, arn)
    assert kms.list_grants(KeyId=own_key.id, GranteePrincipal=eve)["Grants"] == []
    [retirable] = kms.list_retirable_grants(RetiringPrincipal=arn)["Grants"]
    assert retirable["GrantId"] == first

    apply(user("gina", delete="true"))
    [listed] = kms.list_grants(KeyId=own_key.id)["Grants"]
    gone = listed["GranteePrincipal"]
    assert gone.startswith("AIDA") and listed["RetiringPrincipal"] == gone
    assert [one["GrantId"] for one in kms.list_grants(KeyId=own_key.id, GranteePrincipal=gone)["Grants"]] == [first]
    assert refusal(kms.create_grant, **grant).code == "InvalidArnException"

    apply(user("gina"))
    assert told(of(house, "gina").encrypt, **call) == denied("gina", "Encrypt", own_key.arn, reason)
    assert kms.list_grants(KeyId=own_key.id, GranteePrincipal=arn)["Grants"] == []
    assert kms.list_retirable_grants(RetiringPrincipal=arn)["Grants"] == []
    retire = {"KeyId": own_key.arn, "GrantId": first}
    assert refusal(of(house, "gina").retire_grant, **retire).code == "AccessDeniedException"
    second = kms.create_grant(**grant)["GrantId"]
    assert second != first
    of(house, "gina").encrypt(**call)
    of(house, "gina").retire_grant(KeyId=own_key.arn, GrantId=second)
    assert told(of(house, "gina").encrypt, **call) == denied("gina", "Encrypt", own_key.arn, reason)
    kms.retire_grant(**retire)


def test_a_deny_and_a_boundary_against_a_grant(house, kms, own_key):
    """A grant gives what a boundary does not, because it names the user itself, but not what is denied."""
    for name in ("limited", "denied"):
        arn = f"arn:aws:iam::{OWNER}:user/{name}"
        kms.create_grant(KeyId=own_key.id, GranteePrincipal=arn, Operations=["Encrypt"])
    of(house, "limited").encrypt(KeyId=own_key.id, Plaintext=b"x")
    error = refusal(of(house, "denied").encrypt, KeyId=own_key.id, Plaintext=b"x")
    assert error.message.endswith("with an explicit deny in an identity-based policy")


def test_changed_policies_are_in_force_with_the_next_start(house, apply, own_key):
    apply(user("dora"))
    call = {"KeyId": own_key.id, "Plaintext": b"x"}
    assert refusal(of(house, "dora").encrypt, **call).code == "AccessDeniedException"
    assert "is changed" in apply(user("dora", text(allow("kms:Encrypt", Resource=own_key.arn))))
    of(house, "dora").encrypt(**call)
    assert "has no access key any more" in apply(user("dora", access_key="false"))


def test_users_are_told_who_they_are(house):
    sts = sts_client(house, REGION, house.login(f"{OWNER}/bob"))
    told_identity = sts.get_caller_identity()
    assert told_identity["Arn"] == f"arn:aws:iam::{OWNER}:user/team/bob" and told_identity["Account"] == OWNER
    assert told_identity["UserId"].startswith("AIDA") and len(told_identity["UserId"]) == 21


def test_the_trail_names_the_user(house, own_key):
    of(house, "bob").encrypt(KeyId=own_key.id, Plaintext=b"x")
    house.stop()
    try:
        identity = service_events(house, "Encrypt")[-1]["userIdentity"]
    finally:
        house.start()
    assert identity["type"] == "IAMUser" and identity["userName"] == "bob"
    assert identity["arn"] == f"arn:aws:iam::{OWNER}:user/team/bob" and identity["principalId"].startswith("AIDA")


# Decisions without a deployment.


def evaluate(*lines: dict | str):
    done = subprocess.run(
        [binary(), "policy", "evaluate"],
        input="\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines),
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


QUESTION = {
    "principal": f"arn:aws:iam::{OWNER}:user/bob",
    "action": "kms:Encrypt",
    "resource": f"arn:aws:kms:us-east-1:{OWNER}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "key_policy": json.loads(key_policy()),
}


def test_policy_evaluate_answers_line_by_line():
    bad = QUESTION | {"key_policy": '{\n "Statement": {"Effect": "Permit"}}'}
    lines = [QUESTION, "", QUESTION | {"identity_policies": json.loads(text(allow("kms:*")))}, {"principal": 1}, bad, "{"]
    code, answers = evaluate(*lines)
    assert code != 0
    assert [answer.get("decision") for answer in answers] == ["deny", "allow", None, None, None]
    assert answers[0]["no_allow_in"] == "identity_policies"
    assert [answer["line"] for answer in answers[2:]] == [4, 5, 6]
    assert answers[2]["error"] == "`principal` must be a string"
    assert "`key_policy`" in answers[3]["error"] and "line 2 column 26 in `Statement.Effect`" in answers[3]["error"]
    assert evaluate(QUESTION)[0] == 0 and evaluate("")[1] == []


def test_policy_evaluate_decides_as_documented():
    documented = (REPOSITORY / "docs" / "policies.md").read_text().split("## Trying policies out")[1]
    question, answer = (block.split("```")[0] for block in documented.split("```json\n")[1:3])
    assert evaluate(" ".join(question.split())) == (0, [json.loads(answer)])


def test_policy_evaluate_decides_as_the_service_does(house, kms, own_key):
    """What the service is told of bob, the evaluator is told by its line."""
    bob = of(house, "bob")
    statements = [
        allow("kms:Encrypt", Principal="*", Condition={"StringEquals": {"kms:EncryptionContext:Dept": "hr"}}),
        deny("kms:Encrypt") | {"Condition": {"StringLike": {"aws:PrincipalArn": "*/team/bob"}, "Null": {"kms:RequestAlias": "true"}}},
    ]
    grant = {"GranteePrincipal": f"arn:aws:iam::{OWNER}:user/team/bob", "Operations": ["Decrypt"]}
    kms.create_grant(KeyId=own_key.id, **grant)
    context = {"Dept": "hr"}
    told = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    for given in ([statements[0]], statements, []):
        kms.put_key_policy(KeyId=own_key.id, Policy=key_policy(*given))
        asked = {
            "principal": f"arn:aws:iam::{OWNER}:user/team/bob",
            "resource": own_key.arn,
            "key_policy": key_policy(*given),
            "identity_policies": [text(allow("kms:Encrypt", "kms:DescribeKey", "kms:ListKeys"))],
            "grants": [grant],
            "context": told,
        }
        blob = kms.encrypt(KeyId=own_key.id, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"] if given != statements else None
        calls = [("kms:Encrypt", bob.encrypt, {"KeyId": own_key.id, "Plaintext": b"x", "EncryptionContext": context})]
        calls.append(("kms:DisableKey", bob.disable_key, {"KeyId": own_key.id}))
        if blob:
            calls.append(("kms:Decrypt", bob.decrypt, {"CiphertextBlob": blob, "EncryptionContext": context, "KeyId": own_key.id}))
        for action, call, parameters in calls:
            _, [answer] = evaluate(asked | {"action": action})
            try:
                call(**parameters)
            except ClientError as error:
                assert (answer["decision"], answer["message"]) == ("deny", error.response["Error"]["Message"]), action
            else:
                assert answer["decision"] == "allow", (action, answer)

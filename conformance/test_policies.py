"""GetKeyPolicy, ListKeyPolicies, PutKeyPolicy, and that what they hold is enforced."""

import json
import threading

import pytest

from clients import client, deny, policy, refusal

LOCKOUT = "The new key policy will not allow you to update the key policy in the future."

DEFAULT_POLICY = """{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "%s"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"""


def denied(root_arn, action, arn, reason) -> tuple[str, str]:
    text = f"User: {root_arn} is not authorized to perform: kms:{action} on resource: {arn} {reason}"
    return "AccessDeniedException", text


EXPLICIT = "with an explicit deny in a resource-based policy"


def implicit(action: str) -> str:
    return f"because no resource-based policy allows the kms:{action} action"


def test_policy_of_another_name_is_not_found(kms, key):
    error = refusal(kms.get_key_policy, KeyId=key.id, PolicyName="other")
    assert (error.code, error.message) == ("NotFoundException", "No such policy exists")


def test_policy_name_outside_the_pattern_is_refused(kms, key):
    error = refusal(kms.get_key_policy, KeyId=key.id, PolicyName="a-b")
    assert (error.code, error.message) == (
        "ValidationException",
        "1 validation error detected: Value 'a-b' at 'policyName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w]+",
    )


def test_the_one_policy_is_listed_and_no_marker_leads_further(kms, key):
    assert refusal(kms.list_key_policies, KeyId=key.id, Marker="x").code == "InvalidMarkerException"
    for more in ({}, {"Limit": 1}, {"Limit": 1000}):
        answer = kms.list_key_policies(KeyId=key.id, **more)
        assert (answer["PolicyNames"], answer["Truncated"]) == (["default"], False)
    pages = kms.get_paginator("list_key_policies").paginate(KeyId=key.arn)
    assert [name for page in pages for name in page["PolicyNames"]] == ["default"]


def test_policy_of_the_resource_access_manager_cannot_be_put(kms, key, account):
    error = refusal(kms.put_key_policy, KeyId=key.id, PolicyName="AWS_RAM", Policy=policy(account))
    assert (error.code, error.message) == (
        "ValidationException",
        "The AWS_RAM policy can only be managed by the RAM service",
    )


def test_policy_that_locks_the_caller_out_is_refused_and_changes_nothing(kms, fresh_key, account):
    before = kms.get_key_policy(KeyId=fresh_key.id)["Policy"]
    for text in (
        policy(account, actions=["kms:Encrypt", "kms:Decrypt"]),
        policy(account, deny("kms:PutKeyPolicy")),
        policy(account, deny("kms:*")),
    ):
        error = refusal(kms.put_key_policy, KeyId=fresh_key.id, Policy=text)
        assert (error.code, error.message) == ("MalformedPolicyDocumentException", LOCKOUT)
    assert kms.get_key_policy(KeyId=fresh_key.id)["Policy"] == before


@pytest.mark.parametrize(
    "principal",
    [
        "arn:aws:iam::999988887777:root",
        "arn:aws:iam::{account}:user/nobody",
        "arn:aws:iam::{account}:role/nobody",
        "nobody",
    ],
)
def test_principal_that_does_not_exist_is_refused(kms, fresh_key, account, principal):
    named = {"AWS": principal.format(account=account)}
    text = policy(account, {"Effect": "Allow", "Principal": named, "Action": "kms:*", "Resource": "*"})
    for call in (kms.create_key, lambda **more: kms.put_key_policy(KeyId=fresh_key.id, **more)):
        error = refusal(call, Policy=text)
        assert (error.code, error.message) == (
            "MalformedPolicyDocumentException",
            "Policy contains a statement with one or more invalid principals.",
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("Statement"),
        lambda document: document.update(Version="2020-01-01"),
        lambda document: document.update(Unknown="x"),
        lambda document: document["Statement"][0].pop("Effect"),
        lambda document: document["Statement"][0].update(Effect="Maybe"),
        lambda document: document["Statement"][0].pop("Principal"),
        lambda document: document["Statement"][0].update(Principal={"Robot": "x"}),
        lambda document: document["Statement"][0].update(Unknown="x"),
    ],
    ids=[
        "no statement", "version", "unknown member", "no effect", "effect", "no principal", "principal kind",
        "unknown member of a statement",
    ],
)  # fmt: skip
def test_malformed_policy_is_refused(kms, fresh_key, account, change):
    document = json.loads(policy(account, deny("kms:Encrypt")))
    change(document)
    # The lockout check must not be what refuses it.
    call = {"KeyId": fresh_key.id, "Policy": json.dumps(document), "BypassPolicyLockoutSafetyCheck": True}
    error = refusal(kms.put_key_policy, **call)
    assert error.code == "MalformedPolicyDocumentException"
    assert kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["KeyId"] == fresh_key.arn


def test_policy_past_32768_characters_is_refused(kms, fresh_key, account):
    error = refusal(kms.put_key_policy, KeyId=fresh_key.id, Policy=policy(account).ljust(32_769))
    assert error.code == "LimitExceededException"
    text = policy(account).ljust(32_768)
    kms.put_key_policy(KeyId=fresh_key.id, Policy=text)
    assert kms.get_key_policy(KeyId=fresh_key.id)["Policy"] == text


def test_policy_past_131072_characters_breaks_the_models_limit(kms, fresh_key, account):
    error = refusal(kms.put_key_policy, KeyId=fresh_key.id, Policy=policy(account).ljust(131_073))
    assert error.code == "ValidationException"
    assert error.message.endswith("Member must have length less than or equal to 131072")


def test_character_outside_latin_1_is_refused(kms, fresh_key, account):
    error = refusal(kms.put_key_policy, KeyId=fresh_key.id, Policy=policy(account).replace("Owner", "Ówner €"))
    assert error.code == "ValidationException"
    assert "'policy' failed to satisfy constraint: Member must satisfy regular expression pattern" in error.message


def test_explicit_deny_refuses_each_action_it_names(kms, fresh_key, second_key, root_arn, account):
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    foreign = kms.encrypt(KeyId=second_key.id, Plaintext=b"x")["CiphertextBlob"]
    calls = {
        "Encrypt": (kms.encrypt, {"KeyId": fresh_key.id, "Plaintext": b"x"}),
        "GenerateDataKey": (kms.generate_data_key, {"KeyId": fresh_key.id, "KeySpec": "AES_256"}),
        "GenerateDataKeyWithoutPlaintext": (
            kms.generate_data_key_without_plaintext,
            {"KeyId": fresh_key.id, "KeySpec": "AES_256"},
        ),
        "ReEncryptFrom": (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": second_key.id}),
        "ReEncryptTo": (kms.re_encrypt, {"CiphertextBlob": foreign, "DestinationKeyId": fresh_key.id}),
        "DescribeKey": (kms.describe_key, {"KeyId": fresh_key.id}),
        "EnableKey": (kms.enable_key, {"KeyId": fresh_key.id}),
        "DisableKey": (kms.disable_key, {"KeyId": fresh_key.id}),
        "GetKeyPolicy": (kms.get_key_policy, {"KeyId": fresh_key.id}),
        "Decrypt": (kms.decrypt, {"CiphertextBlob": blob, "KeyId": fresh_key.id}),
    }
    for action, (call, parameters) in calls.items():
        kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny(f"kms:{action}")))
        error = refusal(call, **parameters)
        expected = denied(root_arn, action, fresh_key.arn, EXPLICIT)
        if action == "Decrypt":
            # A caller who may not use the key learns nothing of it from a blob.
            assert error.code == "AccessDeniedException", error
            assert error.message.startswith(f"User: {root_arn} is not authorized to perform: kms:Decrypt on "), error
        else:
            assert (error.code, error.message) == expected
        kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account))
        call(**parameters)
        kms.enable_key(KeyId=fresh_key.id)


def test_action_that_no_statement_allows_is_refused(kms, fresh_key, root_arn, account):
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, actions=["kms:PutKeyPolicy", "kms:Encrypt"]))
    error = refusal(kms.generate_data_key, KeyId=fresh_key.id, KeySpec="AES_256")
    assert (error.code, error.message) == denied(
        root_arn, "GenerateDataKey", fresh_key.arn, implicit("GenerateDataKey")
    )
    assert refusal(kms.describe_key, KeyId=fresh_key.id).message.endswith(implicit("DescribeKey"))
    assert kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["KeyId"] == fresh_key.arn


def test_permission_is_asked_before_the_state(kms, fresh_key, account):
    kms.disable_key(KeyId=fresh_key.id)
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny("kms:Encrypt")))
    assert refusal(kms.encrypt, KeyId=fresh_key.id, Plaintext=b"x").code == "AccessDeniedException"
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account))
    assert refusal(kms.encrypt, KeyId=fresh_key.id, Plaintext=b"x").code == "DisabledException"


def test_action_wildcards_match(kms, fresh_key, account):
    kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny("kms:GenerateDataKey*")))
    for call in (kms.generate_data_key, kms.generate_data_key_without_plaintext):
        assert refusal(call, KeyId=fresh_key.id, KeySpec="AES_256").code == "AccessDeniedException"
    kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")


@pytest.mark.parametrize(
    "change, error_code",
    [
        ({"Condition": {"StringSame": {"aws:username": "x"}}}, "MalformedPolicyDocumentException"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}, "MalformedPolicyDocumentException"),
        ({"NotAction": "kms:Encrypt"}, "MalformedPolicyDocumentException"),
        ({"Resource": "${aws:username"}, "MalformedPolicyDocumentException"),
        ({"Principal": {"Federated": "cognito-identity.amazonaws.com"}}, "MalformedPolicyDocumentException"),
        ({"Principal": {"CanonicalUser": "79a5" * 16}}, "MalformedPolicyDocumentException"),
    ],
    ids=["operator", "value", "both", "variable", "federated", "canonical user"],
)
def test_what_cannot_be_enforced_is_refused_not_stored(kms, fresh_key, account, change, error_code):
    before = kms.get_key_policy(KeyId=fresh_key.id)["Policy"]
    error = refusal(kms.put_key_policy, KeyId=fresh_key.id, Policy=policy(account, deny("kms:Encrypt") | change))
    assert error.code == error_code
    assert kms.get_key_policy(KeyId=fresh_key.id)["Policy"] == before


@pytest.mark.parametrize(
    "change",
    [
        {"NotAction": "kms:Decrypt", "Action": None, "NotResource": "arn:aws:s3:::*", "Resource": None},
        {"NotPrincipal": {"AWS": "%s"}, "Principal": None},
        {"NotResource": "*", "Resource": None},
    ],
    ids=["not action", "not principal", "not resource"],
)
def test_negated_elements_leave_out_what_they_list(kms, fresh_key, account, change):
    """The Deny does not reach what is listed: decrypting, the account itself, every resource."""
    ciphertext = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    statement = {name: value for name, value in (deny("kms:Decrypt") | change).items() if value is not None}
    text = policy(account, json.loads(json.dumps(statement).replace("%s", account)))
    kms.put_key_policy(KeyId=fresh_key.id, Policy=text, BypassPolicyLockoutSafetyCheck=True)
    assert kms.decrypt(CiphertextBlob=ciphertext)["Plaintext"] == b"x"


@pytest.mark.process
def test_operator_has_no_rights_on_keys(server, region, key):
    operator = client(server, region, profile="operator")
    for call, parameters in [
        (operator.describe_key, {"KeyId": key.arn}),
        (operator.encrypt, {"KeyId": key.arn, "Plaintext": b"x"}),
        (operator.create_key, {}),
        (operator.list_keys, {}),
    ]:
        assert refusal(call, **parameters).code == "AccessDeniedException"


def test_default_policy_is_awss_text(kms, fresh_key, root_arn):
    answer = kms.get_key_policy(KeyId=fresh_key.id)
    assert answer["Policy"] == DEFAULT_POLICY % root_arn
    assert answer["PolicyName"] == "default"
    assert kms.get_key_policy(KeyId=fresh_key.arn, PolicyName="default")["Policy"] == answer["Policy"]


def test_own_policy_comes_back_to_the_byte(kms, fresh_key, account):
    text = "\n\t " + policy(account).replace(":", "  :\r\n ", 1).replace("Owner", "Besitzer") + "  "
    kms.put_key_policy(KeyId=fresh_key.id, PolicyName="default", Policy=text)
    assert kms.get_key_policy(KeyId=fresh_key.id)["Policy"] == text


def test_the_answer_has_an_empty_body(raw, fresh_key, account):
    answer = raw("PutKeyPolicy", {"KeyId": fresh_key.id, "Policy": policy(account)})
    assert (answer.status, answer.body) == (200, b"")


def test_a_policy_is_in_force_when_the_call_returns_under_load(server, region, kms, fresh_key, root_arn, account):
    """Threads encrypt all the while. None that begins after a Deny was put gets through; once the Deny is gone, all do."""
    open_policy, closed = policy(account), policy(account, deny("kms:Encrypt"))
    clients, failures = [client(server, region) for _ in range(4)], []
    # What the policy in force says, and how often it was put; None while a call to put another is under way.
    state = {"is_open": True, "number": 0}
    answers = {True: 0, False: 0}
    stopped = threading.Event()

    def use(caller):
        try:
            while not stopped.is_set():
                before = dict(state)
                try:
                    caller.encrypt(KeyId=fresh_key.id, Plaintext=b"x")
                    was_allowed = True
                except caller.exceptions.ClientError as error:
                    assert error.response["Error"]["Code"] == "AccessDeniedException"
                    was_allowed = False
                # Only a call that one policy saw whole says something about it.
                if before["is_open"] is not None and dict(state) == before:
                    assert was_allowed == before["is_open"], "decided by a policy that is gone"
                    answers[was_allowed] += 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(caller,)) for caller in clients]
    for thread in threads:
        thread.start()
    for number in range(1, 61):
        is_open = number % 2 == 0
        state["is_open"] = None
        kms.put_key_policy(KeyId=fresh_key.id, Policy=open_policy if is_open else closed)
        state |= {"number": number, "is_open": is_open}
        seen = answers[is_open]
        while answers[is_open] < seen + 8 and not failures:
            stopped.wait(0.001)
    stopped.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(answers.values()) >= 240

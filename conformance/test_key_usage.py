"""GetKeyLastUsage and kms:TrailingDaysWithoutKeyUsage: what counts as a use of a key, what does not, and that no kill loses one."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients import UUID, client, refusal
from conftest import REGION, Key, make_key
from formats import EVENT, Deployment, decode_event, read_journal
from operations import NEWER_THAN_BOTOCORE
from server import run

P256 = {"KeySpec": "ECC_NIST_P256"}
SIGNED = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
MACED = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
PAIR = {"KeyPairSpec": "ECC_NIST_P256"}
PEER = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)

#: Each tracked operation: what its key is made with, and what it takes beside the key. What the key must make first is `%` and
#: the operation that makes it.
USES = {
    "decrypt": ({}, {"CiphertextBlob": "%encrypt"}),
    "derive_shared_secret": (P256 | {"KeyUsage": "KEY_AGREEMENT"}, {"KeyAgreementAlgorithm": "ECDH", "PublicKey": PEER}),
    "encrypt": ({}, {"Plaintext": b"x"}),
    "generate_data_key": ({}, {"KeySpec": "AES_256"}),
    "generate_data_key_pair": ({}, PAIR),
    "generate_data_key_pair_without_plaintext": ({}, PAIR),
    "generate_data_key_without_plaintext": ({}, {"KeySpec": "AES_256"}),
    "generate_mac": ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, MACED),
    "sign": (P256 | {"KeyUsage": "SIGN_VERIFY"}, SIGNED),
    "verify": (P256 | {"KeyUsage": "SIGN_VERIFY"}, SIGNED | {"Signature": "%sign"}),
    "verify_mac": ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, MACED | {"Mac": "%generate_mac"}),
}
MADE = {"encrypt": ("CiphertextBlob", {"Plaintext": b"x"}), "sign": ("Signature", SIGNED), "generate_mac": ("Mac", MACED)}


def made_key(kms, **parameters) -> Key:
    """A key of any spec: only those of symmetric keys tell of a material."""
    metadata = kms.create_key(**parameters)["KeyMetadata"]
    return Key(metadata["KeyId"], metadata["Arn"], metadata.get("CurrentKeyMaterialId", ""), metadata)


def usage(kms, key) -> dict:
    answer = kms.get_key_last_usage(KeyId=key.id)
    del answer["ResponseMetadata"]
    return answer


def last_use(kms, key) -> dict:
    return usage(kms, key)["KeyLastUsage"]


def use(kms, key) -> dict:
    kms.encrypt(KeyId=key.id, Plaintext=b"x")
    return last_use(kms, key)


def ready(kms, key, parameters: dict) -> dict:
    """The parameters, with what the key makes for them."""

    def made(value):
        if not isinstance(value, str) or not value.startswith("%"):
            return value
        member, body = MADE[value[1:]]
        return getattr(kms, value[1:])(KeyId=key.id, **body)[member]

    return {"KeyId": key.id} | {name: made(value) for name, value in parameters.items()}


def test_a_key_that_was_never_used(kms, fresh_key):
    created = fresh_key.metadata["CreationDate"]
    never = {"KeyId": fresh_key.id, "KeyLastUsage": {}, "TrackingStartDate": created, "KeyCreationDate": created}
    kms.describe_key(KeyId=fresh_key.id)
    kms.get_key_policy(KeyId=fresh_key.id)
    kms.disable_key(KeyId=fresh_key.id)
    assert usage(kms, fresh_key) == never
    kms.schedule_key_deletion(KeyId=fresh_key.id)
    assert usage(kms, fresh_key) == never
    by_arn = kms.get_key_last_usage(KeyId=fresh_key.arn)
    assert (by_arn["KeyId"], by_arn["KeyLastUsage"]) == (fresh_key.id, {})


def test_aliases_and_other_regions_are_refused(kms, kms_elsewhere, fresh_key, alias_name):
    kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.id)
    error = refusal(kms.get_key_last_usage, KeyId=alias_name)
    assert (error.code, error.message) == ("NotFoundException", f"Invalid keyId '{alias_name}'")
    assert refusal(kms_elsewhere.get_key_last_usage, KeyId=fresh_key.id).code == "NotFoundException"
    foreign = fresh_key.arn.replace(fresh_key.arn.split(":")[4], "444455556666")
    assert refusal(kms.get_key_last_usage, KeyId=foreign).code == "AccessDeniedException"


@pytest.mark.parametrize("operation", USES)
def test_tracked_operation_counts_once_it_succeeds(kms, operation):
    made_with, parameters = USES[operation]
    key = made_key(kms, **made_with)
    call, parameters = getattr(kms, operation), ready(kms, key, parameters)
    before = last_use(kms, key)
    assert refusal(call, **parameters, DryRun=True).code == "DryRunOperationException"
    kms.disable_key(KeyId=key.id)
    assert refusal(call, **parameters).code == "DisabledException"
    kms.enable_key(KeyId=key.id)
    assert last_use(kms, key) == before
    answer = call(**parameters)
    told = last_use(kms, key)
    assert told["Operation"] == "".join(word.capitalize() for word in operation.split("_"))
    assert told["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"]
    assert UUID.fullmatch(told["CloudTrailEventId"]) and told["CloudTrailEventId"] != before.get("CloudTrailEventId")
    assert told["Timestamp"] >= key.metadata["CreationDate"]


@pytest.mark.parametrize("operation", NEWER_THAN_BOTOCORE)
def test_tracked_operation_that_is_newer_than_the_client(kms, raw, operation):
    made = raw("CreateKey", {"KeySpec": "ML_KEM_768", "KeyUsage": "ENCAPSULATE_DECAPSULATE"})
    key_id = json.loads(made.body)["KeyMetadata"]["KeyId"]
    parameters = {"KeyId": key_id} | NEWER_THAN_BOTOCORE[operation]
    if operation == "Decapsulate":
        assert raw(operation, parameters).status == 400
        assert kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"] == {}
        sealed = raw("Encapsulate", {"KeyId": key_id, "EncapsulationAlgorithm": "ML_KEM"})
        parameters["SharedSecretCiphertextBlob"] = json.loads(sealed.body)["SharedSecretCiphertextBlob"]
    answer = raw(operation, parameters)
    assert answer.status == 200, answer.body
    told = json.loads(raw("GetKeyLastUsage", {"KeyId": key_id}).body)["KeyLastUsage"]
    assert told["Operation"] == operation


def test_a_failed_verification_is_no_use(kms):
    key = made_key(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    assert refusal(kms.verify_mac, KeyId=key.id, **MACED, Mac=bytes(32)).code == "KMSInvalidMacException"
    assert last_use(kms, key) == {}


def test_re_encrypt_is_a_use_of_both_keys(kms):
    source, destination, bystander = make_key(kms), make_key(kms), make_key(kms)
    blob = kms.encrypt(KeyId=source.id, Plaintext=b"x")["CiphertextBlob"]
    wrong = {"SourceEncryptionContext": {"a": "b"}}
    parameters = {"CiphertextBlob": blob, "DestinationKeyId": destination.arn}
    assert refusal(kms.re_encrypt, **parameters, **wrong).code == "InvalidCiphertextException"
    assert (last_use(kms, source)["Operation"], last_use(kms, destination)) == ("Encrypt", {})
    answer = kms.re_encrypt(**parameters)
    told = last_use(kms, source)
    assert (told["Operation"], told["KmsRequestId"]) == ("ReEncrypt", answer["ResponseMetadata"]["RequestId"])
    assert last_use(kms, destination) == told
    assert last_use(kms, bystander) == {}


def test_the_real_command_line_tells_it(aws, kms, fresh_key):
    def ask():
        done = aws("kms", "get-key-last-usage", "--key-id", fresh_key.id)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert ask()["KeyLastUsage"] == {}
    done = aws("kms", "sign", "--key-id", fresh_key.id, "--message", "eA==", "--signing-algorithm", "ECDSA_SHA_256")
    assert done.returncode != 0
    assert ask()["KeyLastUsage"] == {}
    done = aws("kms", "encrypt", "--key-id", fresh_key.id, "--plaintext", "eA==")
    assert done.returncode == 0, done.stderr
    told = ask()
    assert (told["KeyId"], told["KeyLastUsage"]["Operation"]) == (fresh_key.id, "Encrypt")
    assert last_use(kms, fresh_key)["KmsRequestId"] == told["KeyLastUsage"]["KmsRequestId"]


def policy_of_ends(root_arn: str, operator: str, days: int) -> str:
    ends = ["kms:DisableKey", "kms:ScheduleKeyDeletion"]
    owner = {"Effect": "Allow", "Principal": {"AWS": root_arn}, "Resource": "*"}
    condition = {operator: {"kms:TrailingDaysWithoutKeyUsage": days}}
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [owner | {"NotAction": ends}, owner | {"Action": ends, "Condition": condition}]}
    )


@pytest.mark.parametrize("is_used", [False, True])
def test_a_key_of_today_has_no_day_without_use(kms, root_arn, is_used):
    key = make_key(kms)
    if is_used:
        use(kms, key)
    kms.put_key_policy(KeyId=key.id, Policy=policy_of_ends(root_arn, "NumericGreaterThanEquals", 1))
    for end in (kms.disable_key, kms.schedule_key_deletion):
        assert refusal(end, KeyId=key.id).code == "AccessDeniedException"
    kms.put_key_policy(KeyId=key.id, Policy=policy_of_ends(root_arn, "NumericLessThan", 1))
    kms.disable_key(KeyId=key.id)
    kms.schedule_key_deletion(KeyId=key.id)


@pytest.mark.process
def test_no_kill_and_no_end_loses_a_use(new_server):
    target = new_server().init().start()
    kms = client(target, REGION)
    key, other, never = make_key(kms), make_key(kms), make_key(kms)
    told = use(kms, key)
    target.kill()
    target.start()
    assert last_use(kms, key) == told
    # Orderly: now it is in a row, and the journal is not needed for it.
    target.restart()
    assert last_use(kms, key) == told
    later = use(kms, key)
    blob = kms.encrypt(KeyId=key.id, Plaintext=b"x")["CiphertextBlob"]
    answer = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other.id)
    target.kill()
    checked = target.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    target.start()
    for used in (key, other):
        assert last_use(kms, used)["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"]
        assert last_use(kms, used)["Timestamp"] >= later["Timestamp"]
    assert last_use(kms, never) == {}
    assert target.stop() == 0
    checked = target.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.process
def test_what_was_answered_under_load_is_told_after_a_kill(new_server):
    target = new_server().init().start()
    kms = client(target, REGION)
    keys = [make_key(kms) for _ in range(20)]

    def work(key) -> str:
        for _ in range(29):
            kms.generate_data_key(KeyId=key.id, KeySpec="AES_128")
        return kms.generate_data_key(KeyId=key.id, KeySpec="AES_128")["ResponseMetadata"]["RequestId"]

    with ThreadPoolExecutor(8) as pool:
        last = list(pool.map(work, keys))
    target.kill()
    target.start()
    assert [last_use(kms, key)["KmsRequestId"] for key in keys] == last
    assert target.stop() == 0


@pytest.mark.process
def test_the_record_and_the_row_are_what_is_told(new_server):
    target = new_server().init().start()
    kms = client(target, REGION)
    key = make_key(kms)
    told = use(kms, key)
    assert target.stop() == 0
    deployment = Deployment(target.data, target.root_directory / "root.key")
    row = deployment.decode(deployment.rows[f"key-usage/{REGION}/{key.id}"])
    assert row["operation"] == 4 and row["at"] == round(told["Timestamp"].timestamp() * 1000)
    assert row["event_id"].hex() == told["CloudTrailEventId"].replace("-", "")
    assert row["request_id"].hex() == told["KmsRequestId"].replace("-", "")
    journal = read_journal(target.data / "journal")
    (event,) = [record for record in journal if record.kind == EVENT and decode_event(record.payload)["event_id"] == row["event_id"]]
    tracking = deployment.decode(deployment.rows["usage-tracking/global/journal"])
    assert event.sequence <= tracking["sequence"] <= journal[-1].sequence
    trail = [json.loads(line) for line in run("audit", *target.directories()).stdout.splitlines()]
    (recorded,) = [entry for entry in trail if entry["eventID"] == told["CloudTrailEventId"]]
    assert (recorded["eventName"], recorded["requestID"]) == ("Encrypt", told["KmsRequestId"])


@pytest.mark.process
def test_a_backup_has_the_last_use(new_server, tmp_path):
    target = new_server().init().start()
    kms = client(target, REGION)
    key = make_key(kms)
    told = use(kms, key)
    done = run("backup", *target.directories(), "--to", str(tmp_path / "backup"))
    assert done.returncode == 0, done.stderr
    assert target.stop() == 0
    target.data.rename(tmp_path / "lost")
    done = run("restore", "--from", str(tmp_path / "backup"), *target.directories())
    assert done.returncode == 0, done.stderr
    target.start(("--accept-rollback",))
    assert last_use(kms, key) == told
    assert target.stop() == 0

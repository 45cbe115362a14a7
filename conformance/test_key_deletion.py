"""ScheduleKeyDeletion, CancelKeyDeletion and what a key that is pending deletion refuses and shows."""

import datetime

import pytest

from clients import client, marked, refusal

WINDOW = "PendingWindowInDays must be between 7 and 30"


@pytest.mark.parametrize("days", [1, 6, 31, 365])
def test_waiting_period_outside_7_to_30_days_is_refused(kms, fresh_key, days):
    error = refusal(kms.schedule_key_deletion, KeyId=fresh_key.id, PendingWindowInDays=days)
    assert (error.code, error.message) == ("ValidationException", WINDOW)
    assert kms.describe_key(KeyId=fresh_key.id)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize("days", [0, 366])
def test_waiting_period_outside_the_model_is_refused(raw, fresh_key, days):
    answer = raw("ScheduleKeyDeletion", {"KeyId": fresh_key.id, "PendingWindowInDays": days})
    assert answer.code == "ValidationException"
    assert f"Value '{days}' at 'pendingWindowInDays' failed to satisfy constraint" in answer.message


@pytest.mark.parametrize("given, days", [({"PendingWindowInDays": 7}, 7), ({"PendingWindowInDays": 30}, 30), ({}, 30)])
def test_answer_and_metadata_say_when(kms, fresh_key, given, days):
    before = datetime.datetime.now(datetime.timezone.utc)
    answer = kms.schedule_key_deletion(KeyId=fresh_key.arn, **given)
    after = datetime.datetime.now(datetime.timezone.utc)
    del answer["ResponseMetadata"]
    date = answer.pop("DeletionDate")
    assert answer == {"KeyId": fresh_key.arn, "KeyState": "PendingDeletion", "PendingWindowInDays": days}
    margin = datetime.timedelta(seconds=1)
    assert before - margin <= date - datetime.timedelta(days=days) <= after + margin
    metadata = kms.describe_key(KeyId=fresh_key.id)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"], metadata["DeletionDate"]) == ("PendingDeletion", False, date)
    error = refusal(kms.schedule_key_deletion, KeyId=fresh_key.id, PendingWindowInDays=7)
    assert (error.code, error.message) == ("KMSInvalidStateException", f"{fresh_key.arn} is pending deletion.")
    assert kms.describe_key(KeyId=fresh_key.id)["KeyMetadata"]["DeletionDate"] == date


def test_key_that_was_called_back_is_disabled_and_whole(kms, fresh_key, alias_name):
    plaintext = marked()
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=plaintext)["CiphertextBlob"]
    kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.id)
    kms.schedule_key_deletion(KeyId=fresh_key.id)
    assert refusal(kms.decrypt, CiphertextBlob=blob).code == "KMSInvalidStateException"
    assert kms.cancel_key_deletion(KeyId=fresh_key.id)["KeyId"] == fresh_key.arn
    metadata = kms.describe_key(KeyId=alias_name)["KeyMetadata"]
    assert (metadata["KeyState"], "DeletionDate" in metadata) == ("Disabled", False)
    assert refusal(kms.decrypt, CiphertextBlob=blob).code == "DisabledException"
    kms.enable_key(KeyId=fresh_key.id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
    kms.delete_alias(AliasName=alias_name)


@pytest.mark.process
def test_deletion_date_survives_a_restart(new_server):
    target = new_server().init().start()
    kms = client(target, target.regions[0])
    key_id = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "payments"}])["KeyMetadata"]["KeyId"]
    date = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)["DeletionDate"]
    target.restart()
    metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["DeletionDate"]) == ("PendingDeletion", date)
    assert kms.list_resource_tags(KeyId=key_id)["Tags"] == [{"TagKey": "team", "TagValue": "payments"}]


def test_the_real_command_line_schedules_and_cancels(aws, fresh_key):
    done = aws("kms", "schedule-key-deletion", "--key-id", fresh_key.id, "--pending-window-in-days", "7")
    assert done.returncode == 0 and '"KeyState": "PendingDeletion"' in done.stdout, done.stderr
    done = aws("kms", "cancel-key-deletion", "--key-id", fresh_key.id)
    assert done.returncode == 0 and fresh_key.arn in done.stdout, done.stderr

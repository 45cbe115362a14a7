"""A change is in force when its call returns, also for callers on other connections in full flight."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from clients import deny, policy

CALLERS = 6


class Load:
    """Callers that repeat one call without pause and write down when each began and how it ended."""

    def __init__(self, call):
        self.call = call
        self.stopped = threading.Event()
        self.seen: list[tuple[float, str]] = []
        self.threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def _run(self):
        while not self.stopped.is_set():
            begun = time.monotonic()
            try:
                self.call()
                outcome = "Success"
            except ClientError as error:
                outcome = error.response["Error"]["Code"]
            self.seen.append((begun, outcome))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=30)

    def wait_for_more(self, count: int) -> None:
        """Until so many calls have ended that began after now."""
        now, deadline = time.monotonic(), time.monotonic() + 30
        while sum(begun > now for begun, _ in list(self.seen)) < count:
            assert time.monotonic() < deadline, "the load stands still"
            self.stopped.wait(0.002)

    def outcomes(self, after: float, before: float = float("inf")) -> set[str]:
        return {outcome for begun, outcome in list(self.seen) if after < begun < before}


def toggled(load: Load, forbid, allow, refused: str, rounds: int = 5) -> None:
    """Between the return of `forbid` and the call of `allow` every call that begins is refused; then none is."""
    load.wait_for_more(CALLERS)
    for _ in range(rounds):
        forbid()
        forbidden = time.monotonic()
        load.wait_for_more(3 * CALLERS)
        allowing = time.monotonic()
        # Calls that began before `allowing` may have ended after it: only those that ended are looked at here.
        settled = [(b, o) for b, o in list(load.seen) if forbidden < b < allowing]
        assert settled and {o for _, o in settled} == {refused}
        allow()
        allowed = time.monotonic()
        load.wait_for_more(3 * CALLERS)
        assert load.outcomes(after=allowed) == {"Success"}
        # Those that were under way during `allow` may have gone either way, and no other.
        assert load.outcomes(allowing, allowed) <= {"Success", refused}


def test_denial_is_in_force_when_put_key_policy_returns(kms, fresh_key, account):
    with Load(lambda: kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")) as load:
        toggled(
            load,
            forbid=lambda: kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account, deny("kms:Encrypt"))),
            allow=lambda: kms.put_key_policy(KeyId=fresh_key.id, Policy=policy(account)),
            refused="AccessDeniedException",
        )


def test_disabling_is_in_force_when_disable_key_returns(kms, fresh_key):
    blob = kms.encrypt(KeyId=fresh_key.id, Plaintext=b"x")["CiphertextBlob"]
    with Load(lambda: kms.decrypt(CiphertextBlob=blob)) as load:
        toggled(
            load,
            forbid=lambda: kms.disable_key(KeyId=fresh_key.id),
            allow=lambda: kms.enable_key(KeyId=fresh_key.id),
            refused="DisabledException",
        )


def test_alias_is_gone_when_delete_alias_returns(kms, fresh_key, alias_name):
    kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.id)
    with Load(lambda: kms.generate_data_key_without_plaintext(KeyId=alias_name, KeySpec="AES_128")) as load:
        toggled(
            load,
            forbid=lambda: kms.delete_alias(AliasName=alias_name),
            allow=lambda: kms.create_alias(AliasName=alias_name, TargetKeyId=fresh_key.id),
            refused="NotFoundException",
        )


def race(count: int, call) -> list[str]:
    barrier = threading.Barrier(count)

    def one(number: int) -> str:
        barrier.wait(timeout=30)
        try:
            call(number)
            return "Success"
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_who_take_one_alias_exactly_one_gets_it(kms, key, second_key, alias_name, attempt):
    targets = [key.id, second_key.id] * 4
    outcomes = race(8, lambda number: kms.create_alias(AliasName=alias_name, TargetKeyId=targets[number]))
    assert sorted(outcomes) == ["AlreadyExistsException"] * 7 + ["Success"]
    winner = targets[outcomes.index("Success")]
    assert kms.describe_key(KeyId=alias_name)["KeyMetadata"]["KeyId"] == winner
    assert sorted(race(8, lambda _: kms.delete_alias(AliasName=alias_name))) == ["NotFoundException"] * 7 + ["Success"]


def test_alias_limit_holds_under_concurrency(kms, fresh_key, alias_name):
    def create(number: int) -> str:
        try:
            kms.create_alias(AliasName=f"{alias_name}/{number}", TargetKeyId=fresh_key.id)
            return "Success"
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(create, range(60)))
    assert outcomes.count("Success") == 50
    assert outcomes.count("LimitExceededException") == 10
    pages = kms.get_paginator("list_aliases").paginate(KeyId=fresh_key.id)
    assert sum(len(page["Aliases"]) for page in pages) == 50


def test_last_policy_of_many_writers_is_one_of_theirs(kms, fresh_key, account):
    texts = [policy(account).replace("Owner", f"Writer{number}") for number in range(8)]
    outcomes = race(8, lambda number: kms.put_key_policy(KeyId=fresh_key.id, Policy=texts[number]))
    assert outcomes == ["Success"] * 8
    assert kms.get_key_policy(KeyId=fresh_key.id)["Policy"] in texts


def test_concurrent_callers_get_their_own_answers(kms, key):
    def round_trip(number: int) -> bool:
        plaintext = f"answer {number}".encode()
        blob = kms.encrypt(KeyId=key.id, Plaintext=plaintext, EncryptionContext={"n": str(number)})["CiphertextBlob"]
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext={"n": str(number)})
        return opened["Plaintext"] == plaintext

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, range(400)))

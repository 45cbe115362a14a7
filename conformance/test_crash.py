"""SIGKILL at any moment: whatever was acknowledged is there and usable after the restart."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from clients import client, marked
from conftest import REGION

pytestmark = pytest.mark.process

WORKERS = 6
ACKNOWLEDGED_BEFORE_KILL_MAX = 150


@dataclass
class Acknowledged:
    """What the server has said it did. A worker adds only after it has the answer in hand."""

    keys: dict = field(default_factory=dict)  # id -> description
    aliases: dict = field(default_factory=dict)  # name -> key id
    disabled: set = field(default_factory=set)
    blobs: list = field(default_factory=list)  # (key id, blob, plaintext)
    policies: dict = field(default_factory=dict)  # key id -> text
    lock: threading.Lock = field(default_factory=threading.Lock)
    enough: threading.Event = field(default_factory=threading.Event)
    goal: int = 0

    def note(self, add, *what) -> None:
        with self.lock:
            add(*what)
            if len(self.keys) + len(self.aliases) + len(self.disabled) + len(self.blobs) >= self.goal:
                self.enough.set()


def work(kms, worker: int, done: Acknowledged, killed: threading.Event) -> None:
    number = 0
    while not killed.is_set():
        number += 1
        description = f"worker {worker} key {number}"
        name = f"alias/crash/{worker}/{random.randrange(2**64):016x}"
        try:
            key = kms.create_key(Description=description)["KeyMetadata"]["KeyId"]
            done.note(done.keys.__setitem__, key, description)
            kms.create_alias(AliasName=name, TargetKeyId=key)
            done.note(done.aliases.__setitem__, name, key)
            plaintext = marked()
            blob = kms.encrypt(KeyId=key, Plaintext=plaintext)["CiphertextBlob"]
            done.note(done.blobs.append, (key, blob, plaintext))
            if number % 3 == 0:
                text = kms.get_key_policy(KeyId=key)["Policy"].replace("Enable", f"Round {number} Enable")
                kms.put_key_policy(KeyId=key, Policy=text)
                done.note(done.policies.__setitem__, key, text)
            if number % 4 == 0:
                kms.disable_key(KeyId=key)
                done.note(done.disabled.add, key)
        except BotoCoreError:
            return  # the connection is gone: nothing was acknowledged
        except ClientError as error:
            # A dying server may still refuse, but only as a server that cannot go on.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                raise
            return


def verify(kms, done: Acknowledged) -> None:
    def check_key(item):
        key, description = item
        metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
        assert metadata["Description"] == description
        # A worker whose disable call was cut off may have got through: unacknowledged, either state is right.
        if key in done.disabled:
            assert metadata["KeyState"] == "Disabled"
            kms.enable_key(KeyId=key)
        elif metadata["KeyState"] == "Disabled":
            kms.enable_key(KeyId=key)
        blob = kms.encrypt(KeyId=key, Plaintext=b"after the crash")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"after the crash"

    def check_alias(item):
        assert kms.describe_key(KeyId=item[0])["KeyMetadata"]["KeyId"] == item[1]

    def check_blob(item):
        key, blob, plaintext = item
        assert kms.decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"] == plaintext

    def check_policy(item):
        assert kms.get_key_policy(KeyId=item[0])["Policy"] == item[1]

    with ThreadPoolExecutor(8) as pool:
        for check, items in [
            (check_key, done.keys.items()),
            (check_alias, done.aliases.items()),
            (check_blob, done.blobs),
            (check_policy, done.policies.items()),
        ]:
            list(pool.map(check, list(items)))
    listed = {entry["KeyId"] for page in kms.get_paginator("list_keys").paginate() for entry in page["Keys"]}
    assert set(done.keys) <= listed


def crash_round(target, goal: int) -> Acknowledged:
    """Runs workers until `goal` things are acknowledged, then kills the server under them."""
    done, killed = Acknowledged(goal=goal), threading.Event()
    with ThreadPoolExecutor(WORKERS) as pool:
        kms = client(target, REGION)
        running = [pool.submit(work, kms, worker, done, killed) for worker in range(WORKERS)]
        assert done.enough.wait(timeout=60), "the workers got nowhere"
        target.kill()
        killed.set()
        for future in running:
            future.result()
    return done


def test_acknowledged_survives_a_kill(new_server, request):
    target = new_server().init().start()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    everything = Acknowledged()
    for number in range(request.config.getoption("--crash-rounds")):
        done = crash_round(target, goal=moments.randint(1, ACKNOWLEDGED_BEFORE_KILL_MAX))
        if number % 2:  # the checker must also read what no start has repaired yet
            checked = target.check()
            assert checked.returncode == 0, checked.stdout + checked.stderr
        target.start()
        verify(client(target, REGION), done)
        everything.keys |= done.keys
        everything.aliases |= done.aliases
        everything.blobs += done.blobs
        everything.policies |= done.policies
    # Nothing of the first rounds was lost in the last.
    verify(client(target, REGION), everything)
    assert target.stop() == 0
    checked = target.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr

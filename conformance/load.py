"""A load that keeps account: what was asked, what was answered, and what must therefore be true.

Each worker has keys of its own and asks for one thing at a time. `Account.at(position)` says what must hold of a disk
whose trace ends there (see power.py); without a position, of the server as it is.
"""

import base64
import http.client
import json
import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from clients import Answer, RawClient, b64, marked, policy
from server import Server, expect, run

NEVER = 1 << 62
# Close to the most that a policy may have.
POLICY_BYTES = 32_000
PAGE = 100
# How many keys and blobs are looked at closely: the newest, and as many others.
LOOKED_AT = 8


class Caller:
    """One connection that stays open; a new one after an error."""

    def __init__(self, server: Server, seconds_max: float = 30):
        self.raw = RawClient(server, server.regions[0])
        self._place = ("127.0.0.1", server.port)
        self._seconds_max = seconds_max
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, operation: str, body: dict) -> Answer:
        signed = self.raw.sign(operation, body)
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._place, timeout=self._seconds_max)
        try:
            self._connection.request("POST", "/", signed.body, dict(signed.headers))
            response = self._connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def done(self, operation: str, body: dict) -> dict:
        answer = self(operation, body)
        expect(answer.status == 200, f"{operation} {body}: {answer.status} {answer.body[:300]}")
        return json.loads(answer.body) if answer.body else {}

    def pages(self, operation: str, entries: str) -> list[dict]:
        found, body = [], {"Limit": PAGE}
        while True:
            page = self.done(operation, body)
            found += page[entries]
            if not page["Truncated"]:
                return found
            body["Marker"] = page["NextMarker"]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Asked:
    """One request. What it changes, if it changes something, is `field` of `thing`, to `value`."""

    operation: str
    started: int
    thing: str | None = None
    field: str | None = None
    value: object = None
    ended: int = NEVER
    answer: Answer | None = None

    def is_done(self, position: int) -> bool:
        return self.ended <= position and self.answer.status == 200


@dataclass
class Truth:
    """What must hold: of each field of each thing the values that it may have, and the records that must be there."""

    fields: dict[str, dict[str, set]] = field(default_factory=dict)
    blobs: list[tuple[str, str, bytes]] = field(default_factory=list)
    request_ids: set[str] = field(default_factory=set)


class Account:
    def __init__(self, position=lambda: 0):
        self.position = position
        self.asked: list[Asked] = []
        self.blobs: list[tuple[Asked, str, str, bytes]] = []  # the request, key, blob, plaintext
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._answers = 0

    def ask(self, caller: Caller, operation: str, body: dict, **changes) -> Answer | None:
        """None when the connection broke: nobody knows then what was done."""
        asked = Asked(operation, self.position(), **changes)
        with self._lock:
            self.asked.append(asked)
        try:
            answer = caller(operation, body)
        except (OSError, http.client.HTTPException):
            return None
        with self._lock:
            asked.answer, asked.ended = answer, self.position()
            if operation == "CreateKey" and answer.status == 200:
                asked.thing = answer.json["KeyMetadata"]["KeyId"]
            if operation == "Encrypt" and answer.status == 200:
                blob = answer.json["CiphertextBlob"]
                self.blobs.append((asked, body["KeyId"], blob, base64.b64decode(body["Plaintext"])))
            self._answers += 1
            self._changed.notify_all()
        return answer

    def wait_for(self, answers: int, seconds_max: float = 60) -> None:
        """Until there are so many answers more."""
        with self._changed:
            goal = self._answers + answers
            got = self._changed.wait_for(lambda: self._answers >= goal, timeout=seconds_max)
            expect(got, f"the workers got {self._answers} answers of {goal}")

    def wait_until(self, holds, seconds_max: float = 60) -> None:
        """Until `holds` is true after some answer."""
        with self._changed:
            expect(self._changed.wait_for(holds, timeout=seconds_max), "the load did not bring it about")

    def ends(self) -> list[int]:
        """Where in the trace answers arrived."""
        return [asked.ended for asked in self.asked if asked.ended != NEVER]

    def refusals(self, begun: int = 0) -> dict[tuple[int, str], int]:
        """The answers that were not a success, by status and code; leaves out the `begun` requests that were sent first."""
        counts: dict[tuple[int, str], int] = {}
        for asked in self.asked[begun:]:
            if asked.answer is not None and asked.answer.status != 200:
                kind = (asked.answer.status, asked.answer.code)
                counts[kind] = counts.get(kind, 0) + 1
        return counts

    def at(self, position: int = NEVER - 1) -> Truth:
        truth = Truth()
        for asked in self.asked:
            if asked.started >= position:
                continue
            is_done = asked.is_done(position)
            if is_done:
                truth.request_ids.add(asked.answer.request_id)
            if asked.field is None or asked.thing is None:
                continue
            was_refused = asked.ended <= position and asked.answer.status == 400
            values = truth.fields.setdefault(asked.thing, {}).setdefault(asked.field, {None})
            if is_done:
                values.clear()
            if not was_refused:
                values.add(asked.value)
        for asked, key, blob, plaintext in self.blobs:
            if asked.is_done(position):
                truth.blobs.append((key, blob, plaintext))
        return truth


class Load:
    """Workers that ask until they are stopped. A heavy load writes large policies, so that the store's log is soon long."""

    def __init__(self, server: Server, account: Account, workers: int = 6, seed: int = 0, is_heavy: bool = False):
        self.server, self.account, self._is_heavy = server, account, is_heavy
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(workers)
        self._running = [self._pool.submit(self._work, number, seed) for number in range(workers)]

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, kind, *_) -> None:
        self._stopped.set()
        self._pool.shutdown()
        if kind is None:
            self.stop()

    def stop(self) -> None:
        """Ends the workers; what went wrong in one of them is raised here."""
        self._stopped.set()
        for worker in self._running:
            worker.result()

    def _work(self, worker: int, seed: int) -> None:
        dice = random.Random(f"{seed} {worker}")
        caller = Caller(self.server)
        number, ask = 0, self.account.ask
        while not self._stopped.is_set():
            number += 1
            description = f"worker {worker} key {number} {dice.randrange(1 << 32):08x}"
            made = ask(caller, "CreateKey", {"Description": description}, field="description", value=description)
            if made is None or made.status != 200:
                self._stopped.wait(0.005)  # a server that refuses is not asked faster than it answers
                continue
            key = made.json["KeyMetadata"]["KeyId"]
            name = f"alias/load/{worker}/{dice.randrange(1 << 64):016x}"
            alias = {"AliasName": name, "TargetKeyId": key}
            named = ask(caller, "CreateAlias", alias, thing=name, field="target", value=key)
            if named is None or named.status != 200:
                name = key  # the alias may or may not be there
            ask(caller, "Encrypt", {"KeyId": key, "Plaintext": b64(marked())})
            ask(caller, "GenerateDataKey", {"KeyId": name if number % 2 else key, "KeySpec": "AES_256"})
            if self._is_heavy or number % 3 == 0:
                text = policy(self.server.account, {"Sid": f"n{number}"} | _ALLOW)
                if self._is_heavy:
                    text = text.ljust(POLICY_BYTES)
                ask(caller, "PutKeyPolicy", {"KeyId": key, "Policy": text}, thing=key, field="policy", value=text)
            if number % 4 == 0:
                ask(caller, "DisableKey", {"KeyId": key}, thing=key, field="state", value="Disabled")
                if number % 8 == 0:
                    ask(caller, "EnableKey", {"KeyId": key}, thing=key, field="state", value="Enabled")
        caller.close()


_ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "kms:DescribeKey", "Resource": "*"}


def hold(server: Server, truth: Truth, dice: random.Random) -> None:
    """Asks a running server whether all of it is true."""
    caller = Caller(server)
    keys = {entry["KeyId"] for entry in caller.pages("ListKeys", "Keys")}
    aliases = {entry["AliasName"]: entry["TargetKeyId"] for entry in caller.pages("ListAliases", "Aliases")}
    looked_at = []
    for thing, fields in truth.fields.items():
        if "target" in fields:
            expect(aliases.get(thing) in fields["target"], f"{thing}: {aliases.get(thing)}, not one of {fields}")
        elif None not in fields.get("description", {None}):
            expect(thing in keys, f"key {thing} is lost")
            looked_at.append(thing)
    for key in some(looked_at, dice):
        fields = truth.fields[key]
        metadata = caller.done("DescribeKey", {"KeyId": key})["KeyMetadata"]
        expect(metadata["Description"] in fields["description"], f"{metadata} {fields}")
        states = {state or "Enabled" for state in fields.get("state", {None})}
        expect(metadata["KeyState"] in states, f"{metadata} {states}")
        if "policy" in fields:
            text = caller.done("GetKeyPolicy", {"KeyId": key})["Policy"]
            expect(text in fields["policy"] or None in fields["policy"], f"key {key}: {text}")
    for key, blob, plaintext in some(truth.blobs, dice):
        if truth.fields[key].get("state", {None}) <= {None, "Enabled"}:
            opened = caller.done("Decrypt", {"CiphertextBlob": blob})
            expect(base64.b64decode(opened["Plaintext"]) == plaintext, f"a blob of {key} opens to something else")
    caller.close()


def some(things: list, dice: random.Random) -> list:
    newest, others = things[-LOOKED_AT:], things[:-LOOKED_AT]
    return newest + dice.sample(others, min(LOOKED_AT, len(others)))


def recorded(server: Server, truth: Truth) -> list[dict]:
    """Reads the journal of a server that is not running: what was answered is recorded once, and what stands in the
    store has its record."""
    verified = run("audit", *server.directories(), "--verify")
    expect(verified.returncode == 0, "the journal does not verify", verified.stdout + verified.stderr)
    records = [json.loads(line) for line in audit(server).stdout.splitlines()]
    ids = [record["eventID"] for record in records]
    expect(len(ids) == len(set(ids)), "an event is recorded twice")
    successes = [record["requestID"] for record in records if is_success(record)]
    expect(len(successes) == len(set(successes)), "a request is recorded twice")
    lost = truth.request_ids - set(successes)
    expect(not lost, f"{len(lost)} answers are not recorded: {sorted(lost)[:5]}")
    return records


def is_success(record: dict) -> bool:
    return "errorCode" not in record and record["eventType"] == "AwsApiCall"


def audit(server: Server) -> subprocess.CompletedProcess:
    done = run("audit", *server.directories())
    expect(done.returncode == 0, "the journal cannot be read", done.stderr)
    return done


def every_key_is_recorded(server: Server, records: list[dict]) -> None:
    """No change without a record. Asks a running server; `records` are of the same state or a later one."""
    caller = Caller(server)
    made = {r["resources"][0]["ARN"] for r in records if r["eventName"] == "CreateKey" and is_success(r)}
    listed = {entry["KeyArn"] for entry in caller.pages("ListKeys", "Keys")}
    caller.close()
    expect(listed <= made, f"keys without a record: {sorted(listed - made)[:5]}")

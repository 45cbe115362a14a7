"""Paging of ListKeys and ListAliases: complete, without repeats, and with markers that cannot be forged."""

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import RawClient, client, refusal
from conftest import OTHER_REGION, REGION

KEYS = 1000
ALIASES = 130
INVALID_MARKER = "InvalidMarkerException"

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def crowded(new_server):
    """A server with exactly 1,000 keys in one region, and 130 aliases on three of them."""
    target = new_server([REGION, OTHER_REGION]).init().start()
    kms = client(target, REGION)
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: kms.create_key()["KeyMetadata"]["KeyId"], range(KEYS)))
        names = [f"alias/paging/{number:03}" for number in range(ALIASES)]
        list(pool.map(lambda n: kms.create_alias(AliasName=names[n], TargetKeyId=ids[n % 3]), range(ALIASES)))
    return target, sorted(ids), names


@pytest.fixture(scope="module")
def kms(crowded):
    return client(crowded[0], REGION)


@pytest.fixture(scope="module")
def raw(crowded):
    return RawClient(crowded[0], REGION)


def pages(call, **parameters) -> list[dict]:
    """Follows the markers by hand, so that each page can be looked at."""
    found, marker = [], {}
    while True:
        page = call(**parameters, **marker)
        found.append(page)
        if not page["Truncated"]:
            assert "NextMarker" not in page
            return found
        marker = {"Marker": page["NextMarker"]}
        assert len(found) <= 2000, "the paging does not end"


@pytest.mark.parametrize("operation", ["ListKeys", "ListAliases"])
def test_limit_past_the_models_maximum_is_refused(raw, operation):
    answer = raw(operation, {"Limit": 1001})
    assert (answer.code, answer.message) == (
        "ValidationException",
        "1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: "
        "Member must have value less than or equal to 1000",
    )


def test_limit_past_the_services_own_maximum_for_aliases_is_refused(raw):
    for limit in (101, 1000):
        answer = raw("ListAliases", {"Limit": limit})
        assert (answer.code, answer.message) == (
            "ValidationException",
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            "Member must have value less than or equal to 100",
        )


def marker_of(kms, **parameters) -> str:
    return kms.list_keys(Limit=10, **parameters)["NextMarker"]


@pytest.mark.parametrize("marker", ["x", "AAAA", "a" * 1024, "\u00ff", " ", "../../etc/passwd", "{}"])
def test_marker_that_was_never_given_is_refused(kms, marker):
    assert refusal(kms.list_keys, Marker=marker).code == INVALID_MARKER
    assert refusal(kms.list_aliases, Marker=marker).code == INVALID_MARKER


def test_changed_marker_is_refused(kms):
    marker = marker_of(kms)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    for at in range(0, len(marker), 3):
        changed = marker[:at] + next(c for c in alphabet if c != marker[at]) + marker[at + 1 :]
        if _same_bytes(changed, marker):
            continue
        assert (at, refusal(kms.list_keys, Limit=10, Marker=changed).code) == (at, INVALID_MARKER)
    for changed in (marker[:-1], marker[1:], marker + "A", marker * 2, marker[::-1]):
        if not _same_bytes(changed, marker):
            assert refusal(kms.list_keys, Limit=10, Marker=changed).code == INVALID_MARKER
    assert kms.list_keys(Limit=10, Marker=marker)["Keys"]


def _same_bytes(one: str, two: str) -> bool:
    """Whether two texts are the same base64: the last character of an unpadded one has unused bits."""

    def decoded(text: str):
        try:
            return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
        except ValueError:
            return text

    return decoded(one) == decoded(two)


def test_marker_of_another_operation_is_refused(kms):
    of_keys, of_aliases = marker_of(kms), kms.list_aliases(Limit=10)["NextMarker"]
    assert refusal(kms.list_aliases, Limit=10, Marker=of_keys).code == INVALID_MARKER
    assert refusal(kms.list_keys, Limit=10, Marker=of_aliases).code == INVALID_MARKER


def test_marker_of_another_region_is_refused(crowded, kms):
    elsewhere = client(crowded[0], OTHER_REGION)
    assert refusal(elsewhere.list_keys, Limit=10, Marker=marker_of(kms)).code == INVALID_MARKER


def test_marker_of_another_key_is_refused(kms):
    targets = {entry["TargetKeyId"] for entry in kms.list_aliases()["Aliases"] if "TargetKeyId" in entry}
    one, two = sorted(targets)[:2]
    marker = kms.list_aliases(KeyId=one, Limit=10)["NextMarker"]
    assert refusal(kms.list_aliases, KeyId=two, Limit=10, Marker=marker).code == INVALID_MARKER
    assert refusal(kms.list_aliases, Limit=10, Marker=marker).code == INVALID_MARKER


@pytest.mark.parametrize("limit, sizes", [(1, {1}), (100, {100}), (999, {999, 1}), (1000, {1000}), (None, {100})])
def test_all_keys_come_once_whatever_the_page_size(crowded, kms, limit, sizes):
    found = pages(kms.list_keys, **({"Limit": limit} if limit else {}))
    assert {len(page["Keys"]) for page in found} == sizes
    assert sorted(entry["KeyId"] for page in found for entry in page["Keys"]) == crowded[1]


def test_botocores_paginator_finds_all_keys(crowded, kms):
    paginator = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 77})
    assert sorted(entry["KeyId"] for page in paginator for entry in page["Keys"]) == crowded[1]


def customer_names(found: list[dict]) -> list[str]:
    names = [entry["AliasName"] for page in found for entry in page["Aliases"]]
    return [name for name in names if not name.startswith("alias/aws/")]


@pytest.mark.parametrize("limit", [1, 7, 50, 100, None])
def test_all_aliases_come_once_whatever_the_page_size(crowded, kms, limit):
    found = pages(kms.list_aliases, **({"Limit": limit} if limit else {}))
    assert sorted(customer_names(found)) == crowded[2]
    # 50 is the default.
    assert max(len(page["Aliases"]) for page in found) == (limit or 50)


def test_aliases_of_one_key_are_its_own(crowded, kms):
    for target in {entry["TargetKeyId"] for entry in kms.list_aliases()["Aliases"] if "TargetKeyId" in entry}:
        found = pages(kms.list_aliases, KeyId=target, Limit=10)
        assert {entry["TargetKeyId"] for page in found for entry in page["Aliases"]} == {target}
        assert len(customer_names(found)) in (ALIASES // 3, ALIASES // 3 + 1)


def test_marker_survives_a_restart(crowded, kms):
    first = kms.list_keys(Limit=600)
    crowded[0].restart()
    second = kms.list_keys(Limit=600, Marker=first["NextMarker"])
    ids = [entry["KeyId"] for page in (first, second) for entry in page["Keys"]]
    assert second["Truncated"] is False
    assert sorted(ids) == crowded[1]


def test_other_region_of_the_server_is_empty(crowded):
    elsewhere = RawClient(crowded[0], OTHER_REGION)
    assert elsewhere("ListKeys").json == {"Keys": [], "Truncated": False}

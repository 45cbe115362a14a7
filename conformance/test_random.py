"""GenerateRandom."""

import pytest

from clients import refusal


def test_size_is_required(kms):
    error = refusal(kms.generate_random)
    assert (error.code, error.message) == ("ValidationException", "NumberOfBytes is required.")


@pytest.mark.parametrize(
    "number, text",
    [(0, "greater than or equal to 1"), (-7, "greater than or equal to 1"), (1025, "less than or equal to 1024")],
)
def test_size_outside_1_to_1024_is_refused(loose, number, text):
    error = refusal(loose.generate_random, NumberOfBytes=number)
    assert (error.code, error.message) == (
        "ValidationException",
        f"1 validation error detected: Value '{number}' at 'numberOfBytes' failed to satisfy constraint: "
        f"Member must have value {text}",
    )


@pytest.mark.parametrize("size", [1, 2, 31, 32, 1023, 1024])
def test_as_many_bytes_come_as_were_asked_for(kms, size):
    answer = kms.generate_random(NumberOfBytes=size)
    assert set(answer) == {"Plaintext", "ResponseMetadata"}
    assert len(answer["Plaintext"]) == size


def test_bytes_do_not_repeat(kms):
    drawn = [kms.generate_random(NumberOfBytes=16)["Plaintext"] for _ in range(50)]
    assert len(set(drawn)) == 50


def test_every_value_occurs(kms):
    # 8,192 bytes miss one of 256 values with a probability below 1e-11.
    drawn = b"".join(kms.generate_random(NumberOfBytes=1024)["Plaintext"] for _ in range(8))
    assert len(set(drawn)) == 256

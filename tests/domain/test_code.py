from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpost.domain import verification as code

KEY = bytes(range(32))
SID = "VE0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"


def hmac_by_hand(key: bytes, text: str) -> int:
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + text.encode()).digest()
    return int(hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest(), 16)


@pytest.mark.parametrize("length", range(4, 11))
def test_a_code_is_the_hmac_of_the_sid_reduced_to_its_digits(length: int) -> None:
    expected = str(hmac_by_hand(KEY, SID))[-length:]
    assert code.derive(KEY, SID, length) == expected


def test_a_derived_code_stays_the_same_in_every_release() -> None:
    assert code.derive(KEY, SID, 6) == "424711"
    assert code.derive(KEY, SID, 10) == "1547424711"


def test_leading_zeros_are_kept() -> None:
    sids = (f"VE{number:032x}" for number in range(2000))
    zeros = [derived for derived in (code.derive(KEY, sid, 6) for sid in sids) if derived.startswith("00")]
    assert zeros
    assert {len(derived) for derived in zeros} == {6}


@pytest.mark.parametrize("length", [-1, 0, 3, 11])
def test_a_length_that_no_application_can_have_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"4 to 10 digits, not {length}"):
        code.derive(KEY, SID, length)


def test_another_key_or_sid_gives_another_code() -> None:
    codes = {code.derive(key, sid, 10) for key in (KEY, bytes(32)) for sid in (SID, SID[:-1] + "c")}
    assert len(codes) == 4


@pytest.mark.parametrize("position", [0, -1])
def test_the_digits_are_spread_evenly(position: int) -> None:
    counts = Counter(code.derive(KEY, f"VE{number:032x}", 6)[position] for number in range(20_000))
    chi_squared = sum((counts[digit] - 2000) ** 2 / 2000 for digit in "0123456789")
    assert chi_squared < 27.9  # 9 degrees of freedom, p = 0.001


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("123456", "123456"),
        ("000123", "000123"),
        (" 123 456 ", "123456"),
        ("123-456", "123456"),
        ("12–34—56", "123456"),
        ("123\u00a0456\n", "123456"),
        ("\u200e123456\u202c", "123456"),
        ("١٢٣٤٥٦", "123456"),
        ("१२३४५६", "123456"),
        ("１２３４５６", "123456"),
        ("1", "1"),
        ("", None),
        (" - ", None),
        ("12345a", None),
        ("12345O", None),
        ("123.456", None),
        ("+123456", None),
        ("12²", None),
        ("①②③④", None),
        ("123456\0", None),
        ("1" * 64, "1" * 64),
        ("1" * 65, None),
    ],
)
def test_typed_digits_are_read_and_anything_else_is_no_code(typed: str, read: str | None) -> None:
    assert code.read_code(typed) == read


@given(st.text(max_size=80))
def test_whatever_is_typed_is_ascii_digits_or_no_code(typed: str) -> None:
    read = code.read_code(typed)
    assert read is None or (read.isascii() and read.isdigit())


def test_only_equal_codes_are_the_same() -> None:
    assert code.same("012345", "012345")
    assert not code.same("012345", "012346")
    assert not code.same("12345", "012345")
    assert not code.same("", "012345")

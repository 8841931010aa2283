"""Which filter takes a number: dialing codes by the longest prefix, and regions that share one."""

from __future__ import annotations

import phonenumbers
import pytest

from otpost.domain.phone import NumberRefused, example_of, parse_filter, trusted
from otpost.domain.policy import closest_filter


@pytest.mark.parametrize(
    ("e164", "filters", "best"),
    [
        ("+919191919191", ["+91", "+9191"], "+9191"),
        ("+919191919191", ["+1"], None),
        ("+919191919191", [], None),
        ("+17872345678", ["+1", "PR"], "PR"),
        ("+17872345678", ["PR", "+1787"], "+1787"),
        ("+19392345678", ["+1", "PR", "+1787", "US"], "PR"),
        ("+14155550100", ["+1", "PR", "US"], "US"),
        ("+14162345678", ["US", "PR", "+1"], "+1"),
        ("+14162345678", ["US", "PR"], None),
        ("+77012345678", ["+7", "RU", "KZ"], "KZ"),
        ("+79161234567", ["KZ", "RU"], "RU"),
        ("+77012345678", ["KZ", "+77"], "+77"),
        ("+4915112345678", ["DE", "+49"], "DE"),
        ("+4915112345678", ["+49151", "DE"], "+49151"),
        ("+881612345678", ["US", "+881"], "+881"),
    ],
)
def test_the_filter_that_says_most_about_a_number_takes_it(e164: str, filters: list[str], best: str | None) -> None:
    assert closest_filter(trusted(e164), filters) == best
    assert closest_filter(trusted(e164), filters[::-1]) == best


@pytest.mark.parametrize(("typed", "kept"), [("pr", "PR"), (" US\n", "US"), ("\u200bde", "DE"), ("1 787", "+1787")])
def test_a_filter_is_a_dialing_code_or_a_region(typed: str, kept: str) -> None:
    assert parse_filter(typed) == kept


@pytest.mark.parametrize("typed", ["XX", "USA", "é", "", "U", "+US"])
def test_what_is_neither_is_refused(typed: str) -> None:
    with pytest.raises(NumberRefused):
        parse_filter(typed)


def test_a_region_whose_numbers_are_anothers_is_refused_and_every_other_takes_its_own() -> None:
    told = {}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        try:
            assert closest_filter(example_of(region), [parse_filter(region)]) == region
        except NumberRefused as refused:
            told[region] = refused.message
    assert sorted(told) == ["AX", "BL", "CC", "CX", "EH", "IM", "MF", "SJ", "VA"]
    assert told["AX"] == "Numbers of AX cannot be told from those of FI. Give FI."

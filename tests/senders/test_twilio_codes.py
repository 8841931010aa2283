"""Twilio's codes as data: each that its dictionary lists has a reason, and one of tomorrow breaks nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from otpost.domain.outcome import REASONS, ReasonName
from otpost.senders.answers import code_of
from otpost.senders.twilio.codes import CODES, RANGES, STATUSES, link, meaning

DICTIONARY = Path(__file__).resolve().parent.parent / "data" / "twilio-error-codes.json"
PUBLISHED: dict[int, str] = {
    int(code): words for code, words in msgspec.json.decode(DICTIONARY.read_bytes())["codes"].items()
}
ABOUT_TEXTS = [code for code in PUBLISHED if code in range(21601, 21660) or code in range(30001, 30100)]
OF_PAPERS = {21628, 21629, 21630, 21634, 21644, 21645, 21646, 21647, 21648}
"""Numbered among the texts, but about addresses, documents and bundles of phone numbers."""

EXPECTED: dict[ReasonName, tuple[int, ...]] = {
    "invalid_number": (21211, 21217, 21265, 21268, 21401, 21421, 21604, 30005, 30014),
    "cannot_receive": (21614, 21635, 30006),
    "not_reachable": (30003,),
    "opted_out": (21610, 30630),
    "blocked_as_fraud": (30450, 30453),
    "country_not_permitted": (21215, 21408),
    "sender_not_allowed": (
        *(21266, 21606, 21612, 21703, 21731, 30018, 30024, 30032, 30033, 30034, 30035, 30040, 30041, 30042, 30043),
        *(30125, 30437, 30440, 30451, 30452, 30455, 30460, 30464, 30466, 30499, 30501, 30531, 30701, 30801, 30880),
    ),
    "filtered": (21618, 30004, 30007, 30038, 30039),
    "not_delivered": (30008, 30010, 30017, 30046, 30410, 30485, 30610),
    "text_refused": (21602, 21617),
    "account_trouble": (
        *(20005, 20006, 20010, 20403, 21267, 21608, 30002, 30037, 30044, 30454, 60728, 63038, 90010, 572002, 572005),
    ),
    "credentials_refused": (20003, 20008),
    "wrong_settings": (
        *(20404, 21212, 21264, 21603, 21654, 21655, 21656, 21659, 21660),
        *(21661, 21663, 21668, 21701, 21702, 21704, 21705, 30045, 90007, 90014),
    ),
    "throttled": (20429, 21611, 30001, 30022, 30023, 30027),
    "vendor_trouble": (20500, 20503, 30500),
    "too_late": (30036,),
    "callback_refused": (21609,),
}

NOT_IN_IT: list[tuple[int, ReasonName]] = [
    (19999, "unknown"),
    (20014, "unknown"),
    (20199, "credentials_refused"),
    (20401, "unknown"),
    (20599, "vendor_trouble"),
    (20999, "unknown"),
    (21199, "unknown"),
    (21269, "unknown"),
    (21599, "unknown"),
    (21640, "unknown"),
    (21669, "unknown"),
    (21732, "sender_not_allowed"),
    (21799, "unknown"),
    (21999, "unknown"),
    (23999, "unknown"),
    (30047, "unknown"),
    (30139, "wrong_settings"),
    (30199, "unknown"),
    (30439, "sender_not_allowed"),
    (30600, "unknown"),
    (30899, "sender_not_allowed"),
    (30999, "unknown"),
    (60999, "unknown"),
    (63999, "unknown"),
    (99999, "unknown"),
    (2**63, "unknown"),
]


def test_every_code_of_the_dictionary_is_classed_and_told_in_a_sentence() -> None:
    assert len(PUBLISHED) == 435
    for code in PUBLISHED:
        told = meaning(code)
        assert told.reason in REASONS, code
        assert told.sentence[0].isupper(), code
        assert told.sentence.endswith("."), code
        assert link(code).endswith(f"/{code}")


def test_every_code_about_sending_texts_has_a_reason_that_says_more_than_unknown() -> None:
    assert len(ABOUT_TEXTS) == 81
    assert [code for code in ABOUT_TEXTS if meaning(code).reason == "unknown"] == []
    assert {code for code in ABOUT_TEXTS if code not in CODES} == OF_PAPERS & set(PUBLISHED)
    of_accounts = [code for code in PUBLISHED if 20000 <= code < 21000]
    assert [code for code in of_accounts if meaning(code).reason == "unknown"] == []


@pytest.mark.parametrize(("reason", "codes"), EXPECTED.items())
def test_the_codes_that_matter_have_the_reason_that_fits(reason: ReasonName, codes: tuple[int, ...]) -> None:
    assert {code: meaning(code).reason for code in codes} == dict.fromkeys(codes, reason)


@pytest.mark.parametrize(("code", "reason"), NOT_IN_IT)
def test_a_code_of_tomorrow_is_classed_by_its_range_and_said_to_be_unknown(code: int, reason: ReasonName) -> None:
    assert code not in PUBLISHED
    told = meaning(code)
    assert told.reason == reason
    assert str(code) in told.sentence
    assert ("which is not listed here" in told.sentence) or ("which Otpost does not know" in told.sentence)


def test_no_code_is_held_to_be_the_recipients_fault_by_a_guess() -> None:
    for known in RANGES:
        assert REASONS[known.reason].help == "elsewhere" or known.reason == "vendor_trouble"
        assert known.reason not in ("invalid_number", "cannot_receive", "opted_out", "not_reachable")


def test_no_range_holds_another() -> None:
    places = [(known.first, known.last) for known in RANGES]
    assert places == sorted(places)
    assert all(first <= last for first, last in places)
    assert all(before[1] < after[0] for before, after in pairwise(places))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (21211, 21211),
        ("21211", 21211),
        (999_999, 999_999),
        ("", None),
        ("0", None),
        (0, None),
        (-1, None),
        ("-21211", None),
        (True, None),
        (None, None),
        (1.5, None),
        ("21211a", None),
        ("٢١٢١١", None),
        (1_000_000, None),
        (10**400, None),
        ("9" * 5000, None),
        ([], None),
        ({}, None),
    ],
)
def test_what_stands_where_a_code_should_is_a_code_or_nothing(value: object, code: int | None) -> None:
    assert code_of(value) == code


@pytest.mark.parametrize("code", [0, -1, -21211, 10**12])
def test_a_number_that_can_be_no_code_is_unknown(code: int) -> None:
    assert meaning(code).reason == "unknown"


def test_every_status_of_twilio_is_one_of_ours() -> None:
    assert set(STATUSES.values()) == {"accepted", "sent", "delivered", "undelivered", "failed"}

"""A verification from its start to each of its ends."""

from __future__ import annotations

import msgspec
import pytest

from otpost.domain.verification import Event, Extras, Verification

T = 1_800_000_000_000


def pending(lifetime_s: int = 300, max_checks: int = 3) -> Verification:
    return Verification(
        sid="VE1",
        tenant="AC1",
        application="VA1",
        to="+15005550006",
        status="pending",
        created_at=T,
        expires_at=T + lifetime_s * 1000,
        resend_at=T,
        key_id="k1",
        code_length=6,
        lifetime_s=lifetime_s,
        max_checks=max_checks,
        max_sends=5,
        resend_after_s=30,
        message="",
    ).sent(T, "SM1")


def test_a_resend_moves_the_resend_and_not_the_end() -> None:
    first = pending()
    again = first.sent(T + 40_000, "SM2")
    assert (first.sends, first.resend_at, first.message) == (1, T + 30_000, "SM1")
    assert (again.sends, again.resend_at, again.message) == (2, T + 70_000, "SM2")
    assert again.expires_at == first.expires_at
    assert again.events == (Event(T, "started", "SM1"), Event(T + 40_000, "resent", "SM2"))


def test_it_is_pending_until_the_millisecond_of_its_end_and_expired_from_then_on() -> None:
    row = pending()
    assert (row.is_pending(T + 299_999), row.status_at(T + 299_999)) == (True, "pending")
    assert (row.is_pending(T + 300_000), row.status_at(T + 300_000)) == (False, "expired")


def test_only_what_is_pending_expires() -> None:
    for ended in (
        pending().checked(T, right=True),
        pending().ended(T, "canceled"),
        pending(max_checks=1).checked(T, right=False),
    ):
        assert ended.status_at(T + 10**9) == ended.status
        assert not ended.is_pending(T)


@pytest.mark.parametrize(
    ("lifetime_s", "left_ms"), [(600, 60_000), (300, 60_000), (120, 60_000), (100, 50_000), (60, 30_000)]
)
def test_a_start_begins_anew_once_less_than_a_minute_or_half_the_life_is_left(lifetime_s: int, left_ms: int) -> None:
    row = pending(lifetime_s)
    assert not row.begins_anew(row.expires_at - left_ms)
    assert row.begins_anew(row.expires_at - left_ms + 1)
    assert row.fresh_start_at() == row.expires_at - left_ms + 1


def test_each_wrong_code_is_counted_and_the_last_uses_the_verification_up() -> None:
    row, seen = pending(), []
    for second in range(1, 4):
        row = row.checked(T + second, right=False)
        seen.append((row.status, row.checks, row.checks_left))
    assert seen == [("pending", 1, 2), ("pending", 2, 1), ("max_attempts_reached", 3, 0)]
    assert [(event.at - T, event.what) for event in row.events[1:]] == [
        (1, "wrong_code"),
        (2, "wrong_code"),
        (3, "wrong_code"),
        (3, "max_attempts_reached"),
    ]


def test_the_right_code_approves_even_as_the_last_check() -> None:
    row = pending(max_checks=1).checked(T + 7, right=True)
    assert (row.status, row.approved_at, row.checks, row.checks_left) == ("approved", T + 7, 1, 0)
    assert row.events[-1] == Event(T + 7, "approved")


def test_an_end_is_written_down() -> None:
    assert pending().ended(T + 5, "canceled").events[-1] == Event(T + 5, "canceled")
    assert pending().ended(T + 5, "expired").status == "expired"


def test_in_verify_it_is_the_same_until_the_end() -> None:
    row = pending(lifetime_s=600)
    assert [row.begins_anew(T + at, to_the_end=True) for at in (540_001, 599_999, 600_000)] == [False, False, True]
    assert row.fresh_start_at(to_the_end=True) == row.expires_at


def test_it_is_used_up_from_its_last_wrong_code_until_its_end() -> None:
    row = pending(max_checks=2)
    used_up = row.checked(T + 1, right=False).checked(T + 2, right=False)
    assert [used_up.is_used_up(T + at) for at in (2, 299_999, 300_000)] == [True, True, False]
    assert not row.is_used_up(T)
    assert not used_up.ended(T + 3, "canceled").is_used_up(T + 3)


def test_a_callers_own_code_is_gone_with_every_end_and_nothing_else_is() -> None:
    extras = Extras(friendly_name="Shop", tags={"a": "b"}, custom_code="sealed")
    row = msgspec.structs.replace(pending(max_checks=2), extras=extras)
    wrong = row.checked(T, right=False)
    assert wrong.extras == extras
    assert row.sent(T, "SM2").extras == extras
    for ended in (
        row.checked(T, right=True),
        row.approved(T),
        wrong.checked(T, right=False),
        row.ended(T, "canceled"),
        row.ended(T, "expired"),
    ):
        assert ended.extras == Extras(friendly_name="Shop", tags={"a": "b"})


def test_a_right_code_counts_as_a_check_and_an_applications_word_does_not() -> None:
    by_code, by_word = pending().checked(T + 5, right=True), pending().approved(T + 5)
    assert (by_code.checks, by_word.checks) == (1, 0)
    assert by_code.events == by_word.events == (Event(T, "started", "SM1"), Event(T + 5, "approved"))
    assert by_word.updated_at == T + 5


def test_a_code_is_bound_to_what_its_start_named() -> None:
    row = pending()
    assert row.binding == (None, None)
    assert msgspec.structs.replace(row, extras=Extras(amount="5", payee="Ada")).binding == ("5", "Ada")

"""What the limits count, and the moment from which each gives way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpost.domain.errors import LimitReached
from otpost.domain.limits import (
    DAY_MS,
    EXACT_HITS,
    HOUR_MS,
    WRONG_IN_A_ROW,
    NumberLimits,
    Window,
    application_sends,
    client_sends,
    free_at,
    recent,
)

T = 1_800_000_000_000
NEW = NumberLimits("VA1", "+15005550006", "AC1", until=0)


def refused(refusal: LimitReached | None) -> tuple[str, int | None]:
    assert refusal is not None
    return refusal.code, refusal.retry_at


def test_a_hit_leaves_the_window_at_the_moment_that_it_is_as_old_as_the_window() -> None:
    assert recent((T, T + 1, T + 2), T + 1000, 1000) == (T + 1, T + 2)
    assert recent((T,), T + 999, 1000) == (T,)
    assert recent((), T, 1000) == ()


@pytest.mark.parametrize(
    ("hits", "now", "limit", "expected"),
    [
        ((), T, 1, None),
        ((T,), T, 2, None),
        ((T,), T, 1, T + 1000),
        ((T,), T + 999, 1, T + 1000),
        ((T,), T + 1000, 1, None),
        ((T, T + 1, T + 2), T + 2, 3, T + 1000),
        ((T, T + 1, T + 2), T + 2, 2, T + 1001),
        ((T, T + 1, T + 2), T + 2, 1, T + 1002),
        ((T, T + 1, T + 2), T + 1001, 2, None),
    ],
)
def test_a_limit_gives_way_as_soon_as_one_more_hit_fits(
    hits: tuple[int, ...], now: int, limit: int, expected: int | None
) -> None:
    assert free_at(hits, now, 1000, limit) == expected


@given(
    st.lists(st.integers(0, 5000), max_size=30).map(sorted),
    st.integers(1, 10),
    st.integers(0, 6000),
)
def test_at_the_moment_that_was_named_a_hit_fits_and_one_millisecond_before_it_does_not(
    offsets: list[int], limit: int, later: int
) -> None:
    hits = tuple(T + offset for offset in offsets)
    now = max([T, *hits]) + later
    at = free_at(hits, now, 1000, limit)
    if at is not None:
        assert at > now
        assert free_at(hits, at, 1000, limit) is None
        assert free_at(hits, at - 1, 1000, limit) == at


def test_the_cooldown_holds_until_its_last_millisecond() -> None:
    known = NEW.sent(T, 30)
    assert refused(known.cooldown(T + 29_999)) == ("resend_too_soon", T + 30_000)
    assert known.cooldown(T + 30_000) is None
    assert NEW.sent(T, 0).cooldown(T) is None


def test_the_later_of_the_hours_and_the_days_limit_is_named() -> None:
    known = NEW
    for minute in range(3):
        known = known.sent(T + minute * 60_000, 0)
    now = T + 180_000
    assert refused(known.sending(now, 3, 30)) == ("number_sends_reached", T + HOUR_MS)
    assert refused(known.sending(now, 30, 3)) == ("number_sends_reached", T + DAY_MS)
    assert refused(known.sending(now, 3, 3)) == ("number_sends_reached", T + DAY_MS)
    assert known.sending(now, 4, 4) is None


def test_sends_older_than_a_day_are_forgotten() -> None:
    known = NEW.sent(T, 0).sent(T + 1, 0).sent(T + DAY_MS, 0)
    assert known.sends == (T + 1, T + DAY_MS)


def test_wrong_checks_of_the_hour_refuse_starts_and_checks_alike() -> None:
    known = NEW
    for second in range(10):
        assert known.guessing(T + second * 1000, 10) is None
        known = known.checked(T + second * 1000, right=False)
    assert refused(known.guessing(T + 10_000, 10)) == ("number_checks_reached", T + HOUR_MS)
    assert refused(known.guessing(T + HOUR_MS - 1, 10)) == ("number_checks_reached", T + HOUR_MS)
    assert known.guessing(T + HOUR_MS, 10) is None
    assert refused(known.checked(T + HOUR_MS, right=False).guessing(T + HOUR_MS, 10)) == (
        "number_checks_reached",
        T + HOUR_MS + 1000,
    )


def test_a_right_code_takes_no_place_ends_the_row_and_the_cooldown() -> None:
    known = NEW.sent(T, 600).checked(T, right=False).checked(T, right=True)
    assert (known.wrong, known.wrong_in_a_row, known.cooldown_until) == ((T,), 0, 0)
    assert known.cooldown(T) is None


def test_the_hundredth_wrong_code_in_a_row_locks_however_long_it_took() -> None:
    known, now = NEW, T
    for _ in range(WRONG_IN_A_ROW - 1):
        known = known.checked(now, right=False)
        now += HOUR_MS
        assert known.locked_at is None
    assert known.guessing(now, 10) is None
    locked = known.checked(now, right=False)
    assert (locked.locked_at, locked.wrong_in_a_row) == (now, 100)
    assert refused(locked.guessing(now + 1000 * DAY_MS, 10))[0] == "number_locked"
    lifted = locked.unlocked()
    assert (lifted.guessing(now, 10), lifted.wrong_in_a_row, lifted.sends) == (None, 0, locked.sends)
    assert known.checked(now, right=True).checked(now, right=False).locked_at is None


def test_windows_of_an_application_and_of_a_client_name_their_own_limit() -> None:
    window = Window("application", "VA1", until=0).hit(T, HOUR_MS, 1)
    assert refused(application_sends(window, T, 1)) == ("application_sends_reached", T + HOUR_MS)
    assert refused(client_sends(window, T, 1)) == ("client_sends_reached", T + HOUR_MS)
    assert (application_sends(window, T + HOUR_MS, 1), application_sends(window, T, 2)) == (None, None)
    assert window.until == T + HOUR_MS


def test_a_large_window_merges_neighbours_and_stays_small() -> None:
    window = Window("application", "VA1", until=0)
    for hit in range(20_000):
        window = window.hit(T + hit * 100, HOUR_MS, 100_000)
    assert len(window.hits) <= EXACT_HITS + 1
    assert sum(count for _, count in window.hits) == 20_000


@given(
    st.lists(st.integers(0, 400_000), min_size=1, max_size=400),
    st.sampled_from([1, 5, EXACT_HITS, EXACT_HITS + 1, 200]),
)
def test_never_more_hits_than_the_limit_lie_within_any_window(gaps: list[int], limit: int) -> None:
    window, now, taken = Window("application", "VA1", until=0), T, []
    for gap in gaps:
        now += gap
        at = window.free_at(now, HOUR_MS, limit)
        if at is None:
            window = window.hit(now, HOUR_MS, limit)
            taken.append(now)
            inside = [hit for hit in taken if hit > now - HOUR_MS]
            assert len(inside) <= limit
        else:
            exact = free_at(tuple(taken), now, HOUR_MS, limit)
            grain = 0 if limit <= EXACT_HITS else HOUR_MS // EXACT_HITS
            assert at > now
            assert window.free_at(at, HOUR_MS, limit) is None
            assert at - (exact or now) <= grain

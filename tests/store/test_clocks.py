"""The database's clock, as each node reckons it whatever its own says."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import pytest

from installation import Clock
from otpost.store.base import Store
from otpost.store.clocks import DatabaseClock, wall


class Told:
    """A database that tells these times, one after the other, each after so many ms."""

    def __init__(self, clock: Clock, times: Sequence[int | None], took_ms: int = 0) -> None:
        self.clock, self.times, self.took_ms = clock, list(times), took_ms

    async def now(self) -> int | None:
        self.clock.now += self.took_ms
        return self.times.pop(0)


async def test_a_file_has_the_clock_of_its_machine(store: Store) -> None:
    clock = Clock()
    time = DatabaseClock(clock, clock.monotonic)
    await time.learn(store)
    if await store.now() is None:
        assert (time(), time.off_ms, time.sentence) == (clock.now, 0, None)
        clock.step(-3_600)
        assert time() == clock.now


@pytest.mark.parametrize(("off_s", "told"), [(60, r"(59|60)\.\d s ahead of"), (-3_600, r"(3599|3600)\.\d s behind")])
async def test_two_nodes_go_by_the_time_of_their_database_and_the_one_that_is_off_says_so(
    store: Store, off_s: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    right, off = DatabaseClock(), DatabaseClock(lambda: wall() + off_s * 1_000)
    for time in (right, off):
        await time.learn(store)
    if await store.now() is None:
        return
    assert abs(right() - off()) < 500
    assert right.sentence is None
    assert off.sentence is not None
    assert re.fullmatch(rf"The clock of this machine is {told} the database's\.", off.sentence)
    await off.learn(store)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().endswith("the database's. Times are kept by the database's; let NTP set this one.")


async def test_time_passes_by_the_monotonic_clock_between_two_looks() -> None:
    clock = Clock(1_000_000)
    time = DatabaseClock(clock, clock.monotonic)
    assert time() == 1_000_000
    await time.learn(Told(clock, [1_000_500]))
    clock.advance(10)
    clock.step(-3_600)
    assert time() == 1_010_500
    assert time.off_ms == -3_600_500


async def test_an_answer_is_of_the_middle_of_the_time_that_it_took() -> None:
    clock = Clock(1_000_000)
    time = DatabaseClock(clock, clock.monotonic)
    await time.learn(Told(clock, [5_000_000], took_ms=200))
    assert (clock.now, time()) == (1_000_200, 5_000_100)


async def test_an_answer_that_fits_changes_nothing_and_one_that_does_not_is_followed() -> None:
    clock = Clock(1_000_000)
    time = DatabaseClock(clock, clock.monotonic)
    await time.learn(Told(clock, [2_000_000]))
    await time.learn(Told(clock, [2_000_150], took_ms=200))
    assert time() == 2_000_200
    await time.learn(Told(clock, [2_000_000 - 3_600_000]))
    assert time() == 2_000_000 - 3_600_000


@pytest.mark.parametrize(("off_ms", "says"), [(2_000, False), (2_001, True), (-2_000, False), (-2_001, True)])
async def test_two_seconds_are_not_worth_a_word(off_ms: int, says: bool, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(1_000_000)
    time = DatabaseClock(clock, clock.monotonic)
    await time.learn(Told(clock, [1_000_000 - off_ms]))
    assert (time.sentence is not None) == says
    assert len(caplog.records) == says
    await time.learn(Told(clock, [1_000_000]))
    assert time.sentence is None
    assert [record.getMessage() for record in caplog.records[1:]] == [
        "The clock of this machine goes with the database's again."
    ] * says

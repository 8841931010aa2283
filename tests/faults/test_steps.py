"""`kill -9` after each step of delivery there is, one by one: what was acknowledged is sent once, or says why not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from faults.lives import RESTARTS_AFTER_MS, Lives, Order
from matrix.vendors import Fault, Vendor, standing
from otpost.store.migrate import upgrade
from senders.contract import Answer, Received

pytestmark = pytest.mark.prove

TO = "+15005550006"
AT_ONCE = 2
READ, MADE = "request read", "text made"
LOOK = ("look-up begun", "listing read", "look-up kept")
TAKEN = ("intent kept", READ, MADE, "answer read", "outcome kept")


@dataclass(frozen=True)
class Story:
    """One way of a message: what befalls its first request, its steps in their order, and its texts in the end.

    `steps` are all those that change something outside of the process: between any two of them lies a death. The
    service itself tells of a request that it has read and a text that it has made. The first `shared` of them are the
    same as in a story before, and in the gate died after there.
    """

    steps: tuple[str, ...]
    fault: Fault | None = None
    policy: tuple[tuple[str, Any], ...] = ()
    reports: bool = False
    texts: int = 1
    shared: int = 0


STORIES = {
    "taken_and_delivered": Story(("start kept", *TAKEN, "report kept"), reports=True),
    "answer_lost_and_text_found": Story(
        ("start kept", "intent kept", READ, MADE, "answer lost", "outcome kept", *LOOK),
        Fault("reset", makes=True),
        shared=4,
    ),
    "answer_lost_and_text_not_found": Story(
        ("start kept", "intent kept", READ, "answer lost", "outcome kept", *LOOK, *LOOK, *LOOK, *TAKEN),
        Fault("reset"),
        shared=3,
    ),
    "throttled_and_sent_later": Story(
        ("start kept", "intent kept", READ, "answer read", "outcome kept", *TAKEN),
        Fault("answer", answer=Answer(429, b"{}")),
        shared=3,
    ),
    "account_refused_and_sent_by_the_fallback": Story(
        ("start kept", "intent kept", READ, "answer read", "outcome kept", *TAKEN),
        Fault("answer", answer=Answer(401, b'{"code": 20005}')),
        (("fallback", ["vonage"]),),
        shared=3,
    ),
    "not_delivered_in_time_and_sent_by_the_fallback": Story(
        ("start kept", *TAKEN, *TAKEN),
        None,
        (("fallback", ["vonage"]), ("failover_after_s", 10)),
        texts=2,
        shared=4,
    ),
}
GONE_OUT = {"accepted", "sent", "delivered"}


def deaths(steps: Sequence[str]) -> list[tuple[str, int]]:
    """Every step, with which of its name it is."""
    return [(step, steps[: place + 1].count(step)) for place, step in enumerate(steps)]


@pytest.fixture(scope="session")
def lives() -> Iterator[list[Lives]]:
    """Programs that live, so many at once."""
    programs = [Lives() for _ in range(AT_ONCE)]
    yield programs
    for program in programs:
        program.end()


class Told:
    """One message's journal over all its lives, and the services that it went to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def clock(self) -> int:
        return int(self.lines[-1]["at"])

    def last(self, name: str) -> Any:
        return next((line[name] for line in reversed(self.lines) if name in line), None)

    @property
    def steps(self) -> list[str]:
        return [line["step"] for line in self.lines if "step" in line]


async def lived(
    program: Lives, folder: Path, database_url: str, story: Story, dies_after: tuple[str, int] | None
) -> tuple[Told, list[Vendor], list[str]]:
    """A life that ends where it is told to and, if that was by `kill -9`, one more; and what the services saw."""
    folder.mkdir()
    told = Told(folder / "journal")
    asked: list[str] = []
    pid: list[int] = []
    seen: Counter[str] = Counter()

    def at(step: str) -> Callable[[Received], Any]:
        async def note(request: Received) -> None:
            asked.append(step)
            seen[step] += 1
            if (step, seen[step]) == dies_after:
                os.kill(pid[-1], signal.SIGKILL)
                await asyncio.sleep(0)

        return note

    async with AsyncExitStack() as held:
        vendors = [await held.enter_async_context(standing(name, told.clock)) for name in ("twilio", "vonage")]
        for vendor in vendors:
            vendor.when_read, vendor.when_made = at(READ), at(MADE)
        vendors[0].faults = [story.fault] if story.fault is not None else []
        policy = {"sender_service": "twilio", **dict(story.policy), **{one.name: one.section() for one in vendors}}
        now = time.time_ns() // 1_000_000
        by_the_service = dies_after is not None and dies_after[0] in (READ, MADE)
        order = Order(
            database_url, str(told.path), policy, TO, now, None if by_the_service else dies_after, None, story.reports
        )
        ended = await asyncio.to_thread(program.live, order, pid.append)
        errors = folder / "journal.err"
        assert ended == (0 if dies_after is None else -signal.SIGKILL), errors.read_text()[-3000:]
        if dies_after is not None:
            again = Order(
                database_url,
                str(told.path),
                policy,
                TO,
                told.clock() + RESTARTS_AFTER_MS,
                key=told.last("key"),
                reports=story.reports,
            )
            ended = await asyncio.to_thread(program.live, again, pid.append)
            assert ended == 0, errors.read_text()[-3000:]
    return told, vendors, asked


def judge(story: Story, died_after: tuple[str, int] | None, told: Told, vendors: list[Vendor]) -> None:
    """The guarantee of delivery, whatever the message had to live through."""
    message, code = told.last("message"), told.last("code")
    made = [text for vendor in vendors for text in vendor.made]
    named = Counter(attempt for text in made for attempt in text.attempts)
    attempts = {attempt["sid"]: attempt for attempt in message["attempts"]}
    assert named.keys() <= attempts.keys()
    assert all(count == 1 for count in named.values())
    assert len(named) == len(made) <= story.texts
    for text in made:
        assert re.search(rf"(?<!\d){code}(?!\d)", text.request.body.decode().replace("+", " ")) is not None
    blind = died_after is not None and any(
        one["service"] == "vonage" and one["outcome"] == "unknown" for one in message["attempts"]
    )
    outcomes = [one["outcome"] for one in message["attempts"]]
    if not blind and outcomes == ["unknown", "unknown"]:
        # Two answers were lost and the listing shows no text of either: the next one is for the recipient to ask for.
        assert (message["status"], message["reason"]) == ("unconfirmed", "answer_lost")
        assert made == []
    elif blind and not vendors[0].made:
        # Nobody can ask this service what became of its text.
        assert (message["status"], message["reason"]) == ("unconfirmed", "answer_lost")
    else:
        assert message["status"] in GONE_OUT
        assert message["status"] == "delivered" or not story.reports
        assert len(made) >= 1
    for text in made:
        for named_by_it in text.attempts:
            if attempts[named_by_it]["outcome"] == "accepted" or blind:
                continue
            # A listing names no attempt: what it shows goes to the message's oldest one whose answer was lost.
            owner = next(one for one in message["attempts"] if one["vendor"]["sid"] == text.sid)
            assert attempts[named_by_it]["outcome"] == "unknown"
            assert owner["outcome"] == "accepted"
            assert owner["started_at"] < attempts[named_by_it]["started_at"]


@pytest.mark.parametrize("name", STORIES)
async def test_a_death_after_any_step_of_delivery_loses_nothing_and_sends_nothing_twice(
    lives: list[Lives],
    database: Callable[[], str],
    tmp_path: Path,
    tell: Callable[[str], None],
    prove_scale: Literal["small", "large"],
    name: str,
) -> None:
    story = STORIES[name]
    told, vendors, asked = await lived(lives[0], tmp_path / "whole", database(), story, None)
    assert told.steps == [step for step in story.steps if step not in (READ, MADE)]
    assert asked == [step for step in story.steps if step in (READ, MADE)]
    judge(story, None, told, vendors)
    waiting = list(enumerate(deaths(story.steps)))[story.shared if prove_scale == "small" else 0 :]
    total, died = len(waiting), 0

    async def die(program: Lives) -> None:
        nonlocal died
        while waiting:
            number, death = waiting.pop()
            told, vendors, _ = await lived(program, tmp_path / str(number), database(), story, death)
            try:
                judge(story, death, told, vendors)
            except AssertionError as error:
                error.add_note(f"killed after {death}; {told.last('message')}")
                raise
            died += 1

    async with asyncio.TaskGroup() as all_of_them:
        for program in lives:
            all_of_them.create_task(die(program))
    assert died == total
    tell(f"{name}: killed after each of {died} steps; nothing lost, nothing twice")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes new databases of this program's schema."""
    if request.param == "sqlite":
        empty: Path = request.getfixturevalue("sqlite_template")
        made: list[Path] = []

        def copy() -> str:
            made.append(tmp_path / f"{len(made)}.sqlite")
            shutil.copyfile(empty, made[-1])
            return f"sqlite:///{made[-1]}"

        return copy
    template = request.getfixturevalue("postgres_template")("otpost", upgrade)
    create: Callable[..., str] = request.getfixturevalue("postgres_database")
    return lambda: create(template)

"""What an idle service costs, and when it wakes up: by a clock that passes only while nothing is to be done."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import virtual
from installation import Clock, context_of
from otpost.domain.phone import trusted
from otpost.domain.policy import Policy, Rate
from otpost.messaging.loop import Messaging
from otpost.messaging.posting import Posting
from otpost.outbound import Outbound
from otpost.services.messages.send import send_message
from otpost.services.policy.plan import Plans
from otpost.services.tenants.tenants import make_default_tenant
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import ATTEMPTS, MESSAGES, POLICIES
from otpost.store.sqlite import SqliteStore
from otpost.store.units import Rows, Unit, lock
from virtual import Spins, VirtualLoop

MINUTE_S = 60.0
BUDGET = {"run": (480, 500), "sweep": (280, 300), "select": (115, 130)}
"""Units of work, sweeps and reads of an idle minute, at least and at most."""
WAKE_UPS = 3_000


class VirtualClock(Clock):
    """The time of an event loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def __call__(self) -> int:
        return self._loop.now()

    def monotonic(self) -> int:
        return self._loop.now()


class Counted:
    """A store that counts what it is asked for."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if name in ("run", "sweep", "select", "find", "get"):
            self.asked[name] += 1
        return getattr(self._store, name)


class Idle:
    """A running messaging service with its poster, of an installation in which nothing happens."""

    def __init__(self, loop: VirtualLoop, path: Path) -> None:
        self.loop = loop
        self.inner = SqliteStore(path, gather_s=0)
        self.store: Any = Counted(self.inner)
        self.context = context_of(self.store, VirtualClock(loop))
        self.plans = Plans(self.context)
        self.http = Outbound()
        self.messaging = Messaging(self.context, self.plans, self.http, public_url=None, alone=True)
        self.posting = Posting(self.context, self.http)

    async def put(self, kind: Any, row: msgspec.Struct) -> None:
        def decide(rows: Rows) -> None:
            rows.get(kind, *kind.key(row))
            rows.put(kind, row)

        await self.inner.run(Unit(decide, [lock(kind, *kind.key(row))]))

    async def started_at(self) -> list[int]:
        """When each attempt was begun, in ms since the first."""
        rows = await self.inner.select(ATTEMPTS.table.select().order_by("started_at"))
        begun = sorted(ATTEMPTS.from_columns(row).started_at for row in rows)
        return [at - begun[0] for at in begun]


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "otpost.sqlite"))


@asynccontextmanager
async def idle(loop: VirtualLoop, path: Path) -> AsyncIterator[Idle]:
    made = Idle(loop, path)
    await made.inner.open()
    made.inner.on_signal = made.messaging.wake
    tenant = await made.inner.run(make_default_tenant(made.context))
    await made.put(POLICIES, Policy(tenant.sid, 1, "sandbox", incomplete=False))
    await made.messaging.start()
    await made.posting.start()
    try:
        yield made
    finally:
        await made.posting.stop()
        await made.messaging.stop()
        await made.http.close()
        await made.inner.close()


async def text(own: Idle, number: str = "+14155550100") -> str:
    tenant = await own.inner.run(make_default_tenant(own.context))
    unit = send_message(own.context, own.plans, tenant.sid, tenant.default_application, trusted(number), "A text.", 600)
    return (await own.inner.run(unit)).sid


def test_an_idle_minute_costs_so_many_wake_ups_and_statements_and_no_more(path: Path) -> None:
    async def work(loop: VirtualLoop) -> tuple[int, Counter[str]]:
        async with idle(loop, path) as own:
            await asyncio.sleep(MINUTE_S)
            turns, asked = loop.turns, Counter(own.store.asked)
            await asyncio.sleep(MINUTE_S)
            return loop.turns - turns, own.store.asked - asked

    turns, asked = virtual.run(work)
    assert set(asked) == set(BUDGET)
    for kind, (least, most) in BUDGET.items():
        assert least <= asked[kind] <= most, (kind, asked)
    assert turns <= WAKE_UPS


def test_a_wait_of_nothing_is_noticed(path: Path) -> None:
    async def work(loop: VirtualLoop) -> None:
        def again() -> None:
            loop.call_soon(again)

        again()
        await asyncio.sleep(1)

    with pytest.raises(Spins):
        virtual.run(work)


def test_a_text_leaves_at_once_though_nobody_looks_for_it_yet(path: Path) -> None:
    async def work(loop: VirtualLoop) -> str:
        async with idle(loop, path) as own:
            await asyncio.sleep(10.1)
            sid = await text(own)
            await asyncio.sleep(0.02)
            message = await own.inner.get(MESSAGES, sid)
            assert message is not None
            return message.status

    assert virtual.run(work) == "accepted"


def test_an_origin_with_a_rate_sends_the_moment_it_may(path: Path) -> None:
    async def work(loop: VirtualLoop) -> list[int]:
        async with idle(loop, path) as own:
            tenant = await own.inner.run(make_default_tenant(own.context))
            rated = Policy(tenant.sid, 2, "sandbox", incomplete=False, rates=(Rate("Sandbox", 0.7),))
            await own.put(POLICIES, rated)
            for place in range(4):
                await text(own, f"+1415555{place:04d}")
            await asyncio.sleep(6)
            return await own.started_at()

    begun = virtual.run(work)
    assert begun[0] == 0
    assert [at // 10 for at in begun] == [0, 142, 285, 428]


def test_what_is_put_off_is_sent_when_its_moment_comes_and_not_before(path: Path) -> None:
    async def work(loop: VirtualLoop) -> int:
        async with idle(loop, path) as own:
            own.inner.on_signal = lambda name: None
            await asyncio.sleep(0.9)
            sid = await text(own)
            message = await own.inner.get(MESSAGES, sid)
            assert message is not None
            due_at = loop.now() + 5_000
            await own.put(MESSAGES, msgspec.structs.replace(message, due_at=due_at, put_off=1))
            await asyncio.sleep(6)
            (attempt,) = await own.inner.find(ATTEMPTS, "message", sid)
            return attempt.started_at - due_at

    assert 0 <= virtual.run(work) <= 260


def test_a_signal_about_something_else_wakes_nobody(path: Path) -> None:
    async def work(loop: VirtualLoop, signal: str) -> int:
        async with idle(loop, path) as own:
            await asyncio.sleep(5.1)
            before = own.store.asked["run"]
            own.messaging.wake(signal)
            await asyncio.sleep(0.02)
            return int(own.store.asked["run"] - before)

    def woken(signal: str) -> int:
        async def asked(loop: VirtualLoop) -> int:
            return await work(loop, signal)

        return virtual.run(asked)

    assert (woken("something else"), woken(MESSAGES_DUE)) == (0, 1)

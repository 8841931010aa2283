"""Lives of an installation, each a process of its own, that end by `kill -9` right after a step of delivery.

`python -m faults.lives` reads one order a line and forks a process for each, so that a life costs no start of Python.
It tells the process's id, and how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from faults.served import DIES_WITH_US, ROOT
from installation import LOOPBACK, Clock, Installation, installed
from matrix.driving import PUBLIC, state, to_the_end
from matrix.vendors import path_of
from otpost.api import description
from otpost.domain.phone import parse_recipient
from otpost.outbound import AnswerLost, Outbound, Response
from otpost.senders.service import ReportRequest
from otpost.services.idempotency import Answer
from otpost.services.messages.attempts import Claimed
from otpost.store.base import Store
from otpost.store.postgresql import PostgresStore
from otpost.store.sqlite import SqliteStore
from otpost.store.units import Unit

A = TypeVar("A")

RESTARTS_AFTER_MS = 30_000
"""Later than a node whose heart has stopped counts as dead, and than the last look-up of a lost answer."""


LONGEST_S = 60
"""A life that goes on for longer has lost its way."""


class Order(msgspec.Struct, frozen=True):
    """One life: on which database, until which step (`dies_after`, None: to the end), and what it is about.

    `journal` is the file of all lives of a message; `key` the calls' key in the lives after the first.
    """

    database_url: str
    journal: str
    policy: dict[str, Any]
    to: str
    now: int
    dies_after: tuple[str, int] | None = None
    key: tuple[str, str] | None = None
    reports: bool = False


class Journal:
    """What has happened, a line each, on disk before anything else happens; kills where that is ordered."""

    def __init__(self, order: Order, clock: Clock) -> None:
        self._file = open(order.journal, "a", buffering=1)  # noqa: SIM115  # it is closed by the end of the process
        self._clock = clock
        self._dies_after = order.dies_after
        self._seen: Counter[str] = Counter()

    def note(self, **told: Any) -> None:
        self._file.write(json.dumps({"at": self._clock(), **told}) + "\n")

    def step(self, name: str) -> None:
        self._seen[name] += 1
        self.note(step=name)
        if self._dies_after == (name, self._seen[name]):
            os.kill(os.getpid(), signal.SIGKILL)


def has_done(unit: Unit[Any], answer: Any) -> str | None:
    """The step that a committed unit of work was; None for one that is no step of delivery or found nothing to do."""
    if isinstance(answer, Answer):
        return "start kept" if answer.status == 201 and not answer.replayed else None
    match unit.decide.__qualname__.partition(".")[0]:
        case "claim_messages" if cast(Claimed, answer).handovers:
            return "intent kept"
        case "settle_attempt":
            return "outcome kept"
        case "due_questions" if answer:
            return "look-up begun"
        case "keep_listing":
            return "look-up kept"
        case "keep_report":
            return "report kept"
        case _:
            return None


class _Sqlite(SqliteStore):
    journal: Journal

    async def run(self, unit: Unit[A]) -> A:
        answer = await super().run(unit)
        if (step := has_done(unit, answer)) is not None:
            self.journal.step(step)
        return answer


class _Postgres(PostgresStore):
    journal: Journal

    async def run(self, unit: Unit[A]) -> A:
        answer = await super().run(unit)
        if (step := has_done(unit, answer)) is not None:
            self.journal.step(step)
        return answer


class _Network(Outbound):
    journal: Journal

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        connect_s: float | None = None,
        total_s: float | None = None,
        ca: str | None = None,
    ) -> Response:
        try:
            answer = await super().request(
                method, url, headers=headers or {}, body=body, connect_s=connect_s, total_s=total_s, ca=ca
            )
        except AnswerLost:
            self.journal.step("answer lost")
            raise
        self.journal.step("answer read" if method == "POST" else "listing read")
        return answer


async def live(order: Order) -> None:
    """Starts the message's verification as a client does that has not heard of it, and goes on to its end."""
    clock = Clock(order.now)
    journal = Journal(order, clock)
    path = order.database_url.removeprefix("sqlite:///")
    embedded = path != order.database_url
    store = _Sqlite(Path(path)) if embedded else _Postgres(order.database_url)
    http = _Network(allow=LOOPBACK)
    store.journal = http.journal = journal
    await store.open()
    try:
        await _go_through(order, store, http, clock, journal, embedded)
    finally:
        await store.close()


async def _go_through(
    order: Order, store: Store, http: Outbound, clock: Clock, journal: Journal, embedded: bool
) -> None:
    async with installed(store, PUBLIC, now=clock, http=http, alone=embedded) as otpost:
        key = order.key
        if key is None:
            key = (otpost.verify.key.sid, otpost.verify.secret)
            await otpost.ok("PUT", "/v1/sender-policy", order.policy)
            journal.note(key=key)
        own = {"authorization": f"Bearer {key[0]}.{key[1]}"}
        start = {"to": order.to}
        verification = await otpost.ok(
            "POST", "/v1/verifications", start, headers={**own, "idempotency-key": "the-only-one"}
        )
        journal.note(acknowledged=verification["sid"])
        told = await otpost.ok("GET", f"/v1/verifications/{verification['sid']}")
        (message,) = told["messages"]
        await to_the_end(otpost, message["sid"])
        if order.reports:
            await _report(otpost, message["sid"])
        journal.note(code=otpost.code(verification), message=await otpost.ok("GET", f"/v1/messages/{message['sid']}"))


async def _report(otpost: Installation, sid: str) -> None:
    """Twilio says of every text that it took that it has arrived."""
    from senders.test_twilio import EXAMPLE

    assert EXAMPLE.report is not None
    for attempt in (await state(otpost, sid))[1]:
        if attempt.outcome == "accepted" and attempt.service == "twilio":
            at = f"{PUBLIC}/callbacks/twilio/{attempt.sid}"
            request: ReportRequest = EXAMPLE.report(at, attempt.vendor_sid, "delivered")
            target = path_of(request.url.removeprefix(PUBLIC))
            headers = {name.lower(): value for name, value in request.headers.items()}
            answer = await otpost.call("POST", target, raw=request.body, headers=headers)
            assert answer.status == 204, answer.text


class Lives:
    """The program that forks a life for each order, one after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
        self._process = subprocess.Popen(
            [*DIES_WITH_US, sys.executable, "-m", "faults.lives"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, order: Order, born: Callable[[int], None]) -> int:
        """Returns once the life is over, with how it ended: 0, or minus the number of the signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self._process.stdin.flush()
        born(int(self._process.stdout.readline()))
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


def main() -> None:
    # What is worked out once is not worked out in each life.
    description()
    parse_recipient("+15005550006")
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        pid = os.fork()
        if pid == 0:
            _be(order)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _be(order: Order) -> None:
    said = os.open(f"{order.journal}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    code = 1
    signal.alarm(LONGEST_S)
    try:
        asyncio.run(live(order))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()

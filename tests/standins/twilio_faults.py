"""How a pretended Twilio misbehaves on demand, and which request it strikes."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec


class Fault(msgspec.Struct, kw_only=True):
    """One way to misbehave.

    `action`: `hang` until `release`; `close` the connection without an answer; `reset` it (TCP RST) without an answer;
    `cut` it in the middle of the answer; `answer` with `status`, `headers`, `retry_after` (seconds) and `body` (None:
    an error body with `code`). `when`: before the request is processed, or after, when its message has been accepted.
    `cut` comes always after. Which requests: of `operation`, to the `account` of the path, for the recipient `to`; of
    those the `nth` (from 1), or each one whose count is a multiple of `every`; at most `times` in all.
    """

    action: Literal["hang", "close", "reset", "cut", "answer"]
    when: Literal["before", "after"] = "before"
    operation: Literal["create", "list", "fetch", "update", "delete", "any"] = "create"
    account: str | None = None
    to: str | None = None
    nth: int | None = None
    every: int | None = None
    times: int | None = None
    status: int = 500
    code: int | None = None
    body: str | None = None
    headers: dict[str, str] = {}
    retry_after: int | None = None


class Armed(msgspec.Struct):
    fault: Fault
    number: int
    matched: int = 0
    struck: int = 0


class Faults:
    """The faults in force and the requests that they hold."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []
        self._held: list[asyncio.Future[str]] = []
        self._number = 0

    def add(self, fault: Fault) -> int:
        """Arms a fault; its number is what the records of struck requests name."""
        self._armed.append(Armed(fault, self._number))
        self._number += 1
        return self._number - 1

    def clear(self) -> None:
        """Takes all faults away; requests that are held stay held."""
        self._armed.clear()

    def strike(self, operation: str, account: str | None, to: str | None) -> tuple[int, Fault] | None:
        """The fault for this request, and its number. Every fault that this request fits counts it."""
        found: tuple[int, Fault] | None = None
        for armed in self._armed:
            fault = armed.fault
            if (
                fault.operation not in (operation, "any")
                or fault.account not in (account, None)
                or fault.to not in (to, None)
            ):
                continue
            armed.matched += 1
            due = (fault.nth is None or armed.matched == fault.nth) and armed.matched % (fault.every or 1) == 0
            if found is None and due and (fault.times is None or armed.struck < fault.times):
                armed.struck += 1
                found = armed.number, fault
        return found

    async def hold(self) -> str:
        """Waits for `release`; `go_on` or `close`."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._held.append(future)
        return await future

    def release(self, then: str = "go_on", count: int | None = None) -> int:
        """Lets the oldest `count` (None: all) held requests go on, or closes them; how many there were."""
        count = len(self._held) if count is None else count
        released, self._held = self._held[:count], self._held[count:]
        for future in released:
            if not future.done():
                future.set_result(then)
        return len(released)

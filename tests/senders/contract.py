"""What the tests of every sender service share: a stand-in for its server, and what each test file has to bring.

A service's test file names an `EXAMPLE`; `test_contract.py` runs over every service that is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Final, Literal

from otpost.domain.outcome import Accepted, ReasonName, Refused, Unavailable, Unknown
from otpost.outbound import Outbound
from otpost.senders.service import Confirmation, NotProven, Reported, ReportRequest


@dataclass(frozen=True)
class Answer:
    """What the stand-in answers; `body` may be made from the request."""

    status: int
    body: bytes | Callable[[Received], bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


SILENCE: Final = Answer(0)
"""In the place of an answer: the stand-in reads the request and says nothing."""

RESET: Final = Answer(0, b"reset")
"""In the place of an answer: the stand-in reads the request and resets the connection."""

CaseName = Literal[
    "accepted", "refused", "credentials", "throttled", "server_error",
    "not_connected", "timed_out", "reset", "unreadable",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An answer of the service, and the outcome that it is to have: its class, its reason, and the setting at fault.

    The answer is None where the case is none: a connection that failed, or was lost after the request was written.
    """

    answer: Answer | None
    outcome: type[Accepted | Refused | Unavailable | Unknown]
    reason: ReasonName | None = None
    field: str | None = None


@dataclass(frozen=True)
class Example:
    """A complete section of the policy (secrets included) for a server at a URL, and the nine cases of its answers.

    A service that calls nobody has no cases. The answer `throttled` is without `Retry-After`; the suite adds one.
    `report` makes the service's own call to a callback address: from the address, the SID that the accepting answer
    gave the message (None where it gives none) and one of `sent`, `delivered`, `failed`, signed as the service signs;
    None where it has no reports.
    """

    section: Callable[[str], dict[str, Any]]
    cases: Mapping[CaseName, Case]
    report: Callable[[str, str | None, str], ReportRequest] | None = None

    @property
    def accepting(self) -> Answer | None:
        """The answer that accepts a text; None for a service that calls nobody."""
        return self.cases["accepted"].answer if self.cases else None


class StandIn:
    """A server that gives `answers` one after another, the last one again and again; None drops the connection."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[Answer | None] = []
        self.received: list[Received] = []
        self.connections = 0
        self._handlers: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while await self._answer_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        request = Received(method, target, headers, body)
        self.received.append(request)
        await self.before_answer()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is SILENCE:
            await asyncio.Event().wait()
        if answer is RESET:
            unsent: socket.socket = writer.get_extra_info("socket")
            unsent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer is None or answer is RESET:
            return False
        content = answer.body if isinstance(answer.body, bytes) else answer.body(request)
        given = {"Content-Length": str(len(content)), **answer.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(f"HTTP/1.1 {answer.status} Said\r\n{head}\r\n".encode() + content)
        await writer.drain()
        return True

    async def before_answer(self) -> None:
        """A server of its own kind may wait here."""

    async def stop(self) -> None:
        handlers = list(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


@asynccontextmanager
async def standing_in(*answers: Answer | None, stand_in: StandIn | None = None) -> AsyncIterator[StandIn]:
    """A server on loopback that gives `answers`."""
    stand_in = stand_in or StandIn()
    stand_in.answers = list(answers)
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0)
    stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stand_in
    finally:
        server.close()
        await stand_in.stop()
        await server.wait_closed()


@asynccontextmanager
async def outbound(*allowed: str) -> AsyncIterator[Outbound]:
    """The real door to the network, by which these networks may be called."""
    http = Outbound(allow=[ip_network(network) for network in allowed])
    try:
        yield http
    finally:
        await http.close()


def the_one(read: Sequence[Reported] | NotProven | Confirmation) -> Reported | NotProven:
    """What a call was read as, which holds one report and no more."""
    assert not isinstance(read, Confirmation)
    if isinstance(read, NotProven):
        return read
    (reported,) = read
    return reported


LOOPBACK = "127.0.0.0/8"

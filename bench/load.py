"""A cheap HTTP client for load: requests made beforehand, many connections, no parsing beyond what is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Load:
    """Answers in the order of the requests: status, body; and how long each took, in milliseconds."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the one before is answered."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._place = -1
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        place = self._run.take()
        if place is None:
            self._transport.close()
            return
        self._place = place
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.requests[place])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        took_ms = (time.perf_counter() - self._sent_at) * 1000
        self._run.answered(self._place, int(head[9:12]), rest[:length], took_ms)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.ended(exc)


class _Run:
    def __init__(self, requests: Sequence[bytes], connections: int) -> None:
        self.requests = requests
        self.load = Load([(0, b"")] * len(requests), [0.0] * len(requests))
        self.done = asyncio.get_running_loop().create_future()
        self._next = 0
        self._left = len(requests)
        self._open = connections

    def take(self) -> int | None:
        if self._next >= len(self.requests):
            return None
        self._next += 1
        return self._next - 1

    def answered(self, place: int, status: int, body: bytes, took_ms: float) -> None:
        self.load.answers[place] = (status, body)
        self.load.took_ms[place] = took_ms
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)

    def ended(self, exc: Exception | None) -> None:
        self._open -= 1
        if self._left and self._open == 0 and not self.done.done():
            self.done.set_exception(exc or ConnectionError(f"{self._left} requests were not answered"))


async def put_load(port: int, requests: Sequence[bytes], connections: int) -> Load:
    """Send all requests over this many connections of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    run = _Run(requests, connections)
    await asyncio.gather(
        *(loop.create_connection(lambda: _Connection(run), "127.0.0.1", port) for _ in range(connections))
    )
    await run.done
    return run.load


def request(method: str, path: str, headers: str, body: bytes) -> bytes:
    """One request as it stands on the wire; `headers` are whole lines that end with CRLF."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body

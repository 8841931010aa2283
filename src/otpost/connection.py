"""One connection of a client: how much of a request is taken, for how long, and what becomes of a request beyond it.

uvicorn's protocol reads and answers; what is here stands before it. Every bound is judged on what has come, before
anything is made of it: the parser is fed in slices and stopped within one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, Literal, cast

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from otpost.api.problems import AddressTooLong, HeadTooLarge, TooLarge, TooSlow, problem, status_of
from otpost.domain.errors import Malformed, Refusal, Unavailable
from otpost.telemetry import HTTP_CONNECTIONS, HTTP_REFUSED

ADDRESS: Final = 16_384
"""The longest request target, in bytes."""
HEADER: Final = 16_384
HEADERS: Final = 100
HEAD: Final = 65_536
"""Request line and headers together; each header may have `HEADER` bytes, and there may be `HEADERS` of them."""
BODY: Final = 1_048_576
"""A body as it comes, with all that chunks and trailers add; what an endpoint takes is less, and its own bound."""
PIPELINED: Final = 32
"""Requests that may wait behind the one that is being answered."""
SLICE: Final = 16_384

HEAD_S: Final = 10.0
"""From a head's first byte, or from the connection, to the head's end."""
BODY_S: Final = 30.0
"""From one piece of a body to the next, and from one piece of an answer that the client takes to the next."""
REST: Final = 1_048_576
REST_S: Final = 2.0
"""So much of a request that was answered early is still taken and dropped: a connection that is closed on unread bytes
is reset, and the answer would be lost with it."""

CONNECTIONS: Final = 2_000
LOG_EVERY_S: Final = 60.0

Stage = Literal["idle", "head", "body", "work", "ending", "closed"]

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Walls(ServerState):
    """What the connections of one server share: their bound, those that wait for a request, and the clock."""

    def __init__(self, most: int = CONNECTIONS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.most = most
        self.clock = clock
        self.waiting: dict[Connection, None] = {}
        """Connections without a whole head, the longest waiting first."""
        self._logged_at: float | None = None

    def admit(self, new: Connection) -> bool:
        """Make room for a new connection: the longest waiting gives way. False if all are being answered."""
        HTTP_CONNECTIONS.inc()
        if len(self.connections) <= self.most:
            return True
        longest = next((one for one in self.waiting if one is not new), None)
        now = self.clock()
        if self._logged_at is None or now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            _log.warning(
                "%d connections are open, as many as Otpost takes: %s",
                self.most,
                "all are being answered, and new ones get 503" if longest is None else "the longest waiting are closed",
            )
        HTTP_REFUSED.labels("connections").inc()
        if longest is None:
            return False
        longest.leave()
        return True

    def sweep(self) -> None:
        """End what takes too long; to be called about once a second."""
        now = self.clock()
        for connection in list(self.connections):
            cast(Connection, connection).judge(now)


class _Transport:
    """The transport as uvicorn's protocol has it: closing it is left to the connection, which may owe a rest."""

    def __init__(self, connection: Connection, real: asyncio.Transport) -> None:
        self._connection = connection
        self._real = real
        self.write = real.write
        self.pause_reading = real.pause_reading
        self.resume_reading = real.resume_reading
        self.get_extra_info = real.get_extra_info

    def is_closing(self) -> bool:
        return self._connection.stage in ("ending", "closed") or self._real.is_closing()

    def close(self) -> None:
        self._connection.leave()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol within bounds. `since` is when the stage began, or moved last."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.walls = cast(Walls, server_state)
        self.stage: Stage = "head"
        self.since = self.walls.clock()
        self._real: asyncio.Transport
        self._answers = self.app
        self.app = self._answer
        self._running: RequestResponseCycle | None = None
        self._taken = 0
        self._head = 0
        self._address = 0
        self._deaf = False
        self._writes_since: float | None = None
        self._beyond: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._real = transport
        super().connection_made(cast(asyncio.Transport, _Transport(self, transport)))
        self.walls.waiting[self] = None
        if not self.walls.admit(self):
            self._say(Unavailable("Otpost is answering as many connections as it takes; try again in a moment."))
            self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        HTTP_CONNECTIONS.dec()
        self.walls.waiting.pop(self, None)
        self.stage = "closed"
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), SLICE):
            if self.stage in ("ending", "closed") or self._deaf:
                self._drop(len(data) - start)
                return
            self._feed(data[start : start + SLICE] if len(data) > SLICE else data)

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.stage == "idle":
            self._begin("head")
        elif self.stage == "body":
            self.since = self.walls.clock()
        self._taken += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The parser takes the bytes after such a head for another protocol; we speak none, and read no more.
            self._stop_listening()
        except httptools.HttpParserError:
            self._refuse(self._beyond or Malformed("This is not a well-formed HTTP request."))
        else:
            if self.stage == "head" and self._taken > HEAD:
                self._refuse(HeadTooLarge() if self._head else AddressTooLong())
            elif self.stage == "body" and self._taken > BODY:
                self._refuse(TooLarge("The request is larger than Otpost takes."))

    def on_message_begin(self) -> None:
        if self.stage == "work":
            self._begin("head")
        self._address = self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._address += len(url)
        if self._address > ADDRESS:
            self._beyond = AddressTooLong()
            raise self._beyond
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage != "head":
            return  # a trailer, which comes when the head was judged long ago
        length = len(name) + len(value)
        self._head += length + 4
        if length > HEADER or self._head + self._address > HEAD or len(self.headers) >= HEADERS:
            self._beyond = HeadTooLarge()
            raise self._beyond
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.walls.waiting.pop(self, None)
        self._begin("body")
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self._stop_listening()

    def on_message_complete(self) -> None:
        self._begin("work")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.stage == "work" and not self.pipeline:
            self._begin("idle")
            self.walls.waiting[self] = None

    def _begin(self, stage: Stage) -> None:
        self.stage = stage
        self.since = self.walls.clock()
        self._taken = 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The application; an answer to a request whose body has not come whole ends the connection."""
        cycle = self._running
        assert cycle is not None, "a request is answered that was not begun"

        async def answer(message: Any) -> None:
            if cycle.more_body and not cycle.response_started:
                cycle.keep_alive = False
            await send(message)

        await self._answers(scope, receive, answer)

    def pause_writing(self) -> None:
        self._writes_since = self.walls.clock()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writes_since = None
        super().resume_writing()

    def judge(self, now: float) -> None:
        """End the connection if its client lets it wait for too long."""
        if self._writes_since is not None and now - self._writes_since > BODY_S:
            HTTP_REFUSED.labels("slow_reader").inc()
            self._real.abort()
        elif self.flow.read_paused:
            self.since = now  # it is we who do not read
        elif self.stage == "head" and now - self.since > HEAD_S:
            if self._taken:
                self._refuse(TooSlow("The head of the request did not come within 10 s."))
            else:
                self.leave()
        elif self.stage == "body" and now - self.since > BODY_S:
            self._refuse(TooSlow("Nothing more of the body came for 30 s."))
        elif self.stage == "ending" and now - self.since > REST_S:
            self.leave()
        elif self.stage == "closed" and now - self.since > BODY_S:
            self._real.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the application's place where the answer is due, and end the connection."""
        HTTP_REFUSED.labels(refusal.code).inc()
        cycle = self._unanswered()
        if cycle is not None:
            if self.stage == "head":
                self._stop_listening()
                return
            if cycle.response_started or self.pipeline:
                self._real.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self._say(refusal)
        self._end()

    def _say(self, refusal: Refusal) -> None:
        body = _encoder.encode(problem(refusal))
        head = [STATUS_LINE[status_of(refusal)]]
        for name, value in self.walls.default_headers:
            head += [name, b": ", value, b"\r\n"]
        head.append(b"content-type: application/problem+json\r\ncache-control: no-store\r\n")
        head.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
        self._real.write(b"".join([*head, body]))

    def _stop_listening(self) -> None:
        """Answer what has come whole and drop all that follows; the last answer says that the connection ends."""
        self._deaf = True
        cycle = self._unanswered()
        if cycle is None:
            self.leave()
        else:
            cycle.keep_alive = False

    def _unanswered(self) -> RequestResponseCycle | None:
        """The latest request, unless its answer is complete or there was none yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def leave(self) -> None:
        """Close the connection; where the request has not come whole, a part of its rest is waited for."""
        if self.stage == "body":
            self._end()
        elif self.stage != "closed":
            self._begin("closed")
            self.walls.waiting.pop(self, None)
            self._unset_keepalive_if_required()
            self._real.close()

    def _end(self) -> None:
        self._begin("ending")
        self.walls.waiting.pop(self, None)
        self._unset_keepalive_if_required()
        self.headers = []
        self._real.write_eof()
        self.flow.resume_reading()

    def _drop(self, length: int) -> None:
        self._taken += length
        if self._taken > REST:
            self._real.abort() if self.stage == "closed" else self.leave()

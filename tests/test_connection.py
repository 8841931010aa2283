"""The bounds of the HTTP server, on real connections; time is a moved clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

import postgres
from installation import until
from otpost.config import Listen
from otpost.connection import ADDRESS, BODY, HEAD, HEADER, HEADERS, PIPELINED, REST, SLICE, Connection
from otpost.server import Message, Server, bound, listening

HOST = b"host: otpost.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
WAIT_S = 10.0


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Application:
    """Answers `/` with what it was sent, `/early` without reading; `/held` waits to be let go."""

    seen: list[str] = field(default_factory=list)
    heads: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    gone: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.seen.append(scope["path"])
        self.heads.append(scope["headers"])
        status, length = 200, 2
        if scope["path"] == "/held":
            await self.go_on.wait()
        elif scope["path"] == "/large":
            length = 32 * 1024 * 1024
        elif scope["path"] == "/early":
            status = 401
        else:
            body = b""
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    self.gone += 1
                    return
                body += event["body"]
                if not event["more_body"]:
                    break
            self.bodies.append(body)
        head = [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        while length > 65_536:
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            length -= 65_536
        await send({"type": "http.response.body", "body": b"x" * length})


@dataclass
class Served:
    server: Server
    app: Application
    clock: Clock
    port: int
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        own = client.writer.get_extra_info("sockname")

        async def known() -> bool:
            return client.reader.at_eof() or any(one.client == own for one in self.connections)

        await until(known, bool)
        return client

    @property
    def connections(self) -> list[Connection]:
        return cast(list[Connection], list(self.server.walls.connections))

    async def _open(self) -> int:
        return len(self.connections)

    async def closed(self, left: int = 0) -> None:
        """Wait until only so many connections are open."""
        await until(self._open, lambda count: count == left)

    def pass_s(self, seconds: float) -> None:
        self.clock.now += seconds
        self.server.walls.sweep()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("content-length", 0))), WAIT_S)
        return int(first.split()[1]), headers, body

    async def ended(self) -> bytes:
        """What still comes until the other side ends the connection."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), WAIT_S)
        return b""

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def app() -> Application:
    return Application()


@contextlib.asynccontextmanager
async def serving(app: Application, **more: Any) -> AsyncIterator[Served]:
    clock, port = Clock(), postgres.free_port()
    with bound(Listen("127.0.0.1", port), "OTPOST_LISTEN") as own:
        async with listening(app, own, clock=clock, **more) as server:
            made = Served(server, app, clock, port)
            try:
                yield made
            finally:
                for client in made.clients:
                    client.writer.close()


@pytest.fixture
async def served(app: Application) -> AsyncIterator[Served]:
    async with serving(app) as made:
        yield made


def head_of(target: bytes = b"/", *headers: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


FULL = [b"x%03d: " % place + b"v" * 1_000 for place in range(60)]


@pytest.mark.parametrize(
    "request_",
    [
        head_of(b"/" + b"a" * (ADDRESS - 1)),
        head_of(b"/?" + b"a" * (ADDRESS - 2)),
        head_of(b"/", b"cookie: " + b"a" * (HEADER - 6)),
        head_of(b"/", *[b"x: y"] * (HEADERS - 1)),
        head_of(b"/", *FULL),
    ],
    ids=["address", "query", "header", "headers", "all"],
)
async def test_what_is_within_the_bounds_is_answered(served: Served, request_: bytes) -> None:
    client = await served.connect()
    await client.send(request_)
    assert (await client.answer())[0] == 200
    await client.send(GET)
    assert (await client.answer())[0] == 200
    client.close()


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (head_of(b"/" + b"a" * ADDRESS), 414, "address_too_long"),
        (head_of(b"/?" + b"a" * ADDRESS), 414, "address_too_long"),
        (b"GET /" + b"a" * (HEAD + 1), 414, "address_too_long"),
        (head_of(b"/", b"cookie: " + b"a" * (HEADER - 5)), 431, "head_too_large"),
        (head_of(b"/", b"a" * HEADER + b": b"), 431, "head_too_large"),
        (head_of(b"/", *[b"x: y"] * HEADERS), 431, "head_too_large"),
        (head_of(b"/", *FULL, *[b"y%03d: " % place + b"v" * 1_000 for place in range(6)]), 431, "head_too_large"),
        (GET[:-2] + b"cookie: " + b"a" * HEAD, 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nbroken header\r\n\r\n", 400, "malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400, "malformed"),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "malformed"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400, "malformed"),
    ],
    ids=[
        "address", "query", "endless address", "header", "name", "count", "all", "endless header", "no header", "tls",
        "no address", "two lengths", "no chunk",
    ],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1_000, 1_000_000])
async def test_what_is_beyond_them_is_refused_and_the_connection_ends(
    served: Served, request_: bytes, status: int, code: str, piece: int
) -> None:
    client = await served.connect()
    for start in range(0, len(request_), piece):
        await client.send(request_[start : start + piece])
    found, headers, body = await client.answer()
    assert (found, json.loads(body)["code"], json.loads(body)["status"]) == (status, code, status)
    assert (headers["connection"], headers["content-type"]) == ("close", "application/problem+json")
    assert await client.ended() == b""
    assert served.app.bodies == []
    client.close()
    await served.closed()
    assert not served.server.walls.waiting


async def test_the_bounds_hold_for_the_second_request_of_a_connection_too(served: Served) -> None:
    client = await served.connect()
    await client.send(GET + head_of(b"/", b"cookie: " + b"a" * 70_000))
    assert (await client.answer())[0] == 200
    assert (await client.ended())[:12] in (b"", b"HTTP/1.1 431")
    client.close()
    await served.closed()


async def test_of_a_request_answered_early_a_part_is_dropped_and_then_the_connection_ends(served: Served) -> None:
    client = await served.connect()
    await client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"content-length: 1000000000\r\n\r\n" + b"x" * 100_000)
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (401, "close")
    assert await client.ended() == b""
    taken = 0
    with contextlib.suppress(ConnectionError):
        while taken < 100 * REST:
            client.writer.write(b"x" * 65_536)
            await client.writer.drain()
            taken += 65_536
    # What the sockets' own buffers take comes on top of it.
    assert taken < 20 * REST
    client.close()
    await served.closed()


async def test_a_rest_that_does_not_come_is_not_waited_for(served: Served) -> None:
    client = await served.connect()
    await client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"content-length: 10\r\n\r\n")
    assert (await client.answer())[0] == 401
    served.pass_s(1)
    assert len(served.connections) == 1
    served.pass_s(1.5)
    await served.closed()


async def test_an_answer_to_a_whole_request_leaves_the_connection_open_though_its_body_was_not_read(
    served: Served,
) -> None:
    client = await served.connect()
    for _ in range(2):
        await client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"content-length: 3\r\n\r\nabc")
        status, headers, _ = await client.answer()
        assert (status, headers.get("connection")) == (401, None)
    client.close()


async def test_a_body_that_is_expected_to_be_refused_is_not_asked_for(served: Served) -> None:
    client = await served.connect()
    await client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"expect: 100-continue\r\ncontent-length: 9\r\n\r\n")
    assert (await client.answer())[0] == 401
    assert await client.ended() == b""
    client.close()
    client = await served.connect()
    await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert (await client.answer())[0] == 100
    await client.send(b"ab")
    assert (await client.answer())[0] == 200
    assert served.app.bodies == [b"ab"]
    client.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [(b"", b""), (b"G", b"HTTP/1.1 408 "), (GET[:-1], b"HTTP/1.1 408 ")],
    ids=["none", "one", "most"],
)
async def test_a_head_has_ten_seconds(served: Served, sent: bytes, answer: bytes) -> None:
    client = await served.connect()
    await client.send(sent)

    async def taken() -> int:
        return sum(one._taken for one in served.server.walls.waiting)

    await until(taken, lambda count: count == len(sent))
    served.pass_s(10)
    assert len(served.server.walls.waiting) == 1
    served.pass_s(0.5)
    assert (await client.ended())[: len(answer) or 1] == answer
    client.close()
    await served.closed()
    assert served.app.seen == []


async def test_a_head_that_comes_by_drops_has_no_longer(served: Served) -> None:
    client = await served.connect()
    for place in range(11):
        await client.send(GET[place : place + 1])
        served.pass_s(1)
        await asyncio.sleep(0)
    assert (await client.ended()).startswith((b"HTTP/1.1 408 ", b""))
    client.close()
    await served.closed()


async def test_a_body_has_thirty_seconds_from_piece_to_piece(served: Served) -> None:
    client = await served.connect()
    await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 9\r\n\r\n")

    async def taken() -> float:
        return max((one._taken for one in served.connections if one.stage == "body"), default=-1)

    for count in range(3):
        await until(taken, count.__eq__)
        served.pass_s(29)
        await client.send(b"x")
    await until(taken, lambda seen: seen == 3)
    served.pass_s(30.5)
    status, _, body = await client.answer()
    assert (status, json.loads(body)["code"]) == (408, "too_slow")
    client.close()
    await served.closed()
    assert (served.app.bodies, served.app.gone) == ([], 1)


async def test_an_answer_that_nobody_takes_ends_after_thirty_seconds(served: Served) -> None:
    client = await served.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(head_of(b"/large"))

    async def stalled() -> bool:
        return any(one._writes_since is not None for one in served.connections)

    await until(stalled, bool)
    served.pass_s(30)
    assert len(served.connections) == 1
    served.pass_s(1)
    await served.closed()
    client.close()


async def test_a_request_that_waits_for_its_answer_is_not_ended(served: Served) -> None:
    client = await served.connect()
    await client.send(head_of(b"/held"))
    await until(_seen(served), lambda seen: seen == ["/held"])
    served.pass_s(1000)
    served.app.go_on.set()
    assert (await client.answer())[0] == 200
    client.close()


def _seen(served: Served) -> Callable[[], Awaitable[list[str]]]:
    async def look() -> list[str]:
        return served.app.seen

    return look


@pytest.mark.parametrize(
    "trailer", [b"x" * (BODY + SLICE), b"a: " + b"x" * (BODY + SLICE)], ids=["extension", "trailer"]
)
async def test_what_chunks_bring_beside_the_body_is_bounded(served: Served, trailer: bytes) -> None:
    client = await served.connect()
    begin = b"1;" if trailer[:1] == b"x" else b"1\r\nx\r\n0\r\n"
    await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n" + begin + trailer)
    status, _, body = await client.answer()
    assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert await client.ended() == b""
    client.close()
    await served.closed()
    assert served.app.bodies == []


async def test_a_trailer_does_not_become_a_header(served: Served) -> None:
    client = await served.connect()
    chunks = b"3\r\nabc\r\n0\r\nauthorization: Bearer x\r\n\r\n"
    await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n" + chunks)
    assert (await client.answer())[0] == 200
    assert served.app.bodies == [b"abc"]
    assert [name for name, _ in served.app.heads[0]] == [b"host", b"transfer-encoding"]
    client.close()


async def test_requests_that_wait_behind_another_are_bounded(served: Served) -> None:
    client = await served.connect()
    await client.send(head_of(b"/held") + GET * 5_000)
    await until(_seen(served), bool)
    served.app.go_on.set()
    for _ in range(PIPELINED + 1):
        status, headers, _ = await client.answer()
        assert (status, headers.get("connection")) == (200, None)
    assert (await client.answer())[1]["connection"] == "close"
    assert await client.ended() == b""
    client.close()
    await served.closed()
    assert len(served.app.seen) == PIPELINED + 2


async def test_after_an_offer_to_change_the_protocol_nothing_is_read_as_another_request(served: Served) -> None:
    client = await served.connect()
    offer = (
        b"POST / HTTP/1.1\r\n" + HOST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % len(GET)
    )
    await client.send(offer)
    await client.send(GET)
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await client.ended() == b""
    assert len(served.app.seen) == 1
    client.close()


async def test_beyond_the_bound_of_connections_the_longest_waiting_gives_way(
    app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app, connections=2) as served:
        first = await served.connect()
        await first.send(GET)
        assert (await first.answer())[0] == 200
        second = await served.connect()
        await first.send(GET)
        assert (await first.answer())[0] == 200
        with caplog.at_level(logging.WARNING):
            third = await served.connect()
            assert await second.ended() == b""
            fourth = await served.connect()
            assert await first.ended() == b""
        assert [record.message for record in caplog.records] == [
            "2 connections are open, as many as Otpost takes: the longest waiting are closed"
        ]
        for client in (third, fourth):
            await client.send(GET)
            assert (await client.answer())[0] == 200
        for client in (first, second, third, fourth):
            client.close()
        await served.closed()


async def test_where_every_connection_is_being_answered_a_new_one_is_told_to_come_back(
    app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app, connections=2) as served:
        clients = [await served.connect() for _ in range(2)]
        for client in clients:
            await client.send(head_of(b"/held"))
        await until(_seen(served), lambda seen: len(seen) == 2)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                late = Client(*await asyncio.open_connection("127.0.0.1", served.port))
                status, headers, body = await late.answer()
                assert (status, headers["connection"], json.loads(body)["code"]) == (503, "close", "unavailable")
                late.close()
        assert len(caplog.records) == 1
        app.go_on.set()
        for client in clients:
            assert (await client.answer())[0] == 200
            client.close()


async def test_an_idle_connection_is_kept_for_the_time_that_is_set(app: Application) -> None:
    async with serving(app) as served:
        client = await served.connect()
        await client.send(GET)
        assert (await client.answer())[0] == 200
        (connection,) = served.connections
        assert connection.timeout_keep_alive == 75
        served.pass_s(1000)
        await client.send(GET)
        assert (await client.answer())[0] == 200
        client.close()
    async with serving(app, keep_alive_s=1) as served:
        client = await served.connect()
        await client.send(GET)
        assert (await client.answer())[0] == 200
        assert await client.ended() == b""
        client.close()

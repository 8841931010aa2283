"""A sender service's server that fails texts on demand, in the words of whichever service the policy names."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import parse_qs, unquote_plus, urlsplit

import msgspec

from installation import TO
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.outbound import Response
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import Text
from otpost.senders.settings import fill
from otpost.senders.submission import Submission, read_section
from senders.contract import Answer, Example, Received

CALLING = [name for name in find_services() if name != "sandbox"]
"""Every sender service that calls a server."""

_ATTEMPT = re.compile("AT[0-9a-f]{32}")


def example_of(name: str) -> Example:
    """What the tests of the service itself bring."""
    example = importlib.import_module(f"senders.test_{name}").EXAMPLE
    assert isinstance(example, Example)
    return example


@dataclass(frozen=True)
class Fault:
    """How a request to send is failed; `makes`: the text goes out all the same.

    `unread`: nothing of the request is read, and nothing answered. `silent`: it is read, and not answered. `reset`:
    the connection breaks (TCP RST) in the middle of the accepting answer. `answer`: that `answer` is given.
    """

    how: Literal["unread", "silent", "reset", "answer"]
    makes: bool = False
    answer: Answer = field(default_factory=lambda: Answer(500))


@dataclass(frozen=True)
class Made:
    """A text that went out, the attempts that its request names, and the service's own SID of it."""

    request: Received
    attempts: tuple[str, ...]
    sid: str | None
    at: int


class _Canned:
    """A network on which every request has had this answer already."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def request(self, *args: Any, **more: Any) -> Response:
        return self._response


Hook = Callable[[Received], Awaitable[None]]


async def _go_on(request: Received) -> None:
    """Nothing happens."""


class Vendor:
    """One service's server on loopback. `faults` strike the next requests to send, one each; then texts are taken.

    `asked` are the requests to send as far as they were read, `made` the texts that went out. While `open` is clear
    no answer is given. `when_read` and `when_made` are waited for once a request was read, and its text has gone out.
    Look-ups are answered from `made`, of which a text is shown from `lag_ms` after it was made on, and with 404 unless
    it `lists`.
    """

    def __init__(self, name: str, clock: Callable[[], int]) -> None:
        self.name = name
        self.example = example_of(name)
        self.faults: list[Fault] = []
        self.asked: list[Received] = []
        self.made: list[Made] = []
        self.looked: list[Received] = []
        self.lists = True
        self.lag_ms = 0
        self._sids: set[str | None] = set()
        self.when_read: Hook = _go_on
        self.when_made: Hook = _go_on
        self.open = asyncio.Event()
        self.open.set()
        self._clock = clock
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def section(self, url: str | None = None) -> dict[str, Any]:
        return self.example.section(url or self.url)

    async def listen(self) -> None:
        """Until then connections are refused."""
        self._servers.append(await asyncio.start_server(self._serve, sock=self._socket))

    async def listen_with(self, certificate: ssl.SSLContext) -> str:
        """Listens on another port with TLS; its URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=certificate)
        self._servers.append(server)
        return f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.faults and self.faults[0].how == "unread":
            self.faults.pop(0)
            await asyncio.Event().wait()
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        request = Received(method, target, headers, await reader.readexactly(int(headers.get("Content-Length", "0"))))
        if method == "GET" and capabilities(find_services()[self.name]).looks_up:
            self.looked.append(request)
            shown = [text for text in self.made if text.at + self.lag_ms <= self._clock()]
            return await _give(writer, LISTING[self.name](shown) if self.lists else Answer(404, b"{}"))
        self.asked.append(request)
        fault = self.faults.pop(0) if self.faults else None
        await self.open.wait()
        await self.when_read(request)
        taken = await self._taken(request) if fault is None or fault.makes else None
        if fault is None:
            assert taken is not None
            return await _give(writer, taken)
        if fault.how == "silent":
            await asyncio.Event().wait()
        if fault.how == "reset":
            whole = _written(taken or Answer(200, b"never whole"))
            writer.write(whole[: len(whole) - 3])
            await writer.drain()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        return await _give(writer, fault.answer)

    async def _taken(self, request: Received) -> Answer:
        """Makes the text; the answer that says so."""
        accepting = self.example.accepting
        assert accepting is not None
        body = accepting.body if isinstance(accepting.body, bytes) else accepting.body(request)
        said = "\n".join([request.target, *request.headers.values(), request.body.decode()])
        attempts = tuple(dict.fromkeys(_ATTEMPT.findall(unquote_plus(said))))
        sid = await self._sid(Response(accepting.status, accepting.headers, body))
        if sid is not None and sid in self._sids:
            another = f"{sid[:-4]}{len(self._sids):04x}"
            sid, body = another, body.replace(sid.encode(), another.encode())
        self._sids.add(sid)
        self.made.append(Made(request, attempts, sid, self._clock()))
        await self.when_made(request)
        return Answer(accepting.status, body, accepting.headers)

    async def _sid(self, response: Response) -> str | None:
        """The SID that the service's own module reads in the accepting answer."""
        service = find_services()[self.name]
        submission: Submission[Any] = read_section(service.Settings, self.section(), self.name)
        settings = fill(submission.settings, submission.typed)
        text = Text("AT0190", trusted(TO), "a text", 290)
        route = service.route(settings, text.to)
        assert isinstance(route, Route)
        return (await service.send(_Canned(response), settings, route, text)).vendor.sid


@asynccontextmanager
async def standing(name: str, clock: Callable[[], int], *, listens: bool = True) -> AsyncIterator[Vendor]:
    """A server of the service."""
    vendor = Vendor(name, clock)
    if listens:
        await vendor.listen()
    try:
        yield vendor
    finally:
        await vendor.stop()


def _written(answer: Answer) -> bytes:
    assert isinstance(answer.body, bytes)
    given = {"Content-Length": str(len(answer.body)), **answer.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {answer.status} Said\r\n{head}\r\n".encode() + answer.body


async def _give(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    writer.write(_written(answer))
    await writer.drain()
    return True


def _json(said: Any) -> Answer:
    return Answer(200, msgspec.json.encode(said), {"Content-Type": "application/json"})


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _by_twilio(made: list[Made]) -> Answer:
    messages = [
        {
            "sid": text.sid,
            "status": "queued",
            "direction": "outbound-api",
            "date_created": format_datetime(_moment(text.at)),
            "body": parse_qs(text.request.body.decode())["Body"][0],
        }
        for text in made
    ]
    return _json({"messages": messages, "next_page_uri": None})


def _by_messagebird(made: list[Made]) -> Answer:
    items = []
    for text in made:
        asked = msgspec.json.decode(text.request.body)
        recipient = {"recipient": int(asked["recipients"][0]), "status": "sent"}
        items.append(
            {
                "id": text.sid,
                "createdDatetime": _moment(text.at).isoformat(timespec="seconds"),
                "body": asked["body"],
                "recipients": {"totalCount": 1, "items": [recipient]},
            }
        )
    return _json({"items": items, "count": len(items), "totalCount": len(items)})


def _by_infobip(made: list[Made]) -> Answer:
    pending = {"groupId": 1, "groupName": "PENDING", "id": 7, "name": "PENDING_ENROUTE", "description": "On its way"}
    results = [
        {
            "messageId": text.sid,
            "sentAt": _moment(text.at).isoformat(timespec="milliseconds").replace("+00:00", "+0000"),
            "content": {"text": msgspec.json.decode(text.request.body)["messages"][0]["content"]["text"]},
            "status": pending,
        }
        for text in made
    ]
    return _json({"results": results})


LISTING: dict[str, Callable[[list[Made]], Answer]] = {
    "twilio": _by_twilio,
    "messagebird": _by_messagebird,
    "infobip": _by_infobip,
}
"""What a service that lists its messages shows of the texts that went out."""


def path_of(address: str) -> str:
    """The target of a callback address, as the request line has it."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path

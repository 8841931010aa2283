"""An Otpost that listens on loopback, and a judge that hears every answer of its Twilio-shaped API."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import oai
from api.twilio import judge
from installation import Installation, until
from otpost.server import listening
from otpost.services.tenants.keys import NewKey
from otpost.services.tenants.tenants import make_tenant

SHAPED = ("/v2/", "/2010-04-01/")
RFC_9457 = {"type", "title", "status", "code"}
"""With all of these an SDK raises another exception than the one that its users catch."""


@dataclass(frozen=True)
class Exchange:
    """One request as it was on the wire, and its answer. `target` is the path with its query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    status: int
    answered: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass
class Heard:
    """The application, with every exchange of its Twilio-shaped API kept and judged by Twilio's own document."""

    app: ASGIApp
    exchanges: list[Exchange] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(SHAPED):
            await self.app(scope, receive, send)
            return
        sent, said = bytearray(), bytearray()
        status = 0

        async def hear() -> Message:
            message = await receive()
            sent.extend(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            said.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._keep(scope, bytes(sent), status, bytes(said))
            await send(message)

        await self.app(scope, hear, say)

    def _keep(self, scope: Scope, sent: bytes, status: int, said: bytes) -> None:
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = Exchange(scope["method"], target, headers, sent, status, said)
        self.exchanges.append(exchange)
        self.complaints += [f"{exchange.method} {target} {status}: {line}" for line in judged(exchange)]


def judged(exchange: Exchange) -> list[str]:
    """What Twilio's document has against an answer, as sentences."""
    try:
        body = json.loads(exchange.answered) if exchange.answered else None
    except ValueError:
        return [f"the answer is no JSON: {exchange.answered[:80]!r}"]
    if isinstance(body, dict) and body.keys() >= RFC_9457:
        return ["type, title, status and code together"]
    if exchange.status >= 400 or exchange.path.startswith("/v2/"):
        return judge.judge(exchange.method, exchange.path, exchange.status, body)
    found = oai.operation_of(exchange.method, exchange.path)
    return ["it is not in the document"] if found is None else oai.judge_response(found[0], exchange.status, body)


@dataclass
class Served:
    """An installation with its address, and one tenant of it with both of its credentials."""

    here: Installation
    heard: Heard
    url: str
    key: NewKey
    token: str

    @property
    def account(self) -> str:
        return self.key.key.tenant

    async def next_door(self) -> Served:
        """The same installation for another tenant of it."""
        tenant = await self.here.store.run(make_tenant(self.here.context, "neighbour"))
        return await opened(self.here, self.heard, self.url, await self.here.key("admin", tenant=tenant.sid))

    async def texts(self, to: str, count: int) -> list[str]:
        """The texts on the sandbox phone, the latest first, as soon as there are so many."""

        async def look() -> list[str]:
            page = await self.here.ok("GET", f"/v1/sandbox/messages?to={quote(to)}&limit=100", key=self.key)
            return [item["body"] for item in page["items"]]

        return list(await until(look, lambda texts: len(texts) >= count))

    async def code(self, to: str, count: int = 1) -> str:
        """The code in the latest of so many texts."""
        found = re.search(r"[0-9]{4,10}", (await self.texts(to, count))[0])
        assert found is not None
        return found[0]


def wrong(code: str) -> str:
    """A code of the same length that it is not."""
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))


@contextmanager
def address() -> Iterator[tuple[socket.socket, str]]:
    """A socket of this machine that listens, and its address."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.listen(128)
        own.setblocking(False)
        yield own, f"http://127.0.0.1:{own.getsockname()[1]}"


async def opened(here: Installation, heard: Heard, url: str, key: NewKey) -> Served:
    """A tenant by its key, with the sandbox as its sender service and an auth token."""
    await here.ok("PUT", "/v1/sender-policy", {"sender_service": "sandbox"}, key=key)
    made = await here.ok("POST", "/v1/tenant/auth-token", key=key)
    return Served(here, heard, url, key, made["auth_token"])


@asynccontextmanager
async def serving(here: Installation, own: socket.socket, url: str) -> AsyncIterator[Served]:
    """The installation behind the program's own HTTP server, for its first tenant.

    Every answer that was given must have been as Twilio's document has it.
    """
    heard = Heard(here.app)
    async with listening(heard, own):
        yield await opened(here, heard, url, here.admin)
    assert heard.complaints == []

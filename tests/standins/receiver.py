"""An application's server that is told of events: a real one on loopback, which a test makes refuse, hang or die."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from installation import LOOPBACK, Installation, until
from otpost.messaging.posting import CONNECTIONS, Posting
from otpost.outbound import Outbound
from otpost.store.base import Store


@dataclass
class Got:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def proven(self, secret: str) -> Any:
        """The body, if the public library believes it; it raises otherwise."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """`status`, `said` and `headers` are what it answers; while `hold` is clear, each request hangs."""

    url: str = ""
    status: int = 204
    said: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: int = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(request.path, headers, await request.read()))
        self.hanging += 1
        try:
            await self.hold.wait()
        finally:
            self.hanging -= 1
        if self.status == 0:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=self.status or 200, text=self.said, headers=self.headers)

    async def wait_for(self, count: int) -> list[Got]:
        """The requests, as soon as there are so many."""

        async def look() -> list[Got]:
            return self.got

        return list(await until(look, lambda got: len(got) >= count))


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that answers 204 at once."""
    receiver = Receiver()
    receiver.hold.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hooks"
    try:
        yield receiver
    finally:
        receiver.hold.set()
        await runner.cleanup()


@asynccontextmanager
async def posting(otpost: Installation, store: Store | None = None) -> AsyncIterator[Posting]:
    """A poster beside the installation's messaging service, or that of another node, on a `store` of its own."""
    own = store or otpost.store
    http = Outbound(allow=LOOPBACK, connections=CONNECTIONS)
    poster = Posting(dataclasses.replace(otpost.context, store=own), http, every_s=0.02)
    others: Callable[[str], None] = own.on_signal

    def signal(name: str) -> None:
        others(name)
        poster.wake(name)

    own.on_signal = signal
    await poster.start()
    try:
        yield poster
    finally:
        await poster.stop()
        await http.close()

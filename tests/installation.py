"""A whole installation in one process: database, key ring, messaging service and API, with a clock to move."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import ipaddress
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any

from starlette.types import ASGIApp

from asgi import Answered, ask
from otpost.api import Surroundings, application
from otpost.domain.access import Scope, Tenant
from otpost.messaging.loop import Messaging
from otpost.outbound import Outbound
from otpost.services.audit import command_line_actor
from otpost.services.context import Context
from otpost.services.keyring import KeyRing
from otpost.services.policy.plan import Plans
from otpost.services.tenants.keys import KeyUses, NewKey, make_key
from otpost.services.tenants.tenants import keep_key_checks, make_default_tenant
from otpost.services.verifications.text import Wording
from otpost.store.base import Store
from otpost.store.clocks import HasTime, wall

RING = KeyRing.read("k1:" + base64.b64encode(bytes(range(32))).decode())
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
TO = "+15005550006"


@dataclass
class Clock:
    """Milliseconds since the epoch, standing still until a test moves it."""

    now: int = field(default_factory=wall)
    stepped: int = 0

    def __call__(self) -> int:
        return self.now

    def monotonic(self) -> int:
        """The clock that nobody sets."""
        return self.now - self.stepped

    def wall(self) -> int:
        """The machine's own clock, which goes with the database's."""
        return self()

    async def learn(self, database: HasTime) -> None:
        """It goes its own way."""

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)

    def step(self, seconds: float) -> None:
        """Set it forward or back, without any time passing."""
        self.advance(seconds)
        self.stepped += int(seconds * 1000)


_made = itertools.count()


def sids(now: Clock) -> Callable[[str], str]:
    """New SIDs by a test's clock; they sort by the order in which they were made, also where it is set back."""
    latest = 0

    def make(prefix: str) -> str:
        nonlocal latest
        latest = max(latest, now())
        return f"{prefix}{latest:012x}{next(_made):020x}"

    return make


def context_of(store: Store, now: Clock, keyring: KeyRing = RING) -> Context:
    """What use cases are given where no node sends."""
    return Context(store, keyring, now, sids(now), SystemRandom())


class Installation:
    """Call its API with `call`; `admin` and `verify` are keys of the default tenant."""

    def __init__(
        self, store: Store, now: Clock, public_url: str | None, *, http: Outbound | None = None, alone: bool = True
    ) -> None:
        self.clock = now
        self.store = store
        self.http = http or Outbound(allow=LOOPBACK)
        self.public_url = public_url
        self.context = context_of(store, now)
        self.plans, self.key_uses = Plans(self.context), KeyUses()
        self.wording = Wording(self.context)
        self.messaging = Messaging(
            self.context, self.plans, self.http, public_url=public_url, alone=alone, every_s=0.05
        )
        self.context = dataclasses.replace(self.context, lanes=self.messaging.pace)
        self.app: ASGIApp = application(self.surroundings())
        self.tenant: Tenant
        self.admin: NewKey
        self.verify: NewKey

    def surroundings(self, **changed: Any) -> Surroundings:
        """What the API is given."""
        given = Surroundings(
            *(self.context, self.plans, self.key_uses, self.http, self.public_url, ()),
            ready=self._ready,
            metrics=lambda: b"",
            timer=time.perf_counter,
        )
        return dataclasses.replace(given, **changed)

    async def _ready(self) -> dict[str, str]:
        return {}

    async def start(self) -> None:
        self.store.on_signal = self.messaging.wake
        self.tenant = await self.store.run(make_default_tenant(self.context))
        await self.store.run(keep_key_checks(self.context))
        self.admin = await self.key("admin")
        self.verify = await self.key("verify", self.tenant.default_application)
        await self.messaging.start()

    async def stop(self) -> None:
        await self.messaging.stop()
        await self.http.close()

    async def key(self, scope: Scope, application_sid: str | None = None, tenant: str | None = None) -> NewKey:
        actor = command_line_actor(tenant or self.tenant.sid)
        return await self.store.run(make_key(self.context, actor, scope, application_sid, "test"))

    async def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        key: NewKey | None = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """One request with a key (the admin's unless another is named); `raw` instead of a JSON `body`."""
        made = key or self.admin
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        given = {"authorization": f"Bearer {made.key.sid}.{made.secret}", **(headers or {})}
        if sent and "content-type" not in given:
            given["content-type"] = "application/json"
        return await ask(self.app, method, target, headers=given, body=sent)

    async def ok(self, method: str, target: str, body: Any = None, **more: Any) -> Any:
        """The same, for calls that must succeed; the answer's JSON."""
        answer = await self.call(method, target, body, **more)
        assert answer.status < 300, answer.text
        return answer.json() if answer.body else None

    async def choose_sandbox(self) -> None:
        await self.ok("PUT", "/v1/sender-policy", {"sender_service": "sandbox"})

    def code(self, verification: dict[str, Any]) -> str:
        """The right code of a verification."""
        return RING.code(verification["sid"], RING.current, 6)

    def wrong_code(self, verification: dict[str, Any]) -> str:
        return f"{(int(self.code(verification)) + 1) % 1_000_000:06d}"

    async def message(self, sid: str, settled: Callable[[Any], bool] | None = None) -> Any:
        """The message once it is `settled` (accepted or ended, unless told otherwise)."""
        wanted = settled or (lambda message: message["status"] not in ("queued", "sending"))
        return await until(lambda: self.ok("GET", f"/v1/messages/{sid}"), wanted)


async def until(look: Callable[[], Any], wanted: Callable[[Any], bool], timeout_s: float = 10.0) -> Any:
    """What `look` answers, as soon as it is as wanted."""
    began = asyncio.get_running_loop().time()
    while True:
        seen = await look()
        if wanted(seen):
            return seen
        gone_s = asyncio.get_running_loop().time() - began
        if gone_s > timeout_s:
            raise AssertionError(f"not within {timeout_s} s: {seen}")
        # What takes long is looked at less often.
        await asyncio.sleep(min(max(0.01, gone_s / 10), 0.25))


@asynccontextmanager
async def installed(
    store: Store,
    public_url: str | None = None,
    *,
    now: Clock | None = None,
    http: Outbound | None = None,
    alone: bool = True,
) -> AsyncIterator[Installation]:
    """A running installation on an opened store; not `alone`, it is one node of several."""
    made = Installation(store, now or Clock(), public_url, http=http, alone=alone)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()

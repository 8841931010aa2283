"""An endpoint of any dialect: who calls, what was sent, the use case, the answer, and how all of it is counted.

A dialect is a subclass of `Endpoint`, and of `Call` for what its requests bring; `native` and `twilio` are two.
"""

from __future__ import annotations

import base64
import binascii
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from starlette.types import Receive, Scope, Send

from otpost.address import Caller, Network, read_caller
from otpost.api.counters import ResultCounter
from otpost.api.problems import Internal
from otpost.api.wire import JSON, NO_STORE, Headers, encode_json, read_body, respond
from otpost.domain.access import Actor
from otpost.domain.errors import Refusal, ScopeMissing, Unauthenticated
from otpost.outbound import Outbound
from otpost.services.context import Context
from otpost.services.idempotency import Answer
from otpost.services.paging import Tenancy
from otpost.services.policy.plan import Plans
from otpost.services.tenants.keys import KeyUses, Principal, while_key_holds
from otpost.store.units import Unit
from otpost.telemetry import RequestMeter

A = TypeVar("A")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the API is given: the context of use cases, the door to the network, and how the process is.

    `ready` answers what is wrong, part by part (nothing: ready); `metrics` the page for Prometheus; `timer` seconds,
    by which requests are measured.
    """

    context: Context
    plans: Plans
    key_uses: KeyUses
    http: Outbound
    public_url: str | None
    trusted_proxies: Sequence[Network]
    ready: Callable[[], Awaitable[dict[str, str]]]
    metrics: Callable[[], bytes]
    timer: Callable[[], float]

    def caller(self, scope: Scope) -> Caller:
        """Who calls: the client's address, its scheme and the host that it called, past trusted proxies."""
        client = scope.get("client")
        return read_caller(
            client[0] if client else None, scope["scheme"], scope["headers"], self.public_url, self.trusted_proxies
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the value that becomes the JSON body; None for no body."""

    status: int
    value: Any = None

    def encode(self) -> Answer:
        return Answer(self.status, b"" if self.value is None else encode_json(self.value))


@dataclass(slots=True)
class Call:
    """One call of an endpoint: its key's owner and the parameters of its path. A dialect adds what was sent."""

    surroundings: Surroundings
    principal: Principal
    scope: Scope
    path: dict[str, str]

    @property
    def context(self) -> Context:
        return self.surroundings.context

    @property
    def tenant(self) -> str:
        return self.principal.tenant.sid

    @property
    def actor(self) -> Actor:
        return self.principal.actor

    @property
    def tenancy(self) -> Tenancy:
        """Whose rows the caller may touch."""
        return Tenancy(self.principal.tenant.sid, self.principal.key.application)

    async def decide(self, unit: Unit[A], counter: ResultCounter[A] | None = None) -> A:
        """The unit's answer, if the caller's key is still in force when it is decided; `counter` counts it."""
        key = self.principal.key
        if key.sid.startswith("SK"):
            unit = while_key_holds(self.context, unit, key.sid)
        if counter is None:
            return await self.context.store.run(unit)
        try:
            outcome = await self.context.store.run(unit)
        except Refusal as refusal:
            counter.count(refusal)
            raise
        counter.count(outcome)
        return outcome


C = TypeVar("C", bound=Call)


@dataclass(frozen=True)
class Endpoint(ABC, Generic[C]):
    """One method of one path: who may call it, and what answers.

    `refusals` are the exceptions that the dialect's `refuse` can say; any other one is a fault of ours.
    """

    refusals: ClassVar[tuple[type[Exception], ...]] = (Refusal,)

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Callable[[C], Awaitable[Reply | Answer]]
    scope: Literal["verify", "admin"]
    meter: RequestMeter = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", RequestMeter(self.method, self.path))

    @staticmethod
    @abstractmethod
    def prove(surroundings: Surroundings, authorization: bytes, client: Callable[[], str]) -> Awaitable[Principal]:
        """Who calls, from the address that `client` tells; Unauthenticated for anything that proves nobody."""

    @abstractmethod
    def begin(
        self,
        surroundings: Surroundings,
        principal: Principal,
        scope: Scope,
        path: dict[str, str],
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> C:
        """The call, of which nothing is read yet."""

    @abstractmethod
    def read(self, call: C, headers: dict[bytes, bytes], body: bytes) -> None:
        """Put into the call what was sent; raises what is wrong with it."""

    async def keep_refusal(self, call: C, refusal: Refusal) -> Answer:
        """The answer for a refusal, where the dialect keeps it; or raise it."""
        raise refusal

    def render(self, reply: Reply | Answer) -> tuple[Answer, Headers]:
        return reply if isinstance(reply, Answer) else reply.encode(), [JSON, NO_STORE]

    @abstractmethod
    def refuse(self, error: Exception, scope: Scope, now: int) -> tuple[Answer, Headers]:
        """One of `refusals` in the dialect's words."""

    async def __call__(
        self, surroundings: Surroundings, scope: Scope, receive: Receive, send: Send, path: dict[str, str]
    ) -> None:
        """Answer one request; whatever happens, with JSON."""
        began = surroundings.timer()
        try:
            answer, headers = await self._answer(surroundings, scope, receive, path)
        except Exception as error:
            if not isinstance(error, self.refusals):
                _log.exception("%s %s failed", self.method, self.path)
                error = Internal()
            answer, headers = self.refuse(error, scope, surroundings.context.clock())
        await respond(send, answer, headers)
        self.meter.count(answer.status, surroundings.timer() - began)

    async def _answer(
        self, surroundings: Surroundings, scope: Scope, receive: Receive, path: dict[str, str]
    ) -> tuple[Answer, Headers]:
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization", b"")
        principal = await self.prove(surroundings, authorization, lambda: surroundings.caller(scope).address)
        body = await read_body(receive)
        call = self.begin(surroundings, principal, scope, path, headers, body)
        reply: Reply | Answer
        try:
            if self.scope == "admin" and principal.key.scope != "admin":
                raise ScopeMissing
            self.read(call, headers, body)
            reply = await self.handler(call)
        except Refusal as refusal:
            reply = await self.keep_refusal(call, refusal)
        return self.render(reply)


def read_credentials(authorization: bytes, schemes: Collection[bytes]) -> tuple[str, str]:
    """Name and secret of `Basic name:secret` or `Bearer name.secret`; Unauthenticated for another scheme."""
    scheme, _, rest = authorization.partition(b" ")
    scheme = scheme.lower()
    if scheme not in schemes:
        raise Unauthenticated
    try:
        if scheme == b"basic":
            name, _, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        else:
            name, _, secret = rest.strip().decode().partition(".")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated from None
    return name, secret

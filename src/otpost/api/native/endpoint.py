"""The native dialect: JSON bodies, problems, and repeated POSTs that are answered alike."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

from otpost.api import endpoint
from otpost.api.counters import ResultCounter
from otpost.api.endpoint import Reply, Surroundings, read_credentials
from otpost.api.native.fields import decode_body, read_query
from otpost.api.problems import UnsupportedMediaType
from otpost.api.wire import JSON, NO_STORE, PROBLEM, Headers, encode_problem, write_problem
from otpost.domain.errors import Malformed, Refusal, invalid
from otpost.services import idempotency
from otpost.services.idempotency import Answer, Render, answer_once, keep_answer, refuse_once, reserve_key
from otpost.services.tenants.keys import Principal, prove_key
from otpost.store.units import Unit
from otpost.telemetry import REQUEST_ID

A = TypeVar("A")
T = TypeVar("T")

MAX_FIELDS = 200
IDEMPOTENCY_KEY_LENGTH = 255
SCHEMES = (b"basic", b"bearer")

_REPLAYED = (b"idempotent-replayed", b"true")


@dataclass(slots=True)
class Call(endpoint.Call, Generic[T]):
    """A call with its query and its body.

    `first` is what its Idempotency-Key names; `keeps` is whether the work itself keeps the answer under it.
    """

    query: Any = None
    body: T = None  # type: ignore[assignment]  # read before any handler sees the call
    first: idempotency.Call | None = None
    keeps: bool = False

    async def run(
        self, unit: Unit[A], reply: Callable[[A], Reply], counter: ResultCounter[A] | None = None
    ) -> Reply | Answer:
        """Run a unit of work and answer by it; with an Idempotency-Key, the first answer is kept or given again.

        An answer that is given again was counted when it was new.
        """
        if self.first is None:
            return reply(await self.decide(unit, counter))
        self.keeps = True
        try:
            answer = await self.decide(answer_once(self.context, self.first, unit, _render(reply)))
        except Refusal as refusal:
            if counter is not None:
                counter.count(refusal)
            raise
        if counter is not None and not answer.replayed:
            counter.count(answer.outcome)
        return answer

    async def require_key(self) -> None:
        """Unauthenticated if the caller's key has ended since it was proven: what follows is no unit to judge it."""
        await self.decide(Unit(lambda rows: None))

    async def run_outside(self, work: Callable[[], Awaitable[Reply]]) -> Reply | Answer:
        """The same for work that asks the network, and so cannot be one unit."""
        if self.first is None:
            await self.require_key()
            return await work()
        self.keeps = True
        known = await self.decide(reserve_key(self.context, self.first))
        if known is not None:
            return known
        answer: Answer | None = None
        try:
            answer = (await work()).encode()
        except Refusal as refusal:
            if not idempotency.keeps(refusal):
                raise
            answer = encode_problem(refusal, REQUEST_ID.get())
        finally:
            await self.context.store.run(keep_answer(self.context, self.first, answer))
        return answer


@dataclass(frozen=True)
class Endpoint(endpoint.Endpoint[Call[Any]]):
    """One method of one path, which is also its own documentation.

    `answers` are the types of the bodies by status, `refuses` the codes of problems beyond those of its kind.
    `schemas` describe what a type does not tell: answers by status, the body under 0.
    """

    summary: str
    answers: dict[int, Any]
    body: Any = None
    body_optional: bool = False
    query: Any = None
    refuses: tuple[str, ...] = ()
    schemas: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    decoder: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.body is not None:
            object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body))

    @staticmethod
    def prove(surroundings: Surroundings, authorization: bytes, client: Callable[[], str]) -> Awaitable[Principal]:
        """Who calls, by `Basic SK…:secret` or `Bearer SK….secret`."""
        key_sid, secret = read_credentials(authorization, SCHEMES)
        return prove_key(surroundings.context, surroundings.key_uses, key_sid, secret, client)

    def begin(
        self,
        surroundings: Surroundings,
        principal: Principal,
        scope: Scope,
        path: dict[str, str],
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> Call[Any]:
        call: Call[Any] = Call(surroundings, principal, scope, path)
        if self.method == "POST" and b"idempotency-key" in headers:
            call.first = _name_first(principal, scope, headers[b"idempotency-key"], body)
        return call

    def read(self, call: Call[Any], headers: dict[bytes, bytes], body: bytes) -> None:
        query = call.scope["query_string"]
        if self.query is not None or query:
            call.query = read_query(self.query, _split_query(query))
        if self.body is not None:
            call.body = self._read_body(headers, body)

    def _read_body(self, headers: dict[bytes, bytes], body: bytes) -> Any:
        if not body and self.body_optional:
            return decode_body(self.decoder, self.body, b"{}")
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media != b"application/json" and not media.endswith(b"+json"):
            raise UnsupportedMediaType
        if not body:
            raise Malformed("The body is empty; send a JSON object.")
        return decode_body(self.decoder, self.body, body)

    async def keep_refusal(self, call: Call[Any], refusal: Refusal) -> Answer:
        if call.first is None or call.keeps or not idempotency.keeps(refusal):
            raise refusal
        return await call.context.store.run(refuse_once(call.context, call.first, refusal, _render_problem()))

    def render(self, reply: Reply | Answer) -> tuple[Answer, Headers]:
        answer = reply if isinstance(reply, Answer) else reply.encode()
        kind = PROBLEM if answer.status >= 400 else JSON
        return answer, [kind, NO_STORE, *([_REPLAYED] if answer.replayed else [])]

    def refuse(self, error: Exception, scope: Scope, now: int) -> tuple[Answer, Headers]:
        assert isinstance(error, Refusal)
        return write_problem(error, now)


def _render_problem() -> Callable[[Refusal], Answer]:
    """Renders a refusal within a unit of work, which runs elsewhere and does not know of the request."""
    return partial(encode_problem, request_id=REQUEST_ID.get())


def _render(reply: Callable[[A], Reply]) -> Render[A]:
    refusal = _render_problem()
    return lambda outcome: refusal(outcome) if isinstance(outcome, Refusal) else reply(outcome).encode()


def _name_first(principal: Principal, scope: Scope, key: bytes, body: bytes) -> idempotency.Call:
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH or any(not 0x21 <= byte <= 0x7E for byte in key):
        raise invalid("Idempotency-Key", "invalid", "Idempotency-Key is 1 to 255 visible ASCII characters.")
    owner = principal.key.application or principal.tenant.sid
    call = hashlib.sha256(f"{scope['method']} {scope['path']}".encode()).hexdigest()
    return idempotency.Call(owner, call, key.decode(), body)


def _split_query(query: bytes) -> dict[str, str]:
    """The query's parameters; in `to`, a leading blank was a plus sign that nobody escaped."""
    try:
        text = query.decode("ascii")
        pairs = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except (UnicodeDecodeError, ValueError):
        raise Malformed("The query is not well-formed.") from None
    if pairs.get("to", "").startswith(" "):
        pairs["to"] = "+" + pairs["to"].lstrip()
    return pairs

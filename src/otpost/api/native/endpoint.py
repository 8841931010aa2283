"""One call over HTTP: who makes it, what was sent, how it is answered, and that a repeated POST is answered alike."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from prometheus_client import Counter
from starlette.types import Receive, Scope, Send

from otpost.address import Caller, Network, read_caller
from otpost.api.native.fields import read_body, read_query
from otpost.api.problems import Internal, TooLarge, UnsupportedMediaType, problem, retry_after_s, status_of
from otpost.domain.errors import Malformed, Refusal, ScopeMissing, Unauthenticated, invalid
from otpost.outbound import Outbound
from otpost.services import idempotency
from otpost.services.context import Context
from otpost.services.idempotency import Answer, Render, answer_once, keep_answer, refuse_once, reserve_key
from otpost.services.tenants.keys import Principal, prove_key, while_key_holds
from otpost.store.units import Unit
from otpost.telemetry import REQUEST_ID, RequestMeter

A = TypeVar("A")
T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_BODY = 65_536
MAX_FIELDS = 200
IDEMPOTENCY_KEY_LENGTH = 255

_encoder = msgspec.json.Encoder()
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")
_NO_STORE = (b"cache-control", b"no-store")
_REPLAYED = (b"idempotent-replayed", b"true")
_CHALLENGE = (b"www-authenticate", b'Basic realm="otpost", Bearer realm="otpost"')

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the API is given: the house, the door to the network, and how the process is.

    `ready` answers what is wrong, part by part (nothing: ready); `metrics` the page for Prometheus; `timer` seconds,
    by which requests are measured.
    """

    context: Context
    http: Outbound
    public_url: str | None
    trusted_proxies: Sequence[Network]
    ready: Callable[[], Awaitable[dict[str, str]]]
    metrics: Callable[[], bytes]
    timer: Callable[[], float] = time.perf_counter

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


@dataclass(frozen=True, slots=True)
class Counted(Generic[A]):
    """A counter of what calls come to: by their `result`, or the code of their refusal."""

    counter: Counter
    result: Callable[[A], str]

    def count(self, outcome: A | Refusal) -> None:
        label = outcome.code if isinstance(outcome, Refusal) else self.result(outcome)
        self.counter.labels(label).inc()


@dataclass(slots=True)
class Call(Generic[T]):
    """One call of an endpoint: its key's owner, its path's and query's parameters, its body."""

    surroundings: Surroundings
    principal: Principal
    path: dict[str, str]
    query: Any
    body: T
    first: idempotency.Call | None = None
    settled: bool = False

    @property
    def context(self) -> Context:
        return self.surroundings.context

    async def run(
        self, unit: Unit[A], reply: Callable[[A], Reply], counted: Counted[A] | None = None
    ) -> Reply | Answer:
        """Run a unit of work and answer by it; with an Idempotency-Key, the first answer is kept or given again.

        `counted` counts what the unit came to, once: an answer that is given again was counted when it was new.
        """
        outcome: A | Refusal
        answer: Reply | Answer
        try:
            if self.first is None:
                outcome = done = await self.held(unit)
                answer = reply(done)
            else:
                self.settled = True
                kept = answer_once(self.context, self.first, unit, _render(reply))
                answer = first = await self.held(kept)
                if first.replayed:
                    return answer
                outcome = first.outcome
        except Refusal as refusal:
            if counted is not None:
                counted.count(refusal)
            raise
        if counted is not None:
            counted.count(outcome)
        return answer

    async def held(self, unit: Unit[A]) -> A:
        """The unit's answer, if the caller's key is still in force when it is decided."""
        return await self.context.store.run(while_key_holds(self.context, unit, self.principal.key.sid))

    async def in_force(self) -> None:
        """Unauthenticated if the caller's key has ended since it was proven: what follows is no unit to judge it."""
        await self.held(Unit(lambda rows: None))

    async def outside(self, work: Callable[[], Awaitable[Reply]]) -> Reply | Answer:
        """The same for work that asks the network, and so cannot be one unit."""
        if self.first is None:
            await self.in_force()
            return await work()
        self.settled = True
        known = await self.held(reserve_key(self.context, self.first))
        if known is not None:
            return known
        answer: Answer | None = None
        try:
            answer = _rendered(await work())
        except Refusal as refusal:
            if not idempotency.keeps(refusal):
                raise
            answer = _refusal(refusal, REQUEST_ID.get())
        finally:
            await self.context.store.run(keep_answer(self.context, self.first, answer))
        return answer


Handler = Callable[[Call[Any]], Awaitable[Reply | Answer]]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path: who may call it, what it takes, what it answers. It is also its own documentation.

    `answers` are the types of the bodies by status, `refuses` the codes of problems beyond those of its kind.
    `schemas` describe what a type does not tell: answers by status, the body under 0.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    scope: Literal["verify", "admin"]
    answers: dict[int, Any]
    body: Any = None
    body_optional: bool = False
    query: Any = None
    refuses: tuple[str, ...] = ()
    schemas: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    decoder: Any = field(init=False, default=None)
    meter: RequestMeter = field(init=False)

    def __post_init__(self) -> None:
        if self.body is not None:
            object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body))
        object.__setattr__(self, "meter", RequestMeter(self.method, self.path))

    async def __call__(self, surroundings: Surroundings, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever happens, with JSON."""
        began = surroundings.timer()
        try:
            answer, headers = await self._answer(surroundings, scope, receive)
        except Refusal as refusal:
            answer, headers = refused(refusal, surroundings.context.clock())
        except Exception:
            _log.exception("%s %s failed", self.method, self.path)
            answer, headers = refused(Internal(), surroundings.context.clock())
        await respond(send, answer, headers)
        self.meter.count(answer.status, surroundings.timer() - began)

    async def _answer(self, surroundings: Surroundings, scope: Scope, receive: Receive) -> tuple[Answer, Headers]:
        context = surroundings.context
        headers = dict(scope["headers"])
        principal = await prove(context, headers.get(b"authorization", b""), lambda: surroundings.caller(scope).address)
        raw = await read_all(scope, receive)
        call: Call[Any] = Call(surroundings, principal, scope.get("path_params", {}), None, None)
        if self.method == "POST" and b"idempotency-key" in headers:
            call.first = _first(principal, scope, headers[b"idempotency-key"], raw)
        try:
            if self.scope == "admin" and principal.key.scope != "admin":
                raise ScopeMissing
            if self.query is not None or scope["query_string"]:
                call.query = read_query(self.query, _pairs(scope["query_string"]))
            if self.body is not None:
                call.body = self._read(headers, raw)
            reply = await self.handler(call)
        except Refusal as refusal:
            if call.first is None or call.settled or not idempotency.keeps(refusal):
                raise
            reply = await context.store.run(refuse_once(context, call.first, refusal, _keeping()))
        answer = reply if isinstance(reply, Answer) else _rendered(reply)
        kind = _PROBLEM if answer.status >= 400 else _JSON
        return answer, [kind, _NO_STORE, *([_REPLAYED] if answer.replayed else [])]

    def _read(self, headers: dict[bytes, bytes], raw: bytes) -> Any:
        if not raw and self.body_optional:
            return read_body(self.decoder, self.body, b"{}")
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media != b"application/json" and not media.endswith(b"+json"):
            raise UnsupportedMediaType
        if not raw:
            raise Malformed("The body is empty; send a JSON object.")
        return read_body(self.decoder, self.body, raw)


async def prove(context: Context, authorization: bytes, client: Callable[[], str]) -> Principal:
    """Who calls, from the address that `client` tells, by `Basic SK…:secret` or `Bearer SK….secret`."""
    kind, _, rest = authorization.partition(b" ")
    try:
        if kind.lower() == b"basic":
            key_sid, _, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        elif kind.lower() == b"bearer":
            key_sid, _, secret = rest.strip().decode().partition(".")
        else:
            raise Unauthenticated
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated from None
    return await prove_key(context, key_sid, secret, client)


async def read_all(scope: Scope, receive: Receive) -> bytes:
    """The whole body; TooLarge beyond 64 KiB."""
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Malformed("The connection ended before the body did.")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise TooLarge
        if not event.get("more_body"):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


async def respond(send: Send, answer: Answer, headers: Headers) -> None:
    length = (b"content-length", str(len(answer.body)).encode())
    if answer.status == 204:
        headers = [header for header in headers if header[0] != b"content-type"]
    else:
        headers = [*headers, length]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def refused(refusal: Refusal, now: int) -> tuple[Answer, Headers]:
    """A refusal as it goes over the wire."""
    headers = [_PROBLEM, _NO_STORE]
    wait_s = retry_after_s(refusal, now)
    if wait_s is not None:
        headers.append((b"retry-after", str(wait_s).encode()))
    if isinstance(refusal, Unauthenticated):
        headers.append(_CHALLENGE)
    return Answer(status_of(refusal), _encoder.encode(problem(refusal, REQUEST_ID.get()))), headers


def json_answer(status: int, value: Any) -> tuple[Answer, Headers]:
    return Answer(status, _encoder.encode(value)), [_JSON, _NO_STORE]


def _rendered(reply: Reply) -> Answer:
    return Answer(reply.status, b"" if reply.value is None else _encoder.encode(reply.value))


def _refusal(refusal: Refusal, request_id: str | None) -> Answer:
    return Answer(status_of(refusal), _encoder.encode(problem(refusal, request_id)))


def _keeping() -> Callable[[Refusal], Answer]:
    """Renders a refusal within a unit of work, which runs elsewhere and does not know of the request."""
    return partial(_refusal, request_id=REQUEST_ID.get())


def _render(reply: Callable[[A], Reply]) -> Render[A]:
    refusal = _keeping()
    return lambda outcome: refusal(outcome) if isinstance(outcome, Refusal) else _rendered(reply(outcome))


def _first(principal: Principal, scope: Scope, key: bytes, body: bytes) -> idempotency.Call:
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH or any(not 0x21 <= byte <= 0x7E for byte in key):
        raise invalid("Idempotency-Key", "invalid", "Idempotency-Key is 1 to 255 visible ASCII characters.")
    owner = principal.key.application or principal.tenant.sid
    call = hashlib.sha256(f"{scope['method']} {scope['path']}".encode()).hexdigest()
    return idempotency.Call(owner, call, key.decode(), body)


def _pairs(query: bytes) -> dict[str, str]:
    """The query's parameters; in `to`, a leading blank was a plus sign that nobody escaped."""
    try:
        text = query.decode("ascii")
        pairs = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except (UnicodeDecodeError, ValueError):
        raise Malformed("The query is not well-formed.") from None
    if pairs.get("to", "").startswith(" "):
        pairs["to"] = "+" + pairs["to"].lstrip()
    return pairs

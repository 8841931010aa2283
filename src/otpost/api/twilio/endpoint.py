"""One call of the Twilio-shaped API: who makes it, its form and query, and how it is answered."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import Receive, Scope, Send

from otpost.api.native.endpoint import Headers, Surroundings, read_all, respond
from otpost.api.problems import Internal
from otpost.api.twilio.errors import ErrorBody, TwilioError, missing, not_found, translated, wrong
from otpost.domain.application import Application
from otpost.domain.errors import Refusal, ScopeMissing, Unauthenticated
from otpost.domain.sid import APPLICATION, is_sid
from otpost.services.context import Context
from otpost.services.idempotency import Answer
from otpost.services.paging import Tenancy
from otpost.services.tenants.keys import Principal, prove_key, while_key_holds
from otpost.services.tenants.tenants import prove_auth_token
from otpost.store.kinds import APPLICATIONS
from otpost.store.units import Unit
from otpost.telemetry import RequestMeter

A = TypeVar("A")

_log = logging.getLogger(__name__)

VERSION = "/v2"
FORM = b"application/x-www-form-urlencoded"
FIELDS = 200
SECRET_LENGTH = 200

_encoder = msgspec.json.Encoder()
_HEADERS: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_CHALLENGE = (b"www-authenticate", b'Basic realm="otpost"')
_TRUE_OR_FALSE = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the value that becomes the JSON body; None for no body."""

    status: int
    value: Any = None


@dataclass(slots=True)
class Call:
    """One call of an endpoint: its caller, its path's parameters, its query and its form.

    `base` is the address of this installation as the caller knows it, without a slash at its end; `resource` the
    path as Twilio's 404 names it.
    """

    surroundings: Surroundings
    principal: Principal
    scope: Scope
    path: dict[str, str]
    query: dict[str, str]
    form: dict[str, str]

    @property
    def context(self) -> Context:
        return self.surroundings.context

    @property
    def tenant(self) -> str:
        return self.principal.tenant.sid

    @property
    def base(self) -> str:
        return base_of(self.surroundings, self.scope)

    @property
    def resource(self) -> str:
        return resource_of(self.scope)

    @property
    def whose(self) -> Tenancy:
        """Whose rows the caller may touch."""
        return Tenancy(self.tenant, self.principal.key.application)

    async def run(self, unit: Unit[A]) -> A:
        """The unit's answer, if the caller's key is still in force when it is decided."""
        key = self.principal.key
        return await self.context.store.run(
            while_key_holds(self.context, unit, key.sid) if key.sid.startswith("SK") else unit
        )

    async def service(self, name: str = "ServiceSid") -> Application:
        """The application that the path names; Twilio's 404 for another tenant's, a deleted one, another key's."""
        sid = self.path[name]
        row = await self.context.store.get(APPLICATIONS, sid) if is_sid(sid, APPLICATION) else None
        own = self.principal.key.application
        if row is None or not row.belongs_to(self.tenant) or own not in (None, sid):
            self.nothing()
        return row

    def nothing(self) -> NoReturn:
        """Twilio's 404 for the path of this call."""
        raise not_found(self.resource)

    def needed(self, name: str) -> str:
        """A form parameter that has to be there and not blank."""
        value = self.form.get(name)
        if value is None or not value.strip():
            raise missing(name)
        return value

    def flag(self, name: str) -> bool | None:
        """A truth value of the form; None if it is not there."""
        text = self.form.get(name)
        if text is None:
            return None
        value = _TRUE_OR_FALSE.get(text.strip().lower())
        if value is None:
            raise wrong(name, "Send true or false.")
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number of the form within a range; None if it is not there."""
        text = self.form.get(name)
        if text is None:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else least - 1
        if not least <= number <= most:
            raise wrong(name, f"Send a whole number from {least} to {most}.")
        return number


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path of Twilio's, and who may call it.

    `path` is as in Twilio's own description: `/v2/Services/{ServiceSid}/Verifications`. `numbers` are those of our
    refusals, and of what is wrong with a field by its name or the rule, where they differ from the table.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    scope: Literal["verify", "admin"] = "verify"
    numbers: Mapping[str, int] = field(default_factory=dict)
    meter: RequestMeter = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", RequestMeter(self.method, self.path))

    async def __call__(
        self, surroundings: Surroundings, scope: Scope, receive: Receive, send: Send, path: dict[str, str]
    ) -> None:
        """Answer one request; whatever happens, with JSON."""
        began = surroundings.timer()
        try:
            answer, headers = await self._answer(surroundings, scope, receive, path)
        except TwilioError as error:
            answer, headers = refused(error)
        except Refusal as refusal:
            resource, now = resource_of(scope), surroundings.context.clock()
            answer, headers = refused(translated(refusal, resource, now, self.numbers))
        except Exception:
            _log.exception("%s %s failed", self.method, self.path)
            answer, headers = refused(translated(Internal(), "", 0, {}))
        await respond(send, answer, headers)
        self.meter.count(answer.status, surroundings.timer() - began)

    async def _answer(
        self, surroundings: Surroundings, scope: Scope, receive: Receive, path: dict[str, str]
    ) -> tuple[Answer, Headers]:
        authorization = media = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"content-type":
                media = value
        principal = await prove(surroundings.context, authorization, lambda: surroundings.caller(scope).address)
        raw = await read_all(scope, receive)
        if self.scope == "admin" and principal.key.scope != "admin":
            raise ScopeMissing
        given = raw if self.method == "POST" and media[: len(FORM)].lower() == FORM else b""
        query = scope["query_string"]
        call = Call(surroundings, principal, scope, path, pairs(query) if query else {}, pairs(given))
        reply = await self.handler(call)
        return Answer(reply.status, b"" if reply.value is None else _encoder.encode(reply.value)), _HEADERS


async def prove(context: Context, authorization: bytes, client: Callable[[], str]) -> Principal:
    """Who calls, by Basic `SK…:secret` or `AC…:auth token`."""
    kind, _, rest = authorization.partition(b" ")
    if kind.lower() != b"basic":
        raise Unauthenticated
    try:
        name, _, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated from None
    if len(secret) > SECRET_LENGTH:
        raise Unauthenticated
    if name.startswith("AC"):
        return await prove_auth_token(context, name, secret, client)
    return await prove_key(context, name, secret, client)


def pairs(raw: bytes) -> dict[str, str]:
    """The parameters of a form or a query; of one that stands twice the last counts."""
    if not raw:
        return {}
    parts = raw.split(b"&", FIELDS + 1)
    if len(parts) > FIELDS:
        raise TwilioError(20422, "Too many parameters")
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition(b"=")
        if name:
            found[_text(name, "")] = _text(value, name.decode("latin-1"))
    return found


def _text(raw: bytes, parameter: str) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise wrong(parameter[:64], "It is no UTF-8.") from None
    if "\0" in text:
        raise wrong(parameter[:64], "It holds a NUL character.")
    return text


def base_of(surroundings: Surroundings, scope: Scope) -> str:
    """`OTPOST_PUBLIC_URL`, or else the address that the caller used."""
    if surroundings.public_url is not None:
        return surroundings.public_url.rstrip("/")
    return surroundings.caller(scope).base


def resource_of(scope: Scope) -> str:
    """A path as Twilio's 404 names it: without the version of Verify."""
    path: str = scope["path"]
    return path.removeprefix(VERSION)[:500] or "/"


def refused(error: TwilioError) -> tuple[Answer, Headers]:
    """An error as it goes over the wire."""
    headers = _HEADERS
    if error.retry_after_s is not None:
        headers = [*headers, (b"retry-after", str(error.retry_after_s).encode())]
    if error.limit is not None:
        headers = [*headers, (b"twilio-reached-rate-limit", error.limit.encode("ascii", "replace"))]
    if error.status == 401:
        headers = [*headers, _CHALLENGE]
    body: ErrorBody = error.body()
    return Answer(error.status, _encoder.encode(body)), headers

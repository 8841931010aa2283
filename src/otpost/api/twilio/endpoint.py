"""The Twilio dialect: Basic credentials, forms, and Twilio's own errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from otpost.api import endpoint
from otpost.api.endpoint import Surroundings, read_credentials
from otpost.api.twilio.errors import TwilioError, missing, not_found, translate, wrong
from otpost.api.wire import JSON, NO_STORE, Headers, encode_json
from otpost.domain.application import Application
from otpost.domain.errors import NotFound, Refusal, Unauthenticated
from otpost.services.idempotency import Answer
from otpost.services.tenants.applications import read_application
from otpost.services.tenants.keys import Principal, prove_key
from otpost.services.tenants.tenants import prove_auth_token

VERSION = "/v2"
FORM = b"application/x-www-form-urlencoded"
FIELDS = 200
SECRET_LENGTH = 200
SCHEMES = (b"basic",)

_CHALLENGE = (b"www-authenticate", b'Basic realm="otpost"')
_TRUE_OR_FALSE = {"true": True, "false": False}


@dataclass(slots=True)
class Call(endpoint.Call):
    """A call with its query and its form, decoded.

    `base` is the address of this installation as the caller knows it, without a slash at its end.
    """

    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """`OTPOST_PUBLIC_URL`, or else the address that the caller used."""
        if self.surroundings.public_url is not None:
            return self.surroundings.public_url.rstrip("/")
        return self.surroundings.caller(self.scope).base

    async def read_service(self, name: str = "ServiceSid") -> Application:
        """The application that the path names; Twilio's 404 for another tenant's, a deleted one, another key's."""
        sid, own = self.path[name], self.principal.key.application
        if own not in (None, sid):
            raise NotFound
        return await read_application(self.context, self.tenant, sid)

    def refuse_path(self) -> NoReturn:
        """Twilio's 404 for the path of this call."""
        raise not_found(name_resource(self.scope))

    def require(self, name: str) -> str:
        """A form parameter that has to be there and not blank."""
        value = self.form.get(name)
        if value is None or not value.strip():
            raise missing(name)
        return value

    def read_flag(self, name: str) -> bool | None:
        """A truth value of the form; None if it is not there."""
        text = self.form.get(name)
        if text is None:
            return None
        value = _TRUE_OR_FALSE.get(text.strip().lower())
        if value is None:
            raise wrong(name, "Send true or false.")
        return value

    def read_whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number of the form within a range; None if it is not there."""
        text = self.form.get(name)
        if text is None:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else least - 1
        if not least <= number <= most:
            raise wrong(name, f"Send a whole number from {least} to {most}.")
        return number


@dataclass(frozen=True)
class Endpoint(endpoint.Endpoint[Call]):
    """One method of one path of Twilio's, and who may call it.

    `path` is as in Twilio's own description: `/v2/Services/{ServiceSid}/Verifications`. `numbers` are those of our
    refusals, and of what is wrong with a field by its name or the rule, where they differ from the table.
    """

    refusals = (Refusal, TwilioError)

    scope: Literal["verify", "admin"] = "verify"
    numbers: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def prove(surroundings: Surroundings, authorization: bytes, client: Callable[[], str]) -> Awaitable[Principal]:
        """Who calls, by Basic `SK…:secret` or `AC…:auth token`."""
        name, secret = read_credentials(authorization, SCHEMES)
        if len(secret) > SECRET_LENGTH:
            raise Unauthenticated
        if name.startswith("AC"):
            return prove_auth_token(surroundings.context, name, secret, client)
        return prove_key(surroundings.context, surroundings.key_uses, name, secret, client)

    def begin(
        self,
        surroundings: Surroundings,
        principal: Principal,
        scope: Scope,
        path: dict[str, str],
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> Call:
        return Call(surroundings, principal, scope, path)

    def read(self, call: Call, headers: dict[bytes, bytes], body: bytes) -> None:
        if query := call.scope["query_string"]:
            call.query = read_pairs(query)
        if self.method == "POST" and headers.get(b"content-type", b"")[: len(FORM)].lower() == FORM:
            call.form = read_pairs(body)

    def refuse(self, error: Exception, scope: Scope, now: int) -> tuple[Answer, Headers]:
        if isinstance(error, Refusal):
            error = translate(error, name_resource(scope), now, self.numbers)
        assert isinstance(error, TwilioError)
        return write_error(error)


def read_pairs(raw: bytes) -> dict[str, str]:
    """The parameters of a form or a query; of one that stands twice the last counts."""
    if not raw:
        return {}
    parts = raw.split(b"&", FIELDS + 1)
    if len(parts) > FIELDS:
        raise TwilioError(20422, "Too many parameters")
    pairs: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition(b"=")
        if name:
            pairs[_text(name, "")] = _text(value, name.decode("latin-1"))
    return pairs


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


def name_resource(scope: Scope) -> str:
    """A path as Twilio's 404 names it: without the version of Verify."""
    path: str = scope["path"]
    return path.removeprefix(VERSION)[:500] or "/"


def write_error(error: TwilioError) -> tuple[Answer, Headers]:
    """An error as it goes over the wire."""
    headers = [JSON, NO_STORE]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if error.limit is not None:
        headers.append((b"twilio-reached-rate-limit", error.limit.encode("ascii", "replace")))
    if error.status == 401:
        headers.append(_CHALLENGE)
    return Answer(error.status, encode_json(error.body())), headers

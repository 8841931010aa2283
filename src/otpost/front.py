"""What every request is given before anything else, and every answer carries: an id, and HSTS over https."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from otpost.address import Network, read_caller
from otpost.api.problems import Internal
from otpost.api.wire import respond, write_problem
from otpost.server import Asgi, Message
from otpost.telemetry import REQUEST_ID

STRICT: Final = (b"strict-transport-security", b"max-age=31536000")

_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_log = logging.getLogger(__name__)


def new_request_id() -> str:
    return secrets.token_hex(8)


class Front:
    """The application as the server calls it.

    A request keeps the id that it brings in `X-Request-Id`, or gets one; it stands in every line of the log that the
    request leads to, in problems, and in the answer. What the application lets through unanswered is a fault of ours.
    """

    def __init__(
        self,
        asgi: Asgi,
        public_url: str | None,
        trusted_proxies: Sequence[Network],
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        self._asgi = asgi
        self._public_url = public_url
        self._strict = public_url is not None and urlsplit(public_url).scheme == "https"
        self._trusted = trusted_proxies
        self._new_id = new_id

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self._asgi(scope, receive, send)
            return
        request_id = self._id_of(scope)
        REQUEST_ID.set(request_id)
        more = [(b"x-request-id", request_id.encode())]
        if self._strict and self._secure(scope):
            more.append(STRICT)
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        try:
            await self._asgi(scope, receive, answer)
        except Exception:
            if begun:
                raise
            _log.exception("%s failed before it was answered", scope["method"])
            await respond(answer, *write_problem(Internal(), 0))

    def _id_of(self, scope: Message) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _ID.fullmatch(value):
                return str(value.decode())
        return self._new_id()

    def _secure(self, scope: Message) -> bool:
        client = scope.get("client")
        peer = client[0] if client else None
        return read_caller(peer, scope["scheme"], scope["headers"], self._public_url, self._trusted).secure

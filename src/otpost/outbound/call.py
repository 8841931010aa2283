"""One request on its way out: what the guard and the writer saw of it, and what its failure means."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

import aiohttp

from otpost.outbound.condition import CONDITION
from otpost.outbound.failures import AnswerLost, NotConnected, OutboundRefused


class Call:
    """What became of one request on its way out, as far as the guard and the writer saw it."""

    __slots__ = ("condition", "host", "plain", "refused", "tried", "written")

    def __init__(self, host: str, plain: bool) -> None:
        self.condition = CONDITION.get()
        self.host = host
        self.plain = plain
        self.refused: str | None = None
        self.tried = False
        self.written = False


# The connector and the request meet their call here: aiohttp hands neither of them anything of ours, and both
# run in the caller's task or in tasks that copy its context.
CALL: Final[ContextVar[Call]] = ContextVar("otpost.outbound.call")


def read_failure(exc: Exception, call: Call, total_s: float | None) -> Exception:
    """What a failed call means, in our words: the text of aiohttp's errors may hold the URL with its query."""
    host = call.host
    if call.written:
        if isinstance(exc, TimeoutError):
            return AnswerLost(f"{host} did not answer within {total_s:g} s.")
        return lose_answer(host)
    if call.refused is not None and not call.tried:
        return OutboundRefused(call.refused)
    match exc:
        case aiohttp.InvalidURL():
            return OutboundRefused(f"{host} is not an address that can be called.")
        case aiohttp.ClientHttpProxyError():
            return NotConnected(f"The proxy would not connect to {host}: it answered {exc.status}.")
        case aiohttp.ClientProxyConnectionError():
            return NotConnected(f"The proxy could not be reached: {_cause(exc)}.")
        case aiohttp.ClientConnectorDNSError():
            return NotConnected(f"The name {host} could not be looked up: {_cause(exc)}.")
        case aiohttp.ClientConnectorCertificateError():
            return NotConnected(f"The certificate of {host} could not be verified: {_cause(exc)}.")
        case aiohttp.ClientConnectorSSLError():
            return NotConnected(f"No TLS connection to {host} could be made: {_cause(exc)}.")
        case aiohttp.ClientConnectorError():
            return NotConnected(f"{host} could not be connected to: {_cause(exc)}.")
        case TimeoutError():
            return NotConnected(f"{host} could not be connected to in time.")
        case aiohttp.ClientError() | OSError() | RuntimeError():
            return NotConnected(f"{host} could not be connected to.")
        case _:
            return OutboundRefused(f"The request to {host} cannot be sent: a header or the method holds a line break.")


def lose_answer(host: str) -> AnswerLost:
    return AnswerLost(f"The connection to {host} was lost before the whole answer had come.")


def _cause(exc: Exception) -> str:
    cause = exc.__cause__
    words = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or type(cause or exc).__name__
    return str(words).rstrip(".")

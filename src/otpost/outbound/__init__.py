"""The one door to the network: which addresses may be called, for how long, and whether a failed request got out."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from aiohttp import hdrs
from yarl import URL

from otpost import __version__
from otpost.address import lies_in, read_address
from otpost.outbound.call import CALL, Call, lose_answer, read_failure
from otpost.outbound.condition import Condition, only_while
from otpost.outbound.failures import AnswerLost, NotConnected, OutboundRefused
from otpost.outbound.networks import is_public

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver, AbstractStreamWriter
    from aiohttp.connector import AddrInfoType, Connection

__all__ = [
    "AnswerLost",
    "Condition",
    "NotConnected",
    "Outbound",
    "OutboundRefused",
    "Response",
    "is_public",
    "only_while",
    "trusting",
]

BODY_LIMIT: Final = 1024 * 1024
# Servers commonly drop an idle connection after 20 to 75 s. Below that it is we who drop it, so that a POST seldom
# meets a connection that the other side is just closing, which would leave its fate unknown.
KEEPALIVE_S: Final = 15.0
# Long enough for a burst of new connections to share one look-up, short enough to follow a name that moves.
# The guard does not rest on it: an address is judged when it is connected to, wherever it came from.
DNS_CACHE_S: Final = 5
LOOK_UP_S: Final = 2.0
_TARGETS_KEPT: Final = 512
_ALWAYS_SENT: Final = {
    hdrs.ACCEPT: "*/*",
    hdrs.ACCEPT_ENCODING: "identity",
    hdrs.USER_AGENT: f"otpost/{__version__}",
}
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f]")


class Response(msgspec.Struct, frozen=True):
    """What the other side answered: `headers` are case-insensitive, `body` is at most 1 MiB, as it came.

    The body may hold the text of a message, so `repr` shows its length alone.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class _Target(msgspec.Struct, frozen=True):
    """A URL once read: `refused` is why it may not be called at all, `literal` that its host is an address."""

    url: URL
    host: str
    port: int
    plain: bool
    literal: bool
    refused: str | None


class _RefusedAddress(OSError):
    """An OSError, so that the connector goes on to the next address of the name."""


class _Request(aiohttp.ClientRequest):
    """Notes the moment after which the other side may have read something."""

    DEFAULT_HEADERS = _ALWAYS_SENT

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        call = CALL.get()
        if call.written:
            # aiohttp repeats a GET whose connection broke; a gateway may take a GET as an order to send a text.
            raise lose_answer(call.host)
        if call.condition is not None:
            call.condition.judge(call.host)
        call.written = True
        try:
            return await super().send(conn)
        except ValueError:
            call.written = False  # headers are checked before the first byte goes out
            raise

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        call = CALL.get()
        if call.condition is not None:
            # The head was only kept to go out with the body, and the loop has been elsewhere since.
            try:
                call.condition.judge(call.host)
            except NotConnected as late:
                call.written = False
                if conn.protocol is not None:
                    conn.protocol.set_exception(late)
                conn.close()
                return
        await super().write_bytes(writer, conn, content_length)


class Outbound:
    """Makes every outgoing request: https to public addresses, or https and http to the addresses in `allow`.

    The address that is really connected to is judged. Redirects are answers like others and never followed. Nothing
    is sent twice. With a `proxy` it is the proxy that is connected to, which is the operator's choice and not judged:
    literal addresses of targets are still judged, but names are left to the proxy, always over https.

    `connections` is the most that are open at once; `connect_s` limits each attempt to connect, TLS included, and
    `total_s` the whole call with its wait for a free connection, look-up and answer. `resolver` looks names up.
    """

    def __init__(
        self,
        *,
        allow: Sequence[IPv4Network | IPv6Network] = (),
        proxy: str | None = None,
        connections: int = 1024,
        connect_s: float = 5.0,
        total_s: float = 10.0,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._proxy = _proxy_url(proxy) if proxy else None
        self._connections = connections
        self._connect_s = connect_s
        self._total_s = total_s
        self._timeout = _timeout(connect_s, total_s)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._targets: dict[str, _Target] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes | None = None,
        connect_s: float | None = None,
        total_s: float | None = None,
        ca: str | None = None,
    ) -> Response:
        """Sends one request and reads its whole answer, whatever its status; times in seconds.

        `ca` are the certificates (PEM) of the only authorities trusted for this call; None leaves it to the system.

        Raises OutboundRefused, NotConnected or AnswerLost, none of which shows more of the URL than its host.
        """
        target = self._targets.get(url) or self._target(url)
        if target.refused is not None:
            raise OutboundRefused(target.refused)
        trusted = True if ca is None else trusting(ca)
        call = Call(target.host, target.plain)
        CALL.set(call)
        if connect_s is None and total_s is None:
            timeout = self._timeout
        else:
            timeout = _timeout(
                self._connect_s if connect_s is None else connect_s, self._total_s if total_s is None else total_s
            )
        failure: Exception
        try:
            session = self._session or self._open_session()
            answer = await session.request(
                method, target.url, headers=headers, data=body, allow_redirects=False, timeout=timeout, ssl=trusted
            )
            return Response(answer.status, answer.headers, await _read(answer, call.host))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or task is None or task.cancelling():
                raise
            # `close` cancels those that wait for a connection, without a cancellation of their task.
            failure = lose_answer(call.host) if call.written else NotConnected("Otpost is stopping.")
        # A RuntimeError is how the connector meets a name without a single address, and a session that is closed.
        except NotConnected as late:
            failure = NotConnected(late.reason)
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as exc:
            failure = read_failure(exc, call, timeout.total)
        # Outside of the handler, so that no traceback leads to aiohttp's errors: they show the URL with its query.
        raise failure

    async def judge(self, url: str) -> str | None:
        """Judges a URL of the settings: None if it may be called, else a sentence that says what to change.

        Connects to nothing. A name is looked up for at most 2 s; one that leads nowhere yet is not refused.
        """
        target = self._target(url)
        if target.refused is not None or target.literal or self._proxy is not None:
            return target.refused
        resolver = self._resolver or aiohttp.ThreadedResolver()
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await resolver.resolve(target.host, target.port, socket.AF_UNSPEC)
        except (OSError, ValueError):
            return None
        reasons = [self._address_refused(result["host"], target.plain, target.host) for result in found]
        return reasons[0] if reasons and all(reasons) else None

    async def close(self) -> None:
        """Closes all connections; requests under way end as NotConnected or AnswerLost."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("closed")
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=DNS_CACHE_S,
            resolver=self._resolver or aiohttp.ThreadedResolver(),
            socket_factory=self._open_socket if self._proxy is None else None,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request,
            auto_decompress=False,
            trust_env=False,
            proxy=self._proxy,
        )
        return self._session

    def _open_socket(self, addr_info: AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = addr_info
        call = CALL.get()
        refused = self._address_refused(str(address[0]), call.plain, call.host)
        if refused is not None:
            call.refused = refused
            raise _RefusedAddress(errno.EACCES, "refused by the outbound guard")
        call.tried = True
        return socket.socket(family, kind, proto)

    def _address_refused(self, address: str, plain: bool, host: str) -> str | None:
        ip = read_address(address)
        if ip is None:
            return f"{host} does not lead to an address; correct it, or name its network in OTPOST_OUTBOUND_ALLOW."
        if lies_in(ip, self._allow):
            return None
        what = host if host == str(ip) else f"{host} leads to {ip}, which"
        if not is_public(ip):
            return (
                f"{what} is not a public address; use a public one, "
                "or have the operator add it to OTPOST_OUTBOUND_ALLOW."
            )
        if plain:
            return f"{what} may only be called with https://; http:// is for addresses in OTPOST_OUTBOUND_ALLOW."
        return None

    def _target(self, url: str) -> _Target:
        target = self._read_url(url)
        # What stands in a query is a message's own, often its number or text: of no use again, and not to be kept.
        if "?" not in url:
            if len(self._targets) >= _TARGETS_KEPT:
                self._targets.clear()
            self._targets[url] = target
        return target

    def _read_url(self, text: str) -> _Target:
        try:
            # What the caller has encoded is sent as it is; other scripts are encoded, in host names as IDNA.
            url = URL(text, encoded=True) if text.isascii() else URL(text)
            host, port, scheme = url.raw_host or "", url.port or 0, url.scheme
        except ValueError:
            return _refused("This is not a web address; write it like https://api.example.com/path.")
        if _UNPRINTABLE.search(text):
            return _refused("The address holds a blank or a control character; remove it, or write it as %20.")
        if scheme not in ("https", "http"):
            return _refused("The address has to begin with https://.")
        if url.raw_user is not None or url.raw_password is not None:
            return _refused("The address holds a user name or password; put them in the fields made for them.")
        if "#" in text:
            return _refused("The address holds a fragment; remove everything from # on.")
        if not host:
            return _refused("The address names no host; write it like https://api.example.com/path.")
        if not 0 < port <= 65535:
            return _refused("The port has to be between 1 and 65535.")
        plain = scheme == "http"
        literal, refused = self._host_refused(host, plain)
        return _Target(url, host, port, plain, literal, refused)

    def _host_refused(self, host: str, plain: bool) -> tuple[bool, str | None]:
        """Whether the host is an address, and why it may not be called as far as that is plain without a look-up."""
        name = host.rstrip(".")
        try:
            ip = ip_address(host)
        except ValueError:
            pass
        else:
            return True, self._address_refused(host, plain, str(ip))
        if not _HOST.fullmatch(name):
            return True, "The host is neither a name nor an address; write it like api.example.com."
        try:
            packed = socket.inet_aton(name)
        except OSError:
            pass
        else:
            usual = IPv4Address(packed)
            return True, self._address_refused(str(usual), plain, host) or f"Write the address as {usual}."
        if name.lower() == "localhost" or name.lower().endswith(".localhost"):
            refused = self._address_refused("127.0.0.1", plain, host)
            if refused is not None and self._address_refused("::1", plain, host) is not None:
                return True, refused
        if plain and (self._proxy is not None or not self._allow):
            return False, f"{host} may only be called with https://; http:// is for addresses in OTPOST_OUTBOUND_ALLOW."
        return False, None


@lru_cache(maxsize=64)
def trusting(ca: str) -> ssl.SSLContext:
    """The context that trusts these authorities (PEM) alone, one for each PEM: connections are told apart by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError, TypeError):
        raise OutboundRefused("The authority's certificate is not one in PEM; paste it whole, BEGIN to END.") from None
    context.set_alpn_protocols(("http/1.1",))
    return context


def _refused(reason: str) -> _Target:
    return _Target(URL(), "", 0, False, True, reason)


def _proxy_url(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ValueError("OTPOST_OUTBOUND_PROXY has to be like http://proxy.example.com:3128")
    return url


def _timeout(connect_s: float, total_s: float) -> aiohttp.ClientTimeout:
    # aiohttp rounds time-outs from 5 s on up to whole seconds of its clock unless told otherwise.
    return aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s, ceil_threshold=float("inf"))


async def _read(answer: aiohttp.ClientResponse, host: str) -> bytes:
    content = answer.content
    try:
        body = await content.readany()
        while chunk := await content.readany():
            body += chunk
            if len(body) > BODY_LIMIT:
                break
        if len(body) > BODY_LIMIT:
            raise AnswerLost(f"{host} answered with more than 1 MiB.")
        return body
    except BaseException:
        answer.close()
        raise

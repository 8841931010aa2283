"""Who asks, over what, and from which page: the client's address, the scheme, and whether a form is our own."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

from starlette.types import Scope

Networks = Sequence[IPv4Network | IPv6Network]

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Asking:
    """What is known of a request before its page is.

    `address` is the client's, past the proxies that are trusted; `secure` whether its browser speaks https,
    `own` whether an unsafe request comes from a page of ours; `base` is scheme and host as it reached us.
    """

    address: str
    secure: bool
    own: bool
    base: str
    cookies: dict[str, str]


def read_asking(scope: Scope, public_url: str | None, trusted: Networks) -> Asking:
    """Judge a request by its headers. `X-Forwarded-*` are believed only from `trusted` proxies."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        joined = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {joined}" if key in headers and key != "host" else joined
    peer = scope["client"][0] if scope.get("client") else "127.0.0.1"
    forwarded = _trusted(peer, trusted)
    hosts = {headers.get("host", "").lower()}
    secure = scope.get("scheme") == "https"
    if forwarded:
        hosts |= {_last(headers.get("x-forwarded-host", "")).lower()}
        secure = secure or _last(headers.get("x-forwarded-proto", "")).lower() == "https"
    if public_url is not None:
        public = urlsplit(public_url)
        secure = secure or (public.scheme == "https" and public.netloc.lower() in hosts)
        hosts.add(public.netloc.lower())
    return Asking(
        address=_client(peer, headers.get("x-forwarded-for", ""), trusted),
        secure=secure,
        own=_own(headers.get("sec-fetch-site"), headers.get("origin"), hosts - {""}),
        base=f"{'https' if secure else 'http'}://{headers.get('host', 'localhost')}",
        cookies=_cookies(headers.get("cookie", "")),
    )


def _own(site: str | None, origin: str | None, hosts: set[str]) -> bool:
    """Both are judged; a browser always sends one of them with a form, so that neither is a refusal too."""
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    return any(_same_host(origin, host) for host in hosts)


def _same_host(origin: str, host: str) -> bool:
    try:
        given = urlsplit(origin)
        wanted = urlsplit(f"{given.scheme}://{host}")
        default = _DEFAULT_PORTS[given.scheme]
        return (given.hostname, given.port or default) == (wanted.hostname, wanted.port or default)
    except (KeyError, ValueError):
        return False


def _client(peer: str, forwarded_for: str, trusted: Networks) -> str:
    """The last address that no trusted proxy vouches for as another proxy."""
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not _trusted(address, trusted) or not _is_address(hop.strip()):
            break
        address = hop.strip()
    return address if _is_address(address) else "127.0.0.1"


def _trusted(address: str, trusted: Networks) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _last(header: str) -> str:
    return header.rsplit(",", 1)[-1].strip()


def _cookies(header: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in header.replace(", ", "; ").split(";"):
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie.load(part.strip())
        except CookieError:
            continue
        for name, morsel in cookie.items():
            found.setdefault(name, morsel.value)
    return found

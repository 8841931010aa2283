"""What is known of a request before its page is: who calls, whether the form is our own, and our cookies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.types import Scope

from otpost.address import Network, read_caller

OUR_COOKIES = ("otpost", "__Host-otpost")
"""How the names of our cookies begin; all others are left unread."""


@dataclass(frozen=True, slots=True)
class Asking:
    """`address` is the client's, past the proxies that are trusted; `secure` whether its browser speaks https,
    `own` whether an unsafe request comes from a page of ours; `base` is scheme and host as the browser has them.
    """

    address: str
    secure: bool
    own: bool
    base: str
    cookies: dict[str, str]


def read_asking(scope: Scope, public_url: str | None, trusted: Sequence[Network]) -> Asking:
    """Judge a request by its headers. `X-Forwarded-*` are believed only from `trusted` proxies."""
    client = scope.get("client")
    caller = read_caller(client[0] if client else None, scope["scheme"], scope["headers"], public_url, trusted)
    site = origin = None
    cookies = []
    for name, value in scope["headers"]:
        if name == b"sec-fetch-site":
            site = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
        elif name == b"cookie":
            cookies.append(value)
    # A browser always sends one of the two with a form, so that neither is a refusal as well.
    own = site in (None, "same-origin") and (site is not None if origin is None else caller.made(origin))
    return Asking(caller.address, caller.secure, own, caller.base, our_cookies(cookies))


def our_cookies(headers: Iterable[bytes]) -> dict[str, str]:
    """Our own cookies by name; of one that stands twice the first counts, which is the one of the longer path."""
    found: dict[str, str] = {}
    for header in headers:
        for part in header.decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name.startswith(OUR_COOKIES):
                found.setdefault(name, value)
    return found

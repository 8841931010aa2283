"""Addresses of the internet as values: how they are written, which networks hold them, and who calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]

LONGEST: Final = 100
"""Characters of an address with brackets, zone and port; what is longer is not looked at."""
NOBODY: Final = "127.0.0.1"
"""What stands for a client whose address cannot be told."""

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_CARRIERS: Final = (_MAPPED, _NAT64)
_IN_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\](?::[0-9]{1,5})?")
_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}")
_HOST: Final = re.compile(r"([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_READ: Final = frozenset({b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})


def read_address(text: str) -> Address | None:
    """An address as people and proxies write it, or None.

    With or without a port (`192.0.2.1:4711`, `[2001:db8::1]:443`), brackets, a zone (`fe80::1%eth0`). One that carries
    an IPv4 address, mapped (`::ffff:192.0.2.1`) or translated (`64:ff9b::192.0.2.1`, RFC 6052), is that IPv4 address.
    """
    text = text.strip().strip('"')
    if not text or len(text) > LONGEST:
        return None
    bracketed = _IN_BRACKETS.fullmatch(text)
    ported = _WITH_PORT.fullmatch(text)
    if bracketed is not None:
        text = bracketed[1]
    elif ported is not None:
        text = ported[1]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return plain(found) if bracketed is None or found.version == 6 else None


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, else the address itself."""
    if isinstance(address, IPv6Address) and any(address in carrier for carrier in _CARRIERS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def read_network(text: str, *, strict: bool = True) -> Network:
    """A network in the same forms, such as `10.0.0.0/8`, `[fd00::]/8` or `::ffff:10.0.0.0/104`; ValueError for none.

    `strict` refuses one whose address has bits beyond its length.
    """
    address, slash, length = text.strip().partition("/")
    found = ip_network(address.removeprefix("[").removesuffix("]").partition("%")[0] + slash + length, strict=strict)
    if isinstance(found, IPv6Network) and any(found.subnet_of(carrier) for carrier in _CARRIERS):
        return IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
    return found


def lies_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


class Caller(msgspec.Struct, frozen=True):
    """Who calls, and over what.

    `address` is the client's, past the proxies that are trusted; `secure` whether it speaks https; `host` the name
    that it called, with its port; `hosts` all the names that are ours in this call, the public one among them.
    """

    address: str
    secure: bool
    host: str
    hosts: frozenset[str]

    @property
    def base(self) -> str:
        """Scheme and host as the caller knows them."""
        return f"{'https' if self.secure else 'http'}://{self.host}"

    def made(self, origin: str) -> bool:
        """Whether a page with this origin is one of ours."""
        return any(_same_host(origin, host) for host in self.hosts)


def read_caller(
    peer: str | None, scheme: str, headers: Headers, public_url: str | None, trusted: Sequence[Network]
) -> Caller:
    """Judge a request by its connection and headers. `X-Forwarded-*` are believed only from `trusted` proxies.

    Where several proxies have written, what the outermost one that is trusted wrote counts: it saw the client.
    """
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in _READ:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found and name != b"host" else text
    seen = read_address(peer or NOBODY)
    host, secure, hosts = found.get(b"host", ""), scheme == "https", set[str]()
    if lies_in(seen, trusted):
        seen, hops = _client(seen, found.get(b"x-forwarded-for", ""), trusted)
        secure = secure or _written(found.get(b"x-forwarded-proto", ""), hops).lower() == "https"
        hosts.add(host.lower())
        host = _written(found.get(b"x-forwarded-host", ""), hops) or host
    hosts.add(host.lower())
    if public_url is not None:
        public = urlsplit(public_url)
        secure = secure or (public.scheme == "https" and public.netloc.lower() in hosts)
        hosts.add(public.netloc.lower())
    return Caller(
        address=NOBODY if seen is None else str(seen),
        secure=secure,
        host=host if _HOST.fullmatch(host) else "localhost",
        hosts=frozenset(hosts - {""}),
    )


def _client(peer: Address | None, forwarded_for: str, trusted: Sequence[Network]) -> tuple[Address | None, int]:
    """The last address that no trusted proxy vouches for as another proxy, and the hops up to it."""
    address, hops = peer, 0
    for text in reversed(forwarded_for.split(",")):
        hop = read_address(text)
        if hop is None or not lies_in(address, trusted):
            break
        address, hops = hop, hops + 1
    return address, hops


def _written(header: str, hops: int) -> str:
    """What the proxy so many hops away wrote; a proxy that replaces the header leaves only one value."""
    values = header.split(",")
    return values[-min(max(hops, 1), len(values))].strip()


def _same_host(origin: str, host: str) -> bool:
    try:
        given = urlsplit(origin)
        wanted = urlsplit(f"{given.scheme}://{host}")
        default = _DEFAULT_PORTS[given.scheme]
        return (given.hostname, given.port or default) == (wanted.hostname, wanted.port or default)
    except (KeyError, ValueError):
        return False

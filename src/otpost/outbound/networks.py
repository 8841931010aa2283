"""Which addresses belong to the public internet."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_network
from typing import Final

from otpost.address import Address, plain

_UNICAST: Final = IPv6Network("2000::/3")
# Beside what the standard library knows, whose list differs from one Python release to the next.
_RESERVED: Final = (
    "0.0.0.0/8 10.0.0.0/8 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 "  # CGNAT the last
    "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "224.0.0.0/3 "  # multicast, reserved, broadcast
    "2001::/23 "  # Teredo, benchmarking, ORCHID and other protocol assignments
    "2001:db8::/32 3fff::/20"
)
_NOT_PUBLIC: Final = tuple(ip_network(cidr) for cidr in _RESERVED.split())


def is_public(ip: Address) -> bool:
    """Whether an address belongs to the public internet, as itself and by the IPv4 address that it carries."""
    ip = plain(ip)
    if isinstance(ip, IPv6Address) and (
        ip not in _UNICAST or (ip.sixtofour is not None and not is_public(ip.sixtofour))
    ):
        return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC)

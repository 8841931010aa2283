"""Which service, account and origin send a message, and why."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Route(msgspec.Struct, frozen=True):
    """The decision for one message.

    `account_sid` names the account whose credentials are used (empty where a service has none).
    `origin` is what the phone shows: an E.164 number, a short code, an alphanumeric sender, or the SID of a
    Messaging Service (`MG…`) that picks one. `reason` is a sentence for the administrator.
    """

    service: str
    account_sid: str
    origin: str
    reason: str

    @property
    def lane(self) -> str:
        """The queue that this route shares with everything sent through the same account."""
        return f"{self.service}:{self.account_sid}"


class NoRoute(msgspec.Struct, frozen=True):
    """The policy refuses to send to this number; `reason` is a sentence for the administrator."""

    reason: str


def longest_prefix(e164: str, filters: Iterable[str]) -> str | None:
    """The longest of `filters` (`+91`, `+1876`) that `e164` begins with, or None."""
    best: str | None = None
    for dialing_code in filters:
        if e164.startswith(dialing_code) and (best is None or len(dialing_code) > len(best)):
            best = dialing_code
    return best

"""String identifiers: two letters and the 32 hex digits of a UUIDv7."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

TENANT, APPLICATION, KEY, USER = "AC", "VA", "SK", "US"
VERIFICATION, MESSAGE, ATTEMPT = "VE", "SM", "AT"
WEBHOOK, DELIVERY = "WH", "WD"
RATE_LIMIT, BUCKET, TEMPLATE, SAFE_NUMBER = "RK", "BL", "HJ", "GN"

SHORT_LENGTH = 22

_STOCK = 128
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


class Sids:
    """Makes SIDs. Those that one process makes are in order, whatever its clock does.

    They are UUIDs of version 7 with a counter of 12 bits (RFC 9562, section 6.2, method 1). The counter begins anew in
    each millisecond, in its lower half. The timestamp is moved on where the counter has run out. `clock` tells
    milliseconds since the epoch, `random` as many random bytes as it is asked for; 60 bits of a SID are random.
    """

    def __init__(self, clock: Callable[[], int], random: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random = random
        self._latest = 0
        """The first 64 bits of the SID before: its timestamp, the version, its counter."""
        self._ends: list[str] = []
        """Random digits for the next SIDs, 18 for each. To ask for them one by one would double the cost of a SID."""

    def __call__(self, prefix: str) -> str:
        """A new SID with these two letters."""
        if not self._ends:
            digits = self._random(_STOCK * 9).hex()
            self._ends = [digits[at : at + 18] for at in range(0, _STOCK * 18, 18)]
        end = self._ends.pop()
        first = self._clock() << 16 | 0x7000
        if first > self._latest:
            self._latest = first | int(end[:3], 16) & 0x7FF
        else:
            self._latest += 0xF001 if self._latest & 0xFFF == 0xFFF else 1
        return f"{prefix}{self._latest:016x}8{end[3:]}"


def is_sid(text: str, prefix: str) -> bool:
    """Whether `text` has the form of a SID that begins with `prefix`."""
    return text.startswith(prefix) and _SID.fullmatch(text) is not None


def shortened(sid: str) -> str:
    """The 22 characters that stand for a SID whose letters are known, where an address has to be short."""
    return base64.urlsafe_b64encode(bytes.fromhex(sid[2:])).decode().rstrip("=")


def lengthened(short: str, prefix: str) -> str | None:
    """The SID with these letters that `shortened` made this of; None where it made it of none."""
    if re.fullmatch(r"[A-Za-z0-9_-]{22}", short, re.ASCII) is None:
        return None
    sid = prefix + base64.urlsafe_b64decode(f"{short}==").hex()
    return sid if shortened(sid) == short else None

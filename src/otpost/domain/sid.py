"""String identifiers: two letters and the 32 hex digits of a UUIDv7."""

from __future__ import annotations

import base64
import re

TENANT, APPLICATION, KEY, USER = "AC", "VA", "SK", "US"
VERIFICATION, MESSAGE, ATTEMPT = "VE", "SM", "AT"
WEBHOOK, DELIVERY = "WH", "WD"
RATE_LIMIT, BUCKET, TEMPLATE, SAFE_NUMBER = "RK", "BL", "HJ", "GN"

SHORT_LENGTH = 22

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


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

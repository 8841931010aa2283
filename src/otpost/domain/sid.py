"""String identifiers: two letters and the 32 hex digits of a UUIDv7."""

from __future__ import annotations

import re

TENANT, APPLICATION, KEY, USER = "AC", "VA", "SK", "US"
VERIFICATION, MESSAGE, ATTEMPT = "VE", "SM", "AT"
WEBHOOK, DELIVERY = "WH", "WD"
RATE_LIMIT, BUCKET, TEMPLATE, SAFE_NUMBER = "RK", "BL", "HJ", "GN"

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


def is_sid(text: str, prefix: str) -> bool:
    """Whether `text` has the form of a SID that begins with `prefix`."""
    return text.startswith(prefix) and _SID.fullmatch(text) is not None

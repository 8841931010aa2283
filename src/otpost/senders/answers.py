"""What can be read in a service's answers: nothing in them is trusted to be there, short, or free of our secrets."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from otpost.senders.service import Account, Text

SID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_WORDS: Final = 300


def basic(account: Account) -> str:
    """The account's credentials as HTTP Basic carries them."""
    return b64encode(f"{account.sid}:{account.token.reveal()}".encode()).decode()


def json_value(body: bytes) -> Any:
    """The JSON in a body; None where there is none."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; an empty one where there is none."""
    said = json_value(body)
    return said if isinstance(said, dict) else {}


def code_of(value: object) -> int | None:
    """A code above 0, which some services write as a text."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,5}", text, re.ASCII) else None


def words(said: object, account: Account, text: Text) -> str | None:
    """The service's words at a bounded length, with neither our token nor the number, the text and its code in them."""
    if not isinstance(said, str) or not said.strip():
        return None
    token, body = account.token.reveal(), text.body
    shown = said.replace(text.to.e164, text.to.masked).replace(text.to.e164[1:], text.to.masked[1:])
    for hidden in (basic(account), body, quote_plus(body, errors="replace"), token, quote_plus(token)):
        shown = shown.replace(hidden, "…") if hidden else shown
    for digits in sorted(re.findall(r"\d{4,}", body), key=len, reverse=True):
        shown = shown.replace(digits, "…")
    shown = shown if len(shown) <= _MAX_WORDS else f"{shown[: _MAX_WORDS - 1]}…"
    return "".join(one if one.isprintable() else " " for one in shown)


def name_in(value: object, account: Account, text: Text) -> str | None:
    """A SID, status or request id, if it looks like one and gives back neither our token nor a part of the text."""
    if not isinstance(value, str) or not SID.fullmatch(value):
        return None
    return None if account.token.reveal() in value or value in text.body else value


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header, however its name is written."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, or a date, which is read against the answer's own."""
    value = (header(headers, "Retry-After") or "").strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", value, re.ASCII):
        return float(value)
    then, now = milliseconds(value), milliseconds(header(headers, "Date"))
    return max(0.0, (then - now) / 1000) if then is not None and now is not None else None


def milliseconds(date: object) -> int | None:
    """RFC 2822, as in `Thu, 24 Aug 2023 05:01:45 +0000`."""
    if not isinstance(date, str):
        return None
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

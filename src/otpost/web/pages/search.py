"""How lists are searched: a number or a part of it, or a SID, in a form whose number never stands in an address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from unicodedata import digit
from urllib.parse import urlencode

from otpost.domain.errors import FieldError
from otpost.domain.phone import NumberRefused, parse_recipient
from otpost.domain.sid import APPLICATION, MESSAGE, VERIFICATION, is_sid
from otpost.domain.text.characters import trimmed
from otpost.services.keyring import KeyRingError
from otpost.services.messages.search import Digits, find_message_named
from otpost.web.request import Visit, Wrong
from otpost.web.translation import _

ROWS: Final = 50
LONGEST: Final = 128
SEAL: Final = "searches"
SEALED: Final = "s"
FEWEST_DIGITS: Final = 3
SHORTEST_NATIONAL: Final = 7
"""From so many digits on, a zero in front is taken for the one that is dialed within a country."""
_HIDDEN: Final = re.compile(r"[•…*]+")
_INTERNATIONAL: Final = re.compile(r"[+＋]|00[1-9]\d")
_NUMBER: Final = re.compile(r"[+＋\d\s().\-/\\\u2010-\u2015\u00a0•…*]+")


@dataclass(frozen=True, slots=True)
class Search:
    """What was searched for: a whole number (`to`), a part of one, or an application.

    `jump` is the page of what was found by its SID, `nothing` that there is no such thing, `wrong` what cannot be read.
    """

    q: str
    status: str | None
    cursor: str | None
    to: str | None = None
    digits: Digits | None = None
    application: str | None = None
    jump: str = ""
    nothing: bool = False
    wrong: Wrong = field(default_factory=Wrong)
    sealed: str = ""

    @property
    def narrowed(self) -> bool:
        return bool(self.q or self.status)

    def page(self, path: str, cursor: str | None) -> str:
        """The address of the same list from another place on; what was typed stands in it sealed."""
        pairs = {SEALED: self.sealed, "status": self.status or "", "cursor": cursor or ""}
        query = urlencode({name: value for name, value in pairs.items() if value})
        return f"{path}?{query}" if query else path


def to_search(visit: Visit, path: str, statuses: Sequence[str]) -> str:
    """Where the search's form leads: what was typed is sealed, so that no number stands in an address."""
    q, status = trimmed(visit.form.get("q"))[:LONGEST], visit.form.get("status")
    return Search(q, status if status in statuses else None, None, sealed=_seal(visit, q)).page(path, None)


async def read_search(visit: Visit, statuses: Sequence[str], prefix: str) -> Search:
    """The search of a visit; a cursor or a status that makes no sense counts as none."""
    q = _opened(visit) or trimmed(visit.query.get("q"))[:LONGEST]
    status, cursor = visit.query.get("status"), visit.query.get("cursor")
    asked = Search(
        q,
        status if status in statuses else None,
        cursor if is_sid(cursor, prefix) else None,
        sealed=_seal(visit, q),
    )
    if not q:
        return asked
    if _NUMBER.fullmatch(q):
        return _by_number(asked)
    if is_sid(q, VERIFICATION):
        return replace(asked, jump=f"/verifications/{q}")
    if is_sid(q, APPLICATION):
        return replace(asked, application=q)
    message = await find_message_named(visit.context, visit.tenant, q)
    if message is None and not is_sid(q, MESSAGE):
        return replace(asked, nothing=True)
    return replace(asked, jump=f"/messages/{message or q}")


def _by_number(asked: Search) -> Search:
    """Read a number, its beginning (`+49`), its last digits, or both as the lists show them (`+49•••••••123`)."""
    q = asked.q.replace("＋", "+")
    begins = _INTERNATIONAL.match(q) is not None
    parts = ["".join(str(digit(one)) for one in part if one.isdecimal()) for part in _HIDDEN.split(q)]
    if begins and not q.startswith("+"):
        parts[0] = parts[0][2:]
    if len(parts) > 1:
        return replace(asked, digits=Digits(f"+{parts[0]}" if parts[0] else "", parts[-1]))
    digits = parts[0]
    try:
        to = parse_recipient(q if begins or q.startswith("0") else f"+{q}").e164
    except NumberRefused:
        to = None
    if begins and digits:
        return replace(asked, to=to) if to else replace(asked, digits=Digits(f"+{digits}", ""))
    if len(digits) < FEWEST_DIGITS:
        words = _(
            "Type a number, its beginning with a +, or at least its last %(fewest)s digits; or a SID.",
            fewest=FEWEST_DIGITS,
        )
        return replace(asked, wrong=Wrong([FieldError("q", "invalid_number", words)]))
    national = digits[1:] if digits.startswith("0") and len(digits) >= SHORTEST_NATIONAL else digits
    return replace(asked, digits=Digits("", national, to or ""))


def _seal(visit: Visit, q: str) -> str:
    return visit.context.keyring.seal(SEAL, q, visit.tenant) if q else ""


def _opened(visit: Visit) -> str:
    try:
        return visit.context.keyring.open(SEAL, visit.query.get(SEALED), visit.tenant).reveal()
    except (KeyRingError, ValueError):
        return ""

"""How lists are searched: a number or a SID, a status, and the page, all of it in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from otpost.domain.errors import FieldError
from otpost.domain.phone import NumberRefused, parse_recipient
from otpost.domain.sid import MESSAGE, VERIFICATION, is_sid
from otpost.domain.text.characters import trimmed
from otpost.web.visit import Visit, Wrong

ROWS = 50


@dataclass(frozen=True, slots=True)
class Search:
    """What was searched for. `jump` is the page of the SID that was typed; `wrong` what could not be read."""

    q: str
    to: str | None
    status: str | None
    cursor: str | None
    jump: str
    wrong: Wrong

    @property
    def narrowed(self) -> bool:
        return bool(self.q or self.status)

    def page(self, path: str, cursor: str | None) -> str:
        """The address of the same list from another place on."""
        pairs = {"q": self.q, "status": self.status or "", "cursor": cursor or ""}
        query = urlencode({name: value for name, value in pairs.items() if value})
        return f"{path}?{query}" if query else path


def read_search(visit: Visit, statuses: Sequence[str], prefix: str) -> Search:
    """The search of a visit; a cursor or a status that makes no sense counts as none."""
    q = trimmed(visit.query.get("q"))[:64]
    status = visit.query.get("status")
    cursor = visit.query.get("cursor")
    to, jump, wrong = None, "", []
    if is_sid(q, VERIFICATION):
        jump = f"/verifications/{q}"
    elif is_sid(q, MESSAGE):
        jump = f"/messages/{q}"
    elif q:
        try:
            to = parse_recipient(q if q.startswith(("+", "0")) else f"+{q}").e164
        except NumberRefused as refused:
            wrong.append(FieldError("q", refused.code, refused.message))
    return Search(
        q, to, status if status in statuses else None, cursor if is_sid(cursor, prefix) else None, jump, Wrong(wrong)
    )

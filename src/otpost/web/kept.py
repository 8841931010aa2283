"""A form that came after its session had ended: sealed into the page that asks for the password, and taken up then."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from otpost.domain.access import Session
from otpost.services.keyring import KeyRingError
from otpost.store.kinds import SESSIONS
from otpost.web.visit import Visit

SEAL: Final = "kept-forms"
KEPT_MS: Final = 3_600_000
LONGEST: Final = 250_000
"""Characters of a form that is kept: sealed it has to come back within what a form may have."""


class Kept(msgspec.Struct, frozen=True):
    """Whose form it is, and the room that it was sent to: its pattern, the pattern's parameters, and the address."""

    user: str
    room: str
    path: dict[str, str]
    here: str
    pairs: list[tuple[str, str]]
    until: int


async def former_session(visit: Visit) -> Session | None:
    """The session that the browser's cookie names, ended or not."""
    return None if visit.token is None else await visit.context.store.get(SESSIONS, _context(visit))


def seal(visit: Visit, user: str, room: str) -> str:
    """The visit's form, sealed for this browser; empty where it is too long to be kept."""
    pairs = [(name, value) for name in visit.form for value in visit.form.all(name)]
    kept = Kept(user, room, dict(visit.path), visit.here, pairs, visit.now + KEPT_MS)
    text = msgspec.json.encode(kept).decode()
    return visit.context.keyring.seal(SEAL, text, _context(visit)) if len(text) <= LONGEST else ""


def opened(visit: Visit, user: str) -> Kept | None:
    """The form that came along with a sign-in; None if there is none, or if it was begun by somebody else."""
    try:
        kept = msgspec.json.decode(
            visit.context.keyring.open(SEAL, visit.form.get("kept"), _context(visit)).reveal(), type=Kept
        )
    except (KeyRingError, ValueError):
        return None
    return kept if kept.user == user and visit.now < kept.until else None


def _context(visit: Visit) -> str:
    return hashlib.sha256((visit.token or "").encode()).hexdigest()

"""A form that came after its session had ended: sealed into the page that asks for the password, and taken up then."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from otpost.domain.access import Session
from otpost.services.keyring import KeyRingError
from otpost.store.kinds import SESSIONS
from otpost.web.request import Visit

SEAL: Final = "kept-forms"
KEPT_FOR_MS: Final = 3_600_000
LONGEST: Final = 250_000
"""Characters of a form that is kept: sealed it has to come back within what a form may have."""


class LateForm(msgspec.Struct, frozen=True):
    """Whose form it is, and the page that it was sent to: its pattern, the pattern's parameters, and the address."""

    user: str
    page: str
    path: dict[str, str]
    here: str
    pairs: list[tuple[str, str]]
    until: int


async def find_former_session(visit: Visit) -> Session | None:
    """The session that the browser's cookie names, ended or not."""
    return None if visit.token is None else await visit.context.store.get(SESSIONS, _session_hash(visit))


def seal(visit: Visit, user: str, page: str) -> str:
    """The visit's form, sealed for this browser; empty where it is too long to be kept."""
    pairs = [(name, value) for name in visit.form for value in visit.form.all(name)]
    form = LateForm(user, page, dict(visit.path), visit.here, pairs, visit.now + KEPT_FOR_MS)
    text = msgspec.json.encode(form).decode()
    return visit.context.keyring.seal(SEAL, text, _session_hash(visit)) if len(text) <= LONGEST else ""


def open_sealed(visit: Visit, user: str) -> LateForm | None:
    """The form that came along with a sign-in; None if there is none, or if it was begun by somebody else."""
    try:
        form = msgspec.json.decode(
            visit.context.keyring.open(SEAL, visit.form.get("kept"), _session_hash(visit)).reveal(), type=LateForm
        )
    except (KeyRingError, ValueError):
        return None
    return form if form.user == user and visit.now < form.until else None


def _session_hash(visit: Visit) -> str:
    return hashlib.sha256((visit.token or "").encode()).hexdigest()

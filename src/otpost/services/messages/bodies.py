"""What a message says: a caller's own text, sealed while it may be needed, or that of a verification."""

from __future__ import annotations

import logging
from typing import Protocol

from otpost.domain.application import Application
from otpost.domain.message import Message
from otpost.domain.verification import Verification
from otpost.services.context import Context
from otpost.services.keyring import KeyRingError
from otpost.store.kinds import APPLICATIONS, VERIFICATIONS
from otpost.store.units import Rows

SEAL = "bodies"

_log = logging.getLogger(__name__)


class Wording(Protocol):
    """What verifications say in their texts."""

    def code(self, verification: Verification) -> str:
        """The code that is right."""
        ...

    def text(self, app: Application, verification: Verification, number: int, now: int) -> str:
        """The text of the verification's send `number`, with the code in it, as it is sent now."""
        ...


def seal_body(context: Context, body: str, message_sid: str) -> str:
    """A caller's own text as it is kept."""
    return context.keyring.seal(SEAL, body, message_sid)


def body_of(context: Context, message: Message) -> str:
    """The caller's text while it is kept; empty once it is erased, and for a verification's text."""
    if message.verification is not None or message.body is None:
        return ""
    return context.keyring.open(SEAL, message.body, message.sid).reveal()


def text_of(context: Context, wording: Wording, rows: Rows, message: Message, now: int) -> str | None:
    """The text as it is sent now: rendered with its code, or the caller's own, decrypted; None where it is gone."""
    try:
        if message.verification is None:
            return body_of(context, message) or None
        verification = rows.look(VERIFICATIONS, message.verification)
        app = rows.look(APPLICATIONS, message.application)
        if verification is None or app is None:
            return None
        return wording.text(app, verification, message.number, now)
    except KeyRingError as error:
        # Everybody else's texts are claimed in the same unit.
        _log.error("the text of %s cannot be made: %s", message.sid, error)
        return None


def needle_of(context: Context, wording: Wording, rows: Rows, message: Message) -> str:
    """What a listed text must hold to be this message's; empty where nobody can tell any more."""
    try:
        if message.verification is None:
            return body_of(context, message)
        verification = rows.look(VERIFICATIONS, message.verification)
        assert verification is not None
        return wording.code(verification)
    except KeyRingError:
        return ""

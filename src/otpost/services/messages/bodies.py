"""Callers' own texts: sealed while they may be needed, opened to be sent or looked up."""

from __future__ import annotations

from otpost.domain.message import Message
from otpost.services.context import Context

SEAL = "bodies"


def body_of(context: Context, message: Message) -> str:
    """The caller's text while it is kept; empty once it is erased, and for a verification's text."""
    if message.verification is not None or message.body is None:
        return ""
    return context.keyring.open(SEAL, message.body, message.sid).reveal()

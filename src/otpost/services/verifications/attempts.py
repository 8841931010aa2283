"""The texts of verifications, each with what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from otpost.domain.errors import NotFound
from otpost.domain.message import Attempt, Message
from otpost.domain.sid import MESSAGE, is_sid
from otpost.domain.verification import Verification
from otpost.services.context import Context
from otpost.services.paging import Tenancy
from otpost.store.base import list_rows
from otpost.store.kinds import ATTEMPTS, MESSAGES, VERIFICATIONS


class Sent(NamedTuple):
    """A text of a verification, with the latest attempt to send it."""

    message: Message
    verification: Verification
    attempt: Attempt | None

    @property
    def converted(self) -> bool:
        """Whether the verification was approved, and this was the text before that."""
        return self.verification.status == "approved" and self.verification.message == self.message.sid


async def list_attempts(context: Context, messages: Iterable[Message]) -> list[Sent]:
    """The texts with what became of them."""
    rows = list(messages)
    verifications = await list_rows(context.store, VERIFICATIONS, sid=[row.verification for row in rows])
    attempts = await list_rows(context.store, ATTEMPTS, sid=[row.attempt for row in rows if row.attempt is not None])
    begun = {row.sid: row for row in verifications}
    tried = {row.sid: row for row in attempts}
    return [Sent(row, begun[row.verification or ""], tried.get(row.attempt or "")) for row in rows]


async def read_attempt(context: Context, whose: Tenancy, message_sid: str) -> Sent:
    """A text of a verification; NotFound for another's, and for a caller's own text."""
    row = await context.store.get(MESSAGES, message_sid) if is_sid(message_sid, MESSAGE) else None
    if row is None or row.verification is None or not whose.owns(row.tenant, row.application):
        raise NotFound("There is no verification's text with this SID.")
    return (await list_attempts(context, [row]))[0]

"""Messages as they are read: one with its attempts and reports, and lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otpost.domain.access import Actor
from otpost.domain.errors import NotFound
from otpost.domain.message import Attempt, Message, Report
from otpost.domain.phone import trusted
from otpost.domain.sid import MESSAGE, is_sid
from otpost.services.audit import REVEALED, record_act
from otpost.services.context import Context
from otpost.services.messages.search import Search, search_messages
from otpost.services.paging import Page, Tenancy
from otpost.store.base import list_rows
from otpost.store.kinds import (
    ATTEMPTS,
    MESSAGES,
    REPORTS,
)


async def reveal_of_message(context: Context, actor: Actor, message_sid: str) -> str:
    """The same of a message. Raises NotFound."""
    story = await read_message(context, Tenancy(actor.tenant), message_sid)
    detail = f"{trusted(story.message.to).masked} of {story.message.sid}"
    await context.store.run(record_act(context, actor, REVEALED, detail))
    return story.message.to


class MessageStory(NamedTuple):
    message: Message
    attempts: list[Attempt]
    reports: list[Report]


async def read_message(context: Context, whose: Tenancy, message_sid: str) -> MessageStory:
    """A message with its attempts and reports; NotFound for another's."""
    row = await context.store.get(MESSAGES, message_sid) if is_sid(message_sid, MESSAGE) else None
    if row is None or not whose.owns(row.tenant, row.application):
        raise NotFound("There is no message with this SID.")
    (story,) = await read_stories(context, [row])
    return story


async def list_messages(context: Context, whose: Tenancy, search: Search, *, limit: int, cursor: str | None) -> Page:
    """Messages (MessageStory), newest first."""
    page = await search_messages(context, whose, search, limit, cursor)
    return Page(await read_stories(context, page.rows), page.next)


async def read_stories(context: Context, rows: Sequence[Message]) -> list[MessageStory]:
    """Messages with the attempts and reports of each, both oldest first."""
    found = {row.sid: MessageStory(row, [], []) for row in rows}
    for attempt in await list_rows(context.store, ATTEMPTS, "sid", message=list(found)):
        found[attempt.message].attempts.append(attempt)
    reports = await list_rows(context.store, REPORTS, message=list(found))
    for report in sorted(reports, key=lambda report: report.order):
        found[report.message].reports.append(report)
    return list(found.values())

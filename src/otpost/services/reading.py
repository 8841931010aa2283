"""Pages and lists: what is read without a unit of work, and without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec
from sqlalchemy import select

from otpost.domain.application import Application
from otpost.domain.errors import NotFound, VerificationNotFound
from otpost.domain.message import Attempt, Message, Report, SandboxText
from otpost.domain.policy import Notice
from otpost.domain.sid import APPLICATION, MESSAGE, VERIFICATION, is_sid
from otpost.domain.verification import Verification
from otpost.services import reports
from otpost.services.delivery import SANDBOX_SEAL
from otpost.services.house import House
from otpost.services.lists import paging, searching
from otpost.services.lists.paging import Page, Wanted
from otpost.services.lists.searching import Search
from otpost.services.verify import UNKNOWN, Whose
from otpost.store.base import rows_of
from otpost.store.kinds import (
    APPLICATIONS,
    ATTEMPTS,
    MESSAGES,
    NOTICES,
    POLICIES,
    REPORTS,
    SANDBOX_TEXTS,
    TEMPLATES,
    VERIFICATIONS,
)

R = TypeVar("R", bound=msgspec.Struct)


class MessageStory(NamedTuple):
    message: Message
    attempts: list[Attempt]
    reports: list[Report]


class InboxText(NamedTuple):
    """A text on the sandbox phone, decrypted."""

    text: SandboxText
    body: str


async def verification(house: House, whose: Whose, verification_sid: str) -> tuple[Verification, list[MessageStory]]:
    """A verification with its messages, oldest first; VerificationNotFound for another's."""
    known = is_sid(verification_sid, VERIFICATION)
    row = await house.store.get(VERIFICATIONS, verification_sid) if known else None
    if row is None or not whose.owns(row.tenant, row.application):
        raise VerificationNotFound(UNKNOWN)
    return row, await stories(house, await house.store.find(MESSAGES, "verification", verification_sid))


async def verifications(
    house: House, whose: Whose, search: Search, *, limit: int, cursor: str | None
) -> tuple[Page, dict[str, Message]]:
    """Verifications, newest first, with the latest message of each by its SID."""
    page = await searching.verifications(house, whose, search, limit, cursor)
    sids = [row.message for row in page.rows]
    latest = await rows_of(house.store, MESSAGES, select(MESSAGES.table).where(MESSAGES.table.c.sid.in_(sids)))
    return page, {message.sid: message for message in latest}


async def latest(house: House, tenant: str, application: str, to: str) -> Verification | None:
    """The newest verification of a number in an application, whatever became of it."""
    table = VERIFICATIONS.table.c
    own = select(VERIFICATIONS.table).where(table.tenant == tenant, table.to == to, table.application == application)
    rows = await rows_of(house.store, VERIFICATIONS, own.order_by(table.sid.desc()).limit(1))
    return next(iter(rows), None)


async def message(house: House, whose: Whose, message_sid: str) -> MessageStory:
    """A message with its attempts and reports; NotFound for another's."""
    row = await house.store.get(MESSAGES, message_sid) if is_sid(message_sid, MESSAGE) else None
    if row is None or not whose.owns(row.tenant, row.application):
        raise NotFound("There is no message with this SID.")
    (story,) = await stories(house, [row])
    return story


async def messages(house: House, whose: Whose, search: Search, *, limit: int, cursor: str | None) -> Page:
    """Messages (MessageStory), newest first."""
    page = await searching.messages(house, whose, search, limit, cursor)
    return Page(await stories(house, page.rows), page.next)


async def application(house: House, tenant: str, application_sid: str) -> Application:
    """An application of the tenant; NotFound for another's."""
    row = await house.store.get(APPLICATIONS, application_sid) if is_sid(application_sid, APPLICATION) else None
    if row is None or not row.belongs_to(tenant):
        raise NotFound("There is no such application.")
    return row


async def applications(house: House, tenant: str, *, limit: int, cursor: str | None) -> Page:
    table = APPLICATIONS.table.c
    wanted = Wanted(APPLICATIONS, [table.tenant == tenant], [table.deleted_at.is_(None)])
    return await paging.page(house.store, wanted, limit, cursor)


async def templates(house: House, tenant: str, *, limit: int, cursor: str | None) -> Page:
    """The tenant's own templates (Template), newest first."""
    return await paging.page(house.store, Wanted(TEMPLATES, [TEMPLATES.table.c.tenant == tenant]), limit, cursor)


async def notices(house: House, tenant: str, public_url: str | None) -> Sequence[Notice]:
    """What stands in the way of the tenant's texts or reports now, each with a sentence and a remedy."""
    policy = await house.store.get(POLICIES, tenant)
    statement = select(NOTICES.table).where(NOTICES.table.c.tenant == tenant).order_by(NOTICES.table.c.since)
    known = reports.too_long(policy, public_url) if policy is not None else []
    return [*known, *await rows_of(house.store, NOTICES, statement)]


async def inbox(house: House, tenant: str, *, to: str | None, limit: int, cursor: str | None) -> Page:
    """The sandbox phone's texts (InboxText), newest first; NotFound unless the sandbox is the chosen service."""
    await sandbox_chosen(house, tenant)
    table = SANDBOX_TEXTS.table.c
    wanted = Wanted(SANDBOX_TEXTS, [table.tenant == tenant], [] if to is None else [table.to == to])
    page = await paging.page(house.store, wanted, limit, cursor)
    return Page(
        [InboxText(row, house.ring.open(SANDBOX_SEAL, row.body, row.sid).reveal()) for row in page.rows], page.next
    )


async def sandbox_chosen(house: House, tenant: str) -> None:
    """NotFound unless the sandbox is the tenant's sender service."""
    policy = await house.store.get(POLICIES, tenant)
    if policy is None or policy.sender_service != "sandbox":
        raise NotFound("The sandbox phone is there only while the sandbox is the chosen sender service.")


async def stories(house: House, rows: Sequence[Message]) -> list[MessageStory]:
    """Messages with the attempts and reports of each, both oldest first."""
    found = {row.sid: MessageStory(row, [], []) for row in rows}
    attempts = select(ATTEMPTS.table).where(ATTEMPTS.table.c.message.in_(list(found))).order_by("sid")
    for attempt in await rows_of(house.store, ATTEMPTS, attempts):
        found[attempt.message].attempts.append(attempt)
    reports = select(REPORTS.table).where(REPORTS.table.c.message.in_(list(found)))
    for report in sorted(await rows_of(house.store, REPORTS, reports), key=lambda report: report.order):
        found[report.message].reports.append(report)
    return list(found.values())

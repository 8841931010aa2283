"""The sandbox phone: the texts that it received, sealed in the database and opened for its inbox."""

from __future__ import annotations

from typing import NamedTuple

from otpost.domain.errors import NotFound
from otpost.domain.message import SandboxText
from otpost.services.context import Context
from otpost.services.paging import Page, Wanted, read_page
from otpost.store.base import erase_rows
from otpost.store.kinds import (
    POLICIES,
    SANDBOX_TEXTS,
)


async def empty_sandbox(context: Context, tenant: str) -> None:
    """Take all texts off the sandbox phone. Raises NotFound unless the sandbox is the chosen service."""
    await require_sandbox(context, tenant)
    await erase_rows(context.store, SANDBOX_TEXTS, tenant=tenant)


class InboxText(NamedTuple):
    """A text on the sandbox phone, decrypted."""

    text: SandboxText
    body: str


async def list_inbox(context: Context, tenant: str, *, to: str | None, limit: int, cursor: str | None) -> Page:
    """The sandbox phone's texts (InboxText), newest first; NotFound unless the sandbox is the chosen service."""
    await require_sandbox(context, tenant)
    table = SANDBOX_TEXTS.table.c
    wanted = Wanted(SANDBOX_TEXTS, [table.tenant == tenant], [] if to is None else [table.to == to])
    page = await read_page(context.store, wanted, limit, cursor)
    return Page(
        [InboxText(row, context.keyring.open(SANDBOX_SEAL, row.body, row.sid).reveal()) for row in page.rows], page.next
    )


async def require_sandbox(context: Context, tenant: str) -> None:
    """NotFound unless the sandbox is the tenant's sender service."""
    policy = await context.store.get(POLICIES, tenant)
    if policy is None or policy.sender_service != "sandbox":
        raise NotFound("The sandbox phone is there only while the sandbox is the chosen sender service.")


SANDBOX_SEAL = "sandbox"

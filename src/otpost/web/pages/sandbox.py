"""The sandbox phone: texts as they would have arrived, in threads by number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from otpost.domain.errors import NotFound
from otpost.services import paging
from otpost.services.policy.sandbox import InboxText, empty_sandbox, list_inbox
from otpost.web.request import Page, Visit
from otpost.web.translation import _

TEXTS: Final = 200
_CODE: Final = re.compile(r"(?<!\d)\d{4,10}(?!\d)")


@dataclass(frozen=True, slots=True)
class Bubble:
    """One text; `code` is the digits in it that look like a code, with what stands before and after."""

    sid: str
    at: int
    before: str
    code: str
    after: str


@dataclass(frozen=True, slots=True)
class Thread:
    """The texts of one number, newest first."""

    to: str
    bubbles: list[Bubble]


async def phone(visit: Visit) -> Response:
    try:
        page = await _inbox(visit)
    except NotFound:
        return await visit.page("sandbox_off.html")
    return await visit.page("sandbox.html", threads=_threads(page.rows), seen=_newest(page), more=page.next is not None)


async def threads(visit: Visit) -> Response:
    """The threads alone; 204 while nothing has come since `seen`, so that the page stays as it is."""
    try:
        page = await _inbox(visit)
    except NotFound:
        return visit.go("/sandbox")
    if visit.query.get("seen") == _newest(page):
        return Response(status_code=204)
    return visit.fragment(
        "sandbox_threads.html",
        threads=_threads(page.rows),
        seen=_newest(page),
        more=page.next is not None,
        arrived=bool(page.rows),
    )


async def empty(visit: Visit) -> Response:
    await empty_sandbox(visit.context, visit.tenant)
    return visit.go("/sandbox", flash=_("The sandbox phone is empty now."))


async def _inbox(visit: Visit) -> paging.Page:
    return await list_inbox(visit.context, visit.tenant, to=None, limit=TEXTS, cursor=None)


def _newest(page: paging.Page) -> str:
    return page.rows[0].text.sid if page.rows else "none"


def _threads(texts: list[InboxText]) -> list[Thread]:
    by_number: dict[str, Thread] = {}
    for text, body in texts:
        by_number.setdefault(text.to, Thread(text.to, [])).bubbles.append(_bubble(text.sid, text.received_at, body))
    return list(by_number.values())


def _bubble(sid: str, at: int, body: str) -> Bubble:
    code = _CODE.search(body)
    if code is None:
        return Bubble(sid, at, body, "", "")
    return Bubble(sid, at, body[: code.start()], code[0], body[code.end() :])


PAGES: Final[tuple[Page, ...]] = (
    Page("/sandbox", get=phone, entry="sandbox"),
    Page("/sandbox/threads", get=threads, entry="sandbox"),
    Page("/sandbox/empty", post=empty, entry="sandbox"),
)

"""The list of verifications, and each one's timeline."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from otpost.domain.message import Message
from otpost.domain.sid import VERIFICATION
from otpost.domain.verification import Verification
from otpost.services import paging
from otpost.services.messages.search import Search
from otpost.services.paging import Tenancy
from otpost.services.tenants.applications import application_names
from otpost.services.verifications.read import list_verifications, read_verification, reveal_of_verification
from otpost.web.pages.search import ROWS, read_search, to_search
from otpost.web.request import Page, Visit
from otpost.web.timeline import Line, is_live, of_verification

STATUSES: Final = ("pending", "approved", "expired", "max_attempts_reached", "canceled")


async def listing(visit: Visit) -> Response:
    asked = await read_search(visit, STATUSES, VERIFICATION)
    if asked.jump:
        return visit.go(asked.jump)
    page, latest = paging.Page([], None), dict[str, Message]()
    if not asked.wrong and not asked.nothing:
        page, latest = await list_verifications(
            visit.context,
            Tenancy(visit.tenant),
            Search(asked.to, asked.status, asked.application, digits=asked.digits),
            limit=ROWS,
            cursor=asked.cursor,
        )
    return await visit.page(
        "verifications.html",
        422 if asked.wrong else 200,
        asked=asked,
        page=page,
        latest=latest,
        statuses=STATUSES,
        names=await application_names(visit.context, visit.tenant),
        now=visit.now,
    )


async def search(visit: Visit) -> Response:
    """Lead to the list that the search's form asks for."""
    return visit.go(to_search(visit, "/verifications", STATUSES))


async def one(visit: Visit) -> Response:
    row, lines, live = await _story(visit)
    return await visit.page(
        "verification.html",
        row=row,
        lines=lines,
        live=live,
        number=visit.once("number"),
        names=await application_names(visit.context, visit.tenant),
        now=visit.now,
    )


async def reveal(visit: Visit) -> Response:
    """Show the number for one view, after an audit line was written."""
    number = await reveal_of_verification(visit.context, visit.actor, visit.path["sid"])
    if visit.htmx:
        return visit.fragment("number.html", number=number, masked="", where="")
    return visit.go(f"/verifications/{visit.path['sid']}", once={"number": number})


async def lines(visit: Visit) -> Response:
    """The timeline alone, for the page that looks again."""
    row, lines, live = await _story(visit)
    return visit.fragment("verification_timeline.html", row=row, lines=lines, live=live, now=visit.now)


async def _story(visit: Visit) -> tuple[Verification, list[Line], bool]:
    row, stories = await read_verification(visit.context, Tenancy(visit.tenant), visit.path["sid"])
    live = is_live([story.message for story in stories], visit.now, pending=row.is_pending(visit.now))
    return row, of_verification(row, stories, visit.now), live


PAGES: Final[tuple[Page, ...]] = (
    Page("/verifications", get=listing, post=search, entry="verifications"),
    Page("/verifications/{sid}", get=one, entry="verifications"),
    Page("/verifications/{sid}/timeline", get=lines, entry="verifications"),
    Page("/verifications/{sid}/reveal", post=reveal, entry="verifications"),
)

"""The list of messages, and each one's timeline."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from otpost.domain.message import Message
from otpost.domain.sid import MESSAGE
from otpost.services import paging
from otpost.services.messages.read import list_messages, read_message, reveal_of_message
from otpost.services.messages.search import Search
from otpost.services.paging import Tenancy
from otpost.services.tenants.applications import application_names
from otpost.web.pages.overview import MESSAGE_STATUSES
from otpost.web.pages.search import ROWS, read_search, to_search
from otpost.web.request import Page, Visit
from otpost.web.timeline import Line, is_live, of_message, route_words


async def listing(visit: Visit) -> Response:
    asked = await read_search(visit, MESSAGE_STATUSES, MESSAGE)
    if asked.jump:
        return visit.go(asked.jump)
    page = paging.Page([], None)
    if not asked.wrong and not asked.nothing:
        page = await list_messages(
            visit.context,
            Tenancy(visit.tenant),
            Search(asked.to, asked.status, asked.application, digits=asked.digits),
            limit=ROWS,
            cursor=asked.cursor,
        )
    return await visit.page(
        "messages.html",
        422 if asked.wrong else 200,
        asked=asked,
        page=page,
        statuses=MESSAGE_STATUSES,
        names=await application_names(visit.context, visit.tenant),
        route=route_words,
    )


async def search(visit: Visit) -> Response:
    """Lead to the list that the search's form asks for."""
    return visit.go(to_search(visit, "/messages", MESSAGE_STATUSES))


async def one(visit: Visit) -> Response:
    row, lines, live = await _story(visit)
    return await visit.page(
        "message.html",
        row=row,
        lines=lines,
        live=live,
        number=visit.once("number"),
        names=await application_names(visit.context, visit.tenant),
        route=route_words(row),
    )


async def reveal(visit: Visit) -> Response:
    """Show the number for one view, after an audit line was written."""
    number = await reveal_of_message(visit.context, visit.actor, visit.path["sid"])
    if visit.htmx:
        return visit.fragment("number.html", number=number, masked="", where="")
    return visit.go(f"/messages/{visit.path['sid']}", once={"number": number})


async def lines(visit: Visit) -> Response:
    """The timeline alone, for pages that look again."""
    row, lines, live = await _story(visit)
    return visit.fragment("message_timeline.html", row=row, lines=lines, live=live)


async def _story(visit: Visit) -> tuple[Message, list[Line], bool]:
    story = await read_message(visit.context, Tenancy(visit.tenant), visit.path["sid"])
    lines = of_message(story)
    return story.message, lines, is_live([story.message], visit.now)


PAGES: Final[tuple[Page, ...]] = (
    Page("/messages", get=listing, post=search, entry="messages"),
    Page("/messages/{sid}", get=one, entry="messages"),
    Page("/messages/{sid}/timeline", get=lines, entry="messages"),
    Page("/messages/{sid}/reveal", post=reveal, entry="messages"),
)

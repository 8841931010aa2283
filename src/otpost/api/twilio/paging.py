"""Lists as Twilio pages them: `PageSize`, `Page`, `PageToken`, and an envelope with absolute URLs.

A page follows by the key of the row next to it, not by its number, so that rows made meanwhile shift nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio.endpoint import Call
from otpost.api.twilio.errors import TwilioError
from otpost.services.paging import Wanted, read_part

T = TypeVar("T")

DEFAULT_SIZE, LARGEST_SIZE = 50, 1000
AFTER, BEFORE = "PA", "PB"


class Meta(msgspec.Struct):
    page: int
    page_size: int
    first_page_url: str
    previous_page_url: str | None
    url: str
    next_page_url: str | None
    key: str


class PageRequest(NamedTuple):
    """Which page is asked for: that after the row with the key `after`, that before `before`, or the first."""

    page: int
    size: int
    after: str | None = None
    before: str | None = None


class Page(NamedTuple):
    """One page's rows, and the keys by which its neighbours are found (None: there is none)."""

    rows: list[Any]
    next: str | None
    previous: str | None


def read_request(call: Call) -> PageRequest:
    """What the query asks for; 20007 for a page that is too large."""
    size, page = _number(call, "PageSize", DEFAULT_SIZE), _number(call, "Page", 0)
    if not 1 <= size <= LARGEST_SIZE:
        raise TwilioError(20007)
    token = call.query.get("PageToken", "")
    kind, key = token[:2], token[2:]
    if not token or page == 0:
        return PageRequest(0, size)
    if not key or kind not in (AFTER, BEFORE):
        raise TwilioError(20422, "Invalid Parameter: PageToken")
    return PageRequest(page, size, after=key) if kind == AFTER else PageRequest(page, size, before=key)


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise TwilioError(20422, f"Invalid Parameter: {name}")
    return int(text)


async def read_page(call: Call, wanted: Wanted[Any]) -> Page:
    """The rows of the page that is asked for.

    It can hold fewer than asked for, even none, and still have a next page: rare rows are looked for a part at a time.
    """
    want = read_request(call)
    upward = want.before is not None
    rows, edge = await read_part(call.context.store, wanted, want.size + 1, want.before or want.after, upward=upward)
    page = _page(rows, want, lambda row: str(getattr(row, wanted.column)))
    if len(rows) > want.size or edge is None:
        return page
    return page._replace(previous=edge) if upward else page._replace(next=edge)


def slice_page(call: Call, rows: Sequence[T], key: Callable[[T], str]) -> Page:
    """The same for rows that are all at hand, in the order of the list."""
    want, keys = read_request(call), [key(row) for row in rows]
    if want.before is not None:
        end = keys.index(want.before) if want.before in keys else 0
        return _page(list(reversed(rows[:end]))[: want.size + 1], want, key)
    begin = 0 if want.after is None else keys.index(want.after) + 1 if want.after in keys else len(keys)
    return _page(list(rows[begin : begin + want.size + 1]), want, key)


def _page(rows: list[Any], want: PageRequest, key: Callable[[Any], str]) -> Page:
    more, rows = len(rows) > want.size, rows[: want.size]
    if not rows:
        return Page([], None, None)
    if want.before is not None:
        rows.reverse()
        return Page(rows, key(rows[-1]), key(rows[0]) if more and want.page > 0 else None)
    return Page(rows, key(rows[-1]) if more else None, key(rows[0]) if want.page > 0 else None)


def reply_page(call: Call, key: str, page: Page, shapes: Iterable[Any]) -> Reply:
    """The envelope of Verify: the rows as `shapes` under `key`, and `meta`."""
    return Reply(200, {key: list(shapes), "meta": describe_page(call, key, page)})


def describe_page(call: Call, key: str, page: Page) -> Meta:
    want = read_request(call)
    first, own, following, before = write_addresses(call, page)
    base = call.base
    return Meta(
        page=want.page,
        page_size=want.size,
        first_page_url=base + first,
        previous_page_url=None if before is None else base + before,
        url=base + own,
        next_page_url=None if following is None else base + following,
        key=key,
    )


def write_addresses(call: Call, page: Page) -> tuple[str, str, str | None, str | None]:
    """The first page's path with its query, this one's, the next one's and the previous one's."""
    want = read_request(call)
    own = call.query.get("PageToken") if want.page else None
    return (
        _address(call, want.size, 0),
        _address(call, want.size, want.page, own),
        None if page.next is None else _address(call, want.size, want.page + 1, AFTER + page.next),
        None if page.previous is None else _address(call, want.size, max(0, want.page - 1), BEFORE + page.previous),
    )


def _address(call: Call, size: int, page: int, token: str | None = None) -> str:
    filters = {name: value for name, value in call.query.items() if name not in ("Page", "PageSize", "PageToken")}
    query = {**filters, "PageSize": size, "Page": page, **({} if token is None else {"PageToken": token})}
    return f"{quote(call.scope['path'], safe='/+')}?{urlencode(query)}"

"""What every list takes, and how a number, a day and a country stand in a query."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from otpost.domain.errors import NotFound, invalid
from otpost.domain.moments import DAY_MS, read_moment
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient, parse_region, region_known
from otpost.domain.sid import APPLICATION, is_sid
from otpost.services.messages.search import Search
from otpost.services.paging import Tenancy

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")

Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="How many at most, 1 to 200.")]


class ListQuery(msgspec.Struct):
    limit: Limit = 50
    cursor: str | None = None

    def at(self, *prefixes: str) -> str | None:
        """The cursor, which is the SID of the last item seen; Invalid for anything else."""
        if self.cursor and not any(is_sid(self.cursor, prefix) for prefix in prefixes):
            raise invalid("cursor", "invalid", "Use the `next` of the page before as cursor.")
        return self.cursor or None


class SearchQuery(ListQuery, rename={"since": "from"}):
    """What verifications and messages are searched by; `to` is a number, or where the time from `from` on ends."""

    to: str | None = None
    since: str | None = None
    before: str | None = None
    application: str | None = None
    country: str | None = None

    def search(self, whose: Tenancy) -> Search:
        """What is searched for; Invalid at the parameter that makes no sense, NotFound for another's application."""
        at_end = self.to is not None and _DATE.match(self.to) is not None
        if at_end and self.before is not None:
            raise invalid("before", "duplicate", "The end is given by to already; leave one of them out.")
        since = None if self.since is None else _day_or_moment(self.since, "from")
        last, field = (self.to, "to") if at_end else (self.before, "before")
        until = None if last is None else _day_or_moment(last, field, end=True)
        if since is not None and until is not None and since >= until:
            raise invalid("from", "out_of_range", f"from has to be earlier than {field}.")
        return Search(
            to=None if self.to is None or at_end else read_number(self.to, "to").e164,
            since=since,
            until=until,
            application=_application(self.application, whose),
            country=None if self.country is None else _country(self.country),
        )


def read_number(text: str, field: str, default_region: str | None = None) -> PhoneNumber:
    """A recipient's number, or Invalid at its field."""
    try:
        return parse_recipient(text, default_region)
    except NumberRefused as error:
        raise invalid(field, error.code, error.message) from None


def read_moment_at(text: str, field: str) -> int:
    """A moment, or Invalid at its field."""
    at = read_moment(text)
    if at is None:
        raise invalid(field, "invalid", f"{field} is an RFC 3339 moment, as in 2026-11-23T02:06:27Z.")
    return at


def _day_or_moment(text: str, field: str, *, end: bool = False) -> int:
    """A moment, or of a day in UTC its beginning or its `end`; Invalid at its field for anything else."""
    text = text.strip()
    is_day = _DATE.fullmatch(text) is not None
    # A plus sign that nobody escaped is a blank.
    at = read_moment(f"{text}T00:00:00Z" if is_day else text.replace(" ", "+"))
    if at is None:
        raise invalid(field, "invalid", f"{field} is a day (2026-11-23) or a moment (2026-11-23T02:06:27Z).")
    return at + DAY_MS if is_day and end else at


def _application(text: str | None, whose: Tenancy) -> str | None:
    if text is None:
        return None
    if not is_sid(text, APPLICATION):
        raise invalid("application", "invalid", f"An application's SID begins with {APPLICATION}.")
    if whose.application not in (None, text):
        raise NotFound("There is no such application.")
    return text


def _country(text: str) -> str:
    region = parse_region(text)
    if region is None or not region_known(region):
        raise invalid("country", "invalid", "Send the two letters of a country, as in DE (ISO 3166-1).")
    return region

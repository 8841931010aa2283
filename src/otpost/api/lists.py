"""What every list takes, and how a number stands in a query."""

from __future__ import annotations

from typing import Annotated

import msgspec

from otpost.domain.errors import invalid
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.sid import is_sid

Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="How many at most, 1 to 200.")]


class ListQuery(msgspec.Struct):
    limit: Limit = 50
    cursor: str | None = None

    def at(self, *prefixes: str) -> str | None:
        """The cursor, which is the SID of the last item seen; Invalid for anything else."""
        if self.cursor and not any(is_sid(self.cursor, prefix) for prefix in prefixes):
            raise invalid("cursor", "invalid", "Use the `next` of the page before as cursor.")
        return self.cursor or None


def number(text: str, field: str, default_region: str | None = None) -> PhoneNumber:
    """A recipient's number, or Invalid at its field."""
    try:
        return parse_recipient(text, default_region)
    except NumberRefused as refused:
        raise invalid(field, refused.code, refused.message) from None

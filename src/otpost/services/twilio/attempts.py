"""Which texts of verifications there were, and which of them brought the code back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, not_, select

from otpost.domain.errors import NotFound
from otpost.domain.message import Attempt, Message
from otpost.domain.phone import dialing_code_of, trusted
from otpost.domain.sid import MESSAGE, is_sid
from otpost.domain.verification import Verification
from otpost.services.house import House
from otpost.services.verify import Whose
from otpost.store.base import rows_of
from otpost.store.kinds import ATTEMPTS, MESSAGES, VERIFICATIONS


class Wanted(NamedTuple):
    """Which texts: `after` and `before` are moments that they were started between, `prefix` begins their numbers."""

    after: int | None = None
    before: int | None = None
    to: str | None = None
    prefix: str | None = None
    country: str | None = None
    application: str | None = None
    verification: str | None = None
    status: Literal["converted", "unconverted"] | None = None

    @property
    def holds(self) -> Callable[[Message], bool] | None:
        """What SQL cannot tell of a row of `statement`: the country, where several share a dialing code."""
        if self.country is None:
            return None
        return lambda message: trusted(message.to).region == self.country


class Sent(NamedTuple):
    """A text of a verification, with the latest attempt to send it."""

    message: Message
    verification: Verification
    attempt: Attempt | None

    @property
    def converted(self) -> bool:
        """Whether the verification was approved, and this was the text before that."""
        return self.verification.status == "approved" and self.verification.message == self.message.sid


class Summary(NamedTuple):
    total: int
    converted: int


def statement(whose: Whose, wanted: Wanted) -> Select[Any]:
    """The messages that are texts of verifications and are wanted, but for what `Wanted.holds` judges."""
    return select(MESSAGES.table).where(*_tests(whose, wanted))


async def summary(house: House, whose: Whose, wanted: Wanted) -> Summary:
    """How many there were, and how many of them were converted."""
    counts: list[ColumnElement[Any]] = [func.count(), func.sum(case((_converted(), 1), else_=0))]
    tests = _tests(whose, wanted)
    if wanted.holds is None:
        ((total, approved),) = await house.store.select(select(*counts).where(*tests))
        return Summary(total, approved or 0)
    to = MESSAGES.table.c.to
    by_number = select(to, *counts).where(*tests).group_by(to)
    rows = [row for row in await house.store.select(by_number) if trusted(row[0]).region == wanted.country]
    return Summary(sum(row[1] for row in rows), sum(row[2] for row in rows))


async def told(house: House, messages: Iterable[Message]) -> list[Sent]:
    """The texts with what became of them."""
    rows = list(messages)
    of, by = VERIFICATIONS.table, ATTEMPTS.table
    verifications = select(of).where(of.c.sid.in_([row.verification for row in rows]))
    attempts = select(by).where(by.c.sid.in_([row.attempt for row in rows if row.attempt is not None]))
    begun = {row.sid: row for row in await rows_of(house.store, VERIFICATIONS, verifications)}
    tried = {row.sid: row for row in await rows_of(house.store, ATTEMPTS, attempts)}
    return [Sent(row, begun[row.verification or ""], tried.get(row.attempt or "")) for row in rows]


async def one(house: House, whose: Whose, message_sid: str) -> Sent:
    """A text of a verification; NotFound for another's, and for a caller's own text."""
    row = await house.store.get(MESSAGES, message_sid) if is_sid(message_sid, MESSAGE) else None
    if row is None or row.verification is None or not whose.owns(row.tenant, row.application):
        raise NotFound("There is no verification's text with this SID.")
    return (await told(house, [row]))[0]


def _tests(whose: Whose, wanted: Wanted) -> list[ColumnElement[bool]]:
    own, of = MESSAGES.table.c, VERIFICATIONS.table.c
    tests: list[ColumnElement[bool]] = [own.tenant == whose.tenant, own.verification == of.sid]
    tests += [own.application == each for each in (whose.application, wanted.application) if each is not None]
    if wanted.after is not None:
        tests.append(own.created_at > wanted.after)
    if wanted.before is not None:
        tests.append(own.created_at < wanted.before)
    if wanted.to is not None:
        tests.append(own.to == wanted.to)
    if wanted.country is not None:
        tests.append(own.to.startswith(dialing_code_of(wanted.country)))
    if wanted.prefix is not None:
        tests.append(own.to.startswith(wanted.prefix))
    if wanted.verification is not None:
        tests.append(own.verification == wanted.verification)
    if wanted.status is not None:
        tests.append(_converted() if wanted.status == "converted" else not_(_converted()))
    return tests


def _converted() -> ColumnElement[bool]:
    own, of = MESSAGES.table.c, VERIFICATIONS.table.c
    return and_(of.status == "approved", of.message == own.sid)

"""The route explainer: for each of many numbers who sends to it, and why, without sending anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from otpost.domain.errors import FieldError
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.policy import NoRoute, Policy, closest_filter
from otpost.domain.sid import is_sid
from otpost.senders.base import SenderService, found
from otpost.senders.settings import form, load
from otpost.store.kinds import POLICIES
from otpost.web.visit import Room, Visit, Wrong

MANY: Final = 500
PICKS: Final = "MG"
"""How the SID of a Messaging Service begins, which picks a sender for each text."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One number of the list. `words` say where its text goes and why, or what is wrong with the number."""

    typed: str
    number: str
    kind: str
    words: str
    origin: str = ""

    @property
    def label(self) -> str:
        return {"sent": "Sent", "refused": "Not sent", "wrong": "Not a number"}[self.kind]

    @property
    def shows(self) -> str:
        """What the recipient's phone shows; nobody knows beforehand what a Messaging Service picks."""
        if is_sid(self.origin, PICKS):
            return "The phone shows the sender that the Messaging Service picks."
        return f"The phone shows {self.origin}." if self.origin else ""


class TooMany(Exception):
    """More numbers than are explained at once; says so in words."""


def split(text: str) -> list[str]:
    """The numbers of a list, one a line, or divided by commas or semicolons. Raises TooMany."""
    numbers = [one.strip() for one in re.split(r"[\n,;]+", text) if one.strip()]
    if len(numbers) > MANY:
        raise TooMany(f"These are {len(numbers)} numbers. Paste {MANY} at most.")
    return numbers


def explain(service: SenderService, settings: Any, numbers: list[str]) -> list[Explained]:
    """What these settings do with each number."""
    found_lines = []
    for typed in numbers:
        try:
            to = parse_recipient(typed)
        except NumberRefused as refused:
            kind = "wrong" if refused.code == "invalid_number" else "refused"
            found_lines.append(Explained(typed, typed[:40], kind, refused.message))
        else:
            found_lines.append(_one(service, settings, typed, to))
    return found_lines


def saved(policy: Policy) -> tuple[SenderService, Any] | None:
    """The chosen service with its saved settings; None while none is chosen."""
    service = found().get(policy.sender_service or "")
    if service is None:
        return None
    return service, load(service.Settings, policy.sections.get(service.NAME, {}))


def _one(service: SenderService, settings: Any, typed: str, to: PhoneNumber) -> Explained:
    route = service.route(settings, to)
    if isinstance(route, NoRoute):
        return Explained(typed, to.e164, "refused", f"{to.e164} gets no text. {route.reason}")
    if not route.account_sid:
        return Explained(typed, to.e164, "sent", f"{to.e164} goes to {route.origin}. {route.reason}", route.origin)
    words = f"{to.e164} goes through the main account {route.account_sid}. {route.reason}"
    if (row := _matched(settings, to)) is not None and row[2] == route.account_sid:
        words = f"{to.e164} goes through {row[0]} {route.account_sid} because {row[1]} is the longest match."
    return Explained(typed, to.e164, "sent", words, route.origin)


def _matched(settings: Any, to: PhoneNumber) -> tuple[str, str, str] | None:
    """The row whose filter is the longest prefix of the number: what rows are called, the filter, the account."""
    for one in form(type(settings)):
        if one.row is None:
            continue
        key = next((part.name for part in form(one.row) if part.key and part.kind == "dialing_code"), None)
        owner = next((part.owner for part in form(one.row) if part.owner), "")
        if key is None or not owner:
            continue
        rows = {getattr(row, key): row for row in getattr(settings, one.name) if getattr(row, key)}
        best = closest_filter(to, rows)
        if best is not None:
            return one.row_label.lower(), best, str(getattr(rows[best], owner))
    return None


async def ask(visit: Visit) -> Response:
    return await _page(visit, "")


async def answer(visit: Visit) -> Response:
    return await _page(visit, visit.form.get("numbers"), asked=True)


async def _page(visit: Visit, numbers: str, *, asked: bool = False) -> Response:
    row = await visit.context.store.get(POLICIES, visit.tenant) or Policy(visit.tenant)
    known = saved(row)
    wrong, lines = Wrong(), list[Explained]()
    try:
        typed = split(numbers)
    except TooMany as refused:
        wrong = Wrong([FieldError("numbers", "out_of_range", str(refused))])
    else:
        if asked and not typed:
            wrong = Wrong([FieldError("numbers", "required", "Type a number, or paste a list.")])
        if known is not None:
            lines = explain(*known, typed)
    return await visit.page(
        "policy_routes.html",
        422 if wrong else 200,
        numbers=numbers,
        wrong=wrong,
        lines=lines,
        service=known[0] if known else None,
        many=MANY,
    )


ROOMS: Final[tuple[Room, ...]] = (Room("/sender-policy/routes", get=ask, post=answer, entry="policy"),)

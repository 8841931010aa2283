"""The route explainer: for each of many numbers who sends to it, and why, without sending anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from otpost.domain.errors import FieldError
from otpost.domain.phone import NumberRefused, parse_recipient
from otpost.domain.policy import NoRoute, Policy
from otpost.domain.sid import is_sid
from otpost.senders.registry import find_services
from otpost.senders.submission import read_section
from otpost.services.policy.plan import Plan, lacking, read_plan
from otpost.services.policy.routes import explain_route, name_sender
from otpost.web.policy.form import PolicyForm, section
from otpost.web.policy.view import Stored
from otpost.web.request import Page, Visit, Wrong
from otpost.web.translation import _

MANY: Final = 500
PICKS: Final = "MG"
"""How the SID of a Messaging Service begins, which picks a sender for each text."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One number of the list. `words` say where its text goes and why, or what is wrong with the number."""

    typed: str
    number: str
    kind: str
    words: str
    origin: str = ""

    @property
    def label(self) -> str:
        return {"sent": _("Sent"), "refused": _("Not sent"), "wrong": _("Not a number")}[self.kind]

    @property
    def shows(self) -> str:
        """What the recipient's phone shows; nobody knows beforehand what a Messaging Service picks."""
        if is_sid(self.origin, PICKS):
            return _("The phone shows the sender that the Messaging Service picks.")
        return _("The phone shows %(origin)s.", origin=self.origin) if self.origin else ""


class TooMany(Exception):
    """More numbers than are explained at once; says so in words."""


def split(text: str) -> list[str]:
    """The numbers of a list, one a line, or divided by commas or semicolons. Raises TooMany."""
    numbers = [one.strip() for one in re.split(r"[\n,;]+", text) if one.strip()]
    if len(numbers) > MANY:
        raise TooMany(_("These are %(number)s numbers. Paste %(many)s at most.", number=len(numbers), many=MANY))
    return numbers


def lines(plan: Plan, numbers: list[str]) -> list[Explanation]:
    """What this plan does with each number; SenderPolicyIncomplete with the cause where nothing can be sent."""
    return [_line(plan, typed) for typed in numbers]


def _line(plan: Plan, typed: str) -> Explanation:
    try:
        to = parse_recipient(typed)
    except NumberRefused as refused:
        return Explanation(
            typed, typed[:40], "wrong" if refused.code == "invalid_number" else "refused", refused.message
        )
    route = explain_route(plan, to)
    words = f"{to.e164}: {route.sentence}"
    if isinstance(route.route, NoRoute):
        return Explanation(typed, to.e164, "refused", words)
    if route.others:
        ways = [
            _("%(sender)s from %(origin)s", sender=name_sender(way.route), origin=way.route.origin)
            for way in route.others
        ]
        words = _("%(sentence)s Where that fails: %(others)s.", sentence=words, others=_(", then ").join(ways))
    return Explanation(typed, to.e164, "sent", words, route.route.origin)


def by_form(policy_form: PolicyForm, stored: Stored) -> Plan:
    """The plan that the form's committed rows and fields would make; `stored` are the secrets that are kept."""
    fallback = tuple(policy_form.standing_in)
    settings, lacks = {}, {}
    for name in (policy_form.chosen, *fallback):
        service = find_services()[name]
        submission = read_section(service.Settings, section(service.Settings, policy_form.parts[name]), name)
        kept = {ref for of, ref in stored if of == name and ref not in submission.cleared}
        settings[name] = submission.settings
        lacks[name] = lacking(submission.settings, kept | submission.typed.keys())
    policy = Policy("", sender_service=policy_form.chosen, fallback=fallback, incomplete=False)
    return Plan(policy, settings, lacks)


async def ask(visit: Visit) -> Response:
    return await _page(visit, "")


async def answer(visit: Visit) -> Response:
    return await _page(visit, visit.form.get("numbers"), asked=True)


async def _page(visit: Visit, numbers: str, *, asked: bool = False) -> Response:
    plan = await read_plan(visit.context, visit.tenant)
    wrong, explained = Wrong(), list[Explanation]()
    try:
        typed = split(numbers)
    except TooMany as refused:
        wrong = Wrong([FieldError("numbers", "out_of_range", str(refused))])
    else:
        if asked and not typed:
            wrong = Wrong([FieldError("numbers", "required", _("Type a number, or paste a list."))])
        if plan.ready:
            explained = lines(plan, typed)
    return await visit.page(
        "policy_routes.html",
        422 if wrong else 200,
        numbers=numbers,
        wrong=wrong,
        lines=explained,
        chosen=plan.policy.sender_service,
        obstacle=plan.obstacle,
        left_out=plan.left_out,
        many=MANY,
    )


PAGES: Final[tuple[Page, ...]] = (Page("/sender-policy/routes", get=ask, post=answer, entry="policy"),)

"""What the policy would do with a number, and why: one answer for API, console and command line. Nothing is sent."""

from __future__ import annotations

from typing import NamedTuple

from otpost.domain.delivery import Way
from otpost.domain.errors import SenderPolicyIncomplete
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import CountrySender, NoRoute, Route
from otpost.senders.registry import find_services
from otpost.services.context import Context
from otpost.services.policy.plan import Plan, read_plan
from otpost.services.tenants.applications import read_application


class Explanation(NamedTuple):
    """The route of a text to one number, and in their order the ways that it may go where this one fails."""

    route: Route | NoRoute
    others: tuple[Way, ...] = ()

    @property
    def sentence(self) -> str:
        """The route in words: `It goes through Twilio AC…. …`"""
        if isinstance(self.route, NoRoute):
            return f"It gets no text. {self.route.reason}"
        return f"It goes through {name_sender(self.route)}. {self.route.reason}"


def explain_route(made: Plan, to: PhoneNumber, chosen: CountrySender | None = None) -> Explanation:
    """What production does with this number by a plan; SenderPolicyIncomplete with the cause where nothing can be sent.

    `chosen` is what the application asks for: `Application.sender_for`.
    """
    if made.obstacle:
        raise SenderPolicyIncomplete(f"{made.obstacle} Mend it in the sender policy.")
    route = made.route(to, chosen)
    return Explanation(route, tuple(made.ways(to, chosen)[1:]))


async def explain_saved_route(
    context: Context, tenant: str, to: PhoneNumber, application: str | None = None
) -> Explanation:
    """The same by the saved policy; with an application for its verifications' texts, NotFound for another tenant's."""
    asking = None if application is None else await read_application(context, tenant, application)
    return explain_route(await read_plan(context, tenant), to, None if asking is None else asking.sender_for(to))


def name_sender(route: Route) -> str:
    """Who sends, for people: the service and its account, where it has one."""
    return f"{find_services()[route.service].TITLE} {route.account_sid}".strip()

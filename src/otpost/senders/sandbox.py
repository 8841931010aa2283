"""The sandbox phone: takes every text, sends nothing, and hands each one back to be shown in the inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otpost.domain.outcome import Accepted, Outcome, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.senders.service import Http, Text
from otpost.senders.settings import SecretRef

NAME: Final = "sandbox"
TITLE: Final = "Sandbox"
PLACE: Final = 90
may_be_fallback: Final = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The sandbox has nothing to set."""


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """Every number goes to the sandbox phone."""
    return Route(NAME, "", "Sandbox", "The sandbox is the chosen service: the text goes to its inbox, not to a phone.")


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """None: the sandbox has no accounts."""
    return None


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """Accept the text, with a copy of it for the inbox; the same attempt always gets the same SID."""
    return Accepted(Vendor(sid=f"sandbox-{text.attempt}", status="accepted"), copy=text.body)

"""What the sender policy's page asks for the case that the chosen service fails: who stands in, when, and how fast."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from otpost.domain.outcome import REASONS
from otpost.domain.policy import Breaker, Policy
from otpost.senders.registry import find_services
from otpost.services.policy.accounts import open_breakers
from otpost.services.policy.draft import MOST_RATES
from otpost.services.policy.plan import Plan, read_plan
from otpost.web.request import Form, Visit
from otpost.web.translation import _

FIELDS: Final = ("fallback", "failover_after_s", "rates")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}([.,][0-9]{1,9})?")


@dataclass(slots=True)
class RateRow:
    """One origin and its messages a second, as typed."""

    origin: str = ""
    messages_per_second: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.origin.strip() or self.messages_per_second.strip())

    def body(self) -> dict[str, Any]:
        typed = self.messages_per_second.strip()
        number: Any = float(typed.replace(",", ".")) if _DECIMAL.fullmatch(typed) else typed or None
        return {"origin": self.origin, "messages_per_second": number}


@dataclass(slots=True)
class Standby:
    """The part of the form below the chosen service; `to_add` is the service that is selected to stand in as well."""

    fallback: list[str] = field(default_factory=list)
    failover_after_s: str = ""
    rates: list[RateRow] = field(default_factory=list)
    to_add: str = ""

    def press(self, name: str, at: str) -> str | None:
        """One of this part's buttons; answers where the keyboard goes, None where the button is another part's."""
        place = int(at) if _DIGITS.fullmatch(at) else -1
        match name:
            case "fallback-add":
                return self._add()
            case "fallback-remove" if 0 <= place < len(self.fallback):
                del self.fallback[place]
                return "fallback"
            case "fallback-up" if 0 < place < len(self.fallback):
                return self._swap(place, place - 1, "up")
            case "fallback-down" if 0 <= place < len(self.fallback) - 1:
                return self._swap(place, place + 1, "down")
            case "rate-add" if len(self.rates) < MOST_RATES:
                self.rates.append(RateRow())
                return f"rates[{len(self.rates) - 1}]"
            case "rate-remove" if 0 <= place < len(self.rates):
                del self.rates[place]
                return "rates"
            case "fallback-remove" | "fallback-up" | "fallback-down" | "rate-add" | "rate-remove":
                return ""
        return None

    def _add(self) -> str:
        if self.to_add not in possible() or self.to_add in self.fallback:
            return "fallback"
        self.fallback.append(self.to_add)
        self.to_add = ""
        return f"fallback[{len(self.fallback) - 1}]"

    def _swap(self, place: int, other: int, way: str) -> str:
        self.fallback[place], self.fallback[other] = self.fallback[other], self.fallback[place]
        last = len(self.fallback) - 1
        return f"up:{other}" if other == last or (way == "up" and other > 0) else f"down:{other}"

    def drop_empty_rates(self) -> None:
        self.rates = [rate for rate in self.rates if not rate.is_empty]

    def body(self, chosen: str) -> dict[str, Any]:
        """This part as the API takes it."""
        typed = self.failover_after_s.strip()
        return {
            "fallback": self.standing_in(chosen),
            "failover_after_s": int(typed) if _DIGITS.fullmatch(typed) else typed or None,
            "rates": [rate.body() for rate in self.rates if not rate.is_empty],
        }

    def standing_in(self, chosen: str) -> list[str]:
        """The services that stand in for the chosen one, which is not among them."""
        return [name for name in self.fallback if name != chosen]


def possible() -> list[str]:
    """The services that may stand in for another."""
    return [name for name, service in find_services().items() if service.may_be_fallback]


def saved(policy: Policy) -> Standby:
    """What is saved; a service that is not installed any more stands in for nobody."""
    return Standby(
        fallback=[name for name in policy.fallback if name in possible()],
        failover_after_s="" if policy.failover_after_s is None else str(policy.failover_after_s),
        rates=[RateRow(rate.origin, f"{rate.messages_per_second:g}") for rate in policy.rates],
    )


def read(sent: Form) -> Standby:
    """What was typed; nonsense is left out."""
    names = [sent.get(f"fallback[{index}]") for index in range(len(find_services()))]
    return Standby(
        fallback=list(dict.fromkeys(name for name in names if name in possible())),
        failover_after_s=sent.get("failover_after_s"),
        rates=list(_rates(sent)),
        to_add=sent.get("fallback_to_add"),
    )


def _rates(sent: Form) -> Iterator[RateRow]:
    for index in range(MOST_RATES):
        at = f"rates[{index}]"
        if f"{at}.origin" not in sent:
            return
        yield RateRow(sent.get(f"{at}.origin"), sent.get(f"{at}.messages_per_second"))


@dataclass(frozen=True, slots=True)
class RestingAccount:
    """An account that is left alone: which, since when, why, what to do about it, and when it is tried next.

    `probe_at` is None where the next text tries it.
    """

    account: str
    since: int
    detail: str
    remedy: str
    probe_at: int | None


def obstacles(plan: Plan) -> dict[str, Any]:
    """What pages say of a saved policy by which nothing can be sent, or that lacks something for a fallback."""
    chosen = plan.policy.sender_service is not None
    return {"obstacle": plan.obstacle if chosen else "", "left_out": plan.left_out}


async def follows(visit: Visit) -> str:
    """What follows from the Save that was just made."""
    plan = await read_plan(visit.context, visit.tenant)
    return plan.obstacle or _("The messaging service uses it from the next text on.")


async def resting(visit: Visit) -> list[RestingAccount]:
    """The tenant's accounts whose circuit breakers are open."""
    return [_resting(breaker, visit.now) for breaker in await open_breakers(visit.context, visit.tenant)]


def _resting(breaker: Breaker, now: int) -> RestingAccount:
    service = find_services().get(breaker.service)
    title = service.TITLE if service is not None else breaker.service
    return RestingAccount(
        account=f"{title} {breaker.account_sid}".strip(),
        since=breaker.opened_at,
        detail=breaker.detail,
        remedy=_(REASONS[breaker.reason].for_administrator),
        probe_at=breaker.probe_at if breaker.probe_at > now else None,
    )

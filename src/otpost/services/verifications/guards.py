"""The guards of a start: rules that refuse it, each as one function, in the order in which their refusals are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from otpost.domain.application import Application
from otpost.domain.errors import (
    LimitReached,
    MaxSendsReached,
    Refusal,
    SenderPolicyIncomplete,
    invalid,
)
from otpost.domain.limits import HOUR_MS, NumberLimits, Window, application_sends, client_sends
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import CountrySender, NoRoute, Route
from otpost.domain.verification import Extras, Verification
from otpost.services.context import Context
from otpost.services.policy.plan import Plan, Plans
from otpost.services.verifications.check import USED_UP
from otpost.services.verifications.rate_limits import limits_named, meter_start
from otpost.services.verifications.safe_numbers import is_safe
from otpost.store.kinds import VERIFICATIONS, WINDOWS
from otpost.store.units import Key, Kind, Rows, lock

Mode = Literal["native", "twilio"]
"""A start in the mode `twilio` keeps to Twilio Verify: the pending verification is the same until it expires, there is
none beside one whose checks are used up, and another amount or payee makes a new one."""


class Request(msgspec.Struct, frozen=True):
    """What a caller asks for, and when.

    `client` is the network of the recipient's client; `extras` are those of the mode `twilio`. `turn_in` tells the turn
    of the text in a lane.
    """

    context: Context
    plans: Plans
    tenant: str
    application: str
    to: PhoneNumber
    now: int
    mode: Mode
    locale: str | None
    client: str | None
    variables: dict[str, str]
    extras: Extras
    rate_limits: Mapping[str, str]
    turn_in: Callable[[str], int]


class Start(msgspec.Struct, frozen=True):
    """A start with what is known of it before it is judged.

    `pending` is the verification that this would be one more text of;
    `outgoing` is one that the start leaves behind.
    """

    request: Request
    application: Application
    plan: Plan
    sender: CountrySender | None
    route: Route | NoRoute | SenderPolicyIncomplete
    limits: NumberLimits
    pending: Verification | None
    outgoing: Verification | None


Writes = Sequence[tuple[Kind[Any], msgspec.Struct]]
Judgement = Refusal | Writes | None


class Guard(NamedTuple):
    """One rule of a start.

    `judge` answers why the start is refused, or the rows to write if it goes on, or nothing. `needs` are rows that it
    reads and a request alone tells: they are loaded with those of every start. For what hangs on the application's
    settings the judge asks the rows itself. A guard against pumping does not hold back safe numbers: where one of them
    is full, none of them counts the start.
    """

    judge: Callable[[Rows, Start], Judgement]
    needs: Callable[[Request], Sequence[Key]] | None = None
    against_pumping: bool = False


def needs_of_guards(request: Request) -> list[Key]:
    return [key for needs in _NEEDS for key in needs(request)]


def ask_guards(rows: Rows, start: Start) -> Writes:
    """The rows that the guards want written; raises the first refusal."""
    writes: list[tuple[Kind[Any], msgspec.Struct]] = []
    counts: list[tuple[Kind[Any], msgspec.Struct]] = []
    safe = False
    for judge, _, against_pumping in GUARDS:
        judgement = judge(rows, start)
        if judgement is None or (safe and against_pumping):
            continue
        if not isinstance(judgement, Refusal):
            (counts if against_pumping else writes).extend(judgement)
        elif against_pumping and is_safe(rows, start.request.tenant, start.request.to.e164):
            safe = True
        else:
            raise judgement
    return writes if safe else counts + writes


def _allowed_numbers(rows: Rows, start: Start) -> Judgement:
    return start.application.number_refusal(start.request.to)


def _variables(rows: Rows, start: Start) -> Judgement:
    # A template's text is filled in already.
    request = start.request
    return start.application.variables_refusal(request.variables) if request.extras.body is None else None


def _route(rows: Rows, start: Start) -> Judgement:
    route = start.route
    if isinstance(route, Route):
        return None
    return invalid("to", "dialing_code_refused", route.reason) if isinstance(route, NoRoute) else route


def _guessing(rows: Rows, start: Start) -> Judgement:
    return start.limits.guessing(start.request.now, start.application.rules.number_checks_per_hour)


def _verification_sends(rows: Rows, start: Start) -> Judgement:
    pending, native = start.pending, start.request.mode == "native"
    if pending is not None:
        if pending.sends < pending.max_sends:
            return None
        return MaxSendsReached(retry_at=pending.fresh_start_at(to_the_end=not native))
    if native or start.limits.used_up is None:
        return None
    used_up = rows.look(VERIFICATIONS, start.limits.used_up)
    if used_up is None or not used_up.is_used_up(start.request.now):
        return None
    return MaxSendsReached(USED_UP, retry_at=used_up.expires_at)


def _cooldown(rows: Rows, start: Start) -> Judgement:
    return start.limits.cooldown(start.request.now)


def _number_sends(rows: Rows, start: Start) -> Judgement:
    rules = start.application.rules
    return start.limits.sending(start.request.now, rules.number_sends_per_hour, rules.number_sends_per_day)


def _application_sends(rows: Rows, start: Start) -> Judgement:
    limit = start.application.rules.max_sends_per_hour
    if limit is None:
        return None
    return _hit(rows, "application", start.application.sid, limit, start.request.now, application_sends)


def _client_sends(rows: Rows, start: Start) -> Judgement:
    client, limit = start.request.client, start.application.rules.max_sends_per_client_ip
    if client is None or limit is None:
        return None
    key = f"{start.application.sid} {client}"
    return _hit(rows, "client", key, limit, start.request.now, client_sends)


def _client_window(request: Request) -> Sequence[Key]:
    return () if request.client is None else [lock(WINDOWS, "client", f"{request.application} {request.client}")]


def _hit(
    rows: Rows, scope: str, key: str, limit: int, now: int, judge: Callable[[Window, int, int], LimitReached | None]
) -> Judgement:
    """The window of an hour with one more hit, or why it has no place for it."""
    window = rows.get(WINDOWS, scope, key) or Window(scope, key, until=0)
    return judge(window, now, limit) or [(WINDOWS, window.hit(now, HOUR_MS, limit))]


def _own_rate_limits(rows: Rows, start: Start) -> Judgement:
    request = start.request
    if not request.rate_limits:
        return None
    return meter_start(request.context, rows, request.application, request.rate_limits, request.now)


def _rate_limits(request: Request) -> Sequence[Key]:
    return [limits_named(request.application)] if request.rate_limits else ()


GUARDS = (
    Guard(_allowed_numbers),
    Guard(_variables),
    Guard(_route),
    Guard(_guessing),
    Guard(_verification_sends),
    Guard(_cooldown),
    Guard(_number_sends, against_pumping=True),
    Guard(_application_sends, against_pumping=True),
    Guard(_client_sends, _client_window, against_pumping=True),
    Guard(_own_rate_limits, _rate_limits),
)
_NEEDS = tuple(guard.needs for guard in GUARDS if guard.needs is not None)

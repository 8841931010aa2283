"""The accounts of the policy in force: which of them rest behind an open breaker, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from otpost.domain.phone import PhoneNumber, example_of, trusted
from otpost.domain.policy import Breaker, Notice, Policy, closest_filter
from otpost.senders.settings import form
from otpost.services.context import Context
from otpost.services.policy.callbacks import too_long
from otpost.services.policy.plan import Plan, read_plan
from otpost.store.base import list_rows
from otpost.store.kinds import (
    BREAKERS,
    NOTICES,
    POLICIES,
)


async def list_notices(context: Context, tenant: str, public_url: str | None) -> Sequence[Notice]:
    """What stands in the way of the tenant's texts or reports now, each with a sentence and a remedy."""
    policy = await context.store.get(POLICIES, tenant)
    known = too_long(policy, public_url) if policy is not None else []
    return [*known, *await list_rows(context.store, NOTICES, "since", tenant=tenant)]


async def list_long_callbacks(context: Context, public_url: str | None) -> list[Notice]:
    """Which services that a tenant uses take no callback address that begins with this public URL, for its length."""
    policies = await list_rows(context.store, POLICIES)
    return [notice for policy in policies for notice in too_long(policy, public_url)]


NOWHERE: Final = "+999"
"""Belongs to no country, so that no filter of dialing codes matches it."""


class AccountState(NamedTuple):
    """An account that some route uses; `breaker` is None where it is closed."""

    service: str
    account_sid: str
    breaker: Breaker | None


async def open_breakers(context: Context, tenant: str) -> list[Breaker]:
    """The accounts that are left alone now, the longest first. A breaker of an older revision counts as closed."""
    return await _open(context, await context.store.get(POLICIES, tenant) or Policy(tenant))


async def list_accounts(context: Context, tenant: str) -> list[AccountState]:
    """Every account that a route of the policy in force uses: main account, subaccounts, then those of the fallbacks.

    Empty while no sender service is ready.
    """
    made = await read_plan(context, tenant)
    policy = made.policy
    if not made.ready:
        return []
    resting = {(breaker.service, breaker.account_sid): breaker for breaker in await _open(context, policy)}
    routes = [way.route for to in _numbers(made) for way in made.ways(to)]
    order = (policy.sender_service, *made.fallback)
    routes.sort(key=lambda route: order.index(route.service))
    named = dict.fromkeys([*((route.service, route.account_sid) for route in routes), *resting])
    return [AccountState(*account, resting.get(account)) for account in named]


async def _open(context: Context, policy: Policy) -> list[Breaker]:
    order = ("opened_at", "lane")
    return list(await list_rows(context.store, BREAKERS, *order, tenant=policy.tenant, revision=policy.revision))


def _numbers(made: Plan) -> Iterator[PhoneNumber]:
    """A number for each route there is: one that no filter matches, then one for each filter."""
    yield trusted(NOWHERE)
    filters = list(_filters(made))
    for own in filters:
        numbers = [trusted(own + digit) for digit in "0123456789"] if own.startswith("+") else [example_of(own)]
        yield from [to for to in numbers if closest_filter(to, filters) == own][:1]


def _filters(made: Plan) -> Iterable[str]:
    for name in (made.policy.sender_service, *made.fallback):
        settings = made.settings.get(name or "")
        for field in form(type(settings)) if settings is not None else ():
            keys = [] if field.row is None else [one.name for one in form(field.row) if one.kind == "dialing_code"]
            for row in getattr(settings, field.name) if keys else ():
                yield from (value for key in keys if (value := getattr(row, key)))

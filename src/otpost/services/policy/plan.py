"""A tenant's sender policy made ready for use: which route a number takes, and with which secrets."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

from otpost.domain.delivery import Way
from otpost.domain.errors import SenderPolicyIncomplete
from otpost.domain.message import Message
from otpost.domain.phone import PhoneNumber, trusted
from otpost.domain.policy import CountrySender, NoRoute, Policy, Route, StoredSecret, lane_of
from otpost.domain.secret import Secret
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import Account, FallsBack, HasAccounts, SenderService
from otpost.senders.settings import SecretRef, fill, load, places
from otpost.services.context import Context
from otpost.store.kinds import APPLICATIONS, POLICIES, SECRETS
from otpost.store.units import Rows, Unit, look

SEAL = "secrets"
KEPT_MS = 48 * 3_600_000
"""How long a secret that was replaced or removed still proves reports and look-ups."""


class Tokens(NamedTuple):
    """A tenant's stored secrets, opened, as of a version of its policy."""

    version: tuple[int, int]
    kept: list[tuple[StoredSecret, Secret]]


class Plan:
    """The policy in force, with every section's settings and secrets.

    `lacks` tells of the chosen service and of the fallbacks which secrets they still need, as people call them. A
    fallback that lacks one stands in for nobody: `fallback` are those that can.
    """

    def __init__(self, policy: Policy, settings: dict[str, Any], lacks: Mapping[str, Sequence[str]]) -> None:
        self.policy = policy
        self.settings = settings
        self.lacks = lacks
        self.fallback = tuple(name for name in policy.fallback if name in settings and not lacks.get(name))
        self._rates = {rate.origin: rate.messages_per_second for rate in policy.rates}

    @property
    def ready(self) -> bool:
        """Whether the chosen service has all that it needs."""
        chosen = self.policy.sender_service
        return chosen in self.settings and not self.policy.incomplete and not self.lacks.get(chosen)

    @property
    def obstacle(self) -> str:
        """Why nothing can be sent at all, in a sentence for the administrator; empty while the service is ready."""
        chosen = self.policy.sender_service
        if self.ready:
            return ""
        if chosen is None:
            return "Nothing can be sent: no sender service is chosen."
        if chosen not in self.settings:
            return f"Nothing can be sent: the service {chosen} is not installed here."
        return f"Nothing can be sent: {_lacking(find_services()[chosen].TITLE, self.lacks.get(chosen, ()))}"

    @property
    def left_out(self) -> list[str]:
        """Why some of the fallbacks stand in for nobody, each in a sentence for the administrator."""
        return [
            _lacking(find_services()[name].TITLE, self.lacks[name])
            for name in self.policy.fallback
            if self.lacks.get(name)
        ]

    def service(self) -> SenderService:
        """The chosen service; SenderPolicyIncomplete while none is ready."""
        if not self.ready:
            raise SenderPolicyIncomplete
        return find_services()[str(self.policy.sender_service)]

    def route(self, to: PhoneNumber, chosen: CountrySender | None = None) -> Route | NoRoute:
        """What production does with this number; SenderPolicyIncomplete while no service is ready.

        `chosen` is what the application asks for: `Application.sender_for`.
        """
        return self._route(self.service(), to, chosen)

    def _route(self, service: SenderService, to: PhoneNumber, chosen: CountrySender | None) -> Route | NoRoute:
        settings = self.settings[service.NAME]
        if chosen is not None and (choosing := capabilities(service).routes_by_country) is not None:
            return choosing.route_by_country(settings, to, chosen)
        return service.route(settings, to)

    def ways(self, to: PhoneNumber, chosen: CountrySender | None = None) -> list[Way]:
        """The routes that a text to this number may take, in their order: the policy's own, then those that stand in.

        Empty where the policy sends nothing to it; SenderPolicyIncomplete while no service is ready.
        """
        first = self.route(to, chosen)
        if isinstance(first, NoRoute):
            return []
        ways, service = [Way(first)], self.service()
        if (choosing := capabilities(service).routes_by_country) is not None:
            other = choosing.other_route_by_country(self.settings[service.NAME], first, chosen)
        else:
            other = service.other_route(self.settings[service.NAME], first) if isinstance(service, FallsBack) else None
        if other is not None:
            ways.append(Way(other, for_account_reasons=True))
        for name in self.fallback:
            if isinstance(route := self._route(find_services()[name], to, chosen), Route):
                ways.append(Way(route))
        return ways

    def wait_ms(
        self, of_lane: Callable[[str], int], first: Route, to: PhoneNumber, chosen: CountrySender | None = None
    ) -> int:
        """How long a text to this number would wait on that of its ways where it waits the shortest.

        `first` is its route; `of_lane` tells how long it would wait there.
        """
        wait = of_lane(lane_of(self.policy.tenant, first))
        if not wait or not self.fallback:
            return wait
        others = [way.route for way in self.ways(to, chosen) if not way.for_account_reasons]
        return min([wait, *(of_lane(lane_of(self.policy.tenant, route)) for route in others)])

    @property
    def has_other_ways(self) -> bool:
        """Whether a text may have more than one way."""
        return bool(self.fallback) or capabilities(self.service()).falls_back

    def rate(self, origin: str) -> float | None:
        """How many messages a second the origin may send, where the policy says so."""
        return self._rates.get(origin)


def sender_of(rows: Rows, message: Message) -> CountrySender | None:
    """What the application asks for where it sends a verification's text; nothing for a caller's own text."""
    app = rows.look(APPLICATIONS, message.application) if message.verification is not None else None
    return app.sender_for(trusted(message.to)) if app is not None and app.features.messaging else None


def ref_of(secret: StoredSecret) -> SecretRef:
    return SecretRef(secret.field, secret.owner, secret.destination)


def opened(context: Context, secret: StoredSecret) -> Secret:
    """The secret itself."""
    return context.keyring.open(SEAL, secret.sealed, secret.sid)


def make(context: Context, policy: Policy, secrets: list[StoredSecret]) -> Plan:
    settings: dict[str, Any] = {}
    lacks: dict[str, list[str]] = {}
    for name, service in find_services().items():
        own = {
            ref_of(secret): opened(context, secret)
            for secret in secrets
            if secret.service == name and secret.retired_at is None
        }
        settings[name] = fill(load(service.Settings, policy.sections.get(name, {})), own)
        if name in (policy.sender_service, *policy.fallback):
            lacks[name] = lacking(settings[name], own)
    return Plan(policy, settings, lacks)


async def read_plan(context: Context, tenant: str) -> Plan:
    """The plan of the saved policy, made anew, for somebody who is no unit of work."""
    policy = await context.store.get(POLICIES, tenant) or Policy(tenant)
    return make(context, policy, await context.store.find(SECRETS, "tenant", tenant))


def lacking(settings: object, kept: Container[SecretRef]) -> list[str]:
    """The secrets without which these settings cannot send and that are not among the `kept`, as people call them."""
    return [place.label for place in places(settings, "") if place.field.required and place.ref not in kept]


def _lacking(title: str, labels: Sequence[str]) -> str:
    return f"{title} lacks {', '.join(labels) or 'a setting'}."


async def accounts(context: Context, tenant: str, route: Route) -> list[Account]:
    """The account that a route sent from, once for each token that may open it: those in force, then replaced ones.

    Empty where the service has no accounts, or no token of it is kept any more.
    """
    service = find_services().get(route.service)
    if service is None or not isinstance(service, HasAccounts):
        return []
    policy = await context.store.get(POLICIES, tenant) or Policy(tenant)
    settings = load(service.Settings, policy.sections.get(route.service, {}))
    wanted = service.account_secret(settings, route)
    if wanted is None:
        return []
    secrets = [
        secret
        for secret in await context.store.find(SECRETS, "tenant", tenant)
        if (secret.service, secret.field, secret.owner) == (route.service, wanted.field, wanted.owner)
        and secret.destination == wanted.destination
    ]
    secrets.sort(key=lambda secret: (secret.retired_at is not None, -secret.set_at))
    return [service.account(settings, route, opened(context, secret)) for secret in secrets]


class Plans:
    """The plans of all tenants and their secrets, as this process last saw them: each made anew only after a Save."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._plans: dict[str, Plan] = {}
        self._tokens: dict[str, Tokens] = {}

    def get(self, tenant: str) -> Plan | None:
        """The plan as last seen."""
        return self._plans.get(tenant)

    def plan_of(self, rows: Rows, tenant: str) -> Plan:
        """The tenant's plan in a unit of work."""
        policy = rows.look(POLICIES, tenant) or Policy(tenant)
        plan = self._plans.get(tenant)
        if plan is None or (plan.policy.revision, plan.policy.updated_at) != (policy.revision, policy.updated_at):
            plan = make(self._context, policy, rows.find(SECRETS, "tenant", tenant, locked=False))
            self._plans[tenant] = plan
        return plan

    def see_policies(self, tenants: Sequence[str]) -> Unit[None]:
        """Look at the policies in force of these tenants, so that what hangs on a plan hangs on the newest."""

        def decide(rows: Rows) -> None:
            for tenant in tenants:
                self.plan_of(rows, tenant)

        return Unit(decide, [look(POLICIES, tenant) for tenant in tenants])

    def tokens_of(self, rows: Rows, tenant: str, service: str) -> dict[str, list[Secret]]:
        """Every token that may have signed a report of this service, by account SID; those replaced of late too."""
        policy = rows.look(POLICIES, tenant) or Policy(tenant)
        version = (policy.revision, policy.updated_at)
        known = self._tokens.get(tenant)
        if known is None or known.version != version:
            stored = rows.find(SECRETS, "tenant", tenant, locked=False)
            known = Tokens(version, [(secret, opened(self._context, secret)) for secret in stored])
            self._tokens[tenant] = known
        oldest = self._context.clock() - KEPT_MS
        known.kept[:] = [pair for pair in known.kept if pair[0].retired_at is None or pair[0].retired_at > oldest]
        by_owner: dict[str, list[Secret]] = {}
        for secret, token in known.kept:
            if secret.service == service:
                by_owner.setdefault(secret.owner, []).append(token)
        return by_owner

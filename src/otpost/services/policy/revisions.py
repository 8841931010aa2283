"""Saving and showing the sender policy: what a Save needs to be taken, and what becomes of its secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from otpost.domain.access import Actor
from otpost.domain.errors import FieldError, RevisionConflict, refusal
from otpost.domain.policy import Policy, Revision, StoredSecret
from otpost.senders.registry import find_services, list_problems
from otpost.senders.sandbox import NAME as SANDBOX
from otpost.senders.service import SenderService
from otpost.senders.settings import Place, SecretRef, answer, changes, join, load, needed, places, plain
from otpost.senders.submission import Submission
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.policy import plan
from otpost.services.policy.draft import Draft
from otpost.store.kinds import POLICIES, REVISIONS, SANDBOX_TEXTS, SECRETS
from otpost.store.units import Rows, Unit, lock, lock_by

_log = logging.getLogger(__name__)

AUDITED_CHANGES = 20
T = TypeVar("T")

Typed = Mapping[tuple[str, SecretRef], StoredSecret]


class Saved(msgspec.Struct, frozen=True):
    """The policy after a Save, what changed in words, and the policy as GET shows it; no secret in any of them."""

    policy: Policy
    changes: tuple[str, ...]
    shown: dict[str, Any]


def tell(actor: Actor, saved: Saved) -> None:
    """Write a revision down in the log, once it is committed."""
    _log.info(
        "the sender policy of %s is revision %d, by %s: %s",
        actor.tenant,
        saved.policy.revision,
        actor.name,
        "; ".join(saved.changes) or "nothing was changed",
    )


def save(context: Context, actor: Actor, draft: Draft) -> Unit[Saved]:
    """Make the draft the policy in force, as a new revision.

    The chosen service and the fallbacks must be complete, whether or not the draft brings their sections: a setting
    that is lacking is `required`, a secret `token_required`, each at its path. Other sections may be unfinished.

    A secret belongs to its owner and destination. One that is typed replaces what is stored for these; without one the
    stored one is kept, and `…_set: false` clears it. `token_required` is every place whose secret is not stored and
    not typed, if
    - the service is in use and needs it; or
    - the draft says `…_set: true`; or
    - the same place had a stored secret, which belongs to another owner or destination than the place now names, and
      the draft neither clears it nor leaves the place without an owner.

    Clearing is a deliberate act: `…_set: false` takes a stored secret away from the chosen service too, whose policy
    is then incomplete, so that starts are refused until the secret is typed again. Such a policy can be saved again
    with `…_set: false` (what GET answers), or without its section, as long as the service stays in use with the same
    owner and destination. It cannot be reached otherwise: a service that comes into use needs its secrets, whatever
    `…_set` says.

    Secrets that were replaced, cleared, or stand nowhere any more are retired. When the choice goes to or away from the
    sandbox, the texts on its phone are erased. Raises RevisionConflict, Invalid.
    """
    now, line = context.clock(), context.ids("AU")
    typed = _sealed(context, actor, draft, now)

    def decide(rows: Rows) -> Saved:
        policy = rows.get(POLICIES, actor.tenant) or Policy(actor.tenant)
        if draft.revision is not None and draft.revision != policy.revision:
            raise RevisionConflict
        in_force = [secret for secret in rows.find(SECRETS, "tenant", actor.tenant) if secret.retired_at is None]
        chosen, fallback, errors = _choice(policy, draft)
        parts = [_Part.of(service, policy, draft, in_force, typed) for service in find_services().values()]
        for part in parts:
            errors += part.errors(policy, in_use=part.service.NAME in (chosen, *fallback))
        if errors:
            raise refusal(errors)
        saved = Policy(
            tenant=actor.tenant,
            revision=policy.revision + 1,
            sender_service=chosen,
            fallback=fallback,
            sections={**policy.sections, **{part.service.NAME: plain(part.new) for part in parts}},
            incomplete=chosen is None or any(part.lacks and chosen == part.service.NAME for part in parts),
            updated_at=max(now, policy.updated_at + 1),
            failover_after_s=_brought(draft.failover_after_s, policy.failover_after_s),
            rates=_brought(draft.rates, policy.rates),
        )
        words = [f"Revision {draft.restores} restored"] if draft.restores is not None else []
        words += choice_changes(policy, saved)
        for part in parts:
            words += [f"{part.service.TITLE}: {change}" for change in part.changes()]
        rows.put(POLICIES, saved)
        rows.put(REVISIONS, _revision(saved, now, actor.name, tuple(words)))
        kept = {secret.sid for part in parts for secret in part.secrets.values()}
        for secret in in_force:
            if secret.service in find_services() and secret.sid not in kept:
                rows.put(SECRETS, msgspec.structs.replace(secret, retired_at=now))
        for secret in typed.values():
            rows.put(SECRETS, secret)
        if policy.sender_service != chosen and SANDBOX in (policy.sender_service, chosen):
            for text in rows.find(SANDBOX_TEXTS, "tenant", actor.tenant):
                rows.delete(SANDBOX_TEXTS, text.sid)
        add_line(context, rows, line, now, actor, "sender policy saved", _audit_detail(saved.revision, words))
        is_set = {(part.service.NAME, ref) for part in parts for ref in part.secrets}
        return Saved(saved, tuple(words), _shown(saved, lambda name, ref: (name, ref) in is_set))

    return Unit(decide, [lock(POLICIES, actor.tenant), lock_by(SECRETS, "tenant", actor.tenant)])


async def put(context: Context, actor: Actor, draft: Draft) -> Saved:
    """`save`, run and told."""
    saved = await context.store.run(save(context, actor, draft))
    tell(actor, saved)
    return saved


async def shown(context: Context, tenant: str) -> dict[str, Any]:
    """The policy as GET answers it: the choice, then a section for each service; secrets are null, with `…_set`."""
    policy = await context.store.get(POLICIES, tenant) or Policy(tenant)
    is_set = {
        (secret.service, plan.ref_of(secret))
        for secret in await context.store.find(SECRETS, "tenant", tenant)
        if secret.retired_at is None
    }
    return _shown(policy, lambda name, ref: (name, ref) in is_set)


@dataclass(frozen=True, slots=True)
class _Part:
    """One service's section before and after a Save.

    `in_force` are its stored secrets, `typed` the new ones, `secrets` those that stand in the new settings.
    """

    service: SenderService
    path: str
    old: Any
    new: Any
    submission: Submission[Any] | None
    in_force: Mapping[SecretRef, StoredSecret]
    typed: Mapping[SecretRef, StoredSecret]
    secrets: Mapping[SecretRef, StoredSecret]

    @classmethod
    def of(
        cls, service: SenderService, policy: Policy, draft: Draft, stored: list[StoredSecret], typed: Typed
    ) -> _Part:
        old = load(service.Settings, policy.sections.get(service.NAME, {}))
        submission = draft.sections.get(service.NAME)
        new = old if submission is None else submission.settings
        in_force = {plan.ref_of(secret): secret for secret in stored if secret.service == service.NAME}
        own = {ref: secret for (name, ref), secret in typed.items() if name == service.NAME}
        kept = {ref: secret for ref, secret in in_force.items() if submission is None or ref not in submission.cleared}
        standing = {place.ref for place in places(new, "")}
        secrets = {ref: secret for ref, secret in {**kept, **own}.items() if ref in standing}
        return cls(service, join(draft.path, service.NAME), old, new, submission, in_force, own, secrets)

    @property
    def lacks(self) -> bool:
        """Whether the service needs a secret that it does not have."""
        return any(ref not in self.secrets for ref, _ in needed(self.new, ""))

    def errors(self, policy: Policy, *, in_use: bool) -> list[FieldError]:
        """What keeps the new settings from being saved."""
        errors = list_problems(self.service, self.new, self.path) if in_use else []
        was_in_use = self.service.NAME in (policy.sender_service, *policy.fallback)
        cleared_before = {ref for ref, _ in needed(self.old, "") if was_in_use and ref not in self.in_force}
        formerly = {place.label: place.ref for place in places(self.old, "")}
        for place in places(self.new, self.path):
            if place.ref in self.typed or place.ref in self.in_force:
                continue
            said_unset = self.submission is None or place.ref in self.submission.cleared
            moved = formerly.get(place.label) in self.in_force and (place.owner_path is None or place.ref.owner != "")
            needed_here = in_use and place.field.required and not (said_unset and place.ref in cleared_before)
            claimed = self.submission is not None and place.path in self.submission.claimed
            # Without a user name there is nobody whose password it could be: it goes with the name.
            ownerless = moved and place.field.owner != "" and place.ref.owner == ""
            if needed_here or ((claimed or (moved and not said_unset)) and not ownerless):
                errors.append(_token_required(place, moved=moved))
        return errors

    def changes(self) -> Iterator[str]:
        """What differs, in words; of secrets only that they were changed or cleared."""
        yield from changes(self.service.Settings, plain(self.old), plain(self.new))
        before = {place.label: self.in_force.get(place.ref) for place in places(self.old, "")}
        for place in places(self.new, ""):
            now = self.secrets.get(place.ref)
            if now is None and before.get(place.label) is not None:
                yield f"{place.label}: cleared"
            elif place.ref in self.typed or (place.label in before and before[place.label] is not now):
                yield f"{place.label}: changed"


def _token_required(place: Place, *, moved: bool) -> FieldError:
    label = place.field.label
    if moved:
        message = f"The stored {label} belongs to another account or address. Type the one that belongs to this one."
    else:
        message = f"{label} is not stored. Type it."
    return FieldError(place.path, "token_required", message)


def _sealed(context: Context, actor: Actor, draft: Draft, now: int) -> Typed:
    """The typed secrets as rows. Sealed outside of the unit, which may be run again, and must come out the same."""
    typed = {}
    for name, section in draft.sections.items():
        for ref, secret in section.typed.items():
            row = context.ids("SE")
            typed[name, ref] = StoredSecret(
                sid=row,
                tenant=actor.tenant,
                service=name,
                field=ref.field,
                owner=ref.owner,
                destination=ref.destination,
                sealed=context.keyring.seal(plan.SEAL, secret.reveal(), row),
                set_at=now,
                set_by=actor.name,
            )
    return typed


def _choice(policy: Policy, draft: Draft) -> tuple[str | None, tuple[str, ...], list[FieldError]]:
    """The chosen service and the fallbacks after a Save, and what is wrong with them together."""
    chosen = _brought(draft.sender_service, policy.sender_service)
    fallback = _brought(draft.fallback, policy.fallback)
    at = join(draft.path, "sender_service")
    errors = []
    if chosen is not None and chosen not in find_services():
        errors.append(FieldError(at, "invalid", f"The service {chosen} is not installed here. Choose another."))
    if chosen in fallback and isinstance(draft.fallback, UnsetType):
        errors.append(FieldError(at, "invalid", f"{chosen} is a fallback. Take it out of `fallback` to choose it."))
    elif chosen in fallback:
        at = f"{join(draft.path, 'fallback')}[{fallback.index(str(chosen))}]"
        errors.append(FieldError(at, "invalid", "This is the chosen service itself."))
    return chosen, fallback, errors


def _brought(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if isinstance(value, UnsetType) else value


def _revision(saved: Policy, now: int, who: str, words: tuple[str, ...]) -> Revision:
    return Revision(
        tenant=saved.tenant,
        number=saved.revision,
        at=now,
        who=who,
        changes=words,
        sender_service=saved.sender_service,
        fallback=saved.fallback,
        sections=saved.sections,
        failover_after_s=saved.failover_after_s,
        rates=saved.rates,
    )


def choice_changes(old: Policy | Revision, new: Policy | Revision) -> Iterator[str]:
    """What differs beside the sections, for people: `Failover: off → after 60 s`, `Rate of MyBrand: 1 a second`."""
    if old.sender_service != new.sender_service:
        yield f"Sender service: {_titles(old.sender_service)} → {_titles(new.sender_service)}"
    if old.fallback != new.fallback:
        yield f"Fallback: {_titles(*old.fallback)} → {_titles(*new.fallback)}"
    if old.failover_after_s != new.failover_after_s:
        before, after = (
            "off" if after_s is None else f"after {after_s} s"
            for after_s in (old.failover_after_s, new.failover_after_s)
        )
        yield f"Failover: {before} → {after}"
    rates = {rate.origin: rate.messages_per_second for rate in new.rates}
    rates_before = {rate.origin: rate.messages_per_second for rate in old.rates}
    for origin, speed in rates.items():
        if (known := rates_before.get(origin)) != speed:
            was = "" if known is None else f"{known:g} → "
            yield f"Rate of {origin}: {was}{speed:g} a second"
    yield from (f"Rate of {origin}: removed" for origin in rates_before if origin not in rates)


def _titles(*names: str | None) -> str:
    services = find_services()
    return ", ".join(services[name].TITLE if name in services else name for name in names if name) or "none"


def _audit_detail(revision: int, words: list[str]) -> str:
    told = words[:AUDITED_CHANGES]
    if len(words) > len(told):
        told = [*told, f"and {len(words) - len(told)} more"]
    return f"revision {revision}: {'; '.join(told) or 'nothing changed'}"


def _shown(policy: Policy, is_set: Callable[[str, SecretRef], bool]) -> dict[str, Any]:
    answered: dict[str, Any] = {
        "sender_service": policy.sender_service,
        "revision": policy.revision,
        "fallback": list(policy.fallback),
        "failover_after_s": policy.failover_after_s,
        "rates": [msgspec.to_builtins(rate) for rate in policy.rates],
    }
    for name, service in find_services().items():
        settings = load(service.Settings, policy.sections.get(name, {}))
        answered[name] = answer(settings, partial(is_set, name))
    return answered

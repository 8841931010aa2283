"""Reports: what sender services tell later about messages, believed only where it is proven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from otpost.domain import delivery as rules
from otpost.domain.message import RANK, Attempt, EarlyReport, Message, Report
from otpost.domain.outcome import Vendor
from otpost.domain.phone import trusted
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import Confirmation, NotProven, Reported
from otpost.services.context import Context
from otpost.services.policy.plan import Plan, Plans, sender_of
from otpost.services.webhooks.events import announce_change, subscriptions_of
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import ATTEMPTS, EARLY_REPORTS, MESSAGES, POLICIES, REPORTS, VERIFICATIONS
from otpost.store.units import Rows, Unit, lock, lock_by, look

EARLY_KEPT_MS: Final = 600_000
MOST_EARLY: Final = 1000
"""How many early reports are kept of one service of a tenant."""

Judgement = Sequence[Reported] | NotProven | Confirmation
Prove = Callable[[Rows, str], Judgement]
"""Judges a call that claims to be a report for a tenant; asked once, whatever the unit has to run again for."""


def keep_report(context: Context, plans: Plans, service: str, attempt_sid: str, prove: Prove) -> Unit[Judgement | None]:
    """Keep what a service tells at an attempt's address, if `prove` believes it; None where it has no such attempt.

    Duplicates change nothing, disorder moves nothing back. The vendor's SID is left out where a listing has made it
    another attempt's. A report may name another attempt by our own SID of it, which nobody can guess; one that names
    another message by the service's is not believed, for this address does not prove it.
    """
    now = context.clock()
    proven: list[Judgement] = []

    def decide(rows: Rows) -> Judgement | None:
        attempt = rows.get(ATTEMPTS, attempt_sid)
        if attempt is None or attempt.service != service:
            return None
        if not proven:
            proven.append(prove(rows, attempt.tenant))
        told = proven[0]
        if isinstance(told, NotProven | Confirmation):
            return told
        by_address = capabilities(find_services()[service]).proven_by_address
        if not by_address and any(one.account_sid != attempt.account_sid for one in told):
            return NotProven("it speaks for another account than the one that sent the message")
        if len({one.vendor_sid for one in told if one.attempt is None}) > 1:
            return NotProven("it reports on several messages at the address of one")
        rows.require(*(lock(ATTEMPTS, one.attempt) for one in told if one.attempt is not None))
        named = [_attempt_of(rows, one, attempt.tenant, service) for one in told if one.attempt is not None]
        if None in named:
            return NotProven("it names another attempt than its address, and that one is not there")
        for one in told:
            if (current := rows.get(ATTEMPTS, one.attempt or attempt_sid)) is not None:
                apply_report(plans, rows, current, one, now)
        return told

    return Unit(decide, [lock(ATTEMPTS, attempt_sid)])


class Intake(NamedTuple):
    """The reports of a call that are kept, and those on messages that nobody knows."""

    reports: Sequence[Reported]
    unknown: Sequence[Reported]


def report_by_name(
    context: Context, plans: Plans, service: str, tenant: str, prove: Prove
) -> Unit[Intake | NotProven | Confirmation]:
    """The same for a service that calls one address for all messages: each report names its message."""
    now = context.clock()
    proven: list[Judgement] = []

    def decide(rows: Rows) -> Intake | NotProven | Confirmation:
        if not proven:
            proven.append(prove(rows, tenant))
        told = proven[0]
        if isinstance(told, NotProven | Confirmation):
            return told
        return _taken(plans, rows, service, tenant, told, now)

    return Unit(decide, [look(POLICIES, tenant)])


def report_early(context: Context, plans: Plans, service: str, tenant: str, told: Sequence[Reported]) -> Unit[Intake]:
    """Proven reports on messages that nobody knew: kept for some minutes, while a text of the service is in flight.

    The attempts in flight are locked before the reports' names are looked for, and by whoever settles one of them
    before it looks for reports: so one of the two sees what the other wrote.
    """
    now = context.clock()

    def decide(rows: Rows) -> Intake:
        in_flight = rows.find(ATTEMPTS, "in_flight", tenant, service)
        taken, unknown = _taken(plans, rows, service, tenant, told, now)
        if not in_flight or not unknown:
            return Intake(taken, unknown)
        kept = list(taken)
        standing = {EARLY_REPORTS.key(one) for one in rows.find(EARLY_REPORTS, "service", tenant, service)}
        for one in unknown:
            if one.attempt is not None or not one.vendor_sid:
                continue
            early = EarlyReport(
                *(tenant, service, one.vendor_sid, one.vendor_status, one.vendor_code or "", one.account_sid),
                *(now, now + EARLY_KEPT_MS, one.status, one.reason, one.detail, one.link),
            )
            key = EARLY_REPORTS.key(early)
            if key not in standing:
                if len(standing) >= MOST_EARLY:
                    continue
                standing.add(key)
                rows.put(EARLY_REPORTS, early)
            kept.append(one)
        return Intake(kept, [one for one in unknown if one not in kept])

    return Unit(decide, [lock_by(ATTEMPTS, "in_flight", tenant, service)])


def take_early(plans: Plans, rows: Rows, attempt: Attempt, now: int) -> Message | None:
    """What came of a locked attempt before its name was known; the message after it, None where nothing came."""
    message: Message | None = None
    if attempt.vendor_sid is None or not capabilities(find_services()[attempt.service]).proven_by_address:
        return None
    early = rows.find(EARLY_REPORTS, "vendor_sid", attempt.tenant, attempt.service, attempt.vendor_sid)
    for one in sorted(early, key=lambda one: (one.at, RANK[one.status])):
        code = one.vendor_code or None
        told = Reported(
            *(one.status, one.vendor_status, code, one.vendor_sid, one.account_sid, one.reason, one.detail, one.link)
        )
        message, attempt = apply_report(plans, rows, attempt, told, now)
        rows.delete(EARLY_REPORTS, *EARLY_REPORTS.key(one))
    return message


def _taken(plans: Plans, rows: Rows, service: str, tenant: str, told: Sequence[Reported], now: int) -> Intake:
    rows.require(
        *(lock(ATTEMPTS, one.attempt) for one in told if one.attempt is not None),
        *(lock_by(ATTEMPTS, "service_sid", service, one.vendor_sid) for one in told if one.attempt is None),
    )
    named = [(one, _attempt_of(rows, one, tenant, service)) for one in told]
    known = [(one, attempt) for one, attempt in named if attempt is not None]
    rows.require(*(lock(MESSAGES, attempt.message) for _, attempt in known))
    rows.require(*(lock(REPORTS, *_key(one, attempt)) for one, attempt in known))
    for one, attempt in known:
        if (current := rows.get(ATTEMPTS, attempt.sid)) is not None:
            apply_report(plans, rows, current, one, now)
    return Intake([one for one, _ in known], [one for one, attempt in named if attempt is None])


def _attempt_of(rows: Rows, told: Reported, tenant: str, service: str) -> Attempt | None:
    """The attempt that a report names: by our own SID of it, else by the service's name of the message."""
    if told.attempt is not None:
        attempts = [attempt for attempt in [rows.get(ATTEMPTS, told.attempt)] if attempt is not None]
    else:
        attempts = rows.find(ATTEMPTS, "service_sid", service, told.vendor_sid)
    return next((attempt for attempt in attempts if (attempt.tenant, attempt.service) == (tenant, service)), None)


def _key(told: Reported, attempt: Attempt) -> tuple[str, str, str]:
    return attempt.sid, told.vendor_status, told.vendor_code or ""


def apply_report(
    plans: Plans, rows: Rows, attempt: Attempt, told: Reported, now: int
) -> tuple[Message | None, Attempt]:
    """A report on a locked attempt, in the unit of somebody who believes it; both as they are after it."""
    key = _key(told, attempt)
    rows.require(lock(MESSAGES, attempt.message), lock(REPORTS, *key), subscriptions_of(attempt.tenant))
    message = rows.get(MESSAGES, attempt.message)
    if message is None or rows.get(REPORTS, *key) is not None:
        return message, attempt
    vendor_sid = attempt.vendor_sid
    if vendor_sid is None:
        account = (attempt.service, attempt.account_sid)
        owners = rows.find(ATTEMPTS, "vendor_sid", *account, told.vendor_sid, locked=False)
        vendor_sid = None if owners else told.vendor_sid or None
    vendor = Vendor(sid=vendor_sid, status=told.vendor_status, code=told.vendor_code)
    changed, after = moved(plans, rows, message, attempt, told, vendor, now)
    after = awaited(after, now)
    rows.put(REPORTS, Report(*key, attempt.message, now, told.status, told.reason, told.link))
    rows.put(ATTEMPTS, after)
    rows.put(MESSAGES, changed.filed(now))
    announce_change(rows, message, changed, now)
    if changed.due_at is not None and changed.due_at <= now:
        rows.signal(MESSAGES_DUE)
    return changed, after


def moved(
    plans: Plans, rows: Rows, message: Message, attempt: Attempt, told: Reported, vendor: Vendor, now: int
) -> tuple[Message, Attempt]:
    """Message and attempt after what the service told; a text that did not arrive goes another way where it may."""
    plan, ways, others = None, [], []
    unknown_before = attempt.outcome != "accepted"
    if told.status in ("failed", "undelivered"):
        others = others_of(rows, attempt)
        plan = _plan(plans, rows, message, now)
        if plan is not None and plan.has_other_ways:
            ways = plan.ways(trusted(message.to), sender_of(rows, message))
    elif unknown_before:
        plan = _plan(plans, rows, message, now)
    return rules.reported(
        message,
        attempt,
        told.status,
        vendor,
        now,
        reason=told.reason,
        detail=told.detail,
        link=told.link,
        failover_at=failover_at(plan, attempt) if plan is not None else None,
        ways=ways,
        others=others,
    )


def others_of(rows: Rows, attempt: Attempt) -> list[Attempt]:
    """The other attempts of its message, oldest first."""
    attempts = rows.find(ATTEMPTS, "message", attempt.message, locked=False)
    return [other for other in attempts if other.sid != attempt.sid]


def awaited(attempt: Attempt, now: int) -> Attempt:
    """The attempt as it waits for its reports, by what its service can be asked."""
    service = find_services().get(attempt.service)
    return rules.awaited(attempt, now, can_fetch=service is not None and capabilities(service).fetches_reports)


def _plan(plans: Plans, rows: Rows, message: Message, now: int) -> Plan | None:
    """The plan by which the message may go another way; None where nobody waits for it any more."""
    if message.verification is not None:
        verification = rows.look(VERIFICATIONS, message.verification)
        if verification is None or not verification.is_pending(now):
            return None
    plan = plans.plan_of(rows, message.tenant)
    return plan if plan.ready else None


def failover_at_of(plans: Plans, rows: Rows, message: Message, attempt: Attempt, now: int) -> int | None:
    """The same by the policy in force; None where nobody waits for the message any more."""
    plan = _plan(plans, rows, message, now)
    return None if plan is None else failover_at(plan, attempt)


def failover_at(plan: Plan, attempt: Attempt) -> int | None:
    """When a message goes another way because no report said `delivered`; None where the policy has no such time."""
    after_s = plan.policy.failover_after_s
    if after_s is None or not plan.has_other_ways:
        return None
    return attempt.started_at + after_s * 1000

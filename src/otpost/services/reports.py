"""Reports: what sender services tell later about messages, believed only where it is proven."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable

from otpost.domain import delivery as rules
from otpost.domain.message import Attempt, Message, Report
from otpost.domain.outcome import Vendor
from otpost.domain.phone import trusted
from otpost.senders.base import NotProven, Reported, fetches_reports, found, proven_by_address
from otpost.services import webhooks
from otpost.services.house import House
from otpost.services.policy.plan import Plan, plan_of, sender_of
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import ATTEMPTS, MESSAGES, POLICIES, REPORTS, VERIFICATIONS
from otpost.store.units import Rows, Unit, lock, look

PURPOSE = "reports"

Prove = Callable[[Rows, str], Reported | NotProven]
"""Judges a call that claims to be a report for a tenant; asked once, whatever the unit has to run again for."""


def proof(house: House, service: str, subject: str) -> str:
    """What proves an address that a service without signatures calls: `subject` is an attempt's SID or a tenant's."""
    return _proof(house, house.ring.current, service, subject)


def proves(house: House, service: str, subject: str, given: str) -> bool:
    """Whether `given` is the proof of that address, under any key that the ring still has."""
    proofs = [_proof(house, key_id, service, subject) for key_id in house.ring.ids]
    return any([hmac.compare_digest(proof.encode(), given.encode()) for proof in proofs])  # noqa: C419  # none is skipped


def _proof(house: House, key_id: str, service: str, subject: str) -> str:
    """96 bits, as 16 characters: some services take no address of more than 100."""
    digest = hmac.digest(house.ring.derived(PURPOSE, key_id), f"{service} {subject}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:12]).decode()


def report(house: House, service: str, attempt_sid: str, prove: Prove) -> Unit[Reported | NotProven | None]:
    """Keep what a service tells of an attempt, if `prove` believes it; None where there is no such attempt of it.

    Duplicates change nothing, disorder moves nothing back. The vendor's SID is left out where a listing has made it
    another attempt's.
    """
    now = house.clock()
    proven: list[Reported | NotProven] = []

    def decide(rows: Rows) -> Reported | NotProven | None:
        attempt = rows.get(ATTEMPTS, attempt_sid)
        if attempt is None or attempt.service != service:
            return None
        if not proven:
            proven.append(prove(rows, attempt.tenant))
        told = proven[0]
        if isinstance(told, Reported):
            by_address = proven_by_address(found()[service])
            if not by_address and told.account_sid != attempt.account_sid:
                return NotProven("it speaks for another account than the one that sent the message")
            take(house, rows, attempt, told, now)
        return told

    return Unit(decide, [lock(ATTEMPTS, attempt_sid)])


def report_by_vendor_sid(house: House, service: str, tenant: str, prove: Prove) -> Unit[Reported | NotProven | None]:
    """The same for a service that calls one address for all messages: the report names its own SID of the message."""
    now = house.clock()
    proven: list[Reported | NotProven] = []

    def decide(rows: Rows) -> Reported | NotProven | None:
        if not proven:
            proven.append(prove(rows, tenant))
        told = proven[0]
        if isinstance(told, NotProven):
            return told
        if told.attempt is not None:
            attempts = [attempt for attempt in [rows.get(ATTEMPTS, told.attempt)] if attempt is not None]
        else:
            attempts = rows.find(ATTEMPTS, "service_sid", service, told.vendor_sid)
        attempt = next((one for one in attempts if (one.tenant, one.service) == (tenant, service)), None)
        if attempt is None:
            return None
        take(house, rows, attempt, told, now)
        return told

    return Unit(decide, [look(POLICIES, tenant)])


def take(house: House, rows: Rows, attempt: Attempt, told: Reported, now: int) -> tuple[Message | None, Attempt]:
    """A report on a locked attempt, in the unit of somebody who believes it; both as they are after it."""
    key = (attempt.sid, told.vendor_status, told.vendor_code or "")
    rows.require(lock(MESSAGES, attempt.message), lock(REPORTS, *key), webhooks.subscribed(attempt.tenant))
    message = rows.get(MESSAGES, attempt.message)
    if message is None or rows.get(REPORTS, *key) is not None:
        return message, attempt
    vendor_sid = attempt.vendor_sid
    if vendor_sid is None:
        account = (attempt.service, attempt.account_sid)
        owners = rows.find(ATTEMPTS, "vendor_sid", *account, told.vendor_sid, locked=False)
        vendor_sid = None if owners else told.vendor_sid or None
    vendor = Vendor(sid=vendor_sid, status=told.vendor_status, code=told.vendor_code)
    changed, after = moved(house, rows, message, attempt, told, vendor, now)
    after = awaited(after, now)
    rows.put(REPORTS, Report(*key, attempt.message, now, told.status, told.reason, told.link))
    rows.put(ATTEMPTS, after)
    rows.put(MESSAGES, changed.filed(now))
    webhooks.told(rows, message, changed, now)
    if changed.due_at is not None and changed.due_at <= now:
        rows.signal(MESSAGES_DUE)
    return changed, after


def moved(
    house: House, rows: Rows, message: Message, attempt: Attempt, told: Reported, vendor: Vendor, now: int
) -> tuple[Message, Attempt]:
    """Message and attempt after what the service told; a text that did not arrive goes another way where it may."""
    plan, ways, others = None, [], []
    unknown_before = attempt.outcome != "accepted"
    if told.status in ("failed", "undelivered"):
        others = others_of(rows, attempt)
        plan = _plan(house, rows, message, now)
        if plan is not None and plan.has_other_ways:
            ways = plan.ways(trusted(message.to), sender_of(rows, message))
    elif unknown_before:
        plan = _plan(house, rows, message, now)
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
    service = found().get(attempt.service)
    return rules.awaited(attempt, now, can_fetch=service is not None and fetches_reports(service))


def _plan(house: House, rows: Rows, message: Message, now: int) -> Plan | None:
    """The plan by which the message may go another way; None where nobody waits for it any more."""
    if message.verification is not None:
        verification = rows.look(VERIFICATIONS, message.verification)
        if verification is None or not verification.is_pending(now):
            return None
    plan = plan_of(house, rows, message.tenant)
    return plan if plan.ready else None


def failover_at(plan: Plan, attempt: Attempt) -> int | None:
    """When a message goes another way because no report said `delivered`; None where the policy has no such time."""
    after_s = plan.policy.failover_after_s
    if after_s is None or not plan.has_other_ways:
        return None
    return attempt.started_at + after_s * 1000

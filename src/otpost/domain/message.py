"""A message, its attempts and its reports, and the one story that they tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from otpost.domain.outcome import OutcomeName, ReasonName
from otpost.domain.policy import Route, lane_of

MessageStatus = Literal[
    "queued", "sending", "accepted", "sent", "delivered", "undelivered", "failed", "expired", "unconfirmed"
]
ReportStatus = Literal["accepted", "sent", "delivered", "undelivered", "failed"]

NO_STALE_TEXT_S: Final = 10
BODY_KEPT_MS: Final = 3_600_000
FAR_AHEAD_MS: Final = 2_000
PLAIN_AFTER_MS: Final = 600_000
"""How much later than a verification's text a plain message has its turn."""

RANK: Final[dict[str, int]] = {
    "queued": 0,
    "sending": 1,
    "expired": 2,
    "unconfirmed": 2,
    "accepted": 3,
    "sent": 4,
    "failed": 5,
    "undelivered": 5,
    "delivered": 6,
}
FINAL: Final = frozenset({"failed", "undelivered", "delivered"})
ENDED: Final = FINAL | {"expired", "unconfirmed"}


class Message(msgspec.Struct, frozen=True):
    """One text to one number in the outbox.

    `due_at` is set while the message waits for an attempt, or for the moment at which it goes another way because no
    report said `delivered`; `put_off` is 1 while that is far enough ahead to be found by its moment alone. `turn`
    orders what is due: about when it was queued, later where its application had much to send already. `body` is a
    caller's own text, encrypted; a verification's text is rendered when it is sent. `number` is which send of its
    verification this is. `reason` is why it is not further, or ended as it did.
    """

    sid: str
    tenant: str
    application: str
    to: str
    status: MessageStatus
    segments: int
    created_at: int
    valid_until: int
    service: str
    account_sid: str
    origin: str
    route_reason: str
    lane: str
    due_at: int | None = None
    verification: str | None = None
    number: int = 1
    body: str | None = None
    reason: ReasonName | None = None
    tries: int = 0
    attempt: str | None = None
    turn: int = 0
    put_off: int = 0

    def usable(self, now: int) -> bool:
        """Whether enough of its life is left for a text to be of use."""
        return self.valid_until - now >= NO_STALE_TEXT_S * 1000

    @property
    def handed_over(self) -> bool:
        """Whether a service has taken it, and has not told its end."""
        return self.status in ("accepted", "sent")

    def filed(self, now: int) -> Message:
        """As it is kept: put off while it is due only some time from now."""
        put_off = int(self.due_at is not None and self.due_at - now > FAR_AHEAD_MS)
        return self if put_off == self.put_off else msgspec.structs.replace(self, put_off=put_off)

    def ended(self, status: MessageStatus, reason: ReasonName) -> Message:
        """No attempt will follow."""
        kept = None if status in ENDED else self.body
        return msgspec.structs.replace(self, status=status, reason=reason, due_at=None, body=kept)


class MessageExtras(msgspec.Struct, frozen=True):
    """What few messages have, kept beside the row that every one has: the address that Twilio's callbacks go to."""

    sid: str
    status_callback: str


def queued(
    sid: str,
    tenant: str,
    application: str,
    to: str,
    route: Route,
    *,
    now: int,
    valid_until: int,
    segments: int,
    verification: str | None = None,
    number: int = 1,
    body: str | None = None,
    turn: int | None = None,
) -> Message:
    """A new message, due now, on the route that the policy has for it now; `turn` is now where nobody says more."""
    return Message(
        sid=sid,
        tenant=tenant,
        application=application,
        to=to,
        status="queued",
        segments=segments,
        created_at=now,
        valid_until=valid_until,
        service=route.service,
        account_sid=route.account_sid,
        origin=route.origin,
        route_reason=route.reason,
        lane=lane_of(tenant, route),
        due_at=now,
        verification=verification,
        number=number,
        body=body,
        turn=now if turn is None else turn,
    )


class Attempt(msgspec.Struct, frozen=True):
    """One try of ours to hand a message to a sender service.

    Without an `outcome` it is an intent: it belongs to `node`, which is sending it now. `reason` is of the closed set,
    `detail` a sentence on this very case, `link` the service's page on its code. `look_at` is set while
    an `unknown` one waits for the next listing; `looked_at` is when its account was last asked for one, whether or not
    it could answer. `fetch_at` is set while the final report of an `accepted` one has not come; `status` is the
    furthest that the service has told of it.
    """

    sid: str
    tenant: str
    message: str
    node: str
    started_at: int
    service: str
    account_sid: str
    origin: str
    to: str
    outcome: OutcomeName | None = None
    status: ReportStatus | None = None
    duration_ms: int | None = None
    answered: bool = False
    reason: ReasonName | None = None
    link: str | None = None
    vendor_http_status: int | None = None
    vendor_code: str | None = None
    vendor_message: str | None = None
    vendor_sid: str | None = None
    vendor_status: str | None = None
    vendor_request_id: str | None = None
    unknown_at: int | None = None
    looked_at: int | None = None
    look_at: int | None = None
    fetch_at: int | None = None
    detail: str | None = None

    @property
    def route(self) -> Route:
        """The route that it took."""
        return Route(self.service, self.account_sid, self.origin, "")

    @property
    def lane(self) -> str:
        """The queue of the account that it was sent by."""
        return lane_of(self.tenant, self.route)

    @property
    def final(self) -> bool:
        """Whether the service has told the last word on it."""
        return self.status in FINAL

    @property
    def may_arrive(self) -> bool:
        """Whether its text is on its way, as far as anybody knows."""
        if self.outcome == "unknown":
            return self.look_at is not None
        return self.outcome is None or (self.outcome == "accepted" and not self.final)

    @property
    def may_be_out(self) -> bool:
        """Whether the phone may have its text or may get it, however long nobody has told so."""
        if self.outcome == "accepted":
            return self.status not in ("failed", "undelivered")
        return self.outcome in (None, "unknown")


class Report(msgspec.Struct, frozen=True):
    """What the service told later about an attempt; kept once for each status."""

    attempt: str
    vendor_status: str
    vendor_code: str
    message: str
    at: int
    status: ReportStatus
    reason: ReasonName | None = None
    link: str | None = None

    @property
    def order(self) -> tuple[int, int]:
        """In which order reports are told: by their moments, and those of one moment by how far they go."""
        return self.at, RANK[self.status]


class EarlyReport(msgspec.Struct, frozen=True):
    """A report under the service's own name of a message, from before the service's answer told that name.

    It becomes its attempt's once the answer has told which that is, and is dropped at `until` if none does.
    """

    tenant: str
    service: str
    vendor_sid: str
    vendor_status: str
    vendor_code: str
    account_sid: str
    at: int
    until: int
    status: ReportStatus
    reason: ReasonName | None = None
    detail: str = ""
    link: str | None = None


class Node(msgspec.Struct, frozen=True):
    """A running process that sends; once its heartbeat is too old its intents count as lost."""

    sid: str
    started_at: int
    beat_at: int


class SandboxText(msgspec.Struct, frozen=True):
    """A text as it arrived on the sandbox phone; `body` is encrypted."""

    sid: str
    tenant: str
    to: str
    body: str
    received_at: int


class Line(msgspec.Struct, frozen=True):
    """One event of a message's story: when, who (`otpost` or the service), what, and why.

    `what` is `queued`, an attempt's outcome (`sending` while there is none), `found` where a listing or a report
    settled an unknown outcome, a report's status, or the status that the message ended with. `duration_ms` is how
    long the service took to answer, `attempt` the SID of the one that it is about.
    """

    at: int
    who: str
    what: str
    reason: ReasonName | None = None
    detail: str | None = None
    vendor_code: str | None = None
    link: str | None = None
    duration_ms: int | None = None
    attempt: str | None = None


def timeline(message: Message, attempts: Sequence[Attempt], reports: Sequence[Report]) -> list[Line]:
    """What happened to a message, oldest first."""
    turned = bool(attempts) and _way(attempts[0]) != _way(message)
    lines = [Line(message.created_at, "otpost", "queued", detail=None if turned else message.route_reason)]
    for attempt in attempts:
        lines += _tried(attempt, message.route_reason if turned and attempt is attempts[-1] else None)
    reported = {attempt.sid: attempt for attempt in attempts}
    for report in sorted(reports, key=lambda report: report.order):
        of = reported.get(report.attempt)
        detail = of.detail if of is not None and of.status == report.status else None
        told = (report.status, report.reason, detail, report.vendor_code or None, report.link)
        lines.append(Line(report.at, message.service if of is None else of.service, *told, attempt=report.attempt))
    lines.sort(key=lambda line: line.at)
    told_already = lines[-1].what == message.status or (lines[-1].what == "refused" and message.status == "failed")
    if message.status in ENDED and message.status != "delivered" and not told_already:
        lines.append(Line(lines[-1].at, "otpost", message.status, message.reason))
    return lines


def _way(taken: Message | Attempt) -> tuple[str, str, str]:
    return taken.service, taken.account_sid, taken.origin


def _tried(attempt: Attempt, way: str | None) -> list[Line]:
    """The lines of an attempt without its reports; `way` is why it took another way than the one before it."""
    who, sid, took = attempt.service, attempt.sid, attempt.duration_ms
    at = attempt.started_at + (took or 0) if attempt.unknown_at is None else attempt.unknown_at
    if attempt.outcome is None:
        return [Line(at, who, "sending", detail=way, attempt=sid)]
    if attempt.outcome != "accepted":
        told = (attempt.outcome, attempt.reason, attempt.detail, attempt.vendor_code, attempt.link, took)
        return [Line(at, who, *told, attempt=sid)]
    if attempt.unknown_at is None:
        return [Line(at, who, "accepted", detail=way, duration_ms=took, attempt=sid)]
    return [
        Line(at, who, "unknown", "answer_lost", duration_ms=took, attempt=sid),
        Line(max(attempt.looked_at or 0, at), who, "found", detail=way, attempt=sid),
    ]

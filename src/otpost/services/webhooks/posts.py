"""The queue of posts: what is due, how each form is made and signed, and what is kept of each try."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from otpost.domain.access import AuditLine
from otpost.domain.webhook import TEST, Answer, Delivery, Form, Webhook, said, signed_headers
from otpost.outbound import AnswerLost, NotConnected, Outbound, OutboundRefused
from otpost.senders.twilio.signature import sign
from otpost.services.context import Context
from otpost.services.keyring import KeyRingError
from otpost.services.tenants.tenants import auth_tokens
from otpost.services.webhooks.events import WEBHOOKS_DUE
from otpost.store.kinds import AUDIT, TENANTS, WEBHOOK_DELIVERIES, WEBHOOKS
from otpost.store.units import Query, Rows, Unit, lock, look

SEAL: Final = "webhooks"
DUE_AT_ONCE: Final = 64
REPLAYED_AT_ONCE: Final = 500
TIME_OUT_S: Final = 15.0

_SECONDS: Final = re.compile(r"[0-9]{1,7}")


class Request(NamedTuple):
    """One POST, ready to go out."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Cannot(Exception):
    """A delivery cannot be posted, and no other try would be any better; the message is a sentence for its log."""


class Post(NamedTuple):
    """A claimed delivery with its request."""

    delivery: Delivery
    request: Request


class Claimed(NamedTuple):
    """What a claim took; `more` if further deliveries may be due."""

    posts: list[Post]
    more: bool


Make = Callable[[Context, Rows, Delivery, int], Request]
"""Makes the request of a claimed delivery, signed as of now; Cannot where it can not."""


def _standard(context: Context, rows: Rows, delivery: Delivery, now: int) -> Request:
    """JSON with the headers of Standard Webhooks, to its webhook's address as it is now."""
    webhook = rows.look(WEBHOOKS, delivery.webhook)
    if webhook is None:
        raise Cannot("The webhook was removed.")
    if not webhook.enabled:
        raise Cannot("The webhook was disabled before this could be delivered; enable it and replay.")
    return standard(context, webhook, delivery.sid, delivery.body, now)


def _twilio(context: Context, rows: Rows, delivery: Delivery, now: int) -> Request:
    """Form fields with Twilio's signature, made with the tenant's auth token as it is now."""
    tenant = rows.look(TENANTS, delivery.tenant)
    try:
        tokens = auth_tokens(context, tenant) if tenant is not None else []
    except KeyRingError as error:
        raise Cannot(f"It cannot be signed: {error}") from None
    if not tokens or delivery.url is None:
        raise Cannot("It cannot be signed: the tenant has no auth token.")
    pairs = parse_qsl(delivery.body, keep_blank_values=True)
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
        "x-twilio-signature": sign(tokens[0], delivery.url, pairs),
        "i-twilio-idempotency-token": delivery.sid,
    }
    return Request(delivery.url, headers, delivery.body.encode())


FORMS: Final[Mapping[Form, Make]] = {"standard": _standard, "twilio": _twilio}
"""How a delivery of each form becomes a request. A new form is a line here; all else is the same for each."""


def standard(context: Context, webhook: Webhook, delivery_sid: str, body: str, now: int) -> Request:
    """A post to a webhook, signed with all secrets that are in force; Cannot where none can be opened."""
    raw = body.encode()
    try:
        secrets = [context.keyring.open(SEAL, secret.sealed, webhook.sid) for secret in webhook.secrets_at(now)]
    except KeyRingError as error:
        raise Cannot(f"It cannot be signed: {error}") from None
    return Request(webhook.url, signed_headers(secrets, delivery_sid, now // 1000, raw), raw)


def claim(context: Context, free: Callable[[str], int], full: Sequence[str], many: int = DUE_AT_ONCE) -> Unit[Claimed]:
    """Take deliveries that are due, each leased to the caller for a minute; whoever dies leaves them to the next.

    `free` is how many more a lane takes, `full` the lanes that take none, `many` the most that are looked at.
    """
    now = context.clock()
    query = Query(
        WEBHOOK_DELIVERIES,
        "due_at <= :now AND NOT lane IN :full ORDER BY due_at LIMIT :many",
        now=now,
        full=list(full),
        many=many,
    )

    def decide(rows: Rows) -> Claimed:
        found = rows.found(query)
        # As they are now: another claim of the same batch may have taken some.
        due = [delivery for delivery in found if delivery.due_at is not None and delivery.due_at <= now]
        rows.require(
            *(look(WEBHOOKS, delivery.webhook) for delivery in due if delivery.webhook is not None),
            *(look(TENANTS, delivery.tenant) for delivery in due if delivery.form == "twilio"),
        )
        taken: dict[str, int] = {}
        posts: list[Post] = []
        ended = 0
        for delivery in due:
            if taken.get(delivery.lane, 0) >= free(delivery.lane):
                continue
            claimed = delivery.claimed(now)
            try:
                request = FORMS[delivery.form](context, rows, claimed, now)
            except Cannot as why:
                hopeless = Answer(error=str(why), hopeless=True)
                rows.put(WEBHOOK_DELIVERIES, claimed.settled(hopeless, now, 0.0))
                ended += 1
                continue
            taken[delivery.lane] = taken.get(delivery.lane, 0) + 1
            rows.put(WEBHOOK_DELIVERIES, claimed)
            posts.append(Post(claimed, request))
        return Claimed(posts, len(found) == many and len(posts) + ended > 0)

    return Unit(decide, query=query)


async def ask(context: Context, http: Outbound, request: Request) -> Answer:
    """Post once, 15 s at most; whatever happens is an answer."""
    began = context.clock()
    try:
        response = await http.request(
            "POST", request.url, headers=request.headers, body=request.body, total_s=TIME_OUT_S
        )
    except OutboundRefused as refused:
        return Answer(error=refused.reason, duration_ms=context.clock() - began, hopeless=True)
    except (NotConnected, AnswerLost) as failed:
        return Answer(error=failed.reason, duration_ms=context.clock() - began)
    return Answer(
        http_status=response.status,
        said=said(response.body),
        duration_ms=context.clock() - began,
        retry_after_s=_seconds(response.headers.get("retry-after", "").strip()),
    )


def _seconds(wait: str) -> float | None:
    return float(wait) if _SECONDS.fullmatch(wait) else None


def settle(context: Context, claimed: Delivery, answer: Answer) -> Unit[Delivery | None]:
    """Keep what a try came to; None where the lease has run out and the delivery is in other hands."""
    now, jitter, line = context.clock(), context.random.random(), context.ids("AU")

    def decide(rows: Rows) -> Delivery | None:
        delivery = rows.get(WEBHOOK_DELIVERIES, claimed.sid)
        if delivery is None or (delivery.status, delivery.due_at) != ("posting", claimed.due_at):
            return None
        settled = delivery.settled(answer, now, jitter)
        rows.put(WEBHOOK_DELIVERIES, settled)
        if delivery.webhook is not None:
            _keep_health(rows, delivery.webhook, answer, line, now)
        return settled

    needs = [look(WEBHOOKS, claimed.webhook)] if claimed.webhook is not None else []
    return Unit(decide, [lock(WEBHOOK_DELIVERIES, claimed.sid), *needs])


def _keep_health(rows: Rows, webhook_sid: str, answer: Answer, line: str, now: int) -> None:
    """Remember since when a webhook fails, and disable one that has failed for days; mostly there is nothing to."""
    seen = rows.look(WEBHOOKS, webhook_sid)
    if seen is None or seen.after(answer, now) is seen:
        return
    webhook = rows.get(WEBHOOKS, webhook_sid)
    if webhook is None:
        return
    after = webhook.after(answer, now)
    rows.put(WEBHOOKS, after)
    if webhook.enabled and not after.enabled:
        rows.put(AUDIT, AuditLine(line, webhook.tenant, now, "Otpost", "webhook disabled", after.sentence))


def replay(context: Context, webhook_sid: str, since: int, until: int, after: str) -> Unit[list[str]]:
    """Put failed deliveries of events from `since` to `until` back into the queue, at most 500 a time; their SIDs.

    `after` is the last SID of the time before: one that fails again meanwhile is not found a second time.
    """
    now = context.clock()
    query = Query(
        WEBHOOK_DELIVERIES,
        "webhook = :webhook AND sid > :after AND status = 'failed' AND created_at BETWEEN :since AND :until "
        "AND type <> :test ORDER BY sid LIMIT :many",
        webhook=webhook_sid,
        after=after,
        since=since,
        until=until,
        test=TEST,
        many=REPLAYED_AT_ONCE,
    )

    def decide(rows: Rows) -> list[str]:
        failed = [delivery for delivery in rows.found(query) if delivery.status == "failed"]
        for delivery in failed:
            rows.put(WEBHOOK_DELIVERIES, delivery.again(now))
        if failed:
            rows.signal(WEBHOOKS_DUE)
        return [delivery.sid for delivery in failed]

    return Unit(decide, query=query)

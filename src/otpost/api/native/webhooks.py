"""`/v1/applications/{sid}/webhooks`: the addresses that are told of events, and the log of what they were told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from otpost.api.endpoint import Reply
from otpost.api.lists import ListQuery, read_moment_at
from otpost.api.native import shapes
from otpost.api.native.endpoint import Call, Endpoint
from otpost.domain.errors import NotFound, refusal
from otpost.domain.moments import format_moment, format_moment_or_none
from otpost.domain.sid import DELIVERY, WEBHOOK
from otpost.domain.text.characters import trimmed, unwrapped
from otpost.domain.webhook import Delivery, Disabled, Event, Status, Webhook
from otpost.services.idempotency import Answer
from otpost.services.tenants.applications import NO_APPLICATION, read_application
from otpost.services.webhooks import endpoints
from otpost.services.webhooks.endpoints import MadeWebhook

Anything = Event | Literal["webhook.test"]


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    url: str
    events: list[Event]
    description: str = ""


class WebhookPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is."""

    url: str | UnsetType = UNSET
    events: list[Event] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True):
    since: Annotated[str, msgspec.Meta(description="An RFC 3339 moment: events from then on.")]


class LogQuery(ListQuery):
    status: Status | None = None
    type: Anything | None = None
    after: str | None = None


class WebhookShape(msgspec.Struct):
    """`disabled` is why Otpost itself disabled it, `failing_since` since when nothing has reached it."""

    sid: str
    application: str
    url: str
    description: str
    events: list[Event]
    enabled: bool
    disabled: Disabled | None
    disabled_at: str | None
    failing_since: str | None
    secret_set_at: str
    old_secret_until: str | None
    created_at: str
    updated_at: str


class NewSecretShape(WebhookShape):
    """`secret` is shown this once."""

    secret: str


class TryShape(msgspec.Struct):
    """One post: the answer's status with its first 300 characters, or in `error` why there was none."""

    at: str
    duration_ms: int
    http_status: int | None
    answer: str
    error: str


class DeliveryShape(msgspec.Struct):
    """`sid` is the `webhook-id` of its posts; `next_at` when the next one is due."""

    sid: str
    webhook: str
    type: Anything
    subject: str
    status: Status
    created_at: str
    next_at: str | None
    finished_at: str | None
    tries: list[TryShape]


class DeliveryDetail(DeliveryShape):
    """`body` is what is posted, to the letter."""

    body: str


class ReplayedShape(msgspec.Struct):
    replayed: int


async def listing(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    application = await _application(call)
    page = await endpoints.listing(call.context, call.tenant, application, limit=query.limit, cursor=query.at(WEBHOOK))
    return Reply(200, shapes.Page([shape(row, call.context.clock()) for row in page.rows], page.next))


async def create(call: Call[WebhookBody]) -> Reply | Answer:
    application, body = await _application(call), call.body
    url, description = unwrapped(body.url), trimmed(body.description)
    wrong = await endpoints.url_errors(call.surroundings.http, url)
    wrong += endpoints.event_errors(body.events) + endpoints.description_errors(description)
    if wrong:
        raise refusal(wrong)
    unit = endpoints.make(call.context, call.actor, application, url, body.events, description)
    return await call.run(unit, lambda made: Reply(201, _new(made, call.context.clock())))


async def read(call: Call[None]) -> Reply:
    return Reply(200, shape(await _webhook(call), call.context.clock()))


async def change(call: Call[WebhookPatch]) -> Reply | Answer:
    application, body = await _application(call), call.body
    url = None if body.url is UNSET else unwrapped(body.url)
    events = None if body.events is UNSET else body.events
    description = None if body.description is UNSET else trimmed(body.description)
    wrong = [] if url is None else await endpoints.url_errors(call.surroundings.http, url)
    wrong += [] if events is None else endpoints.event_errors(events)
    wrong += [] if description is None else endpoints.description_errors(description)
    if wrong:
        raise refusal(wrong)
    unit = endpoints.change(
        call.context,
        call.actor,
        application,
        call.path["webhook"],
        url=url,
        events=events,
        description=description,
        enabled=None if body.enabled is UNSET else body.enabled,
    )
    return await call.run(unit, lambda webhook: Reply(200, shape(webhook, call.context.clock())))


async def remove(call: Call[None]) -> Reply:
    application = await _application(call)
    await call.require_key()
    await endpoints.remove(call.context, call.actor, application, call.path["webhook"])
    return Reply(204)


async def rotate(call: Call[None]) -> Reply | Answer:
    unit = endpoints.rotate(call.context, call.actor, await _application(call), call.path["webhook"])
    return await call.run(unit, lambda made: Reply(200, _new(made, call.context.clock())))


async def test(call: Call[None]) -> Reply | Answer:
    application = await _application(call)

    async def work() -> Reply:
        done = await endpoints.test(call.context, call.surroundings.http, call.actor, application, call.path["webhook"])
        return Reply(200, detail(done))

    return await call.run_outside(work)


async def log(call: Call[None]) -> Reply:
    query: LogQuery = call.query
    webhook = await _webhook(call)
    page = await endpoints.log(
        call.context,
        webhook.sid,
        status=query.status,
        event=query.type,
        after=None if query.after is None else read_moment_at(query.after, "after"),
        limit=query.limit,
        cursor=query.at(DELIVERY),
    )
    return Reply(200, shapes.Page([delivery(row) for row in page.rows], page.next))


async def read_delivery(call: Call[None]) -> Reply:
    webhook = await _webhook(call)
    return Reply(200, detail(await endpoints.delivery(call.context, webhook.sid, call.path["delivery"])))


async def replay(call: Call[None]) -> Reply | Answer:
    application, actor = await _application(call), call.actor
    unit = endpoints.replay_one(call.context, actor, application, call.path["webhook"], call.path["delivery"])
    return await call.run(unit, lambda again: Reply(202, delivery(again)))


async def replay_failed(call: Call[ReplayBody]) -> Reply | Answer:
    application, since = await _application(call), read_moment_at(call.body.since, "since")

    async def work() -> Reply:
        count = await endpoints.replay_failed(call.context, call.actor, application, call.path["webhook"], since)
        return Reply(202, ReplayedShape(count))

    return await call.run_outside(work)


async def _application(call: Call[Any]) -> str:
    """The SID of the application in the path; NotFound for one that the key may not act for."""
    key, wanted = call.principal.key, call.path["sid"]
    if key.application not in (None, wanted):
        raise NotFound(NO_APPLICATION)
    return (await read_application(call.context, call.tenant, wanted)).sid


async def _webhook(call: Call[None]) -> Webhook:
    application = await _application(call)
    return await endpoints.one(call.context, call.tenant, application, call.path["webhook"])


def shape(row: Webhook, now: int) -> WebhookShape:
    old = [secret.until for secret in row.secrets_at(now) if secret.until is not None]
    return WebhookShape(
        sid=row.sid,
        application=row.application,
        url=row.url,
        description=row.description,
        events=list(row.events),
        enabled=row.enabled,
        disabled=row.disabled,
        disabled_at=format_moment_or_none(row.disabled_at),
        failing_since=format_moment_or_none(row.failing_since),
        secret_set_at=format_moment(row.secrets[0].made_at),
        old_secret_until=format_moment_or_none(max(old, default=None)),
        created_at=format_moment(row.created_at),
        updated_at=format_moment(row.updated_at),
    )


def _new(made: MadeWebhook, now: int) -> NewSecretShape:
    return NewSecretShape(**msgspec.structs.asdict(shape(made.webhook, now)), secret=made.secret)


def delivery(row: Delivery) -> DeliveryShape:
    assert row.webhook is not None
    return DeliveryShape(
        sid=row.sid,
        webhook=row.webhook,
        type=row.type,  # type: ignore[arg-type]  # one of the events, or the test
        subject=row.subject,
        status=row.status,
        created_at=format_moment(row.created_at),
        next_at=format_moment_or_none(row.due_at if row.status == "waiting" else None),
        finished_at=format_moment_or_none(row.finished_at),
        tries=[
            TryShape(
                at=format_moment(line.at),
                duration_ms=line.duration_ms,
                http_status=line.http_status,
                answer=line.said,
                error=line.error,
            )
            for line in row.log
        ],
    )


def detail(row: Delivery) -> DeliveryDetail:
    return DeliveryDetail(**msgspec.structs.asdict(delivery(row)), body=row.body)


_ALL = "/v1/applications/{sid}/webhooks"
_ONE = _ALL + "/{webhook}"
_LOG = _ONE + "/deliveries"

ENDPOINTS = (
    Endpoint(
        "GET",
        _ALL,
        listing,
        "verify",
        "List an application's webhooks, newest first",
        {200: shapes.Page[WebhookShape]},
        query=ListQuery,
        refuses=("not_found",),
    ),
    Endpoint(
        "POST",
        _ALL,
        create,
        "verify",
        "Make a webhook; its secret is shown this once",
        {201: NewSecretShape},
        body=WebhookBody,
        refuses=("not_found",),
    ),
    Endpoint("GET", _ONE, read, "verify", "Read a webhook", {200: WebhookShape}, refuses=("not_found",)),
    Endpoint(
        "PATCH",
        _ONE,
        change,
        "verify",
        "Change, enable or disable a webhook",
        {200: WebhookShape},
        body=WebhookPatch,
        refuses=("not_found",),
    ),
    Endpoint(
        "DELETE", _ONE, remove, "verify", "Remove a webhook with its log at once", {204: None}, refuses=("not_found",)
    ),
    Endpoint(
        "POST",
        _ONE + "/secret",
        rotate,
        "verify",
        "Make a new secret, shown this once; the old one signs for 24 h more",
        {200: NewSecretShape},
        refuses=("not_found",),
    ),
    Endpoint(
        "POST",
        _ONE + "/test",
        test,
        "verify",
        "Post a test event now, and tell what was answered",
        {200: DeliveryDetail},
        refuses=("not_found", "tests_reached"),
    ),
    Endpoint(
        "POST",
        _ONE + "/replay",
        replay_failed,
        "verify",
        "Post again every event since a moment whose delivery has failed",
        {202: ReplayedShape},
        body=ReplayBody,
        refuses=("not_found",),
    ),
    Endpoint(
        "GET",
        _LOG,
        log,
        "verify",
        "List a webhook's deliveries, newest first",
        {200: shapes.Page[DeliveryShape]},
        query=LogQuery,
        refuses=("not_found",),
    ),
    Endpoint(
        "GET",
        _LOG + "/{delivery}",
        read_delivery,
        "verify",
        "Read a delivery with its body and its tries",
        {200: DeliveryDetail},
        refuses=("not_found",),
    ),
    Endpoint(
        "POST",
        _LOG + "/{delivery}/replay",
        replay,
        "verify",
        "Post a delivery again",
        {202: DeliveryShape},
        refuses=("not_found",),
    ),
)

"""An application's webhooks as people and keys manage them, and the log of what was posted to each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from otpost.domain.access import Actor
from otpost.domain.errors import FieldError, Invalid, NotFound, TestsReached, invalid
from otpost.domain.limits import Window
from otpost.domain.sid import DELIVERY, WEBHOOK, is_sid
from otpost.domain.text import TextRefused, read_line
from otpost.domain.webhook import (
    DESCRIPTION_LENGTH,
    EVENTS,
    MOST_WEBHOOKS,
    SECRET_BYTES,
    TEST,
    URL_LENGTH,
    Answer,
    Delivery,
    Event,
    SigningSecret,
    Webhook,
    secret_text,
)
from otpost.outbound import Outbound
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.paging import Page, Wanted, read_page, sids_between
from otpost.services.tenants.applications import NO_APPLICATION
from otpost.services.webhooks.events import WEBHOOKS_DUE, post_body
from otpost.services.webhooks.posts import SEAL, Cannot, Request, ask, replay, standard
from otpost.store.base import erase_rows
from otpost.store.kinds import APPLICATIONS, WEBHOOK_DELIVERIES, WEBHOOKS, WINDOWS
from otpost.store.units import Rows, Unit, lock, lock_by, look

NO_WEBHOOK = "There is no such webhook."
NO_DELIVERY = "There is no such delivery."
TESTS, TESTS_MS = 10, 60_000


class MadeWebhook(msgspec.Struct, frozen=True):
    """A webhook with its new secret, which is shown this once."""

    webhook: Webhook
    secret: str


async def url_errors(http: Outbound, url: str) -> list[FieldError]:
    """What is wrong with an address: its form, or that the outbound guard would refuse it."""
    if not url:
        return [FieldError("url", "required", "Give the https address that shall be called.")]
    if len(url) > URL_LENGTH:
        return [FieldError("url", "text_too_long", f"The address has at most {URL_LENGTH} characters.")]
    refused = await http.judge(url)
    return [] if refused is None else [FieldError("url", "invalid", refused)]


def description_errors(description: str) -> list[FieldError]:
    try:
        read_line(description, DESCRIPTION_LENGTH, "The description")
    except TextRefused as refused:
        return [FieldError("description", refused.code, refused.message)]
    return []


def event_errors(events: Sequence[str]) -> list[FieldError]:
    if not events:
        return [FieldError("events", "required", f"Choose at least one event: {', '.join(EVENTS)}.")]
    return [
        FieldError(f"events[{place}]", "duplicate", f"{event} stands in the list already.")
        for place, event in enumerate(events)
        if event in events[:place]
    ]


def make(
    context: Context, actor: Actor, application: str, url: str, events: Sequence[Event], description: str
) -> Unit[MadeWebhook]:
    """A new webhook, enabled; its fields are judged already. Raises NotFound, and Invalid for one too many."""
    now, sid, line = context.clock(), context.ids(WEBHOOK), context.ids("AU")
    secret = secret_text(context.random.randbytes(SECRET_BYTES))
    kept = SigningSecret(context.keyring.seal(SEAL, secret, sid), now)

    def decide(rows: Rows) -> MadeWebhook:
        owner = rows.look(APPLICATIONS, application)
        if owner is None or owner.tenant != actor.tenant:
            raise NotFound(NO_APPLICATION)
        others = rows.find(WEBHOOKS, "application", application)
        if len(others) >= MOST_WEBHOOKS:
            raise invalid("url", "out_of_range", f"An application has at most {MOST_WEBHOOKS} webhooks; remove one.")
        _judge_url(others, url)
        webhook = Webhook(
            sid=sid,
            tenant=actor.tenant,
            application=application,
            url=url,
            description=description,
            events=tuple(events),
            enabled=True,
            secrets=(kept,),
            created_at=now,
            updated_at=now,
        )
        rows.put(WEBHOOKS, webhook)
        add_line(context, rows, line, now, actor, "webhook made", f"{sid} {url}")
        return MadeWebhook(webhook, secret)

    return Unit(decide, [look(APPLICATIONS, application), lock_by(WEBHOOKS, "application", application)])


def change(
    context: Context,
    actor: Actor,
    application: str,
    webhook_sid: str,
    *,
    url: str | None = None,
    events: Sequence[Event] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> Unit[Webhook]:
    """Change some of a webhook; None leaves it as it is. What waits in its queue goes to the new address."""
    _known(webhook_sid)
    now, line = context.clock(), context.ids("AU")
    given = {"url": url, "events": None if events is None else tuple(events), "description": description}
    changes = {name: value for name, value in given.items() if value is not None}

    def decide(rows: Rows) -> Webhook:
        webhook = _own(rows.get(WEBHOOKS, webhook_sid), actor.tenant, application)
        if url is not None:
            _judge_url([other for other in rows.find(WEBHOOKS, "application", application) if other != webhook], url)
        changed: Webhook = msgspec.structs.replace(webhook, **changes, updated_at=now)
        if changed.url != webhook.url:
            changed = msgspec.structs.replace(changed, failing_since=None)
        if enabled is not None:
            changed = changed.switched(enabled=enabled, now=now)
        rows.put(WEBHOOKS, changed)
        what = [*changes, *([] if enabled is None else ["enabled" if enabled else "disabled"])]
        add_line(context, rows, line, now, actor, "webhook changed", f"{webhook_sid}: {', '.join(what)}")
        return changed

    return Unit(decide, [lock(WEBHOOKS, webhook_sid), lock_by(WEBHOOKS, "application", application)])


def rotate(context: Context, actor: Actor, application: str, webhook_sid: str) -> Unit[MadeWebhook]:
    """Give a webhook a new secret; for 24 h the one before it signs as well."""
    _known(webhook_sid)
    now, line = context.clock(), context.ids("AU")
    secret = secret_text(context.random.randbytes(SECRET_BYTES))
    sealed = context.keyring.seal(SEAL, secret, webhook_sid)

    def decide(rows: Rows) -> MadeWebhook:
        webhook = _own(rows.get(WEBHOOKS, webhook_sid), actor.tenant, application).rotated(sealed, now)
        rows.put(WEBHOOKS, webhook)
        add_line(context, rows, line, now, actor, "webhook secret replaced", webhook_sid)
        return MadeWebhook(webhook, secret)

    return Unit(decide, [lock(WEBHOOKS, webhook_sid)])


async def remove(context: Context, actor: Actor, application: str, webhook_sid: str) -> None:
    """Take a webhook away with its queue and its log."""
    _known(webhook_sid)
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        webhook = _own(rows.get(WEBHOOKS, webhook_sid), actor.tenant, application)
        rows.delete(WEBHOOKS, webhook_sid)
        add_line(context, rows, line, now, actor, "webhook removed", f"{webhook_sid} {webhook.url}")

    await context.store.run(Unit(decide, [lock(WEBHOOKS, webhook_sid)]))
    await erase_rows(context.store, WEBHOOK_DELIVERIES, webhook=webhook_sid)


async def test(context: Context, http: Outbound, actor: Actor, application: str, webhook_sid: str) -> Delivery:
    """Post a `webhook.test` now, once, and keep it in the log. Ten a minute for each webhook; TestsReached beyond."""
    _known(webhook_sid)
    sid, line = context.ids(DELIVERY), context.ids("AU")
    body = post_body(TEST, context.clock(), {"sid": webhook_sid, "application": application})
    webhook, request = await context.store.run(_begin_test(context, actor, application, webhook_sid, sid, body, line))
    answer = request if isinstance(request, Answer) else await ask(context, http, request)
    now = context.clock()
    begun = Delivery(
        sid=sid,
        tenant=webhook.tenant,
        application=webhook.application,
        webhook=webhook.sid,
        lane=webhook.sid,
        form="standard",
        url=None,
        type=TEST,
        subject=webhook.sid,
        body=body,
        created_at=now - answer.duration_ms,
        tries=1,
    )
    done = begun.settled(answer, now, 0.0).ended("delivered" if answer.taken else "failed", now)
    await context.store.run(Unit(lambda rows: rows.put(WEBHOOK_DELIVERIES, done)))
    return done


def _begin_test(
    context: Context, actor: Actor, application: str, webhook_sid: str, sid: str, body: str, line: str
) -> Unit[tuple[Webhook, Request | Answer]]:
    now = context.clock()

    def decide(rows: Rows) -> tuple[Webhook, Request | Answer]:
        webhook = _own(rows.look(WEBHOOKS, webhook_sid), actor.tenant, application)
        window = rows.get(WINDOWS, "webhook", webhook_sid) or Window("webhook", webhook_sid, until=0)
        if (at := window.free_at(now, TESTS_MS, TESTS)) is not None:
            raise TestsReached(
                "This webhook was tested ten times within the last minute; wait before the next test.", retry_at=at
            )
        rows.put(WINDOWS, window.hit(now, TESTS_MS, TESTS))
        add_line(context, rows, line, now, actor, "webhook tested", webhook_sid)
        try:
            return webhook, standard(context, webhook, sid, body, now)
        except Cannot as why:
            return webhook, Answer(error=str(why), hopeless=True)

    return Unit(decide, [look(WEBHOOKS, webhook_sid), lock(WINDOWS, "webhook", webhook_sid)])


def replay_one(context: Context, actor: Actor, application: str, webhook_sid: str, delivery_sid: str) -> Unit[Delivery]:
    """Post a delivery again, whatever became of it; one that still waits is due at once."""
    _known(webhook_sid)
    if not is_sid(delivery_sid, DELIVERY):
        raise NotFound(NO_DELIVERY)
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> Delivery:
        webhook = _own(rows.look(WEBHOOKS, webhook_sid), actor.tenant, application)
        delivery = rows.get(WEBHOOK_DELIVERIES, delivery_sid)
        if delivery is None or delivery.webhook != webhook_sid:
            raise NotFound(NO_DELIVERY)
        _judge_enabled(webhook)
        again = delivery.again(now)
        rows.put(WEBHOOK_DELIVERIES, again)
        rows.signal(WEBHOOKS_DUE)
        add_line(context, rows, line, now, actor, "webhook delivery replayed", delivery_sid)
        return again

    return Unit(decide, [look(WEBHOOKS, webhook_sid), lock(WEBHOOK_DELIVERIES, delivery_sid)])


async def replay_failed(context: Context, actor: Actor, application: str, webhook_sid: str, since: int) -> int:
    """Post again every event since then whose delivery has failed, tests apart; their count."""
    now, line = context.clock(), context.ids("AU")
    webhook = await one(context, actor.tenant, application, webhook_sid)
    _judge_enabled(webhook)
    count, after = 0, ""
    while replayed := await context.store.run(replay(context, webhook_sid, since, now, after)):
        count, after = count + len(replayed), replayed[-1]
    detail = f"{webhook_sid}: {count}"
    await context.store.run(
        Unit(lambda rows: add_line(context, rows, line, now, actor, "webhook deliveries replayed", detail))
    )
    return count


async def one(context: Context, tenant: str, application: str, webhook_sid: str) -> Webhook:
    """A webhook of the application; NotFound for another's."""
    _known(webhook_sid)
    return _own(await context.store.get(WEBHOOKS, webhook_sid), tenant, application)


async def listing(context: Context, tenant: str, application: str, *, limit: int, cursor: str | None) -> Page:
    """The webhooks of an application, newest first."""
    table = WEBHOOKS.table
    wanted = Wanted(WEBHOOKS, [table.c.application == application], [table.c.tenant == tenant])
    return await read_page(context.store, wanted, limit, cursor)


async def log(
    context: Context,
    webhook_sid: str,
    *,
    status: str | None,
    event: str | None,
    after: int | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """What was, is and will be posted to a webhook, newest first. `after`: of events later than that."""
    table = WEBHOOK_DELIVERIES.table
    tests = []
    if status is not None:
        tests.append(table.c.status == status)
    if event is not None:
        tests.append(table.c.type == event)
    along = [table.c.webhook == webhook_sid]
    if after is not None:
        along += sids_between(WEBHOOK_DELIVERIES, DELIVERY, after, None)
        tests.append(table.c.created_at > after)
    return await read_page(context.store, Wanted(WEBHOOK_DELIVERIES, along, tests), limit, cursor)


async def delivery(context: Context, webhook_sid: str, delivery_sid: str) -> Delivery:
    """One delivery to the webhook; NotFound for another's."""
    known = is_sid(delivery_sid, DELIVERY)
    row = await context.store.get(WEBHOOK_DELIVERIES, delivery_sid) if known else None
    if row is None or row.webhook != webhook_sid:
        raise NotFound(NO_DELIVERY)
    return row


async def disabled(context: Context, tenant: str) -> Sequence[Webhook]:
    """The tenant's webhooks that Otpost itself has disabled."""
    return [row for row in await context.store.find(WEBHOOKS, "tenant", tenant) if row.disabled is not None]


def _known(webhook_sid: str) -> None:
    if not is_sid(webhook_sid, WEBHOOK):
        raise NotFound(NO_WEBHOOK)


def _own(webhook: Webhook | None, tenant: str, application: str) -> Webhook:
    if webhook is None or (webhook.tenant, webhook.application) != (tenant, application):
        raise NotFound(NO_WEBHOOK)
    return webhook


def _judge_url(others: Sequence[Webhook], url: str) -> None:
    if any(other.url == url for other in others):
        raise invalid("url", "duplicate", "The application has a webhook with this address already.")


def _judge_enabled(webhook: Webhook) -> None:
    if not webhook.enabled:
        message = "The webhook is disabled; enable it first."
        raise Invalid(message, errors=(FieldError("enabled", "invalid", message),))

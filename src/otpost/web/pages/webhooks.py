"""An application's webhooks: the list, each one's settings and log, and the buttons that test and replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from otpost.domain.application import Application
from otpost.domain.errors import FieldError, Invalid
from otpost.domain.phone import trusted
from otpost.domain.sid import DELIVERY, is_sid
from otpost.domain.text.characters import trimmed, unwrapped
from otpost.domain.webhook import DESCRIPTION_LENGTH, EVENTS, URL_LENGTH, Delivery, Event, Status, Webhook
from otpost.services.tenants.applications import read_application
from otpost.services.webhooks import endpoints
from otpost.web.request import Form, Page, Visit, Wrong
from otpost.web.translation import N_, _

MANY: Final = 200
ROWS: Final = 50
HOUR_MS: Final = 3_600_000
STATUSES: Final[tuple[Status, ...]] = ("waiting", "posting", "delivered", "failed")
SINCE: Final = (
    ("1", N_("The last hour")),
    ("24", N_("The last day")),
    ("168", N_("The last 7 days")),
    ("720", N_("The last 30 days")),
)
WHAT: Final[Mapping[Event, str]] = {
    "verification.approved": N_("Verification approved"),
    "verification.canceled": N_("Verification canceled"),
    "verification.expired": N_("Verification expired"),
    "verification.max_attempts_reached": N_("Verification’s checks used up"),
    "message.sent": N_("Message sent: the service handed it on"),
    "message.delivered": N_("Message delivered"),
    "message.undelivered": N_("Message undelivered: the carrier gave it up"),
    "message.failed": N_("Message failed: it was refused or never left"),
    "message.expired": N_("Message expired before it could be sent"),
    "message.unconfirmed": N_("Message unconfirmed: nobody can tell what became of it"),
}


async def listing(visit: Visit) -> Response:
    return await _list(visit, {"url": "", "description": ""}, EVENTS)


async def create(visit: Visit) -> Response:
    """A new webhook; the page that follows shows its secret, which no other can."""
    application = await _application(visit)
    typed, events, wrong = await _read(visit)
    if not wrong:
        try:
            new = await visit.context.store.run(
                endpoints.make(visit.context, visit.actor, application.sid, typed["url"], events, typed["description"])
            )
            where = f"/applications/{application.sid}/webhooks/{new.webhook.sid}"
            return visit.go(f"{where}#made", once={"secret": new.secret})
        except Invalid as refused:
            wrong += refused.errors
    return await _list(visit, typed, events, Wrong(wrong))


async def one(visit: Visit) -> Response:
    return await _one(visit)


async def change(visit: Visit) -> Response:
    application = await _application(visit)
    typed, events, wrong = await _read(visit)
    if not wrong:
        unit = endpoints.change(
            visit.context,
            visit.actor,
            application.sid,
            visit.path["webhook"],
            url=typed["url"],
            events=events,
            description=typed["description"],
        )
        try:
            await visit.context.store.run(unit)
            return visit.go(_where(visit), flash=_("Saved. What is posted from now on goes there."))
        except Invalid as refused:
            wrong += refused.errors
    return await _one(visit, typed=typed, events=events, wrong=Wrong(wrong))


async def switch(visit: Visit) -> Response:
    """Enable or disable it."""
    application, enabled = await _application(visit), visit.form.get("enabled") == "on"
    await visit.context.store.run(
        endpoints.change(visit.context, visit.actor, application.sid, visit.path["webhook"], enabled=enabled)
    )
    words = _("Enabled. New events are posted again.") if enabled else _("Disabled. No further event is posted.")
    return visit.go(_where(visit), flash=words)


async def rotate(visit: Visit) -> Response:
    """A new secret, shown this once."""
    application = await _application(visit)
    new = await visit.context.store.run(
        endpoints.rotate(visit.context, visit.actor, application.sid, visit.path["webhook"])
    )
    return visit.go(f"{_where(visit)}#made", once={"secret": new.secret})


async def remove(visit: Visit) -> Response:
    application = await _application(visit)
    await endpoints.remove(visit.context, visit.actor, application.sid, visit.path["webhook"])
    return visit.go(
        f"/applications/{application.sid}/webhooks", flash=_("The webhook is removed, and its log with it.")
    )


async def test(visit: Visit) -> Response:
    application = await _application(visit)
    done = await endpoints.test(
        visit.context, visit.surroundings.http, visit.actor, application.sid, visit.path["webhook"]
    )
    return visit.go(f"{_where(visit)}#tested", once={"tested": done.sid})


async def replay(visit: Visit) -> Response:
    """Everything that failed since a while."""
    application = await _application(visit)
    hours = visit.form.get("since")
    since = visit.now - int(hours if hours in dict(SINCE) else SINCE[1][0]) * HOUR_MS
    try:
        count = await endpoints.replay_failed(visit.context, visit.actor, application.sid, visit.path["webhook"], since)
    except Invalid as refused:
        return visit.go(f"{_where(visit)}#log", "warning", _(refused.detail))
    words = (
        _("Failed deliveries that are posted again: %(count)s.", count=count)
        if count
        else _("Nothing has failed since then.")
    )
    return visit.go(f"{_where(visit)}#log", "success" if count else "info", words)


async def delivery(visit: Visit) -> Response:
    application = await _application(visit)
    webhook = await endpoints.one(visit.context, visit.tenant, application.sid, visit.path["webhook"])
    row = await endpoints.delivery(visit.context, webhook.sid, visit.path["delivery"])
    return await visit.page("webhook_delivery.html", webhook=webhook, row=row, body=_shown(row), where=_where(visit))


async def replay_delivery(visit: Visit) -> Response:
    application = await _application(visit)
    try:
        await visit.context.store.run(
            endpoints.replay_one(
                visit.context, visit.actor, application.sid, visit.path["webhook"], visit.path["delivery"]
            )
        )
    except Invalid as refused:
        return visit.go(f"{_where(visit)}#log", "warning", _(refused.detail))
    return visit.go(f"{_where(visit)}#log", flash=_("It is posted again."))


def _shown(row: Delivery) -> str:
    """The body as people read it, its number masked."""
    event = msgspec.json.decode(row.body)
    if "to" in event["data"]:
        event["data"]["to"] = trusted(event["data"]["to"]).masked
    return msgspec.json.format(msgspec.json.encode(event), indent=2).decode()


async def _application(visit: Visit) -> Application:
    return await read_application(visit.context, visit.tenant, visit.path["sid"])


def _where(visit: Visit) -> str:
    return f"/applications/{visit.path['sid']}/webhooks/{visit.path['webhook']}"


async def _read(visit: Visit) -> tuple[dict[str, str], Sequence[Event], list[FieldError]]:
    """What was typed, and what is wrong with it."""
    form: Form = visit.form
    typed = {"url": unwrapped(form.get("url")), "description": trimmed(form.get("description"))}
    events = [event for event in EVENTS if event in form]
    wrong = await endpoints.url_errors(visit.surroundings.http, typed["url"])
    wrong += endpoints.description_errors(typed["description"])
    if not events:
        wrong.append(FieldError("events", "required", _("Choose at least one event.")))
    return typed, events, wrong


async def _list(
    visit: Visit, typed: Mapping[str, str], events: Sequence[Event], wrong: Wrong | None = None
) -> Response:
    application = await _application(visit)
    page = await endpoints.listing(visit.context, visit.tenant, application.sid, limit=MANY, cursor=None)
    return await visit.page(
        "webhooks.html",
        422 if wrong else 200,
        application=application,
        webhooks=page.rows,
        **_form(typed, events, wrong),
    )


async def _one(
    visit: Visit,
    *,
    typed: Mapping[str, str] | None = None,
    events: Sequence[Event] | None = None,
    wrong: Wrong | None = None,
) -> Response:
    application = await _application(visit)
    webhook = await endpoints.one(visit.context, visit.tenant, application.sid, visit.path["webhook"])
    tested = visit.once("tested")
    asked = visit.query.get("status")
    status = asked if asked in STATUSES else None
    cursor = visit.query.get("cursor")
    known = is_sid(cursor, DELIVERY)
    log = await endpoints.log(
        visit.context,
        webhook.sid,
        status=status,
        event=None,
        after=None,
        limit=ROWS,
        cursor=cursor if known else None,
    )
    where = f"/applications/{application.sid}/webhooks/{webhook.sid}"
    older = urlencode({name: value for name, value in (("status", status), ("cursor", log.next)) if value})
    return await visit.page(
        "webhook.html",
        422 if wrong else 200,
        application=application,
        webhook=webhook,
        where=where,
        secret=visit.once("secret"),
        tested=await endpoints.delivery(visit.context, webhook.sid, tested) if tested else None,
        log=log,
        narrowed=bool(status),
        asked=status or "",
        statuses=STATUSES,
        older=f"{where}?{older}#log" if log.next else "",
        newest=known,
        since=[(hours, _(words)) for hours, words in SINCE],
        old_until=_old_until(webhook, visit.now),
        **_form(typed or {"url": webhook.url, "description": webhook.description}, events or webhook.events, wrong),
    )


def _old_until(webhook: Webhook, now: int) -> int | None:
    """Until when a replaced secret signs beside the new one."""
    return max((secret.until for secret in webhook.secrets_at(now) if secret.until is not None), default=None)


def _form(typed: Mapping[str, str], events: Sequence[Event], wrong: Wrong | None) -> dict[str, Any]:
    return {
        "typed": typed,
        "choices": [(event, _(WHAT[event]), event in events) for event in EVENTS],
        "wrong": wrong or Wrong(),
        "lengths": (URL_LENGTH, DESCRIPTION_LENGTH),
    }


_ALL: Final = "/applications/{sid}/webhooks"
_ONE: Final = _ALL + "/{webhook}"

PAGES: Final[tuple[Page, ...]] = (
    Page(_ALL, get=listing, post=create, entry="applications"),
    Page(_ONE, get=one, post=change, entry="applications"),
    Page(_ONE + "/switch", post=switch, entry="applications"),
    Page(_ONE + "/secret", post=rotate, entry="applications"),
    Page(_ONE + "/remove", post=remove, entry="applications"),
    Page(_ONE + "/test", post=test, entry="applications"),
    Page(_ONE + "/replay", post=replay, entry="applications"),
    Page(_ONE + "/deliveries/{delivery}", get=delivery, entry="applications"),
    Page(_ONE + "/deliveries/{delivery}/replay", post=replay_delivery, entry="applications"),
)

"""By which Messaging Service of the main account an application's verifications go to a country."""

from __future__ import annotations

import msgspec

from otpost.domain.access import Actor
from otpost.domain.application import Application, MessagingConfiguration
from otpost.domain.errors import NotFound, invalid
from otpost.domain.phone import region_known
from otpost.domain.policy import EVERY_COUNTRY
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.tenants.applications import NO_APPLICATION
from otpost.store.kinds import APPLICATIONS
from otpost.store.units import Rows, Unit, lock

NONE_FOR_COUNTRY = "The application has no Messaging Service of its own for this country."


def country_of(text: str) -> str | None:
    """`CA` or `all` for what somebody typed; None for what is no country with telephone numbers."""
    if text.lower() == EVERY_COUNTRY:
        return EVERY_COUNTRY
    return text.upper() if region_known(text.upper()) else None


def make_country_sender(
    context: Context, actor: Actor, application: str, country: str, service_sid: str
) -> Unit[MessagingConfiguration]:
    """Invalid where the country has one already."""
    now, line = context.clock(), context.ids("AU")
    made = MessagingConfiguration(service_sid, now, now)

    def decide(rows: Rows) -> MessagingConfiguration:
        app = _application(rows, actor, application)
        if country in app.features.messaging:
            raise invalid("Country", "country_taken", f"{country} has a Messaging Service already; change that one.")
        _put(
            context, rows, line, now, actor, app, {**app.features.messaging, country: made}, f"{country}: {service_sid}"
        )
        return made

    return Unit(decide, [lock(APPLICATIONS, application)])


def change_country_sender(
    context: Context, actor: Actor, application: str, country: str, service_sid: str
) -> Unit[MessagingConfiguration]:
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> MessagingConfiguration:
        app = _application(rows, actor, application)
        changed = msgspec.structs.replace(list_country_senders(app, country), service_sid=service_sid, updated_at=now)
        messaging = {**app.features.messaging, country: changed}
        _put(context, rows, line, now, actor, app, messaging, f"{country}: {service_sid}")
        return changed

    return Unit(decide, [lock(APPLICATIONS, application)])


def remove_country_sender(context: Context, actor: Actor, application: str, country: str) -> Unit[None]:
    """From now on the account's own choice holds for the country."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        app = _application(rows, actor, application)
        list_country_senders(app, country)
        left = {other: chosen for other, chosen in app.features.messaging.items() if other != country}
        _put(context, rows, line, now, actor, app, left, f"{country}: none")

    return Unit(decide, [lock(APPLICATIONS, application)])


def list_country_senders(app: Application, country: str | None) -> MessagingConfiguration:
    """What the application has for exactly this country; NotFound otherwise."""
    found = app.features.messaging.get(country or "")
    if found is None:
        raise NotFound(NONE_FOR_COUNTRY)
    return found


def _application(rows: Rows, actor: Actor, application: str) -> Application:
    app = rows.get(APPLICATIONS, application)
    if app is None or not app.belongs_to(actor.tenant):
        raise NotFound(NO_APPLICATION)
    return app


def _put(
    context: Context,
    rows: Rows,
    line: str,
    now: int,
    actor: Actor,
    app: Application,
    messaging: dict[str, MessagingConfiguration],
    what: str,
) -> None:
    features = msgspec.structs.replace(app.features, messaging=messaging)
    rows.put(APPLICATIONS, msgspec.structs.replace(app, features=features))
    add_line(context, rows, line, now, actor, "messaging configuration changed", f"{app.sid}, {what}")

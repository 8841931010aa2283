"""The test-send: one text at once, with nothing but the submitted values, by the code that production uses."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor
from otpost.domain.errors import FieldError, Invalid, TestsReached, refusal
from otpost.domain.limits import Window
from otpost.domain.message import SandboxText
from otpost.domain.outcome import NOTHING_SAID, Accepted, Outcome, OutcomeName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.policy import NoRoute, Route
from otpost.domain.text import TextRefused, read_text
from otpost.outbound import Outbound
from otpost.senders.registry import find_services, list_problems
from otpost.senders.sandbox import NAME as SANDBOX
from otpost.senders.service import SenderService, Text
from otpost.senders.settings import fill, join, places, urls
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.policy.draft import Draft, read, url_errors
from otpost.services.policy.sandbox import SANDBOX_SEAL
from otpost.store.kinds import POLICIES, SANDBOX_TEXTS, WINDOWS
from otpost.store.units import Rows, Unit, lock, look

POLICY = "policy"
LIMIT, WINDOW_MS = 10, 60_000
VALID_FOR_S = 600


class SendResult(msgspec.Struct, frozen=True):
    """What a test came to.

    `reason` is why this route was taken or, where the text was not accepted, a sentence of ours that says why not.
    `link` is the vendor's page on its code, `field` the path of the setting at fault (`policy.twilio.sender_phone`).
    """

    outcome: OutcomeName
    service: str
    account_sid: str
    origin: str
    reason: str
    vendor: Vendor
    link: str | None
    field: str | None
    duration_ms: int


async def send_test(context: Context, http: Outbound, actor: Actor, body: object) -> SendResult:
    """Send `message` to the number `to` by the submitted `policy`, once and now; nothing of the policy is saved.

    The chosen service has to be as complete as for a Save, but of the secrets only that of the account which would
    send is needed. It has to be typed: what is stored is not used. The fallbacks are not tried.
    Ten tests a minute for each key or user; each leaves an audit line before it is sent. The sandbox's text shows on
    the sandbox phone where the saved choice is the sandbox as well. Raises Invalid, with `dialing_code_refused` at `to`
    where the policy refuses the number, and at the URL's field what the outbound guard refuses; TestsReached.
    """
    draft, to, message = _read(body)
    service, settings, route = _ready(draft, to)
    if errors := await url_errors(http, draft, [service.NAME]):
        raise refusal(errors)
    attempt = context.ids(sid.ATTEMPT)
    await context.store.run(_begin(context, actor, service, route, to))
    started_at = context.clock()
    outcome = await service.send(http, settings, route, Text(attempt, to, message, VALID_FOR_S, at=started_at))
    duration_ms = context.clock() - started_at
    path = join(POLICY, service.NAME)
    if isinstance(outcome, Refused) and outcome.field and outcome.vendor == NOTHING_SAID:
        field = join(path, outcome.field)
        if field in [at for at, _ in urls(settings, path)]:
            raise refusal([FieldError(field, "invalid", outcome.detail)])
    if isinstance(outcome, Accepted) and outcome.copy is not None:
        await context.store.run(_show_on_sandbox_phone(context, actor.tenant, attempt, to, outcome.copy))
    return _tried(outcome, route, path, duration_ms)


def _read(body: object) -> tuple[Draft, PhoneNumber, str]:
    """What was submitted; Invalid with every mistake at its path."""
    if not isinstance(body, dict):
        raise refusal([FieldError("", "invalid", "Bring an object with policy, to and message.")])
    errors = [
        FieldError(str(name)[:64].encode("utf-8", "replace").decode(), "unknown_field", "Leave it out.")
        for name in body
        if name not in (POLICY, "to", "message")
    ]
    draft: Draft | None = None
    if body.get(POLICY) is None:
        errors.append(FieldError(POLICY, "required", "Bring the sender policy that is to be tested."))
    else:
        try:
            draft = read(body[POLICY], POLICY)
        except Invalid as mistakes:
            errors += mistakes.errors
        else:
            if not isinstance(draft.sender_service, str):
                message = "Choose the sender service that is to be tested."
                errors.append(FieldError(join(POLICY, "sender_service"), "required", message))
    to = _number(body.get("to"), errors)
    text = _message(body.get("message"), errors)
    if errors or draft is None or to is None:
        raise refusal(errors)
    return draft, to, text


def _number(value: object, errors: list[FieldError]) -> PhoneNumber | None:
    if value is None or value == "":
        errors.append(FieldError("to", "required", "Give the number that shall get the text."))
    elif not isinstance(value, str):
        errors.append(FieldError("to", "invalid", "The number must be a text, as in +919191919191."))
    else:
        try:
            return parse_recipient(value)
        except NumberRefused as refused:
            errors.append(FieldError("to", refused.code, refused.message))
    return None


def _message(value: object, errors: list[FieldError]) -> str:
    if value is not None and not isinstance(value, str):
        errors.append(FieldError("message", "invalid", "The message must be a text."))
        return ""
    try:
        return read_text(value or "")
    except TextRefused as refused:
        errors.append(FieldError("message", refused.code, refused.message))
        return ""


def _ready(draft: Draft, to: PhoneNumber) -> tuple[SenderService, Any, Route]:
    """The service, its settings with the typed secrets, and the route; Invalid for what the test lacks."""
    service = find_services()[str(draft.sender_service)]
    path = join(draft.path, service.NAME)
    section = draft.sections.get(service.NAME)
    settings = service.Settings() if section is None else fill(section.settings, section.typed)
    typed = {} if section is None else section.typed
    errors = list_problems(service, settings, path)
    route = service.route(settings, to)
    if isinstance(route, NoRoute):
        raise refusal([*errors, FieldError("to", "dialing_code_refused", route.reason)])
    wanted = service.account_secret(settings, route)
    if wanted is not None and wanted not in typed:
        place = next((place for place in places(settings, path) if place.ref == wanted), None)
        label = place.field.label if place is not None else "The secret"
        told = f"{label} of the account that sends is needed. A test uses no stored secret: type it."
        errors.append(FieldError(place.path if place is not None else path, "token_required", told))
    if errors:
        raise refusal(errors)
    return service, settings, route


def _begin(context: Context, actor: Actor, service: SenderService, route: Route, to: PhoneNumber) -> Unit[None]:
    """Take one of the minute's places, and write down who tests what."""
    now, line = context.clock(), context.ids("AU")
    key = f"{actor.tenant} {actor.kind} {actor.sid}"

    def decide(rows: Rows) -> None:
        window = rows.get(WINDOWS, "trial", key) or Window("trial", key, until=0)
        if (at := window.free_at(now, WINDOW_MS, LIMIT)) is not None:
            raise TestsReached(retry_at=at)
        rows.put(WINDOWS, window.hit(now, WINDOW_MS, LIMIT))
        by = f"{service.NAME} {route.account_sid}".strip()
        add_line(context, rows, line, now, actor, "sender policy tested", f"{by} to {to.masked}")

    return Unit(decide, [lock(WINDOWS, "trial", key)])


def _show_on_sandbox_phone(context: Context, tenant: str, attempt: str, to: PhoneNumber, copy: str) -> Unit[None]:
    now, sealed = context.clock(), context.keyring.seal(SANDBOX_SEAL, copy, attempt)

    def decide(rows: Rows) -> None:
        policy = rows.look(POLICIES, tenant)
        if policy is not None and policy.sender_service == SANDBOX:
            rows.put(SANDBOX_TEXTS, SandboxText(attempt, tenant, to.e164, sealed, now))

    return Unit(decide, [look(POLICIES, tenant)])


def _tried(outcome: Outcome, route: Route, path: str, duration_ms: int) -> SendResult:
    link = field = None
    reason = route.reason
    match outcome:
        case Accepted():
            name: OutcomeName = "accepted"
        case Refused():
            name, reason, link = "refused", outcome.detail, outcome.link
            field = join(path, outcome.field) if outcome.field else None
        case Unavailable():
            name, reason = "unavailable", outcome.detail
        case Unknown():
            name, reason = "unknown", outcome.detail
        case _:
            assert_never(outcome)
    return SendResult(
        name, route.service, route.account_sid, route.origin, reason, outcome.vendor, link, field, duration_ms
    )

"""The two ways to send a text from the sender policy's page: with the form, and through the messaging service."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from otpost.domain.errors import (
    FieldError,
    Invalid,
    NotFound,
    SenderPolicyIncomplete,
    TestsReached,
    Unavailable,
)
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.text import TextRefused, read_text
from otpost.senders.registry import find_services
from otpost.senders.settings import places
from otpost.senders.submission import read_section
from otpost.services.audit import record_act
from otpost.services.idempotency import Answer, Call, keep_answer, reserve_key
from otpost.services.keyring import KeyRingError
from otpost.services.messages.read import read_message
from otpost.services.messages.send import send_message
from otpost.services.paging import Tenancy
from otpost.services.policy.test_send import POLICY, VALID_FOR_S, SendResult, send_test
from otpost.store.kinds import TENANTS
from otpost.web.policy.form import PolicyForm, section
from otpost.web.policy.seals import Seals
from otpost.web.policy.view import stored_secrets
from otpost.web.request import Visit
from otpost.web.timeline import Line, is_live, of_message, service_title
from otpost.web.translation import N_, _

READS_THE_FORM: Final = N_(
    "The Test button uses what is in this form, and the stored token is not in it; the messaging service reads the "
    "stored one from the database."
)


class UnderWay(Unavailable):
    """What this button began is still under way. Wait a moment."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why nothing was sent, if so: mistakes at fields, or a limit in words."""

    errors: Sequence[FieldError] = ()
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both ways came to: the last test, and the last message with its timeline."""

    tried: SendResult | None = None
    title: str = ""
    sentence: str = ""
    follows: str = ""
    message: Any = None
    lines: list[Line] = field(default_factory=list)
    live: bool = False


async def test(visit: Visit, policy_form: PolicyForm, lost: Sequence[FieldError]) -> Hindrance:
    """Try the form; what it came to is kept in it. `lost` are secrets that the form does not hold any more."""
    if lost:
        return Hindrance(lost)
    if not policy_form.chosen:
        return Hindrance(
            [FieldError("sender_service", "required", _("Choose the sender service that is to be tested."))]
        )
    body = {
        POLICY: policy_form.body(policy_form.tested),
        "to": policy_form.to,
        "message": policy_form.message,
    }
    policy_form.tried = ""

    async def work() -> str:
        tried = await send_test(visit.context, visit.surroundings.http, visit.actor, body)
        return msgspec.json.encode(tried).decode()

    try:
        text = await _once(visit, "test", work)
    except Invalid as refused:
        stored = await _stored_paths(visit, policy_form)
        return Hindrance([_in_form(error, stored) for error in refused.errors])
    except TestsReached as reached:
        wait_s = max(1, -((visit.now - (reached.retry_at or visit.now)) // 1000))
        return Hindrance(
            limit=_("Ten tests a minute are possible. Wait %(wait)s s and test again; nothing was sent.", wait=wait_s)
        )
    except UnderWay as refused:
        return Hindrance(limit=_(refused.detail))
    policy_form.tried = Seals(visit, policy_form.id).pack(text)
    return Hindrance()


async def _once(visit: Visit, button: str, work: Callable[[], Awaitable[str]]) -> str:
    """What a press of a button came to, however often the browser sends it: a reload sends the same form again.

    The page that answers a press has other fields, so that the next press is another. Raises UnderWay.
    """
    sent = msgspec.json.encode([(name, visit.form.all(name)) for name in visit.form])
    call = Call(visit.who.user.sid, f"console {button}", hashlib.sha256(sent).hexdigest(), b"")
    try:
        known = await visit.context.store.run(reserve_key(visit.context, call))
    except Unavailable as refused:
        raise UnderWay if refused.retry_at is not None else refused from None
    if known is not None:
        return known.body.decode()
    kept = None
    try:
        text = await work()
        kept = Answer(200, text.encode())
        return text
    finally:
        await visit.context.store.run(keep_answer(visit.context, call, kept))


async def _stored_paths(visit: Visit, policy_form: PolicyForm) -> set[str]:
    """The fields of the tested service whose secrets are stored."""
    stored, name = await stored_secrets(visit.context, visit.tenant), policy_form.tested
    settings = find_services()[name].Settings
    read_settings = read_section(settings, section(settings, policy_form.parts[name]), name).settings
    return {place.path for place in places(read_settings, name) if (name, place.ref) in stored}


def _in_form(error: FieldError, stored: Container[str]) -> FieldError:
    path = error.field.removeprefix(f"{POLICY}.")
    if error.code == "token_required":
        if path not in stored:
            return FieldError(path, error.code, _("Type it before you send a test message."))
        return FieldError(path, error.code, f"{_('Type it again before you send a test message.')} {_(READS_THE_FORM)}")
    return FieldError(path, error.code, error.message)


async def send(visit: Visit, policy_form: PolicyForm) -> Hindrance:
    """Put the same text into the outbox; the message's SID is kept in the form."""
    to, errors = _read(policy_form)
    tenant = await visit.context.store.get(TENANTS, visit.tenant)
    if errors or to is None or tenant is None:
        return Hindrance(errors)
    unit = send_message(
        visit.context,
        visit.surroundings.plans,
        visit.tenant,
        tenant.default_application,
        to,
        policy_form.message,
        VALID_FOR_S,
    )
    policy_form.sent = ""

    async def work() -> str:
        await visit.context.store.run(record_act(visit.context, visit.actor, "text sent from the console", to.masked))
        return (await visit.context.store.run(unit)).sid

    try:
        policy_form.sent = await _once(visit, "send", work)
    except Invalid as refused:
        return Hindrance(refused.errors)
    except SenderPolicyIncomplete:
        words = _("No sender service is saved that is ready to send. Save this form first; Test works without.")
        return Hindrance([FieldError("sender_service", "required", words)])
    except UnderWay as refused:
        return Hindrance(limit=_(refused.detail))
    except Unavailable as refused:
        return Hindrance(limit=f"{_(refused.detail)} {_('Nothing was sent; try again in a moment.')}")
    return Hindrance()


def _read(policy_form: PolicyForm) -> tuple[PhoneNumber | None, list[FieldError]]:
    """The number and the mistakes of a text, which is judged as the API judges it."""
    errors, to = [], None
    if not policy_form.to.strip():
        errors.append(FieldError("to", "required", _("Give the number that shall get the text.")))
    else:
        try:
            to = parse_recipient(policy_form.to)
        except NumberRefused as refused:
            errors.append(FieldError("to", refused.code, refused.message))
    try:
        read_text(policy_form.message)
    except TextRefused as refused:
        errors.append(FieldError("message", refused.code, refused.message))
    return to, errors


async def compared(visit: Visit, policy_form: PolicyForm, seals: Seals) -> Comparison:
    """What the page shows of both ways; nothing of another session's form."""
    tried = None
    if policy_form.tried:
        try:
            tried = msgspec.json.decode(seals.unpack(policy_form.tried), type=SendResult)
        except (KeyRingError, ValueError):
            policy_form.tried = ""
    story = None
    if policy_form.sent:
        try:
            story = await read_message(visit.context, Tenancy(visit.tenant), policy_form.sent)
        except NotFound:
            policy_form.sent = ""
    title, sentence, follows = _words(tried) if tried else ("", "", "")
    if story is None:
        return Comparison(tried, title, sentence, follows)
    live = is_live([story.message], visit.now)
    return Comparison(tried, title, sentence, follows, story.message, of_message(story), live)


def _words(tried: SendResult) -> tuple[str, str, str]:
    """The service's name, what it did, and what follows."""
    title = service_title(tried.service)
    match tried.outcome:
        case "accepted" if tried.service == "sandbox":
            follows = _("Nothing was sent. It shows on the sandbox phone while the sandbox is the saved choice.")
            return title, _("The sandbox took the test."), follows
        case "accepted":
            return title, _("%(service)s accepted the test.", service=title), _("The text is on its way.")
        case "refused":
            return title, _("%(service)s refused the test", service=title), _("Nothing was sent.")
        case "unavailable":
            follows = _("Nothing was sent. The messaging service would try again.")
            return title, _("%(service)s could not take the test", service=title), follows
        case _:
            return title, _("The answer was lost"), _("The text may or may not have gone out.")

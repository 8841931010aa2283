"""`…/Verifications` and `…/VerificationCheck`: starts, checks, reads and ends as Twilio Verify has them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from otpost.api.counters import CHECKS, STARTS
from otpost.api.endpoint import Reply
from otpost.api.twilio import start_form
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import TwilioError, wrong
from otpost.domain.application import Application
from otpost.domain.moments import format_second
from otpost.domain.sid import VERIFICATION, is_sid
from otpost.domain.verification import LONGEST, SHORTEST, Status, Verification, read_code
from otpost.services.paging import Tenancy
from otpost.services.verifications.check import Number, approve_verification, cancel_verification, check_code
from otpost.services.verifications.read import find_verification
from otpost.services.verifications.start import start_verification


class SendShape(msgspec.Struct):
    time: str
    channel: str
    attempt_sid: str


class VerificationShape(msgspec.Struct):
    sid: str
    service_sid: str
    account_sid: str
    to: str
    channel: Literal["sms"]
    status: Status
    valid: bool
    lookup: dict[str, Any]
    amount: str | None
    payee: str | None
    send_code_attempts: list[SendShape]
    date_created: str
    date_updated: str
    sna: None
    url: str


class CheckShape(msgspec.Struct):
    sid: str
    service_sid: str
    account_sid: str
    to: str
    channel: Literal["sms"]
    status: Status
    valid: bool
    amount: str | None
    payee: str | None
    date_created: str
    date_updated: str
    sna_attempts_error_codes: list[Any]


def attempt_sid(message_sid: str) -> str:
    """What Twilio calls an attempt is one message of ours: `VL` and the digits of the message's SID."""
    return "VL" + message_sid[2:]


def shape(row: Verification, base: str) -> VerificationShape:
    amount, payee = row.binding
    return VerificationShape(
        sid=row.sid,
        service_sid=row.application,
        account_sid=row.tenant,
        to=row.to,
        channel="sms",
        status=row.status,
        valid=row.status == "approved",
        lookup={},
        amount=amount,
        payee=payee,
        send_code_attempts=[
            SendShape(format_second(event.at), "SMS", attempt_sid(event.detail))
            for event in row.events
            if event.what in ("started", "resent")
        ],
        date_created=format_second(row.created_at),
        date_updated=format_second(row.updated_at),
        sna=None,
        url=f"{base}/v2/Services/{row.application}/Verifications/{row.sid}",
    )


def check_shape(row: Verification, *, valid: bool) -> CheckShape:
    """A wrong code leaves a check `pending`, the last one as well: that it was the last shows at the next."""
    amount, payee = row.binding
    return CheckShape(
        sid=row.sid,
        service_sid=row.application,
        account_sid=row.tenant,
        to=row.to,
        channel="sms",
        status=row.status if valid else "pending",
        valid=valid,
        amount=amount,
        payee=payee,
        date_created=format_second(row.created_at),
        date_updated=format_second(row.updated_at),
        sna_attempts_error_codes=[],
    )


async def start(call: Call) -> Reply:
    service = await call.read_service()
    call.require("To")
    start_form.judge_channel(call, service)
    to = start_form.read_number(call)
    extras, locale = await start_form.read_extras(call, service, to)
    unit = start_verification(
        call.context,
        call.surroundings.plans,
        call.tenant,
        service.sid,
        to,
        mode="twilio",
        locale=locale,
        client_ip=call.form.get("DeviceIp") or None,
        extras=extras,
        rate_limits=start_form.read_rate_limits(call),
    )
    started = await call.decide(unit, STARTS)
    return Reply(201, shape(started.verification, call.base))


async def check(call: Call) -> Reply:
    service = await call.read_service()
    which = _read_form_subject(call, service)
    code = call.form.get("Code", "")
    if not SHORTEST <= len(read_code(code) or read_code(code, letters=True) or "") <= LONGEST:
        raise wrong("Code", f"A code has {SHORTEST} to {LONGEST} digits.")
    unit = check_code(call.context, Tenancy(call.tenant, service.sid), which, code, start_form.read_binding(call))
    done = await call.decide(unit, CHECKS)
    return Reply(201, check_shape(done.verification, valid=done.valid))


def _read_form_subject(call: Call, service: Application) -> str | Number:
    """Which verification a check is about; 60221 where it says neither SID nor number."""
    sid = call.form.get("VerificationSid")
    if sid:
        return sid
    if not call.form.get("To"):
        raise TwilioError(60221)
    return Number(service.sid, start_form.read_number(call).e164)


async def fetch(call: Call) -> Reply:
    service, now = await call.read_service(), call.context.clock()
    row = await find_verification(call.context, Tenancy(call.tenant, service.sid), _read_path_subject(call, service))
    if row is None or now >= row.expires_at or row.status_at(now) in ("approved", "expired"):
        call.refuse_path()
    return Reply(200, shape(row, call.base))


async def update(call: Call) -> Reply:
    service = await call.read_service()
    which, whose = _read_path_subject(call, service), Tenancy(call.tenant, service.sid)
    status = call.require("Status")
    if status == "approved":
        return Reply(200, shape(await call.decide(approve_verification(call.context, whose, which)), call.base))
    if status != "canceled":
        raise wrong("Status", "Send canceled or approved.")
    done = await call.decide(cancel_verification(call.context, whose, which))
    return Reply(200, shape(done.verification, call.base))


def _read_path_subject(call: Call, service: Application) -> str | Number:
    """Which verification the path names, by SID or by number; a plus sign may have come as a blank."""
    text = call.path["Sid"]
    if is_sid(text, VERIFICATION):
        return text
    if text.startswith(" "):
        text = "+" + text[1:]
    try:
        return Number(service.sid, start_form.parse_number(text, "To").e164)
    except TwilioError:
        call.refuse_path()


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v2/Services/{ServiceSid}/Verifications",
        start,
        numbers={"number_checks_reached": 60203, "number_locked": 60203},
    ),
    Endpoint("GET", "/v2/Services/{ServiceSid}/Verifications/{Sid}", fetch),
    Endpoint("POST", "/v2/Services/{ServiceSid}/Verifications/{Sid}", update),
    Endpoint("POST", "/v2/Services/{ServiceSid}/VerificationCheck", check),
)

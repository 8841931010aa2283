"""The form of a start: Twilio's parameters, each judged, as what the use case takes."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from otpost.api.twilio.endpoint import Call
from otpost.api.twilio.errors import TwilioError, wrong
from otpost.api.twilio.services import read_friendly_name
from otpost.domain.application import Application
from otpost.domain.errors import NotFound
from otpost.domain.locale import SubstitutionsMissing, Template, is_app_hash
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.text import TextRefused, read_variable
from otpost.domain.verification import Extras
from otpost.services.verifications.templates import read_template
from otpost.services.verifications.text import asked_for, filled_in, language_of, seal_custom_code

OTHER_CHANNELS: dict[str, int] = {"call": 60223, "whatsapp": 60223, "sna": 60223, "rcs": 60223, "email": 60217}
"""Twilio's channels that Otpost does not have: a channel that is switched off, or one that lacks its set-up."""
TAGS, TAG_LENGTH, SUBSTITUTIONS = 10, 128, 32
NO_EXTRAS = Extras()

_CUSTOM_CODE = re.compile(r"[A-Za-z0-9-]{4,10}")
_object = msgspec.json.Decoder(dict[str, str | int | float | bool])


def read_number(call: Call, parameter: str = "To") -> PhoneNumber:
    """The recipient's number in a form; Twilio takes it with its plus sign alone."""
    text = call.require(parameter)
    return parse_number(text, parameter)


def parse_number(text: str, parameter: str) -> PhoneNumber:
    """A number with its plus sign, or 60200."""
    if "@" in text:
        raise wrong(parameter, "This is an e-mail address; Otpost sends codes by sms.", value=text[:40])
    if not text.startswith("+"):
        raise wrong(parameter, "Give the number in E.164, with its plus sign (%2B in a form).", value=text[:40])
    try:
        return parse_recipient(text)
    except NumberRefused as refused:
        raise wrong(parameter, refused.message, value=text[:40]) from None


def judge_channel(call: Call, service: Application) -> None:
    """Raise Twilio's own error for any channel but `sms`, which is also what `auto` means for a number."""
    channel = call.require("Channel").strip().lower()
    if channel == "auto":
        channel = "email" if "@" in call.form.get("To", "") else "sms"
    if channel == "sms":
        return
    if channel == "call" and service.features.psd2:
        raise TwilioError(60214)
    code = OTHER_CHANNELS.get(channel)
    if code is None:
        raise wrong("Channel", "Otpost sends codes by sms.")
    raise TwilioError(code, detail="Otpost sends codes by sms.")


async def read_extras(call: Call, service: Application, to: PhoneNumber) -> tuple[Extras, str | None]:
    """What the form brings beyond the number, and the locale that it asks for."""
    form, features = call.form, service.features
    if len(form) == 2 and features.template is None and not features.psd2:
        return NO_EXTRAS, None
    if "CustomMessage" in form:
        raise TwilioError(60243, detail="Use a template, or set the application's text.")
    if form.get("RiskCheck", "enable") not in ("enable", "disable"):
        raise wrong("RiskCheck", "Send enable or disable.")
    call.read_flag("EnableSnaClientToken")
    _read_fields(call, "ChannelConfiguration", 100)
    name = read_friendly_name(call, "CustomFriendlyName") if "CustomFriendlyName" in form else None
    app_hash = form.get("AppHash")
    if app_hash is not None and not is_app_hash(app_hash):
        raise wrong("AppHash", "It is the 11 characters that name an Android app.")
    amount, payee = _judge_binding(call, service)
    template = await _read_template(call, form.get("TemplateSid") or features.template)
    locale = asked_for(form.get("Locale"), template)
    code = form.get("CustomCode")
    found = Extras(
        friendly_name=name,
        template=None if template is None else template.sid,
        body=None if template is None else _fill_in(call, template, locale or language_of(to), name or service.name),
        app_hash=app_hash,
        tags=_read_fields(call, "Tags", TAGS, TAG_LENGTH),
        amount=amount,
        payee=payee,
        custom_code=None if code is None else _seal(call, service, to, code),
    )
    return found, locale


def read_rate_limits(call: Call) -> dict[str, str]:
    """The values of the service's own limits, by their unique names."""
    return _read_fields(call, "RateLimits", 100, 255)


def read_binding(call: Call) -> tuple[str | None, str | None]:
    """The amount and the payee in a form."""
    return call.form.get("Amount") or None, call.form.get("Payee") or None


def _judge_binding(call: Call, service: Application) -> tuple[str | None, str | None]:
    given = read_binding(call)
    if not service.features.psd2:
        if given != (None, None):
            raise TwilioError(60204, detail="The service has not switched PSD2 on (Psd2Enabled).")
        return given
    if None in given:
        raise TwilioError(60206)
    return _read_variable("Amount", given[0] or "", digits=True), _read_variable("Payee", given[1] or "", digits=True)


def _read_variable(parameter: str, value: str, *, digits: bool = False) -> str:
    """A value as it is put into the text. What a bank says of a payment may have digits, and a shop's name a dot."""
    try:
        return read_variable(value, may_be_host=digits, digits=digits)
    except TextRefused as refused:
        raise wrong(parameter, refused.message) from None


async def _read_template(call: Call, sid: str | None) -> Template | None:
    if sid is None:
        return None
    try:
        return await read_template(call.context, call.tenant, sid)
    except NotFound:
        raise TwilioError(60228) from None


def _fill_in(call: Call, template: Template, locale: str, name: str) -> str:
    parameter = "TemplateCustomSubstitutions"
    given = {
        name: _read_variable(parameter, value) for name, value in _read_fields(call, parameter, SUBSTITUTIONS).items()
    }
    try:
        return filled_in(template, locale, name, given)
    except SubstitutionsMissing as missing:
        raise TwilioError(60224, detail=str(missing)) from None


def _seal(call: Call, service: Application, to: PhoneNumber, code: str) -> str:
    if not service.features.custom_code:
        raise TwilioError(60204, detail="The service does not take custom codes (CustomCodeEnabled).")
    if not _CUSTOM_CODE.fullmatch(code):
        raise wrong("CustomCode", "It has 4 to 10 letters, digits and hyphens.")
    return seal_custom_code(call.context, service.sid, to, code)


def _read_fields(call: Call, parameter: str, most: int, length: int = 500) -> dict[str, str]:
    """A JSON object of the form with its values as text."""
    text = call.form.get(parameter)
    if not text:
        return {}
    try:
        given: dict[str, Any] = _object.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise wrong(parameter, "Send a JSON object with texts as its values.") from None
    found = {name: value if isinstance(value, str) else str(value) for name, value in given.items()}
    if len(found) > most or any(len(part) > length or "\0" in part for pair in found.items() for part in pair):
        raise wrong(parameter, f"At most {most} names, names and values of at most {length} characters.")
    return found

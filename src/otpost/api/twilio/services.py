"""`/v2/Services`: our applications as Twilio's Verify Services."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio import paging
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import wrong
from otpost.domain.application import SETTINGS, Application, Features, Rules
from otpost.domain.moments import format_second
from otpost.domain.text import TextRefused, read_name
from otpost.domain.text.characters import named
from otpost.services.tenants.applications import (
    change_application,
    delete_application,
    judge_settings,
    make_application,
    select_applications,
    with_code_length,
)
from otpost.services.verifications.check import cancel_pending

LIFETIME_S = 600
CODE_LENGTH = SETTINGS["code_length"]
NAME_LENGTH, NAME_DIGITS = 30, 4
WRONG_NAME = (
    "A name has 1 to 30 letters, digits, blanks, hyphens, underscores and emoji, with at most four digits among them."
)

_TEMPLATE = re.compile(r"HJ[0-9a-f]{32}")
_LINKS = {
    "verification_checks": "VerificationCheck",
    "verifications": "Verifications",
    "rate_limits": "RateLimits",
    "messaging_configurations": "MessagingConfigurations",
    "entities": "Entities",
    "webhooks": "Webhooks",
    "access_tokens": "AccessTokens",
}
_FLAGS = {
    "LookupEnabled": "lookup",
    "SkipSmsToLandlines": "skip_landlines",
    "DtmfInputRequired": "dtmf_input_required",
    "Psd2Enabled": "psd2",
    "DoNotShareWarningEnabled": "do_not_share_warning",
    "CustomCodeEnabled": "custom_code",
    "VerifyEventSubscriptionEnabled": "event_subscription",
}
_OTHER: dict[str, type | str] = {
    "Push.IncludeDate": bool,
    "Push.ApnCredentialSid": "CR",
    "Push.FcmCredentialSid": "CR",
    "Totp.Issuer": str,
    "Totp.TimeStep": int,
    "Totp.CodeLength": int,
    "Totp.Skew": int,
    "Whatsapp.MsgServiceSid": "MG",
    "Whatsapp.From": str,
    "Passkeys.RelyingParty.Id": str,
    "Passkeys.RelyingParty.Name": str,
    "Passkeys.RelyingParty.Origins": str,
    "Passkeys.AuthenticatorAttachment": str,
    "Passkeys.DiscoverableCredentials": str,
    "Passkeys.UserVerification": str,
}
"""Settings of channels that Otpost does not have: their type, or the prefix of the SID that they are."""
TEXT_LENGTH = 255


class ServiceShape(msgspec.Struct):
    sid: str
    account_sid: str
    friendly_name: str
    code_length: int
    lookup_enabled: bool
    psd2_enabled: bool
    skip_sms_to_landlines: bool
    dtmf_input_required: bool
    tts_name: str | None
    do_not_share_warning_enabled: bool
    custom_code_enabled: bool
    push: dict[str, Any]
    totp: dict[str, Any]
    default_template_sid: str | None
    whatsapp: dict[str, Any]
    passkeys: dict[str, Any]
    verify_event_subscription_enabled: bool
    date_created: str
    date_updated: str
    url: str
    links: dict[str, str]


def shape(row: Application, base: str) -> ServiceShape:
    features, other = row.features, row.features.other
    url = f"{base}/v2/Services/{row.sid}"
    return ServiceShape(
        row.sid,
        row.tenant,
        row.name,
        row.rules.code_length,
        features.lookup,
        features.psd2,
        features.skip_landlines,
        features.dtmf_input_required,
        features.tts_name,
        features.do_not_share_warning,
        features.custom_code,
        {
            "include_date": other.get("Push.IncludeDate", False),
            "apn_credential_sid": other.get("Push.ApnCredentialSid"),
            "fcm_credential_sid": other.get("Push.FcmCredentialSid"),
        },
        {
            "issuer": other.get("Totp.Issuer"),
            "time_step": other.get("Totp.TimeStep"),
            "code_length": other.get("Totp.CodeLength"),
            "skew": other.get("Totp.Skew"),
        },
        features.template,
        {"msg_service_sid": other.get("Whatsapp.MsgServiceSid"), "from": other.get("Whatsapp.From")},
        {
            "relying_party": {
                "id": other.get("Passkeys.RelyingParty.Id"),
                "name": other.get("Passkeys.RelyingParty.Name"),
                "origins": other.get("Passkeys.RelyingParty.Origins"),
            },
            "authenticator_attachment": other.get("Passkeys.AuthenticatorAttachment"),
            "discoverable_credentials": other.get("Passkeys.DiscoverableCredentials"),
            "user_verification": other.get("Passkeys.UserVerification"),
        },
        features.event_subscription,
        format_second(row.created_at),
        format_second(row.updated_at),
        url,
        {name: f"{url}/{path}" for name, path in _LINKS.items()},
    )


async def listing(call: Call) -> Reply:
    page = await paging.read_page(call, select_applications(call.tenant))
    return paging.reply_page(call, "services", page, [shape(row, call.base) for row in page.rows])


async def create(call: Call) -> Reply:
    call.require("FriendlyName")
    name = read_friendly_name(call, "FriendlyName")
    length = call.read_whole("CodeLength", CODE_LENGTH.low, CODE_LENGTH.high) or Rules().code_length
    made = with_code_length(Rules(lifetime_s=LIFETIME_S, resend_after_s=0), length)
    features = msgspec.structs.replace(Features(), **_features(call, Features()))
    unit = make_application(call.context, call.actor, name, made, features)
    return Reply(201, shape(await call.decide(unit), call.base))


async def fetch(call: Call) -> Reply:
    return Reply(200, shape(await call.read_service("Sid"), call.base))


async def update(call: Call) -> Reply:
    service = await call.read_service("Sid")
    name = read_friendly_name(call, "FriendlyName") if "FriendlyName" in call.form else None
    length = call.read_whole("CodeLength", CODE_LENGTH.low, CODE_LENGTH.high)
    changed: dict[str, object] = {}
    if length is not None:
        fitting = with_code_length(service.rules, length)
        changed = {"code_length": fitting.code_length, "max_checks": fitting.max_checks}
    features = _features(call, service.features)
    actor = call.actor
    unit = change_application(call.context, actor, service.sid, name, changed, judge_settings, features)
    return Reply(200, shape(await call.decide(unit), call.base))


async def delete(call: Call) -> Reply:
    service = await call.read_service("Sid")
    await call.decide(delete_application(call.context, call.actor, service.sid))
    while await call.context.store.run(cancel_pending(call.context, service.sid)):
        pass
    return Reply(204)


def read_friendly_name(call: Call, parameter: str) -> str:
    """A name as Verify takes it into its texts."""
    try:
        name = read_name(call.form[parameter], NAME_LENGTH)
    except TextRefused as refused:
        raise wrong(parameter, f"{refused.message} {WRONG_NAME}") from None
    digits = sum(character.isdigit() for character in name)
    strange = next((character for character in name if not _of_a_name(character)), None)
    if strange is not None:
        raise wrong(parameter, f"Remove {named(strange)}. {WRONG_NAME}")
    if not name or digits > NAME_DIGITS:
        raise wrong(parameter, WRONG_NAME)
    return name


def _of_a_name(character: str) -> bool:
    """Letters with what is written above, below and between them, digits, blanks, hyphens, underscores, emoji."""
    category = unicodedata.category(character)
    return character in "-_" or category[0] in "LMN" or category in ("Zs", "So", "Sk", "Cf", "Cn")


def _features(call: Call, standing: Features) -> dict[str, object]:
    """What the form changes of a service's features."""
    found: dict[str, object] = {}
    for parameter, field in _FLAGS.items():
        if (flag := call.read_flag(parameter)) is not None:
            found[field] = flag
    if "TtsName" in call.form:
        found["tts_name"] = _line(call, "TtsName") or None
    template = call.form.get("DefaultTemplateSid")
    if template is not None:
        if template and not _TEMPLATE.fullmatch(template):
            raise wrong("DefaultTemplateSid", "A template's SID is HJ and 32 hex digits.")
        found["template"] = template or None
    lookup = found.get("lookup", standing.lookup)
    if found.get("skip_landlines", standing.skip_landlines) and not lookup:
        raise wrong("SkipSmsToLandlines", "It needs LookupEnabled.")
    other = {name: _value(call, name, kind) for name, kind in _OTHER.items() if name in call.form}
    if other:
        kept = {**standing.other, **other}
        found["other"] = {name: value for name, value in kept.items() if value != ""}
    return found


def _value(call: Call, name: str, kind: type | str) -> str | int | bool:
    if kind is bool:
        return call.read_flag(name) is True
    if kind is int:
        return call.read_whole(name, 0, 3600) or 0
    text = _line(call, name)
    if isinstance(kind, str) and text and not re.fullmatch(kind + "[0-9a-fA-F]{32}", text):
        raise wrong(name, f"Send a SID that begins with {kind}.")
    return text


def _line(call: Call, name: str) -> str:
    text = call.form[name].strip()
    if len(text) > TEXT_LENGTH or (text and not text.isprintable()):
        raise wrong(name, f"Send one line of at most {TEXT_LENGTH} characters.")
    return text


ENDPOINTS = (
    Endpoint("GET", "/v2/Services", listing, "admin"),
    Endpoint("POST", "/v2/Services", create, "admin"),
    Endpoint("GET", "/v2/Services/{Sid}", fetch),
    Endpoint("POST", "/v2/Services/{Sid}", update, "admin"),
    Endpoint("DELETE", "/v2/Services/{Sid}", delete, "admin"),
)

"""Twilio's settings: the main account, its subaccounts, and what keeps them from being used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otpost.domain.errors import FieldError
from otpost.domain.secret import Secret
from otpost.senders.settings import join, setting

_ACCOUNT_SID: Final = "AC[0-9a-fA-F]{32}"
_SERVICE_SID: Final = "MG[0-9a-fA-F]{32}"
_ACCOUNT_SID_RULE: Final = "An account SID has 34 characters: AC, then 32 digits or letters a–f."
_SERVICE_SID_RULE: Final = "A Messaging Service SID has 34 characters: MG, then 32 digits or letters a–f."


@dataclass(frozen=True, slots=True)
class Subaccount:
    """The subaccount that sends to the numbers which begin with a dialing code."""

    dialing_code: str = setting(
        "Country Dialing Code Filter",
        kind="dialing_code",
        key=True,
        required=True,
        help="Texts to numbers that begin with this, as in +91, or that belong to this region, as in PR, are sent by "
        "this subaccount. The longest filter wins; a region goes before its country's dialing code.",
    )
    account_sid: str = setting(
        "Subaccount SID",
        pattern=_ACCOUNT_SID,
        rule=_ACCOUNT_SID_RULE,
        required=True,
        help="34 characters, beginning with AC.",
    )
    auth_token: Secret | None = setting(
        "Subaccount Auth Token", secret=True, owner="account_sid", destination="api_url", required=True
    )
    sender_phone: str = setting(
        "Sender Phone", kind="origin", help="A number of the subaccount's own, shown on the recipient's phone."
    )
    service_sid: str = setting(
        "Messaging Service SID",
        pattern=_SERVICE_SID,
        rule=_SERVICE_SID_RULE,
        help="A Messaging Service of the subaccount's own, in place of the Sender Phone.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Twilio's main account, and the subaccounts that send to some dialing codes in its place."""

    account_sid: str = setting(
        "Account sid",
        pattern=_ACCOUNT_SID,
        rule=_ACCOUNT_SID_RULE,
        required=True,
        help="34 characters, beginning with AC. It acts as the user name.",
    )
    auth_token: Secret | None = setting(
        "Authentication token",
        secret=True,
        owner="account_sid",
        destination="api_url",
        required=True,
        help="It acts as the password, and is not shown again once saved.",
    )
    use_copilot: bool = setting(
        "Use Copilot",
        kind="flag",
        help="On: a Messaging Service picks a sender of the recipient's country. Off: the Sender phone sends.",
    )
    service_sid: str = setting(
        "Messaging Service SID",
        pattern=_SERVICE_SID,
        rule=_SERVICE_SID_RULE,
        help="34 characters, beginning with MG. Needed while Use Copilot is on.",
    )
    sender_phone: str = setting(
        "Sender phone",
        kind="origin",
        help="A number that you own at Twilio, with its dialing code, as in +919191919191 or 91\\9191919191.",
    )
    api_url: str = setting(
        "API URL",
        kind="url",
        appended=r"/2010-04-01(/Accounts(\.json|/AC[0-9a-fA-F]{32}(\.json|/Messages(\.json)?)?)?)?",
        default="https://api.twilio.com",
        pattern=r"[^?]*",
        rule="The API URL must have no query: https://api.twilio.com, or the root of a service that speaks like it.",
        help="Change it only for a regional or compatible service.",
    )
    subaccounts: tuple[Subaccount, ...] = setting(
        "Subaccounts",
        row=Subaccount,
        row_label="Subaccount",
        help="Each sends to the numbers that begin with its filter, whatever Use Copilot says.",
    )
    subaccount_falls_back: bool = setting(
        "Fall back to the main account",
        kind="flag",
        help="When a subaccount is refused, the main account sends: it pays, and its sender is shown.",
    )
    only_listed_dialing_codes: bool = setting(
        "Only listed dialing codes", kind="flag", help="Numbers that no subaccount's filter matches get no text."
    )


def problems(settings: Settings, path: str) -> list[FieldError]:
    """What else keeps these settings from being used: the origin that Use Copilot asks for, or a subaccount."""
    errors = []
    if settings.use_copilot and not settings.service_sid:
        errors.append(FieldError(join(path, "service_sid"), "required", "Use Copilot needs a Messaging Service SID."))
    if not settings.use_copilot and not settings.sender_phone:
        errors.append(FieldError(join(path, "sender_phone"), "required", "Without Copilot a Sender phone is needed."))
    for index, row in enumerate(settings.subaccounts):
        at = join(path, f"subaccounts[{index}]")
        if not row.sender_phone and not row.service_sid:
            message = "A subaccount needs a Sender Phone, or a Messaging Service SID of its own."
            errors.append(FieldError(f"{at}.sender_phone", "required", message))
        if row.sender_phone and row.service_sid:
            message = "A subaccount has a Sender Phone or a Messaging Service SID. Leave one of the two empty."
            errors.append(FieldError(f"{at}.service_sid", "invalid", message))
    return errors

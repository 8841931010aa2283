"""What a verification's text says, and the code in it: derived, or the caller's own until the verification ends."""

from __future__ import annotations

from collections.abc import Mapping

from otpost.domain import locale as locales
from otpost.domain import text as texts
from otpost.domain.application import Application
from otpost.domain.phone import PhoneNumber
from otpost.domain.text import DEFAULT_TEMPLATE
from otpost.domain.verification import CODE, LONGEST, MINUTES, Extras, Verification
from otpost.services.house import House

SEAL = "custom-codes"

_NONE = Extras()


def text(app: Application, verification: Verification, number: int, now: int, code: str) -> str:
    """The text of the verification's send `number`, as it is sent now, with this code in it.

    A template of the caller's choice is said as it is. The application's own body comes before any language.
    """
    extras = verification.extras or _NONE
    minutes = str(max(1, -((now - verification.expires_at) // 60_000)))
    if extras.body is None:
        body = _own(app, verification, extras, number, minutes, code)
    else:
        body = extras.body.replace(MINUTES, minutes).replace(CODE, code)
    return body if extras.app_hash is None else locales.for_app(body, extras.app_hash)


def code_length(verification: Verification) -> int:
    """How long the code in the text may be."""
    extras = verification.extras
    return LONGEST if extras is not None and extras.custom_code is not None else verification.code_length


def code_of(house: House, verification: Verification) -> str:
    """The code that is right. Of a caller's own code that is erased nothing is known: then it is another's."""
    extras = verification.extras
    if extras is not None and extras.custom_code is not None:
        place = _place(verification.application, verification.to)
        return house.ring.open(SEAL, extras.custom_code, place).reveal()
    return house.ring.code(verification.sid, verification.key_id, verification.code_length)


def sealed(house: House, application: str, to: PhoneNumber, code: str) -> str:
    """A caller's own code as it is kept until the verification ends."""
    return house.ring.seal(SEAL, code, _place(application, to.e164))


def _place(application: str, to: str) -> str:
    return f"{application} {to}"


def filled_in(template: locales.Template, locale: str, name: str, given: Mapping[str, str]) -> str:
    """A template's text for `Extras.body`. Raises `locale.SubstitutionsMissing`."""
    return locales.render(template, locale, {"friendly_name": name, "ttl": MINUTES, "code": CODE}, given)


def _own(app: Application, verification: Verification, extras: Extras, number: int, minutes: str, code: str) -> str:
    language = _language(verification.locale)
    body = app.rules.body
    if extras.amount is not None:
        body = locales.payment_text(language)
    elif body == DEFAULT_TEMPLATE and language != locales.FALLBACK:
        body = locales.default_text(language)
    if app.features.do_not_share_warning:
        body = locales.with_warning(body, language)
    return texts.render(
        body,
        {
            "user": "",
            "endpoint": "",
            "event": "",
            **verification.variables,
            "otp": code,
            "application": extras.friendly_name or app.name,
            "number": str(number),
            "minutes": minutes,
            "amount": extras.amount or "",
            "payee": extras.payee or "",
        },
    )


def _language(tag: str | None) -> str:
    if tag is None or tag in locales.TEXTS:
        return tag or locales.FALLBACK
    return locales.resolve(tag, "") or locales.FALLBACK

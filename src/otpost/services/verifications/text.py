"""Verifications: start, resend, check and cancel, with the limits that hold against guessing and pumping."""

from __future__ import annotations

from collections.abc import Mapping

from otpost.domain import locale as locales
from otpost.domain import text as texts
from otpost.domain.application import Application
from otpost.domain.errors import (
    invalid,
)
from otpost.domain.phone import PhoneNumber
from otpost.domain.text import DEFAULT_TEMPLATE
from otpost.domain.text.characters import compact
from otpost.domain.verification import CODE, LONGEST, MINUTES, Extras, Verification
from otpost.services.context import Context


class Wording:
    """What texts with codes say, for those who send them; never kept anywhere."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def code(self, verification: Verification) -> str:
        return code_of(self._context, verification)

    def text(self, app: Application, verification: Verification, number: int, now: int) -> str:
        return text_of(app, verification, number, now, code_of(self._context, verification))


SEAL = "custom-codes"
REMEMBERED = 20_000

_by_prefix: dict[str, str] = {}

_NONE = Extras()


def text_of(app: Application, verification: Verification, number: int, now: int, code: str) -> str:
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


def segments(app: Application, verification: Verification, now: int) -> int:
    """The segments of the verification's latest text with the longest code; Invalid where it must not be so long."""
    extras = verification.extras or _NONE
    longest = text_of(app, verification, verification.sends, now, "0" * code_length(verification))
    if extras.app_hash is not None and not locales.fits_app(longest):
        raise invalid(
            "AppHash",
            "text_too_long",
            f"With `<#>` and its hash the text has {len(longest.encode())} bytes; an Android app reads "
            f"{locales.APP_HASH_TEXT_BYTES} at most. Shorten the text or the name.",
        )
    count = texts.segments(longest).count
    if count > app.rules.max_segments:
        raise invalid(
            "variables" if verification.variables else "application",
            "text_too_long",
            f"The text would be billed as {count} segments; the application allows {app.rules.max_segments}. "
            "Shorten its body or the variables, or raise max_segments.",
        )
    return count


def code_length(verification: Verification) -> int:
    """How long the code in the text may be."""
    extras = verification.extras
    return LONGEST if extras is not None and extras.custom_code is not None else verification.code_length


def code_of(context: Context, verification: Verification) -> str:
    """The code that is right. Of a caller's own code that is erased nothing is known: then it is another's."""
    extras = verification.extras
    if extras is not None and extras.custom_code is not None:
        place = _place(verification.application, verification.to)
        return context.keyring.open(SEAL, extras.custom_code, place).reveal()
    return context.keyring.code(verification.sid, verification.key_id, verification.code_length)


def seal_custom_code(context: Context, application: str, to: PhoneNumber, code: str) -> str:
    """A caller's own code as it is kept until the verification ends."""
    return context.keyring.seal(SEAL, code, _place(application, to.e164))


def _place(application: str, to: str) -> str:
    return f"{application} {to}"


def filled_in(template: locales.Template, locale: str, name: str, given: Mapping[str, str]) -> str:
    """A template's text for `Extras.body`. Raises `locale.SubstitutionsMissing`."""
    return locales.render(template, locale, {"friendly_name": name, "ttl": MINUTES, "code": CODE}, given)


def asked_for(tag: str | None, template: locales.Template | None = None) -> str | None:
    """The locale that a caller asks for, as Otpost or the template has it; None where it asks for none.

    Raises Invalid for a language in which there are no texts. Twilio's documentation says 404 of it; its service has
    been seen to answer 60200, which is what this is there.
    """
    if not tag or not (plain := compact(tag)):
        return None
    if template is not None and (own := locales.translation_like(template, plain)) is not None:
        return own
    if (found := locales.resolve(plain, "")) is None:
        raise invalid("locale", "invalid", "There are no texts in this language. Ask for one as in en, pt-BR or zh-HK.")
    return found


def default_language(app: Application, to: PhoneNumber, extras: Extras | None) -> str | None:
    """The locale of a text for which nobody asks for one; None where the application's own words are said."""
    own_words = app.rules.body != DEFAULT_TEMPLATE and not app.features.psd2
    return None if own_words and (extras is None or extras.template is None) else language_of(to)


def language_of(to: PhoneNumber) -> str:
    """The locale in which a number is texted.

    Where regions share a dialing code, the library takes 35 µs to tell them apart; four digits more than the dialing
    code decide for all whose languages differ, and so are remembered.
    """
    prefix = to.e164[: len(to.dialing_code) + 4]
    found = _by_prefix.get(prefix)
    if found is None:
        if len(_by_prefix) >= REMEMBERED:
            _by_prefix.clear()
        found = _by_prefix[prefix] = locales.locale_of(to.region)
    return found


def _own(app: Application, verification: Verification, extras: Extras, number: int, minutes: str, code: str) -> str:
    """Otpost's own text in the verification's language, or the application's.

    One of Otpost's texts that would take more segments than the application allows gives way to the English one.
    """
    values = {
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
    }
    language = _language(verification.locale)
    text_of = texts.render(_body(app, extras, language), values)
    if language == locales.FALLBACK or texts.segments(text_of).count <= app.rules.max_segments:
        return text_of
    return texts.render(_body(app, extras, locales.FALLBACK), values)


def _body(app: Application, extras: Extras, language: str) -> str:
    body = app.rules.body
    if extras.amount is not None:
        body = locales.payment_text(language)
    elif body == DEFAULT_TEMPLATE and language != locales.FALLBACK:
        body = locales.default_text(language)
    return locales.with_warning(body, language) if app.features.do_not_share_warning else body


def _language(tag: str | None) -> str:
    if tag is None or tag in locales.TEXTS:
        return tag or locales.FALLBACK
    return locales.resolve(tag, "") or locales.FALLBACK

"""Texts by language: our own in `locales.json`, which of them a person reads, and a tenant's templates.

Our texts have the placeholders of `domain.text` (`{otp}`), a tenant's templates those of Twilio Verify (`{{code}}`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from otpost.domain.text import TextRefused, read_line, read_text, segments
from otpost.domain.text import render as fill

FALLBACK: Final = "en"
APP_HASH_TEXT_BYTES: Final = 140
MAX_FRIENDLY_NAME_CHARACTERS: Final = 32
MOST_SEGMENTS: Final = 10
"""What an application may allow at most: a longer text could never be sent."""
OWN_SUBSTITUTIONS: Final = frozenset({"friendly_name", "code", "ttl"})
"""What Otpost itself fills in; `ttl` is in minutes. A caller brings the others."""


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said in one language, and the regions (`AT CH`, ISO 3166) whose numbers are texted in it.

    `verification` has `{otp}` and `{application}`, `payment` has `{otp}`, `{amount}` and `{payee}`; `warning` is a
    sentence of its own that can follow either.
    """

    language: str
    verification: str
    warning: str
    payment: str
    regions: str


TEXTS: Final = msgspec.json.decode(Path(__file__).with_name("locales.json").read_bytes(), type=dict[str, Texts])
"""By locale. The tags are those of https://www.twilio.com/docs/verify/supported-languages (default template, SMS)."""

OTHER_NAMES: Final = {
    "cmn": "zh",
    "fil": "tl",
    "in": "id",
    "iw": "he",
    "nn": "nb",
    "no": "nb",
    "yue": "zh-HK",
    "zh-hans": "zh-CN",
    "zh-hant": "zh-HK",
    "zh-mo": "zh-HK",
    "zh-tw": "zh-HK",
}
"""Tags, in small letters, that are read as one of ours: former names, and the nearest that the person reads."""

_LOCALES: Final = {locale.lower(): locale for locale in TEXTS} | OTHER_NAMES
_OF_REGION: Final = {region: locale for locale, texts in TEXTS.items() for region in texts.regions.split()}
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_APP_HASH: Final = re.compile(r"[A-Za-z0-9+/]{11}")
_SHORTEST: Final = {"code": "0000", "friendly_name": "x", "ttl": "1"}
_SUBSTITUTION: Final = re.compile(r"\{\{([A-Za-z][A-Za-z0-9_]{0,63})\}\}")


BUILT_IN: Final = "HJ" + "1".zfill(32)
BUILT_IN_AT: Final = 1_795_392_000_000
"""The SID of our own texts as a template, and the moment that it tells as its own: 2026-11-23."""

_SHAPED: Final = {"otp": "{{code}}", "application": "{{friendly_name}}"}
_BUILT_IN_TEXTS: Final = {locale: fill(texts.verification, _SHAPED) for locale, texts in TEXTS.items()}


def default_text(locale: str) -> str:
    """The verification's text, a template of `domain.text`. Raises KeyError for a locale that is not in `TEXTS`."""
    return TEXTS[locale].verification


def payment_text(locale: str) -> str:
    """The text of a verification that approves one payment (PSD2); KeyError as in `default_text`."""
    return TEXTS[locale].payment


def with_warning(body: str, locale: str) -> str:
    """`body`, then the sentence that the code is not to be shared; KeyError as in `default_text`."""
    return f"{body}{'' if body.endswith('。') else ' '}{TEXTS[locale].warning}"


def locale_of(region: str) -> str:
    """The locale in which numbers of `region` (`IN`) are texted; English for a region unknown, empty or `001`."""
    return _OF_REGION.get(region, FALLBACK)


def resolve(tag: str | None, region: str) -> str | None:
    """The locale of `TEXTS` for what a caller asked for, else for the number's region; None: there is none like it.

    `tag` is a BCP 47 tag in any case, with `-` or `_`. It is shortened from its end until it is known, so `de-AT` is
    `de` (RFC 4647, 3.4). Without a tag the region decides.
    """
    if not tag:
        return locale_of(region)
    return next((_LOCALES[shorter] for shorter in _shortened(tag) if shorter in _LOCALES), None)


def _shortened(tag: str) -> Iterator[str]:
    """`zh-hant-tw`, `zh-hant`, `zh`; nothing of what is no tag."""
    if _TAG.fullmatch(tag) is None:
        return
    parts = tag.lower().replace("_", "-").split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])


def is_app_hash(text: str) -> bool:
    """Whether `text` has the form of the 11 Base64 characters that name an Android app."""
    return _APP_HASH.fullmatch(text) is not None


def for_app(body: str, app_hash: str) -> str:
    """`body` as an Android app reads it without permissions: `<#>` before it, the app's hash on a last line of its own.

    Source: https://developers.google.com/identity/sms-retriever/verify
    """
    return f"<#> {body}\n{app_hash}"


def fits_app(text: str) -> bool:
    """Whether a text from `for_app` is short enough: 140 bytes. They are counted in UTF-8, the strictest reading."""
    return len(text.encode()) <= APP_HASH_TEXT_BYTES


class Template(msgspec.Struct, frozen=True):
    """A tenant's own text in one or more languages. `translations` are texts with `{{code}}` by locale."""

    sid: str
    tenant: str
    friendly_name: str
    translations: dict[str, str]
    created_at: int
    updated_at: int
    default_locale: str = FALLBACK
    channels: tuple[str, ...] = ("sms",)


def built_in(tenant: str) -> Template:
    """Our own texts of all locales as a template, which every tenant has."""
    return Template(BUILT_IN, tenant, "Otpost default", _BUILT_IN_TEXTS, BUILT_IN_AT, BUILT_IN_AT)


class SubstitutionsMissing(ValueError):
    """A template lacks values; `names` are those of its substitutions, in the text's order (Twilio's 60224)."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names: Final = names
        super().__init__(f"The template needs a value for {', '.join(names)}.")


def read_template(template: Template) -> Template:
    """The template as it is kept, or TextRefused, as `domain.text.read_template` raises it.

    Codes: `required` (no name, no translation, none in its default locale, no `{{code}}`), `text_too_long` (1600
    characters, more segments than any application may allow, 32 characters of the name), `invalid` (a locale that is
    no tag, a lone brace, a character that no text may hold).
    """
    name = read_line(template.friendly_name, MAX_FRIENDLY_NAME_CHARACTERS)
    if not name:
        raise TextRefused("required", "Give the template a name.")
    if template.default_locale not in template.translations:
        raise TextRefused("required", f"Add a text in the template's default locale, {template.default_locale}.")
    texts = {locale: _translation(locale, text) for locale, text in template.translations.items()}
    return msgspec.structs.replace(template, friendly_name=name, translations=texts)


def _translation(locale: str, text: str) -> str:
    if _TAG.fullmatch(locale) is None:
        raise TextRefused("invalid", "A locale is a language and perhaps a region, as in pt or pt-BR.")
    try:
        text = read_text(text)
    except TextRefused as refused:
        raise TextRefused(refused.code, f"{locale}: {refused.message}") from None
    if re.search(r"[{}]", _SUBSTITUTION.sub("", text)):
        raise TextRefused(
            "invalid",
            f"{locale}: braces are for substitutions, two on each side of a name of letters, digits and _, "
            "as in {{code}}.",
        )
    if "code" not in _SUBSTITUTION.findall(text):
        raise TextRefused("required", f"{locale}: put {{{{code}}}} where the code shall stand.")
    if (count := segments(_SUBSTITUTION.sub(lambda name: _SHORTEST.get(name[1], ""), text)).count) > MOST_SEGMENTS:
        raise TextRefused(
            "text_too_long", f"{locale}: the text would be billed as {count} segments; {MOST_SEGMENTS} are the most."
        )
    return text


def translation_of(template: Template, locale: str) -> str:
    """The locale of the template's text for `locale`: its own, a shorter tag's (`es` for `es-MX`), or the default."""
    return translation_like(template, locale) or template.default_locale


def translation_like(template: Template, locale: str) -> str | None:
    """The template's own locale that is, or is a shorter form of, `locale`; None: it has none like it."""
    own = {tag.lower().replace("_", "-"): tag for tag in template.translations}
    return next((own[shorter] for shorter in _shortened(locale) if shorter in own), None)


def missing(template: Template, locale: str, given: Collection[str]) -> tuple[str, ...]:
    """The substitutions that the template's text for `locale` needs from the caller and that are not in `given`."""
    named = _SUBSTITUTION.findall(template.translations[translation_of(template, locale)])
    return tuple(dict.fromkeys(name for name in named if name not in OWN_SUBSTITUTIONS and name not in given))


def render(template: Template, locale: str, own: Mapping[str, str], given: Mapping[str, str]) -> str:
    """The template's text for `locale`, filled in; braces in a value stay as they are.

    `own` are the values of `OWN_SUBSTITUTIONS`; the caller's, `given`, do not override them. Raises
    SubstitutionsMissing where `missing` finds any, and KeyError where `own` lacks one that the text has.
    """
    if absent := missing(template, locale, given):
        raise SubstitutionsMissing(absent)
    values = {name: value for name, value in given.items() if name not in OWN_SUBSTITUTIONS} | dict(own)
    text = template.translations[translation_of(template, locale)]
    return _SUBSTITUTION.sub(lambda substitution: values[substitution[1]], text)


def twilio_translations(template: Template, date: Callable[[int], str]) -> dict[str, dict[str, Any]]:
    """The template's `translations` as Twilio Verify shows them; `date` writes milliseconds since the epoch.

    Source: https://www.twilio.com/docs/verify/api/templates
    """
    return {
        locale: {
            "is_default_translation": locale == template.default_locale,
            "status": "approved",
            "locale": locale,
            "text": text,
            "date_updated": date(template.updated_at),
            "date_created": date(template.created_at),
        }
        for locale, text in template.translations.items()
    }

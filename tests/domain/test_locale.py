"""Texts by language; run as a program, this writes the tables of docs/reference/locales.md."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpost.domain import locale as locales
from otpost.domain import text
from otpost.domain.locale import TEXTS, SubstitutionsMissing, Template
from otpost.domain.text import TextRefused

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "locales.md"
VERIFY_LOCALES = [
    "af",
    "ar",
    "ca",
    "zh-HK",
    "zh",
    "zh-CN",
    "hr",
    "cs",
    "da",
    "nl",
    "en",
    "et",
    "fi",
    "fr",
    "de",
    "el",
    "he",
    "hi",
    "hu",
    "id",
    "it",
    "ja",
    "kn",
    "ko",
    "lt",
    "ms",
    "mr",
    "nb",
    "pl",
    "pt",
    "pt-BR",
    "ro",
    "ru",
    "sk",
    "es",
    "sv",
    "tl",
    "te",
    "th",
    "tr",
    "uk",
    "vi",
]
"""https://www.twilio.com/docs/verify/supported-languages: the default template by SMS."""
GSM_7 = {
    "af",
    "ca",
    "da",
    "de",
    "en",
    "et",
    "fi",
    "fr",
    "hr",
    "id",
    "it",
    "lt",
    "ms",
    "nb",
    "nl",
    "pl",
    "ro",
    "sv",
    "tl",
    "tr",
}
SAMPLE = {"otp": "123456", "application": "Ten Digits", "amount": "€39.99", "payee": "Acme Shops"}
APP_HASH = "He42w354ol9"


def verification(locale: str, *, warned: bool = False) -> str:
    body = locales.default_text(locale)
    return text.render(locales.with_warning(body, locale) if warned else body, SAMPLE)


def payment(locale: str, *, warned: bool = False) -> str:
    body = locales.payment_text(locale)
    return text.render(locales.with_warning(body, locale) if warned else body, SAMPLE)


# The texts


def test_every_locale_of_twilio_verify_has_its_texts_and_no_other_is_there() -> None:
    assert len(VERIFY_LOCALES) == 42
    assert list(TEXTS) == sorted(VERIFY_LOCALES)


@pytest.mark.parametrize("locale", VERIFY_LOCALES)
def test_every_text_has_its_placeholders_once_and_is_written_in_one_way(locale: str) -> None:
    texts = TEXTS[locale]
    assert sorted(re.findall(r"\{(.*?)\}", texts.verification)) == ["application", "otp"]
    assert sorted(re.findall(r"\{(.*?)\}", texts.payment)) == ["amount", "otp", "payee"]
    assert re.findall(r"[{}0-9]", texts.warning) == []
    for said in (texts.language, texts.verification, texts.payment, texts.warning):
        assert said == unicodedata.normalize("NFC", " ".join(said.split()))
        assert [character for character in said if unicodedata.category(character) in ("Cf", "Cc")] == []
    text.read_template(texts.verification)


@pytest.mark.parametrize("locale", VERIFY_LOCALES)
def test_every_verification_is_one_segment_even_with_its_warning(locale: str) -> None:
    for warned in (False, True):
        assert text.segments(verification(locale, warned=warned)).count == 1


@pytest.mark.parametrize("locale", VERIFY_LOCALES)
def test_every_payment_is_one_segment(locale: str) -> None:
    assert text.segments(payment(locale)).count == 1


def test_the_languages_that_can_be_written_in_gsm_7_are() -> None:
    assert {locale for locale in TEXTS if text.segments(verification(locale)).encoding == "GSM-7"} == GSM_7


def test_english_is_the_default_of_an_application() -> None:
    assert locales.default_text("en") == text.DEFAULT_TEMPLATE == "{otp} is your {application} code."


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", "123456 is your Ten Digits code. Do not share it with anyone."),
        ("tr", "Ten Digits kodunuz: 123456. Kimseye söylemeyin."),
        ("ja", "123456 は Ten Digits の認証コードです。誰にも教えないでください。"),
        ("hi", "123456 आपका Ten Digits कोड है। इसे किसी से साझा न करें।"),
        ("th", "123456 คือรหัส Ten Digits ของคุณ ห้ามบอกรหัสแก่ผู้ใด"),
    ],
)
def test_the_warning_follows_as_a_sentence_of_its_own(locale: str, expected: str) -> None:
    assert verification(locale, warned=True) == expected


def test_a_payment_names_amount_and_payee() -> None:
    assert payment("en") == "123456 is your code to pay €39.99 to Acme Shops."
    assert payment("de") == "123456 ist Ihr Code zur Zahlung von €39.99 an Acme Shops."


@pytest.mark.parametrize("locale", ["", "xx", "PT-br"])
def test_a_locale_that_was_not_resolved_is_an_error(locale: str) -> None:
    for said in (locales.default_text, locales.payment_text):
        with pytest.raises(KeyError):
            said(locale)


# Which locale


def test_every_region_of_the_library_has_one_locale() -> None:
    counted = Counter(region for texts in TEXTS.values() for region in texts.regions.split())
    assert set(counted) == set(phonenumbers.SUPPORTED_REGIONS)
    assert [region for region, times in counted.items() if times > 1] == []


@pytest.mark.parametrize(
    ("region", "locale"),
    [
        ("US", "en"),
        ("IN", "en"),
        ("AT", "de"),
        ("BR", "pt-BR"),
        ("AO", "pt"),
        ("MX", "es"),
        ("CN", "zh-CN"),
        ("TW", "zh-HK"),
        ("PH", "tl"),
        ("KZ", "ru"),
        ("EG", "ar"),
        ("001", "en"),
        ("", "en"),
        ("ZZ", "en"),
    ],
)
def test_a_number_is_texted_in_the_language_of_its_region(region: str, locale: str) -> None:
    assert locales.locale_of(region) == locale
    assert locales.resolve(None, region) == locale
    assert locales.resolve("", region) == locale


@pytest.mark.parametrize(
    ("tag", "locale"),
    [
        ("pt-BR", "pt-BR"),
        ("pt_BR", "pt-BR"),
        ("PT-br", "pt-BR"),
        ("pt-PT", "pt"),
        ("de-AT", "de"),
        ("EN-gb", "en"),
        ("es-419", "es"),
        ("zh", "zh"),
        ("zh-CN", "zh-CN"),
        ("zh-SG", "zh"),
        ("zh-TW", "zh-HK"),
        ("zh_MO", "zh-HK"),
        ("zh-Hant", "zh-HK"),
        ("zh-Hant-TW", "zh-HK"),
        ("zh-Hans-HK", "zh-CN"),
        ("yue", "zh-HK"),
        ("no", "nb"),
        ("nn-NO", "nb"),
        ("fil-PH", "tl"),
        ("iw_IL", "he"),
        ("in_ID", "id"),
        ("xx", None),
        ("english", None),
        ("sr-Latn-RS", None),
        ("-", None),
        ("de-", None),
        ("-de", None),
        ("de--AT", None),
        (" de", None),
        ("de\n", None),
        ("ｄｅ", None),
        ("ſv", None),
        ("de-" + "a" * 9, None),
        ("de" + "-a" * 5, None),
    ],
)
def test_a_locale_asked_for_is_shortened_until_it_is_known(tag: str, locale: str | None) -> None:
    assert locales.resolve(tag, "FR") == locale


@given(st.sampled_from(VERIFY_LOCALES), st.sampled_from("-_"), st.randoms(use_true_random=False))
def test_case_and_separator_of_a_tag_do_not_matter(locale: str, separator: str, chance) -> None:
    written = "".join(chance.choice((character.lower(), character.upper())) for character in locale)
    assert locales.resolve(written.replace("-", separator), "US") == locale


@given(st.text(min_size=1, max_size=40))
def test_whatever_is_asked_for_leads_to_a_text_or_is_refused(tag: str) -> None:
    resolved = locales.resolve(tag, "US")
    assert resolved is None or resolved in TEXTS


# A text for an Android app


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (APP_HASH, True),
        ("FA+9qCX9VS/", True),
        ("AAAAAAAAAAA", True),
        ("", False),
        ("AAAAAAAAAA", False),
        ("AAAAAAAAAAAA", False),
        ("AAAAAAAAAA=", False),
        ("AAAAAAAAAA\n", False),
        ("AAAAA AAAAA", False),
        ("ÄAAAAAAAAAA", False),
    ],
)
def test_an_app_hash_is_eleven_characters_of_base64(written: str, expected: bool) -> None:
    assert locales.is_app_hash(written) is expected


def test_a_text_for_an_app_begins_with_its_mark_and_ends_with_the_hash() -> None:
    assert locales.for_app(verification("en"), APP_HASH) == "<#> 123456 is your Ten Digits code.\nHe42w354ol9"


def test_an_app_reads_140_bytes_at_most() -> None:
    assert locales.fits_app("a" * 140)
    assert not locales.fits_app("a" * 141)
    assert locales.fits_app("я" * 70)
    assert not locales.fits_app("я" * 71)


@pytest.mark.parametrize("locale", VERIFY_LOCALES)
def test_every_default_text_fits_an_app(locale: str) -> None:
    for warned in (False, True):
        assert locales.fits_app(locales.for_app(verification(locale, warned=warned), APP_HASH))
    assert text.segments(locales.for_app(verification(locale), APP_HASH)).count == 1


# A tenant's templates


def template(default_locale: str = "en", friendly_name: str = "Sign-in", **translations: str) -> Template:
    return Template(
        sid="HJ" + "0" * 32,
        tenant="AC" + "0" * 32,
        friendly_name=friendly_name,
        translations={tag.replace("_", "-"): said for tag, said in translations.items()},
        default_locale=default_locale,
        created_at=1_000,
        updated_at=2_000,
    )


SIGN_IN = template(
    en="{{code}} signs you in to {{friendly_name}} at {{place}} for {{ttl}} minutes. {{place}}, {{Desk_2}}",
    es="{{code}} para {{friendly_name}}",
    pt_BR="{{code}}",
)
BRACES = "en: braces are for substitutions, two on each side of a name of letters, digits and _, as in {{code}}."
OWN = {"friendly_name": "Bank", "code": "123456", "ttl": "10"}


def test_a_template_is_filled_in_with_our_values_and_the_callers() -> None:
    given_values = {"place": r"{{code}} \1", "Desk_2": "7", "unused": "x"}
    expected = r"123456 signs you in to Bank at {{code}} \1 for 10 minutes. {{code}} \1, 7"
    assert locales.render(SIGN_IN, "en", OWN, given_values) == expected


def test_a_caller_cannot_bring_a_code_or_a_name() -> None:
    forged = {"code": "000000", "friendly_name": "Other", "ttl": "0"}
    assert locales.render(SIGN_IN, "es", OWN, forged) == "123456 para Bank"


def test_missing_substitutions_are_named_once_and_in_order() -> None:
    assert locales.missing(SIGN_IN, "en", {}) == ("place", "Desk_2")
    assert locales.missing(SIGN_IN, "en", {"place": "", "desk_2": ""}) == ("Desk_2",)
    assert locales.missing(SIGN_IN, "es", {}) == ()
    with pytest.raises(SubstitutionsMissing, match=r"^The template needs a value for place, Desk_2\.$") as refused:
        locales.render(SIGN_IN, "en", OWN, {})
    assert refused.value.names == ("place", "Desk_2")


@pytest.mark.parametrize(
    ("asked", "taken"),
    [("en", "en"), ("es", "es"), ("es-MX", "es"), ("pt_br", "pt-BR"), ("pt", "en"), ("fr", "en"), ("", "en")],
)
def test_a_language_that_a_template_lacks_is_said_in_its_default(asked: str, taken: str) -> None:
    assert locales.translation_of(SIGN_IN, asked) == taken


def test_the_default_of_a_template_need_not_be_english() -> None:
    assert locales.translation_of(template("fr", fr="{{code}}", en="{{code}}"), "de") == "fr"


@pytest.mark.parametrize(
    "saved",
    [
        SIGN_IN,
        template(en="{{code}}"),
        template(en="{{code}}\n{{" + "a" * 64 + "}}"),
        template(en="{{code}}", friendly_name="x" * 32),
        template(en="{{code}}" + "x" * 1520),
    ],
)
def test_a_template_with_a_code_in_every_language_is_taken(saved: Template) -> None:
    locales.read_template(saved)


@pytest.mark.parametrize(
    ("saved", "code", "message"),
    [
        (template(), "required", "Add a text in the template's default locale, en."),
        (template(de="{{code}}"), "required", "Add a text in the template's default locale, en."),
        (template(en="{{code}}", friendly_name=" "), "required", "Give the template a name."),
        (template(en="{{code}}", friendly_name="x" * 33), "text_too_long", "The name has at most 32 characters."),
        (template(en="Hello"), "required", "en: put {{code}} where the code shall stand."),
        (template(en="{{code}}", de="Hallo"), "required", "de: put {{code}} where the code shall stand."),
        (
            template(en="{{code}}" + "x" * 1593),
            "text_too_long",
            "en: The text has 1601 characters; shorten it to 1600 at most.",
        ),
        (
            template(en="{{code}}" + "x" * 1592),
            "text_too_long",
            "en: the text would be billed as 11 segments; 10 are the most.",
        ),
        (template(en="{{code}}\0"), "invalid", "en: Remove U+0000 (NUL), a control character."),
        (template(en="{{code}}\u2028"), "invalid", "en: Remove U+2028 (LINE SEPARATOR), a control character."),
        *(
            (
                template(en=said),
                "invalid",
                BRACES,
            )
            for said in ("{code}", "{{code}} {", "{{ code }}", "{{code}}{{}}", "{{{code}}}", "{{code}} {{a-b}}")
        ),
        (
            template(en="{{code}}", **{"no locale": "{{code}}"}),
            "invalid",
            "A locale is a language and perhaps a region, as in pt or pt-BR.",
        ),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused_with_its_remedy(
    saved: Template, code: str, message: str
) -> None:
    with pytest.raises(TextRefused) as refused:
        locales.read_template(saved)
    assert (refused.value.code, refused.value.message) == (code, message)


NAMES = st.text(alphabet=string.ascii_letters, min_size=1, max_size=8)


@given(st.lists(NAMES, max_size=6), st.dictionaries(NAMES, st.text(max_size=20), max_size=6))
def test_a_template_is_filled_in_whole_or_says_what_is_missing(names: list[str], brought: dict[str, str]) -> None:
    saved = template(en=" ".join(["{{code}}", *(f"{{{{{name}}}}}" for name in names)]))
    absent = locales.missing(saved, "en", brought)
    assert set(absent) == set(names) - set(brought) - set(OWN)
    if not absent:
        filled = [OWN["code"], *((brought | OWN)[name] for name in names)]
        assert locales.render(saved, "en", OWN, brought) == " ".join(filled)


def test_translations_are_shown_as_twilio_shows_them() -> None:
    assert locales.twilio_translations(template(en="{{code}}", de="{{code}}!"), lambda at: f"at {at}") == {
        "en": {
            "is_default_translation": True,
            "status": "approved",
            "locale": "en",
            "text": "{{code}}",
            "date_updated": "at 2000",
            "date_created": "at 1000",
        },
        "de": {
            "is_default_translation": False,
            "status": "approved",
            "locale": "de",
            "text": "{{code}}!",
            "date_updated": "at 2000",
            "date_created": "at 1000",
        },
    }


# The page


def size(sent: str) -> str:
    counted = text.segments(sent)
    return f"{counted.encoding}, {counted.units} units, {counted.count}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tables() -> dict[str, str]:
    """The tables of the page by the comment that stands above each."""
    return {
        "names": table(
            ("Asked for", "Read as"), ((f"`{a}`", f"`{b}`") for a, b in sorted(locales.OTHER_NAMES.items()))
        ),
        "verification": table(
            ("Locale", "Language", "Text", "Warning", "Size, segments", "With the warning"),
            (
                (
                    f"`{locale}`",
                    texts.language,
                    texts.verification,
                    texts.warning,
                    size(verification(locale)),
                    size(verification(locale, warned=True)),
                )
                for locale, texts in TEXTS.items()
            ),
        ),
        "app": table(
            ("Locale", "Size, segments", "Bytes", "With the warning", "Bytes"),
            (
                (f"`{locale}`", size(plain), f"{len(plain.encode())}", size(warned), f"{len(warned.encode())}")
                for locale in TEXTS
                for plain in (locales.for_app(verification(locale), APP_HASH),)
                for warned in (locales.for_app(verification(locale, warned=True), APP_HASH),)
            ),
        ),
        "payment": table(
            ("Locale", "Text", "Size, segments", "With the warning"),
            (
                (f"`{locale}`", texts.payment, size(payment(locale)), size(payment(locale, warned=True)))
                for locale, texts in TEXTS.items()
            ),
        ),
        "regions": table(
            ("Locale", "Regions"),
            ((f"`{locale}`", texts.regions or "none; on request") for locale, texts in TEXTS.items()),
        ),
    }


def page() -> str:
    """The page as it stands, with its tables made anew."""
    written = PAGE.read_text(encoding="utf-8")
    for name, made in tables().items():
        mark = f"<!-- {name} -->\n\n"
        before, after = written.split(mark)
        after = re.sub(r"\A(?:\|.*\n)*\n*", "", after)
        written = f"{before}{mark}{made}\n\n{after}"
    return written.rstrip("\n") + "\n"


def test_the_page_shows_what_is_sent() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run this file as a program to make the tables anew"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

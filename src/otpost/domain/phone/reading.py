"""Reading what was typed into a field for a number; with its neighbours the only module that knows libphonenumber.

One reader for each kind of field: `parse_recipient` (a number that shall get a text), `parse_origin` (what the
recipient's phone shows), `parse_filter` (to which numbers something applies).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType, ValidationResult

from otpost.domain.phone import replaced
from otpost.domain.phone.fast import MAX_DIGITS, accept_at_once
from otpost.domain.phone.number import NumberRefused, PhoneNumber, example_of, region_known
from otpost.domain.phone.typed import Typed, characters, has_extension, parse_dialing_code, parse_region, read

_NOT_TEXTED: Final[dict[int, str]] = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.VOICEMAIL: "a voicemail number",
    PhoneNumberType.UAN: "a company's universal access number",
}
_MOBILE: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

MIN_DIGITS_WITHOUT_PLUS: Final = 8

_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_SENDER_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 _&-][A-Za-z0-9 _&+-]{0,10}")


def parse_recipient(text: str, default_region: str | None = None) -> PhoneNumber:
    """Read the number of a person who shall get a text.

    Read are `+91 91919-19191`, `0091…`, `91\\9191919191`, `+91(0)9191919191`, `tel:+91…`, in the digits of any script.
    Without `+` or `00` a number can be a national one of the `default_region` (`IN`) or, from eight digits on, an
    international one that lacks its `+`; `(0)` can be a part of the number or not. Of all readings a mobile number
    goes before any other, and the national one before the international. An old number of a plan that was replaced is
    read as today's where that can be computed.

    Refused with `invalid_number`: what libphonenumber calls invalid, letters, extensions, more than 15 digits. Refused
    with `number_type_refused`: premium-rate, shared-cost, toll-free, pager, voicemail and UAN numbers. Twilio's magic
    numbers (+15005550000 to 9) are valid personal numbers in libphonenumber's eyes and need no exception.
    """
    if (accepted := accept_at_once(text)) is not None:
        return accepted
    return parse_slowly(text, default_region)


def parse_slowly(text: str, default_region: str | None = None) -> PhoneNumber:
    """What `parse_recipient` says, by the library alone: the judge of its fast path."""
    readings = _recipient_readings(read(text), default_region)
    if not readings:
        raise _lacks_dialing_code()
    parsed = [number for digits, region in readings if (number := _parse(digits, region)) is not None]
    valid = [number for number in parsed if _is_valid(number)] or list(_of_today(parsed))
    if not valid:
        raise _no_such_number(parsed)
    first = next((number for number in valid if phonenumbers.number_type(number) in _MOBILE), valid[0])
    kind = phonenumbers.number_type(first)
    if kind in _NOT_TEXTED:
        raise NumberRefused(
            "number_type_refused",
            f"This is {_NOT_TEXTED[kind]}, to which no texts are sent. Give the number of a mobile phone.",
        )
    return PhoneNumber(_e164(first), f"+{first.country_code}")


def parse_origin(text: str) -> str:
    """Read what the recipient's phone shall show: E.164, a short code of 3–8 digits, or a name such as `MyBrand`.

    Digits alone are a short code up to eight of them and an international number from nine on. A number need only be
    possible, not valid: the service knows what it owns. A name has at most 11 characters (letters a–z, digits, blank,
    `-`, `_`, `&`, `+`), one letter at least, and is kept as it is. Raises NumberRefused with `invalid_number`.
    """
    typed = characters(text)
    if _SHORT_CODE.fullmatch(typed):
        return typed
    if _SENDER_NAME.fullmatch(typed):
        return typed
    if any(character.isalpha() for character in typed) and not has_extension(typed):
        raise NumberRefused(
            "invalid_number",
            "A sender name has at most 11 characters: letters a–z, at least one, digits, blanks, and - _ & +. "
            "A sender number is written in digits, as in +91 91919 19191.",
        )
    readings = _international_readings(read(text))
    if not readings:
        raise _lacks_dialing_code()
    for digits in readings:
        parsed = _parse(digits)
        if parsed is None or phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
            continue
        if len(e164 := _e164(parsed)) <= MAX_DIGITS + 1:
            return e164
    raise _no_such_number([])


def parse_filter(text: str) -> str:
    """Read to which numbers something applies: a dialing code (`+91`, `1 876`), or the two letters of a region (`PR`).

    Raises NumberRefused with `invalid_number`.
    """
    return parse_dialing_code(text) if parse_region(text) is None else parse_own_region(text)


def parse_own_region(text: str) -> str:
    """Read the two letters of a region whose numbers can be told from those of every other.

    Nine regions' cannot: mobiles of Åland (`AX`) are Finland's. Raises NumberRefused with `invalid_number`.
    """
    region = parse_region(text)
    if region is None or not region_known(region):
        raise NumberRefused("invalid_number", "No region has these letters. Give two of ISO 3166, as in US.")
    if (other := example_of(region).region) != region:
        raise NumberRefused(
            "invalid_number", f"Numbers of {region} cannot be told from those of {other}. Give {other}."
        )
    return region


def _recipient_readings(typed: Typed, default_region: str | None) -> list[tuple[str, str | None]]:
    """What may have been meant, in the order in which equals are preferred."""
    region = default_region.upper() if default_region else ""
    abroad: list[tuple[str, str | None]] = [(digits, None) for digits in _international_readings(typed)]
    if not typed.digits or not region_known(region):
        return abroad
    if typed.zeros:
        return [*abroad, (f"00{typed.digits}", region)]
    return abroad if typed.international else [*((digits, region) for digits in _with_and_without(typed)), *abroad]


def _international_readings(typed: Typed) -> list[str]:
    if not typed.international and (len(typed.digits) < MIN_DIGITS_WITHOUT_PLUS or typed.digits.startswith("0")):
        return []
    return [f"+{digits}" for digits in _with_and_without(typed)]


def _with_and_without(typed: Typed) -> list[str]:
    """With `(0)` and without: it is to be dropped, except in Italy and its like, whose fixed lines begin with it."""
    return list(dict.fromkeys((typed.digits, typed.without_trunk)))


def _parse(digits: str, region: str | None = None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(digits, region)
    except NumberParseException:
        return None


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_valid(number: phonenumbers.PhoneNumber) -> bool:
    return phonenumbers.is_valid_number(number) and len(_e164(number)) <= MAX_DIGITS + 1


def _of_today(old: list[phonenumbers.PhoneNumber]) -> Iterator[phonenumbers.PhoneNumber]:
    """The valid numbers that have taken the place of these."""
    for number in old:
        for digits in replaced.successors(_e164(number)[1:]):
            today = _parse(f"+{digits}")
            if today is not None and _is_valid(today):
                yield today


def _lacks_dialing_code() -> NumberRefused:
    return NumberRefused("invalid_number", "Put the dialing code in front of the number, as in +91 91919 19191.")


def _no_such_number(parsed: list[phonenumbers.PhoneNumber]) -> NumberRefused:
    for number in parsed:
        if replaced.has_old_form(_e164(number)[1:]):
            return NumberRefused(
                "invalid_number",
                f"The phone numbers of +{number.country_code} have changed, and this is an old one. "
                "Ask for the number as it is today.",
            )
    return NumberRefused(
        "invalid_number", "No such phone number exists. Check its digits and its dialing code, as in +91 91919 19191."
    )

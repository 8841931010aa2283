"""Phone numbers as values; the only module that knows libphonenumber.

Four readers, one for each kind of field: `parse_recipient` (a number that shall get a text), `parse_origin` (what the
recipient's phone shows), `parse_dialing_code` (a filter) and `trusted` (what was stored before).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any, Final, Literal, NamedTuple, NoReturn, final

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberType, ValidationResult
from phonenumbers.phonemetadata import PhoneNumberDesc

RefusalCode = Literal["invalid_number", "number_type_refused"]

MAX_INPUT_CHARACTERS: Final = 64
MAX_DIGITS: Final = 15
"""E.164's own limit; libphonenumber knows a few longer German numbers, which no carrier takes from abroad."""

_REGIONS: Final[dict[int, tuple[str, ...]]] = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
_NOT_TEXTED: Final[dict[int, str]] = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.VOICEMAIL: "a voicemail number",
    PhoneNumberType.UAN: "a company's universal access number",
}

MIN_DIGITS_WITHOUT_PLUS: Final = 8
MAX_DIALING_CODE_DIGITS: Final = 7

_PLAIN: Final = frozenset("+ -.()/[]\\")
_SAME_AS: Final = {"＋": "+", "﹢": "+", "＼": "\\", "﹨": "\\", "（": "(", "）": ")", "．": ".", "／": "/"}
_SHAPE: Final = re.compile(r"[(\[ ]*(?P<plus>\+?)(?P<rest>[0-9 \-.()/\[\]]*)")
_TRUNK_ZERO: Final = re.compile(r"[(\[] *0 *[)\]]")
_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_EXTENSION: Final = re.compile(r"[0-9].*?(?:[#;,x×]|доб)[^0-9]*[0-9]*\s*\Z", re.IGNORECASE | re.DOTALL)
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_SENDER_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 _&-][A-Za-z0-9 _&+-]{0,10}")

_COUNTRY_CODES: Final = frozenset(str(country_code) for country_code in _REGIONS)
_DIALING_CODES: Final[dict[str, str]] = {
    f"+{country_code}{after:0{width}d}"[:4]: f"+{country_code}"
    for country_code in _COUNTRY_CODES
    for width in (3 - len(country_code),)
    for after in range(10**width)
}
"""The dialing code of each `+` and three digits that begin with one; no dialing code begins another."""


class NumberRefused(ValueError):
    """What was typed is not a number for this purpose; `message` is a sentence that says what to do.

    The message never repeats what was typed.
    """

    def __init__(self, code: RefusalCode, message: str) -> None:
        self.code: Final = code
        self.message: Final = message
        super().__init__(message)


@final
class PhoneNumber:
    """An E.164 number that prints masked; `e164` alone shows it whole."""

    __slots__ = ("dialing_code", "e164")

    e164: str
    dialing_code: str

    def __init__(self, e164: str, dialing_code: str) -> None:
        _set(self, "e164", e164)
        _set(self, "dialing_code", dialing_code)

    @property
    def region(self) -> str:
        """ISO 3166 letters (`IN`), `001` for numbers of no country, empty where libphonenumber knows none."""
        regions = _REGIONS.get(int(self.dialing_code[1:] or 0), ())
        if len(regions) == 1:
            return regions[0]
        parsed = _parse(self.e164)
        return (parsed and phonenumbers.region_code_for_number(parsed)) or ""

    @property
    def masked(self) -> str:
        """`+91•••••••191`: the dialing code and the last three digits; fewer of a number that is very short."""
        national = self.e164[len(self.dialing_code) :]
        shown = min(3, max(0, len(national) - 3))
        hidden = len(national) - shown
        return f"{self.dialing_code}{'•' * hidden}{national[hidden:]}"

    def __repr__(self) -> str:
        return f"PhoneNumber({self.masked})"

    def __str__(self) -> str:
        return self.masked

    def __format__(self, spec: str) -> str:
        return format(self.masked, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhoneNumber) and other.e164 == self.e164

    def __hash__(self) -> int:
        return hash(self.e164)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a PhoneNumber does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a PhoneNumber does not change")

    def __reduce__(self) -> tuple[Any, ...]:
        return PhoneNumber, (self.e164, self.dialing_code)


_set: Final = object.__setattr__


def parse_recipient(text: str, default_region: str | None = None) -> PhoneNumber:
    """Read the number of a person who shall get a text.

    Read are `+91 91919-19191`, `0091…`, `91\\9191919191`, `+91(0)9191919191`, in the digits of any script.
    Without `+` or `00`: where there is a `default_region` (`IN`), a national number of that region comes first; else,
    and where that is none, eight or more digits are taken as an international number that lacks its `+`.

    Refused with `invalid_number`: what libphonenumber calls invalid, letters, extensions, more than 15 digits. Refused
    with `number_type_refused`: premium-rate, shared-cost, toll-free, pager, voicemail and UAN numbers. Twilio's magic
    numbers (+15005550000 to 9) are valid personal numbers in libphonenumber's eyes and need no exception.
    """
    if (accepted := _accept_at_once(text)) is not None:
        return accepted
    return parse_slowly(text, default_region)


def parse_slowly(text: str, default_region: str | None = None) -> PhoneNumber:
    """What `parse_recipient` says, by the library alone: the judge of its fast path."""
    readings = _recipient_readings(_read(text), default_region)
    if not readings:
        raise _lacks_dialing_code()
    for digits, region in readings:
        parsed = _parse(digits, region)
        if parsed is None or not phonenumbers.is_valid_number(parsed):
            continue
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if len(e164) > MAX_DIGITS + 1:
            continue
        kind = phonenumbers.number_type(parsed)
        if kind in _NOT_TEXTED:
            raise NumberRefused(
                "number_type_refused",
                f"This is {_NOT_TEXTED[kind]}, to which no texts are sent. Give the number of a mobile phone.",
            )
        return PhoneNumber(e164, f"+{parsed.country_code}")
    raise _no_such_number()


def trusted(e164: str) -> PhoneNumber:
    """A number that was read before and stored as `e164`; nothing is validated."""
    return PhoneNumber(e164, _DIALING_CODES.get(e164[:4], "+"))


def parse_origin(text: str) -> str:
    """Read what the recipient's phone shall show: E.164, a short code of 3–8 digits, or a name such as `MyBrand`.

    Digits alone are a short code up to eight of them and an international number from nine on. A number need only be
    possible, not valid: the service knows what it owns. A name has at most 11 characters (letters a–z, digits, blank,
    `-`, `_`, `&`, `+`), one letter at least, and is kept as it is. Raises NumberRefused with `invalid_number`.
    """
    typed = _characters(text)
    if _SHORT_CODE.fullmatch(typed):
        return typed
    if _SENDER_NAME.fullmatch(typed):
        return typed
    if any(character.isalpha() for character in typed):
        if _EXTENSION.search(typed):
            raise _has_extension()
        raise NumberRefused(
            "invalid_number",
            "A sender name has at most 11 characters: letters a–z, at least one, digits, blanks, and - _ & +. "
            "A sender number is written in digits, as in +91 91919 19191.",
        )
    readings = _international_readings(_read(text))
    if not readings:
        raise _lacks_dialing_code()
    for digits in readings:
        parsed = _parse(digits)
        if parsed is None or phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
            continue
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if len(e164) <= MAX_DIGITS + 1:
            return e164
    raise _no_such_number()


def parse_dialing_code(text: str) -> str:
    """Read a filter (`+91`, `91`, `0091`, `91\\`, `+1 876`) as `+` and 1–7 digits that begin with a country's code.

    Raises NumberRefused with `invalid_number`.
    """
    shape = _SHAPE.fullmatch(_characters(text).removesuffix("\\").rstrip())
    if shape is None:
        raise NumberRefused("invalid_number", "A dialing code is + and 1 to 7 digits, as in +91 or +1876.")
    digits = _NOT_DIGITS.sub("", shape["rest"])
    if not shape["plus"] and digits.startswith("00"):
        digits = digits[2:]
    if not 1 <= len(digits) <= MAX_DIALING_CODE_DIGITS:
        raise NumberRefused("invalid_number", "A dialing code is + and 1 to 7 digits, as in +91 or +1876.")
    if not dialing_code_known(f"+{digits}"):
        raise NumberRefused(
            "invalid_number", "No country has this dialing code. Give one that begins with a country's, as in +91."
        )
    return f"+{digits}"


def dialing_code_known(dialing_code: str) -> bool:
    """Whether `+` and digits (`+1876`) begin with the dialing code of a country or of an international network."""
    return any(dialing_code[1 : 1 + length] in _COUNTRY_CODES for length in (1, 2, 3))


def region_known(region: str) -> bool:
    """Whether `region` (`IN`) can be a default region."""
    return region in phonenumbers.SUPPORTED_REGIONS


def dialing_code_of(region: str) -> str:
    """`+44` of `GB`, which it may share with others; `+0` of what is no region."""
    return f"+{phonenumbers.country_code_for_region(region)}"


class _Typed(NamedTuple):
    """A number as it was typed: its ASCII digits, without `+` or `00` where `international`.

    `without_trunk` are the digits without a `(0)`, where there was one.
    """

    international: bool
    digits: str
    without_trunk: str
    zeros: bool
    """It began with `00`: in most of the world, but not everywhere, the same as `+`."""


def _recipient_readings(typed: _Typed, default_region: str | None) -> list[tuple[str, str | None]]:
    region = default_region.upper() if default_region else ""
    abroad: list[tuple[str, str | None]] = [(digits, None) for digits in _international_readings(typed)]
    if not typed.digits or region not in phonenumbers.SUPPORTED_REGIONS:
        return abroad
    if typed.zeros:
        return [*abroad, (f"00{typed.digits}", region)]
    return abroad if typed.international else [(typed.digits, region), *abroad]


def _international_readings(typed: _Typed) -> list[str]:
    if not typed.international and (len(typed.digits) < MIN_DIGITS_WITHOUT_PLUS or typed.digits.startswith("0")):
        return []
    # "(0)" is to be dropped, except in Italy and its like, where the zero is a part of the number.
    return [f"+{digits}" for digits in dict.fromkeys((typed.digits, typed.without_trunk))]


def _parse(digits: str, region: str | None = None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(digits, region)
    except NumberParseException:
        return None


def _read(text: str) -> _Typed:
    typed = _characters(text)
    if _EXTENSION.search(typed):
        raise _has_extension()
    before, backslash, after = typed.partition("\\")
    prefix = parse_dialing_code(before)[1:] if backslash else ""
    number = after if backslash else typed
    shape = _SHAPE.fullmatch(number)
    if shape is None or (backslash and (shape["plus"] or not _NOT_DIGITS.sub("", number))):
        raise NumberRefused(
            "invalid_number", "Write the number in digits, with its dialing code in front, as in +91 91919 19191."
        )
    digits = _NOT_DIGITS.sub("", number)
    without_trunk = _NOT_DIGITS.sub("", _TRUNK_ZERO.sub("", number, count=1))
    zeros = not backslash and not shape["plus"] and digits.startswith("00") and without_trunk.startswith("00")
    if zeros:
        digits, without_trunk = digits[2:], without_trunk[2:]
    international = bool(backslash or shape["plus"] or zeros)
    return _Typed(international, prefix + digits, prefix + without_trunk, zeros)


def _characters(text: str) -> str:
    """What was typed, in ASCII where it means the same, without the invisible marks that copying brings along."""
    if len(text) > MAX_INPUT_CHARACTERS:
        raise NumberRefused("invalid_number", "This is too long for a phone number; give one number alone.")
    read: list[str] = []
    for character in text:
        if "0" <= character <= "9" or character in _PLAIN:
            read.append(character)
            continue
        category = unicodedata.category(character)
        if category == "Nd":
            read.append(str(unicodedata.decimal(character)))
        elif category == "Zs":
            read.append(" ")
        elif category == "Pd" or character == "\u2212":
            read.append("-")
        elif category in ("Cc", "Cs", "Zl", "Zp"):
            raise NumberRefused("invalid_number", "Remove the line breaks and other control characters.")
        elif category != "Cf":
            read.append(_SAME_AS.get(character, character))
    return "".join(read).strip()


def _has_extension() -> NumberRefused:
    return NumberRefused("invalid_number", "A text cannot reach an extension. Give the number without it.")


def _lacks_dialing_code() -> NumberRefused:
    return NumberRefused("invalid_number", "Put the dialing code in front of the number, as in +91 91919 19191.")


def _no_such_number() -> NumberRefused:
    return NumberRefused(
        "invalid_number", "No such phone number exists. Check its digits and its dialing code, as in +91 91919 19191."
    )


def _accept_at_once(text: str) -> PhoneNumber | None:
    """The number, if `text` is E.164 and one pattern says that it is valid and of a kind that gets texts.

    None means that the library has to say. About 1 µs, where parsing, validating and formatting takes 22.
    """
    dialing_code = _DIALING_CODES.get(text[:4])
    if dialing_code is None or _texted(dialing_code).match(text) is None:
        return None
    return PhoneNumber(text, dialing_code)


@cache
def _texted(dialing_code: str) -> re.Pattern[str]:
    """One pattern for the E.164 numbers of this dialing code that are valid, of a texted kind and stored unchanged.

    It follows the library step by step: national prefix, region (the first whose leading digits or, having none,
    whose patterns match), then the kinds in its order.
    """
    country_code = int(dialing_code[1:])
    plans = [_metadata(country_code, region) for region in _REGIONS[country_code]]
    start = rf"\{dialing_code}"
    prefix = plans[0].national_prefix_for_parsing
    # Where the library would cut a national prefix off, it shall do so itself. A match of nothing cuts nothing.
    unchanged = rf"(?!(?:{prefix})(?<!\A{start}))" if prefix else ""
    rest = r"(?!)"
    for plan in reversed(plans):
        texted = _texted_in(plan)
        if plan.leading_digits is not None:
            rest = rf"(?:(?={plan.leading_digits}){texted}|(?!{plan.leading_digits}){rest})"
        else:
            rest = rf"(?:{texted}|(?!{_valid_in(plan)}){rest})"
    longest = MAX_DIGITS + 1 - len(dialing_code)
    return re.compile(rf"{start}(?=[0-9]{{2,{longest}}}\Z){unchanged}{rest}", re.ASCII)


def _metadata(country_code: int, region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
    if metadata is None:
        raise LookupError(f"libphonenumber lists {region} under +{country_code} and has no metadata for it")
    return metadata


def _texted_in(plan: PhoneMetadata) -> str:
    always = _any_of(plan.voip, plan.personal_number)
    never_first = _any_of(plan.premium_rate, plan.toll_free, plan.shared_cost)
    never = _any_of(plan.pager, plan.uan, plan.voicemail)
    return rf"{_any_of(plan.general_desc)}(?!{never_first})(?:{always}|(?!{never}){_any_of(*_ordinary(plan))})"


def _valid_in(plan: PhoneMetadata) -> str:
    kinds = (plan.premium_rate, plan.toll_free, plan.shared_cost, plan.voip, plan.personal_number)
    return rf"{_any_of(plan.general_desc)}{_any_of(*kinds, plan.pager, plan.uan, plan.voicemail, *_ordinary(plan))}"


def _ordinary(plan: PhoneMetadata) -> tuple[PhoneNumberDesc | None, ...]:
    return (plan.fixed_line,) if plan.same_mobile_and_fixed_line_pattern else (plan.fixed_line, plan.mobile)


def _any_of(*kinds: PhoneNumberDesc | None) -> str:
    """A look-ahead for a national number of one of these kinds; none of them never matches."""
    patterns: list[str] = []
    for kind in kinds:
        if kind is None or not kind.national_number_pattern:
            continue
        lengths = "|".join(f"[0-9]{{{length}}}" for length in kind.possible_length if length > 0)
        if kind.possible_length and not lengths:
            continue
        possible = rf"(?=(?:{lengths})\Z)" if lengths else ""
        patterns.append(rf"{possible}(?:{kind.national_number_pattern})\Z")
    return f"(?={'|'.join(patterns)})" if patterns else "(?!)"

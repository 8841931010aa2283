"""A phone number as a value that prints masked, and what its dialing code tells."""

from __future__ import annotations

from typing import Any, Final, Literal, NoReturn, final

import phonenumbers

RefusalCode = Literal["invalid_number", "number_type_refused"]

_REGIONS: Final[dict[int, tuple[str, ...]]] = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
_COUNTRY_CODES: Final = frozenset(str(country_code) for country_code in _REGIONS)
DIALING_CODES: Final[dict[str, str]] = {
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
        try:
            parsed = phonenumbers.parse(self.e164)
        except phonenumbers.NumberParseException:
            return ""
        return phonenumbers.region_code_for_number(parsed) or ""

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


def trusted(e164: str) -> PhoneNumber:
    """A number that was read before and stored as `e164`; nothing is validated."""
    return PhoneNumber(e164, DIALING_CODES.get(e164[:4], "+"))


def dialing_code_known(dialing_code: str) -> bool:
    """Whether `+` and digits (`+1876`) begin with the dialing code of a country or of an international network."""
    return any(dialing_code[1 : 1 + length] in _COUNTRY_CODES for length in (1, 2, 3))


def region_known(region: str) -> bool:
    """Whether `region` (`IN`) can be a default region."""
    return region in phonenumbers.SUPPORTED_REGIONS


def example_of(region: str) -> PhoneNumber:
    """A number of `region` (`PR`) that nobody has, to show what would be done with it."""
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    example = example or phonenumbers.example_number(region)
    if example is None:
        raise LookupError(f"{region} is no region with phone numbers")
    return trusted(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))


def dialing_code_of(region: str) -> str:
    """`+44` of `GB`, which it may share with others; `+0` of what is no region."""
    return f"+{phonenumbers.country_code_for_region(region)}"

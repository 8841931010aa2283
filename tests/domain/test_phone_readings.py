"""Which of several readings of a number is meant: over all regions, and for plans that were replaced."""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from otpost.domain import phone
from otpost.domain.phone import NumberRefused
from otpost.domain.phone.reading import MIN_DIGITS_WITHOUT_PLUS

MOBILES = {
    region: example
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (example := phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)) is not None
}
MOBILE_KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def read(typed: str, region: str | None) -> str:
    try:
        return phone.parse_recipient(typed, region).e164
    except NumberRefused as refused:
        return refused.code


def mobile_at_home(digits: str, region: str) -> str | None:
    """The number as `region` dials it, if that is a mobile one."""
    number = phonenumbers.parse(digits, region)
    is_mobile = phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) in MOBILE_KINDS
    return e164(number) if is_mobile else None


@pytest.mark.parametrize(
    ("typed", "region", "expected"),
    [
        ("4915123456789", "DE", "+4915123456789"),
        ("447400123456", "DE", "+447400123456"),
        ("+39 (0)351 255 6080", None, "+393512556080"),
        ("+39 (0)351 255 6080", "IT", "+393512556080"),
        ("(0)351 255 6080", "IT", "+393512556080"),
        ("0039 (0)351 255 6080", "DE", "+393512556080"),
        ("39\\(0)3512556080", None, "+393512556080"),
        ("06 698 12345", "IT", "+390669812345"),
        ("+39 (0)6 698 12345", None, "+390669812345"),
        ("(06) 698 12345", "IT", "+390669812345"),
        ("0151 23456789", "DE", "+4915123456789"),
        ("15123456789", "DE", "+4915123456789"),
        ("(0)151 23456789", "DE", "+4915123456789"),
        ("011 15-2345-6789", "AR", "+5491123456789"),
        ("+54 11 15-2345-6789", None, "+5491123456789"),
        ("33612345678", "IT", "+33612345678"),
        ("16847331234", "DE", "+16847331234"),
        ("8201012345678", "AT", "+821012345678"),
    ],
)
def test_a_mobile_reading_goes_before_any_other(typed: str, region: str | None, expected: str) -> None:
    assert read(typed, region) == expected


@pytest.mark.parametrize("region", MOBILES)
def test_the_mobile_of_every_region_is_read_in_every_way_of_writing_it(region: str) -> None:
    example = MOBILES[region]
    right = e164(example)
    code, national = str(example.country_code), phonenumbers.national_significant_number(example)
    ways = {
        "national": (phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL), region),
        "international": (phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL), None),
        "international, elsewhere": (phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL), "DE"),
        "00": (f"00{code} {national}", "DE"),
        "backslash": (f"{code}\\{national}", None),
        "rfc 3966": (f"tel:+{code}-{national}", None),
        "(0)": (f"+{code} (0){national}", None),
        "(0), at home": (f"+{code} (0){national}", region),
    }
    if len(right) > MIN_DIGITS_WITHOUT_PLUS:
        ways["without plus"] = (right[1:], None)
    if mobile_at_home(right[1:], region) is None:
        ways["without plus, at home"] = (right[1:], region)
    assert {way: read(*typed) for way, typed in ways.items()} == dict.fromkeys(ways, right)


@pytest.mark.parametrize("home", ["DE", "IT", "GB", "US", "IN", "AR", "AT", "FR", "BR", "JP"])
def test_a_mobile_without_plus_is_read_as_itself_unless_it_is_a_mobile_at_home(home: str) -> None:
    expected, found = {}, {}
    for region, example in MOBILES.items():
        right = e164(example)
        if len(right) > MIN_DIGITS_WITHOUT_PLUS:
            expected[region] = mobile_at_home(right[1:], home) or right
            found[region] = read(right[1:], home)
    assert found == expected
    assert sum(e164(MOBILES[region]) == number for region, number in found.items()) > 200


@pytest.mark.parametrize(
    ("typed", "today"),
    [
        ("+52 1 55 1234 5678", "+525512345678"),
        ("5215512345678", "+525512345678"),
        ("+55 11 8765-4321", "+5511987654321"),
        ("+225 07 12 34 56", "+2250707123456"),
        ("+225 44 12 34 56", "+2250544123456"),
        ("+225 01 12 34 56", "+2250101123456"),
        ("+229 97 12 34 56", "+2290197123456"),
        ("+84 121 234 5678", "+84792345678"),
        ("+84 166 234 5678", "+84362345678"),
        ("+20 10 123 4567", "+201001234567"),
        ("+20 12 123 4567", "+201221234567"),
        ("+230 712 3456", "+23057123456"),
        ("+974 312 3456", "+97433123456"),
        ("+237 77 12 34 56", "+237677123456"),
        ("+593 9 912 3456", "+593999123456"),
        ("+57 1 234 5678", "+576012345678"),
        ("+599 520 1234", "+17215201234"),
        ("+386 49 123 456", "+38349123456"),
        ("+212 61 23 45 67", "+212661234567"),
        ("+245 512 3456", "+245955123456"),
        ("+253 68 12 34", "+25377681234"),
    ],
)
def test_an_old_number_is_read_as_todays(typed: str, today: str) -> None:
    assert read(typed, None) == today


@pytest.mark.parametrize(
    ("typed", "region", "today"),
    [
        ("044 55 1234 5678", "MX", "+525512345678"),
        ("045 55 1234 5678", "MX", "+525512345678"),
        ("(11) 8765-4321", "BR", "+5511987654321"),
        ("97 12 34 56", "BJ", "+2290197123456"),
        ("0121 234 5678", "VN", "+84792345678"),
    ],
)
def test_an_old_number_as_it_was_dialed_at_home_is_read_as_todays(typed: str, region: str, today: str) -> None:
    assert read(typed, region) == today


@pytest.mark.parametrize(
    ("typed", "code"),
    [("+225 20 31 23 45", 225), ("+249 977 123 456", 249), ("+224 60 12 34 56", 224), ("+965 512 3456", 965)],
)
def test_of_an_old_number_that_cannot_be_computed_the_refusal_says_that_the_plan_has_changed(
    typed: str, code: int
) -> None:
    with pytest.raises(NumberRefused) as refused:
        phone.parse_recipient(typed)
    assert refused.value.code == "invalid_number"
    assert refused.value.message == (
        f"The phone numbers of +{code} have changed, and this is an old one. Ask for the number as it is today."
    )

"""Which language a number is texted in is remembered by its first digits, and is right for all that share them."""

from __future__ import annotations

import random

import phonenumbers

from otpost.domain.locale import locale_of
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.services.verifications.text import language_of

KINDS = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)


def like(example: str, chance: random.Random) -> PhoneNumber | None:
    """A number of the example's length that may begin otherwise, if there is one."""
    kept = chance.choice((4, 5, 6, 7))
    text = example[:kept] + "".join(chance.choice("0123456789") for _ in example[kept:])
    try:
        return parse_recipient(text)
    except NumberRefused:
        return None


def test_numbers_of_all_regions_are_texted_in_the_language_of_their_region() -> None:
    chance = random.Random(5)
    wrong = set()
    seen = 0
    for dialing_code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        many = 3 if len({locale_of(region) for region in regions}) == 1 else 60
        for region in regions:
            for kind in KINDS:
                example = phonenumbers.example_number_for_type(region, kind)
                if example is None:
                    continue
                text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                for number in filter(None, (like(text, chance) for _ in range(many))):
                    seen += 1
                    if language_of(number) != locale_of(number.region):
                        wrong.add((dialing_code, region))
    assert wrong == set()
    assert seen > 1000

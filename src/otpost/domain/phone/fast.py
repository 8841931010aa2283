"""The fast path: one pattern per dialing code, made of libphonenumber's own, for numbers that need no more reading."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

from otpost.domain.phone.number import DIALING_CODES, PhoneNumber

MAX_DIGITS: Final = 15
"""E.164's own limit; libphonenumber knows a few longer German numbers, which no carrier takes from abroad."""


def accept_at_once(text: str) -> PhoneNumber | None:
    """The number, if `text` is E.164 and one pattern says that it is valid and of a kind that gets texts.

    None means that the library has to say. About 1 µs, where parsing, validating and formatting takes 22.
    """
    dialing_code = DIALING_CODES.get(text[:4])
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
    plans = [_metadata(country_code, region) for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country_code]]
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

"""What an application may be given: its name and rules as somebody sends them, judged field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from otpost.domain.application import NAME_LENGTH, SHORT_CODE_CHECKS, SHORT_CODE_LENGTH, Rules, out_of_range
from otpost.domain.errors import FieldError, refusal
from otpost.domain.phone import NumberRefused, parse_dialing_code, region_known
from otpost.domain.text import TemplateRefused, check_template

MAX_DIALING_CODES = 300


def name_errors(name: str) -> list[FieldError]:
    """What is wrong with an application's name."""
    if not name.strip():
        return [FieldError("name", "required", "The name is what recipients read in the text.")]
    if len(name.strip()) > NAME_LENGTH:
        return [FieldError("name", "text_too_long", f"The name has at most {NAME_LENGTH} characters.")]
    if not name.strip().isprintable():
        return [FieldError("name", "invalid", "The name is one line without control characters.")]
    return []


def read(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
    """The rules that were given, in their stored form, and what is wrong with each by itself."""
    rules = dict(given)
    wrong: list[FieldError] = []
    if "body" in rules:
        try:
            check_template(rules["body"])
        except TemplateRefused as refused:
            wrong.append(FieldError("body", refused.code, refused.message))
    region = rules.get("default_region")
    if region is not None:
        rules["default_region"] = region.strip().upper() or None
        if rules["default_region"] and not region_known(rules["default_region"]):
            wrong.append(FieldError("default_region", "invalid", "A region is two ISO 3166 letters, as in IN."))
    if "allowed_dialing_codes" in rules:
        rules["allowed_dialing_codes"], more = _dialing_codes(rules["allowed_dialing_codes"])
        wrong += more
    return rules, wrong


def made(given: Mapping[str, Any]) -> tuple[Rules, list[FieldError]]:
    """The whole rules of a new application, and everything that is wrong with them; what is left out is default."""
    rules, wrong = read(given)
    whole = msgspec.structs.replace(Rules(), **rules)
    known = {error.field for error in wrong}
    return whole, wrong + [error for error in out_of_range(whole) if error.field not in known]


def judge(changed: Rules) -> None:
    """Raise Invalid with everything that is out of its range."""
    if wrong := out_of_range(changed):
        raise refusal(wrong)


def with_length(rules: Rules, code_length: int) -> Rules:
    """The rules with codes of this length, and as many checks as are safe for it where nobody says how many."""
    checks = rules.max_checks
    if code_length <= SHORT_CODE_LENGTH:
        checks = min(checks, SHORT_CODE_CHECKS)
    elif rules.code_length <= SHORT_CODE_LENGTH:
        checks = Rules().max_checks
    return msgspec.structs.replace(rules, code_length=code_length, max_checks=checks)


def _dialing_codes(texts: Sequence[str]) -> tuple[tuple[str, ...], list[FieldError]]:
    wrong, codes = [], []
    if len(texts) > MAX_DIALING_CODES:
        return (), [FieldError("allowed_dialing_codes", "out_of_range", f"At most {MAX_DIALING_CODES} entries.")]
    for place, text in enumerate(texts):
        field = f"allowed_dialing_codes[{place}]"
        try:
            code = parse_dialing_code(text)
        except NumberRefused as refused:
            wrong.append(FieldError(field, refused.code, refused.message))
            continue
        if code in codes:
            wrong.append(FieldError(field, "duplicate", f"{code} stands in the list already."))
        codes.append(code)
    return tuple(codes), wrong

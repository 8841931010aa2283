"""The text of a message: its template, the variables in it, and the segments that it is billed as."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal

DEFAULT_TEMPLATE: Final = "{otp} is your {application} code."
MAX_BODY_CHARACTERS: Final = 1600
MAX_VARIABLE_CHARACTERS: Final = 64

CALLER_VARIABLES: Final = frozenset({"user", "endpoint", "event"})
"""What a caller brings; the other placeholders are known here."""
PLACEHOLDERS: Final = CALLER_VARIABLES | {"otp", "application", "number", "minutes"}

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")

TemplateCode = Literal["required", "text_too_long", "invalid"]


class TemplateRefused(ValueError):
    """A body template cannot be saved; `message` is a sentence that says what to do."""

    def __init__(self, code: TemplateCode, message: str) -> None:
        self.code: Final = code
        self.message: Final = message
        super().__init__(message)


def check_template(body: str) -> None:
    """Raise TemplateRefused unless each brace belongs to a known placeholder and `{otp}` is among them.

    Codes: `required` (no `{otp}`), `text_too_long` (more than 1600 characters), `invalid` (an unknown placeholder, a
    lone brace, a control character other than a line break).
    """
    if len(body) > MAX_BODY_CHARACTERS:
        raise TemplateRefused(
            "text_too_long", f"The text has {len(body)} characters; shorten it to {MAX_BODY_CHARACTERS} at most."
        )
    if any(character not in "\n\r" and _is_control(character) for character in body):
        raise TemplateRefused("invalid", "The text holds a control character; remove it or type the text anew.")
    names = _PLACEHOLDER.findall(body)
    for name in names:
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{placeholder}}}" for placeholder in sorted(PLACEHOLDERS))
            raise TemplateRefused("invalid", f"{{{name[:32]}}} is unknown here. Use one of {known}.")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", body)):
        raise TemplateRefused("invalid", "A brace stands alone. Braces are for placeholders, as in {otp}.")
    if "otp" not in names:
        raise TemplateRefused("required", "Put {otp} where the code shall stand, best at the beginning.")


def variables_needed(body: str) -> frozenset[str]:
    """Which of `user`, `endpoint` and `event` the caller has to bring for this template."""
    return CALLER_VARIABLES.intersection(_PLACEHOLDER.findall(body))


def check_variable(value: str) -> str | None:
    """What is wrong with a caller's variable, as a sentence; None if nothing is."""
    if len(value) > MAX_VARIABLE_CHARACTERS:
        return f"Shorten it to {MAX_VARIABLE_CHARACTERS} characters at most."
    if any(_is_control(character) for character in value):
        return "Give it as one line, without control characters."
    if "://" in value:
        return "A link is not allowed here; leave out the part with ://."
    return None


def render(body: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled in; braces in a value stay as they are.

    Raises KeyError for a placeholder without a value.
    """
    return _PLACEHOLDER.sub(lambda placeholder: values[placeholder[1]], body)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")

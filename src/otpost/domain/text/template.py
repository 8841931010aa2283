"""The body template of a text: its placeholders, and what a caller has to bring for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from otpost.domain.text.judge import TextRefused, read_text

DEFAULT_TEMPLATE: Final = "{otp} is your {application} code."

CALLER_VARIABLES: Final = frozenset({"user", "endpoint", "event"})
"""What a caller brings; the other placeholders are known here."""
PLACEHOLDERS: Final = CALLER_VARIABLES | {"otp", "application", "number", "minutes"}

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_NO_CODE: Final = "Put {otp} where the code shall stand, best at the beginning."


def read_template(body: str) -> str:
    """A body template as it is kept, or TextRefused.

    Codes beside those of `read_text`: `required` (no `{otp}`), `invalid` (an unknown placeholder, a lone brace).
    """
    if not body:
        raise TextRefused("required", _NO_CODE)
    body = read_text(body)
    names = _PLACEHOLDER.findall(body)
    for name in names:
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{placeholder}}}" for placeholder in sorted(PLACEHOLDERS))
            raise TextRefused("invalid", f"{{{name[:32]}}} is unknown here. Use one of {known}.")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", body)):
        raise TextRefused("invalid", "A brace stands alone. Braces are for placeholders, as in {otp}.")
    if "otp" not in names:
        raise TextRefused("required", _NO_CODE)
    return body


def variables_needed(body: str) -> frozenset[str]:
    """Which of `user`, `endpoint` and `event` the caller has to bring for this template."""
    return CALLER_VARIABLES.intersection(_PLACEHOLDER.findall(body))


def render(body: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled in; braces in a value stay as they are.

    Raises KeyError for a placeholder without a value.
    """
    return _PLACEHOLDER.sub(lambda placeholder: values[placeholder[1]], body)

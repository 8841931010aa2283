"""The one judge of what goes into a text: whole texts, names, and the variables that callers bring."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

from otpost.domain.text.characters import composed, trimmed, unfit

MAX_BODY_CHARACTERS: Final = 1600
MAX_VARIABLE_CHARACTERS: Final = 64
DIGITS_IN_A_ROW: Final = 4

TextCode = Literal["required", "text_too_long", "invalid"]

_LINES: Final = "\n\r\t"
_DOTS: Final = str.maketrans("。", ".")
_LINK: Final = re.compile(
    r"://"
    r"|(?<![\w-])www\d?\.[\w-]"
    r"|(?<![\w-])(?:(?:[\w-]+\.)+(?:[^\W\d_]{2,}|xn--[\w-]+)|(?:\d{1,3}\.){3}\d{1,3})\.?(?:[/\\?#]|:\d)",
    re.IGNORECASE,
)
_HOST: Final = re.compile(
    r"(?<![\w@.-])(?:[\w-]+\.)+"
    r"(?:com|net|org|info|biz|example|app|dev|xyz|top|shop|store|site|online|website|club|link|click|live|icu|vip|cc"
    r"|bank|cloud|page|win|work|world)(?![\w-]|\.\w)",
    re.IGNORECASE,
)
"""Hosts that phones make a link of without any path; not those in two letters, which are people's names as well."""
_DIGITS: Final = re.compile(rf"\d{{{DIGITS_IN_A_ROW + 1}}}")


class TextRefused(ValueError):
    """A text cannot be kept or sent; `message` is a sentence that says what to do."""

    def __init__(self, code: TextCode, message: str) -> None:
        self.code: Final = code
        self.message: Final = message
        super().__init__(message)


def read_text(text: str) -> str:
    """A text as it is kept, counted and sent, or TextRefused.

    Codes: `required` (blank), `text_too_long` (more than 1600 characters), `invalid` (a character that no text may
    hold; line breaks and tabs are none of these).
    """
    if not trimmed(text):
        raise TextRefused("required", "Write the text that is to be sent.")
    text = composed(text)
    if len(text) > MAX_BODY_CHARACTERS:
        raise TextRefused(
            "text_too_long", f"The text has {len(text)} characters; shorten it to {MAX_BODY_CHARACTERS} at most."
        )
    if (wrong := unfit(text, _LINES)) is not None:
        raise TextRefused("invalid", wrong)
    return text


def read_line(text: str, most: int, what: str = "The name") -> str:
    """A name that only people of the tenant read, without what copying brought along; it may be empty."""
    line = composed(trimmed(text))
    if len(line) > most:
        raise TextRefused("text_too_long", f"{what} has at most {most} characters.")
    if (wrong := unfit(line)) is not None:
        raise TextRefused("invalid", f"{what} is one line. {wrong}")
    return line


def read_name(text: str, most: int) -> str:
    """A name that recipients read in a text: one line without a link, and without what could be taken for a code."""
    name = read_line(text, most)
    _judge_what_is_shown(name)
    return name


def read_variable(value: str, *, may_be_host: bool = False, digits: bool = False) -> str:
    """What a caller puts into a text: a name of at most 64 characters. `digits`: any number of them (an amount)."""
    variable = composed(value)
    if len(variable) > MAX_VARIABLE_CHARACTERS:
        raise TextRefused("text_too_long", f"Shorten it to {MAX_VARIABLE_CHARACTERS} characters at most.")
    if (wrong := unfit(variable)) is not None:
        raise TextRefused("invalid", f"Give it as one line. {wrong}")
    _judge_what_is_shown(variable, may_be_host=may_be_host, digits=digits)
    return variable


def _judge_what_is_shown(text: str, *, may_be_host: bool = True, digits: bool = False) -> None:
    shown = "".join(character for character in text if unicodedata.category(character) != "Cf")
    shown = unicodedata.normalize("NFKC", shown).translate(_DOTS)
    if _LINK.search(shown) or (not may_be_host and _HOST.search(shown)):
        raise TextRefused("invalid", "A link is not allowed here; leave out the web address.")
    if not digits and _DIGITS.search(shown):
        raise TextRefused(
            "invalid", f"At most {DIGITS_IN_A_ROW} digits may stand in a row: more could be taken for the code."
        )

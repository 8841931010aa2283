"""A number as it was typed or pasted: its characters in ASCII where they mean the same, and its digits."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from otpost.domain.phone.number import NumberRefused, dialing_code_known
from otpost.domain.text.characters import trimmed

MAX_INPUT_CHARACTERS: Final = 64
MAX_PASTED_CHARACTERS: Final = 1000
"""What is looked at before it is cleaned; the limit above holds for what is left."""
MAX_DIALING_CODE_DIGITS: Final = 7

_PLAIN: Final = frozenset("+ -.()/[]\\")
_SAME_AS: Final = {
    character: meant
    for meant, characters in {
        "+": "＋﹢⁺",
        "\\": "＼﹨",
        "(": "（﹙",
        ")": "）﹚",
        "[": "［〔【",
        "]": "］〕】",
        ".": "．·•‧∙⋅・･",
        "/": "／⁄∕",
        "-": "\u2212ーｰ─━～~∼⁓",
    }.items()
    for character in characters
}
"""What keyboards of other scripts and typographers put in the place of a plain character."""
_SCHEME: Final = re.compile(r"tel\.? ?: ?(?://)?", re.IGNORECASE)
_BLANKS: Final = re.compile(r" {2,}")
_SHAPE: Final = re.compile(r"[(\[ ]*(?P<plus>\+?)(?P<rest>[0-9 \-.()/\[\]]*)")
_TRUNK_ZERO: Final = re.compile(r"[(\[] *0 *[)\]]")
_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_EXTENSION: Final = re.compile(r"[0-9].*?(?:[#;,x×]|доб)[^0-9]*[0-9]*\Z", re.IGNORECASE | re.DOTALL)

_FILTER: Final = "A dialing code is + and 1 to 7 digits, as in +91 or +1876."


class Typed(NamedTuple):
    """A number as it was typed: its ASCII digits, without `+` or `00` where `international`.

    `without_trunk` are the digits without a `(0)`, where there was one.
    """

    international: bool
    digits: str
    without_trunk: str
    zeros: bool
    """It began with `00`: in most of the world, but not everywhere, the same as `+`."""


def characters(text: str) -> str:
    """What was typed, in ASCII where it means the same, without what copying brings along.

    White space of any kind is a blank, `tel:` in front and a comma or semicolon behind are dropped, and so are
    invisible marks. Raises NumberRefused for control characters and for what is too long.
    """
    if len(text) > MAX_PASTED_CHARACTERS:
        raise _too_long()
    read: list[str] = []
    for character in text:
        if "0" <= character <= "9" or character in _PLAIN:
            read.append(character)
        elif character.isspace():
            read.append(" ")
        elif (same := _SAME_AS.get(character)) is not None:
            read.append(same)
        else:
            read.append(_read_as(character))
    plain = "".join(read).strip().rstrip(",; ")
    plain = plain[scheme.end() :] if (scheme := _SCHEME.match(plain)) else plain
    if len(_BLANKS.sub(" ", plain)) > MAX_INPUT_CHARACTERS:
        raise _too_long()
    return plain


def _read_as(character: str) -> str:
    match unicodedata.category(character):
        case "Nd":
            return str(unicodedata.decimal(character))
        case "Pd":
            return "-"
        case "Cf":
            return ""
        case "Cc" | "Cs":
            raise NumberRefused("invalid_number", "Remove the control characters; give one number alone.")
        case _:
            return character


def read(text: str) -> Typed:
    """The digits of a number in any form, or NumberRefused."""
    typed = characters(text)
    if has_extension(typed):
        raise NumberRefused("invalid_number", "A text cannot reach an extension. Give the number without it.")
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
    return Typed(international, prefix + digits, prefix + without_trunk, zeros)


def has_extension(typed: str) -> bool:
    """Whether more digits follow the number behind a mark that only extensions have."""
    return _EXTENSION.search(typed) is not None


def parse_dialing_code(text: str) -> str:
    """Read a dialing code (`+91`, `91`, `0091`, `91\\`, `+1 876`) as `+` and 1–7 digits that begin with a country's.

    Raises NumberRefused with `invalid_number`.
    """
    shape = _SHAPE.fullmatch(characters(text).removesuffix("\\").rstrip())
    if shape is None:
        raise NumberRefused("invalid_number", _FILTER)
    digits = _NOT_DIGITS.sub("", shape["rest"])
    if not shape["plus"] and digits.startswith("00"):
        digits = digits[2:]
    if not 1 <= len(digits) <= MAX_DIALING_CODE_DIGITS:
        raise NumberRefused("invalid_number", _FILTER)
    if not dialing_code_known(f"+{digits}"):
        raise NumberRefused(
            "invalid_number", "No country has this dialing code. Give one that begins with a country's, as in +91."
        )
    return f"+{digits}"


def parse_region(text: str) -> str | None:
    """The two letters of a region (`us`, ` US `) as `US`; None for what has another form."""
    letters = trimmed(text).upper()
    return letters if len(letters) == 2 and letters.isascii() and letters.isalpha() else None


def _too_long() -> NumberRefused:
    return NumberRefused("invalid_number", "This is too long for a phone number; give one number alone.")

"""Characters: what copying and keyboards bring along, and what no text of ours may hold."""

from __future__ import annotations

import unicodedata
from typing import Final

TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates: they change the order in which what follows is shown, a code as well."""

_NEVER: Final = ("Cc", "Cs", "Zl", "Zp")


def trimmed(text: str) -> str:
    """What was pasted, without white space and invisible marks (Cf, as U+200B and U+FEFF) at its ends."""
    text = text.strip()
    if text.isascii():
        return text
    first, last = 0, len(text)
    while first < last and _is_brought(text[first]):
        first += 1
    while first < last and _is_brought(text[last - 1]):
        last -= 1
    return text[first:last]


def compact(text: str) -> str:
    """What was pasted, without any white space and invisible marks: for what has none inside, such as a SID."""
    return "".join(character for character in text if not _is_brought(character))


def unwrapped(url: str) -> str:
    """A URL that was pasted, as browsers read it: line breaks, tabs and invisible marks are no part of it."""
    return "".join(
        character
        for character in trimmed(url)
        if character not in "\t\n\r" and (character.isascii() or unicodedata.category(character) != "Cf")
    )


def _is_brought(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


def composed(text: str) -> str:
    """The text with each letter and its accent as one character (NFC), which is how it is kept and counted."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def unfit(text: str, allowed: str = "") -> str | None:
    """What is wrong with the characters of a text, as a sentence that names the first wrong one; None if nothing is.

    Refused are control characters, line and paragraph separators, halves of surrogate pairs, and what turns the
    order of characters round. The joiners of Persian, Sinhala and emoji, direction marks and no-break spaces are
    texts like any other. `allowed` are control characters that may stand here all the same.
    """
    if text.isprintable():
        return None
    for character in text:
        if character in allowed:
            continue
        if character in TURNING:
            return f"Remove {named(character)}: it turns the order of the characters after it round."
        if unicodedata.category(character) in _NEVER:
            return f"Remove {named(character)}, a control character."
    return None


_NAMES: Final = {
    "\0": "NUL",
    "\t": "a tab",
    "\n": "a line break",
    "\r": "a carriage return",
    "\x1b": "ESCAPE",
    "\x7f": "DELETE",
    "\x85": "NEXT LINE",
}


def named(character: str) -> str:
    """`U+202E (RIGHT-TO-LEFT OVERRIDE)`; the code point alone where the character has no name."""
    name = _NAMES.get(character) or unicodedata.name(character, "")
    return f"U+{ord(character):04X} ({name})" if name else f"U+{ord(character):04X}"

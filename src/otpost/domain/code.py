"""Codes are derived, never stored: how a verification's SID becomes digits, and how typed digits are read."""

from __future__ import annotations

import hmac
import unicodedata
from typing import Final

SHORTEST: Final = 4
LONGEST: Final = 10
MAX_INPUT_CHARACTERS: Final = 64


def derive(key: bytes, verification_sid: str, length: int) -> str:
    """The code of this verification: `length` (4–10) decimal digits, leading zeros included.

    HMAC-SHA-256 of the SID under `key`, taken as one big-endian number, modulo 10 to the power of `length`; 256 bits
    against at most 34 leave no bias that could be measured. Raises ValueError for another length.
    """
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"a code has {SHORTEST} to {LONGEST} digits, not {length}")
    digest = hmac.digest(key, verification_sid.encode(), "sha256")
    return f"{int.from_bytes(digest, 'big') % 10**length:0{length}d}"


def read_code(text: str) -> str | None:
    """What was typed as ASCII digits, or None if that is no code.

    Blanks and hyphens (and the invisible marks that copying brings along) are dropped, decimal digits of other
    scripts are read. None for anything else in the text, for no digit at all and for more than 64 characters.
    """
    if len(text) > MAX_INPUT_CHARACTERS:
        return None
    if text.isascii() and text.isdigit():
        return text
    digits: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if category == "Nd":
            digits.append(str(unicodedata.decimal(character)))
        elif not (category in ("Zs", "Pd", "Cf") or character in "\t\r\n\u2212"):
            return None
    return "".join(digits) or None


def same(given: str, expected: str) -> bool:
    """Whether two codes are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode(), expected.encode())

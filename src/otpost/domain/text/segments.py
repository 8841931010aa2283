"""The segments in which a text is sent and billed."""

from __future__ import annotations

from typing import Final, Literal

import msgspec


class Segments(msgspec.Struct, frozen=True):
    """How a text is sent and billed.

    `units` are septets in GSM-7 and UTF-16 code units in UCS-2, without the headers of a text in several segments.
    """

    encoding: Literal["GSM-7", "UCS-2"]
    count: int
    units: int


def segments(text: str) -> Segments:
    """Count the segments of `text`: 160 septets or 153 each of several, 70 UTF-16 units or 67 each of several.

    Nothing that takes two units (the GSM extension table, characters beyond U+FFFF) is split between two segments.
    An empty text is one segment. Source: 3GPP TS 23.038 and TS 23.040.
    """
    if _GSM_7.issuperset(text):
        widths = [2 if character in _GSM_EXTENSION else 1 for character in text]
        return _count("GSM-7", widths, alone=160, each=153)
    widths = [2 if character > "\uffff" else 1 for character in text]
    return _count("UCS-2", widths, alone=70, each=67)


def _count(encoding: Literal["GSM-7", "UCS-2"], widths: list[int], *, alone: int, each: int) -> Segments:
    units = sum(widths)
    if units <= alone:
        return Segments(encoding, 1, units)
    count, used = 1, 0
    for width in widths:
        if used + width > each:
            count, used = count + 1, 0
        used += width
    return Segments(encoding, count, units)


_GSM_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
_GSM_7: Final = _GSM_BASIC | _GSM_EXTENSION

"""Numbering plans that were replaced: how an old number is written today, where that can be computed.

Only what libphonenumber calls invalid comes here, and what is computed has to be valid. Sources: the national plans at
https://www.itu.int/oth/T0202.aspx?parent=T0202 and https://en.wikipedia.org/wiki/List_of_country_calling_codes.
"""

from __future__ import annotations

import re
from typing import Final

_RULES: Final[tuple[tuple[str, str], ...]] = (
    ("20(10|11|12|14|16|17|18|19)([0-9]{7})", "egypt"),
    ("212([1467][0-9]{7})", r"2126\1"),
    ("212([23][0-9]{7})", r"2125\1"),
    ("225([04-9][789][0-9]{6})", r"22507\1"),
    ("225([04-9][456][0-9]{6})", r"22505\1"),
    ("225([04-9][0-3][0-9]{6})", r"22501\1"),
    ("229([24-9][0-9]{7})", r"22901\1"),
    ("230([79][0-9]{6})", r"2305\1"),
    ("237([79][0-9]{7})", r"2376\1"),
    ("237([23][0-9]{7})", r"2372\1"),
    ("245([567])([0-9]{6})", r"2459\1\1\2"),
    ("248([57][0-9]{5})", r"2482\1"),
    ("253([68][0-9]{5})", r"25377\1"),
    ("386(49[0-9]{6})", r"383\1"),
    ("506([38][0-9]{6})", r"5068\1"),
    ("506(2[0-9]{6})", r"5062\1"),
    ("521([0-9]{10})", r"52\1"),
    ("520?(?:1|4[45])([0-9]{10})", r"52\1"),
    ("55([1-9]{2})([689][0-9]{7})", r"55\g<1>9\2"),
    ("57([1-8])([0-9]{7})", r"5760\1\2"),
    ("593([89][0-9]{7})", r"5939\1"),
    ("599(5[0-9]{6})", r"1721\1"),
    ("689([237][0-9]{5})", r"68987\1"),
    ("84(12[0-9]|16[2-9]|18[68]|199)([0-9]{7})", "vietnam"),
    ("974([3-7])([0-9]{6})", r"974\1\1\2"),
)
"""The whole of an old number in digits, dialing code included, and what it is today."""

_PREFIXES: Final[dict[str, dict[str, str]]] = {
    "egypt": {
        "10": "20100",
        "11": "20111",
        "12": "20122",
        "14": "20114",
        "16": "20106",
        "17": "20127",
        "18": "20128",
        "19": "20109",
    },
    "vietnam": {
        "120": "8470",
        "121": "8479",
        "122": "8477",
        "123": "8483",
        "124": "8484",
        "125": "8485",
        "126": "8476",
        "127": "8481",
        "128": "8478",
        "129": "8482",
        "186": "8456",
        "188": "8458",
        "199": "8459",
        **{f"16{digit}": f"843{digit}" for digit in range(2, 10)},
    },
}
"""Where each old prefix has a new one of its own."""

_CHANGED: Final = re.compile(
    "20(1[0-9]{8})"
    "|22[2378][0-9]{7}|222[0-9]{7}|224[3467][0-9]{7}|225[0-9]{8}|229[0-9]{8}|230[0-9]{7}|231[0-9]{6,7}"
    "|235[0-9]{6,7}|237[0-9]{8}|242[0-9]{6,7}|245[0-9]{7}|248[0-9]{6}|249[0-9]{9}|253[0-9]{6}|258[0-9]{8}"
    "|377(?:4[45])[0-9]{6}|381(?:28|29|38|39)[0-9]{6}|386(?:43|49)[0-9]{6}|502[0-9]{7}|503[0-9]{7}|504[0-9]{7}"
    "|505[0-9]{7}|506[0-9]{7}|521[0-9]{10}|55[1-9]{2}[6-9][0-9]{7}|57[1-8][0-9]{7}|593[0-9]{8}|5995[0-9]{6}"
    "|670[0-9]{7}|677[0-9]{5}|678[0-9]{5}|679[0-9]{6}|689[0-9]{6}|84[0-9]{10}|965[0-9]{7}|968[0-9]{7}|973[0-9]{6,7}"
    "|974[0-9]{7}|212[0-9]{8}"
)
"""The form of numbers that were replaced, whether or not today's can be computed."""


def successors(digits: str) -> list[str]:
    """What an old number (`5215512345678`) may be today; to be judged like any other number."""
    found = []
    for pattern, now in _RULES:
        old = re.fullmatch(pattern, digits)
        if old is None:
            continue
        if (prefixes := _PREFIXES.get(now)) is None:
            found.append(old.expand(now))
        elif old[1] in prefixes:
            found.append(prefixes[old[1]] + old[2])
    return found


def has_old_form(digits: str) -> bool:
    """Whether a number that does not exist has the form of one that did, before its country's numbers changed."""
    return _CHANGED.fullmatch(digits) is not None

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpost.senders.generic.patterns import STEPS, Budget, Pattern
from otpost.senders.generic.presets import PRESETS

PARTS = st.sampled_from(
    ["a", "b", "ab", ".", "\\d", "\\w", "\\s", "[ab]", "[^a]", "[a-c1]", "\\.", "\\b", "^", "\\Z", "é"]
)
REPEATS = st.sampled_from(["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{1,2}?"])


def repeated(part: str, repeat: str) -> str:
    """The part repeated, but for one that may be empty: engines differ in how often they repeat nothing."""
    may_be_empty = any(not match[0] for text in ("", "a", " a") for match in re.finditer(part, text))
    return part if may_be_empty else f"(?:{part}){repeat}"


PATTERNS = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda ways: f"(?:{'|'.join(ways)})"),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, REPEATS).map(lambda both: repeated(*both)),
    ),
    max_leaves=8,
)
TEXTS = st.text(alphabet="aabbc1 .\né", max_size=12)


def ours(pattern: str, text: str) -> tuple[int, int] | None:
    match = Pattern(pattern).search(text, Budget())
    return match and (match.start, match.end)


@given(PATTERNS, st.sampled_from(["", "(?i)", "(?s)", "(?m)", "(?is)"]), TEXTS)
@settings(max_examples=1500, deadline=None)
def test_what_is_found_is_what_the_standard_library_finds(pattern: str, flags: str, text: str) -> None:
    theirs = re.compile(flags + pattern, re.ASCII).search(text)
    assert ours(flags + pattern.replace("\\Z", "\\z"), text) == (theirs.span() if theirs else None)


@pytest.mark.parametrize(
    ("pattern", "text", "group"),
    [
        (r"ID: (\S+)", "OK ID: m-1 x", "m-1"),
        (r"(?P<id>\d+)", "n17", "17"),
        (r"(?<id>\d+)(x)", "n17x", "17"),
        (r"(a|ab)(c|bcd)(d*)", "abcd", "a"),
        (r"(a)|b", "b", None),
        (r"(?:(\d),?)+", "1,2,3", "3"),
        (r"<id>(.*?)</id>", "<id>1</id><id>2</id>", "1"),
        (r'(?i)"STATUS"\s*:\s*"([^"]*)"', '{"status" : "Sent"}', "Sent"),
        (r"(?m)^id=(.*)$", "a=1\nid=7\nb=2", "7"),
        (r"{\"a\":(\d{1,3})}", '{"a":12}', "12"),
        (r"[]\[](\x41)", "]A", "A"),
        (r"\$(\.)$", "a$.", "."),
    ],
)
def test_the_first_group_holds_the_value(pattern: str, text: str, group: str | None) -> None:
    match = Pattern(pattern).search(text, Budget())
    assert match is not None
    assert match.group == group


def test_all_places_are_found_one_behind_the_other() -> None:
    found = list(Pattern(r"(\d)x?").find_all("1x2,3", Budget()))
    assert [match.group for match in found] == ["1", "2", "3"]
    assert [match[:2] for match in Pattern("a*").find_all("baa", Budget())] == [(0, 0), (1, 3), (3, 3)]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("OK(", "a ( has no )"),
        ("OK)", "a ) has no ("),
        ("[a", "a [ has no ]"),
        ("*a", "nothing stands before *"),
        ("a|+", "nothing stands before +"),
        ("a**", "** repeats a repetition"),
        ("a*+", "*+ repeats a repetition"),
        ("a{3,2}", "{3,2} has a larger number before a smaller one"),
        ("[b-a]", "[b-a]: bad character range b-a"),
        (r"(a)\1", r"\1 is not known"),
        (r"\pL", r"\p is not known"),
        ("a\\", "\\ is not known"),
        ("a(?=b)", "(?= is not known"),
        ("(?<!a)b", "(?< is not known"),
        ("a(?i)", "(?i is not known"),
        ("a{1002}", "it is longer than 1,000 steps"),
        ("(?:(?:(?:){9999}){9999}){9999}", "it is longer than 1,000 steps"),
        ("(((a{10}){10}){10}){10}", "it is longer than 1,000 steps"),
        ("(" * 51, "too many parentheses lie in each other"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told(pattern: str, told: str) -> None:
    with pytest.raises(ValueError) as wrong:
        Pattern(pattern)
    assert str(wrong.value) == told


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "^((a*)*)*$",
        "(a|aa)+$",
        "(a|a)*b",
        "a*a*a*a*a*b",
        "(.*)(.*)(.*)x",
        "(?:a{1,20}){1,20}b",
        ".*.*=.*",
        "(x+x+)+y",
    ],
)
@pytest.mark.parametrize("text", ["a" * 65_536 + "!", "x" * 65_536, "=" * 65_536, "ab" * 32_768])
def test_no_pattern_takes_long_in_any_text(pattern: str, text: str) -> None:
    budget, began = Budget(), time.process_time()
    Pattern(pattern).search(text, budget)
    list(Pattern(pattern).find_all(text, budget))
    assert time.process_time() - began < 1


def test_a_budget_is_shared_by_all_that_is_looked_for_in_a_text() -> None:
    budget = Budget()
    assert Pattern("a+$").search("a" * STEPS, budget) is None
    assert Pattern("b").search("ab", budget) is None
    assert Pattern("b").search("ab", Budget()) is not None


def test_a_text_without_what_a_pattern_must_hold_costs_nothing() -> None:
    budget = Budget()
    assert Pattern(r'"status"\s*:\s*"THROTTLED"').search('{"status": "SENT"}' * 3_000, budget) is None
    assert budget.left == STEPS


def test_the_patterns_of_known_gateways_are_usable() -> None:
    def patterns(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [value for name, value in node.items() if name.endswith("pattern")]
            return own + [one for value in node.values() for one in patterns(value)]
        return [one for value in node for one in patterns(value)] if isinstance(node, list) else []

    known = [one for preset in PRESETS for one in patterns(dict(preset.section))]
    assert len(known) > 10
    assert all(Pattern(one) for one in known)

"""The generic gateway's wire at its edges: what is hidden, how long things may be, and what is read from where."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from otpost.domain.phone import trusted
from otpost.senders.generic import wire
from otpost.senders.generic.wire import Hidden, Said
from otpost.senders.service import Text

TO = trusted("+4915112345678")


def shown(said: str, *secrets: str, body: str = "Hello.") -> str | None:
    return Hidden(secrets, Text("AT0190", TO, body, 290)).words(Said(said.encode()))


@pytest.mark.parametrize(
    ("secret", "said", "expected"),
    [
        ("Bearer 12345678", "token 12345678!", "token …!"),
        ("Bearer 1234567", "token 1234567!", "token 1234567!"),
        ("Bearer abcdefgh", "token ABCDEFGH!", "token …!"),
        ("Bearer abcdefg", "Bearer abcdefg and bearer ABCDEFG", "… and …"),
        ("a/b c+d", "a%2Fb%20c%2Bd a%2fb+c%2bd", "… …"),
        ('a"b', 'he said a\\"b', "he said …"),
        ("short", "c2hvcnQ=", "…"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_secret_is_hidden_whole_in_every_writing_and_a_part_of_it_from_eight_characters_on(
    secret: str, said: str, expected: str
) -> None:
    assert shown(said, secret) == expected


@pytest.mark.parametrize(
    ("body", "said", "expected"),
    [
        ("1234 is it", "you sent 1234", "you sent …"),
        ("123 is it", "you sent 123", "you sent 123"),
        ("123456 or 1234", "123456 and 1234", "… and …"),
        ("Your code", "your CODE", "…"),
    ],
)
def test_the_text_and_runs_of_four_digits_are_hidden(body: str, said: str, expected: str) -> None:
    assert shown(said, body=body) == expected


def test_the_number_is_masked_and_words_stand_on_one_line() -> None:
    assert shown("to +4915112345678\r\n\tnow\x00!") == f"to {TO.masked} now !"
    assert shown('{"to": "4915112345678", "n": [1]}') == f'{{"to":"{TO.masked[1:]}","n":[1]}}'
    assert shown('"4915112345678"') == f'"{TO.masked[1:]}"'
    assert shown(" \n ") is None
    assert shown("") is None


def test_words_are_cut_only_beyond_three_hundred_characters_and_not_shown_beyond_64_kib() -> None:
    assert shown("x" * 300) == "x" * 300
    assert shown("x" * 301) == "x" * 299 + "…"
    assert shown(msgspec.json.encode(["x" * (64 * 1024 - 4)]).decode()) == '["' + "x" * 297 + "…"
    assert shown(msgspec.json.encode(["x" * (64 * 1024 - 3)]).decode()) is None
    assert len(Said(b"x" * 70_000).text) == 64 * 1024


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("m-1", True), ("x" * 128, True), ("x" * 129, False), ("", False), ("a b", False), ("50%", False),
        ("a\\b", False), ("ä", False), ("!$&[]~", True), ("123456", False), ("a123456b", False), ("1234567", True),
        ("4915112345678", False), ("x4915112345678", False), ("my-SECRET-1", False), (None, False),
    ],
)  # fmt: skip
def test_an_id_is_kept_that_looks_like_one_and_gives_nothing_away(value: str | None, kept: bool) -> None:
    hidden = Hidden(["secret"], Text("AT0190", TO, "123456 is it", 290))
    assert hidden.name(value) == (value if kept else None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.example/a", "https://x.example/a?to=1%2B2&t=a%20b"),
        ("https://x.example/a?", "https://x.example/a?to=1%2B2&t=a%20b"),
        ("https://x.example/a?k=v", "https://x.example/a?k=v&to=1%2B2&t=a%20b"),
        ("https://x.example/a?k=v&", "https://x.example/a?k=v&to=1%2B2&t=a%20b"),
    ],
)
def test_a_query_goes_behind_what_stands_there(url: str, expected: str) -> None:
    assert wire.with_query(url, [("to", "1+2"), ("t", "a b")]) == expected
    assert wire.with_query(url, []) == url


def test_a_form_a_header_and_a_number_are_written_so() -> None:
    assert wire.as_form([("a b", "1+2&3"), ("é", "")]) == b"a+b=1%2B2%263&%C3%A9="
    assert wire.in_header("Grüße ~\n") == "Gr%C3%BC%C3%9Fe ~%0A"
    assert [wire.number("+49151", prefix) for prefix in ("+", "", "00")] == ["+49151", "49151", "0049151"]
    assert wire.filled("{a}{b}{c}", {"a": "{b}", "b": "2"}) == "{b}2{c}"


@pytest.mark.parametrize(
    ("pairs", "made"),
    [
        ([("a.b", 1), ("a.c", 2)], {"a": {"b": 1, "c": 2}}),
        ([("to.1", "b"), ("to.0", "a")], {"to": ["a", "b"]}),
        ([("l.10", "k"), ("l.9", "j")], {"l": ["j", "k"]}),
        ([("a\\.b", 1), ("a.b", 2)], {"a.b": 1, "a": {"b": 2}}),
        ([("0", "x")], ["x"]),
        ([], {}),
    ],
)
def test_dotted_names_make_objects_and_lists(pairs: list[tuple[str, Any]], made: Any) -> None:
    assert wire.nested(pairs) == made


@pytest.mark.parametrize(
    "names", [["a", "a"], ["a", "a.b"], ["a.b", "a"], ["a..b"], [".a"], ["a."], [""], ["l.0", "l.x"], ["l.x", "l.0"]]
)
def test_names_that_do_not_go_together_make_nothing(names: list[str]) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(names[-1])}$"):
        wire.nested((name, 1) for name in names)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("a.0.b", "x"), ("a.1", None), ("a.00000.b", "x"), ("a.000000.b", None), ("a.0", None), ("yes", "true"),
        ("no", "false"), ("zero", "0"), ("half", "0.5"), ("empty", None), ("null", None), ("a", None), ("nope", None),
        ("a.b", None), ("id=(x)", None), ('"yes":(t)', "t"), ("no group", None), ("(", None),
    ],
)  # fmt: skip
def test_a_value_is_read_from_its_place(where: str, value: str | None) -> None:
    said = Said(b'{"a":[{"b":"x"}],"yes":true,"no":false,"zero":0,"half":0.5,"empty":"","null":null}')
    assert said.at(where) == value


def test_fields_are_read_from_query_and_form_and_not_from_more_than_two_hundred() -> None:
    assert Said(b"id=2&s=a+b", "id=1&q=3").fields == {"id": "2", "s": "a b", "q": "3"}
    assert Said(b"", "id=1").text == "id=1"
    many = "&".join(f"f{number}=1" for number in range(200))
    assert len(Said(many.encode()).fields) == 200
    assert Said(f"{many}&more=1".encode()).fields == {}


def test_a_pattern_is_compiled_once_and_one_that_cannot_be_used_matches_nothing() -> None:
    assert wire.pattern("a+b") is wire.pattern("a+b")
    assert not Said(b"anything").matches("(")
    assert not Said(b"anything").matches("")
    assert Said(b"anything").matches("y.h")
    assert wire.trouble("a.b") is None
    assert wire.trouble("a..b") == "A path has names between its dots, as in messages.0.id."
    assert wire.trouble("(a)") is None
    assert wire.trouble("\\(a") == "The pattern needs a group in parentheses that holds the value."

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpost.domain import text
from otpost.domain.text import Segments, TextRefused

KNOWN = "{application}, {endpoint}, {event}, {minutes}, {number}, {otp}, {user}"
TURNS = "it turns the order of the characters after it round."
LINK = "A link is not allowed here; leave out the web address."
DIGITS = "At most 4 digits may stand in a row: more could be taken for the code."
EXTENSION = "^{}\\[~]|€\f"


def refusal_of(reader: Callable[..., str], *arguments: Any) -> str | None:
    """What is wrong, as a sentence; None if nothing is."""
    try:
        reader(*arguments)
    except TextRefused as refused:
        return refused.message
    return None


@pytest.mark.parametrize(
    "body",
    [
        text.DEFAULT_TEMPLATE,
        "{otp}",
        "{otp} {application} {user} {endpoint} {event} {number} {minutes}",
        "{otp} и {otp}\nlast line",
        "{otp}" + "x" * 1595,
    ],
)
def test_a_template_of_known_placeholders_is_taken(body: str) -> None:
    text.read_template(body)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("", "required", "Put {otp} where the code shall stand, best at the beginning."),
        ("Hello {user}", "required", "Put {otp} where the code shall stand, best at the beginning."),
        ("otp", "required", "Put {otp} where the code shall stand, best at the beginning."),
        (
            "{otp} {name}",
            "invalid",
            f"{{name}} is unknown here. Use one of {KNOWN}.",
        ),
        (
            "{otp} {}",
            "invalid",
            f"{{}} is unknown here. Use one of {KNOWN}.",
        ),
        (
            "{ otp }",
            "invalid",
            f"{{ otp }} is unknown here. Use one of {KNOWN}.",
        ),
        ("{otp} {", "invalid", "A brace stands alone. Braces are for placeholders, as in {otp}."),
        ("{otp} }", "invalid", "A brace stands alone. Braces are for placeholders, as in {otp}."),
        ("{{otp}}", "invalid", "A brace stands alone. Braces are for placeholders, as in {otp}."),
        ("{otp", "invalid", "A brace stands alone. Braces are for placeholders, as in {otp}."),
        ("{otp}\0", "invalid", "Remove U+0000 (NUL), a control character."),
        ("{otp}\ud800", "invalid", "Remove U+D800, a control character."),
        (
            "{otp}\u202e",
            "invalid",
            "Remove U+202E (RIGHT-TO-LEFT OVERRIDE): it turns the order of the characters after it round.",
        ),
        ("{otp}" + "x" * 1596, "text_too_long", "The text has 1601 characters; shorten it to 1600 at most."),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused_with_its_remedy(body: str, code: str, message: str) -> None:
    with pytest.raises(TextRefused) as refused:
        text.read_template(body)
    assert (refused.value.code, refused.value.message) == (code, message)


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        (text.DEFAULT_TEMPLATE, set()),
        ("{otp} {number} {minutes}", set()),
        ("{otp} {user} {user} {event}", {"user", "event"}),
        ("{otp} {endpoint}", {"endpoint"}),
    ],
)
def test_the_caller_has_to_bring_only_what_the_template_names(body: str, needed: set[str]) -> None:
    assert text.variables_needed(body) == needed


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("ada", None),
        ("", None),
        ("{otp} at http:/x", None),
        ("x" * 64, None),
        ("u\u0308" * 64, None),
        ("x" * 65, "Shorten it to 64 characters at most."),
        ("two\nlines", "Give it as one line. Remove U+000A (a line break), a control character."),
        ("two\u2028lines", "Give it as one line. Remove U+2028 (LINE SEPARATOR), a control character."),
        ("a\tb", "Give it as one line. Remove U+0009 (a tab), a control character."),
        ("a\0b", "Give it as one line. Remove U+0000 (NUL), a control character."),
        ("x\u202e", "Give it as one line. Remove U+202E (RIGHT-TO-LEFT OVERRIDE): " + TURNS),
        ("\u2066x", "Give it as one line. Remove U+2066 (LEFT-TO-RIGHT ISOLATE): " + TURNS),
        ("a\u200cb", None),
        ("රා\u200dම", None),
        ("👨\u200d👩\u200d👧", None),
        ("a\u00a0b\u202fc\u3000d", None),
        ("\u061cعلي\u200f", None),
        ("https://evil.example", LINK),
        ("evil.example/x", LINK),
        ("bit.ly/3x", LINK),
        ("see t.co?x", LINK),
        ("evil.example:8080", LINK),
        ("evil.example./x", LINK),
        ("192.0.2.7/x", LINK),
        ("WWW.EVIL.EXAMPLE", LINK),
        ("evil.com", LINK),
        ("go to evil.example now", LINK),
        ("evil\u200b.com", LINK),
        ("evil。com", LINK),
        ("ｅｖｉｌ．ｅｘａｍｐｌｅ／ｘ", LINK),
        ("ada@mail.example.com", None),
        ("ada.lovelace", None),
        ("wei.li", None),
        ("a.m./p.m.", None),
        ("24/7", None),
        ("v1.2/beta", None),
        ("1234", None),
        ("1234 5678", None),
        ("12345", DIGITS),
        ("code ١٢٣٤٥٦", DIGITS),
        ("1２3４5", DIGITS),
        ("123\u200b456", DIGITS),
    ],
)
def test_a_variable_is_one_short_line_without_a_link_or_a_code(value: str, wrong: str | None) -> None:
    assert refusal_of(text.read_variable, value) == wrong


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Booking.com", None),
        ("Café 24", None),
        ("می\u200cخواهم", None),
        (" Shop\u200b\n", None),
        ("bit.ly/3x", LINK),
        ("www.evil.example", LINK),
        ("Shop 123456", DIGITS),
        ("Sh\u202eop", "The name is one line. Remove U+202E (RIGHT-TO-LEFT OVERRIDE): " + TURNS),
    ],
)
def test_a_name_holds_no_link_and_no_code(name: str, wrong: str | None) -> None:
    assert refusal_of(text.read_name, name, 64) == wrong


def test_what_is_kept_is_composed_and_without_what_copying_brought() -> None:
    assert text.read_text("fu\u0308r Sie") == "für Sie"
    assert text.read_template("{otp} fu\u0308r Sie") == "{otp} für Sie"
    assert text.read_variable("Ju\u0308rgen") == "Jürgen"
    assert text.read_name("\ufeff Cafe\u0301 \n", 4) == "Café"
    assert text.segments(text.read_text("u\u0308" * 160)) == Segments("GSM-7", 1, 160)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("hello\n\tyou\r\n", None),
        ("a\u00a0b\u200c\u200d\u202f\u3000\u200e\u200f\u061c\u00ad", None),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
        ("u\u0308" * 1600, None),
        ("", "required"),
        (" \u200b\n", "required"),
        ("x" * 1601, "text_too_long"),
        *((f"a{turning}b", "invalid") for turning in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
        *((f"a{control}b", "invalid") for control in "\0\x1b\x7f\x85\u2028\u2029\ud800"),
    ],
)
def test_a_text_may_hold_everything_but_control_characters_and_what_turns_it_round(body: str, code: str | None) -> None:
    told: str | None = None
    try:
        text.read_text(body)
    except TextRefused as refused:
        told = refused.code
    assert told == code


def test_each_placeholder_is_filled_in_once() -> None:
    body = "{otp}: {user} from {endpoint} to {event}, text {number}, {minutes} min, {application}; {otp}"
    values = {
        "otp": "123456",
        "user": "{otp}",
        "endpoint": "{event}",
        "event": r"\1 {",
        "number": "2",
        "minutes": "5",
        "application": "Bank",
    }
    expected = r"123456: {otp} from {event} to \1 {, text 2, 5 min, Bank; 123456"
    assert text.render(body, values) == expected


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="user"):
        text.render("{otp} {user}", {"otp": "1234"})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("", Segments("GSM-7", 1, 0)),
        ("123456 is your Bank code.", Segments("GSM-7", 1, 25)),
        ("a" * 160, Segments("GSM-7", 1, 160)),
        ("a" * 161, Segments("GSM-7", 2, 161)),
        ("a" * 306, Segments("GSM-7", 2, 306)),
        ("a" * 307, Segments("GSM-7", 3, 307)),
        ("€" * 80, Segments("GSM-7", 1, 160)),
        ("€" * 81, Segments("GSM-7", 2, 162)),
        ("a" * 152 + "€" + "a" * 152, Segments("GSM-7", 3, 306)),
        ("a" * 153 + "€" + "a" * 151, Segments("GSM-7", 2, 306)),
        ("€" * 153, Segments("GSM-7", 3, 306)),
        ("ñ" * 160, Segments("GSM-7", 1, 160)),
        ("Ñ@£$ΔΩ\n", Segments("GSM-7", 1, 7)),
        ("ç", Segments("UCS-2", 1, 1)),
        ("`", Segments("UCS-2", 1, 1)),
        ("’" + "a" * 69, Segments("UCS-2", 1, 70)),
        ("’" + "a" * 70, Segments("UCS-2", 2, 71)),
        ("я" * 134, Segments("UCS-2", 2, 134)),
        ("я" * 135, Segments("UCS-2", 3, 135)),
        ("😀" * 35, Segments("UCS-2", 1, 70)),
        ("😀" * 36, Segments("UCS-2", 2, 72)),
        ("😀" * 66, Segments("UCS-2", 2, 132)),
        ("😀" * 67, Segments("UCS-2", 3, 134)),
    ],
)
def test_segments_are_counted_as_carriers_bill_them(sent: str, expected: Segments) -> None:
    assert text.segments(sent) == expected


def gsm_packed(sent: str) -> int:
    """The same count the long way round: fill one segment after another."""
    parts: list[int] = []
    for character in sent:
        septets = 2 if character in EXTENSION else 1
        if not parts or parts[-1] + septets > 153:
            parts.append(0)
        parts[-1] += septets
    return len(parts)


@given(st.text(alphabet="aé€{@Ω", min_size=161, max_size=700))
def test_an_extension_character_is_never_split(sent: str) -> None:
    assert text.segments(sent).count == gsm_packed(sent)


@given(st.text(max_size=400))
def test_units_are_those_of_the_encoding_and_fit_the_segments(sent: str) -> None:
    counted = text.segments(sent)
    if counted.encoding == "UCS-2":
        assert counted.units == len(sent.encode("utf-16-le", "surrogatepass")) // 2
        alone, each = 70, 67
    else:
        assert counted.units == len(sent) + sum(character in EXTENSION for character in sent)
        alone, each = 160, 153
    assert counted.count >= 1
    assert (counted.count == 1) == (counted.units <= alone)
    assert counted.units <= max(alone, counted.count * each)


@given(st.text(max_size=200), st.characters(exclude_categories=["Cs"]))
def test_more_text_never_costs_fewer_segments(sent: str, character: str) -> None:
    assert text.segments(sent + character).count >= text.segments(sent).count

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpost.domain import text
from otpost.domain.text import Segments, TemplateRefused

KNOWN = "{application}, {endpoint}, {event}, {minutes}, {number}, {otp}, {user}"
EXTENSION = "^{}\\[~]|€\f"


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
    text.check_template(body)


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
        ("{otp}\0", "invalid", "The text holds a control character; remove it or type the text anew."),
        ("{otp}\ud800", "invalid", "The text holds a control character; remove it or type the text anew."),
        ("{otp}" + "x" * 1596, "text_too_long", "The text has 1601 characters; shorten it to 1600 at most."),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused_with_its_remedy(body: str, code: str, message: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        text.check_template(body)
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
        ("x" * 65, "Shorten it to 64 characters at most."),
        ("two\nlines", "Give it as one line, without control characters."),
        ("two\u2028lines", "Give it as one line, without control characters."),
        ("a\tb", "Give it as one line, without control characters."),
        ("a\0b", "Give it as one line, without control characters."),
        ("https://evil.example", "A link is not allowed here; leave out the part with ://."),
    ],
)
def test_a_variable_is_one_short_line_without_a_link(value: str, wrong: str | None) -> None:
    assert text.check_variable(value) == wrong


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

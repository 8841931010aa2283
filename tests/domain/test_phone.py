from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpost.domain import phone
from otpost.domain.phone import NumberRefused, PhoneNumber
from otpost.domain.phone.fast import accept_at_once
from otpost.domain.phone.reading import parse_slowly

KINDS = (
    "general_desc",
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)
EXAMPLES = sorted(
    {
        f"+{country_code}{kind.example_number}"
        for country_code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
        for region in regions
        for metadata in [phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)]
        for kind in (getattr(metadata, name) for name in KINDS)
        if kind is not None and kind.example_number
    }
)
EVERYTHING_A_NUMBER_IS_MADE_OF = "0123456789+ -.()/[]\\#;,xX*٣９＋ext=\u202a\u00a0\0é"


def judged(reader: Callable[..., PhoneNumber | str], *arguments: str | None) -> str:
    """The E.164 form, or the code of the refusal."""
    try:
        number = reader(*arguments)
    except NumberRefused as refused:
        return refused.code
    return number.e164 if isinstance(number, PhoneNumber) else number


# Recipients


@pytest.mark.parametrize(
    "typed",
    [
        "+919191919191",
        "91\\9191919191",
        "+91\\9191919191",
        "0091\\9191919191",
        "91\\09191919191",
        "91 \\ 91919 19191",
        "+91 91919-19191",
        "0091 9191919191",
        "00919191919191",
        "+91(0)9191919191",
        "+91 (0) 91919 19191",
        "(+91) 91919.19191",
        "  +91 91919 19191  ",
        "919191919191",
        "91 91919 19191",
        "+٩١٩١٩١٩١٩١٩١",
        "+९१९१९१९१९१९१",
        "＋９１９１９１９１９１９１",
        "９１＼９１９１９１９１９１",
        "\u202a+91\u00a091919\u201119191\u202c",
        "+919191919191\n",
        "\t+9191919\t19191\r\n",
        "+91\u202891919\u202919191\x85",
        "\ufeff+91\u200b91919\u00ad19191\u2060",
        "tel:+919191919191",
        "TEL: +91-91919-19191",
        "Tel.: +91 91919 19191",
        "tel://+919191919191",
        "+91ー91919ー19191",
        "+91～91919〜19191",
        "［+91］91919・19191",
        "+91·91919•19191",
        "+91 [91919] 19191",
        "+919191919191,",
        "+919191919191 , ",
        "+919191919191;",
        "+91" + " " * 80 + "9191919191",
    ],
)
def test_every_form_of_a_number_is_kept_as_the_same_e164(typed: str) -> None:
    assert phone.parse_recipient(typed).e164 == "+919191919191"


@pytest.mark.parametrize(
    ("typed", "region", "e164"),
    [
        ("09191919191", "IN", "+919191919191"),
        ("9191919191", "IN", "+919191919191"),
        ("9191919191", "in", "+919191919191"),
        ("919191919191", "IN", "+919191919191"),
        ("+447911123456", "IN", "+447911123456"),
        ("00447911123456", "IN", "+447911123456"),
        ("(415) 555-0100", "US", "+14155550100"),
        ("919191919191", "US", "+919191919191"),
        ("011 91 91919 19191", "US", "+919191919191"),
        ("0091 91919 19191", "US", "+919191919191"),
        ("0011 91 91919 19191", "AU", "+919191919191"),
        ("919191919191", "XX", "+919191919191"),
        ("+39 06 1234 5678", None, "+390612345678"),
        ("+39 (0)6 1234 5678", None, "+390612345678"),
        ("+44 (0)7911 123456", None, "+447911123456"),
        ("+34 (0)612 345 678", None, "+34612345678"),
        ("34\\(0)612345678", None, "+34612345678"),
        ("030/901820", "DE", "+4930901820"),
    ],
)
def test_a_national_number_comes_first_and_an_international_one_without_plus_second(
    typed: str, region: str | None, e164: str
) -> None:
    assert phone.parse_recipient(typed, region).e164 == e164


@pytest.mark.parametrize("last", range(10))
def test_twilios_magic_numbers_can_be_sent_to(last: int) -> None:
    number = phone.parse_recipient(f"+1500555000{last}")
    assert (number.e164, number.dialing_code, number.region) == (f"+1500555000{last}", "+1", "US")


EXTENSION = "A text cannot reach an extension. Give the number without it."
DIGITS = "Write the number in digits, with its dialing code in front, as in +91 91919 19191."
NOWHERE = "No such phone number exists. Check its digits and its dialing code, as in +91 91919 19191."
LACKING = "Put the dialing code in front of the number, as in +91 91919 19191."
CONTROL = "Remove the control characters; give one number alone."
LONG = "This is too long for a phone number; give one number alone."
FILTER = "A dialing code is + and 1 to 7 digits, as in +91 or +1876."
NO_COUNTRY = "No country has this dialing code. Give one that begins with a country's, as in +91."


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("+919191919191;ext=12", EXTENSION),
        ("+919191919191 x12", EXTENSION),
        ("+919191919191x12", EXTENSION),
        ("+919191919191 ext 12", EXTENSION),
        ("+919191919191 ext. 12", EXTENSION),
        ("+919191919191 Extension 12", EXTENSION),
        ("+919191919191#12", EXTENSION),
        ("+919191919191,,12", EXTENSION),
        ("91\\9191919191 x12", EXTENSION),
        ("", LACKING),
        ("   ", LACKING),
        ("12345", LACKING),
        ("09191919191", LACKING),
        ("+", NOWHERE),
        ("00", NOWHERE),
        ("+91", NOWHERE),
        ("+9191919191", NOWHERE),
        ("+9191919191911", NOWHERE),
        ("+999123456789", NOWHERE),
        ("+0919191919191", NOWHERE),
        ("+1 555 555 5555", NOWHERE),
        ("12345678", NOWHERE),
        ("+1 800 FLOWERS", DIGITS),
        ("mobile", DIGITS),
        ("whatsapp:+919191919191", DIGITS),
        ("+91+9191919191", DIGITS),
        ("91919+19191", DIGITS),
        ("+919191919191 / +919191919192", DIGITS),
        ("*+919191919191", DIGITS),
        ("91\\91919\\19191", DIGITS),
        ("91\\+9191919191", DIGITS),
        ("91\\", DIGITS),
        ("\\9191919191", FILTER),
        ("919191919191\\1", FILTER),
        ("99\\9191919191", NO_COUNTRY),
        ("+919191919191\0", CONTROL),
        ("+9191919\x1b19191", CONTROL),
        ("+919191919191\ud800", CONTROL),
        ("+91" + " 9" * 62, LONG),
        ("9" * 100_000, LONG),
    ],
)
def test_what_is_no_number_is_refused_with_its_remedy(typed: str, message: str) -> None:
    with pytest.raises(NumberRefused) as refused:
        phone.parse_recipient(typed)
    assert (refused.value.code, refused.value.message) == ("invalid_number", message)


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("+1 900 234 5678", "a premium-rate number"),
        ("+44 9012 345678", "a premium-rate number"),
        ("+979 123456789", "a premium-rate number"),
        ("+1 800 234 5678", "a toll-free number"),
        ("+800 12345678", "a toll-free number"),
        ("+44 7640 123456", "a pager"),
        ("+49 177 99 1234567", "a voicemail number"),
        ("+91 1860 123 4567", "a shared-cost number"),
        ("+44 5512 345678", "a company's universal access number"),
    ],
)
def test_numbers_of_a_kind_that_costs_or_that_nobody_reads_are_refused(typed: str, kind: str) -> None:
    with pytest.raises(NumberRefused) as refused:
        phone.parse_recipient(typed)
    assert refused.value.code == "number_type_refused"
    assert refused.value.message == (f"This is {kind}, to which no texts are sent. Give the number of a mobile phone.")


def test_a_national_number_of_a_refused_kind_is_refused_and_not_read_as_international() -> None:
    assert judged(phone.parse_recipient, "1860 123 4567", "IN") == "number_type_refused"


def test_a_number_longer_than_e164_is_refused_although_the_library_knows_it() -> None:
    longer = "+49" + "30" + "1234567890123"[:12]
    assert phonenumbers.is_valid_number(phonenumbers.parse(longer))
    assert judged(phone.parse_recipient, longer) == "invalid_number"


@given(
    st.text(max_size=70) | st.text(alphabet=EVERYTHING_A_NUMBER_IS_MADE_OF, max_size=30),
    st.sampled_from(["IN", "US", "", None]),
)
@settings(max_examples=400, deadline=None)
def test_whatever_is_typed_is_a_number_or_a_refusal(typed: str, region: str | None) -> None:
    for reader, arguments in (
        (phone.parse_recipient, (typed, region)),
        (phone.parse_origin, (typed,)),
        (phone.parse_dialing_code, (typed,)),
    ):
        judged(reader, *arguments)


@pytest.mark.parametrize("typed", ["+19002345678", "+15555555555", "+919191919191 x12", "5555555", "+1 800 FLOWERS"])
def test_a_refusal_never_repeats_what_was_typed(typed: str) -> None:
    with pytest.raises(NumberRefused) as refused:
        phone.parse_recipient(typed)
    assert typed not in str(refused.value)
    assert typed[1:] not in repr(refused.value)


# The fast path and the library


def test_the_fast_path_agrees_with_the_library_on_every_example_number() -> None:
    taken = accepted = 0
    for example in EXAMPLES:
        fast = accept_at_once(example)
        slow = judged(parse_slowly, example)
        assert fast is None or (fast.e164, fast.dialing_code) == (slow, parse_slowly(example).dialing_code)
        taken += fast is not None
        accepted += slow == example
    assert accepted > 500
    assert taken >= 0.98 * accepted


def test_the_fast_path_takes_the_example_mobile_number_of_every_region() -> None:
    tried, left_to_the_library = 0, set()
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is None:
            continue
        tried += 1
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        number = phone.parse_recipient(e164)
        assert (number.e164, number.region) == (e164, phonenumbers.region_code_for_number(example))
        if accept_at_once(e164) is None:
            left_to_the_library.add(region)
    assert tried > 230
    assert left_to_the_library == set()


def test_the_fast_path_agrees_with_the_library_around_every_example_number() -> None:
    dice = random.Random(20260504)
    for example in EXAMPLES:
        for _ in range(6):
            digits = list(example)
            for _ in range(dice.choice((1, 1, 2, 5))):
                digits[dice.randrange(1, len(digits))] = dice.choice("0123456789")
            changed = "".join(digits)[: dice.choice((len(digits), len(digits), len(digits) - 1))]
            fast = accept_at_once(changed)
            assert fast is None or fast.e164 == judged(parse_slowly, changed)


@given(st.sampled_from(EXAMPLES), st.integers(1, 14), st.text(alphabet="0123456789", max_size=6), st.integers(0, 3))
@settings(max_examples=400, deadline=None)
def test_the_fast_path_agrees_with_the_library_on_digits_near_an_example(
    example: str, position: int, digits: str, dropped: int
) -> None:
    changed = example[:position] + digits + example[position + dropped :]
    fast = accept_at_once(changed)
    assert fast is None or fast.e164 == judged(parse_slowly, changed)


@pytest.mark.parametrize(
    "typed",
    ["", "+", "+9", "+91", "919191919191", "+919191919191\n", "+91919191919१", "+91 9191919191", "+9109191919191"],
)
def test_the_fast_path_leaves_everything_but_plain_e164_to_the_library(typed: str) -> None:
    assert accept_at_once(typed) is None


# The value


def test_a_number_prints_masked() -> None:
    number = phone.parse_recipient("+919191919191")
    assert number.masked == "+91•••••••191"
    assert str(number) == "+91•••••••191"
    assert repr(number) == "PhoneNumber(+91•••••••191)"
    assert f"{number}" == "+91•••••••191"
    assert f"{number:>15}" == "  +91•••••••191"
    assert f"{[number]}" == "[PhoneNumber(+91•••••••191)]"


@pytest.mark.parametrize(
    ("e164", "masked"),
    [
        ("+14155550100", "+1•••••••100"),
        ("+35312345678", "+353•••••678"),
        ("+2908123", "+290•••3"),
        ("+29022158", "+290•••58"),
        ("+290221", "+290•••"),
        ("+0123456789", "+•••••••789"),
    ],
)
def test_a_mask_hides_all_but_the_last_three_digits_and_more_of_a_short_number(e164: str, masked: str) -> None:
    assert phone.trusted(e164).masked == masked


def test_numbers_are_equal_by_their_e164_and_can_be_keys() -> None:
    first, again = phone.parse_recipient("+919191919191"), phone.trusted("+919191919191")
    assert first == again
    assert {first: 1}[again] == 1
    assert first != phone.trusted("+919191919192")
    assert first != "+919191919191"
    assert copy.deepcopy(first) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_a_number_does_not_change() -> None:
    number = phone.trusted("+919191919191")
    with pytest.raises(AttributeError, match="does not change"):
        number.e164 = "+919191919192"
    with pytest.raises(AttributeError, match="does not change"):
        del number.e164
    with pytest.raises(AttributeError):
        number.other = "x"


@pytest.mark.parametrize(
    ("e164", "dialing_code", "region"),
    [
        ("+919191919191", "+91", "IN"),
        ("+18762101234", "+1", "JM"),
        ("+14155550100", "+1", "US"),
        ("+77710009998", "+7", "KZ"),
        ("+79161234567", "+7", "RU"),
        ("+447911123456", "+44", "GG"),
        ("+881612345678", "+881", "001"),
        ("+15555555555", "+1", ""),
        ("+0123456789", "+", ""),
    ],
)
def test_what_was_stored_is_trusted_and_knows_its_dialing_code_and_region(
    e164: str, dialing_code: str, region: str | None
) -> None:
    number = phone.trusted(e164)
    assert (number.e164, number.dialing_code, number.region) == (e164, dialing_code, region)


# Origins


@pytest.mark.parametrize(
    ("typed", "origin"),
    [
        ("91\\9191919191", "+919191919191"),
        ("+91 91919-19191", "+919191919191"),
        ("0091 9191919191", "+919191919191"),
        ("+91(0)9191919191", "+919191919191"),
        ("919191919191", "+919191919191"),
        ("+15005550006", "+15005550006"),
        ("+15005550001", "+15005550001"),
        ("+15557122661", "+15557122661"),
        ("+1 800 234 5678", "+18002345678"),
        ("123", "123"),
        (" 12345 ", "12345"),
        ("12345678", "12345678"),
        ("١٢٣٤٥", "12345"),
        ("MyBrand", "MyBrand"),
        (" My Brand 24 ", "My Brand 24"),
        ("A", "A"),
        ("B&B_1-2+", "B&B_1-2+"),
        ("\tMy Brand\u200b\n", "My Brand"),
        ("+91\t91919 19191", "+919191919191"),
        ("ABCDEFGHIJK", "ABCDEFGHIJK"),
    ],
)
def test_an_origin_is_a_number_a_short_code_or_a_name(typed: str, origin: str) -> None:
    assert phone.parse_origin(typed) == origin


NAME = (
    "A sender name has at most 11 characters: letters a–z, at least one, digits, blanks, and - _ & +. "
    "A sender number is written in digits, as in +91 91919 19191."
)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", LACKING),
        ("12", LACKING),
        ("1-2-3", LACKING),
        ("09191919191", LACKING),
        ("ABCDEFGHIJKL", NAME),
        ("Müller", NAME),
        ("+MyBrand", NAME),
        ("My.Brand", NAME),
        ("MG0123456789abcdef0123456789abcdef", NAME),
        ("+919191919191 x12", EXTENSION),
        ("+12345", NOWHERE),
        ("+1 555 0006", NOWHERE),
        ("+999123456789", NOWHERE),
        ("_-_", DIGITS),
        ("My\0Brand", CONTROL),
        ("x" * 65, LONG),
    ],
)
def test_what_is_no_origin_is_refused_with_its_remedy(typed: str, message: str) -> None:
    with pytest.raises(NumberRefused) as refused:
        phone.parse_origin(typed)
    assert (refused.value.code, refused.value.message) == ("invalid_number", message)


@given(st.sampled_from(EXAMPLES))
@settings(deadline=None)
def test_an_origin_read_again_stays_the_same(example: str) -> None:
    origin = judged(phone.parse_origin, example)
    if origin.startswith("+"):
        assert phone.parse_origin(origin) == origin


# Dialing codes


@pytest.mark.parametrize(
    ("typed", "dialing_code"),
    [
        ("+91", "+91"),
        ("91", "+91"),
        ("0091", "+91"),
        ("91\\", "+91"),
        ("+91\\", "+91"),
        (" + 91 ", "+91"),
        ("٩١", "+91"),
        ("＋91", "+91"),
        ("\t+91\n", "+91"),
        ("\u200e+91\u200e", "+91"),
        ("tel:+91", "+91"),
        ("1", "+1"),
        ("+1876", "+1876"),
        ("+1 (876)", "+1876"),
        ("1-876", "+1876"),
        ("+7840", "+7840"),
        ("+44 7911", "+447911"),
        ("+1415555", "+1415555"),
        ("+881", "+881"),
    ],
)
def test_a_dialing_code_is_kept_as_plus_and_digits(typed: str, dialing_code: str) -> None:
    assert phone.parse_dialing_code(typed) == dialing_code


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", FILTER),
        ("+", FILTER),
        ("00", FILTER),
        ("\\", FILTER),
        ("IN", FILTER),
        ("+91,+92", FILTER),
        ("++91", FILTER),
        ("9\\1", FILTER),
        ("+14155550", FILTER),
        ("+9", NO_COUNTRY),
        ("+999", NO_COUNTRY),
        ("+210", NO_COUNTRY),
        ("+21", NO_COUNTRY),
        ("+0", NO_COUNTRY),
        ("+0091", NO_COUNTRY),
        ("091", NO_COUNTRY),
        ("+91\0", CONTROL),
        ("9" * 65, LONG),
    ],
)
def test_what_is_no_dialing_code_is_refused_with_its_remedy(typed: str, message: str) -> None:
    with pytest.raises(NumberRefused) as refused:
        phone.parse_dialing_code(typed)
    assert (refused.value.code, refused.value.message) == ("invalid_number", message)


def test_every_country_calling_code_is_known_and_none_begins_another() -> None:
    for country_code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        assert phone.parse_dialing_code(str(country_code)) == f"+{country_code}"
        assert phone.trusted(f"+{country_code}000000000").dialing_code == f"+{country_code}"


def test_a_default_region_is_one_that_the_library_knows() -> None:
    assert phone.region_known("IN")
    assert not phone.region_known("XX")
    assert not phone.region_known("001")
    assert not phone.region_known("")

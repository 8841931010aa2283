"""A submitted policy as it is read: what is taken, and the sentence for each mistake at its path. No database."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from installation import Clock, context_of
from otpost.domain.errors import Invalid, NotFound
from otpost.domain.policy import Rate, Revision
from otpost.outbound import Outbound
from otpost.senders.registry import find_services
from otpost.services.context import Context
from otpost.services.policy.draft import read, restored, url_errors
from otpost.store.base import Store
from otpost.store.kinds import REVISIONS
from otpost.store.units import Unit

TENANT = "AC" + "7" * 32
MAIN, INDIA, FRANCE = "AC" + "a" * 32, "AC" + "b" * 32, "AC" + "c" * 32
PHONE = "+15005550006"
SERVICES = ", ".join(find_services())
FALLBACKS = ", ".join(name for name in find_services() if name != "sandbox")


def mistakes(sent: object, path: str = "") -> list[tuple[str, str, str]]:
    with pytest.raises(Invalid) as refusal:
        read(sent, path)
    return [(error.field, error.code, error.message) for error in refusal.value.errors]


def rate(origin: object = PHONE, speed: object = 1) -> dict[str, object]:
    return {"origin": origin, "messages_per_second": speed}


def test_what_is_not_brought_is_unset_and_what_is_brought_is_kept() -> None:
    nothing = read({})
    assert (nothing.sections, nothing.path, nothing.revision, nothing.restores) == ({}, "", None, None)
    assert (nothing.sender_service, nothing.fallback) == (UNSET, UNSET)
    assert (nothing.failover_after_s, nothing.rates) == (UNSET, UNSET)
    everything = read(
        {
            "revision": 7,
            "sender_service": "twilio",
            "fallback": ["generic", "messagebird"],
            "failover_after_s": 60,
            "rates": [rate(), rate(" MyBrand ", 0.5)],
            "sandbox": {},
        },
        "policy",
    )
    assert (everything.path, everything.revision, everything.sender_service) == ("policy", 7, "twilio")
    assert (everything.fallback, everything.failover_after_s) == (("generic", "messagebird"), 60)
    assert everything.rates == (Rate(PHONE, 1.0), Rate("MyBrand", 0.5))
    assert list(everything.sections) == ["sandbox"]


def test_null_is_a_choice_of_none_and_never() -> None:
    draft = read({"revision": None, "sender_service": None, "failover_after_s": None, "fallback": [], "rates": []})
    assert (draft.revision, draft.sender_service, draft.failover_after_s) == (None, None, None)
    assert (draft.fallback, draft.rates) == ((), ())


@pytest.mark.parametrize(
    ("sent", "field", "code", "message"),
    [
        ({"revision": True}, "revision", "invalid", "revision is the whole number that was read."),
        ({"revision": 1.0}, "revision", "invalid", "revision is the whole number that was read."),
        ({"revision": "1"}, "revision", "invalid", "revision is the whole number that was read."),
        (
            {"sender_service": "nosuch"},
            "sender_service",
            "invalid",
            f"This must be one of: {SERVICES}; or null, to choose none.",
        ),
        (
            {"sender_service": ["twilio"]},
            "sender_service",
            "invalid",
            f"This must be one of: {SERVICES}; or null, to choose none.",
        ),
        ({"fallback": "twilio"}, "fallback", "invalid", "This must be a list of sender services, in their order."),
        ({"fallback": None}, "fallback", "invalid", "This must be a list of sender services, in their order."),
        ({"fallback": ["twilio", "sandbox"]}, "fallback[1]", "invalid", f"A fallback must be one of: {FALLBACKS}."),
        ({"fallback": ["twilio", "nosuch"]}, "fallback[1]", "invalid", f"A fallback must be one of: {FALLBACKS}."),
        ({"fallback": [["twilio"]]}, "fallback[0]", "invalid", f"A fallback must be one of: {FALLBACKS}."),
        (
            {"fallback": ["twilio", "generic", "twilio"]},
            "fallback[2]",
            "duplicate",
            "twilio stands here twice. Keep one.",
        ),
        (
            {"sender_service": "generic", "fallback": ["twilio", "generic"]},
            "fallback[1]",
            "invalid",
            "This is the chosen service itself.",
        ),
        (
            {"failover_after_s": False},
            "failover_after_s",
            "invalid",
            "Failover comes after a whole number of seconds; or never, which is null.",
        ),
        ({"failover_after_s": 9}, "failover_after_s", "out_of_range", "Failover can come after 10 to 600 seconds."),
        ({"failover_after_s": 601}, "failover_after_s", "out_of_range", "Failover can come after 10 to 600 seconds."),
        (
            {"rates": [rate(speed=0.099)]},
            "rates[0].messages_per_second",
            "out_of_range",
            "A rate is from 0.1 to 1000 messages a second.",
        ),
        (
            {"rates": [rate(speed=1000.001)]},
            "rates[0].messages_per_second",
            "out_of_range",
            "A rate is from 0.1 to 1000 messages a second.",
        ),
        (
            {"rates": [rate(speed=float("nan"))]},
            "rates[0].messages_per_second",
            "out_of_range",
            "A rate is from 0.1 to 1000 messages a second.",
        ),
        (
            {"rates": [rate(speed=None)]},
            "rates[0].messages_per_second",
            "required",
            "Say how many messages a second the origin may send.",
        ),
        (
            {"rates": [rate(speed="2")]},
            "rates[0].messages_per_second",
            "invalid",
            "A rate is a number of messages a second, as in 1 or 0.5.",
        ),
        ({"rates": [rate()] * 1001}, "rates", "out_of_range", "At most 1000 origins can have a rate."),
        (
            {"rates": [rate("MyBrand"), rate(), rate("+1 500 555 0006")]},
            "rates[2].origin",
            "duplicate",
            f"{PHONE} stands in row 2 already. Keep one of the two.",
        ),
        (
            {"rates": [rate(), [PHONE]]},
            "rates[1]",
            "invalid",
            "This must be an object with origin and messages_per_second.",
        ),
        (
            {"rates": [{**rate(), "burst": 1}]},
            "rates[0].burst",
            "unknown_field",
            "There is no such setting. Leave it out.",
        ),
        (
            {"nosuch": {}},
            "nosuch",
            "unknown_field",
            f"There is no such setting or sender service. Services are: {SERVICES}.",
        ),
        ([], "", "invalid", "The sender policy is an object with its settings."),
        (None, "", "invalid", "The sender policy is an object with its settings."),
    ],
)
def test_each_mistake_has_its_sentence_at_its_path(sent: object, field: str, code: str, message: str) -> None:
    assert mistakes(sent) == [(field, code, message)]
    below = f"policy.{field}" if field else "policy"
    assert mistakes(sent, "policy") == [(below, code, message)]


def test_all_mistakes_are_told_at_once() -> None:
    sent = {
        "nosuch": 1,
        "revision": "x",
        "sender_service": 1,
        "fallback": ["sandbox"],
        "failover_after_s": 0,
        "rates": [{}],
        "twilio": [],
    }
    assert [field for field, _, _ in mistakes(sent)] == [
        "nosuch",
        "revision",
        "sender_service",
        "fallback[0]",
        "failover_after_s",
        "rates[0].origin",
        "rates[0].messages_per_second",
        "twilio",
    ]


def test_a_name_that_is_no_text_for_a_path_is_cut_and_made_readable() -> None:
    ((field, code, _),) = mistakes({"\ud800" + "x" * 100: 1})
    assert (field, code) == ("?" + "x" * 63, "unknown_field")
    ((field, code, _),) = mistakes({"rates": [{**rate(), "y" * 100: 1}]})
    assert (field, code) == ("rates[0]." + "y" * 64, "unknown_field")


@pytest.mark.parametrize("speed", [0.1, 1, 1000])
def test_a_rate_reaches_both_its_bounds(speed: float) -> None:
    assert read({"rates": [rate(speed=speed)]}).rates == (Rate(PHONE, float(speed)),)


@pytest.mark.parametrize("seconds", [10, 600])
def test_failover_reaches_both_its_bounds(seconds: int) -> None:
    assert read({"failover_after_s": seconds}).failover_after_s == seconds


def test_a_thousand_origins_have_rates() -> None:
    rates = read({"rates": [rate(f"+1500555{index:04d}") for index in range(1000)]}).rates
    assert isinstance(rates, tuple)
    assert (len(rates), rates[-1]) == (1000, Rate("+15005550999", 1.0))


def test_rows_without_an_origin_are_not_twice_the_same() -> None:
    assert [field for field, _, _ in mistakes({"rates": [rate(""), rate("")]})] == [
        "rates[0].origin",
        "rates[1].origin",
    ]


async def test_only_the_addresses_that_are_asked_for_are_judged() -> None:
    sent = {
        "twilio": {"account_sid": MAIN, "sender_phone": PHONE, "api_url": "https://127.0.0.1"},
        "generic": {"service_url": "https://10.0.0.1/send"},
        "messagebird": {"originator": "MyBrand"},
    }
    http = Outbound()
    everywhere = await url_errors(http, read(sent, "policy"))
    one = await url_errors(http, read(sent), ["generic"])
    await http.close()
    assert [(error.field, error.code) for error in everywhere] == [
        ("policy.twilio.api_url", "invalid"),
        ("policy.generic.service_url", "invalid"),
    ]
    assert [error.field for error in one] == ["generic.service_url"]
    assert all(error.message for error in everywhere)


# Restore


ROW = {"dialing_code": "+91", "account_sid": INDIA, "sender_phone": "+919191919191", "service_sid": ""}
FRENCH = {**ROW, "dialing_code": "+33", "account_sid": FRANCE}
OLD: dict[str, Any] = {
    "account_sid": MAIN,
    "use_copilot": False,
    "service_sid": "",
    "sender_phone": PHONE,
    "api_url": "https://api.twilio.com",
    "subaccounts": [ROW, {**ROW, "dialing_code": "+92"}, FRENCH],
    "subaccount_falls_back": False,
    "only_listed_dialing_codes": False,
}


@pytest.fixture
async def context(store: Store) -> Context:
    """A tenant whose first revision has two rows of one account, and one of another."""
    made = context_of(store, Clock(1_800_000_000_000))
    old = Revision(
        TENANT, 1, 1, "ada", (), "twilio", ("messagebird",), {"twilio": OLD, "gone": {}}, 60, (Rate(PHONE, 2.0),)
    )
    await store.run(Unit(lambda rows: rows.put(REVISIONS, old)))
    return made


async def refused(context: Context, sent: object) -> list[tuple[str, str, str]]:
    with pytest.raises(Invalid) as refusal:
        await restored(context, TENANT, 1, sent)
    return [(error.field, error.code, error.message) for error in refusal.value.errors]


async def brought(context: Context, *rows: object) -> dict[str, str]:
    draft = await restored(context, TENANT, 1, {"twilio": {"subaccounts": list(rows)}})
    return {ref.owner: secret.reveal() for ref, secret in draft.sections["twilio"].typed.items()}


async def test_a_restored_draft_has_the_old_choice_and_names_the_current_revision(context: Context) -> None:
    draft = await restored(context, TENANT, 1, {"revision": 4})
    assert (draft.restores, draft.revision, draft.sender_service) == (1, 4, "twilio")
    assert (draft.fallback, draft.failover_after_s, draft.rates) == (("messagebird",), 60, (Rate(PHONE, 2.0),))
    assert list(draft.sections) == ["twilio"], "a service that is not installed any more is left out"
    assert (await restored(context, TENANT, 1, {})).revision is None


@pytest.mark.parametrize("number", [0, -1, 2, 2**31 - 1, 2**31, 2**80])
async def test_a_number_that_no_revision_has_is_not_found(context: Context, number: int) -> None:
    with pytest.raises(NotFound, match="There is no such revision"):
        await restored(context, TENANT, number, {})


async def test_a_secret_goes_to_the_row_that_has_the_values_it_is_brought_with(context: Context) -> None:
    assert await brought(context, {"dialing_code": "+33", "auth_token": "t"}) == {FRANCE: "t"}
    assert await brought(context, {"account_sid": INDIA, "auth_token": "t"}) == {INDIA: "t"}
    assert await brought(context, {}, {}, {"auth_token": "t"}) == {FRANCE: "t"}
    assert await brought(context, {"account_sid": FRANCE, "sender_phone": "+919191919191", "auth_token": "t"}) == {
        FRANCE: "t"
    }


NO_ROW, SEVERAL = "The revision has no such row.", "Several rows are like this; name the account."
NO_LIST, NO_OBJECT = "This must be a list of rows with secrets.", "This must be an object with secrets."
NO_SETTING = "There is no such setting. Leave it out."


@pytest.mark.parametrize(
    ("sent", "field", "code", "message"),
    [
        ([], "", "invalid", "Bring an object with the secrets, or an empty one."),
        ({"revision": "4"}, "revision", "invalid", "revision is the whole number that was read."),
        (
            {"messagebird": {}},
            "messagebird",
            "unknown_field",
            "The revision has no such section. Only secrets of its sections can be brought.",
        ),
        ({"twilio": "t"}, "twilio", "invalid", NO_OBJECT),
        ({"twilio": {"token": "t"}}, "twilio.token", "unknown_field", NO_SETTING),
        ({"twilio": {"account_sid_set": True}}, "twilio.account_sid_set", "unknown_field", NO_SETTING),
        (
            {"twilio": {"use_copilot": True}},
            "twilio.use_copilot",
            "invalid",
            "The revision has another value here. Bring secrets alone, and save other values afterwards.",
        ),
        (
            {"twilio": {"subaccounts": "t"}},
            "twilio.subaccounts",
            "invalid",
            "This must be a list of rows with secrets.",
        ),
        ({"twilio": {"subaccounts": [{}] * 4}}, "twilio.subaccounts[3]", "invalid", NO_ROW),
        (
            {"twilio": {"subaccounts": ["t"]}},
            "twilio.subaccounts[0]",
            "invalid",
            "This must be an object with secrets.",
        ),
        (
            {"twilio": {"subaccounts": [{"dialing_code": "+44"}]}},
            "twilio.subaccounts[0].dialing_code",
            "invalid",
            NO_ROW,
        ),
        (
            {"twilio": {"subaccounts": [{"dialing_code": "+33", "account_sid": INDIA}]}},
            "twilio.subaccounts[0].account_sid",
            "invalid",
            NO_ROW,
        ),
        (
            {"twilio": {"subaccounts": [{"service_sid": "", "sender_phone": "+919191919191"}]}},
            "twilio.subaccounts[0].sender_phone",
            "invalid",
            SEVERAL,
        ),
    ],
)
async def test_what_restore_does_not_take_has_its_sentence_at_its_path(
    context: Context, sent: object, field: str, code: str, message: str
) -> None:
    assert await refused(context, sent) == [(field, code, message)]


async def test_restore_takes_the_old_values_themselves_and_that_a_secret_is_cleared(context: Context) -> None:
    same = {"account_sid": MAIN, "use_copilot": False, "auth_token_set": False, "subaccounts": [{"auth_token": "t"}]}
    section = (await restored(context, TENANT, 1, {"twilio": same})).sections["twilio"]
    assert [ref.owner for ref in section.typed] == [INDIA]
    assert [ref.owner for ref in section.cleared] == [MAIN]

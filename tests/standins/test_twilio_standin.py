"""The pretended Twilio, judged by Twilio's SDK and its OpenAPI document."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

import oai
from standins.twilio import TwilioStandIn
from standins.twilio_asking import (
    BRITISH,
    EMPTY,
    FOREIGN_POOL,
    MAIN,
    OWN,
    POOL,
    SHORT_POOL,
    STRANGER,
    STRANGERS,
    SUB,
    SUBS,
    TEST,
    TO,
    ask,
    create,
    refusal,
)
from standins.twilio_messages import segments


async def test_the_sdk_creates_fetches_lists_redacts_and_deletes_a_message(twilio: TwilioStandIn) -> None:
    def use_the_sdk() -> None:
        client = Client(MAIN, "main-token")
        client.api.base_url = twilio.url
        sent = client.messages.create(
            to=TO, from_=OWN, body="123456 – é", validity_period=300, provide_feedback=True, risk_check="disable"
        )
        assert (sent.status, sent.from_, sent.num_segments, sent.date_sent) == ("queued", OWN, "1", None)
        fetched = client.messages(sent.sid).fetch()
        assert (fetched.body, fetched.status) == ("123456 – é", "delivered")
        assert [message.sid for message in client.messages.list(to=TO)] == [sent.sid]
        assert client.messages.list(to="+14155550111") == []
        assert client.messages(sent.sid).update(body="").body == ""
        assert client.messages(sent.sid).delete() is True
        with pytest.raises(TwilioRestException) as missing:
            client.messages(sent.sid).fetch()
        assert (missing.value.status, missing.value.code) == (404, 20404)

    await asyncio.to_thread(use_the_sdk)
    requests = await twilio.requests()
    assert [(r.operation, r.status) for r in requests] == [
        ("create", 201),
        ("fetch", 200),
        ("list", 200),
        ("list", 200),
        ("update", 200),
        ("delete", 204),
        ("fetch", 404),
    ]
    assert [oai.judge_request(r.method, r.path, r.form, r.headers) for r in requests] == [[]] * 7
    assert requests[0].form == [
        ("To", TO),
        ("ProvideFeedback", "true"),
        ("ValidityPeriod", "300"),
        ("RiskCheck", "disable"),
        ("From", OWN),
        ("Body", "123456 – é"),
    ]
    assert (requests[0].username, requests[0].password) == (MAIN, "main-token")
    assert await twilio.violations() == []


async def test_the_answer_to_a_message_is_as_the_document_says(inner: TwilioStandIn) -> None:
    await inner.plan()
    await inner.set_clock(1_692_853_305_000)
    answer = await create(inner)
    sid = answer.json["sid"]
    uri = f"/2010-04-01/Accounts/{MAIN}/Messages/{sid}"
    assert answer.status == 201
    assert oai.judge_response("CreateMessage", 201, answer.json) == []
    assert answer.json == {
        "account_sid": MAIN,
        "api_version": "2010-04-01",
        "body": "123456 is your code",
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "date_sent": None,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": OWN,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": uri + "/Media.json"},
        "to": TO,
        "uri": uri + ".json",
    }
    assert answer.headers["Twilio-Request-Id"].startswith("RQ")
    assert answer.headers["Twilio-Concurrent-Requests"] == "1"


async def test_a_messaging_service_accepts_first_and_names_its_sender_later(inner: TwilioStandIn) -> None:
    await inner.plan()
    answer = await create(inner, From=None, MessagingServiceSid=POOL)
    shown = {name: answer.json[name] for name in ("status", "from", "num_segments", "messaging_service_sid")}
    assert shown == {"status": "accepted", "from": None, "num_segments": "0", "messaging_service_sid": POOL}
    assert oai.judge_response("CreateMessage", 201, answer.json) == []
    await inner.report(answer.json["sid"], "queued")
    fetched = await ask(inner, "GET", answer.json["uri"])
    assert (fetched.json["status"], fetched.json["from"]) == ("queued", "+14155550101")
    assert oai.judge_response("FetchMessage", 200, fetched.json) == []


@pytest.mark.parametrize(
    ("to", "service", "sender"),
    [
        ("+447400123456", POOL, "+442071838751"),
        ("+4915123456789", POOL, "+4915112345678"),
        (TO, POOL, "+14155550101"),
        (TO, BRITISH, "+442071838752"),
        ("+4915123456789", SHORT_POOL, "70123"),
    ],
)
async def test_a_messaging_service_prefers_the_recipients_country_then_the_united_states(
    inner: TwilioStandIn, to: str, service: str, sender: str
) -> None:
    assert (await create(inner, From=None, MessagingServiceSid=service, To=to)).status == 201
    assert [message.sender for message in await inner.messages()] == [sender]


def test_segments_are_counted_by_alphabet() -> None:
    assert [segments(text) for text in ("a" * 160, "a" * 161, "€" * 80, "€" * 81, "я" * 70, "я" * 71, "😀" * 36)] == [
        1,
        2,
        1,
        2,
        1,
        2,
        2,
    ]


# Who may send what


@pytest.mark.parametrize(
    ("account", "user"),
    [
        (MAIN, (MAIN, "main-token")),
        (SUB, (SUB, "sub-token")),
        (SUB, (MAIN, "main-token")),
        (MAIN, ("SK" + "a" * 32, "key-secret")),
    ],
)
async def test_an_account_and_its_parent_may_send(inner: TwilioStandIn, account: str, user: tuple[str, str]) -> None:
    assert (await create(inner, account, user, From=SUBS if account == SUB else OWN)).status == 201
    assert [(m.account, m.username) for m in await inner.messages()] == [(account, user[0])]


@pytest.mark.parametrize(
    ("account", "user", "rules"),
    [
        (MAIN, (MAIN, "wrong"), []),
        (MAIN, (MAIN, "sub-token"), []),
        (MAIN, (SUB, "sub-token"), ["foreign_credentials"]),
        (MAIN, (STRANGER, "stranger-token"), ["foreign_credentials"]),
        (SUB, (STRANGER, "stranger-token"), ["foreign_credentials"]),
        (SUB, ("SK" + "a" * 32, "key-secret"), []),
        ("AC" + "9" * 32, (MAIN, "main-token"), ["foreign_credentials"]),
    ],
)
async def test_other_credentials_are_refused(
    inner: TwilioStandIn, account: str, user: tuple[str, str], rules: list[str]
) -> None:
    assert await refusal(inner, account, user) == (401, 20003)
    assert [violation.rule for violation in await inner.violations()] == rules
    assert await inner.messages() == []


async def test_a_suspended_account_and_its_subaccounts_send_nothing(twilio: TwilioStandIn) -> None:
    assert (await create(twilio)).status == 201
    await twilio.set_account(MAIN, status="suspended")
    assert await refusal(twilio) == (401, 20005)
    assert await refusal(twilio, SUB, (SUB, "sub-token"), From=SUBS) == (401, 20005)
    await twilio.set_account(MAIN, status="active", auth_token="rotated")
    assert await refusal(twilio) == (401, 20003)
    assert (await create(twilio, user=(MAIN, "rotated"))).status == 201


REFUSED: list[tuple[dict[str, str | None], tuple[int, int], list[str]]] = [
    ({"To": None}, (400, 21604), []),
    ({"To": "919191919191"}, (400, 21211), []),
    ({"To": "+9191"}, (400, 21211), []),
    ({"To": "+999123456789"}, (400, 21211), []),
    ({"From": None}, (400, 21603), ["no_sender"]),
    ({"MessagingServiceSid": POOL}, (400, 21711), ["both_senders"]),
    ({"From": STRANGERS}, (400, 21660), ["foreign_from"]),
    ({"From": SUBS}, (400, 21660), ["foreign_from"]),
    ({"From": "+14155550999"}, (400, 21659), []),
    ({"From": "Nobody"}, (400, 21606), []),
    ({"From": "MyBrand", "To": "+14155550111"}, (400, 21612), []),
    ({"From": "much too long a name"}, (400, 21212), []),
    ({"From": None, "MessagingServiceSid": FOREIGN_POOL}, (404, 21701), ["foreign_messaging_service"]),
    ({"From": None, "MessagingServiceSid": "MG" + "9" * 32}, (404, 21701), []),
    ({"From": None, "MessagingServiceSid": "MG1"}, (400, 21705), []),
    ({"From": None, "MessagingServiceSid": EMPTY}, (400, 21703), []),
    ({"From": None, "MessagingServiceSid": SHORT_POOL}, (400, 21703), []),
    ({"Body": None}, (400, 21602), []),
    ({"Body": ""}, (400, 21602), []),
    ({"Body": "x" * 1_601}, (400, 21617), []),
    ({"ValidityPeriod": "0"}, (400, 21624), []),
    ({"ValidityPeriod": "36001"}, (400, 21624), []),
    ({"ValidityPeriod": "5.5"}, (400, 21624), []),
    ({"StatusCallback": "https://under_score.example/x"}, (400, 21609), []),
    ({"StatusCallback": "ftp://example.com/x"}, (400, 21609), []),
    ({"StatusCallback": "https:///x"}, (400, 21609), []),
    ({"StatusCallback": "https://example.com/" + "x" * 3_981}, (400, 21609), []),
    ({"RiskCheck": "maybe"}, (400, 20001), []),
]


@pytest.mark.parametrize(("changes", "status_and_code", "rules"), REFUSED)
async def test_a_wrong_request_is_refused_with_twilios_code(
    inner: TwilioStandIn, changes: dict[str, str | None], status_and_code: tuple[int, int], rules: list[str]
) -> None:
    assert await refusal(inner, **changes) == status_and_code
    assert [violation.rule for violation in await inner.violations()] == rules
    assert await inner.messages() == []


@pytest.mark.parametrize("changes", [{"Body": "x" * 1_600}, {"ValidityPeriod": "36000"}, {"From": "MyBrand"}])
async def test_the_edges_of_the_ranges_are_accepted(inner: TwilioStandIn, changes: dict[str, Any]) -> None:
    assert (await create(inner, **changes)).status == 201


async def test_unknown_and_repeated_parameters_are_noted(inner: TwilioStandIn) -> None:
    form = [("To", TO), ("From", OWN), ("Body", "x"), ("Body", "y"), ("Colour", "red")]
    assert (await ask(inner, "POST", f"/2010-04-01/Accounts/{MAIN}/Messages.json", form)).status == 201
    assert [violation.rule for violation in await inner.violations()] == ["unknown_parameter", "repeated_parameter"]


@pytest.mark.parametrize(
    ("origin", "to", "status_and_code"),
    [
        ("+15005550001", TO, (400, 21212)),
        ("+15005550007", TO, (400, 21606)),
        ("+15005550008", TO, (400, 21611)),
        (OWN, TO, (400, 21606)),
        ("+15005550006", "+15005550001", (400, 21211)),
        ("+15005550006", "+15005550002", (400, 21612)),
        ("+15005550006", "+15005550003", (400, 21408)),
        ("+15005550006", "+15005550004", (400, 21610)),
        ("+15005550006", "+15005550009", (400, 21614)),
        ("+15005550006", "+1415", (400, 21211)),
    ],
)
async def test_test_credentials_know_the_magic_numbers(
    inner: TwilioStandIn, origin: str, to: str, status_and_code: tuple[int, int]
) -> None:
    assert await refusal(inner, TEST, (TEST, "test-token"), From=origin, To=to) == status_and_code


async def test_test_credentials_accept_the_good_number_deliver_nothing_and_touch_nothing_else(
    inner: TwilioStandIn,
) -> None:
    user = (TEST, "test-token")
    answer = await create(inner, TEST, user, From="+15005550006")
    assert (answer.status, answer.json["status"]) == (201, "queued")
    assert [(m.test, m.status) for m in await inner.messages()] == [(True, "queued")]
    assert await refusal(inner, TEST, user, From=None, MessagingServiceSid=POOL) == (404, 21701)
    listed = await ask(inner, "GET", f"/2010-04-01/Accounts/{TEST}/Messages.json", user=user)
    assert (listed.status, listed.json["code"]) == (403, 20008)


async def test_more_concurrent_requests_than_the_account_may_have_are_refused(inner: TwilioStandIn) -> None:
    await inner.set_account(MAIN, max_concurrent=1)
    await inner.fault("hang", "after", nth=1)
    first = asyncio.create_task(create(inner))
    await inner.wait_for(lambda records: records.held == 1)
    assert await refusal(inner) == (429, 20429)
    assert await inner.release() == 1
    assert (await first).status == 201


# Listings


async def test_a_listing_is_paged_newest_first_and_holds_the_accounts_own_messages(twilio: TwilioStandIn) -> None:
    for text in ("one", "two", "three"):
        await create(twilio, Body=text)
    await create(twilio, STRANGER, (STRANGER, "stranger-token"), From=STRANGERS)
    path = f"/2010-04-01/Accounts/{MAIN}/Messages.json"
    first = (await ask(twilio, "GET", f"{path}?To=%2B919191919191&PageSize=2")).json
    assert oai.judge_response("ListMessage", 200, first) == []
    assert [message["body"] for message in first["messages"]] == ["three", "two"]
    await create(twilio, Body="four, while the pages are read")
    second = (await ask(twilio, "GET", first["next_page_uri"])).json
    assert ([message["body"] for message in second["messages"]], second["next_page_uri"]) == (["one"], None)

    def all_of_them() -> list[str]:
        client = Client(MAIN, "main-token")
        client.api.base_url = twilio.url
        return [message.body for message in client.messages.list(page_size=1)]

    assert await asyncio.to_thread(all_of_them) == ["four, while the pages are read", "three", "two", "one"]


async def test_a_listing_is_filtered_by_sender_and_by_the_day_it_was_sent(inner: TwilioStandIn) -> None:
    day = 86_400_000
    for number in range(3):
        await inner.plant(MAIN, to=TO, body=f"day {number}", sender=OWN, created_at=number * day)
    await inner.plant(MAIN, to=TO, body="not sent yet", sender=OWN, created_at=9 * day, status="queued")
    await inner.plant(MAIN, to=TO, body="brand", sender="MyBrand", created_at=10 * day)

    async def bodies(query: str) -> list[str]:
        answer = await ask(inner, "GET", f"/2010-04-01/Accounts/{MAIN}/Messages.json?{query}")
        assert oai.judge_response("ListMessage", answer.status, answer.json) == []
        return [message["body"] for message in answer.json["messages"]]

    assert await bodies("From=MyBrand") == ["brand"]
    assert await bodies("DateSent=1970-01-02") == ["day 1"]
    assert await bodies("DateSent%3E=1970-01-02&From=%2B14155550100") == ["day 2", "day 1"]
    assert await bodies("DateSent%3C=1970-01-02") == ["day 1", "day 0"]
    assert await bodies("DateSent%3E=1970-01-02T00:00:01Z&DateSent%3C=1970-01-03") == ["day 2"]
    assert await bodies("To=%2B919191919191&PageSize=2") == ["brand", "not sent yet"]
    await inner.set_account(MAIN, redact_bodies=True)
    assert set(await bodies("")) == {""}
    assert (await ask(inner, "GET", f"/2010-04-01/Accounts/{MAIN}/Messages.json?PageSize=1001")).status == 400


async def test_a_message_is_not_redacted_or_deleted_before_it_is_complete(inner: TwilioStandIn) -> None:
    await inner.plan()
    uri = (await create(inner)).json["uri"]
    for method, form in (("POST", {"Body": ""}), ("DELETE", None)):
        answer = await ask(inner, method, uri, form)
        assert (answer.status, answer.json["code"]) == (409, 20009)

"""`/2010-04-01/Accounts/{AC}/Messages` as Twilio's SDKs use it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import select

from api.twilio.shaped import FORM, basic, call, ok, refusal
from api.twilio.texting import TAKEN, auth_token, create, fetch, path, send, told
from api.world import everything, neighbour
from asgi import ask
from installation import TO, Installation
from messaging.through_gateway import section
from messaging.through_twilio import INDIA, RUSSIA, SENDER, TEXT, policy
from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.services.messages.attempts import settle_attempt
from otpost.services.webhooks.status_callbacks import ERROR_CODES, WORDS
from otpost.store import tables
from otpost.store.kinds import ATTEMPTS, MESSAGE_EXTRAS, MESSAGES, REPORTS
from services.by_hand import NOWHERE, claim

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "twilio-messages.md"
INDIAN, RUSSIAN, MEXICAN = "+919812345678", "+79123456789", "+525512345678"


def written(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at // 1000, UTC))


async def test_a_message_is_answered_whole_and_in_twilios_order_of_statuses(still: Installation) -> None:
    begun = still.clock()
    made = await create(still, {"From": SENDER, "Body": "x" * 161, "SmartEncoded": "true", "Unheard-Of": "1"})
    sid, account = made["sid"], still.tenant.sid
    assert re.fullmatch("SM[0-9a-f]{32}", sid)
    uri = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    assert made == {
        "sid": sid,
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": "x" * 161,
        "num_segments": "2",
        "num_media": "0",
        "direction": "outbound-api",
        "from": SENDER,
        "messaging_service_sid": None,
        "to": TO,
        "status": "queued",
        "date_created": written(begun),
        "date_updated": written(begun),
        "date_sent": None,
        "price": None,
        "price_unit": None,
        "error_code": None,
        "error_message": None,
        "uri": f"{uri}.json",
        "subresource_uris": {"media": f"{uri}/Media.json"},
    }
    assert await fetch(still, sid) == made
    still.clock.advance(5)
    (handover,) = await claim(still)
    assert handover.text.body == "x" * 161
    assert handover.text.valid_for_s == 36_000 - 5
    assert (await fetch(still, sid))["status"] == "sending"
    still.clock.advance(2)
    await still.store.run(settle_attempt(still.context, still.plans, handover, TAKEN))
    taken = await fetch(still, sid)
    assert (taken["status"], taken["date_sent"], taken["body"]) == ("sending", written(begun + 7_000), "x" * 161)
    for seconds, status in ((1, "sent"), (3, "delivered")):
        still.clock.advance(seconds)
        await told(still, handover.attempt.sid, status)
        now = await fetch(still, sid)
        assert (now["status"], now["date_updated"]) == (status, written(still.clock()))
    assert await fetch(still, sid) == {
        **made,
        "body": "",
        "status": "delivered",
        "date_sent": written(begun + 7_000),
        "date_updated": written(still.clock()),
    }


async def test_a_text_by_a_messaging_service_is_accepted_first_and_names_no_sender(still: Installation) -> None:
    made = await create(still, {"To": RUSSIAN})
    assert (made["status"], made["from"], made["messaging_service_sid"]) == ("accepted", None, RUSSIA.origin)
    named = await create(still, {"To": RUSSIAN, "MessagingServiceSid": RUSSIA.origin})
    assert named["messaging_service_sid"] == RUSSIA.origin


async def test_what_went_wrong_has_twilios_number(still: Installation) -> None:
    outcomes: list[tuple[Outcome, str, int | None, ReasonName | None]] = [
        (Refused("invalid_number", "No.", Vendor(http_status=400, code="21211")), "failed", 21211, "invalid_number"),
        (Refused("account_trouble", "No.", Vendor(http_status=403)), "failed", 30002, "account_trouble"),
        (Unavailable("network_trouble", "No.", retry_after_s=40_000), "failed", 20503, "network_trouble"),
        (Unknown("Lost."), "sending", None, None),
    ]
    for outcome, status, code, reason in outcomes:
        sid = (await create(still))["sid"]
        await send(still, outcome)
        now = await fetch(still, sid)
        sentence = None if reason is None else REASONS[reason].for_application
        assert (now["status"], now["error_code"], now["error_message"]) == (status, code, sentence)
        assert now["body"] == ("" if status == "failed" else TEXT)
    sid = (await create(still))["sid"]
    attempt = await send(still)
    await told(still, attempt, "undelivered", "30007", "filtered")
    assert ((await fetch(still, sid))["status"], (await fetch(still, sid))["error_code"]) == ("undelivered", 30007)


def test_every_reason_and_every_status_has_its_word_at_twilio_and_the_page_says_so() -> None:
    page = PAGE.read_text()
    assert dict(re.findall(r"(?m)^\| `(\w+)` \| (\d{5}) \|", page)) == {
        reason: str(code) for reason, code in ERROR_CODES.items()
    }
    assert set(ERROR_CODES) == set(REASONS)
    assert dict(re.findall(r"(?m)^\| `(\w+)` \| `(\w+)` \|", page)) == WORDS


async def test_a_sender_that_the_caller_names_has_to_be_the_policys_own(still: Installation) -> None:
    twilios = path(still)
    for form, wanted in (
        ({"From": "+14155550199"}, (400, 21606)),
        ({"From": SENDER, "To": INDIAN}, (400, 21606)),
        ({"From": SENDER, "To": RUSSIAN}, (400, 21606)),
        ({"From": "MyBrand"}, (400, 21606)),
        ({"From": "not a sender at all"}, (400, 21212)),
        ({"MessagingServiceSid": RUSSIA.origin}, (404, 21701)),
        ({"MessagingServiceSid": RUSSIA.origin, "From": SENDER}, (404, 21701)),
        ({"MessagingServiceSid": "MG1"}, (400, 21705)),
    ):
        assert await refusal(still, "POST", twilios, {"To": TO, "Body": TEXT, **form}) == wanted, form
    answer = await call(still, "POST", twilios, {"To": INDIAN, "Body": TEXT, "From": SENDER})
    assert answer.json()["details"] == {
        "reason": "invalid",
        "detail": f"The sender policy texts this number from {INDIA.origin}; name it or none.",
    }
    assert (await create(still, {"To": INDIAN, "From": "91\\91919-19191"}))["from"] == INDIA.origin
    assert len(await still.store.select(select(tables.messages))) == 1


async def test_a_sender_is_read_as_the_service_that_sends_writes_it(still: Installation) -> None:
    gateway = {**section("https://sms.example.com"), "sender": "GOV.UK"}
    await still.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": gateway})
    headers = {"authorization": basic(still.admin.key.sid, still.admin.secret), "content-type": FORM}
    for sender in ("GOV.UK", " GOV.UK "):
        form = urlencode({"To": TO, "Body": TEXT, "From": sender}).encode()
        # Not judged by Twilio's own description, by which such a name is none.
        made = await ask(still.app, "POST", path(still), headers=headers, body=form)
        assert (made.status, made.json()["from"]) == (201, "GOV.UK")
    for sender, wanted in (("GOV.ie", (400, 21606)), (SENDER, (400, 21606)), ("x" * 65, (400, 21212))):
        assert await refusal(still, "POST", path(still), {"To": TO, "Body": TEXT, "From": sender}) == wanted, sender


async def test_the_sandbox_takes_any_sender_and_says_sent(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    made = await create(otpost, {"From": "+14155550199", "MessagingServiceSid": "MG" + "f" * 32})
    await otpost.message(made["sid"])
    now = await fetch(otpost, made["sid"])
    assert (now["status"], now["from"], now["body"]) == ("sent", "Sandbox", TEXT)
    (text,) = (await otpost.ok("GET", "/v1/sandbox/messages"))["items"]
    assert text["body"] == TEXT


async def test_what_cannot_be_sent_is_refused_with_twilios_number(still: Installation) -> None:
    twilios = path(still)
    for form, wanted in (
        ({"To": ""}, (400, 21211)),
        ({"To": "12"}, (400, 21211)),
        ({"To": "whatsapp:+15005550006"}, (400, 21211)),
        ({"To": "+18005550100"}, (400, 21614)),
        ({"Body": ""}, (400, 21602)),
        ({"Body": " \n"}, (400, 21602)),
        ({"Body": "x" * 1601}, (400, 21617)),
        ({"Body": "a\x07b"}, (400, 21618)),
        ({"ValidityPeriod": "0"}, (400, 21624)),
        ({"ValidityPeriod": "36001"}, (400, 21624)),
        ({"ValidityPeriod": "soon"}, (400, 21624)),
        ({"MediaUrl": "https://shop.example/a.png"}, (400, 21622)),
        ({"ContentSid": "HX" + "a" * 32}, (400, 21655)),
        ({"ContentVariables": "{}"}, (400, 21656)),
        ({"ScheduleType": "fixed"}, (400, 35114)),
        ({"SendAt": "2026-11-30T20:36:27Z"}, (400, 35114)),
        ({"StatusCallback": "ftp://shop.example/"}, (400, 21609)),
        ({"StatusCallback": "https://shop_1.example/"}, (400, 21609)),
        ({"StatusCallback": "https://10.0.0.1/"}, (400, 21609)),
        ({"StatusCallback": "http://169.254.169.254/latest"}, (400, 21609)),
        ({"StatusCallback": "https://user:word@shop.example/"}, (400, 21609)),
        ({"StatusCallback": "https://shop.example/" + "a" * 4_000}, (400, 21609)),
        ({"StatusCallback": "http://127.0.0.1:9/no-token-yet"}, (400, 21609)),
    ):
        assert await refusal(still, "POST", twilios, {"To": TO, "Body": TEXT, **form}) == wanted, form
    assert await refusal(still, "POST", twilios, {"Body": TEXT}) == (400, 21604)
    assert await refusal(still, "POST", twilios, {"To": TO}) == (400, 21602)
    assert await still.store.select(select(tables.messages)) == []
    for given, kept in (("1", 20), ("20", 20), ("59", 59), ("36000", 36_000)):
        await create(still, {"ValidityPeriod": given})
        (handover,) = await claim(still)
        assert handover.text.valid_for_s == kept
    await still.ok("PUT", "/v1/sender-policy", policy(NOWHERE, [INDIA], only_listed_dialing_codes=True))
    assert await refusal(still, "POST", twilios, {"To": MEXICAN, "Body": TEXT}) == (400, 21408)
    await still.ok("PUT", "/v1/sender-policy", {"sender_service": None})
    assert await refusal(still, "POST", twilios, {"To": TO, "Body": TEXT}) == (400, 21603)


async def test_messages_are_listed_by_their_filters_and_paged_by_relative_addresses(still: Installation) -> None:
    sids, begun = [], still.clock()
    for to in (TO, INDIAN, TO, RUSSIAN, TO):
        sids.append((await create(still, {"To": to}))["sid"])
        await send(still, Unknown("x") if to == RUSSIAN else Accepted(Vendor(sid=sids[-1])))
        still.clock.advance(24 * 3600)
    await still.ok("POST", "/v1/verifications", {"to": "+15005550009"})
    address, seen, pages = f"{path(still)}?To={quote(TO)}&PageSize=2", [], []
    while address:
        page = await ok(still, "GET", address)
        pages.append(page)
        seen += [row["sid"] for row in page.pop("messages")]
        address = page["next_page_uri"]
    assert seen == [sids[4], sids[2], sids[0]]
    own = f"{path(still)}?To={quote(TO, safe='')}&PageSize=2"
    token = f"&Page=1&PageToken=PA{sids[2]}"
    back = pages[1]["previous_page_uri"]
    assert pages == [
        {
            "end": 1,
            "first_page_uri": f"{own}&Page=0",
            "next_page_uri": own + token,
            "page": 0,
            "page_size": 2,
            "previous_page_uri": None,
            "start": 0,
            "uri": f"{own}&Page=0",
        },
        {
            "end": 2,
            "first_page_uri": f"{own}&Page=0",
            "next_page_uri": None,
            "page": 1,
            "page_size": 2,
            "previous_page_uri": back,
            "start": 2,
            "uri": own + token,
        },
    ]
    assert [row["sid"] for row in (await ok(still, "GET", back))["messages"]] == [sids[4], sids[2]]

    def day(place: int) -> str:
        return datetime.fromtimestamp((begun + place * 86_400_000) / 1000, UTC).strftime("%Y-%m-%d")

    second = datetime.fromtimestamp((begun + 86_400_000) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for query, places in (
        ("", [4, 3, 2, 1, 0]),
        (f"From={quote(INDIA.origin)}", [1]),
        (f"From={quote(SENDER)}&To={quote(INDIAN)}", []),
        ("To=nobody", []),
        (f"DateSent={day(1)}", [1]),
        (f"DateSent={second}", [1]),
        (f"DateSent%3E={day(2)}", [4, 2]),
        (f"DateSent%3C={day(2)}", [2, 1, 0]),
        (f"DateSent%3C={second}", [0]),
        (f"DateSent%3E={second}&DateSent%3C={day(3)}", [2, 1]),
        # The SDKs write a day as its midnight.
        (f"DateSent={day(1)}T00:00:00Z", [1]),
        (f"DateSent={day(1)}T00:00:00.000%2B00:00", [1]),
        (f"DateSent={day(1)}T00:00:01Z", []),
        (f"DateSent%3C={day(2)}T00:00:00Z", [2, 1, 0]),
        (f"DateSent%3E={day(2)}T00:00:00Z", [4, 2]),
        (f"DateSent%3E={day(1)}&DateSent%3C={day(2)}", [2, 1]),
    ):
        page = await ok(still, "GET", f"{path(still)}?{query}")
        assert [sids.index(row["sid"]) for row in page["messages"]] == places, query
        assert (page["start"], page["end"], page["page_size"]) == (0, max(0, len(places) - 1), 50)
    for query, wanted in (("DateSent=soon", (400, 20422)), ("PageSize=1001", (400, 20007)), ("Page=x", (400, 20422))):
        assert await refusal(still, "GET", f"{path(still)}?{query}") == wanted


async def test_a_text_is_redacted_once_it_is_sent_and_a_message_deleted_with_all_that_is_kept_of_it(
    still: Installation,
) -> None:
    await auth_token(still)
    sid = (await create(still, {"StatusCallback": "http://127.0.0.1:9/told"}))["sid"]
    own = path(still, sid)
    assert await refusal(still, "DELETE", own) == (400, 20009)
    (handover,) = await claim(still)
    assert await refusal(still, "POST", own, {"Body": ""}) == (400, 20009)
    assert await refusal(still, "DELETE", own) == (400, 20009)
    await still.store.run(settle_attempt(still.context, still.plans, handover, TAKEN))
    assert await refusal(still, "DELETE", own) == (400, 20009)
    await told(still, handover.attempt.sid, "sent")
    assert (await fetch(still, sid))["body"] == TEXT
    for form, wanted in (
        ({"Body": "another"}, (400, 20422)),
        ({"Status": "canceled"}, (400, 30409)),
        ({"Status": "sent"}, (400, 20422)),
        ({}, (400, 20001)),
    ):
        assert await refusal(still, "POST", own, form) == wanted, form
    redacted = await ok(still, "POST", own, {"Body": ""})
    assert (redacted["body"], redacted["status"]) == ("", "sent")
    assert await ok(still, "POST", own, {"Body": ""}) == redacted
    row = await still.store.get(MESSAGES, sid)
    assert row is not None
    assert row.body is None
    assert (await call(still, "DELETE", own)).status == 204
    for method in ("GET", "DELETE"):
        assert await refusal(still, method, own) == (404, 20404)
    assert (await ok(still, "GET", path(still)))["messages"] == []
    assert await still.store.get(MESSAGE_EXTRAS, sid) is None
    assert await still.store.find(ATTEMPTS, "message", sid) == []
    assert await still.store.find(REPORTS, "message", sid) == []
    assert TO not in await everything(still)
    lines = await still.store.select(select(tables.audit.c.what, tables.audit.c.detail))
    assert ("message deleted", sid) in lines


async def test_messages_of_others_and_texts_of_verifications_are_not_there(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    sid = (await create(otpost))["sid"]
    verification = await otpost.ok("POST", "/v1/verifications", {"to": INDIAN})
    for theirs in (verification["message"]["sid"], "SM" + "0" * 32, "SM1", "MM" + sid[2:]):
        for method in ("GET", "POST", "DELETE"):
            assert await refusal(otpost, method, path(otpost, theirs), {"Body": ""}) == (404, 20404), (method, theirs)
    other = await neighbour(otpost)
    for account in (other.tenant.sid, "AC" + "0" * 32, "AC1"):
        assert await refusal(otpost, "GET", path(otpost, sid, account)) == (404, 20404)
        assert await refusal(otpost, "POST", path(otpost, "", account), {"To": TO, "Body": TEXT}) == (404, 20404)
        assert await refusal(otpost, "GET", path(otpost, "", account)) == (404, 20404)
    assert await refusal(otpost, "GET", path(otpost, sid, other.tenant.sid), key=other.admin) == (404, 20404)
    assert (await ok(otpost, "GET", path(otpost, "", other.tenant.sid), key=other.admin))["messages"] == []


async def test_a_key_of_an_application_reads_its_own_messages_and_sends_none(still: Installation) -> None:
    sid = (await create(still))["sid"]
    second = await still.ok("POST", "/v1/applications", {"name": "Second"})
    stranger = await still.key("verify", second["sid"])
    assert (await fetch(still, sid, key=still.verify))["body"] == TEXT
    assert [row["sid"] for row in (await ok(still, "GET", path(still), key=still.verify))["messages"]] == [sid]
    assert await refusal(still, "GET", path(still, sid), key=stranger) == (404, 20404)
    assert (await ok(still, "GET", path(still), key=stranger))["messages"] == []
    for method, target in (("POST", path(still)), ("POST", path(still, sid)), ("DELETE", path(still, sid))):
        assert await refusal(still, method, target, {"Body": ""}, key=still.verify) == (403, 20403)


async def test_the_tenants_sid_and_auth_token_are_the_account(still: Installation) -> None:
    account = basic(still.tenant.sid, await auth_token(still))
    made = await create(still, authorization=account)
    assert (await fetch(still, made["sid"], authorization=account))["account_sid"] == still.tenant.sid
    assert await refusal(still, "GET", path(still), authorization=basic(still.tenant.sid, "wrong")) == (401, 20003)


@pytest.mark.parametrize("target", ["/2010-04-01/Accounts/{}/Messages", "/2010-04-01/Accounts/{}/Calls.json"])
async def test_what_twilio_has_and_otpost_has_not_is_not_there(still: Installation, target: str) -> None:
    assert await refusal(still, "GET", target.format(still.tenant.sid)) == (404, 20404)

"""The test-send: nothing but the submitted values, at once, by production's code, and nothing saved."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import BasicAuth, web
from aiohttp.abc import AbstractResolver, ResolveResult
from sqlalchemy import select

from installation import Clock, context_of
from otpost.domain import errors
from otpost.domain.access import Actor
from otpost.domain.outcome import Vendor
from otpost.outbound import Outbound
from otpost.services.context import Context
from otpost.services.keyring import KeyRing
from otpost.services.policy import revisions as policy
from otpost.services.policy.draft import read
from otpost.services.policy.sandbox import list_inbox
from otpost.services.policy.test_send import SendResult, send_test
from otpost.store import columns, tables
from otpost.store.base import Store
from otpost.store.kinds import AUDIT, POLICIES

NOW = 1_800_000_000_000
TENANT = "AC" + "7" * 32
ADA = Actor(TENANT, "user", "US" + "1" * 32, "ada")
KEY = Actor(TENANT, "key", "SK" + "1" * 32, "key deploy")
MAIN, INDIA = "AC" + "a" * 32, "AC" + "b" * 32
MARK, TEXT = "tok3n-that-nobody-may-see", "a text that nobody may keep"
SENT = "SM" + "5" * 32


class Gateway:
    """Speaks enough of Twilio's Messages API to take a text: keeps what it was asked, answers what it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, dict[str, str]]] = []
        self.status = 201
        self.said: dict[str, Any] = {"sid": SENT, "status": "queued"}
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        login = BasicAuth.decode(request.headers["Authorization"])
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((request.path, login.login, login.password, form))
        return web.json_response(self.said, status=self.status)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    served = Gateway()
    app = web.Application()
    app.router.add_post("/2010-04-01/Accounts/{account}/Messages.json", served.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[Outbound]:
    outbound = Outbound(allow=[ip_network("127.0.0.0/8")])
    yield outbound
    await outbound.close()


@pytest.fixture
def context(store: Store) -> Context:
    return context_of(store, Clock(NOW), KeyRing({"k1": b"1" * 32}))


def twilio(url: str, **changed: object) -> dict[str, Any]:
    return {
        "account_sid": MAIN,
        "auth_token": f"{MARK}-main",
        "sender_phone": "+15005550006",
        "api_url": url,
        "subaccounts": [
            {
                "dialing_code": "+91",
                "account_sid": INDIA,
                "auth_token": f"{MARK}-india",
                "sender_phone": "+919191919191",
            }
        ],
        **changed,
    }


def asked(url: str, to: str = "+4915112345678", **changed: object) -> dict[str, Any]:
    return {"policy": {"sender_service": "twilio", "twilio": twilio(url, **changed)}, "to": to, "message": TEXT}


async def everything(context: Context) -> str:
    return "\n".join([repr(await context.store.select(select(table))) for table in columns.metadata.sorted_tables])


async def refused(context: Context, http: Outbound, sent: object) -> dict[str, str]:
    """The fields for which a test is refused, with their codes; it leaves nothing behind."""
    before = await everything(context)
    with pytest.raises(errors.Invalid) as refusal:
        await send_test(context, http, ADA, sent)
    assert await everything(context) == before
    return {error.field: error.code for error in refusal.value.errors}


async def test_the_main_account_sends_at_once_with_the_submitted_values(context, http, gateway):
    tried = await send_test(context, http, ADA, asked(gateway.url))
    assert gateway.asked == [
        (
            f"/2010-04-01/Accounts/{MAIN}/Messages.json",
            MAIN,
            f"{MARK}-main",
            {"To": "+4915112345678", "From": "+15005550006", "Body": TEXT, "ValidityPeriod": "600"},
        )
    ]
    assert tried == SendResult(
        outcome="accepted",
        service="twilio",
        account_sid=MAIN,
        origin="+15005550006",
        reason=tried.reason,
        vendor=Vendor(http_status=201, sid=SENT, status="queued"),
        link=None,
        field=None,
        duration_ms=0,
    )
    assert "main account" in tried.reason


async def test_the_subaccount_that_the_number_chooses_sends_and_needs_no_other_token(context, http, gateway):
    tried = await send_test(context, http, ADA, asked(gateway.url, to="+91 98765 43210", auth_token=None))
    ((path, login, password, form),) = gateway.asked
    assert (path, login) == (f"/2010-04-01/Accounts/{INDIA}/Messages.json", INDIA)
    assert (password, form["From"]) == (f"{MARK}-india", "+919191919191")
    assert (tried.outcome, tried.account_sid, tried.origin) == ("accepted", INDIA, "+919191919191")


async def test_with_copilot_on_the_messaging_service_sends(context, http, gateway):
    service = "MG" + "d" * 32
    tried = await send_test(context, http, ADA, asked(gateway.url, use_copilot=True, service_sid=service))
    ((_, _, _, form),) = gateway.asked
    assert (form["MessagingServiceSid"], form.get("From"), tried.origin) == (service, None, service)


@pytest.mark.parametrize("blank", [None, "", " "])
async def test_the_token_of_the_account_that_would_send_is_needed(context, http, gateway, blank):
    assert await refused(context, http, asked(gateway.url, auth_token=blank)) == {
        "policy.twilio.auth_token": "token_required"
    }
    rows = [{**twilio("")["subaccounts"][0], "auth_token": blank}]
    assert await refused(context, http, asked(gateway.url, to="+919876543210", subaccounts=rows)) == {
        "policy.twilio.subaccounts[0].auth_token": "token_required"
    }
    assert gateway.asked == []


async def test_a_stored_token_is_not_used(context, http, gateway):
    saved = await context.store.run(policy.save(context, ADA, read(asked(gateway.url)["policy"])))
    sent = {"policy": saved.shown, "to": "+4915112345678", "message": TEXT}
    assert await refused(context, http, sent) == {"policy.twilio.auth_token": "token_required"}


async def test_a_test_saves_nothing_of_the_policy_and_leaves_an_audit_line(context, http, gateway):
    await send_test(context, http, ADA, asked(gateway.url))
    rows = await everything(context)
    assert await context.store.get(POLICIES, TENANT) is None
    assert MARK not in rows
    assert TEXT not in rows
    assert "+4915112345678" not in rows
    ((_, _, at, who, what, detail, _),) = await context.store.select(select(AUDIT.table))
    assert (at, who, what) == (NOW, "ada", "sender policy tested")
    assert detail == f"twilio {MAIN} to +49••••••••678"


async def test_a_refusal_has_the_vendors_words_code_and_link_and_our_sentence(context, http, gateway):
    gateway.status = 400
    gateway.said = {"code": 21606, "message": "The From phone number is not valid", "status": 400}
    tried = await send_test(context, http, ADA, asked(gateway.url))
    assert (tried.outcome, tried.vendor.http_status, tried.vendor.code) == ("refused", 400, "21606")
    assert tried.vendor.message == "The From phone number is not valid"
    assert tried.link == "https://www.twilio.com/docs/api/errors/21606"
    assert tried.field == "policy.twilio.sender_phone"
    assert tried.reason
    assert MARK not in repr(tried)


async def test_no_answer_is_an_outcome_too(context, http, gateway):
    gateway.status = 503
    assert (await send_test(context, http, ADA, asked(gateway.url))).outcome == "unknown"
    gateway.status = 429
    assert (await send_test(context, http, ADA, asked(gateway.url))).outcome == "unavailable"


async def test_all_that_is_lacking_is_named_at_once(context, http):
    assert await refused(context, http, {}) == {"policy": "required", "to": "required", "message": "required"}
    assert await refused(context, http, []) == {"": "invalid"}
    assert await refused(
        context, http, {"policy": {"sender_service": None}, "to": "12", "message": " ", "from": ""}
    ) == {
        "from": "unknown_field",
        "policy.sender_service": "required",
        "to": "invalid_number",
        "message": "required",
    }
    assert await refused(
        context, http, {"policy": {"sender_service": "twilio"}, "to": "+4915112345678", "message": "x"}
    ) == {
        "policy.twilio.account_sid": "required",
        "policy.twilio.sender_phone": "required",
        "policy.twilio.auth_token": "token_required",
    }


@pytest.mark.parametrize(
    ("message", "code"), [("x" * 1601, "text_too_long"), ("bell \a", "invalid"), (7, "invalid"), (None, "required")]
)
async def test_the_message_is_a_text_of_at_most_1600_characters(context, http, gateway, message, code):
    assert await refused(context, http, {**asked(gateway.url), "message": message}) == {"message": code}
    await send_test(context, http, ADA, {**asked(gateway.url), "message": "x" * 1600})


async def test_a_number_that_the_policy_refuses_is_refused_at_its_field(context, http, gateway):
    sent = asked(gateway.url, only_listed_dialing_codes=True)
    assert await refused(context, http, sent) == {"to": "dialing_code_refused"}


async def test_a_url_that_the_outbound_guard_refuses_is_named_at_its_field(context, gateway):
    closed = Outbound()
    assert await refused(context, closed, asked(gateway.url)) == {"policy.twilio.api_url": "invalid"}
    assert gateway.asked == []
    await closed.close()


class Turning(AbstractResolver):
    """Leads to a public address when it is asked first, and to the loopback interface from then on."""

    def __init__(self) -> None:
        self.addresses = ["93.184.215.14"]

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        address = self.addresses.pop() if self.addresses else "127.0.0.1"
        return [ResolveResult(hostname=host, host=address, port=port, family=2, proto=0, flags=0)]

    async def close(self) -> None:
        return None


async def test_a_name_that_leads_elsewhere_when_it_is_called_is_refused_at_its_field(context, gateway):
    outbound = Outbound(resolver=Turning())
    port = gateway.url.rpartition(":")[2]
    with pytest.raises(errors.Invalid) as refusal:
        await send_test(context, outbound, ADA, asked(f"https://sms.example.com:{port}"))
    assert [(error.field, error.code) for error in refusal.value.errors] == [("policy.twilio.api_url", "invalid")]
    assert gateway.asked == []
    await outbound.close()


async def test_ten_tests_a_minute_for_each_key_or_user(context, http, gateway):
    for _ in range(10):
        await send_test(context, http, ADA, asked(gateway.url))
    with pytest.raises(errors.TestsReached) as refusal:
        await send_test(context, http, ADA, asked(gateway.url))
    assert (refusal.value.code, refusal.value.retry_at) == ("tests_reached", NOW + 60_000)
    assert len(gateway.asked) == 10
    await send_test(context, http, KEY, asked(gateway.url))
    await send_test(dataclasses.replace(context, clock=Clock(NOW + 60_000)), http, ADA, asked(gateway.url))
    assert len(gateway.asked) == 12


async def test_tests_at_the_same_time_share_the_limit(context, http, gateway):
    tried = await asyncio.gather(
        *(send_test(context, http, ADA, asked(gateway.url)) for _ in range(14)), return_exceptions=True
    )
    assert sum(isinstance(one, errors.TestsReached) for one in tried) == 4
    assert len(gateway.asked) == 10


async def test_the_sandbox_shows_the_text_where_it_is_the_saved_choice_as_well(context, http):
    sent = {"policy": {"sender_service": "sandbox", "sandbox": {}}, "to": "+4915112345678", "message": TEXT}
    tried = await send_test(context, http, ADA, sent)
    assert (tried.outcome, tried.service) == ("accepted", "sandbox")
    assert await context.store.select(select(tables.sandbox_texts)) == []
    await context.store.run(policy.save(context, ADA, read(sent["policy"])))
    await send_test(context, http, ADA, sent)
    page = await list_inbox(context, TENANT, to=None, limit=10, cursor=None)
    assert [(row.text.to, row.body) for row in page.rows] == [("+4915112345678", TEXT)]
    assert TEXT not in await everything(context)

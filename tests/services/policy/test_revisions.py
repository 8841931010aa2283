"""What a Save takes and refuses, what becomes of the secrets, revisions, Restore and the route, on both databases."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from installation import Clock, context_of
from otpost.domain.access import Actor
from otpost.domain.errors import Invalid, NotFound, RevisionConflict, SenderPolicyIncomplete
from otpost.domain.message import SandboxText
from otpost.domain.phone import parse_recipient
from otpost.domain.policy import NoRoute, Policy, Route, StoredSecret
from otpost.outbound import Outbound
from otpost.senders.registry import find_services
from otpost.services.context import Context
from otpost.services.keyring import KeyRing
from otpost.services.policy import plan
from otpost.services.policy import revisions as policy
from otpost.services.policy.draft import read, restored, url_errors
from otpost.services.policy.plan import Plans
from otpost.services.policy.read import list_revisions
from otpost.services.policy.revisions import Saved
from otpost.services.policy.routes import explain_saved_route
from otpost.store import columns, tables
from otpost.store.base import Store
from otpost.store.kinds import POLICIES, SANDBOX_TEXTS, SECRETS
from otpost.store.units import Unit

NOW = 1_800_000_000_000
TENANT, OTHER_TENANT = "AC" + "7" * 32, "AC" + "8" * 32
ADA = Actor(TENANT, "user", "US" + "1" * 32, "ada")
MAIN, INDIA, FRANCE = "AC" + "a" * 32, "AC" + "b" * 32, "AC" + "c" * 32
SERVICE = "MG" + "d" * 32
MARK = "tok3n-that-nobody-may-see"
MESSAGEBIRD = {"access_key": f"{MARK}-bird", "originator": "MyBrand"}
INDIAN = {"dialing_code": "+91", "account_sid": INDIA, "auth_token": f"{MARK}-india", "sender_phone": "+919191919191"}


@pytest.fixture
def context(store: Store) -> Context:
    return context_of(store, Clock(NOW), KeyRing({"k1": b"1" * 32}))


def at(context: Context, now: int) -> Context:
    """The same house at another moment."""
    return dataclasses.replace(context, clock=Clock(now))


def twilio(**changed: object) -> dict[str, Any]:
    """A complete section with one subaccount; None takes a field out."""
    section = {
        "account_sid": MAIN,
        "auth_token": f"{MARK}-main",
        "use_copilot": False,
        "service_sid": "",
        "sender_phone": "+15005550006",
        "api_url": "https://api.twilio.com",
        "subaccounts": [dict(INDIAN)],
        "subaccount_falls_back": False,
        "only_listed_dialing_codes": False,
    }
    return {name: value for name, value in {**section, **changed}.items() if value is not None}


def body(**changed: object) -> dict[str, Any]:
    return {"sender_service": "twilio", "fallback": [], "twilio": twilio(**changed)}


async def put(context: Context, sent: object, actor: Actor = ADA) -> Saved:
    return await context.store.run(policy.save(context, actor, read(sent)))


async def refused(context: Context, sent: object) -> dict[str, str]:
    """The fields that keep a Save from being taken, with their codes; nothing may have changed."""
    before = await everything(context)
    with pytest.raises(Invalid) as refusal:
        await put(context, sent)
    assert await everything(context) == before
    return codes(refusal.value)


def codes(refusal: Invalid) -> dict[str, str]:
    return {error.field: error.code for error in refusal.errors}


async def everything(context: Context) -> str:
    """All rows of all tables as text."""
    return "\n".join([repr(await context.store.select(select(table))) for table in columns.metadata.sorted_tables])


async def stored(context: Context) -> dict[str, str]:
    """The secrets in force, by field and owner."""
    rows = [row for row in await context.store.find(SECRETS, "tenant", TENANT) if row.retired_at is None]
    return {f"{row.field} {row.owner}": plan.opened(context, row).reveal() for row in rows}


async def retired(context: Context) -> list[StoredSecret]:
    return [row for row in await context.store.find(SECRETS, "tenant", TENANT) if row.retired_at is not None]


def without_tokens(section: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in section.items() if name != "auth_token"}
    rows = [{name: value for name, value in row.items() if name != "auth_token"} for row in section["subaccounts"]]
    return {**kept, "subaccounts": rows}


# Reading


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"sender": "twilio"}, {"sender": "unknown_field"}),
        ({"sender_service": "carrier-pigeon"}, {"sender_service": "invalid"}),
        ({"sender_service": 7}, {"sender_service": "invalid"}),
        ({"fallback": "twilio"}, {"fallback": "invalid"}),
        ({"fallback": None}, {"fallback": "invalid"}),
        ({"fallback": ["sandbox"]}, {"fallback[0]": "invalid"}),
        ({"fallback": ["twilio", "nobody", 3]}, {"fallback[1]": "invalid", "fallback[2]": "invalid"}),
        ({"fallback": ["twilio", "twilio"]}, {"fallback[1]": "duplicate"}),
        ({"sender_service": "twilio", "fallback": ["twilio"]}, {"fallback[0]": "invalid"}),
        ({"revision": "7"}, {"revision": "invalid"}),
        ({"revision": True}, {"revision": "invalid"}),
        ({"twilio": None}, {"twilio": "invalid"}),
        ({"twilio": {"acount_sid": MAIN}}, {"twilio.acount_sid": "unknown_field"}),
        ({"twilio": {"subaccounts": [{}, {"account_sid": "AC1"}]}}, {"twilio.subaccounts[1].account_sid": "invalid"}),
        ({"twilio": {"auth_token": "  "}}, {"twilio.auth_token": "token_required"}),
        (["twilio"], {"": "invalid"}),
    ],
)
def test_a_mistake_is_named_with_its_path(sent, expected):
    with pytest.raises(Invalid) as refusal:
        read(sent)
    assert codes(refusal.value) == expected


def test_all_mistakes_are_reported_at_once_and_under_the_path_of_what_was_sent():
    sent = {
        "sender_service": "nobody",
        "fallback": ["sandbox"],
        "twilio": {"account_sid": "34 characters", "subaccounts": [{"dialing_code": "+999"}]},
        "extra": 1,
    }
    with pytest.raises(Invalid) as refusal:
        read(sent, "policy")
    assert codes(refusal.value) == {
        "policy.extra": "unknown_field",
        "policy.sender_service": "invalid",
        "policy.fallback[0]": "invalid",
        "policy.twilio.account_sid": "invalid",
        "policy.twilio.subaccounts[0].dialing_code": "invalid_number",
    }
    assert refusal.value.detail.startswith("5 fields are wrong: ")


async def test_a_url_that_the_outbound_guard_refuses_is_named_at_its_field():
    outbound = Outbound(allow=[ip_network("127.0.0.2/32")])
    inside, allowed = read(body(api_url="https://127.0.0.1:8443")), read(body(api_url="http://127.0.0.2:8080"))
    (error,) = await url_errors(outbound, inside)
    assert (error.field, error.code) == ("twilio.api_url", "invalid")
    assert "127.0.0.1" in error.message
    assert await url_errors(outbound, allowed) == []
    await outbound.close()


# Showing


async def test_a_new_tenant_has_no_service_and_revision_0(context):
    shown = await policy.shown(context, TENANT)
    assert list(shown)[:3] == ["sender_service", "revision", "fallback"]
    assert (shown["sender_service"], shown["revision"], shown["fallback"]) == (None, 0, [])
    assert shown["twilio"]["api_url"] == "https://api.twilio.com"
    assert (shown["twilio"]["auth_token"], shown["twilio"]["auth_token_set"]) == (None, False)
    assert shown["sandbox"] == {}
    with pytest.raises(SenderPolicyIncomplete):
        await explain_saved_route(context, TENANT, parse_recipient("+919876543210"))


async def test_a_new_tenants_policy_can_be_sent_back_as_it_is(context):
    saved = await put(context, await policy.shown(context, TENANT))
    assert (saved.policy.revision, saved.policy.incomplete, saved.changes) == (1, True, ())


async def test_secrets_are_shown_as_null_with_whether_they_are_set(context):
    saved = await put(context, body())
    assert await policy.shown(context, TENANT) == saved.shown
    others = {name for name in find_services() if name not in ("twilio", "sandbox")}
    assert {name: value for name, value in saved.shown.items() if name not in others} == {
        "sender_service": "twilio",
        "revision": 1,
        "fallback": [],
        "failover_after_s": None,
        "rates": [],
        "twilio": {
            "account_sid": MAIN,
            "auth_token": None,
            "auth_token_set": True,
            "use_copilot": False,
            "service_sid": "",
            "sender_phone": "+15005550006",
            "api_url": "https://api.twilio.com",
            "subaccounts": [
                {
                    "dialing_code": "+91",
                    "account_sid": INDIA,
                    "auth_token": None,
                    "auth_token_set": True,
                    "sender_phone": "+919191919191",
                    "service_sid": "",
                }
            ],
            "subaccount_falls_back": False,
            "only_listed_dialing_codes": False,
        },
        "sandbox": {},
    }


# Saving


async def test_a_complete_policy_is_saved_as_revision_1_and_is_ready(context):
    saved = await put(context, body())
    assert (saved.policy.revision, saved.policy.sender_service, saved.policy.incomplete) == (1, "twilio", False)
    assert await stored(context) == {f"auth_token {MAIN}": f"{MARK}-main", f"auth_token {INDIA}": f"{MARK}-india"}
    assert await context.store.get(POLICIES, TENANT) == saved.policy


async def test_a_get_answer_can_be_sent_back_as_it_is(context):
    first = await put(context, body())
    again = await put(context, first.shown)
    assert again.shown == {**first.shown, "revision": 2}
    assert again.changes == ()
    assert await stored(context) == {f"auth_token {MAIN}": f"{MARK}-main", f"auth_token {INDIA}": f"{MARK}-india"}
    assert await retired(context) == []


async def test_another_than_the_current_revision_is_a_conflict_and_none_saves_over_what_is_there(context):
    await put(context, {**body(), "revision": 0})
    with pytest.raises(RevisionConflict):
        await put(context, {**body(), "revision": 0})
    assert (await put(context, body())).policy.revision == 2


async def test_what_a_put_does_not_bring_is_left_alone(context):
    await put(context, body())
    saved = await put(context, {"sender_service": "sandbox"})
    assert saved.policy.sender_service == "sandbox"
    assert saved.shown["twilio"]["account_sid"] == MAIN
    assert saved.shown["twilio"]["auth_token_set"] is True
    back = await put(context, {"sender_service": "twilio"})
    assert (back.policy.sender_service, back.policy.incomplete) == ("twilio", False)
    kept = await put(context, {"twilio": without_tokens(twilio(sender_phone="+15005550001"))})
    assert kept.policy.sender_service == "twilio"


async def test_absent_fields_of_a_section_take_their_defaults(context):
    await put(context, body(use_copilot=True, service_sid=SERVICE, only_listed_dialing_codes=True))
    saved = await put(context, body())
    assert (saved.shown["twilio"]["use_copilot"], saved.shown["twilio"]["service_sid"]) == (False, "")
    least = {"twilio": {"account_sid": MAIN, "sender_phone": "+15005550006"}}
    assert (await put(context, least)).shown["twilio"]["subaccounts"] == []


async def test_null_chooses_no_service(context):
    await put(context, body())
    saved = await put(context, {"sender_service": None})
    assert (saved.policy.sender_service, saved.policy.incomplete) == (None, True)
    with pytest.raises(SenderPolicyIncomplete):
        await explain_saved_route(context, TENANT, parse_recipient("+919876543210"))


async def test_the_chosen_service_must_be_complete(context):
    assert await refused(context, {"sender_service": "twilio"}) == {
        "twilio.account_sid": "required",
        "twilio.sender_phone": "required",
        "twilio.auth_token": "token_required",
    }
    rows = [{"dialing_code": "+91"}, {"dialing_code": "+33", "account_sid": FRANCE, "sender_phone": "+33612345678"}]
    assert await refused(context, body(subaccounts=rows)) == {
        "twilio.subaccounts[0].account_sid": "required",
        "twilio.subaccounts[0].sender_phone": "required",
        "twilio.subaccounts[0].auth_token": "token_required",
        "twilio.subaccounts[1].auth_token": "token_required",
    }


async def test_a_service_that_is_not_in_use_may_be_unfinished(context):
    saved = await put(context, {"sender_service": "sandbox", "twilio": {"account_sid": MAIN}})
    assert saved.policy.incomplete is False
    assert await refused(context, {"sender_service": "twilio"}) == {
        "twilio.sender_phone": "required",
        "twilio.auth_token": "token_required",
    }


async def test_a_fallback_must_be_complete_as_well(context):
    assert await refused(context, {"sender_service": "sandbox", "fallback": ["twilio"]}) == {
        "twilio.account_sid": "required",
        "twilio.sender_phone": "required",
        "twilio.auth_token": "token_required",
    }
    saved = await put(context, {**body(), "sender_service": "sandbox", "fallback": ["twilio"]})
    assert saved.policy.fallback == ("twilio",)


async def test_a_fallback_cannot_be_chosen_before_it_is_taken_out(context):
    await put(context, {**body(), "sender_service": "sandbox", "fallback": ["twilio"]})
    assert await refused(context, {"sender_service": "twilio"}) == {"sender_service": "invalid"}
    assert (await put(context, {"sender_service": "twilio", "fallback": []})).policy.sender_service == "twilio"
    assert await refused(context, {"fallback": ["twilio"]}) == {"fallback[0]": "invalid"}


# Secrets


@pytest.mark.parametrize("nothing", [{}, {"auth_token": None}, {"auth_token": ""}, {"auth_token_set": True}])
async def test_an_absent_null_or_empty_token_keeps_the_stored_one(context, nothing):
    await put(context, body())
    section = without_tokens(twilio())
    section["subaccounts"][0].update(nothing)
    saved = await put(context, {"twilio": {**section, **nothing}})
    assert saved.policy.incomplete is False
    assert await stored(context) == {f"auth_token {MAIN}": f"{MARK}-main", f"auth_token {INDIA}": f"{MARK}-india"}


async def test_a_typed_token_replaces_the_stored_one_which_still_proves_reports(context):
    await put(context, body())
    later = at(context, NOW + 5_000)
    saved = await put(later, body(auth_token=f"{MARK}-new", subaccounts=[{**INDIAN, "auth_token": None}]))
    assert saved.changes == ("Twilio: Authentication token: changed",)
    assert await stored(context) == {f"auth_token {MAIN}": f"{MARK}-new", f"auth_token {INDIA}": f"{MARK}-india"}
    (old,) = await retired(context)
    assert (old.owner, old.retired_at, plan.opened(context, old).reveal()) == (MAIN, NOW + 5_000, f"{MARK}-main")
    proving = await context.store.run(Unit(lambda rows: Plans(context).tokens_of(rows, TENANT, "twilio")))
    assert {secret.reveal() for secret in proving[MAIN]} == {f"{MARK}-main", f"{MARK}-new"}


async def test_a_token_typed_for_one_row_serves_every_row_of_its_account(context):
    rows = [dict(INDIAN), {**INDIAN, "dialing_code": "+92", "auth_token": None}]
    saved = await put(context, body(subaccounts=rows))
    assert [row["auth_token_set"] for row in saved.shown["twilio"]["subaccounts"]] == [True, True]
    assert len(await context.store.find(SECRETS, "tenant", TENANT)) == 2


async def test_a_row_keeps_its_token_by_its_account_wherever_it_stands(context):
    await put(context, body())
    rows = [{**INDIAN, "dialing_code": "+33", "account_sid": FRANCE, "auth_token": "french"}, {**INDIAN}]
    del rows[1]["auth_token"]
    rows[1]["dialing_code"] = "+9180"
    saved = await put(context, {"twilio": {**without_tokens(twilio()), "subaccounts": rows}})
    assert [row["auth_token_set"] for row in saved.shown["twilio"]["subaccounts"]] == [True, True]
    assert (await stored(context))[f"auth_token {INDIA}"] == f"{MARK}-india"


async def test_a_removed_row_takes_its_token_out_of_force(context):
    await put(context, body())
    saved = await put(context, {"twilio": {**without_tokens(twilio()), "subaccounts": []}})
    assert saved.changes == ("Twilio: Subaccount +91: removed",)
    assert await stored(context) == {f"auth_token {MAIN}": f"{MARK}-main"}
    assert [secret.owner for secret in await retired(context)] == [INDIA]
    assert await refused(context, {"twilio": without_tokens(twilio())}) == {
        "twilio.subaccounts[0].auth_token": "token_required"
    }


@pytest.mark.parametrize("claimed", [{}, {"auth_token_set": True}, {"auth_token_set": False}])
async def test_a_changed_account_without_its_token_is_refused(context, claimed):
    await put(context, body())
    assert await refused(context, {"twilio": {**without_tokens(twilio()), "account_sid": FRANCE, **claimed}}) == {
        "twilio.auth_token": "token_required"
    }
    row = {**without_tokens(twilio())["subaccounts"][0], "account_sid": FRANCE, **claimed}
    assert await refused(context, {"twilio": {**without_tokens(twilio()), "subaccounts": [row]}}) == {
        "twilio.subaccounts[0].auth_token": "token_required"
    }


@pytest.mark.parametrize(
    "url", ["http://api.twilio.com", "https://api.dublin.ie1.twilio.com", "https://api.twilio.com:8443"]
)
async def test_another_scheme_host_or_port_without_every_token_is_refused(context, url):
    await put(context, body())
    assert await refused(context, {"twilio": {**without_tokens(twilio()), "api_url": url}}) == {
        "twilio.auth_token": "token_required",
        "twilio.subaccounts[0].auth_token": "token_required",
    }
    saved = await put(context, body(api_url=url))
    assert saved.policy.incomplete is False
    assert len(await retired(context)) == 2


async def test_another_path_of_the_same_host_keeps_the_tokens(context):
    await put(context, body())
    saved = await put(context, {"twilio": {**without_tokens(twilio()), "api_url": "https://API.twilio.com:443/edge"}})
    assert saved.shown["twilio"]["auth_token_set"] is True


async def test_a_changed_account_is_refused_in_a_service_that_is_not_in_use_as_well(context):
    await put(context, {**body(), "sender_service": "sandbox"})
    moved = {**without_tokens(twilio()), "account_sid": FRANCE}
    assert await refused(context, {"twilio": moved}) == {"twilio.auth_token": "token_required"}
    assert await refused(context, {"twilio": {**moved, "auth_token_set": True}}) == {
        "twilio.auth_token": "token_required"
    }
    saved = await put(context, {"twilio": {**moved, "auth_token_set": False}})
    assert saved.shown["twilio"]["auth_token_set"] is False
    assert [secret.owner for secret in await retired(context)] == [MAIN]


async def test_a_service_that_is_not_in_use_can_be_emptied(context):
    await put(context, {**body(), "sender_service": "sandbox"})
    saved = await put(context, {"twilio": {}})
    assert saved.shown["twilio"] == (await policy.shown(context, OTHER_TENANT))["twilio"]
    assert await stored(context) == {}


async def test_a_token_that_is_said_to_be_set_and_is_not_stored_is_refused(context):
    sent = {"sender_service": "sandbox", "twilio": {"account_sid": MAIN, "auth_token_set": True}}
    assert await refused(context, sent) == {"twilio.auth_token": "token_required"}


@pytest.mark.parametrize("said", [{}, {"auth_token": None}, {"auth_token": ""}, {"auth_token_set": False}])
async def test_a_chosen_service_without_any_token_is_refused_whatever_is_said_of_it(context, said):
    section = {"account_sid": MAIN, "sender_phone": "+15005550006", **said}
    assert await refused(context, {"sender_service": "twilio", "twilio": section}) == {
        "twilio.auth_token": "token_required"
    }


async def test_clearing_a_token_of_the_chosen_service_leaves_the_policy_incomplete(context):
    await put(context, body())
    cleared = await put(context, {"twilio": {**without_tokens(twilio()), "auth_token_set": False}})
    assert cleared.policy.incomplete is True
    assert cleared.changes == ("Twilio: Authentication token: cleared",)
    assert cleared.shown["twilio"]["auth_token_set"] is False
    assert await stored(context) == {f"auth_token {INDIA}": f"{MARK}-india"}
    with pytest.raises(SenderPolicyIncomplete, match="Nothing can be sent: Twilio lacks Authentication"):
        await explain_saved_route(context, TENANT, parse_recipient("+15005550006"))


async def test_a_policy_whose_token_was_cleared_can_be_sent_back_as_it_is(context):
    await put(context, body())
    cleared = await put(context, {"twilio": {**without_tokens(twilio()), "auth_token_set": False}})
    again = await put(context, cleared.shown)
    assert (again.policy.incomplete, again.changes) == (True, ())
    assert (await put(context, {"fallback": []})).policy.incomplete is True
    assert await refused(context, {"twilio": without_tokens(twilio())}) == {"twilio.auth_token": "token_required"}
    moved = {**again.shown["twilio"], "account_sid": FRANCE}
    assert await refused(context, {"twilio": moved}) == {"twilio.auth_token": "token_required"}
    whole = await put(context, {"twilio": {**again.shown["twilio"], "auth_token": "typed again"}})
    assert whole.policy.incomplete is False


async def test_a_service_whose_token_was_cleared_cannot_be_chosen_anew_without_it(context):
    await put(context, body())
    cleared = await put(context, {"twilio": {**without_tokens(twilio()), "auth_token_set": False}})
    await put(context, {"sender_service": "sandbox"})
    assert await refused(context, {"sender_service": "twilio"}) == {"twilio.auth_token": "token_required"}
    assert await refused(context, {**cleared.shown, "revision": None}) == {"twilio.auth_token": "token_required"}


async def test_a_cleared_row_of_the_chosen_service_leaves_the_policy_incomplete(context):
    await put(context, body())
    section = without_tokens(twilio())
    section["subaccounts"][0]["auth_token_set"] = False
    saved = await put(context, {"twilio": section})
    assert saved.policy.incomplete is True
    assert saved.changes == ("Twilio: Subaccount +91: Subaccount Auth Token: cleared",)


async def test_a_typed_token_counts_before_its_clearing(context):
    await put(context, body())
    saved = await put(context, body(auth_token_set=False, auth_token="typed"))
    assert (saved.policy.incomplete, (await stored(context))[f"auth_token {MAIN}"]) == (False, "typed")


async def test_no_secret_is_in_any_table_answer_revision_or_audit_line(context):
    saved = await put(context, body())
    await put(context, body(auth_token=f"{MARK}-2", subaccounts=[]))
    listed = await list_revisions(context, TENANT, limit=10, cursor=None)
    for text in (await everything(context), repr(saved), str(saved.shown), repr(listed), repr(read(body()))):
        assert MARK not in text
    assert MARK not in msgspec.json.encode([saved, listed]).decode()


async def test_a_tenants_policy_and_tokens_are_its_own(context):
    await put(context, body())
    other = Actor(OTHER_TENANT, "key", "SK" + "1" * 32, "key other")
    untouched = await stored(context)
    with pytest.raises(Invalid):
        await put(context, {"sender_service": "twilio", "twilio": without_tokens(twilio())}, other)
    await put(context, body(auth_token="theirs"), other)
    assert await stored(context) == untouched
    assert (await policy.shown(context, OTHER_TENANT))["revision"] == 1


# Revisions


async def test_each_save_is_a_revision_that_says_who_when_and_what(context):
    await put(context, {"sender_service": "sandbox"})
    await put(at(context, NOW + 1), body())
    await put(
        at(context, NOW + 2),
        body(sender_phone="+15005550001", auth_token="new", subaccounts=[{**INDIAN, "sender_phone": "MyBrand"}]),
    )
    page = await list_revisions(context, TENANT, limit=10, cursor=None)
    assert [(row.number, row.at, row.who, row.sender_service) for row in page.rows] == [
        (3, NOW + 2, "ada", "twilio"),
        (2, NOW + 1, "ada", "twilio"),
        (1, NOW, "ada", "sandbox"),
    ]
    assert page.rows[0].changes == (
        "Twilio: Sender phone: +15005550006 → +15005550001",
        "Twilio: Subaccount +91, Sender Phone: +919191919191 → MyBrand",
        "Twilio: Authentication token: changed",
        "Twilio: Subaccount +91: Subaccount Auth Token: changed",
    )
    assert page.rows[1].changes == (
        "Sender service: Sandbox → Twilio",
        f"Twilio: Account sid: empty → {MAIN}",
        "Twilio: Sender phone: empty → +15005550006",
        "Twilio: Subaccount +91: added",
        "Twilio: Authentication token: changed",
        "Twilio: Subaccount +91: Subaccount Auth Token: changed",
    )
    assert page.rows[2].changes == ("Sender service: none → Sandbox",)


async def test_revisions_come_in_pages(context):
    for _ in range(3):
        await put(context, {"sender_service": "sandbox"})
    first = await list_revisions(context, TENANT, limit=2, cursor=None)
    rest = await list_revisions(context, TENANT, limit=2, cursor=first.next)
    assert ([row.number for row in first.rows], first.next) == ([3, 2], "2")
    assert ([row.number for row in rest.rows], rest.next) == ([1], None)
    with pytest.raises(Invalid):
        await list_revisions(context, TENANT, limit=2, cursor="x")


async def test_each_save_leaves_an_audit_line(context):
    await put(context, body())
    ((_, tenant, moment, who, what, detail, *_),) = await context.store.select(select(tables.audit))
    assert (tenant, moment, who, what) == (TENANT, NOW, "ada", "sender policy saved")
    assert detail.startswith("revision 1: Sender service: none → Twilio; Twilio: Account sid: empty → AC")


async def test_two_saves_in_the_same_millisecond_are_told_apart(context):
    first = await put(context, body())
    assert (await put(context, body())).policy.updated_at > first.policy.updated_at


async def restore(context: Context, number: int, sent: object) -> Saved:
    draft = await restored(context, TENANT, number, sent)
    return await context.store.run(policy.save(context, ADA, draft))


async def test_restore_is_a_save_of_the_old_values(context):
    old = await put(context, body(sender_phone="+15005550001"))
    await put(context, {**body(sender_phone="+15005550007"), "sender_service": "sandbox"})
    saved = await restore(context, 1, {})
    assert saved.shown == {**old.shown, "revision": 3}
    assert saved.changes == (
        "Revision 1 restored",
        "Sender service: Sandbox → Twilio",
        "Twilio: Sender phone: +15005550007 → +15005550001",
    )


async def test_restore_asks_for_the_secrets_that_are_not_stored_any_more(context):
    await put(context, body())
    await put(context, body(account_sid=FRANCE, auth_token="french", subaccounts=[]))
    with pytest.raises(Invalid) as refusal:
        await restore(context, 1, {})
    assert codes(refusal.value) == {
        "twilio.auth_token": "token_required",
        "twilio.subaccounts[0].auth_token": "token_required",
    }
    brought = {"auth_token": "main again", "subaccounts": [{"account_sid": INDIA, "auth_token": "india again"}]}
    saved = await restore(context, 1, {"twilio": brought})
    assert saved.policy.incomplete is False
    assert await stored(context) == {f"auth_token {MAIN}": "main again", f"auth_token {INDIA}": "india again"}


async def test_a_secret_for_restore_can_be_brought_at_its_row_s_place(context):
    await put(context, body())
    await put(context, {"twilio": {**without_tokens(twilio()), "subaccounts": []}})
    saved = await restore(context, 1, {"twilio": {"subaccounts": [{"auth_token": "india again"}]}})
    assert (await stored(context))[f"auth_token {INDIA}"] == "india again"
    assert saved.policy.revision == 3


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"twilio": {"account_sid": FRANCE, "auth_token": "x"}}, {"twilio.account_sid": "invalid"}),
        (
            {"twilio": {"subaccounts": [{"account_sid": FRANCE, "auth_token": "x"}]}},
            {"twilio.subaccounts[0].account_sid": "invalid"},
        ),
        ({"twilio": {"subaccounts": [{}, {"auth_token": "x"}]}}, {"twilio.subaccounts[1]": "invalid"}),
        ({"twilio": {"token": "x"}}, {"twilio.token": "unknown_field"}),
        ({"twilio": {"subaccounts": {}}}, {"twilio.subaccounts": "invalid"}),
        ({"twilio": []}, {"twilio": "invalid"}),
        ({"sender_service": "sandbox"}, {"sender_service": "unknown_field"}),
        ({"revision": "1"}, {"revision": "invalid"}),
        ([], {"": "invalid"}),
    ],
)
async def test_restore_takes_secrets_of_the_restored_values_alone(context, sent, expected):
    await put(context, body())
    before = await everything(context)
    with pytest.raises(Invalid) as refusal:
        await restore(context, 1, sent)
    assert codes(refusal.value) == expected
    assert await everything(context) == before


async def test_a_row_that_could_be_several_accounts_is_not_guessed(context):
    french = {**INDIAN, "dialing_code": "+33", "account_sid": FRANCE}
    await put(context, body(subaccounts=[dict(INDIAN), french]))
    sent = {"twilio": {"subaccounts": [{"sender_phone": "+919191919191", "auth_token": "whose?"}]}}
    with pytest.raises(Invalid) as refusal:
        await restore(context, 1, sent)
    assert codes(refusal.value) == {"twilio.subaccounts[0].sender_phone": "invalid"}


async def test_restore_of_an_unknown_or_another_tenants_revision_is_not_found(context):
    await put(context, body())
    with pytest.raises(NotFound):
        await restored(context, TENANT, 2, {})
    with pytest.raises(NotFound):
        await restored(context, TENANT, 2**80, {})
    with pytest.raises(NotFound):
        await restored(context, OTHER_TENANT, 1, {})


async def test_restore_with_a_stale_revision_is_a_conflict(context):
    await put(context, body())
    await put(context, body())
    with pytest.raises(RevisionConflict):
        await restore(context, 1, {"revision": 1})
    assert (await restore(context, 1, {"revision": 2})).policy.revision == 3


# The sandbox phone


def text_arrives(context: Context, sid: str, tenant: str) -> Unit[None]:
    return Unit(lambda rows: rows.put(SANDBOX_TEXTS, SandboxText(sid, tenant, "+919876543210", "sealed", NOW)))


async def test_the_sandbox_phone_is_emptied_when_another_service_is_chosen(context):
    await put(context, {"sender_service": "sandbox"})
    await context.store.run(text_arrives(context, "AT1", TENANT))
    await context.store.run(text_arrives(context, "AT2", OTHER_TENANT))
    await put(context, {"sender_service": "sandbox", "twilio": twilio()})
    assert len(await context.store.find(SANDBOX_TEXTS, "tenant", TENANT)) == 1
    await put(context, {"sender_service": "twilio"})
    assert await context.store.find(SANDBOX_TEXTS, "tenant", TENANT) == []
    assert len(await context.store.find(SANDBOX_TEXTS, "tenant", OTHER_TENANT)) == 1


async def test_a_text_that_arrived_too_late_does_not_show_when_the_sandbox_is_chosen_again(context):
    await put(context, {"sender_service": "sandbox"})
    await put(context, body())
    await context.store.run(text_arrives(context, "AT1", TENANT))
    await put(context, {"sender_service": "sandbox"})
    assert await context.store.find(SANDBOX_TEXTS, "tenant", TENANT) == []


# The route


async def test_the_route_says_which_account_sends_and_why(context):
    await put(context, body(only_listed_dialing_codes=True))
    indian, others = await explain_saved_route(context, TENANT, parse_recipient("+919876543210"))
    assert others == ()
    assert isinstance(indian, Route)
    assert (indian.service, indian.account_sid, indian.origin) == ("twilio", INDIA, "+919191919191")
    assert indian.reason
    german, others = await explain_saved_route(context, TENANT, parse_recipient("+4915112345678"))
    assert (isinstance(german, NoRoute), others) == (True, ())


async def test_beside_the_route_stand_the_ways_that_a_text_may_go_where_it_fails(context):
    await put(context, {**body(subaccount_falls_back=True), "fallback": ["messagebird"], "messagebird": MESSAGEBIRD})
    _, others = await explain_saved_route(context, TENANT, parse_recipient("+919876543210"))
    assert [(way.route.service, way.route.account_sid, way.route.origin) for way in others] == [
        ("twilio", MAIN, "+15005550006"),
        ("messagebird", "", "MyBrand"),
    ]


async def test_a_fallback_whose_secret_was_cleared_stands_in_for_nobody(context):
    await put(context, {**body(), "fallback": ["messagebird"], "messagebird": MESSAGEBIRD})
    cleared = {"originator": "MyBrand", "access_key_set": False}
    assert (await put(context, {"messagebird": cleared})).policy.incomplete is False
    made = await plan.read_plan(context, TENANT)
    assert made.left_out == ["MessageBird lacks Access key."]
    assert (made.ready, made.fallback) == (True, ())
    assert (await explain_saved_route(context, TENANT, parse_recipient("+15005550006"))).others == ()
    assert await context.store.run(Unit(lambda rows: Plans(context).plan_of(rows, TENANT).fallback)) == ()


async def test_nothing_is_sent_by_a_service_that_is_not_installed_any_more(context):
    gone = Policy(TENANT, revision=1, sender_service="nosuch", incomplete=False)
    await context.store.run(Unit(lambda rows: rows.put(POLICIES, gone)))
    with pytest.raises(SenderPolicyIncomplete, match="the service nosuch is not installed here"):
        await explain_saved_route(context, TENANT, parse_recipient("+15005550006"))


async def test_production_sees_a_save_at_once(context):
    plans = Plans(context)
    seen = Unit(lambda rows: plans.plan_of(rows, TENANT).settings["twilio"])
    await put(context, body())
    assert (await context.store.run(seen)).sender_phone == "+15005550006"
    await put(context, body(sender_phone="+15005550001", auth_token="new"))
    settings = await context.store.run(seen)
    assert (settings.sender_phone, settings.auth_token.reveal()) == ("+15005550001", "new")

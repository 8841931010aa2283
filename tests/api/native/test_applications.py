"""Applications and what their rules do to the texts and numbers of their verifications."""

from __future__ import annotations

from typing import Any

import pytest

from api.world import quiet, told
from installation import TO, Installation

DEFAULTS = {
    "code_length": 6,
    "lifetime_s": 300,
    "max_checks": 5,
    "max_sends": 5,
    "resend_after_s": 30,
    "body": "{otp} is your {application} code.",
    "default_region": None,
    "allowed_dialing_codes": [],
    "allowed_regions": [],
    "number_sends_per_hour": 10,
    "number_sends_per_day": 30,
    "number_checks_per_hour": 10,
    "max_sends_per_hour": None,
    "max_sends_per_client_ip": 60,
    "max_segments": 2,
}
MOMENTS = {"sid", "created_at", "updated_at"}


def rules_of(application: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in application.items() if name not in MOMENTS}


async def text(otpost: Installation) -> str:
    """The newest text on the sandbox phone."""
    await quiet(otpost)
    return str((await otpost.ok("GET", "/v1/sandbox/messages?limit=1"))["items"][0]["body"])


async def test_an_application_has_the_promised_defaults(otpost: Installation) -> None:
    made = await otpost.call("POST", "/v1/applications", {"name": " Shop "})
    assert made.status == 201
    assert rules_of(made.json()) == {"name": "Shop", **DEFAULTS}
    assert await otpost.ok("GET", f"/v1/applications/{made.json()['sid']}") == made.json()
    own = await otpost.ok("GET", f"/v1/applications/{otpost.tenant.default_application}")
    assert rules_of(own) == {"name": "Default", **DEFAULTS}


async def test_every_rule_is_taken_at_both_ends_of_its_range(otpost: Installation) -> None:
    low = {
        "code_length": 6,
        "lifetime_s": 60,
        "max_checks": 1,
        "max_sends": 1,
        "resend_after_s": 0,
        "number_sends_per_hour": 1,
        "number_sends_per_day": 1,
        "number_checks_per_hour": 1,
        "max_sends_per_hour": 1,
        "max_sends_per_client_ip": 1,
        "max_segments": 1,
    }
    high = {
        "code_length": 10,
        "lifetime_s": 600,
        "max_checks": 10,
        "max_sends": 10,
        "resend_after_s": 600,
        "max_sends_per_hour": None,
        "max_sends_per_client_ip": None,
        "default_region": "in",
        "allowed_dialing_codes": ["91", "+1 876", "0044", "7\\"],
        "allowed_regions": ["in", " JM ", "GB"],
        "body": "{otp} {application} {user} {endpoint} {event} {number} {minutes}",
    }
    for given in (low, high, {"code_length": 4, "max_checks": 3}, {"max_checks": 3, "code_length": 5}):
        kept = {**DEFAULTS, **given}
        if given is high:
            kept |= {"default_region": "IN", "allowed_dialing_codes": ["+91", "+1876", "+44", "+7"]}
            kept |= {"allowed_regions": ["IN", "JM", "GB"]}
        made = await otpost.ok("POST", "/v1/applications", {"name": "New", **given})
        assert rules_of(made) == {"name": "New", **kept}
        changed = await otpost.ok("PATCH", f"/v1/applications/{made['sid']}", DEFAULTS)
        assert rules_of(changed) == {"name": "New", **DEFAULTS}
        again = await otpost.ok("PATCH", f"/v1/applications/{made['sid']}", given)
        assert rules_of(again) == {"name": "New", **kept}


async def test_a_change_leaves_alone_what_it_does_not_name_and_is_judged_with_what_stays(otpost: Installation) -> None:
    made = await otpost.ok("POST", "/v1/applications", {"name": "Shop", "max_checks": 3, "default_region": "IN"})
    path = f"/v1/applications/{made['sid']}"
    otpost.clock.advance(60)
    changed = await otpost.ok("PATCH", path, {"code_length": 4})
    expected = {"name": "Shop", **DEFAULTS, "max_checks": 3, "default_region": "IN", "code_length": 4}
    assert rules_of(changed) == expected
    assert (changed["created_at"], changed["updated_at"] > made["updated_at"]) == (made["created_at"], True)
    assert told(await otpost.call("PATCH", path, {"max_checks": 4})) == (
        422,
        "invalid",
        [("code_length", "out_of_range")],
    )
    both = await otpost.ok("PATCH", path, {"max_checks": 4, "code_length": 6, "name": "Café"})
    assert rules_of(both) == {**expected, "max_checks": 4, "code_length": 6, "name": "Café"}
    cleared = await otpost.ok("PATCH", path, {"default_region": None, "max_sends_per_client_ip": None})
    assert (cleared["default_region"], cleared["max_sends_per_client_ip"]) == (None, None)
    assert rules_of(await otpost.ok("PATCH", path, {})) == rules_of(cleared)
    assert rules_of(await otpost.ok("GET", path)) == rules_of(cleared)


async def test_several_mistakes_are_told_at_once(otpost: Installation) -> None:
    wrong = {"name": "", "max_sends": 0, "body": "no code", "default_region": "XX", "allowed_dialing_codes": ["x"]}
    answer = await otpost.call("POST", "/v1/applications", wrong)
    assert answer.status == 422
    assert set(told(answer)[2]) == {
        ("name", "required"),
        ("max_sends", "out_of_range"),
        ("body", "required"),
        ("default_region", "invalid"),
        ("allowed_dialing_codes[0]", "invalid_number"),
    }


async def test_the_template_is_filled_in_with_what_was_given_and_what_is_known(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = f"/v1/applications/{otpost.tenant.default_application}"
    template = "{otp} {{user}}"
    assert told(await otpost.call("PATCH", own, {"body": template}))[0] == 422
    await otpost.ok(
        "PATCH",
        own,
        {
            "name": "Shop",
            "body": "{otp} for {user} at {endpoint}: {event}. {application}, text {number}, {minutes} min, {otp}",
        },
    )
    wanted = {"user": "{otp} ada", "endpoint": "vpn.example", "event": "sign-in"}
    for lacking in wanted:
        given = {name: value for name, value in wanted.items() if name != lacking}
        for variables in (given, {**given, lacking: ""}):
            answer = await otpost.call("POST", "/v1/verifications", {"to": TO, "variables": variables})
            assert told(answer) == (422, "invalid", [(f"variables.{lacking}", "variable_missing")])
    answer = await otpost.call("POST", "/v1/verifications", {"to": TO})
    assert told(answer)[2] == [(f"variables.{name}", "variable_missing") for name in ("endpoint", "event", "user")]
    made = await otpost.ok("POST", "/v1/verifications", {"to": TO, "variables": wanted})
    code = otpost.code(made)
    assert await text(otpost) == f"{code} for {{otp}} ada at vpn.example: sign-in. Shop, text 1, 5 min, {code}"
    otpost.clock.advance(61)
    again = {**wanted, "user": "grace"}
    assert (await otpost.ok("POST", "/v1/verifications", {"to": TO, "variables": again}))["sends"] == 2
    assert await text(otpost) == f"{code} for grace at vpn.example: sign-in. Shop, text 2, 4 min, {code}"


async def test_a_text_of_too_many_segments_is_refused_before_anything_starts(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = f"/v1/applications/{otpost.tenant.default_application}"
    await otpost.ok("PATCH", own, {"body": "{otp}" + "x" * 154, "max_segments": 1})
    answer = await otpost.call("POST", "/v1/verifications", {"to": TO})
    assert answer.status == 201
    await otpost.ok("PATCH", own, {"body": "{otp} {user}" + "x" * 85, "max_segments": 1})
    cyrillic = {"to": "+15005550009", "variables": {"user": "Ада"}}
    answer = await otpost.call("POST", "/v1/verifications", cyrillic)
    assert told(answer) == (422, "invalid", [("variables", "text_too_long")])
    await otpost.ok("PATCH", own, {"max_segments": 2})
    assert (await otpost.call("POST", "/v1/verifications", cyrillic)).status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"body": "{otp}" + "x" * 155},
        {"body": "{otp} {user}" + "x" * 90},
        {"body": "{otp}" + "x" * 151, "code_length": 10},
        {"body": "{otp} {application}" + "x" * 140, "name": "An application with a long name"},
        {"body": "{otp} " + "е\u0301" * 40},
        {"body": "{otp} {otp}" + "x" * 150},
    ],
)
async def test_a_text_that_could_never_be_sent_is_refused_when_it_is_saved(
    otpost: Installation, change: dict[str, Any]
) -> None:
    own = f"/v1/applications/{otpost.tenant.default_application}"
    expected = (422, "invalid", [("body", "text_too_long")])
    assert told(await otpost.call("PATCH", own, {**change, "max_segments": 1})) == expected
    made = {"name": "New", **change, "max_segments": 1}
    assert told(await otpost.call("POST", "/v1/applications", made)) == expected
    await otpost.ok("PATCH", own, {**change, "max_segments": 2})
    assert told(await otpost.call("PATCH", own, {"max_segments": 1})) == expected


async def test_regions_that_share_a_dialing_code_are_told_apart(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = f"/v1/applications/{otpost.tenant.default_application}"
    await otpost.ok("PATCH", own, {"allowed_regions": ["us", "PR"]})
    for to, status in (
        ("+14155550100", 201),
        ("+17872345678", 201),
        ("+19392345678", 201),
        ("+18762101234", 422),
        ("+14162345678", 422),
        ("+919191919191", 422),
        ("+881612345678", 422),
    ):
        answer = await otpost.call("POST", "/v1/verifications", {"to": to})
        assert answer.status == status, to
        if status == 422:
            assert told(answer) == (422, "invalid", [("to", "region_refused")])
    await otpost.ok("PATCH", own, {"allowed_dialing_codes": ["+1787", "+1"], "allowed_regions": ["PR"]})
    assert told(await otpost.call("POST", "/v1/verifications", {"to": "+14155550101"}))[2] == [("to", "region_refused")]
    await otpost.ok("PATCH", own, {"allowed_regions": []})
    assert (await otpost.call("POST", "/v1/verifications", {"to": "+14155550101"})).status == 201


async def test_an_allowed_region_has_to_be_one_and_within_reach_of_the_allowed_dialing_codes(
    otpost: Installation,
) -> None:
    own = f"/v1/applications/{otpost.tenant.default_application}"
    for regions, at in ((["US", "XX"], 1), (["+1"], 0), ([""], 0), (["001"], 0)):
        answer = await otpost.call("PATCH", own, {"allowed_regions": regions})
        assert told(answer) == (422, "invalid", [(f"allowed_regions[{at}]", "invalid")])
    answer = await otpost.call("PATCH", own, {"allowed_regions": ["US", "us"]})
    assert told(answer) == (422, "invalid", [("allowed_regions[1]", "duplicate")])
    answer = await otpost.call("PATCH", own, {"allowed_regions": ["US", "DE"], "allowed_dialing_codes": ["+1415"]})
    assert told(answer) == (422, "invalid", [("allowed_regions[1]", "invalid")])
    assert "which allowed_dialing_codes does not have" in answer.text


async def test_the_default_region_reads_national_numbers(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = f"/v1/applications/{otpost.tenant.default_application}"
    national = {"to": "09191 919191"}
    assert told(await otpost.call("POST", "/v1/verifications", national))[2] == [("to", "invalid_number")]
    await otpost.ok("PATCH", own, {"default_region": "IN"})
    assert (await otpost.ok("POST", "/v1/verifications", national))["to"] == "+919191919191"
    assert (await otpost.ok("POST", "/v1/messages", {**national, "body": "hello"}))["to"] == "+919191919191"
    assert (await otpost.ok("POST", "/v1/verifications", {"to": TO}))["to"] == TO


async def test_only_allowed_dialing_codes_get_texts(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = f"/v1/applications/{otpost.tenant.default_application}"
    await otpost.ok("PATCH", own, {"allowed_dialing_codes": ["91", "1876"]})
    for to, taken in (("+919191919191", True), ("+18762101234", True), (TO, False), ("+4915112345678", False)):
        answer = await otpost.call("POST", "/v1/verifications", {"to": to})
        if taken:
            assert answer.status == 201, to
        else:
            assert told(answer) == (422, "invalid", [("to", "dialing_code_refused")]), to
    await otpost.ok("PATCH", own, {"allowed_dialing_codes": []})
    assert (await otpost.call("POST", "/v1/verifications", {"to": TO})).status == 201


async def test_until_the_policy_is_complete_starts_and_messages_are_refused(otpost: Installation) -> None:
    for path, body in (("/v1/verifications", {"to": TO}), ("/v1/messages", {"to": TO, "body": "hello"})):
        assert told(await otpost.call("POST", path, body)) == (409, "sender_policy_incomplete", [])
    assert told(await otpost.call("GET", f"/v1/sender-policy/route?to={TO}"))[:2] == (409, "sender_policy_incomplete")
    assert (await otpost.ok("GET", "/v1/messages"))["items"] == []


async def test_a_verification_reads_with_its_whole_messages_and_its_events(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    made = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    assert set(made) == {
        "sid",
        "application",
        "to",
        "to_masked",
        "status",
        "channel",
        "created_at",
        "expires_at",
        "resend_at",
        "approved_at",
        "sends",
        "checks",
        "checks_left",
        "message",
    }
    assert set(made["message"]) == {"sid", "status", "reason"}
    await quiet(otpost)
    otpost.clock.advance(30)
    again = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    await quiet(otpost)
    await otpost.ok("POST", f"/v1/verifications/{made['sid']}/check", {"code": otpost.wrong_code(made)})
    await otpost.ok("POST", f"/v1/verifications/{made['sid']}/check", {"code": otpost.code(made)})
    seen = await otpost.ok("GET", f"/v1/verifications/{made['sid']}")
    sids = [made["message"]["sid"], again["message"]["sid"]]
    assert seen["messages"] == [await otpost.ok("GET", f"/v1/messages/{sid}") for sid in sids]
    told = [(event["who"], event["what"], event["message"]) for event in seen["events"]]
    assert told == [
        ("application", "started", None),
        ("otpost", "queued", sids[0]),
        ("sandbox", "accepted", sids[0]),
        ("application", "resent", None),
        ("application", "wrong_code", None),
        ("application", "approved", None),
        ("otpost", "queued", sids[1]),
        ("sandbox", "accepted", sids[1]),
    ]
    assert [event["detail"] for event in seen["events"] if event["message"] is None] == [*sids, "", ""]
    assert seen["message"] == {"sid": sids[1], "status": "accepted", "reason": None}
    message = seen["messages"][0]
    assert (message["verification"], message["to"], message["status"]) == (made["sid"], TO, "accepted")
    assert (message["route"]["service"], len(message["attempts"]), message["reports"]) == ("sandbox", 1, [])
    assert message["attempts"][0]["outcome"] == "accepted"
    assert otpost.code(made) not in str(seen)

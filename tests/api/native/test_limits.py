"""The limits against guessing and pumping, over the API, each with the moment from which it gives way."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from api.world import picture, quiet, told
from asgi import Answered
from installation import TO, Installation

OTHER = "+15005550009"
HOUR_S, DAY_S = 3600, 24 * 3600


@pytest.fixture(autouse=True)
async def sandbox(otpost: Installation) -> None:
    await otpost.choose_sandbox()


async def start(otpost: Installation, to: str = TO, **more: Any) -> Answered:
    return await otpost.call("POST", "/v1/verifications", {"to": to, **more}, key=otpost.verify)


async def started(otpost: Installation, to: str = TO, **more: Any) -> Any:
    answer = await start(otpost, to, **more)
    assert answer.status in (200, 201), answer.text
    return answer.json()


async def check(otpost: Installation, verification: dict[str, Any], code: str) -> Answered:
    return await otpost.call(
        "POST", f"/v1/verifications/{verification['sid']}/check", {"code": code}, key=otpost.verify
    )


async def rules(otpost: Installation, **changed: Any) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{otpost.tenant.default_application}", changed)


def retry_at_ms(otpost: Installation, answer: Answered, code: str) -> int:
    """The moment that a refusal by a limit names; its header says the same in whole seconds."""
    assert told(answer) == (429, code, []), answer.text
    at = round(datetime.fromisoformat(answer.json()["retry_at"]).timestamp() * 1000)
    left_ms = at - otpost.clock.now
    assert left_ms > 0
    assert int(answer.headers["retry-after"]) == -(-left_ms // 1000)
    return at


def seconds_between(verification: dict[str, Any], earlier: str, later: str) -> float:
    return (datetime.fromisoformat(verification[later]) - datetime.fromisoformat(verification[earlier])).total_seconds()


async def gives_way(otpost: Installation, answer: Answered, code: str, **again: Any) -> Any:
    """A start is refused until one millisecond before the moment that the refusal names, and taken at that moment."""
    at = retry_at_ms(otpost, answer, code)
    otpost.clock.now = at - 1
    assert retry_at_ms(otpost, await start(otpost, **again), code) == at
    otpost.clock.now = at
    return await started(otpost, **again)


async def test_of_64_parallel_right_codes_exactly_one_is_approved(otpost: Installation) -> None:
    verification = await started(otpost)
    answers = await asyncio.gather(*(check(otpost, verification, otpost.code(verification)) for _ in range(64)))
    approved = [answer for answer in answers if answer.status == 200]
    assert [(answer.json()["status"], answer.json()["valid"]) for answer in approved] == [("approved", True)]
    others = {(answer.status, answer.body) for answer in answers if answer.status != 200}
    assert [status for status, _ in others] == [404]
    assert (await otpost.ok("GET", f"/v1/verifications/{verification['sid']}"))["checks"] == 1


async def test_of_64_parallel_wrong_codes_only_as_many_as_there_are_checks_are_judged(otpost: Installation) -> None:
    verification = await started(otpost)
    answers = await asyncio.gather(*(check(otpost, verification, otpost.wrong_code(verification)) for _ in range(64)))
    judged = sorted(answer.json()["checks_left"] for answer in answers if answer.status == 200)
    assert judged == [0, 1, 2, 3, 4]
    assert {told(answer)[:2] for answer in answers if answer.status != 200} == {(429, "max_checks_reached")}
    right = await check(otpost, verification, otpost.code(verification))
    assert told(right)[:2] == (429, "max_checks_reached")


async def test_64_parallel_starts_of_one_number_are_one_verification_and_one_text(otpost: Installation) -> None:
    answers = await asyncio.gather(*(start(otpost) for _ in range(64)))
    assert sorted(answer.status for answer in answers) == [201] + [429] * 63
    for answer in answers:
        if answer.status == 429:
            retry_at_ms(otpost, answer, "resend_too_soon")
    await quiet(otpost)
    assert len((await otpost.ok("GET", "/v1/verifications"))["items"]) == 1
    assert len((await otpost.ok("GET", "/v1/messages"))["items"]) == 1
    assert len((await otpost.ok("GET", "/v1/sandbox/messages"))["items"]) == 1


async def test_64_parallel_starts_without_a_cooldown_are_one_verification_with_all_its_sends(
    otpost: Installation,
) -> None:
    await rules(otpost, resend_after_s=0)
    answers = await asyncio.gather(*(start(otpost) for _ in range(64)))
    assert sorted(answer.status for answer in answers) == [200] * 4 + [201] + [429] * 59
    assert {told(answer)[1] for answer in answers if answer.status == 429} == {"max_sends_reached"}
    assert len({answer.json()["sid"] for answer in answers if answer.status < 300}) == 1


async def test_after_the_cooldown_a_start_sends_the_same_code_once_more(otpost: Installation) -> None:
    first = await started(otpost)
    again = await gives_way(otpost, await start(otpost), "resend_too_soon")
    assert (again["sid"], again["sends"], again["expires_at"]) == (first["sid"], 2, first["expires_at"])
    assert again["message"]["sid"] != first["message"]["sid"]
    assert seconds_between(first, "created_at", "resend_at") == 30


async def test_the_cooldown_of_one_number_or_application_is_not_anothers(otpost: Installation) -> None:
    await started(otpost)
    assert (await start(otpost, OTHER)).status == 201
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    answer = await otpost.call("POST", "/v1/verifications", {"to": TO, "application": second})
    assert answer.status == 201


async def test_a_cancel_leaves_the_cooldown_and_an_approval_ends_it(otpost: Installation) -> None:
    first = await started(otpost)
    await otpost.ok("POST", f"/v1/verifications/{first['sid']}/cancel")
    second = await gives_way(otpost, await start(otpost), "resend_too_soon")
    assert second["sid"] != first["sid"]
    approved = await check(otpost, second, otpost.code(second))
    assert approved.json()["status"] == "approved"
    third = await start(otpost)
    assert third.status == 201
    assert third.json()["sid"] not in (first["sid"], second["sid"])


async def test_used_up_sends_give_way_when_a_fresh_start_is_due(otpost: Installation) -> None:
    await rules(otpost, max_sends=2, resend_after_s=0)
    first = await started(otpost)
    await started(otpost)
    fresh = await gives_way(otpost, await start(otpost), "max_sends_reached")
    assert (fresh["sid"] != first["sid"], fresh["sends"]) == (True, 1)


async def test_with_less_than_a_minute_or_half_the_life_left_a_start_begins_anew(otpost: Installation) -> None:
    for lifetime_s, left_s in ((300, 60), (60, 30)):
        await rules(otpost, lifetime_s=lifetime_s, resend_after_s=0)
        first = await started(otpost)
        otpost.clock.advance(lifetime_s - left_s)
        assert (await started(otpost))["sid"] == first["sid"]
        otpost.clock.now += 1
        second = await start(otpost)
        assert (second.status, second.json()["sid"] != first["sid"]) == (201, True)
        seen = await otpost.ok("GET", f"/v1/verifications/{first['sid']}")
        assert seen["status"] == "expired"
        own = [event["what"] for event in seen["events"] if event["message"] is None]
        assert own == ["started", "resent", "expired"]
        assert told(await check(otpost, first, otpost.code(first)))[:2] == (404, "verification_not_found")
        assert (await check(otpost, second.json(), otpost.code(second.json()))).json()["status"] == "approved"


async def test_beside_a_used_up_verification_a_start_makes_a_new_one(otpost: Installation) -> None:
    await rules(otpost, max_checks=2, resend_after_s=0)
    first = await started(otpost)
    one = await check(otpost, first, otpost.wrong_code(first))
    assert (one.json()["valid"], one.json()["checks_left"], one.json()["status"]) == (False, 1, "pending")
    two = await check(otpost, first, otpost.wrong_code(first))
    assert (two.json()["valid"], two.json()["checks_left"], two.json()["status"]) == (False, 0, "max_attempts_reached")
    used_up = await check(otpost, first, otpost.code(first))
    retry_at_ms(otpost, used_up, "max_checks_reached")
    second = await start(otpost)
    assert (second.status, second.json()["sid"] != first["sid"]) == (201, True)
    assert told(await check(otpost, first, otpost.code(first)))[1] == "max_checks_reached"
    assert (await check(otpost, second.json(), otpost.code(second.json()))).json()["valid"] is True


async def test_a_used_up_verification_is_not_found_any_more_once_it_has_expired(otpost: Installation) -> None:
    await rules(otpost, max_checks=1)
    first = await started(otpost)
    await check(otpost, first, otpost.wrong_code(first))
    otpost.clock.advance(300)
    assert told(await check(otpost, first, otpost.code(first)))[:2] == (404, "verification_not_found")


async def test_a_number_gets_its_texts_of_an_hour_which_slides(otpost: Installation) -> None:
    await rules(otpost, number_sends_per_hour=2, resend_after_s=0, lifetime_s=60)
    await started(otpost)
    otpost.clock.advance(1800)
    await started(otpost)
    await gives_way(otpost, await start(otpost), "number_sends_reached")
    answer = await start(otpost)
    begun = otpost.clock.now
    assert retry_at_ms(otpost, answer, "number_sends_reached") == begun + 1800 * 1000


async def test_a_number_gets_its_texts_of_a_day_which_slides(otpost: Installation) -> None:
    await rules(otpost, number_sends_per_day=3, resend_after_s=0, lifetime_s=60)
    first_at = otpost.clock.now
    for _ in range(3):
        await started(otpost)
        otpost.clock.advance(4 * HOUR_S)
    answer = await start(otpost)
    assert retry_at_ms(otpost, answer, "number_sends_reached") == first_at + DAY_S * 1000
    await gives_way(otpost, answer, "number_sends_reached")


async def test_ten_texts_an_hour_and_thirty_a_day_are_what_a_number_gets_by_default(otpost: Installation) -> None:
    await rules(otpost, resend_after_s=0, max_sends=10)
    sent = 0
    for _ in range(3):
        while (await start(otpost)).status != 429:
            sent += 1
            otpost.clock.advance(30)
            if sent % 10 == 0:
                break
        refused = await start(otpost)
        retry_at_ms(otpost, refused, "number_sends_reached")
        otpost.clock.advance(HOUR_S)
    assert sent == 30
    day = await start(otpost)
    assert retry_at_ms(otpost, day, "number_sends_reached") - otpost.clock.now > HOUR_S * 1000


async def test_an_application_has_its_texts_of_an_hour(otpost: Installation) -> None:
    await rules(otpost, max_sends_per_hour=2)
    await started(otpost, "+15005550001")
    otpost.clock.advance(600)
    await started(otpost, "+15005550002")
    await gives_way(otpost, await start(otpost, OTHER), "application_sends_reached", to=OTHER)
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    answer = await otpost.call("POST", "/v1/verifications", {"to": TO, "application": second})
    assert answer.status == 201


async def test_an_applications_last_place_goes_to_one_of_many_parallel_starts(otpost: Installation) -> None:
    await rules(otpost, max_sends_per_hour=3)
    answers = await asyncio.gather(*(start(otpost, f"+1500555000{digit}") for digit in range(10)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [429] * 7
    assert {told(answer)[1] for answer in answers if answer.status == 429} == {"application_sends_reached"}


async def test_a_client_address_has_its_texts_of_an_hour(otpost: Installation) -> None:
    await rules(otpost, max_sends_per_client_ip=2, resend_after_s=0)
    for first, same, another in (
        ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
    ):
        await started(otpost, "+15005550001", client_ip=first)
        await started(otpost, "+15005550002", client_ip=same)
        refused = await start(otpost, OTHER, client_ip=same)
        assert (await start(otpost, "+15005550004", client_ip=another)).status < 300
        assert (await start(otpost, "+15005550005")).status < 300
        await gives_way(otpost, refused, "client_sends_reached", to=OTHER, client_ip=first)


async def test_a_start_that_is_refused_takes_no_place_anywhere(otpost: Installation) -> None:
    await rules(otpost, max_sends_per_hour=5, max_sends_per_client_ip=1)
    await started(otpost, client_ip="203.0.113.7")
    before = await picture(otpost)
    for _ in range(10):
        assert (await start(otpost, client_ip="203.0.113.7")).status == 429
        assert (await start(otpost, OTHER, client_ip="203.0.113.7")).status == 429
    await quiet(otpost)
    after = await picture(otpost)
    assert [after[name] for name in ("windows", "number_limits", "verifications")] == [
        before[name] for name in ("windows", "number_limits", "verifications")
    ]


async def guess(otpost: Installation, wrong: int) -> None:
    """So many wrong codes for one number, a new verification whenever one is used up."""
    while wrong:
        verification = await started(otpost)
        for _ in range(min(verification["checks_left"], wrong)):
            assert (await check(otpost, verification, otpost.wrong_code(verification))).json()["valid"] is False
            wrong -= 1


async def test_wrong_guesses_across_new_verifications_run_into_the_numbers_wall(otpost: Installation) -> None:
    await rules(otpost, resend_after_s=0)
    first_at = otpost.clock.now
    await guess(otpost, 9)
    last = await started(otpost)
    otpost.clock.advance(10)
    assert (await check(otpost, last, otpost.wrong_code(last))).json()["valid"] is False
    at_check = await check(otpost, last, otpost.code(last))
    assert told(at_check)[1] == "max_checks_reached"
    at_start = await start(otpost)
    assert retry_at_ms(otpost, at_start, "number_checks_reached") == first_at + HOUR_S * 1000
    assert (await start(otpost, OTHER)).status == 201
    fresh = await gives_way(otpost, at_start, "number_checks_reached")
    assert (await check(otpost, fresh, otpost.code(fresh))).json()["valid"] is True


async def test_the_numbers_wall_stands_at_the_check_too_even_for_the_right_code(otpost: Installation) -> None:
    await rules(otpost, resend_after_s=0, number_checks_per_hour=7, lifetime_s=600)
    await guess(otpost, 5)
    pending = await started(otpost)
    for _ in range(2):
        await check(otpost, pending, otpost.wrong_code(pending))
    refused = await check(otpost, pending, otpost.code(pending))
    retry_at_ms(otpost, refused, "number_checks_reached")
    seen = await otpost.ok("GET", f"/v1/verifications/{pending['sid']}")
    assert (seen["status"], seen["checks"], seen["checks_left"]) == ("pending", 2, 3)


async def test_a_check_at_the_wall_succeeds_at_the_moment_that_was_named_and_not_before(otpost: Installation) -> None:
    await rules(otpost, resend_after_s=0, number_checks_per_hour=2, lifetime_s=600)
    early = await started(otpost)
    await check(otpost, early, otpost.wrong_code(early))
    otpost.clock.advance(HOUR_S - 300)
    pending = await started(otpost)
    await check(otpost, pending, otpost.wrong_code(pending))
    at = retry_at_ms(otpost, await check(otpost, pending, otpost.code(pending)), "number_checks_reached")
    otpost.clock.now = at - 1
    assert retry_at_ms(otpost, await check(otpost, pending, otpost.code(pending)), "number_checks_reached") == at
    otpost.clock.now = at
    assert (await check(otpost, pending, otpost.code(pending))).json()["status"] == "approved"


async def test_a_right_code_gives_its_place_back(otpost: Installation) -> None:
    await rules(otpost, number_checks_per_hour=1, number_sends_per_hour=100)
    for _ in range(3):
        verification = await started(otpost)
        assert (await check(otpost, verification, otpost.code(verification))).json()["valid"] is True


async def test_a_hundred_wrong_codes_in_a_row_lock_the_number_until_the_lock_is_lifted(otpost: Installation) -> None:
    await rules(otpost, resend_after_s=0, number_checks_per_hour=1000, number_sends_per_hour=1000, max_checks=7)
    await guess(otpost, 99)
    pending = await started(otpost)
    assert (await check(otpost, pending, otpost.wrong_code(pending))).status == 200
    retry_at_ms(otpost, await check(otpost, pending, otpost.code(pending)), "number_locked")
    retry_at_ms(otpost, await start(otpost), "number_locked")
    otpost.clock.advance(30 * DAY_S)
    retry_at_ms(otpost, await start(otpost), "number_locked")
    assert (await start(otpost, OTHER)).status == 201
    refused = await otpost.call("DELETE", f"/v1/numbers/{TO}/lock", key=otpost.verify)
    assert told(refused)[:2] == (403, "scope_missing")
    assert (await otpost.call("DELETE", f"/v1/numbers/{OTHER}/lock")).status == 404
    assert (await otpost.call("DELETE", f"/v1/numbers/{TO}/lock")).status == 204
    assert (await otpost.call("DELETE", f"/v1/numbers/{TO}/lock")).status == 404
    again = await started(otpost)
    assert (await check(otpost, again, otpost.code(again))).json()["valid"] is True


async def test_a_right_code_ends_the_row_of_wrong_ones(otpost: Installation) -> None:
    await rules(otpost, resend_after_s=0, number_checks_per_hour=1000, number_sends_per_hour=1000, max_checks=10)
    await guess(otpost, 95)
    verification = await started(otpost)
    for _ in range(4):
        await check(otpost, verification, otpost.wrong_code(verification))
    assert (await check(otpost, verification, otpost.code(verification))).json()["valid"] is True
    verification = await started(otpost)
    assert (await check(otpost, verification, otpost.wrong_code(verification))).json()["valid"] is False
    assert (await start(otpost)).status == 200


async def test_length_and_limits_of_a_code_are_those_of_its_start(otpost: Installation) -> None:
    first = await started(otpost)
    await rules(otpost, code_length=8, lifetime_s=60, max_checks=1, max_sends=1, resend_after_s=600)
    code = otpost.code(first)
    wrong = await check(otpost, first, otpost.wrong_code(first))
    assert (wrong.json()["valid"], wrong.json()["checks_left"]) == (False, 4)
    otpost.clock.advance(30)
    again = await started(otpost)
    assert (again["sid"], again["sends"], again["expires_at"]) == (first["sid"], 2, first["expires_at"])
    assert (await check(otpost, first, code)).json()["status"] == "approved"
    second = await started(otpost)
    assert (second["checks_left"], seconds_between(second, "created_at", "expires_at")) == (1, 60)
    await quiet(otpost)
    newest = (await otpost.ok("GET", "/v1/sandbox/messages?limit=1"))["items"][0]["body"]
    assert len(newest.split()[0]) == 8


async def test_what_is_no_code_uses_up_no_check(otpost: Installation) -> None:
    verification = await started(otpost)
    for code in ("", "12a456", "1" * 65, "12 34 5x", "½"):
        assert told(await check(otpost, verification, code)) == (422, "invalid", [("code", "invalid")])
    seen = await otpost.ok("GET", f"/v1/verifications/{verification['sid']}")
    assert (seen["checks"], seen["checks_left"]) == (0, 5)


async def test_blanks_and_hyphens_in_a_code_are_dropped_and_digits_of_other_scripts_read(otpost: Installation) -> None:
    await rules(otpost, number_sends_per_hour=100)
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    for write in (
        lambda code: f" {code}\n",
        lambda code: f"{code[:3]}-{code[3:]}",
        lambda code: f"{code[:2]} {code[2:4]} {code[4:]}",
        lambda code: code.translate(arabic),
    ):
        verification = await started(otpost)
        answer = await check(otpost, verification, write(otpost.code(verification)))
        assert answer.json()["status"] == "approved"


async def test_a_code_that_is_too_short_or_too_long_is_a_wrong_one(otpost: Installation) -> None:
    verification = await started(otpost)
    code = otpost.code(verification)
    for typed in (code[:-1], f"{code}0", f"0{code}"):
        answer = await check(otpost, verification, typed)
        assert (answer.status, answer.json()["valid"]) == (200, False)


async def test_a_verification_that_was_canceled_or_used_up_can_be_canceled_and_one_that_has_ended_cannot(
    otpost: Installation,
) -> None:
    await rules(otpost, max_checks=1, resend_after_s=0)

    async def cancel(verification: dict[str, Any]) -> Answered:
        return await otpost.call("POST", f"/v1/verifications/{verification['sid']}/cancel", key=otpost.verify)

    used_up = await started(otpost)
    await check(otpost, used_up, otpost.wrong_code(used_up))
    for _ in range(2):
        answer = await cancel(used_up)
        assert (answer.status, answer.json()["status"]) == (200, "canceled")
    assert told(await check(otpost, used_up, otpost.code(used_up)))[:2] == (404, "verification_not_found")
    approved = await started(otpost)
    await check(otpost, approved, otpost.code(approved))
    assert told(await cancel(approved)) == (409, "verification_final", [])
    expired = await started(otpost)
    otpost.clock.advance(300)
    assert told(await cancel(expired)) == (409, "verification_final", [])

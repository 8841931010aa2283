"""One judge of texts: what one way into Otpost takes, every other takes, and refuses with the same words."""

from __future__ import annotations

import pytest

from api.world import told
from installation import TO, Installation, until

FAMILY = "👨\u200d👩\u200d👧"
FINE = [
    "a\u00a0b",
    "👨\u200d👩\u200d👧\u200d👦",
    "می\u200cخواهم",
    "\u061cرمز\u200f",
    "two\nlines\tand a tab",
    "narrow\u202fspace\u3000wide",
]
REFUSED = {
    "x\u202ey": "Remove U+202E (RIGHT-TO-LEFT OVERRIDE): it turns the order of the characters after it round.",
    "x\u2066y": "Remove U+2066 (LEFT-TO-RIGHT ISOLATE): it turns the order of the characters after it round.",
    "x\x1by": "Remove U+001B (ESCAPE), a control character.",
    "x\u2028y": "Remove U+2028 (LINE SEPARATOR), a control character.",
    "x" * 1601: "The text has 1601 characters; shorten it to 1600 at most.",
    " \u200b ": "Write the text that is to be sent.",
}


@pytest.fixture
async def sandbox(otpost: Installation) -> Installation:
    await otpost.choose_sandbox()
    return otpost


async def arrived(otpost: Installation, count: int) -> list[str]:
    async def look() -> list[str]:
        return [item["body"] for item in (await otpost.ok("GET", "/v1/sandbox/messages"))["items"]]

    return list(await until(look, lambda bodies: len(bodies) == count))


async def test_the_api_and_test_take_the_same_texts(sandbox: Installation) -> None:
    policy = {"sender_service": "sandbox"}
    for count, text in enumerate(FINE):
        await sandbox.ok("POST", "/v1/messages", {"to": TO, "body": text})
        assert (await arrived(sandbox, 2 * count + 1))[0] == text
        tested = await sandbox.ok("POST", "/v1/sender-policy/test", {"policy": policy, "to": TO, "message": text})
        assert tested["outcome"] == "accepted"
        assert (await arrived(sandbox, 2 * count + 2))[0] == text


async def test_the_api_and_test_refuse_the_same_texts_with_the_same_words(sandbox: Installation) -> None:
    for text, words in REFUSED.items():
        sent = await sandbox.call("POST", "/v1/messages", {"to": TO, "body": text})
        assert sent.json()["errors"][0]["message"] == words
        given = {"policy": {"sender_service": "sandbox"}, "to": TO, "message": text}
        tested = await sandbox.call("POST", "/v1/sender-policy/test", given)
        assert tested.json()["errors"][0]["message"] == words
        assert (sent.status, tested.status) == (422, 422)
        body = await sandbox.call(
            "PATCH", f"/v1/applications/{sandbox.tenant.default_application}", {"body": f"{text} {{otp}}"}
        )
        if text.strip("\u200b "):
            told_of = body.json()["errors"][0]["message"]
            assert told_of == words.replace("1601", "1607")


async def test_a_decomposed_letter_costs_no_more_than_a_composed_one(sandbox: Installation) -> None:
    message = await sandbox.ok("POST", "/v1/messages", {"to": TO, "body": "u\u0308" * 160})
    assert message["segments"] == 1
    assert await arrived(sandbox, 1) == ["ü" * 160]
    own = f"/v1/applications/{sandbox.tenant.default_application}"
    changed = await sandbox.ok("PATCH", own, {"body": "{otp} fu\u0308r {user}", "name": " Cafe\u0301\u200b\n"})
    assert (changed["body"], changed["name"]) == ("{otp} für {user}", "Café")
    made = await sandbox.ok("POST", "/v1/verifications", {"to": TO, "variables": {"user": "Ju\u0308rgen"}})
    assert (await arrived(sandbox, 2))[0] == f"{sandbox.code(made)} für Jürgen"


async def test_a_variable_cannot_turn_the_code_round_or_bring_a_link_or_another_code(sandbox: Installation) -> None:
    own = f"/v1/applications/{sandbox.tenant.default_application}"
    await sandbox.ok("PATCH", own, {"body": "{user}: {otp} {endpoint} {event}"})
    fine = {"user": "ada", "endpoint": "vpn.example.com", "event": "sign-in"}
    for name, value in (
        ("user", "x\u202e"),
        ("user", "evil.example/x"),
        ("event", "bit.ly/3x"),
        ("endpoint", "WWW.EVIL.EXAMPLE"),
        ("user", "go to evil.com"),
        ("event", "123456"),
        ("endpoint", "your code ٨٨٨٨٨"),
    ):
        answer = await sandbox.call("POST", "/v1/verifications", {"to": TO, "variables": {**fine, name: value}})
        assert told(answer) == (422, "invalid", [(f"variables.{name}", "invalid")]), value
    made = await sandbox.ok("POST", "/v1/verifications", {"to": TO, "variables": {**fine, "user": FAMILY}})
    assert await arrived(sandbox, 1) == [f"{FAMILY}: {sandbox.code(made)} vpn.example.com sign-in"]


async def test_names_that_recipients_read_are_judged_alike(sandbox: Installation) -> None:
    for name in ("Sh\u202eop", "Shop 12345", "evil.example/x", "www.shop.example"):
        answer = await sandbox.call("POST", "/v1/applications", {"name": name})
        assert told(answer) == (422, "invalid", [("name", "invalid")])
    for name in ("Booking.com", "خانه\u200cما", "රා\u200dම", "👨\u200d👩\u200d👧", "Coop\u00a024"):
        assert (await sandbox.ok("POST", "/v1/applications", {"name": name}))["name"] == name

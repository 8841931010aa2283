"""What a stranger can learn from a refused check: nothing."""

from __future__ import annotations

import base64
import re

from api.world import neighbour, quiet
from asgi import Answered
from installation import TO, Installation

_MOMENT = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+Z")


def without_dates(answer: Answered) -> tuple[int, dict[str, str], bytes]:
    return answer.status, answer.headers, _MOMENT.sub(b"-", answer.body)


async def test_a_check_of_what_is_not_there_and_of_what_is_not_yours_are_answered_byte_for_byte_alike(
    otpost: Installation,
) -> None:
    await otpost.choose_sandbox()
    await otpost.ok("PATCH", f"/v1/applications/{otpost.tenant.default_application}", {"max_checks": 1})
    sids = {}
    for name, to in (("approved", "1"), ("canceled", "2"), ("expired", "3"), ("used up", "4")):
        verification = await otpost.ok("POST", "/v1/verifications", {"to": f"+1500555000{to}"})
        sids[name] = verification["sid"]
        if name == "approved":
            await otpost.ok("POST", f"/v1/verifications/{sids[name]}/check", {"code": otpost.code(verification)})
        if name == "canceled":
            await otpost.ok("POST", f"/v1/verifications/{sids[name]}/cancel")
        if name == "used up":
            await otpost.ok("POST", f"/v1/verifications/{sids[name]}/check", {"code": otpost.wrong_code(verification)})
    otpost.clock.advance(300)
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    theirs = await otpost.ok("POST", "/v1/verifications", {"to": TO, "application": second})
    other = await neighbour(otpost)
    await quiet(otpost)
    sids |= {
        "another application's": theirs["sid"],
        "another tenant's": other.verification["sid"],
        "unknown": "VE" + "0" * 32,
        "no SID": "nonsense",
        "of another kind": theirs["message"]["sid"],
        "NUL": "%00",
    }
    codes = {theirs["sid"]: otpost.code(theirs), other.verification["sid"]: otpost.code(other.verification)}
    for headers in ({}, {"idempotency-key": "once"}):
        answers = {}
        for name, sid in sids.items():
            answers[name] = without_dates(
                await otpost.call(
                    "POST",
                    f"/v1/verifications/{sid}/check",
                    {"code": codes.get(sid, "123456")},
                    key=otpost.verify,
                    headers=headers,
                )
            )
        first = answers["unknown"]
        assert first[0] == 404
        assert b'"code":"verification_not_found"' in first[2]
        assert {name for name, answer in answers.items() if answer != first} == set()


async def test_a_verification_of_another_reads_and_cancels_like_one_that_never_was(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    other = await neighbour(otpost)
    for method, tail in (("GET", ""), ("POST", "/cancel")):
        answers = {
            without_dates(await otpost.call(method, f"/v1/verifications/{sid}{tail}", key=otpost.verify))[2]
            for sid in (other.verification["sid"], "VE" + "0" * 32, "x", "%00", "VE" + "A" * 32)
        }
        assert len(answers) == 1


async def test_every_wrong_key_is_answered_alike(otpost: Installation) -> None:
    sid, secret = otpost.verify.key.sid, otpost.verify.secret
    revoked = await otpost.key("verify", otpost.tenant.default_application)
    await otpost.ok("DELETE", f"/v1/applications/{otpost.tenant.default_application}/keys/{revoked.key.sid}")

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    wrong = [
        "",
        "Basic",
        "Bearer",
        "Bearer ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        "Digest username=x",
        secret,
        f"{sid}:{secret}",
        f"Bearer {sid}",
        f"Bearer {sid}.",
        f"Bearer {sid}.{secret}x",
        f"Bearer {sid}.{secret[:-1]}",
        f"Bearer {sid}:{secret}",
        f"Bearer {sid.lower()}.{secret}",
        f"Bearer SK{'0' * 32}.{secret}",
        f"Bearer {otpost.admin.key.sid}.{secret}",
        f"Bearer {revoked.key.sid}.{revoked.secret}",
        f"Bearer {sid}.{secret}\x00",
        "Bearer \xff\xfe.x",
        "Bearer é.é",
        basic(f"{sid}.{secret}"),
        basic(sid),
        basic(f"{sid}:"),
        basic(f":{secret}"),
        basic(f"{sid}\x00:{secret}"),
        basic(f"{revoked.key.sid}:{revoked.secret}"),
        "Basic " + "A" * 9000,
    ]
    answers = {
        without_dates(await otpost.call("GET", "/v1/verifications", headers={"authorization": value}))[2]
        for value in wrong
    }
    assert len(answers) == 1
    answer = await otpost.call("GET", "/v1/verifications", headers={"authorization": wrong[0]})
    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Basic realm="otpost", Bearer realm="otpost"'
    for good in (
        f"Bearer {sid}.{secret}",
        f"bearer  {sid}.{secret} ",
        basic(f"{sid}:{secret}"),
        basic(f"{sid}:{secret}").replace("Basic", "BASIC"),
    ):
        assert (await otpost.call("GET", "/v1/verifications", headers={"authorization": good})).status == 200

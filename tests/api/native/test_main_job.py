"""The product's spine: a code goes out and comes back checked."""

from __future__ import annotations

from installation import TO, Installation


async def test_a_code_goes_out_and_comes_back_checked(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    started = await otpost.call("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    assert started.status == 201
    verification = started.json()
    assert (verification["status"], verification["to"], verification["to_masked"]) == ("pending", TO, "+1•••••••006")
    message = await otpost.message(verification["message"]["sid"])
    assert message["status"] == "accepted"
    (text,) = (await otpost.ok("GET", "/v1/sandbox/messages?to=+15005550006"))["items"]
    code = otpost.code(verification)
    assert text["body"] == f"{code} is your Default code."
    wrong = await otpost.ok(
        "POST", f"/v1/verifications/{verification['sid']}/check", {"code": otpost.wrong_code(verification)}
    )
    assert (wrong["valid"], wrong["checks_left"], wrong["status"]) == (False, 4, "pending")
    right = await otpost.ok(
        "POST", f"/v1/verifications/{verification['sid']}/check", {"code": f"{code[:3]}-{code[3:]}"}
    )
    assert (right["valid"], right["status"]) == (True, "approved")
    again = await otpost.call("POST", f"/v1/verifications/{verification['sid']}/check", {"code": code})
    assert (again.status, again.json()["code"]) == (404, "verification_not_found")

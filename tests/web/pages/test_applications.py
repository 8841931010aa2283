"""Applications: made and changed, mistakes at their fields, and keys."""

from __future__ import annotations

import re

import pytest

from web.browsing import Console


async def test_an_application_is_made_and_changed(console: Console):
    browser = await console.signed_in()
    fields = (await browser.get("/applications/new")).form("/applications")
    fields |= {"name": "Web shop", "code_length": "8", "allowed_dialing_codes": "+91, 44\n1876", "default_region": "in"}
    seen = await browser.post("/applications", fields)
    assert seen.status == 303
    made = await console.here.ok("GET", f"/v1{seen.location}")
    assert (made["name"], made["code_length"], made["default_region"]) == ("Web shop", 8, "IN")
    assert made["allowed_dialing_codes"] == ["+91", "+44", "+1876"]
    page = await browser.get(seen.location)
    assert "Web shop is made. Make a key for it next." in page.text
    fields = page.form(seen.location)
    assert fields["allowed_dialing_codes"] == "+91 +44 +1876"
    fields |= {"max_sends_per_client_ip": "", "allowed_dialing_codes": ""}
    assert (await browser.post(seen.location, fields)).status == 303
    changed = await console.here.ok("GET", f"/v1{seen.location}")
    assert changed["max_sends_per_client_ip"] is None
    assert changed["allowed_dialing_codes"] == []


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("name", "", "The name is what recipients read in the text."),
        ("name", "x" * 65, "The name has at most 64 characters."),
        ("body", "no code", "Put {otp} where the code shall stand, best at the beginning."),
        ("code_length", "", "Code length: type a number."),
        ("code_length", "six", "Code length: type a whole number."),
        ("code_length", "11", "Code length: from 4 to 10."),
        ("code_length", "4", "A code of 4 digits is safe with at most 3 checks"),
        ("lifetime_s", "601", "Lifetime in seconds: from 60 to 600."),
        ("max_sends_per_hour", "0", "Texts of the whole application in an hour: from 1 to 10000000."),
        ("default_region", "XX", "A region is two ISO 3166 letters, as in IN."),
        ("allowed_dialing_codes", "+91 +91", "+91 stands in the list already."),
        ("allowed_dialing_codes", "+91 frog", "Check"),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
async def test_a_mistake_is_said_at_its_field_and_nothing_is_saved(
    small_console: Console, field: str, typed: str, message: str, known: bool
):
    browser = await small_console.signed_in()
    action = f"/applications/{small_console.here.tenant.default_application}" if known else "/applications"
    before = await small_console.here.ok("GET", "/v1/applications")
    page = await browser.get(action if known else "/applications/new")
    fields = {**page.form(action), "name": "Web shop", field: typed}
    seen = await browser.post(action, fields)
    assert seen.status == 422
    assert "1 field needs your attention" in seen.text
    assert f'href="#f-{field}"' in seen.html
    assert f'id="f-{field}"' in seen.html
    if message != "Check":
        assert message in seen.text
    assert seen.form(action) == {**fields, field: typed}
    assert await small_console.here.ok("GET", "/v1/applications") == before


async def test_a_key_shows_its_secret_once_and_counts_at_once(console: Console):
    browser = await console.signed_in()
    path = f"/applications/{console.here.tenant.default_application}"
    seen = await browser.post(f"{path}/keys", {"key_name": "web shop"}, follow=True)
    (told,) = re.findall(r'value="(SK[0-9a-f]{32}:[^"]+)"', seen.html)
    sid, _, secret = told.partition(":")
    assert secret not in (await browser.get(path)).html
    given = {"authorization": f"Bearer {sid}.{secret}"}
    assert (await browser.get("/v1/verifications", given)).status == 200
    seen = await browser.post(f"{path}/keys/{sid}/revoke", follow=True)
    assert "The key is revoked. It counts at once." in seen.text
    assert (await browser.get("/v1/verifications", given)).status == 401
    assert (await browser.post(f"{path}/keys/{sid}/revoke")).status == 404

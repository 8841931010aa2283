"""What stands before every page: where a form comes from, which headers go out, and what happens where nothing is."""

from __future__ import annotations

import json
import re

import pytest
from starlette.responses import Response

from asgi import ask
from otpost.front import Front
from otpost.web.request import Page, Visit
from otpost.web.routes import CONTENT_SECURITY_POLICY, PAGES, Address
from web.browsing import NAME, OWN, PASSWORD, Console

PATHS = [page.path for page in PAGES if page.get is not None and "{" not in page.path]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://sister.otpost.test"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "http://otpost.test"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://otpost.test.evil.example"},
        {"origin": "http://otpost.test:8080"},
        {"origin": "null"},
        {},
    ],
    ids=str,
)
async def test_a_form_from_another_site_is_refused_with_a_page(small_console: Console, headers: dict[str, str]):
    browser = await small_console.signed_in()
    seen = await browser.post("/settings/users", {"name": "mallory"}, headers)
    assert seen.status == 403
    assert "Refused: this did not come from a page of this console" in seen.text
    assert "mallory" not in (await browser.get("/settings")).text
    stranger = small_console.browser()
    assert (await stranger.post("/sign-in", {"name": NAME, "password": PASSWORD}, headers)).status == 403
    assert stranger.cookies == {}


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "same-origin"}, {"origin": "http://otpost.test"}, {"origin": "http://otpost.test:80"}, OWN],
    ids=str,
)
async def test_a_form_of_our_own_is_taken(small_console: Console, headers: dict[str, str]):
    browser = await small_console.signed_in()
    assert (await browser.post("/settings/users", {"name": "bob"}, headers)).status == 303


async def test_behind_a_proxy_the_public_address_is_our_own(public_small_console: Console):
    await public_small_console.user()
    headers = {"host": "10.0.0.7:8080", "origin": "https://otp.example"}
    fields = {"name": NAME, "password": PASSWORD}
    assert (await public_small_console.browser().post("/sign-in", fields, headers)).status == 303


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_not_taken(small_console: Console, method: str):
    browser = await small_console.signed_in()
    seen = await browser._ask(method, "/settings", {**OWN}, b"")
    assert seen.status == 405
    assert seen.answer.headers["allow"] == "GET, HEAD"


async def test_every_page_forbids_what_is_inline_foreign_or_kept(small_console: Console):
    browser = await small_console.signed_in()
    await small_console.here.choose_sandbox()
    for path in [*PATHS, "/nowhere"]:
        for one in (browser, small_console.browser()):
            answer = (await one.get(path)).answer
            assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")


async def test_no_page_holds_a_script_or_a_style_of_its_own(small_console: Console):
    browser = await small_console.signed_in()
    for path in PATHS:
        html = (await browser.get(path)).html
        assert re.findall(r"<script(?![^>]*\ssrc=)", html) == [], path
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html) == [], path


async def test_htmx_needs_neither_eval_nor_styles_of_its_own_and_keeps_no_page(small_console: Console):
    html = (await small_console.browser().get("/sign-in")).html
    config = json.loads(re.findall(r"name=\"htmx-config\" content='(.*?)'", html)[0])
    assert config["allowEval"] is False
    assert config["includeIndicatorStyles"] is False
    assert config["historyCacheSize"] == 0
    assert config["selfRequestsOnly"] is True


async def test_what_pages_load_is_our_own_and_kept_for_a_year_under_an_address_of_its_content(small_console: Console):
    html = (await small_console.browser().get("/sign-in")).html
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', html)
    assert len(loaded) == 5
    for address in loaded:
        assert re.fullmatch(r"/static/[0-9a-f]{12}/[a-z.]+", address)
        seen = await small_console.browser().get(address, {"accept-encoding": "gzip"})
        assert seen.status == 200
        assert seen.answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        former = re.sub(r"[0-9a-f]{12}", "0" * 12, address)
        assert (await small_console.browser().get(former)).status == 404
    assert (await small_console.browser().get("/static/0/..%2Fpages.py")).status in (303, 404)


async def test_an_address_without_a_page_says_so_to_browsers_and_stays_json_for_programs(small_console: Console):
    browser = await small_console.signed_in()
    seen = await browser.get("/nowhere")
    assert seen.status == 404
    assert "There is nothing here" in seen.text
    assert "To the overview" in seen.text
    for path in ("/verifications/VE0", "/messages/none", "/applications/VA" + "0" * 32):
        assert (await browser.get(path)).status == 404, path
    program = await browser.get("/v1/nowhere", {"accept": "application/json"})
    assert program.answer.headers["content-type"] == "application/problem+json"


async def test_a_form_that_is_too_large_or_of_another_kind_is_refused(small_console: Console):
    browser = await small_console.signed_in()
    assert (await browser.post("/settings/users", {"name": "x" * 600_000})).status == 413
    assert (await browser.post("/settings/users", [("name", "x")] * 5_000)).status == 413
    seen = await browser._ask("POST", "/settings/users", {**OWN, "content-type": "application/json"}, b'{"name": "x"}')
    assert seen.status == 422


async def test_a_stranger_may_send_no_more_than_a_name_and_a_password_take(small_console: Console):
    await small_console.user()
    stranger = small_console.browser()
    assert (await stranger.post("/sign-in", {"name": NAME, "password": "x" * 16_000})).status == 422
    assert (await stranger.post("/sign-in", {"name": NAME, "password": "x" * 17_000})).status == 413
    for place in range(2_000):
        stranger.cookies[f"otpost-{place}"] = "x" * 10
    assert (await stranger.sign_in()).status == 303


async def test_a_page_that_broke_says_where_to_look_and_the_log_says_why(
    small_console: Console, caplog: pytest.LogCaptureFixture
):
    async def broken(visit: Visit) -> Response:
        raise RuntimeError("the cupboard is bare")

    app = Front(Address(small_console.surroundings, Page("/broken/{sid}", get=broken, open=True)), None, ())
    answer = await ask(app, "GET", "/broken/+4915123456789", headers={"x-request-id": "r-1"})
    assert (answer.status, answer.headers["x-request-id"]) == (500, "r-1")
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "It is in the log under r-1." in answer.text
    (record,) = [record for record in caplog.records if record.name.startswith("otpost")]
    assert (record.levelname, record.getMessage()) == ("ERROR", "GET /broken/{sid} failed")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the cupboard is bare"


async def test_what_somebody_typed_never_becomes_markup(small_console: Console):
    browser = await small_console.signed_in()
    nasty = "<script>alert(1)</script>\"'>"
    seen = await browser.get("/verifications?q=%3Cscript%3Ealert(1)%3C/script%3E%22'%3E")
    assert nasty not in seen.html
    assert "&lt;script&gt;" in seen.html
    assert nasty not in (await browser.post("/settings/users", {"name": nasty})).html


async def test_a_database_that_is_away_is_said_with_a_page(small_console: Console):
    browser = await small_console.signed_in()
    await small_console.here.messaging.stop()
    await small_console.here.store.close()
    seen = await browser.post("/settings/users", {"name": "bob"})
    assert seen.status in (500, 503)
    assert "content-security-policy" in seen.answer.headers

"""Who comes in: passwords, sessions, limits, one-time links, and what strangers see."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from typing import Literal

import pytest
from argon2 import PasswordHasher

from otpost.services.audit import command_line_actor, list_lines
from otpost.services.tenants.passwords import PLACES, Passwords
from otpost.services.tenants.sign_in import LinkDead, SignInRefused, sign_in, use_link
from otpost.services.tenants.users import remove_user
from otpost.store.kinds import SESSIONS
from otpost.web.routes import PAGES
from web.browsing import NAME, OWN, PASSWORD, Browser, Console

MINUTE_S = 60
SOMEWHERE = "0" * 32


async def signed_in(browser: Browser) -> bool:
    return (await browser.get("/overview")).status == 200


async def test_the_front_door_leads_to_the_sign_in(console: Console):
    seen = await console.browser().get("/")
    assert (seen.status, seen.location) == (303, "/sign-in")


async def test_the_sign_in_is_a_form_even_before_there_is_a_user_and_says_how_to_make_one(console: Console):
    seen = await console.browser().get("/sign-in")
    assert seen.status == 200
    assert list(seen.form("/sign-in")) == ["name", "password"]
    assert "There is no user yet." in seen.text
    assert "otpost user create --name NAME" in seen.text
    await console.user()
    assert "There is no user yet." not in (await console.browser().get("/sign-in")).text


async def test_the_right_name_and_password_lead_in_and_a_wrong_one_does_not(console: Console):
    await console.user()
    browser = console.browser()
    seen = await browser.sign_in(password="correct horse batters")
    assert seen.status == 422
    assert "The name or the password is not right." in seen.text
    assert seen.form("/sign-in")["name"] == NAME
    assert seen.form("/sign-in")["password"] == ""
    assert not await signed_in(browser)
    seen = await browser.sign_in()
    assert (seen.status, seen.location) == (303, "/overview")
    assert await signed_in(browser)


async def test_an_unknown_name_reads_like_a_wrong_password(console: Console):
    await console.user()
    known = await console.browser().sign_in(password="not this password")
    unknown = await console.browser().sign_in(name="eve", password="not this password")
    assert known.status == unknown.status
    assert known.html == unknown.html.replace('value="eve"', f'value="{NAME}"')


async def test_an_unknown_name_costs_the_work_of_a_known_one():
    asked: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            asked.append(str(hash).rpartition("$")[0].rpartition("$")[0])
            return super().verify(hash, password)

    passwords = Passwords(Counting(time_cost=1, memory_cost=64, parallelism=1))
    known = await passwords.hash(PASSWORD)
    assert await passwords.verify(known, PASSWORD)
    assert not await passwords.verify(known, "wrong password")
    assert not await passwords.verify(None, PASSWORD)
    assert asked == ["$argon2id$v=19$m=64,t=1,p=1"] * 3
    passwords.close()


async def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(console: Console):
    await console.user()
    (cookie,) = (await console.browser().sign_in()).answer.cookies
    assert cookie.startswith("otpost=")
    assert cookie.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax"]


async def test_under_https_the_cookie_is_secure_and_bound_to_the_host(public_small_console: Console):
    await public_small_console.user()
    browser = public_small_console.browser()
    headers = {"host": "otp.example", "origin": "https://otp.example"}
    seen = await browser.post("/sign-in", {"name": NAME, "password": PASSWORD}, headers)
    (cookie,) = seen.answer.cookies
    assert cookie.startswith("__Host-otpost=")
    assert cookie.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    assert (await browser.get("/overview", {"host": "otp.example"})).status == 200


async def test_the_database_keeps_a_hash_of_the_session_and_not_its_token(console: Console):
    browser = await console.signed_in()
    token = browser.cookies["otpost"]
    kept = await console.here.store.get(SESSIONS, hashlib.sha256(token.encode()).hexdigest())
    assert kept is not None
    assert token not in repr(kept)


async def test_a_session_is_new_after_each_sign_in_and_the_former_one_is_dead(console: Console):
    browser = await console.signed_in()
    former = dict(browser.cookies)
    await browser.sign_in()
    assert browser.cookies["otpost"] != former["otpost"]
    assert await signed_in(browser)
    browser.cookies = former
    assert not await signed_in(browser)


async def test_a_token_that_somebody_else_planted_does_not_become_a_session(console: Console):
    await console.user()
    browser = console.browser()
    browser.cookies["otpost"] = "planted"
    await browser.sign_in()
    assert browser.cookies["otpost"] != "planted"


async def test_sign_out_ends_the_session_in_the_database(console: Console):
    browser = await console.signed_in()
    kept = dict(browser.cookies)
    seen = await browser.post("/sign-out")
    assert (seen.status, seen.location) == (303, "/sign-in")
    assert browser.cookies == {}
    browser.cookies = kept
    assert not await signed_in(browser)


async def test_sign_out_takes_no_link(console: Console):
    browser = await console.signed_in()
    assert (await browser.get("/sign-out")).status == 405
    assert await signed_in(browser)


async def test_a_session_that_nobody_uses_ends_after_two_hours(console: Console):
    browser = await console.signed_in()
    for _ in range(3):
        console.here.clock.advance(119 * MINUTE_S)
        assert await signed_in(browser)
    console.here.clock.advance(121 * MINUTE_S)
    assert not await signed_in(browser)


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used(console: Console):
    browser = await console.signed_in()
    for _ in range(7):
        console.here.clock.advance(100 * MINUTE_S)
        assert await signed_in(browser)
    console.here.clock.advance(20 * MINUTE_S)
    assert not await signed_in(browser)


async def test_five_wrong_passwords_from_an_address_shut_it_out_for_that_name_and_nobody_else(console: Console):
    await console.user()
    await console.user("bob")
    for _ in range(5):
        assert (await console.browser().sign_in(password="wrong password")).status == 422
    seen = await console.browser().sign_in()
    assert seen.status == 429
    assert "There were too many tries. Wait 10 minutes and try again." in seen.text
    assert "one-time link (Settings), or the operator, who makes one with otpost user link NAME." in seen.text
    assert "<code>otpost user link NAME</code>" in seen.html
    assert seen.answer.headers["retry-after"] == "600"
    assert (await console.browser("192.0.2.9").sign_in()).status == 303
    assert (await console.browser().sign_in("bob")).status == 303
    console.here.clock.advance(10 * MINUTE_S)
    assert (await console.browser().sign_in()).status == 303


async def test_a_name_under_attack_from_everywhere_gets_slower_and_never_closed_where_it_has_signed_in(
    console: Console,
):
    await console.signed_in()
    console.here.clock.advance(24 * 60 * MINUTE_S)
    for place in range(50):
        assert (await console.browser(f"198.51.100.{place}").sign_in(password="wrong password")).status == 422
    stranger = await console.browser("203.0.113.1").sign_in()
    assert (stranger.status, stranger.answer.headers["retry-after"]) == (429, "600")
    assert (await console.browser().sign_in()).status == 303
    assert (await console.browser().sign_in(password="wrong password")).status == 422
    slower = await console.browser().sign_in()
    assert (slower.status, slower.answer.headers["retry-after"]) == (429, "10")
    assert "Wait 10 seconds and try again." in slower.text
    console.here.clock.advance(10)
    assert (await console.browser().sign_in()).status == 303


async def test_an_address_that_has_signed_in_is_not_shut_out_by_who_shares_it(console: Console):
    await console.signed_in()
    for place in range(20):
        await console.browser().sign_in(f"user {place}", "wrong password")
    for _ in range(5):
        await console.browser().sign_in(password="wrong password")
        console.here.clock.advance(10)
    assert (await console.browser().sign_in()).status == 303
    assert (await console.browser().sign_in("user 1", "wrong password")).status == 429


async def test_a_one_time_link_lets_in_where_the_door_is_shut_and_opens_it(console: Console):
    user = await console.user()
    for _ in range(6):
        await console.browser().sign_in(password="wrong password")
    link = await console.link(user)
    fields = {**(await console.browser().get(link)).form("/sign-in"), "password": "another password"}
    assert (await console.browser().post("/sign-in", fields)).status == 303
    assert (await console.browser().sign_in(password="another password")).status == 303


async def test_sign_ins_beyond_a_short_queue_are_told_so_at_once_and_use_up_no_try(small_console: Console):
    passwords = small_console.surroundings.passwords
    await small_console.user()
    with contextlib.ExitStack() as taken:
        for _ in range(PLACES):
            taken.enter_context(passwords.place())
        for _ in range(20):
            assert (await small_console.browser().sign_in()).status == 503
        seen = await small_console.browser().sign_in()
        assert seen.answer.headers["retry-after"] == "5"
        assert "Too many people sign in at this moment." in seen.text
        assert seen.form("/sign-in")["name"] == NAME
        user = await small_console.user("bob", None)
        link = await small_console.link(user)
        fields = {**(await small_console.browser().get(link)).form("/sign-in"), "password": PASSWORD}
        busy = await small_console.browser().post("/sign-in", fields)
        assert busy.status == 503
        assert "Too many people sign in at this moment." in busy.text
    assert (await small_console.browser().sign_in()).status == 303


async def test_a_password_that_is_changed_while_the_old_one_is_looked_at_lets_nobody_in(small_console: Console):
    looked_at, changed = threading.Event(), threading.Event()

    class Slow(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            looked_at.set()
            assert changed.wait(10)
            return super().verify(hash, password)

    user = await small_console.user()
    link = await small_console.link(user)
    slow = Passwords(Slow(time_cost=1, memory_cost=64, parallelism=1))
    entering = asyncio.create_task(sign_in(small_console.here.context, slow, NAME, PASSWORD, "192.0.2.1", former=None))
    assert await asyncio.to_thread(looked_at.wait, 10)
    fields = {**(await small_console.browser().get(link)).form("/sign-in"), "password": "another password"}
    assert (await small_console.browser().post("/sign-in", fields)).status == 303
    changed.set()
    with pytest.raises(SignInRefused):
        await entering
    slow.close()


async def test_of_two_who_use_one_link_at_once_one_comes_in(console: Console):
    link = (await console.link(await console.user())).partition("=")[2]
    fields = {"link": link, "password": "another password"}
    both = await asyncio.gather(*(console.browser().post("/sign-in", fields) for _ in range(2)))
    assert sorted(seen.status for seen in both) == [303, 410]


async def test_a_user_who_is_removed_while_he_opens_his_link_does_not_come_in(small_console: Console):
    started, removed = threading.Event(), threading.Event()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            started.set()
            assert removed.wait(10)
            return super().hash(password, salt=salt)

    user, here = await small_console.user(), small_console.here
    token = (await small_console.link(user)).partition("=")[2]
    slow = Passwords(Slow(time_cost=1, memory_cost=64, parallelism=1))
    entering = asyncio.create_task(
        use_link(here.context, slow, token, "", "another password", "192.0.2.1", former=None)
    )
    assert await asyncio.to_thread(started.wait, 10)
    await here.store.run(remove_user(here.context, command_line_actor(here.tenant.sid), user.sid))
    removed.set()
    with pytest.raises(LinkDead):
        await entering
    slow.close()


async def test_the_log_and_the_trail_tell_who_came_in_from_where_and_who_did_not(
    small_console: Console, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "otpost")
    await small_console.user()
    await small_console.browser().sign_in(password="wrong password")
    await small_console.browser().sign_in("my secret typed here", "x")
    browser = small_console.browser("2001:db8::7")
    await browser.sign_in()
    assert [record.getMessage() for record in caplog.records] == [
        "a sign-in was refused: user 'ada' (from 192.0.2.1)",
        "a sign-in was refused: no such user (from 192.0.2.1)",
        "user 'ada' signed in (from 2001:db8::7)",
    ]
    lines = (await list_lines(small_console.here.context, small_console.here.tenant.sid, limit=2, cursor=None)).rows
    assert [(line.what, line.client) for line in lines] == [
        ("signed in", "2001:db8::7"),
        ("sign-in refused", "192.0.2.1"),
    ]
    await browser.post("/settings/auth-token")
    (line,) = (await list_lines(small_console.here.context, small_console.here.tenant.sid, limit=1, cursor=None)).rows
    assert (line.what, line.client) == ("auth token made", "2001:db8::7")


async def test_twenty_wrong_names_in_ten_minutes_shut_the_door_for_an_address_and_for_it_alone(console: Console):
    await console.user()
    for place in range(20):
        assert (await console.browser("2001:db8::1").sign_in(f"user {place}", "wrong password")).status == 422
    assert (await console.browser("2001:db8::ffff").sign_in()).status == 429
    assert (await console.browser("2001:db8:0:1::1").sign_in()).status == 303


async def test_right_passwords_use_up_no_place(console: Console):
    await console.user()
    browser = console.browser()
    for _ in range(25):
        assert (await browser.sign_in()).status == 303


async def test_one_is_led_back_to_the_page_that_was_asked_for(console: Console):
    await console.user()
    browser = console.browser()
    seen = await browser.get("/messages?status=failed")
    assert (seen.status, seen.location) == (303, "/sign-in?next=%2Fmessages%3Fstatus%3Dfailed")
    fields = (await browser.get(seen.location)).form("/sign-in")
    assert fields["next"] == "/messages?status=failed"
    seen = await browser.post("/sign-in", {**fields, "name": NAME, "password": PASSWORD})
    assert seen.location == "/messages?status=failed"


@pytest.mark.parametrize(
    "where",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/ /evil.example", "/\t/evil.example", "/é"],
)
async def test_nobody_is_led_to_another_site_after_signing_in(small_console: Console, where: str):
    await small_console.user()
    seen = await small_console.browser().post("/sign-in", {"name": NAME, "password": PASSWORD, "next": where})
    assert (seen.status, seen.location) == (303, "/overview")


async def test_no_page_is_open_to_strangers_but_the_sign_in(console: Console):
    await console.user()
    browser = console.browser()
    for page in PAGES:
        target = page.path.replace("{sid}", "VE" + SOMEWHERE).replace("{key}", "SK" + SOMEWHERE)
        for method in ("GET", "POST"):
            seen = await (browser.get(target) if method == "GET" else browser.post(target))
            if target == "/sign-in":
                assert seen.status == (200 if method == "GET" else 422)
            elif target == "/":
                assert seen.status == (303 if method == "GET" else 405)
            else:
                assert (seen.status, seen.location.partition("?")[0]) == (303, "/sign-in"), (method, target)
    for target in ("/nowhere", "/verifications/x/y"):
        assert (await browser.get(target)).location.partition("?")[0] == "/sign-in"


async def test_htmx_is_told_to_take_the_whole_page_to_the_sign_in(console: Console):
    seen = await console.browser().get("/sandbox/threads?seen=none", {"hx-request": "true", **OWN})
    assert seen.status == 204
    assert seen.answer.headers["hx-redirect"] == "/sign-in"


async def test_a_one_time_link_makes_the_first_user_once(console: Console):
    link = await console.link()
    browser = console.browser()
    assert (await browser.get(link)).status == 200
    seen = await browser.get(link)
    assert seen.status == 200
    assert "Make the first user" in seen.text
    fields = {**seen.form("/sign-in"), "name": NAME, "password": PASSWORD}
    seen = await browser.post("/sign-in", fields)
    assert (seen.status, seen.location) == (303, "/overview")
    assert await signed_in(browser)
    again = await console.browser().post("/sign-in", {**fields, "name": "eve"})
    assert again.status == 410
    assert "This link does not work any more" in again.text
    assert (await console.browser().sign_in()).status == 303
    assert (await console.browser().sign_in("eve")).status == 422


async def test_the_link_for_the_first_user_is_dead_as_soon_as_there_is_one(console: Console):
    link = await console.link()
    await console.user()
    assert (await console.browser().get(link)).status == 410
    token = link.partition("=")[2]
    seen = await console.browser().post("/sign-in", {"link": token, "name": "eve", "password": PASSWORD})
    assert seen.status == 410
    assert (await console.browser().sign_in("eve")).status == 422


async def test_a_link_is_dead_after_an_hour(console: Console):
    link = await console.link()
    console.here.clock.advance(60 * MINUTE_S - 1)
    assert (await console.browser().get(link)).status == 200
    console.here.clock.advance(1)
    assert (await console.browser().get(link)).status == 410


async def test_a_link_that_never_was_is_dead(console: Console):
    assert (await console.browser().get("/sign-in?link=made-up")).status == 410


async def test_what_was_typed_stays_when_the_password_is_too_short(console: Console):
    link = await console.link()
    token = link.partition("=")[2]
    seen = await console.browser().post("/sign-in", {"link": token, "name": "grace", "password": "short"})
    assert seen.status == 422
    assert "1 field needs your attention" in seen.text
    assert "The password has at least 10 characters." in seen.text
    assert seen.form("/sign-in") == {"link": token, "name": "grace", "password": ""}
    assert (await console.browser().get(link)).status == 200


async def test_a_users_link_sets_the_password_ends_other_sessions_and_other_links(console: Console):
    user = await console.user()
    elsewhere = await console.signed_in()
    first, second = await console.link(user), await console.link(user)
    seen = await console.browser().get(first)
    assert f"For {NAME}." in seen.text
    browser = console.browser()
    seen = await browser.post("/sign-in", {"link": first.partition("=")[2], "password": "another password"})
    assert seen.status == 303
    assert await signed_in(browser)
    assert not await signed_in(elsewhere)
    assert (await console.browser().get(second)).status == 410
    assert (await console.browser().sign_in()).status == 422
    assert (await console.browser().sign_in(password="another password")).status == 303


async def test_a_user_without_a_password_cannot_sign_in(console: Console):
    await console.user("bob", None)
    for password in ("", "None", PASSWORD):
        assert (await console.browser().sign_in("bob", password)).status == 422

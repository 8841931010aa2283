"""What the console makes of a request before its page is: own forms, cookies and their flags, the client."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.routing import Router

from asgi import ask
from otpost.web.request import read_browser, read_cookies
from otpost.web.routes import make_routes
from web.browsing import NAME, OWN, PASSWORD, Console

PROXIES = (ip_network("127.0.0.0/8"),)


def scope(*headers: tuple[str, str], scheme: str = "http", client: Any = ("127.0.0.1", 1)) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode()) for name, value in (("host", "otpost.test"), *headers)]
    return {"type": "http", "scheme": scheme, "client": client, "headers": pairs}


@pytest.mark.parametrize(
    ("site", "origin", "own"),
    [
        ("same-origin", "http://otpost.test", True),
        ("same-origin", None, True),
        (None, "http://otpost.test", True),
        (None, None, False),
        ("same-site", "http://otpost.test", False),
        ("cross-site", None, False),
        ("none", None, False),
        ("same-origin", "http://evil.example", False),
        (None, "http://evil.example", False),
        (None, "null", False),
    ],
)
def test_site_and_origin_are_both_judged(site: str | None, origin: str | None, own: bool) -> None:
    given = [(name, value) for name, value in (("sec-fetch-site", site), ("origin", origin)) if value is not None]
    assert read_browser(scope(*given), None, ()).own is own


def test_what_a_proxy_forwards_is_known_of_the_request() -> None:
    headers = (("x-forwarded-for", "198.51.100.9:4711"), ("x-forwarded-proto", "https"))
    seen = read_browser(scope(*headers, ("origin", "https://otpost.test")), None, PROXIES)
    assert (seen.address, seen.secure, seen.own, seen.base) == ("198.51.100.9", True, True, "https://otpost.test")
    seen = read_browser(scope(*headers), "https://otp.example", ())
    assert (seen.address, seen.secure, seen.base) == ("127.0.0.1", False, "http://otpost.test")
    assert read_browser(scope(client=None), None, ()).address == "127.0.0.1"
    given = (("accept", "otpost=x"), ("cookie", "a=1; otpost=t"), ("cookie", "otpost-theme=dark"))
    assert read_browser(scope(*given), None, ()).cookies == {"otpost": "t", "otpost-theme": "dark"}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        ([b"otpost=a"], {"otpost": "a"}),
        ([b"x=1; otpost=a=b; __Host-otpost=c;otpost-theme=dark"],
         {"otpost": "a=b", "__Host-otpost": "c", "otpost-theme": "dark"}),
        ([b"otpost=first; otpost=second"], {"otpost": "first"}),
        ([b"x=1", b"otpost=a"], {"otpost": "a"}),
        ([b"otpost-flash=k1%3A%2B%2F%3D"], {"otpost-flash": "k1%3A%2B%2F%3D"}),
        ([b"xotpost=1; OTPOST=2; ot=3; =4; ; otpost"], {"otpost": ""}),
        ([b"bad(name)=1; other=\"a; otpost=a"], {"otpost": "a"}),
    ],
)  # fmt: skip
def test_our_cookies_alone_are_read(headers: list[bytes], found: dict[str, str]) -> None:
    assert read_cookies(headers) == found


FLAGS: dict[tuple[str, str | None], str] = {
    ("http", None): "otpost=…; Path=/; HttpOnly; SameSite=Lax",
    ("https", None): "__Host-otpost=…; Path=/; HttpOnly; SameSite=Lax; Secure",
    ("http", "https://otp.example"): "otpost=…; Path=/; HttpOnly; SameSite=Lax",
    ("https", "https://otp.example"): "__Host-otpost=…; Path=/; HttpOnly; SameSite=Lax; Secure",
}


@pytest.mark.parametrize("public", [None, "https://otp.example"])
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("proto", ["http", "https"])
async def test_the_cookies_flags_follow_the_scheme_that_a_trusted_proxy_tells(
    small_console: Console, proto: str, trusted: bool, public: str | None
):
    await small_console.user()
    surroundings = replace(small_console.surroundings, public_url=public, trusted_proxies=PROXIES if trusted else ())
    app = Router(make_routes(surroundings))
    headers = {**OWN, "content-type": "application/x-www-form-urlencoded", "x-forwarded-proto": proto}
    if proto == "https" and trusted:
        headers["origin"] = "https://otpost.test"
    answer = await ask(app, "POST", "/sign-in", headers=headers, body=f"name={NAME}&password={PASSWORD}".encode())
    assert answer.status == 303
    (cookie,) = answer.cookies
    name, _, rest = cookie.partition("=")
    assert f"{name}=…; {rest.partition('; ')[2]}" == FLAGS[proto if trusted else "http", public]


async def test_behind_a_proxy_that_writes_ports_each_client_has_its_own_count_of_wrong_sign_ins(small_console: Console):
    await small_console.user()
    app = Router(make_routes(replace(small_console.surroundings, trusted_proxies=PROXIES)))

    async def sign_in(forwarded: str, name: str, password: str, peer: str = "127.0.0.1") -> int:
        headers = {**OWN, "content-type": "application/x-www-form-urlencoded", "x-forwarded-for": forwarded}
        body = f"name={name}&password={password}".encode()
        return (await ask(app, "POST", "/sign-in", headers=headers, body=body, client=(peer, 1))).status

    for place in range(20):
        assert await sign_in(f"198.51.100.9:{4000 + place}", f"user{place}", "wrong password") == 422
    assert await sign_in("198.51.100.9:5000", NAME, PASSWORD) == 429
    assert await sign_in("[2001:db8:5::7]:443", NAME, PASSWORD) == 303
    assert await sign_in("64:ff9b::203.0.113.5", NAME, PASSWORD, peer="::ffff:127.0.0.1") == 303

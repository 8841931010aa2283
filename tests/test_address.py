"""Addresses as people and proxies write them, and what a request's headers say of its caller."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, NamedTuple

import pytest

from otpost import config
from otpost.address import LONGEST, NOBODY, read_address, read_caller, read_network
from otpost.outbound import Outbound


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("198.51.100.9:4711", "198.51.100.9"),
        (' "198.51.100.9:4711" ', "198.51.100.9"),
        ("2001:db8:5::7", "2001:db8:5::7"),
        ("[2001:db8:5::7]", "2001:db8:5::7"),
        ("[2001:DB8:5:0::7]:443", "2001:db8:5::7"),
        ('"[2001:db8:5::7]:443"', "2001:db8:5::7"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("[::ffff:7f00:1]:8080", "127.0.0.1"),
        ("64:ff9b::198.51.100.9", "198.51.100.9"),
        ("[64:ff9b::c633:6409]:1", "198.51.100.9"),
        ("64:ff9b:1::198.51.100.9", "64:ff9b:1::c633:6409"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%eth0]:80", "fe80::1"),
        ("::1", "::1"),
        ("::1%" + "a" * (LONGEST - 4), "::1"),
    ],
)
def test_an_address_is_read_in_every_form_in_which_proxies_write_it(written: str, meant: str) -> None:
    assert str(read_address(written)) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "unknown",
        "_hidden",
        "198.51.100",
        "198.51.100.9.1",
        "198.51.100.09",
        "198.51.100.9:",
        "198.51.100.9:port",
        "198.51.100.9:123456",
        "[198.51.100.9]:80",
        "[2001:db8::7",
        "2001:db8::7]:443",
        "[2001:db8::7]443",
        "[2001:db8::7]:",
        "1.2.3.4/32",
        "::g",
        "١.٢.٣.٤",
        "::1%" + "a" * (LONGEST - 3),
    ],
)
def test_what_is_no_address_is_none(written: str) -> None:
    assert read_address(written) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("fd00::/8", "fd00::/8"),
        ("[fd00::]/8", "fd00::/8"),
        ("[::1]", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("64:ff9b::10.0.0.0/104", "10.0.0.0/8"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_read_in_the_same_forms(written: str, meant: str) -> None:
    assert read_network(written) == ip_network(meant)
    read = config.read({"OTPOST_TRUSTED_PROXIES": written, "OTPOST_OUTBOUND_ALLOW": written})
    assert read.trusted_proxies == read.outbound_allow == (ip_network(meant),)


def test_a_network_with_bits_beyond_its_length_is_named_as_it_is_meant() -> None:
    with pytest.raises(config.ConfigError, match=r"write 10\.0\.0\.0/8\."):
        config.read({"OTPOST_TRUSTED_PROXIES": "::ffff:10.1.2.3/104"})


async def test_an_allowed_network_is_allowed_in_the_forms_that_carry_it() -> None:
    out = Outbound(allow=(ip_network("10.0.0.0/8"),))
    for host in ("10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1"):
        assert await out.judge(f"https://{f'[{host}]' if ':' in host else host}/") is None, host
    await out.close()


PROXIES = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PUBLIC = "https://otp.example"
NEAR, FAR = "127.0.0.1", "192.0.2.1"


class Case(NamedTuple):
    """A connection with its headers, and what is to be known of it: client, https or not, base, own origins."""

    peer: str
    headers: dict[str, str]
    public: str | None
    address: str
    secure: bool
    base: str
    own: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ("https://evil.example", "null", "", "http://[::1", "file://otpost.test")
    scheme: str = "http"


FORWARDED = {"x-forwarded-for": "198.51.100.9", "x-forwarded-proto": "https", "x-forwarded-host": "otp.example"}
HERE = "http://otpost.test"

CASES: dict[str, Case] = {
    "nobody between": Case(FAR, {}, None, FAR, False, HERE, (HERE, "http://otpost.test:80")),
    "nobody between, tls": Case(
        FAR, {}, None, FAR, True, "https://otpost.test", ("https://otpost.test:443",), scheme="https"
    ),
    "another port is another page": Case(FAR, {}, None, FAR, False, HERE, foreign=("http://otpost.test:8080",)),
    "a stranger forwards": Case(FAR, FORWARDED, None, FAR, False, HERE, (HERE,), ("https://otp.example",)),
    "a stranger forwards, public": Case(FAR, FORWARDED, PUBLIC, FAR, False, HERE, (HERE, PUBLIC)),
    "a proxy": Case(NEAR, FORWARDED, None, "198.51.100.9", True, PUBLIC, (PUBLIC, HERE)),
    "a proxy over http": Case(
        NEAR, {**FORWARDED, "x-forwarded-proto": "http"}, None, "198.51.100.9", False, "http://otp.example"
    ),
    "a proxy in capitals": Case(
        NEAR, {"x-forwarded-proto": "HTTPS", "x-forwarded-host": "OTP.Example"}, None, NEAR, True,
        "https://OTP.Example", (PUBLIC,),
    ),
    "a proxy that keeps the host": Case(
        NEAR, {"x-forwarded-for": "198.51.100.9", "x-forwarded-proto": "https"}, None, "198.51.100.9", True,
        "https://otpost.test", ("https://otpost.test",),
    ),
    "a proxy that tells nothing": Case(NEAR, {}, None, NEAR, False, HERE, (HERE,)),
    "a proxy that tells nothing, public": Case(NEAR, {}, PUBLIC, NEAR, False, HERE, (PUBLIC,)),
    "public by the host": Case(FAR, {"host": "OTP.example"}, PUBLIC, FAR, True, "https://OTP.example", (PUBLIC,)),
    "public http by the host": Case(
        FAR, {"host": "otp.example"}, "http://otp.example", FAR, False, "http://otp.example", ("http://otp.example",)
    ),
    "public by the forwarded host": Case(
        NEAR, {"x-forwarded-host": "otp.example"}, PUBLIC, NEAR, True, PUBLIC, (PUBLIC,)
    ),
    "a port in the hop": Case(NEAR, {"x-forwarded-for": "198.51.100.9:4711"}, None, "198.51.100.9", False, HERE),
    "brackets in the hop": Case(NEAR, {"x-forwarded-for": "[2001:db8:5::7]:443"}, None, "2001:db8:5::7", False, HERE),
    "a mapped peer": Case("::ffff:127.0.0.1", FORWARDED, None, "198.51.100.9", True, PUBLIC),
    "a mapped client": Case("::ffff:192.0.2.1", {}, None, FAR, False, HERE),
    "a translated hop": Case(NEAR, {"x-forwarded-for": "64:ff9b::198.51.100.9"}, None, "198.51.100.9", False, HERE),
    "a proxy with IPv6": Case("fd00::1", FORWARDED, None, "198.51.100.9", True, PUBLIC),
    "what the client forged": Case(
        NEAR, {"x-forwarded-for": "203.0.113.1, 198.51.100.9"}, None, "198.51.100.9", False, HERE
    ),
    "two proxies": Case(
        NEAR,
        {"x-forwarded-for": "198.51.100.9, 10.0.0.2:99", "x-forwarded-proto": "https, http"},
        None, "198.51.100.9", True, "https://otpost.test",
    ),
    "two proxies, forged": Case(
        NEAR,
        {"x-forwarded-for": "203.0.113.1,198.51.100.9,10.0.0.2", "x-forwarded-proto": "https, http, http"},
        None, "198.51.100.9", False, HERE,
    ),
    "two proxies, one name": Case(
        NEAR, {**FORWARDED, "x-forwarded-for": "198.51.100.9, 10.0.0.2"}, None, "198.51.100.9", True, PUBLIC
    ),
    "proxies alone": Case(NEAR, {"x-forwarded-for": "10.0.0.3, 10.0.0.2"}, None, "10.0.0.3", False, HERE),
    "a hop that cannot be read": Case(NEAR, {"x-forwarded-for": "198.51.100.9, unknown"}, None, NEAR, False, HERE),
    "a peer that cannot be read": Case("/run/otpost.sock", {}, None, NOBODY, False, HERE),
    "a host that is none": Case(FAR, {"host": 'x"><script>'}, None, FAR, False, "http://localhost"),
    "a forwarded host that is none": Case(
        NEAR, {**FORWARDED, "x-forwarded-host": "a b"}, None, "198.51.100.9", True, "https://localhost"
    ),
    "no host": Case(FAR, {"host": ""}, None, FAR, False, "http://localhost", foreign=("http://", "http://otpost.test")),
    "IPv6 as host": Case(FAR, {"host": "[::1]:8080"}, None, FAR, False, "http://[::1]:8080", ("http://[::1]:8080",)),
}  # fmt: skip


def asked(case: Case) -> dict[str, Any]:
    """The arguments of `read_caller` for a case."""
    headers = {"host": "otpost.test", "accept": "*/*", **case.headers}
    return {
        "peer": case.peer,
        "scheme": case.scheme,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "public_url": case.public,
        "trusted": PROXIES,
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_peer_headers_and_public_url_tell_client_scheme_and_own_page(case: Case) -> None:
    caller = read_caller(**asked(case))
    assert (caller.address, caller.secure, caller.base) == (case.address, case.secure, case.base)
    assert [origin for origin in case.own if not caller.made(origin)] == []
    assert [origin for origin in case.foreign if caller.made(origin)] == []


def test_a_header_that_stands_twice_is_one_list() -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.9"), (b"x-forwarded-for", b"10.0.0.2")]
    assert read_caller(NEAR, "http", headers, None, PROXIES).address == "198.51.100.9"
    hosts = [(b"host", b"one.example"), (b"host", b"two.example")]
    assert read_caller(NEAR, "http", hosts, None, PROXIES).host == "two.example"


def test_without_trusted_proxies_nothing_is_believed() -> None:
    headers = [(name.encode(), value.encode()) for name, value in FORWARDED.items()]
    caller = read_caller(NEAR, "http", headers, None, ())
    assert (caller.address, caller.secure, caller.base) == (NEAR, False, "http://localhost")
    assert read_caller(None, "http", headers, None, ()).address == NOBODY

"""The guard, the time-outs and the three ways to fail, against sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from otpost import __version__
from otpost.outbound import AnswerLost, NotConnected, Outbound, OutboundRefused, Response, is_public

LOOPBACK = (ip_network("127.0.0.0/8"),)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: 7\r\n\r\nok"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Counts the connections it gets, keeps each request as it came, and answers with the answers in turn."""

    def __init__(self, answers: Sequence[bytes | Answer]) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
                self.requests.append(head + body)
                self.asked.set()
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def listening(*answers: bytes | Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    listener = Listener(answers or [OK])
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        listener.stop()
        await server.wait_closed()


@asynccontextmanager
async def outbound(
    *,
    allow: Sequence[IPv4Network | IPv6Network] = (),
    proxy: str | None = None,
    connections: int = 256,
    resolver: AbstractResolver | None = None,
    connect_s: float = 5.0,
    total_s: float = 10.0,
) -> AsyncIterator[Outbound]:
    door = Outbound(
        allow=allow, proxy=proxy, connections=connections, connect_s=connect_s, total_s=total_s, resolver=resolver
    )
    try:
        yield door
    finally:
        await door.close()


class Names(AbstractResolver):
    """Answers each look-up of a name with the next of its lists of addresses, the last one for good."""

    def __init__(self, **names: Sequence[str | Sequence[str]]) -> None:
        self.names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in ([answer] if isinstance(answer, str) else answer)
        ]

    async def close(self) -> None:
        pass


class Silence(Names):
    """A name server that never answers."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        await asyncio.Event().wait()
        return []


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def then_hang_up(answer: bytes) -> Answer:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return send


def pem_of_a_new_key(path: Path) -> Path:
    """A key with a certificate for localhost that nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS context with a certificate for localhost that nobody has signed but itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem_of_a_new_key(tmp_path / "server.pem"))
    return context


async def test_a_request_is_sent_as_given_and_its_answer_read_whole() -> None:
    async with listening() as listener, outbound(allow=LOOPBACK) as door:
        answer = await door.request(
            "POST",
            f"http://127.0.0.1:{listener.port}/a%2Fb/x.json?q=%2B1+2%20c",
            headers={"Authorization": "Basic QTpC", "Content-Type": "application/x-www-form-urlencoded"},
            body=b"To=%2B491",
        )
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, b"ok", "7")
    assert listener.requests == [
        f"POST /a%2Fb/x.json?q=%2B1+2%20c HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{listener.port}\r\n"
        "Authorization: Basic QTpC\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: identity\r\n"
        f"User-Agent: otpost/{__version__}\r\n"
        "Content-Length: 9\r\n\r\n"
        "To=%2B491".encode()
    ]


async def test_a_connection_is_kept_for_the_next_request_and_no_cookie_is() -> None:
    cookie = b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n"
    async with listening(cookie) as listener, outbound(allow=LOOPBACK) as door:
        for _ in range(3):
            assert (await door.request("GET", f"http://127.0.0.1:{listener.port}/")).status == 204
    assert listener.connections == 1
    assert len(listener.requests) == 3
    assert b"cookie" not in b"".join(listener.requests).lower()


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with listening() as inside, outbound(allow=LOOPBACK) as door:
        away = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside.port}/\r\nContent-Length: 0\r\n\r\n"
        async with listening(away.encode()) as listener:
            answer = await door.request("POST", f"http://127.0.0.1:{listener.port}/", body=b"x")
    assert (answer.status, answer.headers["Location"]) == (302, f"http://127.0.0.1:{inside.port}/")
    assert (len(listener.requests), inside.connections) == (1, 0)


async def test_a_compressed_answer_is_handed_on_as_it_came() -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    async with listening(packed) as listener, outbound(allow=LOOPBACK) as door:
        assert (await door.request("GET", f"http://127.0.0.1:{listener.port}/")).body == b"abc"


def test_an_answer_does_not_show_its_body() -> None:
    assert repr(Response(201, {}, b"428117 is your code")) == "Response(201, 19 bytes)"


INSIDE = [
    "127.0.0.1",
    "127.1",
    "127.0.0.1.",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "0",
    "0.0.0.0",
    "１２７.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "localhost",
    "LOCALHOST",
    "localhost.",
]


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("host", INSIDE)
async def test_no_spelling_of_the_loopback_address_is_connected_to(host: str, scheme: str) -> None:
    async with listening() as listener, outbound() as door:
        url = f"{scheme}://{host}:{listener.port}/"
        with pytest.raises(OutboundRefused):
            await door.request("POST", url, body=b"x")
        assert await door.judge(url) is not None
    assert listener.connections == 0


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "127.0.0.1."])
async def test_an_unusual_spelling_is_refused_even_for_an_allowed_address(host: str) -> None:
    async with outbound(allow=LOOPBACK) as door:
        assert await door.judge(f"https://{host}/") == "Write the address as 127.0.0.1."


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.8.9.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:808:808::f7f7:f7f7",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:c0a8:101::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%2",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_not_of_the_public_internet_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "223.255.255.254",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_what_is_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "100.64.0.1", "::1", "::ffff:127.0.0.1", "fd00::1"]
)
async def test_a_name_that_leads_inside_is_refused_and_nothing_connected(address: str) -> None:
    names = Names(sms_example=[address])
    async with listening() as listener, outbound(resolver=names) as door:
        url = f"https://sms.example:{listener.port}/"
        with pytest.raises(OutboundRefused) as refusal:
            await door.request("POST", url, body=b"x")
        assert refusal.value.reason == await door.judge(url)
    shown = address.removeprefix("::ffff:")
    assert refusal.value.reason == (
        f"sms.example leads to {shown}, which is not a public address; use a public one, "
        "or have the operator add it to OTPOST_OUTBOUND_ALLOW."
    )
    assert listener.connections == 0


async def test_a_name_that_changes_its_address_after_it_was_judged_is_refused_when_it_is_connected_to() -> None:
    names = Names(sms_example=["93.184.215.14", "127.0.0.1"])
    async with listening() as listener, outbound(resolver=names) as door:
        url = f"https://sms.example:{listener.port}/"
        assert await door.judge(url) is None
        with pytest.raises(OutboundRefused, match=r"sms\.example leads to 127\.0\.0\.1, which is not a public address"):
            await door.request("POST", url, body=b"x")
    assert names.asked == ["sms.example", "sms.example"]
    assert listener.connections == 0


async def test_of_several_addresses_only_the_permitted_one_is_connected_to() -> None:
    allowed = (ip_network("127.0.0.1/32"),)
    names = Names(sms_example=[["10.0.0.1", "::1", "127.0.0.2", "127.0.0.1"]])
    async with listening() as listener, outbound(resolver=names, allow=allowed) as door:
        url = f"http://sms.example:{listener.port}/"
        assert await door.judge(url) is None
        assert (await door.request("GET", url)).status == 200
    assert listener.connections == 1


async def test_a_name_of_which_every_address_lies_inside_is_refused() -> None:
    names = Names(sms_example=[["10.0.0.1", "fd00::1", "127.0.0.1", "::1"]])
    async with listening() as listener, outbound(resolver=names) as door:
        url = f"https://sms.example:{listener.port}/"
        with pytest.raises(OutboundRefused, match="not a public address"):
            await door.request("POST", url, body=b"x")
        assert "not a public address" in (await door.judge(url) or "")
    assert listener.connections == 0


async def test_a_permitted_address_that_is_down_beside_a_refused_one_is_worth_another_try() -> None:
    async with listening() as listener:
        port = listener.port
    names = Names(sms_example=[["127.0.0.1", "10.0.0.1"]])
    async with outbound(resolver=names, allow=LOOPBACK) as door:
        with pytest.raises(NotConnected):
            await door.request("POST", f"http://sms.example:{port}/", body=b"x")


@pytest.mark.parametrize("allow", [(), LOOPBACK])
async def test_plain_http_to_a_public_address_is_refused_before_anything_is_sent(allow: Sequence[IPv4Network]) -> None:
    names = Names(sms_example=["93.184.215.14"])
    async with outbound(resolver=names, allow=allow) as door:
        for url in ("http://sms.example/", "http://93.184.215.14/"):
            with pytest.raises(OutboundRefused, match="may only be called with https://"):
                await door.request("POST", url, body=b"x")
            assert "may only be called with https://" in (await door.judge(url) or "")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "The address has to begin with https://."),
        ("api.example.com", "The address has to begin with https://."),
        ("ftp://api.example.com/", "The address has to begin with https://."),
        ("file:///etc/passwd", "The address has to begin with https://."),
        ("ws://api.example.com/", "The address has to begin with https://."),
        (
            "http://api.example.com/",
            "api.example.com may only be called with https://; http:// is for addresses in OTPOST_OUTBOUND_ALLOW.",
        ),
        ("https:///path", "The address names no host; write it like https://api.example.com/path."),
        ("https://", "The address names no host; write it like https://api.example.com/path."),
        (
            "https://ada:pw@api.example.com/",
            "The address holds a user name or password; put them in the fields made for them.",
        ),
        (
            "https://ada@api.example.com/",
            "The address holds a user name or password; put them in the fields made for them.",
        ),
        (
            "https://api.example.com\\@127.0.0.1/",
            "This is not a web address; write it like https://api.example.com/path.",
        ),
        ("https://api.example.com/#top", "The address holds a fragment; remove everything from # on."),
        ("https://api.example.com/#", "The address holds a fragment; remove everything from # on."),
        ("https://api.example.com:0/", "The port has to be between 1 and 65535."),
        ("https://api.example.com:70000/", "This is not a web address; write it like https://api.example.com/path."),
        ("https://api.example.com:x/", "This is not a web address; write it like https://api.example.com/path."),
        ("https://[::1/", "This is not a web address; write it like https://api.example.com/path."),
        (
            "https://api.example.com/a b",
            "The address holds a blank or a control character; remove it, or write it as %20.",
        ),
        (
            "https://api.example.com/\r\nX: y",
            "The address holds a blank or a control character; remove it, or write it as %20.",
        ),
        ("https://a..b/", "The host is neither a name nor an address; write it like api.example.com."),
        ("https://./", "The host is neither a name nor an address; write it like api.example.com."),
        ("https://%6cocalhost/", "The host is neither a name nor an address; write it like api.example.com."),
        (f"https://{'a' * 64}.example/", "The host is neither a name nor an address; write it like api.example.com."),
        (
            "https://10.0.0.1/",
            "10.0.0.1 is not a public address; use a public one, or have the operator add it to OTPOST_OUTBOUND_ALLOW.",
        ),
        ("https://api.example.com/2010-04-01/?a=%20b", None),
        ("https://api.example.com:8443", None),
        ("https://api.example.com./", None),
        ("https://bücher.example/", None),
        ("https://93.184.215.14/", None),
        ("https://[2606:4700:4700::1111]/", None),
        ("https://no-such-name.example/", None),
    ],
)
async def test_a_url_of_the_settings_is_judged_without_connecting(url: str, reason: str | None) -> None:
    names = Names(api_example_com=["93.184.215.14"])
    async with outbound(resolver=names) as door:
        assert await door.judge(url) == reason
        if reason is not None:
            with pytest.raises(OutboundRefused) as refusal:
                await door.request("POST", url, body=b"x")
            assert refusal.value.reason == reason


async def test_a_name_server_that_does_not_answer_refuses_no_setting() -> None:
    loop = asyncio.get_running_loop()
    async with outbound(resolver=Silence()) as door:
        began = loop.time()
        assert await door.judge("https://sms.example/") is None
        assert 1.9 <= loop.time() - began < 3


async def test_a_listener_that_is_not_there_is_not_connected() -> None:
    async with listening() as listener:
        port = listener.port
    async with outbound(allow=LOOPBACK) as door:
        with pytest.raises(NotConnected, match=r"^127\.0\.0\.1 could not be connected to: "):
            await door.request("POST", f"http://127.0.0.1:{port}/", body=b"x")


async def test_a_name_that_cannot_be_looked_up_is_not_connected() -> None:
    async with outbound(resolver=Names()) as door:
        with pytest.raises(NotConnected) as failure:
            await door.request("POST", "https://sms.example/", body=b"x")
    assert failure.value.reason == "The name sms.example could not be looked up: Name or service not known."


async def test_a_name_without_an_address_is_not_connected() -> None:
    async with outbound(resolver=Names(sms_example=[[]])) as door:
        with pytest.raises(NotConnected, match=r"^sms\.example could not be connected to\.$"):
            await door.request("POST", "https://sms.example/", body=b"x")


async def test_a_look_up_that_takes_too_long_is_not_connected() -> None:
    async with outbound(resolver=Silence(), total_s=0.2) as door:
        with pytest.raises(NotConnected, match="could not be connected to in time"):
            await door.request("POST", "https://sms.example/", body=b"x")


@pytest.mark.parametrize(("connect_s", "total_s"), [(0.2, 10.0), (10.0, 0.2)])
async def test_a_host_that_does_not_take_the_connection_is_not_connected(connect_s: float, total_s: float) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # room for one connection that nobody accepts; Linux leaves the next one without an answer
        port = full.getsockname()[1]
        first.connect(("127.0.0.1", port))
        async with outbound(allow=LOOPBACK) as door:
            began = loop.time()
            with pytest.raises(NotConnected, match="could not be connected to in time"):
                await door.request("POST", f"http://127.0.0.1:{port}/", body=b"x", connect_s=connect_s, total_s=total_s)
            assert 0.19 <= loop.time() - began < 2


async def test_waiting_for_a_free_connection_is_not_connected() -> None:
    async with listening(never) as listener, outbound(allow=LOOPBACK, connections=1) as door:
        url = f"http://127.0.0.1:{listener.port}/"
        first = asyncio.create_task(door.request("POST", url, body=b"1", total_s=5))
        await listener.asked.wait()
        with pytest.raises(NotConnected):
            await door.request("POST", url, body=b"2", total_s=0.2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert (listener.connections, len(listener.requests)) == (1, 1)


async def test_a_certificate_that_nobody_vouches_for_is_not_connected(tls: ssl.SSLContext) -> None:
    async with listening(tls=tls) as listener, outbound(allow=LOOPBACK) as door:
        with pytest.raises(NotConnected) as failure:
            await door.request("POST", f"https://localhost:{listener.port}/", body=b"x")
    assert failure.value.reason == "The certificate of localhost could not be verified: self-signed certificate."
    assert listener.requests == []


@pytest.mark.process
async def test_a_certificate_that_is_vouched_for_is_taken_and_a_private_authority_named_by_the_environment(
    tls: ssl.SSLContext, tmp_path: Path
) -> None:
    program = (
        "import asyncio, sys\n"
        "from ipaddress import ip_network\n"
        "from otpost.outbound import Outbound\n"
        "async def main():\n"
        "    door = Outbound(allow=[ip_network('127.0.0.0/8')])\n"
        "    print((await door.request('POST', sys.argv[1], body=b'x')).body)\n"
        "    await door.close()\n"
        "asyncio.run(main())\n"
    )
    async with listening(tls=tls) as listener:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            f"https://localhost:{listener.port}/",
            env=os.environ | {"SSL_CERT_FILE": str(tmp_path / "server.pem")},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert out == b"b'ok'\n"
    assert listener.requests[0].startswith(b"POST / HTTP/1.1\r\n")


def certificate_in(pem: str) -> str:
    return pem[pem.index("-----BEGIN CERTIFICATE-----") :]


async def test_a_private_authority_is_trusted_for_the_calls_that_name_it_and_for_no_other(
    tls: ssl.SSLContext, tmp_path: Path
) -> None:
    authority = certificate_in((tmp_path / "server.pem").read_text())
    other = certificate_in(pem_of_a_new_key(tmp_path / "other.pem").read_text())
    async with listening(tls=tls) as listener, outbound(allow=LOOPBACK) as door:
        url = f"https://localhost:{listener.port}/"
        assert (await door.request("POST", url, body=b"x", ca=authority)).body == b"ok"
        for ca in (None, other):
            with pytest.raises(NotConnected) as failure:
                await door.request("POST", url, body=b"x", ca=ca)
            assert failure.value.reason.startswith("The certificate of localhost could not be verified: ")
        assert (listener.connections, len(listener.requests)) == (1, 1)
        assert (await door.request("POST", url, body=b"x", ca=authority)).body == b"ok"
    assert (listener.connections, len(listener.requests)) == (1, 2)


@pytest.mark.parametrize("ca", ["", "x", "é", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
async def test_what_is_no_certificate_of_an_authority_is_refused_and_nothing_connected(ca: str) -> None:
    async with listening() as listener, outbound(allow=LOOPBACK) as door:
        with pytest.raises(OutboundRefused) as failure:
            await door.request("POST", f"https://localhost:{listener.port}/", body=b"x", ca=ca)
    assert failure.value.reason == "The authority's certificate is not one in PEM; paste it whole, BEGIN to END."
    assert listener.connections == 0


async def test_a_server_that_does_not_speak_tls_is_not_connected() -> None:
    garbage = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()
        garbage.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, outbound(allow=LOOPBACK) as door:
        with pytest.raises(NotConnected):
            await door.request("POST", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", body=b"x")
    assert garbage.is_set()


@pytest.mark.parametrize(("connect_s", "total_s"), [(0.2, 10.0), (10.0, 0.2)])
async def test_a_tls_handshake_that_is_not_answered_is_not_connected(connect_s: float, total_s: float) -> None:
    async with listening(never) as listener, outbound(allow=LOOPBACK) as door:
        with pytest.raises(NotConnected):
            await door.request(
                "POST", f"https://127.0.0.1:{listener.port}/", body=b"x", connect_s=connect_s, total_s=total_s
            )
    assert listener.connections == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (never, "127.0.0.1 did not answer within 0.3 s."),
        (hang_up, "The connection to 127.0.0.1 was lost before the whole answer had come."),
        (reset, "The connection to 127.0.0.1 was lost before the whole answer had come."),
        (
            then_hang_up(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nab"),
            "The connection to 127.0.0.1 was lost before the whole answer had come.",
        ),
        (
            then_hang_up(b"HTTP/1.1 201 Cre"),
            "The connection to 127.0.0.1 was lost before the whole answer had come.",
        ),
        (
            then_hang_up(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
            "The connection to 127.0.0.1 was lost before the whole answer had come.",
        ),
        (b"220 mail.example ESMTP\r\n\r\n", "The connection to 127.0.0.1 was lost before the whole answer had come."),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nab", "127.0.0.1 did not answer within 0.3 s."),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n" + b"a" * 1048577,
            "127.0.0.1 answered with more than 1 MiB.",
        ),
        (
            then_hang_up(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1048577),
            "127.0.0.1 answered with more than 1 MiB.",
        ),
    ],
)
async def test_an_answer_that_does_not_come_whole_is_lost_and_the_request_not_repeated(
    method: str, answer: bytes | Answer, reason: str
) -> None:
    async with listening(OK, answer) as listener, outbound(allow=LOOPBACK) as door:
        url = f"http://127.0.0.1:{listener.port}/"
        await door.request("GET", url)
        with pytest.raises(AnswerLost) as failure:
            await door.request(method, url, body=b"x" if method == "POST" else None, total_s=0.3)
    assert failure.value.reason == reason
    assert [request.split(b" ")[0] for request in listener.requests] == [b"GET", method.encode()]


async def test_an_answer_of_one_mebibyte_is_taken() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"a" * 1048576
    async with listening(whole) as listener, outbound(allow=LOOPBACK) as door:
        assert len((await door.request("GET", f"http://127.0.0.1:{listener.port}/")).body) == 1048576


async def test_a_header_with_a_line_break_is_refused_and_nothing_written() -> None:
    async with listening() as listener, outbound(allow=LOOPBACK) as door:
        with pytest.raises(OutboundRefused, match="line break"):
            await door.request("POST", f"http://127.0.0.1:{listener.port}/", headers={"X-A": "b\r\nX-C: d"}, body=b"x")
        assert (await door.request("GET", f"http://127.0.0.1:{listener.port}/")).status == 200
    assert [request.split(b" ")[0] for request in listener.requests] == [b"GET"]


@pytest.mark.parametrize("answer", [hang_up, never])
async def test_no_failure_shows_the_query_of_its_url(answer: Answer) -> None:
    async with listening(answer) as listener, outbound(allow=LOOPBACK) as door:
        for url in (
            f"http://127.0.0.1:{listener.port}/?key=verysecret",
            f"https://127.0.0.1:{listener.port}/?key=verysecret",
        ):
            with pytest.raises((AnswerLost, NotConnected)) as failure:
                await door.request("GET", url, total_s=0.2)
            assert "verysecret" not in repr(failure.value)
            assert (failure.value.__cause__, failure.value.__context__) == (None, None)


async def test_closing_ends_the_requests_under_way() -> None:
    async with listening(never) as listener, outbound(allow=LOOPBACK, connections=1) as door:
        url = f"http://127.0.0.1:{listener.port}/"
        written = asyncio.create_task(door.request("POST", url, body=b"1"))
        await listener.asked.wait()
        waiting = asyncio.create_task(door.request("POST", url, body=b"2"))
        await asyncio.sleep(0)
        await door.close()
        with pytest.raises(AnswerLost):
            await written
        with pytest.raises(NotConnected):
            await waiting
        with pytest.raises(NotConnected):
            await door.request("POST", url, body=b"3")
    assert len(listener.requests) == 1


async def test_through_a_proxy_the_proxy_is_not_judged_and_names_are_left_to_it() -> None:
    names = Names(proxy_internal=["127.0.0.1"])
    no = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with (
        listening(no) as proxy,
        outbound(proxy=f"http://ada:pw@proxy.internal:{proxy.port}", resolver=names) as door,
    ):
        assert await door.judge("https://sms.example/") is None
        with pytest.raises(NotConnected) as failure:
            await door.request("POST", "https://sms.example/x?key=verysecret", body=b"x")
    assert failure.value.reason == "The proxy would not connect to sms.example: it answered 403."
    assert names.asked == ["proxy.internal"]
    assert proxy.requests[0].startswith(b"CONNECT sms.example:443 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic YWRhOnB3\r\n" in proxy.requests[0]
    assert b"verysecret" not in proxy.requests[0]


async def test_judging_an_address_looks_its_name_up_only_where_no_proxy_does_it() -> None:
    names = Names(sms_example=["127.0.0.1"])
    async with outbound(resolver=names) as door:
        assert await door.judge("https://sms.example/x") is not None
        assert names.asked == ["sms.example"]
    async with outbound(resolver=names, proxy="http://proxy.internal:3128") as door:
        assert await door.judge("https://sms.example/x") is None
        assert names.asked == ["sms.example"]
        assert await door.judge("https://127.0.0.1/x") is not None


async def test_addresses_are_remembered_but_none_with_a_query_and_never_more_than_512() -> None:
    async with outbound() as door:
        for number in range(512):
            await door.judge(f"https://192.0.2.{number % 256}:{1000 + number}/x")
        await door.judge("https://192.0.2.1/send?to=4915112345678")
        assert len(door._targets) == 512
        assert not [url for url in door._targets if "?" in url]
        await door.judge("https://192.0.2.1/send")
        assert list(door._targets) == ["https://192.0.2.1/send"]


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://a.localhost./",
        "http://sms.example/",
    ],
)
async def test_through_a_proxy_what_is_plainly_inside_is_refused(url: str) -> None:
    async with listening() as proxy, outbound(proxy=f"http://127.0.0.1:{proxy.port}") as door:
        with pytest.raises(OutboundRefused):
            await door.request("POST", url, body=b"x")
        assert await door.judge(url) is not None
    assert proxy.connections == 0


async def test_through_a_proxy_an_allowed_address_is_called_over_http() -> None:
    async with listening() as proxy, outbound(proxy=f"http://127.0.0.1:{proxy.port}", allow=LOOPBACK) as door:
        assert (await door.request("POST", "http://127.0.0.9:81/x", body=b"x")).status == 200
    assert proxy.requests[0].startswith(b"POST http://127.0.0.9:81/x HTTP/1.1\r\n")


async def test_a_proxy_that_is_down_is_not_connected() -> None:
    async with listening() as proxy:
        port = proxy.port
    async with outbound(proxy=f"http://127.0.0.1:{port}") as door:
        with pytest.raises(NotConnected, match="The proxy could not be reached"):
            await door.request("POST", "https://sms.example/", body=b"x")


def test_a_proxy_that_is_no_url_is_named() -> None:
    with pytest.raises(ValueError, match="OTPOST_OUTBOUND_PROXY"):
        Outbound(proxy="proxy.internal:3128")


async def test_many_requests_share_the_connections_that_are_permitted() -> None:
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(listening())
        door = await stack.enter_async_context(outbound(allow=LOOPBACK, connections=4))
        url = f"http://127.0.0.1:{listener.port}/"
        answers = await asyncio.gather(*(door.request("POST", url, body=b"x") for _ in range(200)))
    assert [answer.status for answer in answers] == [200] * 200
    assert listener.connections == 4

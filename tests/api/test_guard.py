"""The outbound guard seen from the API: what it refuses is refused at the URL's field, and nothing is connected to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from installation import LOOPBACK, TO, Installation, installed
from messaging.through_twilio import INDIA, attempts, message, policy
from otpost.outbound import Outbound
from otpost.store.base import Store

PUBLIC = "93.184.215.14"
NOT_PUBLIC = "is not a public address"


class Listener:
    """Counts who connects to its port, on every loopback address that the machine has."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.answer = b""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.answer:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    servers = [await asyncio.start_server(made.take, "127.0.0.1", 0)]
    made.port = servers[0].sockets[0].getsockname()[1]
    if socket.has_ipv6:
        servers.append(await asyncio.start_server(made.take, "::1", made.port))
    yield made
    for server in servers:
        server.close()
        await server.wait_closed()


class Names(AbstractResolver):
    """Answers a name's addresses in turn: the first look-up's, the second's, and from then on the last."""

    def __init__(self, names: dict[str, Sequence[Sequence[str]]]) -> None:
        self.names = names
        self.asked: dict[str, int] = dict.fromkeys(names, 0)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        turns = self.names[host]
        addresses = turns[min(self.asked[host], len(turns) - 1)]
        self.asked[host] += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


LITERALS = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::ffff:a00:1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[::127.0.0.1]",
    "localhost", "localhost.", "api.localhost", "LOCALHOST",
)  # fmt: skip
NAMES = {
    "loopback.example": ["127.0.0.1"],
    "private.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "translated.example": ["64:ff9b::7f00:1"],
    "several.example": ["127.0.0.1", "10.0.0.1", "::1"],
}


@pytest.fixture
def names() -> Names:
    return Names({name: [addresses] for name, addresses in NAMES.items()})


@pytest.fixture
async def guarded(store: Store, names: Names) -> AsyncIterator[Installation]:
    """An installation that may call public addresses alone."""
    async with installed(store, http=Outbound(resolver=names)) as made:
        yield made


async def refusals(otpost: Installation, url: str) -> tuple[list[Any], list[Any]]:
    """The wrong fields of a Save and of a Test with this API URL; both are refused."""
    submitted = policy(url, [INDIA])
    saved = await otpost.call("PUT", "/v1/sender-policy", submitted)
    tested = await otpost.call("POST", "/v1/sender-policy/test", {"policy": submitted, "to": TO, "message": "hello"})
    assert (saved.status, tested.status) == (422, 422), (url, saved.text, tested.text)
    assert saved.json()["code"] == tested.json()["code"] == "invalid"
    return saved.json()["errors"], tested.json()["errors"]


async def test_no_address_of_ones_own_network_can_be_saved_or_tested(guarded: Installation, listener: Listener) -> None:
    for host in (*LITERALS, *NAMES):
        saved, tested = await refusals(guarded, f"https://{host}:{listener.port}")
        assert [error["field"] for error in saved] == ["twilio.api_url"], host
        assert [error["field"] for error in tested] == ["policy.twilio.api_url"], host
        assert [error["code"] for error in saved + tested] == ["invalid", "invalid"]
        assert saved[0]["message"] == tested[0]["message"]
        assert NOT_PUBLIC in saved[0]["message"]
        assert "OTPOST_OUTBOUND_ALLOW" in saved[0]["message"]
    assert listener.connections == 0
    assert (await guarded.ok("GET", "/v1/sender-policy"))["revision"] == 0


async def test_only_https_can_be_saved_or_tested(guarded: Installation, listener: Listener) -> None:
    for url in (f"http://127.0.0.1:{listener.port}", f"http://loopback.example:{listener.port}", f"http://{PUBLIC}"):
        saved, tested = await refusals(guarded, url)
        assert [error["field"] for error in (*saved, *tested)] == ["twilio.api_url", "policy.twilio.api_url"]
    assert listener.connections == 0


async def test_a_name_that_moves_between_look_up_and_connection_is_refused_at_the_connection(
    store: Store, listener: Listener
) -> None:
    names = Names({"moving.example": [[PUBLIC], ["127.0.0.1"]], "six.example": [[PUBLIC], ["::ffff:127.0.0.1", "::1"]]})
    async with installed(store, http=Outbound(resolver=names)) as otpost:
        for host in names.names:
            url = f"https://{host}:{listener.port}"
            body = {"policy": policy(url), "to": TO, "message": "hello"}
            tested = await otpost.call("POST", "/v1/sender-policy/test", body)
            assert (tested.status, tested.json()["code"]) == (422, "invalid")
            (error,) = tested.json()["errors"]
            assert (error["field"], error["code"]) == ("policy.twilio.api_url", "invalid")
            assert NOT_PUBLIC in error["message"]
            assert names.asked[host] == 2
    assert listener.connections == 0


async def test_production_does_not_connect_to_a_name_that_moved_and_does_not_try_again(
    store: Store, listener: Listener
) -> None:
    names = Names({"moving.example": [[PUBLIC], ["127.0.0.1"]]})
    async with installed(store, http=Outbound(resolver=names)) as otpost:
        await otpost.ok("PUT", "/v1/sender-policy", policy(f"https://moving.example:{listener.port}"))
        verification = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
        failed = await otpost.message(verification["message"]["sid"])
        assert failed["status"] == "failed"
        assert failed["reason"] == "wrong_settings"
        assert NOT_PUBLIC in failed["attempts"][0]["detail"]
        (attempt,) = failed["attempts"]
        assert (attempt["outcome"], attempt["vendor"]["http_status"]) == ("refused", None)
        row = await message(otpost, failed["sid"])
        assert (row.due_at, row.tries) == (None, 0)
        assert [kept.look_at for kept in await attempts(otpost, failed["sid"])] == [None]
    assert listener.connections == 0


async def test_an_address_that_is_no_longer_allowed_is_refused_and_not_tried_again(
    store: Store, listener: Listener
) -> None:
    async with installed(store) as allowed:
        await allowed.ok("PUT", "/v1/sender-policy", policy(f"http://127.0.0.1:{listener.port}"))
    async with installed(store, http=Outbound()) as otpost:
        for call in ("/v1/messages", "/v1/verifications"):
            body = {"to": TO, "body": "hello"} if call == "/v1/messages" else {"to": TO}
            made = await otpost.ok("POST", call, body)
            failed = await otpost.message(made["sid"] if call == "/v1/messages" else made["message"]["sid"])
            assert (failed["status"], len(failed["attempts"])) == ("failed", 1)
            assert failed["reason"] == "wrong_settings"
            assert NOT_PUBLIC in failed["attempts"][0]["detail"]
    assert listener.connections == 0


async def tried(otpost: Installation, url: str) -> Any:
    """What a Test with this API URL comes to."""
    body = {"policy": policy(url), "to": TO, "message": "hello"}
    return await otpost.ok("POST", "/v1/sender-policy/test", body)


async def test_a_redirect_is_shown_at_the_field_and_never_followed(store: Store, listener: Listener) -> None:
    inside = Listener()
    server = await asyncio.start_server(inside.take, "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{listener.port}"
    async with installed(store, http=Outbound(allow=LOOPBACK)) as otpost:
        await otpost.ok("PUT", "/v1/sender-policy", policy(url))
        for status in (301, 302, 307, 308):
            listener.answer = (
                f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.2:{port}/2010-04-01/\r\n"
                "Content-Length: 0\r\nConnection: close\r\n\r\n"
            ).encode()
            told = await tried(otpost, url)
            assert (told["outcome"], told["field"]) == ("refused", "policy.twilio.api_url")
            assert told["reason"] == "The API URL answers with a redirect, which is not followed."
            made = await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "hello"})
            failed = await otpost.message(made["sid"])
            assert (failed["status"], failed["reason"]) == ("failed", "wrong_settings")
            assert [attempt["detail"] for attempt in failed["attempts"]] == [told["reason"]]
            assert [attempt["vendor"]["http_status"] for attempt in failed["attempts"]] == [status]
    server.close()
    await server.wait_closed()
    assert (listener.connections, inside.connections) == (8, 0)


async def test_what_the_operator_allows_is_connected_to(store: Store, listener: Listener) -> None:
    said = b'{"sid": "SM55555555555555555555555555555555", "status": "queued"}'
    listener.answer = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(said), said)
    names = Names({"twilio.example": [["127.0.0.1"]]})
    async with installed(store, http=Outbound(allow=LOOPBACK, resolver=names)) as otpost:
        assert (await tried(otpost, f"http://twilio.example:{listener.port}"))["outcome"] == "accepted"
    assert listener.connections == 1

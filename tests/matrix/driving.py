"""An installation whose texts go to a service of the matrix, and a clock that goes from one due moment to the next."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from installation import LOOPBACK, TO, Clock, Installation, installed, until
from matrix.vendors import Vendor, standing
from otpost.domain.message import Attempt, Message
from otpost.outbound import Outbound, Response
from otpost.services.messages.lookups import LEASE_MS
from otpost.store.base import Store
from otpost.store.kinds import ATTEMPTS, MESSAGES

PUBLIC = "https://otp.example.com"
PATIENCE_S = 0.4


class Impatient(Outbound):
    """Waits no longer than 0.4 s for an answer, whatever it is asked to."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        connect_s: float | None = None,
        total_s: float | None = None,
        ca: str | None = None,
    ) -> Response:
        return await super().request(
            method, url, headers=headers or {}, body=body, connect_s=PATIENCE_S, total_s=PATIENCE_S, ca=ca
        )


class Names(AbstractResolver):
    """Knows every name as loopback; while `lost` it knows none."""

    def __init__(self) -> None:
        self.lost = False

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        if self.lost:
            raise OSError(None, "Name or service not known")
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's certificate for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    whole = folder / "server.pem"
    plain = serialization.NoEncryption()
    in_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    whole.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + in_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(whole)
    return context


@asynccontextmanager
async def through(
    store: Store, name: str, *, listens: bool = True, http: Outbound | None = None, public_url: str | None = PUBLIC
) -> AsyncIterator[tuple[Installation, Vendor]]:
    """An installation whose policy is the service's example, and the server that it is sent to."""
    clock = Clock()
    async with (
        standing(name, clock, listens=listens) as vendor,
        installed(store, public_url, now=clock, http=http or Outbound(allow=LOOPBACK)) as otpost,
    ):
        await choose(otpost, name, vendor.section())
        yield otpost, vendor


async def choose(otpost: Installation, name: str, section: dict[str, Any], **more: Any) -> None:
    await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": name, name: section, **more})


async def start(otpost: Installation, to: str = TO) -> Any:
    """A new verification, as the application is told of it."""
    return await otpost.ok("POST", "/v1/verifications", {"to": to}, key=otpost.verify)


async def check(otpost: Installation, verification: Any, code: str) -> Any:
    path = f"/v1/verifications/{verification['sid']}/check"
    return (await otpost.call("POST", path, {"code": code}, key=otpost.verify)).json()


async def the_message(otpost: Installation, verification: Any) -> Any:
    """The one message of a verification, as the API tells of it."""
    told = await otpost.ok("GET", f"/v1/verifications/{verification['sid']}")
    (message,) = told["messages"]
    return message


State = tuple[Message, list[Attempt]]


async def state(otpost: Installation, sid: str) -> State:
    """The message and its attempts as they were at one moment."""
    while True:
        before = await otpost.store.get(MESSAGES, sid)
        attempts = await otpost.store.find(ATTEMPTS, "message", sid)
        message = await otpost.store.get(MESSAGES, sid)
        if message is not None and message == before:
            return message, attempts


def waits_until(otpost: Installation, seen: State) -> list[int]:
    """When something is to be done about the message next; a moment that has come already is still being seen to."""
    message, attempts = seen
    now, moments = otpost.clock(), [attempt.look_at for attempt in attempts if attempt.look_at is not None]
    if message.due_at is not None:
        pause = otpost.messaging.pace.lane(message.lane).paused_until
        moments.append(max(message.due_at, pause))
    moments += [now for attempt in attempts if attempt.outcome is None or _is_asked_about(attempt, now)]
    return moments


def _is_asked_about(attempt: Attempt, now: int) -> bool:
    return attempt.look_at == now + LEASE_MS and attempt.looked_at != now


async def at_rest(otpost: Installation, sid: str) -> State:
    """The message and its attempts, as soon as nothing is left to do about them now."""

    def rests(seen: State) -> bool:
        return seen[0].status != "queued" or seen[0].attempt is not None or seen[0].due_at is None

    seen: State = await until(
        lambda: state(otpost, sid),
        lambda seen: rests(seen) and all(at > otpost.clock() for at in waits_until(otpost, seen)),
    )
    return seen


async def to_the_end(otpost: Installation, sid: str, most: int = 400) -> State:
    """Moves the clock from one due moment to the next until nothing is left to do about the message."""
    for _ in range(most):
        seen = await at_rest(otpost, sid)
        moments = waits_until(otpost, seen)
        if not moments:
            return seen
        otpost.clock.now = max(otpost.clock(), min(moments))
        otpost.messaging.wake()
    raise AssertionError(f"still not at its end: {await state(otpost, sid)}")


def outcomes(seen: State) -> list[tuple[str | None, str | None]]:
    """Each attempt's outcome and reason, oldest first."""
    return [(attempt.outcome, attempt.reason) for attempt in seen[1]]


def nothing_went_out_twice(vendor: Vendor, attempts: Sequence[Attempt]) -> None:
    """No attempt has two texts or was asked for twice, and none is at the service that Otpost does not know of."""
    named = [attempt for made in vendor.made for attempt in made.attempts]
    assert len(named) == len(set(named))
    assert set(named) <= {attempt.sid for attempt in attempts}
    assert len(vendor.made) <= len(attempts)
    assert len(vendor.asked) <= len(attempts)

"""`otpost bench`: medians over interleaved rounds of what a message, a check and a callback cost in CPU."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import asyncpg
import uvloop

from bench.load import put_load, request
from bench.processes import ROOT, command, cpu_s, free_port, otpost, running
from otpost.domain.secret import Secret
from otpost.senders._twilio_signature import sign
from otpost.services.vault import KeyRing

sys.path.insert(0, str(ROOT / "tests"))
from postgres import cluster  # the tests' own server and stand-in, found beside this folder
from standins.twilio import Account, Config, TwilioStandIn

SID, TOKEN, FROM = "AC" + "1" * 32, "the-token-of-the-benchmark", "+15005550006"
PUBLIC = "https://otpost.example"
Figures = dict[str, list[float]]


@dataclass
class Meter:
    """CPU of the processes that take part, by name."""

    pids: dict[str, int]
    before: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        self.before = {name: cpu_s(pid) for name, pid in self.pids.items()}

    def each_us(self, count: int) -> dict[str, float]:
        """Microseconds of CPU for each of `count` operations since `start`, by process."""
        return {name: (cpu_s(pid) - self.before[name]) / count * 1e6 for name, pid in self.pids.items()}


@dataclass
class Server:
    """One Otpost with its database, kept over all rounds; `query` runs SQL that answers rows."""

    name: str
    port: int
    pid: int
    database_pid: int | None
    authorization: str
    ring: KeyRing
    query: Callable[[str], Awaitable[list[tuple[str, ...]]]]


@contextlib.asynccontextmanager
async def server(
    name: str, folder: Path, twilio: str, url: str | None, database_pid: int | None
) -> AsyncIterator[Server]:
    """A running Otpost whose policy sends to the stand-in."""
    data = folder / name
    data.mkdir()
    if url is not None:
        command(data, url, "migrate")
    port = free_port()
    with otpost(data, url, port, PUBLIC) as pid:
        key_sid, secret = command(data, url, "key", "create", "--scope", "admin").split()
        authorization = "Basic " + base64.b64encode(f"{key_sid}:{secret}".encode()).decode()
        policy = {
            "sender_service": "twilio",
            "twilio": {"account_sid": SID, "auth_token": TOKEN, "sender_phone": FROM, "api_url": twilio},
        }
        saved = await put_load(port, [_json(authorization, "PUT", "/v1/sender-policy", policy)], 1)
        if saved.answers[0][0] != 200:
            raise RuntimeError(f"the policy was refused: {saved.answers[0][1].decode()}")
        ring = KeyRing.read((data / "keyring").read_text())
        if url is None:
            reader = sqlite3.connect(f"file:{data / 'otpost.db'}?mode=ro", uri=True)

            async def query(sql: str) -> list[tuple[str, ...]]:
                return reader.execute(sql).fetchall()

            yield Server(name, port, pid, None, authorization, ring, query)
            reader.close()
            return
        connection = await asyncpg.connect(url)

        async def ask(sql: str) -> list[tuple[str, ...]]:
            return [tuple(row) for row in await connection.fetch(sql)]

        yield Server(name, port, pid, database_pid, authorization, ring, ask)
        await connection.close()


def _json(authorization: str, method: str, path: str, body: object) -> bytes:
    headers = f"Authorization: {authorization}\r\nContent-Type: application/json\r\n"
    return request(method, path, headers, json.dumps(body).encode())


async def one_round(
    target: Server, twilio: TwilioStandIn, numbers: list[str], connections: int, found: Figures
) -> None:
    """Start, deliver, check and report one verification for each number."""
    pids = {"otpost": target.pid, "stand-in": twilio.pid or 0}
    if target.database_pid is not None:
        pids["database"] = target.database_pid
    meter, many = Meter(pids), len(numbers)

    def keep(operation: str) -> None:
        for process, us in meter.each_us(many).items():
            found.setdefault(f"{target.name} {operation} {process}", []).append(us)

    starts = [_json(target.authorization, "POST", "/v1/verifications", {"to": number}) for number in numbers]
    meter.start()
    began = time.perf_counter()
    load = await put_load(target.port, starts, connections)
    verifications = [json.loads(body) for status, body in load.answers if status == 201]
    if len(verifications) != many:
        raise RuntimeError(f"{many - len(verifications)} starts failed: {next(a for a in load.answers if a[0] != 201)}")
    pending = "SELECT count(*) FROM messages WHERE status IN ('queued', 'sending')"
    while (await target.query(pending))[0][0]:
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - began
    keep("message")
    found.setdefault(f"{target.name} start p99 ms", []).append(load.percentile(0.99))
    found.setdefault(f"{target.name} start p50 ms", []).append(load.percentile(0.50))
    found.setdefault(f"{target.name} messages/s", []).append(many / seconds)

    checks = []
    for verification in verifications:
        code = target.ring.code(verification["sid"], target.ring.current, 6)
        path = f"/v1/verifications/{verification['sid']}/check"
        checks.append(_json(target.authorization, "POST", path, {"code": code}))
    meter.start()
    load = await put_load(target.port, checks, connections)
    keep("check")
    if not all(b'"status":"approved"' in body for _, body in load.answers):
        raise RuntimeError("a right code was not approved")

    sids = ",".join(f"'{verification['message']['sid']}'" for verification in verifications)
    rows = await target.query(f'SELECT sid, vendor_sid, "to" FROM attempts WHERE message IN ({sids})')
    reports = [_report(attempt, vendor_sid, to) for attempt, vendor_sid, to in rows]
    meter.start()
    load = await put_load(target.port, reports, connections)
    keep("callback")
    if {status for status, _ in load.answers} != {204}:
        raise RuntimeError("a callback was refused")


def _report(attempt: str, vendor_sid: str, to: str) -> bytes:
    path = f"/callbacks/twilio/{attempt}"
    fields = [
        ("ApiVersion", "2010-04-01"),
        ("MessageSid", vendor_sid),
        ("SmsSid", vendor_sid),
        ("MessageStatus", "delivered"),
        ("SmsStatus", "delivered"),
        ("AccountSid", SID),
        ("From", FROM),
        ("To", to),
        ("RawDlrDoneDate", "2611230206"),
    ]
    signature = sign(Secret(TOKEN), PUBLIC + path, fields)
    headers = f"X-Twilio-Signature: {signature}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return request("POST", path, headers, urlencode(fields).encode())


async def bare_round(port: int, pid: int, twilio: TwilioStandIn, many: int, connections: int, found: Figures) -> None:
    """What the bare server and the bare client cost."""
    headers = "Authorization: Basic U0s6c2VjcmV0\r\nContent-Type: application/json\r\n"
    posts = [request("POST", "/v1/verifications", headers, b'{"to":"+12012000000"}')] * many
    meter = Meter({"bare": pid})
    meter.start()
    await put_load(port, posts, connections)
    found.setdefault("bare server, an empty 201", []).append(meter.each_us(many)["bare"])
    url = f"{twilio.url}/2010-04-01/Accounts/{SID}/Messages.json"
    authorization = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bare", "post", url, authorization, str(many), str(connections),
        stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    found.setdefault("bare client, a POST to the stand-in", []).append(float(printed) / many * 1e6)


async def run(rounds: int, many: int, connections: int, databases: list[str]) -> Figures:
    found: Figures = {}
    config = Config(accounts=[Account(sid=SID, auth_token=TOKEN, numbers=[FROM])], keep_requests=False)
    async with contextlib.AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="otpost-bench-")))
        twilio = await held.enter_async_context(TwilioStandIn(config, process=True))
        await twilio.plan()
        servers = []
        if "sqlite" in databases:
            servers.append(await held.enter_async_context(server("sqlite", folder, twilio.url, None, None)))
        if "postgresql" in databases:
            database = held.enter_context(cluster(durable=True))
            url = database.url("postgres")
            servers.append(await held.enter_async_context(server("postgresql", folder, twilio.url, url, database.pid)))
        port = free_port()
        bare = held.enter_context(
            running([sys.executable, "-m", "bench.bare", "serve", str(port)], port, {}, folder / "bare.log")
        )
        fresh = _numbers()
        for place in range(rounds + 1):
            kept: Figures = found if place else {}
            await bare_round(port, bare, twilio, many, connections, kept)
            for target in servers:
                await one_round(target, twilio, [next(fresh) for _ in range(many)], connections, kept)
            print(f"round {place} of {rounds}{'' if place else ' (warming up, not counted)'}", file=sys.stderr)
    return found


def _numbers() -> Iterator[str]:
    return (f"+1201{number}" for number in range(2_000_000, 10_000_000))


def main() -> None:
    """Print the figures as a table, medians first."""
    parser = argparse.ArgumentParser(prog="otpost bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=3000, help="operations of each kind in a round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--databases", default="sqlite,postgresql")
    given = parser.parse_args()
    found = uvloop.run(run(given.rounds, given.many, given.connections, given.databases.split(",")))
    print(f"Python {platform.python_version()}, {given.rounds} rounds of {given.many}, {given.connections} connections")
    print("CPU in µs per operation unless said otherwise: median (lowest to highest)\n")
    for name, values in found.items():
        median = statistics.median(values)
        print(f"{name:40} {median:10.1f}   ({min(values):.1f} to {max(values):.1f})")
    bare = sum(statistics.median(found[name]) for name in found if name.startswith("bare"))
    for database in given.databases.split(","):
        message = statistics.median(found[f"{database} message otpost"])
        print(f"\n{database}: a message costs {message / bare:.2f} times the bare server and client together")


if __name__ == "__main__":
    main()

"""`otpost bench`: medians over interleaved rounds of what a message, a check and a callback cost in CPU."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import uvloop

from bench.beside import hanging_round, shaped_round
from bench.load import put_load, request
from bench.processes import ROOT, free_port, running
from bench.server import PUBLIC, Figures, Meter, Server, posted, server
from otpost.domain.secret import Secret
from otpost.senders.twilio.signature import sign

sys.path.insert(0, str(ROOT / "tests"))
from postgres import cluster  # the tests' own server and stand-in, found beside this folder
from standins.twilio import Account, Config, TwilioStandIn

SID, TOKEN, FROM = "AC" + "1" * 32, "the-token-of-the-benchmark", "+15005550006"
BESIDE = 1000
OTHER, OTHER_TOKEN, OTHER_FROM = "AC" + "2" * 32, "the-token-of-the-other", "+447700900000"
API_ONLY = "api,console"


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

    starts = [posted(target.authorization, "/v1/verifications", {"to": number}) for number in numbers]
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
        checks.append(posted(target.authorization, path, {"code": code}))
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
    accounts = [
        Account(sid=SID, auth_token=TOKEN, numbers=[FROM]),
        Account(sid=OTHER, auth_token=OTHER_TOKEN, numbers=[OTHER_FROM]),
    ]
    config = Config(accounts=accounts, keep_requests=False)
    async with contextlib.AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="otpost-bench-")))
        twilio = await held.enter_async_context(TwilioStandIn(config, process=True))
        await twilio.plan()
        section = {
            "account_sid": SID,
            "auth_token": TOKEN,
            "sender_phone": FROM,
            "api_url": twilio.url,
            "subaccounts": [
                {"dialing_code": "+44", "account_sid": OTHER, "auth_token": OTHER_TOKEN, "sender_phone": OTHER_FROM}
            ],
        }
        servers = []
        if "sqlite" in databases:
            servers.append(await held.enter_async_context(server("sqlite", folder, section)))
        if "postgresql" in databases:
            database = held.enter_context(cluster(durable=True))
            url = database.url("postgres")
            servers.append(await held.enter_async_context(server("postgresql", folder, section, url, database.pid)))
        silent = await held.enter_async_context(server("sqlite api", folder, section, roles=API_ONLY))
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
            await shaped_round(silent, [next(fresh) for _ in range(many)], connections, kept)
            print(f"round {place} of {rounds}{'' if place else ' (warming up, not counted)'}", file=sys.stderr)
        for target in servers:
            numbers = [f"+4474{number}" for number in range(10_000_000, 10_000_000 + min(many, BESIDE))]
            await hanging_round(target, twilio, (SID, OTHER), numbers, found)
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
    for operation in ("start", "check"):
        shaped, native = (statistics.median(found[f"sqlite api {kind} {operation}"]) for kind in ("shaped", "native"))
        # A few operations take less than the kernel's clock can tell.
        if native > 0:
            print(f"\nA Twilio-shaped {operation} costs {shaped / native:.2f} times a native one")


if __name__ == "__main__":
    main()

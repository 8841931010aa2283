"""What the others feel: the Twilio-shaped API beside the native one, and everybody beside an account that hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bench.load import Load, put_load, request
from bench.server import Figures, Meter, Server, posted

if TYPE_CHECKING:
    from standins.twilio import TwilioStandIn

HELD = 300
"""How many messages wait for the account that hangs: more than it may have in flight."""


async def shaped_round(target: Server, numbers: Sequence[str], connections: int, found: Figures) -> None:
    """Start and check by both APIs, on a server that sends nothing: half of the numbers each."""
    authorization = f"Authorization: {target.authorization}\r\n"
    listed = await put_load(target.port, [request("GET", "/v1/applications", authorization, b"")], 1)
    service = json.loads(listed.answers[0][1])["items"][0]["sid"]
    meter, half = Meter({"otpost": target.pid}), len(numbers) // 2

    def form(path: str, **fields: str) -> bytes:
        headers = f"{authorization}Content-Type: application/x-www-form-urlencoded\r\n"
        return request("POST", f"/v2/Services/{service}/{path}", headers, urlencode(fields).encode())

    async def measured(operation: str, requests: list[bytes], status: int, holds: bytes) -> Load:
        meter.start()
        load = await put_load(target.port, requests, connections)
        found.setdefault(f"{target.name} {operation}", []).append(meter.each_us(len(requests))["otpost"])
        if wrong := [answer for answer in load.answers if answer[0] != status or holds not in answer[1]]:
            raise RuntimeError(f"{operation}: {len(wrong)} answers are wrong, the first is {wrong[0]}")
        return load

    native, shaped = numbers[:half], numbers[half:]
    bodies = [posted(target.authorization, "/v1/verifications", {"to": number}) for number in native]
    started = await measured("native start", bodies, 201, b'"pending"')
    forms = [form("Verifications", To=number, Channel="sms") for number in shaped]
    begun = await measured("shaped start", forms, 201, b'"pending"')

    def sid_and_code(answer: tuple[int, bytes]) -> tuple[str, str]:
        sid = json.loads(answer[1])["sid"]
        return sid, target.ring.code(sid, target.ring.current, 6)

    checks = []
    for answer in started.answers:
        sid, code = sid_and_code(answer)
        checks.append(posted(target.authorization, f"/v1/verifications/{sid}/check", {"code": code}))
    await measured("native check", checks, 200, b'"approved"')
    codes = [sid_and_code(answer) for answer in begun.answers]
    forms = [form("VerificationCheck", VerificationSid=sid, Code=code) for sid, code in codes]
    await measured("shaped check", forms, 201, b'"approved"')


async def hanging_round(
    target: Server, twilio: TwilioStandIn, accounts: tuple[str, str], numbers: Sequence[str], found: Figures
) -> None:
    """p99 of starts, checks and deliveries of another account, first alone and then beside one that hangs.

    `accounts` are the one that hangs and the other; `numbers` go to the other one.
    """
    half = len(numbers) // 2
    await _others(target, numbers[:half], "alone", found)
    await twilio.fault("hang", account=accounts[0])
    of_the_hanging = [f"+1202{number}" for number in range(3_000_000, 3_000_000 + HELD)]
    held = [posted(target.authorization, "/v1/verifications", {"to": number}) for number in of_the_hanging]
    await put_load(target.port, held, 16)
    hanging = f"SELECT count(*) FROM messages WHERE account_sid = '{accounts[0]}' AND status = 'sending'"
    while not int((await target.query(hanging))[0][0]):
        await asyncio.sleep(0.05)
    await _others(target, numbers[half:], "beside one that hangs", found)
    await twilio.clear_faults()


async def _others(target: Server, numbers: Sequence[str], when: str, found: Figures) -> None:
    bodies = [posted(target.authorization, "/v1/verifications", {"to": number}) for number in numbers]
    load = await put_load(target.port, bodies, 8)
    verifications = [json.loads(body) for _, body in load.answers]
    sids = ",".join(f"'{verification['message']['sid']}'" for verification in verifications)
    waiting = f"SELECT count(*) FROM messages WHERE sid IN ({sids}) AND status IN ('queued', 'sending')"
    while int((await target.query(waiting))[0][0]):
        await asyncio.sleep(0.02)
    took = await target.query(
        "SELECT a.started_at + a.duration_ms - m.created_at FROM attempts a JOIN messages m ON m.sid = a.message "
        f"WHERE m.sid IN ({sids})"
    )
    checks = []
    for verification in verifications:
        code = target.ring.code(verification["sid"], target.ring.current, 6)
        path = f"/v1/verifications/{verification['sid']}/check"
        checks.append(posted(target.authorization, path, {"code": code}))
    checked = await put_load(target.port, checks, 8)
    delivered = Load(took_ms=sorted(float(row[0]) for row in took))
    for name, of in (("start", load), ("delivery", delivered), ("check", checked)):
        found.setdefault(f"{target.name} {name} p99 ms {when}", []).append(of.percentile(0.99))

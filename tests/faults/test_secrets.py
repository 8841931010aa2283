"""After a run through everything no token, no code and no text of a caller is anywhere but where it has to be."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote_plus

import pytest

import postgres
from faults.searching import Secrets, files, postgresql_tables, sqlite_tables
from faults.served import Answered, Api, Served, until
from standins.twilio import Account, TwilioStandIn
from standins.twilio_asking import MAIN, OWN, SUB, SUBS

pytestmark = pytest.mark.prove

MAIN_TOKEN, NEW_TOKEN, SUB_TOKEN = "maintoken0a7f3c", "newtoken/9+d1b2e", "subtoken=5e8f0b"
WRONG_TOKEN = "wrongtoken 41c9d7"
PASSWORD = "correct horse battery 7"
MARKER = "Marker-Zebra-4711-Quartz"
NAME = "Secrets Proof"
_CODE = re.compile(r"\b(\d{10})\b")


class Run:
    """One service, its Twilio and its client, and all that must not come to light."""

    def __init__(self, service: Served, twilio: TwilioStandIn, api: Api) -> None:
        self.service, self.twilio, self.api = service, twilio, api
        self.secrets = Secrets()
        self.answers: list[tuple[str, bytes]] = []
        self.open_answers = 0
        api.heard = self._heard
        for token in (MAIN_TOKEN, NEW_TOKEN, SUB_TOKEN, WRONG_TOKEN):
            self.secrets.add("token", token)
        for account, token in ((MAIN, MAIN_TOKEN), (MAIN, NEW_TOKEN), (SUB, SUB_TOKEN)):
            self.secrets.add("credentials", base64.b64encode(f"{account}:{token}".encode()).decode())
        self.secrets.add("password", PASSWORD)
        self.secrets.add("marker", MARKER)
        self.secrets.add("key", api.secret)

    def _heard(self, call: str, answer: Answered) -> None:
        told = f"{answer.headers}\n{answer.text}".encode()
        # The inbox of the sandbox phone, and the one answer that shows a new key, are there to tell.
        if answer.status < 300 and (call.startswith("GET /v1/sandbox/") or call.endswith("/keys")):
            assert self.secrets.within(told) or call.startswith("POST") or '"items":[]' in answer.text
            self.open_answers += 1
            return
        self.answers.append((call, told))

    async def text(self, to: str, number: int = 1) -> str:
        """The text that reached a number as its `number`th; the code in it is a secret from now on."""
        records = await self.twilio.wait_for(lambda seen: len(seen.sent_to(to)) >= number, 30)
        body = records.sent_to(to)[number - 1].body
        if (code := _CODE.search(body)) is not None:
            self.secrets.add("code", code[1])
        return body

    async def code(self, to: str) -> str:
        found = _CODE.search(await self.text(to))
        assert found is not None
        return found[1]


def policy(twilio: TwilioStandIn, **changes: Any) -> dict[str, Any]:
    return {
        "sender_service": "twilio",
        "twilio": {
            "account_sid": MAIN,
            "sender_phone": OWN,
            "api_url": twilio.url,
            "subaccounts": [{"dialing_code": "+91", "account_sid": SUB, "sender_phone": SUBS}],
            **changes,
        },
    }


async def save_policies(run: Run) -> None:
    """Saves, refused Saves, replaced and cleared secrets, a restore; tests that work and tests that are refused."""
    api, twilio = run.api, run.twilio
    rows = [{"dialing_code": "+91", "account_sid": SUB, "sender_phone": SUBS, "auth_token": SUB_TOKEN}]
    await api.ok("PUT", "/v1/sender-policy", policy(twilio, auth_token=WRONG_TOKEN, subaccounts=rows))
    await api.ok("PUT", "/v1/sender-policy", policy(twilio, auth_token=MAIN_TOKEN))
    await api.ok("POST", "/v1/sender-policy/revisions/1/restore", {"twilio": {"auth_token": MAIN_TOKEN}})
    moved = policy(twilio, api_url="http://127.0.0.1:9", auth_token="")
    assert (await api.call("PUT", "/v1/sender-policy", moved)).status == 422
    for strange in ([MAIN_TOKEN], {"token": MAIN_TOKEN}, " "):
        answer = await api.call("PUT", "/v1/sender-policy", policy(twilio, auth_token=strange))
        assert answer.status in (200, 422), answer.text
    misspelt = policy(twilio, auth_token=MAIN_TOKEN, auth_tokn=NEW_TOKEN)
    assert (await api.call("PUT", "/v1/sender-policy", misspelt)).status == 422
    text = f"A {MARKER} test"
    tried = {"policy": policy(twilio, auth_token=MAIN_TOKEN), "to": "+447400111000", "message": text}
    done = await api.ok("POST", "/v1/sender-policy/test", tried, idempotency_key="test-1")
    assert done["outcome"] == "accepted"
    assert (await api.ok("POST", "/v1/sender-policy/test", tried, idempotency_key="test-1")) == done
    for status in (400, 401, 500):
        number = await twilio.fault("answer", status=status, body=echo(MAIN, MAIN_TOKEN, text), times=1)
        told = await api.ok("POST", "/v1/sender-policy/test", tried)
        assert told["vendor"]["http_status"] == status, number
    refused = {**tried, "policy": policy(twilio, auth_token=WRONG_TOKEN)}
    assert (await api.ok("POST", "/v1/sender-policy/test", refused))["outcome"] == "refused"
    assert (await api.call("POST", "/v1/sender-policy/test", {**tried, "to": MARKER})).status == 422


def echo(account: str, token: str, text: str, code: str = "", number: int = 21610) -> str:
    """A vendor that gives our own words back, wherever it has room for words."""
    basic = base64.b64encode(f"{account}:{token}".encode()).decode()
    said = f"Bad: {token}, {quote_plus(token)}, Basic {basic}; {text}; {quote_plus(text)}; {code}"
    return json.dumps({"code": number, "message": said, "more_info": said, "status": token, "sid": code or token})


async def verify(run: Run, application: str) -> None:
    """Right, wrong, canceled, refused, lost and open verifications, and a resend that the vendor echoes."""
    api, twilio = run.api, run.twilio

    async def start(to: str, **headers: str) -> Any:
        return await api.ok("POST", "/v1/verifications", {"to": to, "application": application}, **headers)

    right = await start("+447400111001", idempotency_key="start-1")
    assert await start("+447400111001", idempotency_key="start-1") == right
    code = await run.code(right["to"])
    wrong = run.secrets.add("typed", f"{(int(code) + 1) % 10**10:010d}")
    for nth, typed in enumerate((wrong, f"{wrong[:5]} {wrong[5:]}", f"{wrong}x")):
        check = f"/v1/verifications/{right['sid']}/check"
        answer = await api.call("POST", check, {"code": typed}, idempotency_key=f"check-{nth}")
        assert answer.status == (422 if nth == 2 else 200)
    checked = await api.ok("POST", f"/v1/verifications/{right['sid']}/check", {"code": code})
    assert checked["status"] == "approved"

    echoed = await start("+447400111002")
    text = await run.text(echoed["to"])
    found = _CODE.search(text)
    assert found is not None
    for status in (400, 500, 201):
        body = echo(MAIN, MAIN_TOKEN, text, found[1])
        if status == 201:
            body = json.dumps({"message": body, "body": text})
        await twilio.fault("answer", status=status, body=body, to=echoed["to"], times=1)
        await start(echoed["to"])
    await twilio.fault("answer", operation="list", status=400, body=echo(MAIN, MAIN_TOKEN, text, found[1]), times=2)
    await twilio.fault("close", "after", to="+447400111003", times=1)
    for to in ("+447400111003", "+919811000001"):
        await start(to)
        await run.code(to)
    canceled = await start("+447400111004")
    await run.code(canceled["to"])
    await api.ok("POST", f"/v1/verifications/{canceled['sid']}/cancel", {})
    await start("+447400111005")
    await run.code("+447400111005")


async def write(run: Run) -> None:
    """Texts of the caller's own: delivered, refused with an echo, malformed, and one that still waits."""
    api, twilio = run.api, run.twilio
    text = f"Dear {MARKER}, your table is ready."
    await api.ok("POST", "/v1/messages", {"to": "+447400111010", "body": text}, idempotency_key="message-1")
    reused = {"to": "+447400111010", "body": f"{text} Or not."}
    assert (await api.call("POST", "/v1/messages", reused, idempotency_key="message-1")).status == 422
    await run.text("+447400111010")
    await twilio.fault("answer", status=400, body=echo(MAIN, NEW_TOKEN, text), to="+447400111011", times=1)
    await api.ok("POST", "/v1/messages", {"to": "+447400111011", "body": text})
    for wrong in ({"to": MARKER, "body": text}, {"to": "+447400111012", "body": [text]}, {"to": "1", "text": text}):
        assert (await api.call("POST", "/v1/messages", wrong)).status in (400, 422)
    # By its code the text waits; 21610 would end it, whatever the status says.
    busy = echo(SUB, SUB_TOKEN, text, number=20429)
    await twilio.fault("answer", status=429, retry_after=3000, to="+919811000002", body=busy)
    waiting = await api.ok("POST", "/v1/messages", {"to": "+919811000002", "body": text})

    async def waits() -> Any:
        return await api.ok("GET", f"/v1/messages/{waiting['sid']}")

    answered = await until(waits, lambda seen: seen["attempts"] and seen["attempts"][0]["duration_ms"] is not None)
    assert (answered["status"], answered["attempts"][0]["reason"]) == ("queued", "throttled"), answered


async def play_in_sandbox(run: Run, application: str) -> None:
    """A code on the sandbox phone, which is the one place that shows it."""
    api = run.api
    await api.ok("PUT", "/v1/sender-policy", {"sender_service": "sandbox"})
    started = await api.ok("POST", "/v1/verifications", {"to": "+447400111020", "application": application})
    await settled_of(api, started["to"])
    api.heard, heard = None, api.heard
    (text,) = (await api.ok("GET", f"/v1/sandbox/messages?to={quote_plus(started['to'])}"))["items"]
    api.heard = heard
    found = _CODE.search(text["body"])
    assert found is not None
    run.secrets.add("code", found[1])
    await api.ok("GET", "/v1/sandbox/messages")


async def settled_of(api: Api, to: str) -> None:
    async def of_number() -> Any:
        return (await api.ok("GET", f"/v1/messages?to={quote_plus(to)}"))["items"]

    await until(of_number, lambda items: all(item["status"] not in ("queued", "sending") for item in items), 60)


async def keep_people_and_keys(run: Run, application: str) -> None:
    """Keys, their first answers given again, a user with a password, one with a link."""
    api, service = run.api, run.service
    made = [
        await api.ok("POST", f"/v1/applications/{application}/keys", {"name": "shop"}, idempotency_key="key-1")
        for _ in range(2)
    ]
    assert made[0] == made[1]
    run.secrets.add("key", made[0]["secret"])
    printed = await service.ok("key", "create", "--scope", "verify", "--application", application)
    run.secrets.add("key", printed.split()[1])
    await service.ok("user", "create", "--name", "ada", "--password-stdin", stdin=f"{PASSWORD}\n")
    link = await service.ok("user", "create", "--name", "bob", "--link")
    run.secrets.add("link", link.strip().partition("link=")[2])
    foreign = Api(api.url, made[0]["sid"], run.secrets.add("guessed secret", "guessed-secret-8d2f6a"))
    foreign.heard = api.heard
    async with foreign:
        assert (await foreign.call("GET", "/v1/sender-policy")).status == 401


async def read_everything(run: Run, application: str) -> None:
    api = run.api
    for path in ("/v1/verifications", "/v1/messages", "/v1/applications", "/v1/sender-policy/revisions"):
        for item in await api.everything(path):
            if path != "/v1/sender-policy/revisions":
                await api.ok("GET", f"{path}/{item['sid']}")
    for path in ("/v1/sender-policy", f"/v1/applications/{application}/keys?limit=9", "/openapi.json", "/readyz"):
        await api.ok("GET", path)
    assert (await api.call("GET", "/metrics")).status == 200


@contextmanager
def database(kind: str) -> Iterator[postgres.Cluster | None]:
    if kind == "sqlite":
        yield None
    else:
        with postgres.cluster(durable=True) as server:
            yield server


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_no_token_code_or_text_is_in_any_answer_log_file_or_table(
    tmp_path: Path, kind: Literal["sqlite", "postgresql"], tell: Callable[[str], None]
):
    accounts = [
        Account(sid=MAIN, auth_token=MAIN_TOKEN, numbers=[OWN]),
        Account(sid=SUB, auth_token=SUB_TOKEN, parent=MAIN, numbers=[SUBS]),
    ]
    with database(kind) as server:
        url = None if server is None else server.url()
        service = Served(tmp_path / "service", database_url=url, public=True, log_level="debug")
        async with TwilioStandIn(accounts) as twilio, service, await service.set_up() as api:
            await service.start()
            run = Run(service, twilio, api)
            await save_policies(run)
            made = {"name": NAME, "code_length": 10, "resend_after_s": 0, "body": "{otp} opens {application}."}
            application = (await api.ok("POST", "/v1/applications", made))["sid"]
            await verify(run, application)
            await twilio.set_account(MAIN, auth_token=NEW_TOKEN)
            await api.ok("PUT", "/v1/sender-policy", policy(twilio, auth_token=NEW_TOKEN))
            await write(run)
            await keep_people_and_keys(run, application)
            await settled_of(api, "+447400111003")
            await play_in_sandbox(run, application)
            await read_everything(run, application)

            def hidden() -> list[tuple[str, bytes]]:
                places = list(files(service.data, leave_out="keyring"))
                if server is None:
                    return places + sqlite_tables(service.data / "otpost.db")
                return places + list(files(server.data)) + postgresql_tables(server)

            while_it_runs = hidden()
            await service.kill()
            left_by_a_crash = hidden()
            await service.start()
            assert await service.stop() == 0
            if server is not None:
                server.run("CHECKPOINT")
            left_in_order = hidden()

        secrets = run.secrets
        assert secrets.found(run.answers) == []
        logs = [("stderr", service.err.read_bytes())]
        lines = [line for line in service.out.read_text().splitlines() if "link=" not in line]
        assert secrets.found([*logs, ("stdout", "\n".join(lines).encode())]) == []
        log = "pg_wal/" if server else "otpost.db-wal"
        for places in (while_it_runs, left_by_a_crash, left_in_order):
            assert secrets.found(places) == []
        for places in (while_it_runs, left_by_a_crash):
            # That the search can see: what may be in the log and in the tables is found there.
            seen = [place for place, data in places if NAME.encode() in data]
            assert any(place.startswith(log) for place in seen), seen
            assert "table applications" in seen
        assert run.open_answers >= 3
        searched = sum(len(data) for _, data in left_by_a_crash)
        tell(
            f"{kind}: {len(secrets)} secrets in none of {len(run.answers)} answers, {len(left_by_a_crash)} files and "
            f"tables ({searched / 1e6:.0f} MB), {len(logs[0][1].splitlines())} lines of log"
        )

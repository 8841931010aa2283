"""Programs that others wrote for Twilio, from the public registries: unmodified, with their host set to an Otpost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from api.world import neighbour
from compat.served import Served, wrong
from compat.tls import before

TO = "+15005550006"
CLIENTS = Path(__file__).parent / "clients"

pytestmark = pytest.mark.process


@pytest.fixture
def driver() -> str:
    """No SDK; on the embedded database."""
    return "none"


async def ran(*command: str | Path, **environment: str) -> Any:
    """The JSON that a client printed on its way to a good end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.parametrize("credentials", ["auth token", "API key"])
async def test_django_otp_twilio_sends_its_codes_and_takes_them_back(served: Served, credentials: str) -> None:
    """PyPI's django-otp-twilio: `OTP_TWILIO_URL`, and either credential."""
    here = {"OTP_TWILIO_URL": served.url, "OTP_TWILIO_ACCOUNT": served.account, "OTP_TWILIO_FROM": "+15005550001"}
    proofs = (
        {"OTP_TWILIO_AUTH": served.token}
        if credentials == "auth token"
        else {"OTP_TWILIO_API_KEY": served.key.key.sid, "OTP_TWILIO_AUTH": served.key.secret}
    )
    project = await asyncio.create_subprocess_exec(
        *(sys.executable, CLIENTS / "one_time_codes.py", json.dumps({"settings": {**here, **proofs}, "to": TO})),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert project.stdin is not None
    assert project.stdout is not None
    assert json.loads(await project.stdout.readline()) == {"challenge": "Sent by SMS"}
    (text,) = await served.texts(TO, 1)
    assert re.fullmatch("[0-9]{6}", text)
    for code, right in ((wrong(text), False), (text, True), (text, False)):
        project.stdin.write(f"{code}\n".encode())
        assert json.loads(await project.stdout.readline()) == {"verified": right}
    project.stdin.close()
    assert await project.wait() == 0


@pytest.mark.parametrize(
    ("changed", "to", "answer"),
    [
        ({"OTP_TWILIO_AUTH": "wrong"}, TO, (401, 20003)),
        ({}, "12345", (400, 21211)),
        ({"OTP_TWILIO_ACCOUNT": "AC" + "0" * 32}, TO, (401, 20003)),
    ],
)
async def test_django_otp_twilio_understands_a_refusal(
    served: Served, changed: dict[str, str], to: str, answer: tuple[int, int]
) -> None:
    proofs = {"OTP_TWILIO_ACCOUNT": served.account, "OTP_TWILIO_AUTH": served.token, "OTP_TWILIO_FROM": "Shop"}
    project = {"settings": {"OTP_TWILIO_URL": served.url, **proofs, **changed}, "to": to}
    said = await ran(sys.executable, CLIENTS / "one_time_codes.py", json.dumps(project))
    assert (said["refused"], said["said"]["code"]) == answer


async def test_symfonys_notifier_sends_through_its_twilio_bridge(served: Served, tmp_path: Path) -> None:
    """Debian's php-symfony-twilio-notifier: the host of its DSN. It speaks https alone, so a proxy ends TLS."""
    php = shutil.which("php") or "php"
    async with before(urlsplit(served.url).port or 0, tmp_path) as (host, authority):

        async def notify(token: str, to: str, text: str) -> Any:
            dsn = f"twilio://{served.account}:{token}@{host}?from={quote('+15005550001')}"
            return await ran(php, CLIENTS / "notify.php", dsn, authority, to, text)

        sent = await notify(served.token, TO, "Ihr Paket ist da – schön")
        assert sent["sid"].startswith("SM")
        assert await served.texts(TO, 1) == ["Ihr Paket ist da – schön"]
        refused = await notify("wrong", TO, "hello")
        assert refused["refused"].startswith("Unable to send the SMS: Authenticate")
        refused = await notify(served.token, "+1", "hello")
        assert refused["refused"].endswith("(see https://www.twilio.com/docs/errors/21211).")


async def test_signalwires_client_sends_reads_and_lists(served: Served, tmp_path: Path) -> None:
    """npm's @signalwire/compatibility-api: `signalwireSpaceUrl`. It speaks https alone, so a proxy ends TLS."""
    other = await neighbour(served.here)
    async with before(urlsplit(served.url).port or 0, tmp_path) as (host, authority):
        said = await ran(
            *(shutil.which("node") or "node", CLIENTS / "signalwire.cjs"),
            *(host, served.account, served.token, other.message),
            NODE_EXTRA_CA_CERTS=str(authority),
        )
    assert said["read"] == {
        "sid": said["sent"],
        "to": TO,
        "from": "Sandbox",
        "body": said["read"]["body"],
        "status": said["read"]["status"],
        "dateCreated": said["read"]["dateCreated"],
    }
    assert said["listed"] == ["+447400123456", "+447400123456", TO]
    assert said["british"] == 1
    assert said["refusals"] == [
        ["RestException", 400, 21211],
        ["RestException", 404, 20404],
        ["RestException", 401, 20003],
    ]
    assert set(await served.texts("+447400123456", 2)) == {"second", "third"}

"""The page of compatibility, written from what the SDKs did; run as a program, it writes the page anew."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from compat.sdks import HERE, Node, Python, Sdk
from compat.served import address, serving
from compat.tour import DONE, Line, Tour
from installation import installed
from otpost.store.base import Store
from otpost.store.migrate import upgrade
from otpost.store.sqlite import SqliteStore

PAGE = HERE.parents[1] / "docs" / "reference" / "twilio-compatibility.md"
COMMAND = "PYTHONPATH=src:tests .venv/bin/python -m compat.table"
NODE_PACKAGES: dict[str, str] = json.loads((HERE / "package.json").read_text())["dependencies"]

NOTES = {
    ("Service", "create"): "an application that lives 600 s and has no cooldown, as Verify has none",
    ("Verification", "create again, with RateLimits"): "the same SID and code; `send_code_attempts` grows",
    ("Verification", "create with CustomCode"): "needs `CustomCodeEnabled`; kept encrypted until the verification ends",
    ("Verification", "create with Tags, DeviceIp, RiskCheck"): "`DeviceIp` counts for the limit per client address",
    ("Verification", "create by call"): "codes go by SMS alone",
    ("Verification", "create by auto"): "means SMS",
    ("Verification", "fetch by number"): "`+15005550006` or `%2B15005550006` in the path",
    ("VerificationCheck", "create by To"): "a wrong code is an answer with `valid: false`, not an error",
    ("MessagingConfiguration", "create"): "a Messaging Service of the sender policy's main account",
    ("Message", "create"): "`From` and `MessagingServiceSid` must be what the sender policy gives, or left out",
    ("Message", "create with StatusCallback"): "signed with the tenant's auth token, as Twilio signs",
    ("Message", "create with MediaUrl"): "texts alone",
    ("Message", "list"): "verifications' own texts are not listed, as at Twilio",
    ("Message feedback", "create"): "Otpost knows by itself which codes were used",
    ("Webhook", "list"): "factor events alone at Twilio; Otpost's own webhooks tell of verifications and messages",
    ("Entity, Factor, Challenge", "list"): "push, TOTP and passkeys are no codes by SMS",
    ("AccessToken", "create"): "for push factors",
}

INTRODUCTION = """\
# Compatibility with Twilio's SDKs

Written by the tests from what the SDKs did with a running Otpost; `{command}` renews it.
✓ means that the SDK made the call, and that the answer is valid by Twilio's OpenAPI document and has exactly its keys.
Anything else is the HTTP status and the code of the error that the SDK raised.
[Move from Twilio Verify](../how-to/move-from-twilio-verify.md) tells how to set the SDKs up and what differs.

| Resource | Operation | {python} | {node} | Notes |
|---|---|---|---|---|
"""


async def toured(sdk: Sdk, store: Store) -> list[Line]:
    """What the SDK did on a new installation."""
    with address() as (own, url):
        async with installed(store) as here, serving(here, own, url) as served:
            await sdk.connect(url, served.key.key.sid, served.key.secret, served.account)
            return (await Tour(sdk, served).whole()).lines


def page(python: Sequence[Line], node: Sequence[Line]) -> str:
    """The page, of two tours of the same length."""
    names = {"python": f"twilio-python {version('twilio')}", "node": f"twilio-node {NODE_PACKAGES['twilio']}"}
    rows = [
        f"| {one.resource} | {one.operation} | {one.result} | {other.result} | "
        f"{NOTES.get((one.resource, one.operation), '')} |\n"
        for one, other in zip(python, node, strict=True)
    ]
    return INTRODUCTION.format(command=COMMAND, **names) + "".join(rows).replace("|  |\n", "| |\n")


async def _written() -> None:
    tours = []
    with Node() as node:
        for sdk in (Python(), node):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "otpost.sqlite"
                upgrade(f"sqlite:///{path}")
                store = SqliteStore(path)
                await store.open()
                tours.append(await toured(sdk, store))
                await store.close()
    PAGE.write_text(page(*tours), encoding="utf-8")
    print(f"{PAGE.name}: {sum(line.result == DONE for line in tours[0])} of {len(tours[0])} operations")


if __name__ == "__main__":
    asyncio.run(_written())

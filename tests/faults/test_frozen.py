"""Two nodes on one PostgreSQL: one is stopped just before its POST, and wakes after the other has sent."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from faults import freezing
from faults.served import ROOT, Api, Served, until
from messaging.through_twilio import accounts, policy
from standins.twilio import TwilioStandIn

pytestmark = pytest.mark.prove

TO = "+14155550199"
OTHERS_SEND_IN_S = 60.0
"""Fifteen seconds until the node counts as lost, ten more for the last look, and some for a machine that is busy."""


def is_stopped(pid: int) -> bool:
    """Whether a process stands still by a signal."""
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return status == "T"


async def attempts_of(api: Api, sid: str) -> list[Any]:
    return list((await api.ok("GET", f"/v1/messages/{sid}"))["attempts"])


@pytest.mark.postgres
async def test_a_node_that_was_frozen_before_its_post_writes_nothing_when_it_wakes(
    postgres_url: str, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(ROOT / "src"), freezing.install(tmp_path / "senders")])
    mark = tmp_path / "freeze"
    async with (
        TwilioStandIn(accounts()) as twilio,
        Served(tmp_path / "frozen", database_url=postgres_url) as frozen,
        Served(tmp_path / "awake", database_url=postgres_url) as awake,
    ):
        for node in (frozen, awake):
            node.environment["PYTHONPATH"] = path
        frozen.environment[freezing.FREEZES] = str(mark)
        key = await frozen.set_up()
        shutil.copytree(frozen.data, awake.data)
        await frozen.start()
        async with key as api:
            chosen = {"sender_service": "freezing", "freezing": policy(twilio.url)["twilio"]}
            await api.ok("PUT", "/v1/sender-policy", chosen)
            mark.touch()
            sid = (await api.ok("POST", "/v1/messages", {"to": TO, "body": "A text.", "valid_for_s": 600}))["sid"]

            async def stopped() -> bool:
                return is_stopped(frozen.pid)

            await until(stopped, bool)
        assert await twilio.messages() == []
        await awake.start()
        async with Api(awake.url, key.key_sid, key.secret) as api:
            await until(twilio.messages, lambda sent: len(sent) == 1, OTHERS_SEND_IN_S)
            os.kill(frozen.pid, signal.SIGCONT)
            seen = await until(lambda: attempts_of(api, sid), lambda tried: tried[0]["outcome"] == "unavailable")
        assert [attempt["outcome"] for attempt in seen] == ["unavailable", "accepted"]
        assert seen[0]["detail"] == "This node was held up before it could send it; nothing was sent."
        assert len(await twilio.messages()) == 1
        assert await frozen.stop() == 0

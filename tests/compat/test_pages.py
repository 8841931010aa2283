"""The pages on Twilio are true: the manual's own lines set the SDKs up, and the table says what their calls come to."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest

from compat.sdks import HERE, Node, Python, Sdk
from compat.served import Served
from compat.table import COMMAND, NOTES, PAGE, page, toured
from compat.tour import Line
from conftest import OpenStore

MANUAL = HERE.parents[1] / "docs" / "how-to" / "move-from-twilio-verify.md"
BLOCKS = re.findall(r"<!-- run -->\n```(python|js)\n(.*?)\n```", MANUAL.read_text(), re.DOTALL)

pytestmark = pytest.mark.process


@pytest.fixture
def driver() -> str:
    """The manual's lines drive; on the embedded database."""
    return "none"


async def test_the_manuals_lines_start_a_verification(served: Served) -> None:
    assert [language for language, _ in BLOCKS] == ["python", "js"] * 2
    for sent, (language, block) in enumerate(BLOCKS, 1):
        for placeholder, own in (
            ("https://otp.example.com", served.url),
            ("AC00000000000000000000000000000001", served.account),
            ("the auth token", served.token),
            ("SK00000000000000000000000000000001", served.key.key.sid),
            ("the key's secret", served.key.secret),
            ("VA00000000000000000000000000000001", served.here.tenant.default_application),
        ):
            block = block.replace(placeholder, own)
        served.here.clock.advance(60)
        process = await asyncio.create_subprocess_exec(
            *((sys.executable, "-c") if language == "python" else (shutil.which("node") or "node", "-e")),
            block,
            cwd=HERE,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert (process.returncode, out) == (0, b"pending\n"), block
        await served.texts("+15005550006", sent)


async def test_the_table_says_what_both_sdks_did(
    node: Node, open_store: OpenStore, sqlite_template: Path, tmp_path: Path
) -> None:
    async def tour(sdk: Sdk) -> list[Line]:
        path = tmp_path / f"{sdk.name}.sqlite"
        shutil.copyfile(sqlite_template, path)
        return await toured(sdk, await open_store(f"sqlite:///{path}"))

    lines = await tour(Python())
    assert page(lines, await tour(node)) == PAGE.read_text(encoding="utf-8"), f"to renew it: {COMMAND}"
    assert {(line.resource, line.operation) for line in lines} >= NOTES.keys()

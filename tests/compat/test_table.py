"""The page of compatibility says what the SDKs do."""

from __future__ import annotations

import shutil
from pathlib import Path

from compat.sdks import Node, Python, Sdk
from compat.table import COMMAND, NOTES, PAGE, page, toured
from compat.tour import Line
from conftest import OpenStore


async def test_the_page_says_what_both_sdks_did(
    node: Node, open_store: OpenStore, sqlite_template: Path, tmp_path: Path
) -> None:
    async def tour(sdk: Sdk) -> list[Line]:
        path = tmp_path / f"{sdk.name}.sqlite"
        shutil.copyfile(sqlite_template, path)
        return await toured(sdk, await open_store(f"sqlite:///{path}"))

    lines = await tour(Python())
    assert page(lines, await tour(node)) == PAGE.read_text(encoding="utf-8"), f"to renew it: {COMMAND}"
    assert {(line.resource, line.operation) for line in lines} >= NOTES.keys()

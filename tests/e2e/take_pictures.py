"""Takes the pictures of docs/screenshots: `.venv/bin/python -m pytest tests/e2e/take_pictures.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from e2e.conftest import NARROW, WIDE, Live
from e2e.test_rooms import rooms

FOLDER = Path(os.environ.get("OTPOST_PROVE_PICTURES", Path(__file__).parents[2] / "docs" / "screenshots"))


def test_take_pictures(live: Live, visit: Callable[..., Page]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    pages = [
        (visit("/overview", size=size, dark=dark), f"{'narrow' if size == NARROW else 'wide'}-{colours}")
        for size in (WIDE, NARROW)
        for dark, colours in ((False, "light"), (True, "dark"))
    ]
    for page, kind in pages:
        page.screenshot(path=FOLDER / f"empty-overview-{kind}.png")
    found = rooms(live)
    for page, kind in pages:
        for name, path in found.items():
            page.goto(path)
            page.screenshot(path=FOLDER / f"{name}-{kind}.png", full_page=True)
    stranger = visit("/sign-in", signed_in=False)
    stranger.screenshot(path=FOLDER / "sign-in-wide-light.png")

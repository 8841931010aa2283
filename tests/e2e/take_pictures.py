"""Takes the pictures of docs/screenshots: `.venv/bin/python -m pytest tests/e2e/take_pictures.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from e2e.conftest import NARROW, Live
from e2e.test_rooms import rooms

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
WINDOW = (1280, 820)
SHOWN = {
    "overview": [(WINDOW, False), (NARROW, True)],
    "verifications": [(WINDOW, False)],
    "verification": [(WINDOW, False), (WINDOW, True), (NARROW, False)],
    "messages": [(WINDOW, True)],
    "application": [(WINDOW, False)],
    "settings": [(WINDOW, True)],
    "sandbox": [(WINDOW, False), (NARROW, True)],
    "docs": [(WINDOW, False)],
    "search-error": [(NARROW, False)],
}


def test_take_pictures(live: Live, visit: Callable[..., Page]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    take(visit("/sign-in", size=WINDOW, signed_in=False), "sign-in", WINDOW, dark=False)
    take(visit("/overview", size=WINDOW), "overview-empty", WINDOW, dark=False)
    paths = rooms(live)
    windows: dict[tuple[tuple[int, int], bool], Page] = {}
    for name, looks in SHOWN.items():
        for size, dark in looks:
            if (size, dark) not in windows:
                windows[size, dark] = visit("/overview", size=size, dark=dark)
            page = windows[size, dark]
            page.goto(paths[name])
            take(page, name, size, dark=dark)


def take(page: Page, name: str, size: tuple[int, int], *, dark: bool) -> None:
    kind = f"{'narrow' if size == NARROW else 'wide'}-{'dark' if dark else 'light'}"
    page.screenshot(path=FOLDER / f"{name}-{kind}.png")

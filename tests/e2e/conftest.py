"""A console that a real browser visits: a server on a port of this machine, Chromium, and axe-core."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import update

from installation import Clock, Installation
from otpost.store import tables
from otpost.store.clocks import wall as clock
from otpost.store.sqlite import SqliteStore
from web.browsing import NAME, PASSWORD, Console

T = TypeVar("T")

AXE = Path(__file__).parent / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDE, NARROW = (1280, 900), (380, 800)


class RealClock(Clock):
    """The time as it is, so that pages show what people would see."""

    def __call__(self) -> int:
        return clock()


@dataclass
class Live:
    """A console that answers on `url`; `do` runs something in its event loop."""

    url: str
    console: Console
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    @property
    def here(self) -> Installation:
        return self.console.here

    def end_sessions(self) -> None:
        """All sessions are over, as if nobody had used them for hours."""
        self.do(self.here.store.sweep(update(tables.sessions).values(seen_at=0)))

    def verification(self, to: str = "+15005550006") -> Any:
        """A verification whose text has been handed over."""

        async def work() -> Any:
            started = await self.here.ok("POST", "/v1/verifications", {"to": to})
            await self.here.message(started["message"]["sid"])
            return started

        return self.do(work())


@pytest.fixture
def live(tmp_path: Path, sqlite_template: Path) -> Iterator[Live]:
    """A new console on a port of its own, with the user ada."""
    path = tmp_path / "otpost.sqlite"
    shutil.copyfile(sqlite_template, path)
    up, found = threading.Event(), list[Live]()
    stop: list[Callable[[], None]] = []
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.listen(128)
        url = f"http://127.0.0.1:{own.getsockname()[1]}"

        async def serve() -> None:
            store = SqliteStore(path)
            await store.open()
            here = Installation(store, RealClock(), None)
            await here.start()
            console = Console(here, None)
            await console.user()
            config = uvicorn.Config(console.app, log_config=None, lifespan="off", server_header=False, ws="none")
            server = uvicorn.Server(config)
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # older uvicorns ask for it
            loop = asyncio.get_running_loop()
            found.append(Live(url, console, loop))
            stop.append(lambda: setattr(server, "should_exit", True))
            up.set()
            await server._serve([own])
            await here.stop()
            await store.close()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        assert up.wait(10)
        yield found[0]
        stop[0]()
        thread.join(20)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser, live: Live) -> Iterator[Visit]:
    """`visit(path, width=…, dark=…, scripts=…)` opens a page in a new window, signed in unless told otherwise.

    Whatever a page logs as an error, a breach of the CSP among it, fails the test.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(
        path: str = "/overview",
        *,
        size: tuple[int, int] = WIDE,
        dark: bool = False,
        scripts: bool = True,
        signed_in: bool = True,
    ) -> Page:
        context = chromium.new_context(
            base_url=live.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if signed_in:
            page.goto("/sign-in")
            page.get_by_label("Name").fill(NAME)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/overview")
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    unexpected = [said for said in complaints if "Failed to load resource" not in said]
    assert unexpected == []


def axe(page: Page) -> list[str]:
    """What axe-core finds wrong: a line for each rule, with where and why."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", RULES)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]

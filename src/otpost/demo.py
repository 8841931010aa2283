"""The demo: the whole main job in one terminal, over the real API, with the sandbox phone in place of a real one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TextIO

from otpost import config
from otpost.app import running, settle_memory
from otpost.config import Config, Listen
from otpost.installation import Installation, NotReady, opened, sign_in_address
from otpost.outbound import AnswerLost, NotConnected, Outbound
from otpost.server import bound, listening
from otpost.services.audit import command_line_actor
from otpost.services.tenants.keys import NewKey, make_key
from otpost.services.tenants.users import make_link, make_user
from otpost.stopping import Stop
from otpost.store.kinds import USERS

FOLDER: Final = "otpost-demo"
MARKER: Final = "made-by-otpost-demo"
NUMBER: Final = "+15005550006"
APPLICATION: Final = "Demo"
USER: Final = "admin"
ARRIVES_IN_S: Final = 20
LOOKS_EVERY_S: Final = 0.05
_LOCAL: Final = tuple(ip_network(cidr) for cidr in ("127.0.0.0/8", "::1/128"))
_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
_BOLD, _DIM, _GREEN = "1", "2", "32"


class _Screen:
    """Where the demo shows what it does; on a terminal with a little style, unless NO_COLOR is set."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_styled = file.isatty() and not os.environ.get("NO_COLOR")

    def bold(self, text: str) -> str:
        return self._styled(text, _BOLD)

    def print(self, text: str, style: str = "") -> None:
        print(self._styled(text, style), file=self._file, flush=True)

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if style and self._is_styled else text


async def show(environment: Mapping[str, str], *, stay: bool, screen: TextIO | None = None) -> None:
    """Run the demo, and the service with it until it is told to stop; without `stay` only until the code is checked.

    NotReady where the directory holds an installation that the demo did not make, or where a step fails.
    """
    shown = _Screen(screen or sys.stdout)
    chosen = _config(environment)
    _claim(chosen.data)
    async with contextlib.AsyncExitStack() as held:
        here = await held.enter_async_context(opened(chosen, serving=True))
        own = held.enter_context(_bound(chosen.listen))
        port = own.getsockname()[1]
        shown.print(f"{shown.bold('Otpost demo')} in {chosen.data}")
        if port != chosen.listen.port:
            shown.print(f"Port {chosen.listen.port} is in use, so the demo takes {port}.")
            chosen = dataclasses.replace(chosen, listen=Listen(chosen.listen.host, port))
            here = dataclasses.replace(here, config=chosen)
        app = await held.enter_async_context(running(here))
        server = await held.enter_async_context(listening(app.asgi, own))
        http = Outbound(allow=(*_LOCAL, ip_network(ip_address(own.getsockname()[0]))))
        held.push_async_callback(http.close)
        unit = make_key(here.context, command_line_actor(here.tenant.sid), "admin", None, "demo")
        api = _Api(http, chosen.listen.url, await here.context.store.run(unit), shown)
        await _verification(api, shown)
        stop = Stop(shown.print) if stay else None
        await _console(here, shown)
        if stop is None:
            shown.print("The demo ends here: the recipient's number is approved")
            return
        settle_memory()
        shown.print("\nThe service stays up; Ctrl-C ends it.")
        await stop.wait(server, app.parts)


def _config(environment: Mapping[str, str]) -> Config:
    """The demo's own installation: an embedded database and a key ring in its own directory, and all roles."""
    mine = {
        name: value
        for name, value in environment.items()
        if name.removesuffix(config.FILE_SUFFIX) not in ("OTPOST_DATABASE_URL", "OTPOST_MASTER_KEY", "OTPOST_ROLES")
    }
    if not {"OTPOST_DATA", "OTPOST_DATA_FILE"} & mine.keys():
        mine["OTPOST_DATA"] = FOLDER
    return dataclasses.replace(config.read(mine), metrics_listen=None)


def _claim(folder: Path) -> None:
    """Mark the directory as the demo's own; NotReady where it holds something else."""
    marker = folder / MARKER
    if marker.exists():
        return
    try:
        if folder.exists() and any(folder.iterdir()):
            raise NotReady(
                f"{folder} holds something that the demo did not make, which it leaves alone: "
                "name an empty directory in OTPOST_DATA."
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker.write_text("This directory was made by `otpost demo` and may be deleted.\n")
    except OSError as error:
        raise NotReady(f"{folder} cannot be used ({error.strerror}): name another directory in OTPOST_DATA.") from error


@contextlib.contextmanager
def _bound(listen: Listen) -> Iterator[socket.socket]:
    """A socket on the address or, if its port is taken, on a free port of the same host."""
    with contextlib.ExitStack() as held:
        try:
            own = held.enter_context(bound(listen, "OTPOST_LISTEN"))
        except NotReady:
            own = held.enter_context(bound(Listen(listen.host, 0), "OTPOST_LISTEN"))
        yield own


class _Api:
    """The API as an application would call it, each call shown as the curl command that does the same."""

    def __init__(self, http: Outbound, url: str, key: NewKey, shown: _Screen) -> None:
        self._http = http
        self._url = url
        self._login = f"{key.key.sid}:{key.secret}"
        self._shown = shown

    async def call(self, method: str, path: str, body: Any = None, *, show: bool = True) -> Any:
        """The answer as JSON; NotReady for any refusal."""
        if show:
            self._shown.print(f"  $ {self._curl(method, path, body)}", _DIM)
        login = base64.b64encode(self._login.encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = await self._http.request(method, self._url + path, headers=headers, body=data)
        except (NotConnected, AnswerLost) as error:
            raise NotReady(f"The demo's own service does not answer: {error.reason}") from error
        told = json.loads(answer.body or b"null")
        if answer.status >= 400:
            raise NotReady(f"{method} {path} was answered {answer.status}: {told.get('detail', told)}")
        return told

    def _curl(self, method: str, path: str, body: Any) -> str:
        parts = ["curl", "-u", self._login]
        if method not in ("GET", "POST"):
            parts += ["-X", method]
        if body is not None:
            parts += ["-H", "'Content-Type: application/json'", "-d", f"'{json.dumps(body)}'"]
        return " ".join([*parts, f"'{self._url}{path}'"])


async def _verification(api: _Api, shown: _Screen) -> None:
    shown.print(f"\n{shown.bold('1.')} The sandbox phone takes the place of a real service:")
    await api.call("PUT", "/v1/sender-policy", {"sender_service": "sandbox"})
    application = await _application(api)
    query = "/v1/sandbox/messages?to=" + NUMBER.replace("+", "%2B")
    before = {text["sid"] for text in (await api.call("GET", query, show=False))["items"]}

    shown.print(f"\n{shown.bold('2.')} An application asks to verify {NUMBER}:")
    started = await api.call("POST", "/v1/verifications", {"to": NUMBER, "application": application})
    shown.print(f"  {started['sid']} is {started['status']} until {started['expires_at']}")

    shown.print(f"\n{shown.bold('3.')} The text arrives on the sandbox phone:")
    body = await _arrived(api, query, before)
    shown.print(f"  {NUMBER}: {body}", _GREEN)

    shown.print(f"\n{shown.bold('4.')} The recipient types the code, and the application checks it:")
    code = _CODE.search(body)
    if code is None:
        raise NotReady("The text on the sandbox phone holds no code of six digits: delete the demo's directory.")
    checked = await api.call("POST", f"/v1/verifications/{started['sid']}/check", {"code": code[0]})
    if checked["status"] != "approved":
        raise NotReady(f"The code was not taken: the verification is {checked['status']}.")
    shown.print("  status: approved", _GREEN)


async def _application(api: _Api) -> str:
    """The demo's application, which may send to the same number as often as somebody plays with it."""
    wanted = {"resend_after_s": 0, "max_sends": 10, "number_sends_per_hour": 1000, "number_sends_per_day": 1000}
    for known in (await api.call("GET", "/v1/applications?limit=100", show=False))["items"]:
        if known["name"] == APPLICATION:
            return str(known["sid"])
    return str((await api.call("POST", "/v1/applications", {"name": APPLICATION, **wanted}, show=False))["sid"])


async def _arrived(api: _Api, query: str, before: set[str]) -> str:
    show = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ARRIVES_IN_S):
            while True:
                for text in (await api.call("GET", query, show=show))["items"]:
                    if text["sid"] not in before:
                        return str(text["body"])
                show = False
                await asyncio.sleep(LOOKS_EVERY_S)
    raise NotReady(f"No text arrived on the sandbox phone within {ARRIVES_IN_S} s: look at the log above.")


async def _console(here: Installation, shown: _Screen) -> None:
    """Where the console is, with a one-time link that signs in the demo's user."""
    store = here.context.store
    user = next(iter(await store.find(USERS, "name", USER)), None)
    if user is None:
        user = await store.run(make_user(here.context, command_line_actor(here.tenant.sid), USER, None))
    link = await store.run(make_link(here.context, here.tenant.sid, user.sid))
    shown.print(f"\nConsole, for one hour as {USER}: {sign_in_address(here.config, link.token)}")

"""Twilio's own SDKs behind one set of words: a call is written once, and made by twilio-python and by twilio-node."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

HERE = Path(__file__).parent
NODE_NAMES: Final = {"channel_data_to": "channelData.to", "delete": "remove"}
"""What twilio-node does not call as its other names suggest."""


class Refused(Exception):
    """The exception of an SDK that its users catch: TwilioRestException, or RestException."""

    def __init__(self, status: int, code: object, message: str, details: Any) -> None:
        super().__init__(f"{status} {code} {message} {details}")
        self.status, self.code, self.message, self.details = status, code, message, details

    @property
    def answer(self) -> tuple[int, object]:
        return self.status, self.code


class Call:
    """A call as it is written for twilio-python, `twilio.messages.create(to=…)`, to be made by either."""

    def __init__(self, steps: tuple[tuple[str, tuple[Any, ...] | None, dict[str, Any]], ...] = ()) -> None:
        self.steps = steps

    def __getattr__(self, name: str) -> Call:
        return Call((*self.steps, (name, None, {})))

    def __call__(self, *given: Any, **named: Any) -> Call:
        return Call((*self.steps[:-1], (self.steps[-1][0], given, named)))


twilio: Final = Call()
services: Final = twilio.verify.v2.services


class Sdk(ABC):
    """`await sdk(call)` answers plain values by Twilio's own names, moments in ISO 8601; or raises Refused."""

    name: str

    @abstractmethod
    async def connect(
        self, url: str, username: str, password: str, account: str, *, rebased: bool = False, **options: Any
    ) -> None:
        """The client's two lines of set-up, or (`rebased`) its custom HTTP client; `options` are the client's own."""

    @abstractmethod
    async def __call__(self, call: Call) -> Any: ...

    @abstractmethod
    async def believes(self, token: str, signature: str, url: str, parameters: dict[str, str]) -> bool:
        """Whether the SDK's validator of callbacks takes the signature for Twilio's."""

    async def refusal(self, call: Call) -> Refused:
        """The same, for calls that must not succeed."""
        try:
            value = await self(call)
        except Refused as refused:
            return refused
        raise AssertionError(f"not refused: {value}")


class Rebased(TwilioHttpClient):
    """The HTTP client of the manual: it sends every request to one address, whatever region and edge made of it."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = urlsplit(base)

    def request(self, method: str, url: str, *given: Any, **named: Any) -> Any:
        asked = urlsplit(url)
        here = urlunsplit((self.base.scheme, self.base.netloc, asked.path, asked.query, ""))
        return super().request(method, here, *given, **named)


class Python(Sdk):
    name = "twilio-python"

    async def connect(
        self, url: str, username: str, password: str, account: str, *, rebased: bool = False, **options: Any
    ) -> None:
        if rebased:
            self.client = Client(username, password, account, http_client=Rebased(url), **options)
        else:
            self.client = Client(username, password, account, **options)
            self.client.verify.base_url = url
            self.client.api.base_url = url

    async def __call__(self, call: Call) -> Any:
        return await asyncio.to_thread(self._made, call)

    def _made(self, call: Call) -> Any:
        found: Any = self.client
        try:
            for name, given, named in call.steps:
                found = getattr(found, name)
                if given is not None:
                    found = found(*given, **named)
        except TwilioRestException as error:
            raise Refused(error.status, error.code, error.msg, error.details) from error
        except TwilioException as error:
            raise _refused_page(error) from error
        return _plain(found)

    async def believes(self, token: str, signature: str, url: str, parameters: dict[str, str]) -> bool:
        return bool(RequestValidator(token).validate(url, parameters, signature))


def _refused_page(error: TwilioException) -> Refused:
    """A list's exception has its answer beside it, unread."""
    sentence, response = error.args
    said = json.loads(response.text)
    return Refused(response.status_code, said["code"], f"{sentence}: {said['message']}", said.get("details"))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if hasattr(value, "__dict__"):
        return {name.rstrip("_"): _plain(inner) for name, inner in vars(value).items() if not name.startswith("_")}
    return value


class Node(Sdk):
    """A Node process that lives as long as the `with` block; one call at a time."""

    name = "twilio-node"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [shutil.which("node") or "node", HERE / "drive.cjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)

    async def connect(
        self, url: str, username: str, password: str, account: str, *, rebased: bool = False, **options: Any
    ) -> None:
        await self._ask(
            "connect",
            {
                "username": username,
                "password": password,
                "accountSid": account,
                "url": url,
                "rebased": rebased,
                "options": options,
            },
        )

    async def __call__(self, call: Call) -> Any:
        steps = [
            [_camel(name), None if given is None else [*given, *([_named(named)] if named else [])]]
            for name, given, named in call.steps
        ]
        return _snake(await self._ask("call", {"steps": steps}))

    async def believes(self, token: str, signature: str, url: str, parameters: dict[str, str]) -> bool:
        given = {"token": token, "signature": signature, "url": url, "parameters": parameters}
        return bool(await self._ask("validate", given))

    async def _ask(self, order: str, given: dict[str, Any]) -> Any:
        answer = json.loads(await asyncio.to_thread(self._told, json.dumps([order, given])))
        if "refused" in answer:
            said = answer["refused"]
            raise Refused(said["status"], said.get("code"), said["message"], said.get("details"))
        assert "value" in answer, answer
        return answer["value"]

    def _told(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def _camel(name: str) -> str:
    return NODE_NAMES.get(name) or re.sub("_([a-z0-9])", lambda found: found[1].upper(), name.rstrip("_"))


def _named(named: dict[str, Any]) -> dict[str, Any]:
    return {
        _camel(name): {"$date": value.isoformat()} if isinstance(value, datetime) else value
        for name, value in named.items()
    }


def _snake(value: Any) -> Any:
    """An instance's own names in Twilio's spelling; what Twilio sent inside of it stays as it is."""
    if isinstance(value, list):
        return [_snake(item) for item in value]
    if isinstance(value, dict):
        return {re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name): _moment(v) for name, v in value.items()}
    return value


def _moment(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value):
        return value[:-5] + "Z"
    return value

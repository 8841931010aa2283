"""The pretended Twilio on the wire: credentials, headers, broken connections, and the control calls."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import socket
import struct
import uuid
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from aiohttp import web

from standins.twilio_callbacks import Callbacks, Plan, Step
from standins.twilio_faults import Fault, Faults
from standins.twilio_messages import Reply, answer, refusal, resource, segments
from standins.twilio_world import KINDS, Account, Config, Pairs, RequestRecord, World

PATH = re.compile(r"/2010-04-01/Accounts/([^/?]+)/Messages(?:/([^/?]+))?\.json(?:\?.*)?")
FORM = b"application/x-www-form-urlencoded"
CONTROL = "/_control/"
GATHER_S = 0.005  # changes that come together are told together, so that waiting costs little under load
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class UnknownControl(Exception):
    """There is no control call of this name."""


class Server:
    """One listening pretended Twilio."""

    def __init__(self, config: Config) -> None:
        self.world = World(config)
        self.faults = Faults()
        self.callbacks = Callbacks(self.world)
        self.port = 0
        self._runner: web.ServerRunner | None = None

    async def listen(self, port: int = 0) -> int:
        """Listens on loopback; the port."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, backlog=1_024)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self.port

    async def stop_listening(self) -> None:
        """Closes every connection and the port; the state stays."""
        self.faults.release("close")
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        await self.stop_listening()
        await self.callbacks.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.startswith(CONTROL):
            return await self._handle_control(request)
        body = await request.read()
        record = self._record(request, body)
        self.world.in_flight[record.account or ""] += 1
        try:
            return await self._serve(request, record)
        finally:
            self.world.in_flight[record.account or ""] -= 1

    async def _serve(self, request: web.BaseRequest, record: RequestRecord) -> web.StreamResponse:
        struck = self.faults.strike(record.operation or "unknown", record.account, _recipient(record))
        fault = None
        if struck is not None:
            record.fault, fault = struck
        if self.world.config.latency_ms:
            await asyncio.sleep(self.world.config.latency_ms / 1_000)
        if fault is not None and fault.when == "before" and fault.action != "cut":
            gone = await self._suffer(request, record, fault)
            if gone is not None:
                return gone
        reply = self._answer(record)
        if reply.accepted is not None:
            await self.callbacks.accepted(reply.accepted)
        if fault is not None and (fault.when == "after" or fault.action == "cut"):
            if fault.action == "cut":
                return await self._cut(request, record, reply)
            gone = await self._suffer(request, record, fault)
            if gone is not None:
                return gone
        return self._respond(record, reply)

    async def _suffer(self, request: web.BaseRequest, record: RequestRecord, fault: Fault) -> web.StreamResponse | None:
        """What the fault answers instead, or None when the request goes on."""
        match fault.action:
            case "hang":
                record.held = True
                self.world.answered(record)
                try:
                    then = await self.faults.hold()
                finally:
                    record.held = False
                    self.world.answered(record)
                return None if then == "go_on" else _hang_up(request, reset=False)
            case "close" | "reset":
                return _hang_up(request, reset=fault.action == "reset")
            case _:
                return self._respond(record, _faulty_reply(fault))

    def _answer(self, record: RequestRecord) -> Reply:
        account = self._authenticated(record)
        if account is None:
            return refusal(20003)
        parent = self.world.accounts.get(account.parent or "")
        if account.status != "active" or (parent is not None and parent.status != "active"):
            return refusal(20005)
        if account.max_concurrent is not None and self.world.in_flight[account.sid] > account.max_concurrent:
            return refusal(20429)
        return answer(self.world, record, account)

    def _authenticated(self, record: RequestRecord) -> Account | None:
        """The account of the path, if the credentials are its own or, for an auth token, its parent's."""
        account = self.world.accounts.get(record.account or "")
        if record.username is None or record.password is None:
            return None
        if account is not None:
            secret = account.api_keys.get(record.username)
            if record.username == account.sid:
                secret = account.auth_token
            elif record.username == account.parent and record.username in self.world.accounts:
                secret = self.world.accounts[record.username].auth_token
            if secret is not None:
                right = hmac.compare_digest(secret.encode(), record.password.encode())
                return account if right else None
        if record.username in self.world.accounts:
            self.world.violated(
                record, "foreign_credentials", f"credentials of {record.username} on the path of {record.account}"
            )
        return None

    def _record(self, request: web.BaseRequest, body: bytes) -> RequestRecord:
        path = request.raw_path
        match = PATH.fullmatch(path)
        account, message = match.groups() if match else (None, None)
        username = password = None
        is_form = False
        headers: Pairs = []
        keep = self.world.config.keep_requests
        for name, value in request.raw_headers:
            if keep:
                headers.append((name.decode("latin-1"), value.decode("latin-1")))
            lower = name.lower()
            if lower == b"authorization":
                username, password = _credentials(value)
            elif lower == b"content-type":
                is_form = value.split(b";")[0].strip().lower() == FORM
        text = body.decode("utf-8", "replace")
        return self.world.arrived(
            method=request.method,
            path=path,
            headers=headers,
            form=_pairs(text) if is_form else [],
            body=text,
            username=username,
            password=password,
            operation=_operation(request.method, message is not None) if match else None,
            account=account,
            message=message,
        )

    def _respond(self, record: RequestRecord, reply: Reply) -> web.Response:
        record.status, record.code = reply.status, reply.code
        self.world.answered(record)
        return web.Response(status=reply.status, body=reply.body, headers=self._headers(record, reply))

    async def _cut(self, request: web.BaseRequest, record: RequestRecord, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=self._headers(record, reply))
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        self.world.answered(record)
        if request.transport is not None:
            request.transport.abort()
        return response

    def _headers(self, record: RequestRecord, reply: Reply) -> dict[str, str]:
        headers = {
            "Twilio-Request-Id": "RQ" + uuid.uuid4().hex,
            "Twilio-Request-Duration": "0.080",
            "Twilio-Concurrent-Requests": str(self.world.in_flight[record.account or ""]),
            "X-Home-Region": "us1",
            "X-Api-Domain": "api.twilio.com",
            "X-Powered-By": "AT-5000",
            "X-Shenanigans": "none",
        }
        if reply.status != 204:
            headers["Content-Type"] = "application/json;charset=utf-8"
        return headers | reply.headers

    async def _handle_control(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        payload = msgspec.json.decode(body) if body else dict(request.query)
        try:
            result = await self.control(request.path.removeprefix(CONTROL), payload)
        except (UnknownControl, KeyError, TypeError, msgspec.ValidationError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")

    async def control(self, name: str, payload: dict[str, Any]) -> Any:
        """One control call; what it returns can be written as JSON.

        Raises: UnknownControl, KeyError (no such message or account), msgspec.ValidationError (a wrong field).
        """
        world = self.world
        match name:
            case "counts":
                return self._counts()
            case "messages" | "requests" | "callbacks" | "violations":
                return [
                    item
                    for item in getattr(world.records, name)
                    if all(str(getattr(item, field)) == str(wanted) for field, wanted in payload.items())
                ]
            case "changes":
                return await self._changes(**_changes_query(payload))
            case "fault":
                return {"fault": self.faults.add(msgspec.convert(payload, Fault))}
            case "clear_faults":
                return self.faults.clear()
            case "release":
                return {"released": self.faults.release(**payload)}
            case "plan":
                return self.callbacks.add(msgspec.convert(payload, Plan))
            case "clear_plans":
                return self.callbacks.clear()
            case "report":
                step = Step(payload["status"], payload.get("error_code"))
                return await self.callbacks.report(world.by_sid[payload["sid"]], step)
            case "account":
                old = world.accounts.get(payload["sid"])
                known = {} if old is None else msgspec.to_builtins(old)
                world.accounts[payload["sid"]] = msgspec.convert({**known, **payload}, Account)
                return None
            case "plant":
                return self._plant(**payload)
            case "clock":
                world.fixed_now = payload.get("now")
                return None
            case "reset":
                self.faults.clear()
                self.faults.release("close")
                await self.callbacks.stop()
                self.callbacks.clear()
                world.fixed_now = None
                return world.clear()
            case _:
                raise UnknownControl(name)

    def _counts(self) -> dict[str, Any]:
        records = self.world.records
        per_account = {sid: len(messages) for sid, messages in self.world.by_account.items() if messages}
        return {
            "requests": self.world.request_count,
            **{kind: len(getattr(records, kind)) for kind in KINDS if kind != "requests"},
            "held": records.held,
            "messages_by_account": per_account,
        }

    async def _changes(self, epoch: int, since: int, timeout_s: float) -> dict[str, Any]:
        """The records that changed after place `since` of the journal; waits up to `timeout_s` for one."""
        world = self.world
        if epoch == world.epoch and since >= len(world.journal) and timeout_s > 0:
            try:
                async with asyncio.timeout(timeout_s):
                    await world.change()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass
        since = since if epoch == world.epoch else 0
        touched = dict.fromkeys(world.journal[since:])
        return {
            "epoch": world.epoch,
            "until": len(world.journal),
            **{kind: [getattr(world.records, kind)[i] for k, i in touched if k == kind] for kind in KINDS},
        }

    def _plant(
        self, account: str, to: str, body: str, sender: str, created_at: int | None = None, status: str = "delivered"
    ) -> dict[str, Any]:
        """A message that is in the listings without a request to the pretended Twilio having made it."""
        at = self.world.now() if created_at is None else created_at
        message = self.world.keep(
            account=account,
            to=to,
            body=body,
            origin=sender,
            messaging_service_sid=None,
            sender=sender,
            status=status,
            created_at=at,
            updated_at=at,
            sent_at=at if status in ("sent", "delivered", "undelivered") else None,
            num_segments=segments(body),
        )
        return resource(message, self.world.accounts[account])


def _changes_query(payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "epoch": int(payload.get("epoch", 0)),
        "since": int(payload.get("since", 0)),
        "timeout_s": float(payload.get("timeout_s", 0)),
    }


def _recipient(record: RequestRecord) -> str | None:
    if record.operation == "list":
        return dict(parse_qsl(record.path.partition("?")[2])).get("To")
    return next((value for name, value in record.form if name == "To"), None)


def _pairs(text: str) -> Pairs:
    """A form's fields in order, blank ones included."""
    parts = (item.partition("=") for item in text.split("&") if item)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in parts]


def _operation(method: str, on_message: bool) -> str | None:
    if on_message:
        return {"GET": "fetch", "POST": "update", "DELETE": "delete"}.get(method)
    return {"GET": "list", "POST": "create"}.get(method)


@lru_cache(maxsize=4_096)
def _credentials(value: bytes) -> tuple[str | None, str | None]:
    scheme, _, encoded = value.partition(b" ")
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return (username, password) if colon and scheme.lower() == b"basic" else (None, None)


def _faulty_reply(fault: Fault) -> Reply:
    code = fault.code or {429: 20429, 503: 20503}.get(fault.status, 20500)
    reply = refusal(code, status=fault.status)
    body = reply.body if fault.body is None else fault.body.encode()
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return Reply(fault.status, body, None if fault.body is not None else code, headers=headers)


def _hang_up(request: web.BaseRequest, *, reset: bool) -> web.Response:
    """Ends the connection without an answer, by FIN or by RST; the response is never written."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        transport.abort()
    return web.Response()

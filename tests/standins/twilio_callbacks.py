"""What becomes of an accepted message, and the signed status callbacks that tell of it.

Sources: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status ,
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides ,
https://www.twilio.com/docs/usage/security .
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlencode, urlsplit, urlunsplit

import aiohttp
import msgspec
from twilio.request_validator import RequestValidator
from yarl import URL

from standins.twilio_world import CallbackRecord, MessageRecord, World

RANK = {"accepted": 0, "queued": 1, "sending": 2, "sent": 3, "failed": 4, "undelivered": 4, "delivered": 5}
FAILED = {"failed", "undelivered"}
CONDITIONS = {"4xx", "5xx", "ct", "rt"}


class Step(msgspec.Struct):
    """A status that a message comes to."""

    status: str
    error_code: int | None = None


class Plan(msgspec.Struct, kw_only=True):
    """What messages of `account` to `to` (None: any) go through, in this order; at most `times` messages take it.

    `before_answer`: all callbacks are sent before the request is answered.
    """

    steps: list[str | Step]
    account: str | None = None
    to: str | None = None
    times: int | None = None
    before_answer: bool = False


PLAIN = Plan(steps=["sent", "delivered"])
WITH_SERVICE = Plan(steps=["queued", "sent", "delivered"])


class Overrides(msgspec.Struct):
    """The connection overrides of a callback URL's fragment: retries, their conditions, time-outs in seconds."""

    retries: int
    conditions: set[str]
    connect_s: float
    read_s: float
    total_s: float


class Target(msgspec.Struct):
    url: str
    authorization: str | None
    overrides: Overrides


class Callbacks:
    """Moves messages along their plans and posts the callbacks, one after the other for each message."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plans: list[Plan] = []
        self._taken: list[int] = []
        self._session: aiohttp.ClientSession | None = None
        self._running: set[asyncio.Task[None]] = set()

    def add(self, plan: Plan) -> None:
        """The latest plan that fits a message is the one it takes."""
        self._plans.insert(0, plan)
        self._taken.insert(0, 0)

    def clear(self) -> None:
        self._plans, self._taken = [], []

    async def stop(self) -> None:
        """Ends what is on its way; later messages are served as before."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        await self.stop()
        if self._session is not None:
            await self._session.close()

    def plan_for(self, message: MessageRecord) -> Plan:
        for index, plan in enumerate(self._plans):
            fits = plan.account in (None, message.account) and plan.to in (None, message.to)
            if fits and (plan.times is None or self._taken[index] < plan.times):
                self._taken[index] += 1
                return plan
        return WITH_SERVICE if message.messaging_service_sid else PLAIN

    async def accepted(self, message: MessageRecord) -> None:
        """Starts the message on its plan; waits for its end where the plan goes before the answer."""
        if message.test:
            return
        plan = self.plan_for(message)
        if not message.status_callback:
            for step in plan.steps:
                self._come_to(message, _step(step))
        elif plan.before_answer:
            await self._walk(message, plan)
        elif plan.steps:
            task = asyncio.create_task(self._walk(message, plan))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def report(self, message: MessageRecord, step: Step) -> list[CallbackRecord]:
        """Brings the message to a status and sends its callback now; the tries that it took."""
        self._come_to(message, step)
        return await self._send(message, step) if message.status_callback else []

    async def _walk(self, message: MessageRecord, plan: Plan) -> None:
        for item in plan.steps:
            await self.report(message, _step(item))

    def _come_to(self, message: MessageRecord, step: Step) -> None:
        now = self._world.now()
        message.updated_at = now
        message.sender_chosen = True
        if RANK.get(step.status, 9) >= RANK.get(message.status, 9):
            message.status, message.error_code = step.status, step.error_code
        if step.status in ("sent", "delivered", "undelivered") and message.sent_at is None:
            message.sent_at = now
        self._world.message_changed(message)

    async def _send(self, message: MessageRecord, step: Step) -> list[CallbackRecord]:
        target = read_target(message.status_callback or "", self._world.config.callback_timeout_s)
        form = _fields(message, step, self._world.now())
        owner = self._world.accounts[message.account]
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "X-Twilio-Signature": _validator(owner.auth_token).compute_signature(target.url, form),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        }
        if target.authorization is not None:
            headers["Authorization"] = target.authorization
        body = urlencode(form).encode()
        tries: list[CallbackRecord] = []
        while True:
            record = CallbackRecord(
                index=len(self._world.records.callbacks),
                at=self._world.now(),
                message=message.sid,
                status=step.status,
                url=target.url,
                form=list(form.items()),
                headers=list(headers.items()),
                attempt=len(tries) + 1,
            )
            tries.append(record)
            self._world.records.callbacks.append(record)
            self._world.changed("callbacks", record.index)
            condition = await self._post(record, target, body, headers)
            record.finished = True
            self._world.changed("callbacks", record.index)
            if condition not in target.overrides.conditions or len(tries) > target.overrides.retries:
                return tries

    async def _post(self, record: CallbackRecord, target: Target, body: bytes, headers: dict[str, str]) -> str | None:
        """Posts once; the condition under which Twilio might try again, if one came about."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=256)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        limits = target.overrides
        timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.read_s)
        url = URL(target.url, encoded=True)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                record.answered = answer.status
                return "5xx" if answer.status >= 500 else "4xx" if answer.status >= 400 else None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            record.error = f"could not connect: {type(error).__name__}"
            return "ct"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            record.error = f"no answer: {type(error).__name__}"
            return "rt"


def _step(item: str | Step) -> Step:
    return Step(item) if isinstance(item, str) else item


@lru_cache
def _validator(token: str) -> RequestValidator:
    return RequestValidator(token)


def _fields(message: MessageRecord, step: Step, now: int) -> dict[str, str]:
    form = {
        "MessageSid": message.sid,
        "SmsSid": message.sid,
        "MessageStatus": step.status,
        "SmsStatus": step.status,
        "AccountSid": message.account,
        "From": message.sender,
        "To": message.to,
        "ApiVersion": "2010-04-01",
    }
    if message.messaging_service_sid:
        form["MessagingServiceSid"] = message.messaging_service_sid
    if step.error_code is not None and step.status in FAILED:
        form["ErrorCode"] = str(step.error_code)
    if step.status in ("delivered", "undelivered"):
        form["RawDlrDoneDate"] = datetime.fromtimestamp(now / 1_000, UTC).strftime("%y%m%d%H%M")
    return form


def read_target(callback: str, timeout_s: float) -> Target:
    """The URL that is posted to and signed: no fragment, no user and password, the port kept."""
    parts = urlsplit(callback)
    userinfo, at, place = parts.netloc.rpartition("@")
    authorization = "Basic " + base64.b64encode(unquote(userinfo).encode()).decode() if at else None
    url = urlunsplit((parts.scheme, place, parts.path, parts.query, ""))
    said = {name: values[-1] for name, values in parse_qs(parts.fragment).items()}
    conditions = set(said.get("rp", "ct").split(","))
    total_s = _ms(said, "tt", 100, 15_000, timeout_s)
    overrides = Overrides(
        retries=min(max(int(said["rc"]), 0), 5) if said.get("rc", "").isdigit() else 1,
        conditions=CONDITIONS if "all" in conditions else conditions & CONDITIONS,
        connect_s=_ms(said, "ct", 100, 10_000, min(5.0, total_s)),
        read_s=_ms(said, "rt", 100, 15_000, total_s),
        total_s=total_s,
    )
    return Target(url, authorization, overrides)


def _ms(said: dict[str, str], name: str, least: int, most: int, otherwise_s: float) -> float:
    text = said.get(name, "")
    return min(max(int(text), least), most) / 1_000 if text.isdigit() else otherwise_s

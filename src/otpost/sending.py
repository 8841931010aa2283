"""A test text from the command line: through the outbox, sent by a service that runs or else by this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from otpost.config import Config
from otpost.domain.message import Attempt, Message
from otpost.domain.outcome import REASONS
from otpost.domain.phone import PhoneNumber
from otpost.domain.sid import TENANT, is_sid
from otpost.installation import Installation, InUse, NotReady, opened
from otpost.messaging.loop import Messaging
from otpost.outbound import Outbound
from otpost.senders.registry import find_services
from otpost.services.messages.nodes import LOST_MS
from otpost.services.messages.queue import count_nodes
from otpost.services.messages.send import send_message
from otpost.services.policy.plan import Plans
from otpost.store.kinds import ATTEMPTS, MESSAGES, TENANTS

VALID_FOR_S: Final = 300
WAITS_S: Final = 60
LOOKS_EVERY_S: Final = 0.1
UNDER_WAY: Final = ("queued", "sending")
GONE_OUT: Final = ("accepted", "sent", "delivered")


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a test text, in words; `well` if the service took it."""

    well: bool
    words: str


async def send_and_wait(config: Config, tenant: str | None, to: PhoneNumber, text: str) -> Told:
    """Put a text into the outbox and wait until it has left, a minute at most.

    Raises NotReady, and what `services.messages.send` raises.
    """
    async with contextlib.AsyncExitStack() as held:
        try:
            here = await held.enter_async_context(opened(config, make=False, serving=config.database_file is not None))
        except InUse:
            here = await held.enter_async_context(opened(config, make=False))
        own = here.tenant
        if tenant is not None:
            named = await here.context.store.get(TENANTS, tenant) if is_sid(tenant, TENANT) else None
            if named is None:
                raise NotReady(f"--tenant: there is no tenant {tenant}.")
            own = named
        plans = Plans(here.context)
        unit = send_message(here.context, plans, own.sid, own.default_application, to, text, VALID_FOR_S)
        message = await here.context.store.run(unit)
        if not await _service_runs(here):
            await held.enter_async_context(_messaging(here, plans))
        return await _waited(here, message)


async def _service_runs(here: Installation) -> bool:
    return await count_nodes(here.context, LOST_MS) > 0


@contextlib.asynccontextmanager
async def _messaging(here: Installation, plans: Plans) -> AsyncIterator[None]:
    config = here.config
    async with contextlib.AsyncExitStack() as held:
        http = Outbound(allow=config.outbound_allow, proxy=config.outbound_proxy)
        held.push_async_callback(http.close)
        own = Messaging(here.context, plans, http, public_url=config.public_url, alone=False)
        here.context.store.on_signal = own.wake
        await own.start()
        held.push_async_callback(own.stop)
        yield


async def _waited(here: Installation, message: Message) -> Told:
    store = here.context.store
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAITS_S):
            while message.status in UNDER_WAY:
                await asyncio.sleep(LOOKS_EVERY_S)
                message = await store.get(MESSAGES, message.sid) or message
    tried = await store.find(ATTEMPTS, "message", message.sid)
    return Told(message.status in GONE_OUT, _words(message, tried[-1] if tried else None))


def _words(message: Message, attempt: Attempt | None) -> str:
    via = message.service
    if service := find_services().get(message.service):
        via = service.TITLE
    origin = f"{message.origin} of {message.account_sid}" if message.account_sid else message.origin
    if message.status in GONE_OUT:
        told = f"{via} accepted the text ({message.sid}, from {origin}): {message.status}."
        if message.service == "sandbox":
            told += " It lies on the sandbox phone: GET /v1/sandbox/messages shows it."
        return told
    if message.status in UNDER_WAY:
        why = " ".join(part for part in (_why(message, attempt), "It is tried again.") if part)
        return f"{via} has not taken the text ({message.sid}, from {origin}) in {WAITS_S} s. {why}"
    return f"{via} did not take the text ({message.sid}, from {origin}): {message.status}. {_why(message, attempt)}"


def _why(message: Message, attempt: Attempt | None) -> str:
    """What the last attempt came to, or the reason in words where that says nothing of it, and the vendor's words."""
    said = []
    if attempt is not None and attempt.detail and attempt.reason == message.reason:
        said.append(attempt.detail)
    elif message.reason is not None:
        said.append(REASONS[message.reason].for_administrator)
    if attempt is not None and attempt.vendor_message:
        beside = ", ".join(part for part in (attempt.vendor_code, attempt.link) if part)
        said.append(f"It said: {attempt.vendor_message}{f' ({beside})' if beside else ''}")
    return " ".join(said)

"""The composition of a running service: which parts there are, who is handed what, and how it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
from starlette.routing import Router

from otpost import __version__, telemetry, web
from otpost.api import Surroundings, application, description, readiness
from otpost.config import Config
from otpost.domain import errors
from otpost.front import Front
from otpost.installation import Installation, key_checks, opened, sign_in_address
from otpost.messaging.chores import Chore, run_chores
from otpost.messaging.loop import Messaging
from otpost.messaging.posting import CONNECTIONS, Posting
from otpost.outbound import Outbound
from otpost.server import Asgi, Message, bound, listening
from otpost.services.context import Context
from otpost.services.keyring import judge_key_ring
from otpost.services.messages.queue import count_waiting
from otpost.services.policy.plan import Plans
from otpost.services.tenants.keys import KeyUses, keep_key_uses
from otpost.services.tenants.sign_in import has_users
from otpost.services.tenants.users import make_link
from otpost.stopping import Parts, Stop
from otpost.store.clocks import DatabaseClock

_log = logging.getLogger(__name__)

MESSAGING_LATE_MS: Final = 15_000
KEEP_USES_EVERY_S: Final = 20
LAST_USES_KEPT_IN_S: Final = 1.0
LEARNS_EVERY_S: Final = 2.0

Answers = Callable[[str], Awaitable[tuple[int, bytes, str] | None]]


@dataclass(frozen=True, slots=True)
class App:
    """A running service without its listeners; `asgi` answers HTTP."""

    config: Config
    context: Context
    asgi: Asgi
    messaging: Messaging | None
    time: DatabaseClock
    parts: Parts

    async def ready(self) -> dict[str, str]:
        """What is wrong, by part: database, key_ring, messaging, clock. Empty if nothing is."""
        try:
            await self.context.store.ping()
            checks = await key_checks(self.context.store)
        except errors.Unavailable as refusal:
            return {"database": refusal.detail}
        wrong = {}
        if sentences := judge_key_ring(self.context.keyring, checks):
            wrong["key_ring"] = " ".join(sentences)
        if self.messaging is not None and self.context.clock.monotonic() - self.messaging.alive_at > MESSAGING_LATE_MS:
            wrong["messaging"] = "The messaging service has not come round for 15 s."
        if (sentence := self.time.sentence) is not None:
            wrong["clock"] = sentence
        return wrong


@contextlib.asynccontextmanager
async def running(here: Installation) -> AsyncIterator[App]:
    """The parts that the roles ask for, over an open installation; stopped in order at the end."""
    config = here.config
    async with contextlib.AsyncExitStack() as held:
        http = Outbound(allow=config.outbound_allow, proxy=config.outbound_proxy)
        held.push_async_callback(http.close)
        context, messaging, parts = here.context, None, Parts(())
        plans, key_uses = Plans(context), KeyUses()
        if "messaging" in config.roles:
            messaging = Messaging(
                context, plans, http, public_url=config.public_url, alone=config.database_file is not None
            )
            context = dataclasses.replace(context, lanes=messaging.pace)
            posts = Outbound(allow=config.outbound_allow, proxy=config.outbound_proxy, connections=CONNECTIONS)
            held.push_async_callback(posts.close)
            poster = Posting(context, posts)
            context.store.on_signal = _told(messaging.wake, poster.wake)
            await messaging.start()
            parts = Parts((messaging,))
            held.push_async_callback(parts.stop)
            await poster.start()
            parts.add(poster)

        chores = [] if messaging is not None else [Chore("learn", partial(learn, context), LEARNS_EVERY_S)]

        async def ready() -> dict[str, str]:
            return await app.ready()

        console = []
        if "console" in config.roles:
            console = web.make_routes(
                web.Surroundings(
                    context=context,
                    plans=plans,
                    key_uses=key_uses,
                    http=http,
                    public_url=config.public_url,
                    trusted_proxies=config.trusted_proxies,
                    openapi=description(),
                )
            )
        if "api" in config.roles:
            asgi = application(
                Surroundings(
                    context=context,
                    plans=plans,
                    key_uses=key_uses,
                    http=http,
                    public_url=config.public_url,
                    trusted_proxies=config.trusted_proxies,
                    ready=ready,
                    metrics=telemetry.render,
                    timer=time.perf_counter,
                ),
                console,
            )
        else:
            asgi = Router(console, redirect_slashes=False, default=_small(_health(ready)))
        if "api" in config.roles:
            chores.append(Chore("keep_key_uses", partial(keep_key_uses, context, key_uses), KEEP_USES_EVERY_S))
        repeating = asyncio.create_task(run_chores(chores))
        held.push_async_callback(_end_chores, repeating, context, key_uses)
        app = App(config, context, Front(asgi, config.public_url, config.trusted_proxies), messaging, here.time, parts)
        yield app


async def learn(context: Context) -> None:
    """Ask the database for its time, and for what waits, so that turns are shared out by it.

    The messaging service learns both by itself.
    """
    await context.clock.learn(context.store)
    await count_waiting(context)


async def _end_chores(task: asyncio.Task[None], context: Context, key_uses: KeyUses) -> None:
    """The last uses of keys are written down too, if the database takes them."""
    task.cancel()
    await asyncio.wait({task})
    with contextlib.suppress(errors.Unavailable, TimeoutError):
        async with asyncio.timeout(LAST_USES_KEPT_IN_S):
            await keep_key_uses(context, key_uses)


def _told(*listeners: Callable[[str], None]) -> Callable[[str], None]:
    """One listener that tells all of them."""

    def tell(name: str) -> None:
        for listener in listeners:
            listener(name)

    return tell


async def serve(config: Config, say: Callable[[str], None], *, terminal: bool) -> None:
    """Serve until SIGTERM or SIGINT; `say` writes a line to the standard output. NotReady where it cannot start.

    What is said to a `terminal` is read by the one person at it; all else is kept as a log, and gets no link.
    """
    async with contextlib.AsyncExitStack() as held:
        here = await held.enter_async_context(opened(config, serving=True, say=say))
        main = held.enter_context(bound(config.listen, "OTPOST_LISTEN"))
        metrics = None
        if config.metrics_listen is not None:
            metrics = held.enter_context(bound(config.metrics_listen, "OTPOST_METRICS_LISTEN"))
        stop = Stop(say)
        app = await held.enter_async_context(running(here))
        if metrics is not None:
            await held.enter_async_context(listening(_small(_metrics), metrics, keep_alive_s=config.keep_alive_s))
        server = await held.enter_async_context(listening(app.asgi, main, keep_alive_s=config.keep_alive_s))
        roles = ", ".join(sorted(config.roles))
        say(f"Otpost {__version__} listens on {config.listen.url} as {roles}.")
        _log.info("started: Otpost %s listens on %s as %s", __version__, config.listen.url, roles)
        if config.metrics_listen is not None:
            say(f"Metrics are open on {config.metrics_listen.url}/metrics.")
        if await lacks_user(here):
            if terminal:
                say(f"There is no user yet. Make the first one within the hour: {await first_user_link(here)}")
            else:
                say("There is no user yet. `otpost user create --name NAME --link` makes one and prints a link.")
        settle_memory()
        await stop.wait(server, app.parts)
    _log.info("stopped")


async def lacks_user(here: Installation) -> bool:
    """Whether there is a console, and nobody who could use it."""
    return "console" in here.config.roles and not await has_users(here.context)


async def first_user_link(here: Installation) -> str:
    """A one-time link that makes the installation's first user."""
    made = await here.context.store.run(make_link(here.context, here.tenant.sid, None))
    return sign_in_address(here.config, made.token)


def settle_memory() -> None:
    """Keep the collector away from what lives as long as the process, and let it come round less often."""
    gc.set_threshold(50_000, 50, 1_000)
    gc.freeze()


def _small(answers: Answers) -> Asgi:
    """An application of a few paths, for listeners that have no API."""

    async def asgi(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        found = await answers(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        status, body, kind = found or (404, b"", "text/plain")
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return asgi


def _health(ready: Callable[[], Awaitable[dict[str, str]]]) -> Answers:
    async def answers(path: str) -> tuple[int, bytes, str] | None:
        if path == "/healthz":
            return 200, b'{"status":"ok"}', "application/json"
        if path == "/readyz":
            status, told = readiness(await ready())
            return status, msgspec.json.encode(told), "application/json"
        return None

    return answers


async def _metrics(path: str) -> tuple[int, bytes, str] | None:
    return (200, telemetry.render(), telemetry.METRICS_CONTENT_TYPE) if path == "/metrics" else None

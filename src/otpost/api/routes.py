"""Every address of the API, and what answers where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from otpost.api import callbacks
from otpost.api.addresses import Addresses
from otpost.api.endpoint import Surroundings
from otpost.api.native import openapi
from otpost.api.native import routes as native
from otpost.api.native.endpoint import Endpoint
from otpost.api.problems import MethodNotAllowed
from otpost.api.twilio import routes as twilio
from otpost.api.twilio.endpoint import name_resource, write_error
from otpost.api.twilio.errors import not_found
from otpost.api.wire import respond, write_json, write_problem
from otpost.domain.errors import NotFound, Refusal, ScopeMissing
from otpost.telemetry import METRICS_CONTENT_TYPE


def readiness(wrong: dict[str, str]) -> tuple[int, dict[str, str]]:
    """What `/readyz` answers. A clock that is off is told, and the node serves on: it goes by the database's."""
    unready = wrong.keys() - {"clock"}
    return 503 if unready else 200, {"status": "unready" if unready else "ready", **wrong}


def description() -> dict[str, Any]:
    """The OpenAPI document of the API."""
    return openapi.describe(native.ENDPOINTS)


def application(surroundings: Surroundings, more: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The API as an ASGI application; `more` are the routes of others, the console's among them."""
    addresses = Addresses((*native.ENDPOINTS, *twilio.ENDPOINTS))
    routes: list[BaseRoute] = [Route(callbacks.PATH, callbacks.Callbacks(surroundings))]
    document_bytes = openapi.encode(native.ENDPOINTS)

    async def healthz(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, *write_json(200, {"status": "ok"}))

    async def readyz(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, *write_json(*readiness(await surroundings.ready())))

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = dict(scope["headers"])
            principal = await Endpoint.prove(
                surroundings, headers.get(b"authorization", b""), lambda: surroundings.caller(scope).address
            )
            if principal.key.scope != "admin":
                raise ScopeMissing
        except Refusal as refusal:
            await respond(send, *write_problem(refusal, surroundings.context.clock()))
            return
        page = surroundings.metrics()
        kind = [(b"content-type", METRICS_CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": page})

    async def document(scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(document_bytes))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": document_bytes})

    for path, page in (
        ("/healthz", healthz),
        ("/readyz", readyz),
        ("/metrics", metrics),
        ("/openapi.json", document),
    ):
        routes.append(Route(path, OnlyGet(page)))
    routes.extend(more)
    pages = Router(routes, redirect_slashes=False, default=nowhere)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await pages(scope, receive, send)
        elif not await addresses.answer(surroundings, scope, receive, send):
            if twilio.is_shaped(scope["path"]):
                await respond(send, *write_error(not_found(name_resource(scope))))
            else:
                await pages(scope, receive, send)

    return answer


class OnlyGet:
    """A page that is read and nothing else."""

    def __init__(self, page: ASGIApp) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await self._page(scope, receive, send)
            return
        answer, headers = write_problem(MethodNotAllowed(), 0)
        await respond(send, answer, [*headers, (b"allow", b"GET, HEAD")])


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """What is at no address."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    if scope["type"] == "http":
        await respond(send, *write_problem(NotFound(), 0))

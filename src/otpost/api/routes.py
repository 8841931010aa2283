"""Every address of the API, and what answers where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from otpost.api import callbacks, twilio
from otpost.api.native import applications, messages, openapi, policy, templates, verifications, webhooks
from otpost.api.native.endpoint import Endpoint, Surroundings, json_answer, prove, refused, respond
from otpost.api.problems import MethodNotAllowed
from otpost.domain.errors import NotFound, Refusal, ScopeMissing
from otpost.telemetry import METRICS_CONTENT_TYPE

ENDPOINTS: tuple[Endpoint, ...] = (
    *verifications.ENDPOINTS,
    *messages.ENDPOINTS,
    *applications.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *templates.ENDPOINTS,
    *policy.ENDPOINTS,
)


def readiness(wrong: dict[str, str]) -> tuple[int, dict[str, str]]:
    """What `/readyz` answers. A clock that is off is told, and the node serves on: it goes by the database's."""
    unready = wrong.keys() - {"clock"}
    return 503 if unready else 200, {"status": "unready" if unready else "ready", **wrong}


def description() -> dict[str, Any]:
    """The OpenAPI document of the API."""
    return openapi.described(ENDPOINTS)


class Address:
    """One path with its methods, as an ASGI application."""

    def __init__(self, surroundings: Surroundings, endpoints: dict[str, Endpoint]) -> None:
        self._surroundings = surroundings
        self._endpoints = endpoints
        self._allow = (b"allow", ", ".join(endpoints).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            answer, headers = refused(MethodNotAllowed(), 0)
            await respond(send, answer, [*headers, self._allow])
            return
        await endpoint(self._surroundings, scope, receive, send)


def application(surroundings: Surroundings, more: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The API as an ASGI application; `more` are the routes of others, the console's among them."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    routes: list[BaseRoute] = [Route(path, Address(surroundings, endpoints)) for path, endpoints in by_path.items()]
    routes.append(Route(callbacks.PATH, callbacks.Callbacks(surroundings)))
    described = openapi.encoded(ENDPOINTS)

    async def healthz(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, *json_answer(200, {"status": "ok"}))

    async def readyz(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, *json_answer(*readiness(await surroundings.ready())))

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = dict(scope["headers"])
            principal = await prove(
                surroundings.context, headers.get(b"authorization", b""), lambda: surroundings.caller(scope).address
            )
            if principal.key.scope != "admin":
                raise ScopeMissing
        except Refusal as refusal:
            await respond(send, *refused(refusal, surroundings.context.clock()))
            return
        page = surroundings.metrics()
        kind = [(b"content-type", METRICS_CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": page})

    async def document(scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(described))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": described})

    for path, page in (
        ("/healthz", healthz),
        ("/readyz", readyz),
        ("/metrics", metrics),
        ("/openapi.json", document),
    ):
        routes.append(Route(path, OnlyGet(page)))
    routes.extend(more)
    native, shaped = Router(routes, redirect_slashes=False, default=nowhere), twilio.application(surroundings)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        known = scope["type"] == "http" and twilio.is_shaped(scope["path"])
        await (shaped if known else native)(scope, receive, send)

    return answer


class OnlyGet:
    """A page that is read and nothing else."""

    def __init__(self, page: ASGIApp) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await self._page(scope, receive, send)
            return
        answer, headers = refused(MethodNotAllowed(), 0)
        await respond(send, answer, [*headers, (b"allow", b"GET, HEAD")])


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """What is at no address."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    if scope["type"] == "http":
        await respond(send, *refused(NotFound(), 0))

"""Every address of the Twilio-shaped API: found by its segments, whatever their number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from otpost.api.native.endpoint import Surroundings, respond
from otpost.api.twilio import (
    attempts,
    messages,
    messaging_configurations,
    rate_limits,
    safe_list,
    services,
    templates,
    verifications,
)
from otpost.api.twilio.endpoint import Endpoint, refused, resource_of
from otpost.api.twilio.errors import TwilioError, not_found

PREFIXES = ("/v2/", "/2010-04-01/")

ENDPOINTS: tuple[Endpoint, ...] = (
    *services.ENDPOINTS,
    *verifications.ENDPOINTS,
    *rate_limits.ENDPOINTS,
    *messaging_configurations.ENDPOINTS,
    *templates.ENDPOINTS,
    *attempts.ENDPOINTS,
    *safe_list.ENDPOINTS,
    *messages.ENDPOINTS,
)

_NAME = re.compile(r"\{(\w+)\}")
_ROOTS = frozenset({"/v2", "/2010-04-01", "/2010-04-01.json"})


def is_shaped(path: str) -> bool:
    """Whether an address is Twilio's, known or not: then it is answered in Twilio's shape."""
    return path.startswith(PREFIXES) or path in _ROOTS


@dataclass
class Node:
    """One segment of a path: what may follow it, and what answers at it.

    `named` are the children for any segment that ends so (with `.json`, or with nothing), the longer ending first.
    """

    words: dict[str, Node] = field(default_factory=dict)
    named: dict[str, Node] = field(default_factory=dict)
    endpoints: dict[str, tuple[Endpoint, tuple[str, ...]]] = field(default_factory=dict)
    allow: bytes = b""

    def child(self, segment: str) -> Node:
        """The node under this segment of a pattern, made where it is new."""
        if not segment.startswith("{"):
            return self.words.setdefault(segment, Node())
        ending = segment.partition("}")[2]
        if ending not in self.named:
            self.named = dict(sorted({**self.named, ending: Node()}.items(), reverse=True))
        return self.named[ending]


def tree(endpoints: Iterable[Endpoint]) -> Node:
    """The endpoints by their paths."""
    root = Node()
    for endpoint in endpoints:
        node = root
        for segment in endpoint.path[1:].split("/"):
            node = node.child(segment)
        if endpoint.method in node.endpoints:
            raise ValueError(f"{endpoint.method} {endpoint.path} is there twice")
        node.endpoints[endpoint.method] = endpoint, tuple(_NAME.findall(endpoint.path))
        node.allow = ", ".join(node.endpoints).encode()
    return root


def found(root: Node, path: str) -> tuple[Node, list[str]] | None:
    """The node at a path with the values of the path's parameters, or None."""
    node, values = root, []
    for segment in path[1:].split("/"):
        following = node.words.get(segment)
        if following is None:
            for ending, candidate in node.named.items():
                if segment.endswith(ending) and len(segment) > len(ending):
                    values.append(segment[: len(segment) - len(ending)])
                    following = candidate
                    break
            else:
                return None
        node = following
    return (node, values) if node.endpoints else None


def application(surroundings: Surroundings) -> ASGIApp:
    """The Twilio-shaped API as an ASGI application for HTTP requests under `PREFIXES`."""
    root = tree(ENDPOINTS)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        here = found(root, scope["path"])
        if here is None:
            await respond(send, *refused(not_found(resource_of(scope))))
            return
        node, values = here
        known = node.endpoints.get(scope["method"])
        if known is None:
            gone, headers = refused(TwilioError(20004))
            await respond(send, gone, [*headers, (b"allow", node.allow)])
            return
        endpoint, names = known
        await endpoint(surroundings, scope, receive, send, dict(zip(names, values, strict=True)))

    return answer

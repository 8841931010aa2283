"""Which endpoint answers at an address: found by the segments of its path, whatever their number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from otpost.api.endpoint import Endpoint, Surroundings
from otpost.api.problems import MethodNotAllowed
from otpost.api.wire import respond

_NAME = re.compile(r"\{(\w+)\}")


@dataclass
class Node:
    """One segment of a path: what may follow it, and what answers at it.

    `named` are the children for any segment that ends so (with `.json`, or with nothing), the longer ending first.
    """

    words: dict[str, Node] = field(default_factory=dict)
    named: dict[str, Node] = field(default_factory=dict)
    endpoints: dict[str, tuple[Endpoint[Any], tuple[str, ...]]] = field(default_factory=dict)

    def child(self, segment: str) -> Node:
        """The node under this segment of a pattern, made where it is new."""
        if not segment.startswith("{"):
            return self.words.setdefault(segment, Node())
        ending = segment.partition("}")[2]
        if ending not in self.named:
            self.named = dict(sorted({**self.named, ending: Node()}.items(), reverse=True))
        return self.named[ending]


class Addresses:
    """The endpoints by their paths."""

    def __init__(self, endpoints: Iterable[Endpoint[Any]]) -> None:
        self._root = Node()
        for endpoint in endpoints:
            node = self._root
            for segment in endpoint.path[1:].split("/"):
                node = node.child(segment)
            if endpoint.method in node.endpoints:
                raise ValueError(f"{endpoint.method} {endpoint.path} is there twice")
            node.endpoints[endpoint.method] = endpoint, tuple(_NAME.findall(endpoint.path))

    def find(self, path: str) -> tuple[Node, list[str]] | None:
        """The node at a path with the values of the path's parameters, or None."""
        node, values = self._root, []
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

    async def answer(self, surroundings: Surroundings, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let the endpoint at the request's address answer it; False where there is no such address."""
        place = self.find(scope["path"])
        if place is None:
            return False
        node, values = place
        known = node.endpoints.get(scope["method"])
        if known is None:
            endpoint, _ = next(iter(node.endpoints.values()))
            answer, headers = endpoint.refuse(MethodNotAllowed(), scope, surroundings.context.clock())
            await respond(send, answer, [*headers, (b"allow", ", ".join(node.endpoints).encode())])
        else:
            endpoint, names = known
            await endpoint(surroundings, scope, receive, send, dict(zip(names, values, strict=True)))
        return True

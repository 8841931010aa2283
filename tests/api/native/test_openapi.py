"""The API against its own description: the document is valid, and no answer lies outside of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from openapi_schema_validator import OAS31Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from installation import TO, Installation, installed, until
from otpost.api.native.openapi import describe
from otpost.api.native.routes import ENDPOINTS
from otpost.store.postgresql import PostgresStore
from otpost.store.sqlite import SqliteStore

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = {"sqlite": 6, "postgresql": 2}


class Served:
    """An installation behind uvicorn on loopback, in a thread of its own."""

    def __init__(self, database_url: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._database_url = database_url
        self._port = port
        self._ready, self._end = threading.Event(), threading.Event()
        self.bearer = ""
        self.known: dict[str, list[str]] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[Served]:
        thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        thread.start()
        try:
            assert self._ready.wait(20)
            yield self
        finally:
            self._end.set()
            thread.join(20)

    async def _serve(self) -> None:
        path = self._database_url.removeprefix("sqlite:///")
        store = PostgresStore(self._database_url) if path == self._database_url else SqliteStore(Path(path))
        await store.open()
        async with installed(store) as otpost:
            await otpost.choose_sandbox()
            await self._know(otpost)
            config = uvicorn.Config(otpost.app, port=self._port, log_level="error", lifespan="off", ws="none")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            await until(partial(_started, server), bool)
            self._ready.set()
            await asyncio.to_thread(self._end.wait)
            server.should_exit = True
            await serving
        await store.close()

    async def _know(self, otpost: Installation) -> None:
        self.bearer = f"Bearer {otpost.admin.key.sid}.{otpost.admin.secret}"
        own = otpost.tenant.default_application
        verification = await otpost.ok("POST", "/v1/verifications", {"to": TO})
        spare = await otpost.key("verify", own)
        self.known = {
            "verifications": [verification["sid"]],
            "messages": [verification["message"]["sid"]],
            "applications": [own],
            "key": [spare.key.sid],
            "number": ["+15005550006", "+15005550009"],
            "revision": ["1", "2", "3"],
            "to": ["+15005550006", "+15005550009", "+919191919191"],
            "code": ["123456", otpost.wrong_code(verification)],
            "application": [own],
        }


async def _started(server: uvicorn.Server) -> bool:
    return server.started


@pytest.fixture
def served(database_url: str, free_port: int) -> Iterator[Served]:
    with Served(database_url, free_port).running() as running:
        yield running


def document() -> dict[str, Any]:
    return describe(ENDPOINTS)


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema that stands in the document."""
    if isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]
        for value in node.values():
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


def test_the_document_is_valid_and_describes_every_address() -> None:
    described_document = document()
    assert described_document["openapi"] == "3.1.0"
    found = [*schemas(described_document["paths"]), *described_document["components"]["schemas"].values()]
    for schema in found:
        OAS31Validator.check_schema(schema)
        Draft202012Validator.check_schema(schema)
    operations = {(method.upper(), path) for path, methods in described_document["paths"].items() for method in methods}
    assert operations == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    names = [
        operation["operationId"] for methods in described_document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))


def attack(served: Served, operation: Any, mode: GenerationMode, examples: int) -> None:
    """So many calls of one operation, made by (or against) its description; half of the SIDs name what is there."""
    kind = operation.path.split("/")[2]
    try:
        cases = operation.as_strategy(generation_mode=mode)
        cases.validate()
    except Unsatisfiable:
        return

    @seed(4711)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=strategies.data())
    def call(data: Any) -> None:
        case = data.draw(cases)
        for given_values in (case.path_parameters, case.query, case.body):
            for name in given_values if isinstance(given_values, dict) else ():
                values = served.known.get(kind if name == "sid" else name, [])
                if values and data.draw(strategies.booleans()):
                    given_values[name] = data.draw(strategies.sampled_from(values))
        case.call_and_validate(checks=CHECKS, headers={"authorization": served.bearer})

    call()


@pytest.mark.slow
def test_schemathesis_finds_no_5xx_and_no_answer_outside_the_document(
    served: Served, request: pytest.FixtureRequest
) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    examples = next(count for name, count in EXAMPLES.items() if name in request.node.name)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == len(ENDPOINTS)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for operation in operations:
            attack(served, operation, mode, examples)

"""What is not foreseen: the answer and the log line of each door, and how long requests took."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from api.twilio.shaped import basic
from asgi import ask
from installation import Installation
from otpost import telemetry
from otpost.api import Surroundings
from otpost.api.addresses import Addresses
from otpost.api.callbacks import PATH, Callbacks
from otpost.api.endpoint import Endpoint, Reply
from otpost.api.native.endpoint import Endpoint as NativeEndpoint
from otpost.api.problems import STATUS, problem, retry_after_s, status_of
from otpost.api.twilio.endpoint import Endpoint as ShapedEndpoint
from otpost.domain.errors import FieldError, LimitReached, NotFound, Refusal, Unavailable
from otpost.store.base import Store

BARE = "the cupboard is bare"


async def break_down(call: Any) -> Any:
    raise RuntimeError(BARE)


def surroundings(otpost: Installation, timer: Callable[[], float] | None = None, store: Any = None) -> Surroundings:
    context = otpost.context if store is None else dataclasses.replace(otpost.context, store=store)
    more: dict[str, Any] = {} if timer is None else {"timer": timer}
    return otpost.surroundings(context=context, **more)


def served(endpoint: Endpoint[Any], here: Surroundings) -> ASGIApp:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        assert await Addresses([endpoint]).answer(here, scope, receive, send)

    return answer


class BrokenStore:
    """A store in which every unit of work fails as nobody foresaw."""

    def __init__(self, store: Store) -> None:
        self.get, self.find = store.get, store.find

    async def run(self, unit: Any) -> Any:
        raise RuntimeError(BARE)


def only(caplog: pytest.LogCaptureFixture) -> tuple[str, str, str]:
    """The one line: its level, its words, and the exception with it."""
    (record,) = [record for record in caplog.records if record.name.startswith("otpost")]
    assert record.exc_info is not None
    return record.levelname, record.getMessage(), str(record.exc_info[1])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_of_our_own_api(otpost: Installation, caplog: pytest.LogCaptureFixture, method: Any) -> None:
    endpoint = NativeEndpoint(method, "/v1/broken/{sid}", break_down, "verify", "Break", {200: None})
    app = served(endpoint, surroundings(otpost))
    headers = {"authorization": f"Bearer {otpost.verify.key.sid}.{otpost.verify.secret}"}
    answer = await ask(app, method, "/v1/broken/+4915123456789", headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json() == {
        "type": "urn:otpost:problem:internal",
        "title": "Something broke inside Otpost",
        "status": 500,
        "code": "internal",
        "detail": "Something broke inside Otpost. It is in the log; what was not answered was not kept.",
    }
    assert only(caplog) == ("ERROR", f"{method} /v1/broken/{{sid}} failed", BARE)


async def test_of_twilios_api(otpost: Installation, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = ShapedEndpoint("POST", "/v2/Broken", break_down)
    headers = {"authorization": basic(otpost.admin.key.sid, otpost.admin.secret)}
    answer = await ask(served(endpoint, surroundings(otpost)), "POST", "/v2/Broken", headers=headers)
    assert answer.status == 500
    assert set(answer.json()) == {"code", "message", "more_info", "status"}
    assert (answer.json()["status"], answer.json()["code"]) == (500, 20500)
    assert only(caplog) == ("ERROR", "POST /v2/Broken failed", BARE)


async def test_of_a_callback(otpost: Installation, caplog: pytest.LogCaptureFixture) -> None:
    here = surroundings(otpost, store=BrokenStore(otpost.store))
    app = Router([Route(PATH, Callbacks(here))])
    answer = await ask(app, "POST", f"/callbacks/twilio/AT{'0' * 32}")
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert only(caplog) == ("ERROR", "POST /callbacks/{service}/{attempt} failed", BARE)


def measured(route: str) -> tuple[float, float, float]:
    """Of a route: how many requests, how many seconds in all, how many within 0.25 s."""
    sample = telemetry.REGISTRY.get_sample_value
    name, labels = "otpost_http_request_seconds", {"route": route}
    return (
        sample(f"{name}_count", labels) or 0,
        sample(f"{name}_sum", labels) or 0,
        sample(f"{name}_bucket", {**labels, "le": "0.25"}) or 0,
    )


@pytest.mark.parametrize("dialect", ["native", "twilio"])
async def test_the_time_from_arrival_to_answer_is_measured(otpost: Installation, dialect: str) -> None:
    now = 500.0

    def timer() -> float:
        return now

    async def wait(call: Any) -> Any:
        nonlocal now
        now += float(call.query.s if dialect == "native" else call.query["s"])
        return Reply(200, "done")

    route = f"/timed/{dialect}/{id(timer)}"
    here = surroundings(otpost, timer)
    endpoint: Endpoint[Any]
    if dialect == "native":
        endpoint = NativeEndpoint("GET", route, wait, "verify", "Wait", {200: str}, query=Wait)
    else:
        endpoint = ShapedEndpoint("GET", route, wait)
    app = served(endpoint, here)
    headers = {"authorization": basic(otpost.admin.key.sid, otpost.admin.secret)}
    for seconds in ("0.2", "0.5"):
        assert (await ask(app, "GET", f"{route}?s={seconds}", headers=headers)).status == 200
    count, total, within = measured(route)
    assert (count, round(total, 6), within) == (2, 0.7, 1)
    labels = {"method": "GET", "route": route}
    sample = telemetry.REGISTRY.get_sample_value
    assert sample("otpost_http_requests_total", {**labels, "status": "200"}) == 2
    await ask(app, "GET", route)
    assert sample("otpost_http_requests_total", {**labels, "status": "401"}) == 1


class Wait(msgspec.Struct):
    s: float


def kinds(kind: type[Refusal] = Refusal) -> set[type[Refusal]]:
    """A refusal's kind with all below it, wherever they are."""
    return {kind}.union(*(kinds(below) for below in kind.__subclasses__()))


def test_every_refusal_of_the_house_is_a_problem_with_a_title_and_a_status(otpost_modules: None) -> None:
    named = {kind for kind in kinds() if kind.__module__.startswith("otpost.")}
    assert len(named) > 20
    for kind in named:
        refusal = kind.__new__(kind)
        Refusal.__init__(refusal, "why")
        told = problem(refusal)
        assert told.title, kind
        assert (told.code, told.detail) == (kind.code, "why")
        expected = 429 if issubclass(kind, LimitReached) else STATUS.get(kind.code, 422)
        assert told.status == status_of(refusal) == expected, kind


def test_a_refusal_that_no_table_knows_is_a_problem_too() -> None:
    class Unheard(Refusal):
        """This was never heard of; nobody knows: why. Try again."""

        code = "unheard"

    class Crowded(LimitReached):
        """Too many at once: wait."""

        code = "crowded"

    errors = (FieldError("x", "invalid", "no"),)
    told = problem(Unheard(errors=errors), "r")
    assert (told.type, told.title, told.status) == ("urn:otpost:problem:unheard", "This was never heard of", 422)
    assert (told.errors, told.request_id, told.retry_at) == ([errors[0]], "r", None)
    told = problem(Crowded(retry_at=0))
    assert (told.title, told.status, told.retry_at) == ("Too many at once", 429, "1970-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (LimitReached(retry_at=10_000), 10),
        (LimitReached(retry_at=10_001), 11),
        (LimitReached(retry_at=9_999), 10),
        (LimitReached(retry_at=0), 1),
        (LimitReached(), None),
        (Unavailable(), 1),
        (Unavailable(retry_at=3_000), 3),
        (NotFound(), None),
    ],
)
def test_when_to_come_back_is_told_in_whole_seconds(refusal: Refusal, seconds: int | None) -> None:
    assert retry_after_s(refusal, 0) == seconds


@pytest.fixture
def otpost_modules() -> None:
    """All modules of the package, so that every kind of refusal is known."""
    import importlib
    import pkgutil

    import otpost

    for module in pkgutil.walk_packages(otpost.__path__, "otpost."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)

"""Logs and metrics: what is masked before it is written, and what is counted."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from structlog.typing import EventDict, Processor, WrappedLogger

from otpost import __version__

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("otpost.request_id", default=None)
"""The id of the request that is being answered here; every line of the log carries it."""

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry(auto_describe=True)

STARTS: Final = Counter(
    "otpost_starts",
    "Starts of verifications; result is created, resent or the refusal's code.",
    ["result"],
    registry=REGISTRY,
)
CHECKS: Final = Counter(
    "otpost_checks",
    "Checks of codes; result is right, wrong or the refusal's code.",
    ["result"],
    registry=REGISTRY,
)
ATTEMPTS: Final = Counter(
    "otpost_attempts",
    "Attempts to hand a message to a sender service, by what they came to.",
    ["service", "outcome"],
    registry=REGISTRY,
)
SEND_SECONDS: Final = Histogram(
    "otpost_send_seconds",
    "From the intent to the sender service's answer.",
    ["service"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 5, 10),
    registry=REGISTRY,
)
QUEUE_SECONDS: Final = Histogram(
    "otpost_queue_seconds",
    "From a message's making to the first attempt to send it.",
    ["service"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
    registry=REGISTRY,
)
REPORTS: Final = Counter(
    "otpost_reports",
    "What sender services told later about messages; result is the status, or not_proven.",
    ["service", "result"],
    registry=REGISTRY,
)
REPORTS_FETCHED: Final = Counter(
    "otpost_reports_fetched",
    "Reports that were asked for and told something that no callback had.",
    ["service"],
    registry=REGISTRY,
)
REPORTS_MISSING: Final = Counter(
    "otpost_reports_missing",
    "Attempts whose final report no callback brought: it was fetched, or had not come after four hours.",
    ["service"],
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "otpost_messages_waiting",
    "Messages that are due and wait for a free slot of their account.",
    ["service"],
    registry=REGISTRY,
)
BREAKERS_OPEN: Final = Gauge(
    "otpost_circuit_breakers_open",
    "Accounts that are left alone after repeated failures.",
    ["service"],
    registry=REGISTRY,
)
WEBHOOK_POSTS: Final = Counter(
    "otpost_webhook_posts",
    "Posts to applications' webhooks; result is delivered, failed (posted again later) or given_up.",
    ["form", "result"],
    registry=REGISTRY,
)
UNITS: Final = Histogram(
    "otpost_units_in_a_commit",
    "Units of work that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
REQUESTS: Final = Counter(
    "otpost_http_requests",
    "Requests by route (its pattern, never the path itself) and status.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS: Final = Histogram(
    "otpost_http_request_seconds",
    "From a request's arrival to the end of its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
    registry=REGISTRY,
)
HTTP_CONNECTIONS: Final = Gauge("otpost_http_connections", "Connections of clients that are open.", registry=REGISTRY)
HTTP_REFUSED: Final = Counter(
    "otpost_http_refused",
    "Requests that ended before anything looked at them; reason is the problem's code, connections, or slow_reader.",
    ["reason"],
    registry=REGISTRY,
)
BUILD: Final = Gauge("otpost_build", "The program's version.", ["version"], registry=REGISTRY)
BUILD.labels(__version__).set(1)
ProcessCollector(registry=REGISTRY)


class RequestMeter:
    """Counts the requests of one method and route, and measures how long they took."""

    def __init__(self, method: str, route: str) -> None:
        self._labels = method, route
        self._by_status: dict[int, Counter] = {}
        self._seconds = REQUEST_SECONDS.labels(route)

    def count(self, status: int, seconds: float) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = REQUESTS.labels(*self._labels, status)
        counter.inc()
        self._seconds.observe(seconds)


def render() -> bytes:
    """All metrics as text; `METRICS_CONTENT_TYPE` is its type."""
    return generate_latest(REGISTRY)


HIDDEN: Final = "…"
DEPTH: Final = 4

_TELLING: Final = frozenset({"body", "code", "cookie", "otp", "passcode", "text"})
_TELLING_ENDS: Final = ("token", "secret", "password", "authorization", "api_key", "access_key", "signing_key")
_MASKS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"(?:\+|%2[Bb])[0-9]{4,}([0-9]{3})"), rf"+{HIDDEN}\1"),
    (re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~:-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(SK[0-9a-fA-F]{32})([.:])[^\s\"',;@]+"), rf"\1\2{HIDDEN}"),
    (re.compile(r"([?&]link=)[^\s&\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?<=://)[^/\s@\"':]*:[^\s/]*@"), f"{HIDDEN}@"),
    (
        re.compile(
            r"(?i)((?:auth_?token|token|secret|password|access_?key|api_?key|signing_?key)\"?'?\s?[=:]\s?\"?'?)"
            r"[^\s&\"',;)}\]]+"
        ),
        rf"\1{HIDDEN}",
    ),
)
_QUIET: Final = ("aiohttp", "alembic", "asyncio", "asyncpg", "sqlalchemy", "uvicorn", "uvicorn.error")


def mask(text: str) -> str:
    """The text without what only its receiver may read: numbers, credentials, tokens after their names."""
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return text


def masked(value: Any, depth: int = 0) -> Any:
    """A value that may be written: numbers and flags as they are, all else masked."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mask(value)
    if depth < DEPTH:
        if isinstance(value, Mapping):
            return {
                mask(str(key)): HIDDEN if tells(str(key)) else masked(inner, depth + 1) for key, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [masked(inner, depth + 1) for inner in value]
    return mask(repr(value))


def tells(name: str) -> bool:
    """Whether a value with this name is hidden whatever it is: a code, a text, a credential."""
    name = name.lower().replace("-", "_")
    return name in _TELLING or name.endswith(_TELLING_ENDS)


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The last step before a line is written, its traceback included."""
    return {name: HIDDEN if tells(name) else masked(value) for name, value in event.items()}


def _name_request(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    return event


def configure(level: str, *, stream: TextIO | None = None) -> None:
    """Write logs of `level` (debug, info, warning, error) and above: to a terminal in colour, else as lines of JSON.

    Tracebacks never show the values of variables.
    """
    stream = stream or sys.stderr
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_request,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor
    if stream.isatty():
        last = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        last = structlog.processors.JSONRenderer(ensure_ascii=False)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        quiet = logging.getLogger(name)
        quiet.handlers.clear()
        quiet.propagate = True
        quiet.setLevel(max(logging.WARNING, root.level))
    # A line that cannot be formatted would otherwise be shown with its arguments, unmasked.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )

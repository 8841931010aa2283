from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from otpost import telemetry
from otpost.domain.phone import trusted
from otpost.domain.secret import Secret

KEY = "SK" + "0123456789abcdef" * 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged; the session's own logging comes back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    telemetry.configure("info", stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    structlog.reset_defaults()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_log_line_is_one_line_of_json(log: io.StringIO) -> None:
    structlog.get_logger("otpost.here").info("a text left", service="twilio", segments=2)
    logging.getLogger("otpost.there").warning("%s waits: %d", "lane", 3)
    first, second = lines(log)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "a text left",
        "service": "twilio",
        "segments": 2,
        "level": "info",
        "logger": "otpost.here",
    }
    assert (second["event"], second["level"], second["logger"]) == ("lane waits: 3", "warning", "otpost.there")


def test_what_lies_below_the_level_is_not_written(log: io.StringIO) -> None:
    structlog.get_logger("otpost").debug("x")
    logging.getLogger("otpost").debug("x")
    for library in ("uvicorn.error", "asyncpg", "alembic.runtime", "sqlalchemy.engine", "aiohttp.client"):
        logging.getLogger(library).info("x")
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("sent to +919191919191.", "sent to +…191."),
        ("To=%2B919191919191&x=1", "To=+…191&x=1"),
        (f"key {KEY}.marker", f"key {KEY}.…"),
        (f"login {KEY}:marker x", f"login {KEY}:… x"),
        ("Authorization: Basic bWFya2VyOm1hcmtlcg==", "Authorization: Basic …"),
        ("authorization: bearer marker.marker-_", "authorization: bearer …"),
        ("postgresql://otpost:marker@db/otpost", "postgresql://…@db/otpost"),
        ("http://localhost/sign-in?link=marker-x_y", "http://localhost/sign-in?link=…"),
        ("{'auth_token': 'marker', 'x': 1}", "{'auth_token': '…', 'x': 1}"),
        ("password=marker&x=1", "password=…&x=1"),
        ("took 123456 ms at 1764000000000", "took 123456 ms at 1764000000000"),
        ("see https://www.twilio.com/docs/api/errors/21211", "see https://www.twilio.com/docs/api/errors/21211"),
    ],
)
def test_text_is_masked_wherever_it_stands(log: io.StringIO, text: str, written: str) -> None:
    logging.getLogger("otpost").info(text)
    structlog.get_logger("otpost").info("x", said=text, deeper={"list": [text]})
    first, second = lines(log)
    assert first["event"] == written
    assert second["said"] == written
    assert second["deeper"] == {"list": [written]}


@pytest.mark.parametrize(
    "name", ["token", "auth_token", "secret", "password", "Authorization", "code", "body", "text", "otp", "api-key"]
)
def test_a_value_with_a_telling_name_is_hidden(log: io.StringIO, name: str) -> None:
    structlog.get_logger("otpost").info("x", **{name: "marker"}, deeper={name: ["marker"]})
    assert "marker" not in log.getvalue()
    (line,) = lines(log)
    assert line[name] == "…"


@pytest.mark.parametrize("name", ["dialing_code", "vendor_code", "status_code", "tokens_left", "number"])
def test_a_value_with_a_harmless_name_is_written(log: io.StringIO, name: str) -> None:
    structlog.get_logger("otpost").info("x", **{name: 21211})
    assert lines(log)[0][name] == 21211


def test_values_that_mask_themselves_stay_masked(log: io.StringIO) -> None:
    recipient, token = trusted("+919191919191"), Secret("marker")
    structlog.get_logger("otpost").info("x", to=recipient, value=token)
    logging.getLogger("otpost").info("%s %r %s", recipient, recipient, token)
    assert "919191" not in log.getvalue()
    assert "marker" not in log.getvalue()


def test_a_traceback_shows_no_values_of_variables(log: io.StringIO) -> None:
    def fails(to: str, shown: str) -> None:
        marker = "4711" + "4711"
        raise ValueError(f"cannot send to {to} with Bearer {marker}")

    try:
        fails("+919191919191", "x")
    except ValueError:
        logging.getLogger("otpost").exception("sending failed")
        structlog.get_logger("otpost").exception("sending failed")
    assert "47114711" not in log.getvalue()
    assert "919191" not in log.getvalue()
    for line in lines(log):
        assert "ValueError: cannot send to +…191 with Bearer …" in line["exception"]
        assert "in fails" in line["exception"]


def test_a_line_that_cannot_be_formatted_shows_nothing(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("otpost").info("%d", "marker")
    assert "marker" not in log.getvalue() + capsys.readouterr().err


def test_a_terminal_gets_words_instead_of_json(log: io.StringIO) -> None:
    terminal = Terminal()
    telemetry.configure("info", stream=terminal)
    try:
        raise ValueError("to +919191919191")
    except ValueError:
        structlog.get_logger("otpost").exception("failed", code="marker")
    shown = terminal.getvalue()
    assert "failed" in shown
    assert "ValueError: to +…191" in shown
    assert "marker" not in shown
    assert not shown.startswith("{")


def test_metrics_are_shown_as_prometheus_reads_them() -> None:
    telemetry.STARTS.labels("created").inc()
    telemetry.SEND_SECONDS.labels("twilio").observe(0.2)
    page = telemetry.render().decode()
    names = {family.name for family in text_string_to_metric_families(page)}
    assert {"otpost_starts", "otpost_checks", "otpost_send_seconds", "otpost_http_requests", "otpost_build"} <= names
    assert telemetry.METRICS_CONTENT_TYPE.startswith("text/plain")


@pytest.mark.parametrize(
    "text",
    ["://" + "a:" * 60_000, "a://" * 30_000, "Basic" + " " * 120_000, "+" + "1" * 120_000, "token=\n" * 17_000],
    ids=["user", "scheme", "basic", "number", "token"],
)
def test_masking_a_long_text_holds_nobody_up(text: str) -> None:
    """It takes a tenth of a second; a pattern whose cost is the square of the length would take half a minute."""
    began = time.perf_counter()
    telemetry.mask(text)
    assert time.perf_counter() - began < 5

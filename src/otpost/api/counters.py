"""What use cases come to, counted: by their answer or their refusal, whichever dialect asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import Counter

from otpost import telemetry
from otpost.domain.errors import Refusal
from otpost.services.verifications.check import Checked
from otpost.services.verifications.start import Started

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class ResultCounter(Generic[A]):
    """Counts what a use case answers by its `result`, and its refusals by their code."""

    counter: Counter
    result: Callable[[A], str]

    def count(self, outcome: A | Refusal) -> None:
        label = outcome.code if isinstance(outcome, Refusal) else self.result(outcome)
        self.counter.labels(label).inc()


STARTS: ResultCounter[Started] = ResultCounter(
    telemetry.STARTS, lambda started: "created" if started.created else "resent"
)
CHECKS: ResultCounter[Checked] = ResultCounter(telemetry.CHECKS, lambda done: "right" if done.valid else "wrong")

"""The benchmark runs, small, and prints every figure that the documentation quotes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIGURES = [
    "bare server, an empty 201",
    "bare client, a POST to the stand-in",
    *(
        f"{database} {figure}"
        for database in ("sqlite", "postgresql")
        for figure in ("message otpost", "check otpost", "callback otpost", "start p99 ms", "messages/s")
    ),
    *(f"postgresql {operation} database" for operation in ("message", "check", "callback")),
    *(f"sqlite api {kind} {operation}" for kind in ("native", "shaped") for operation in ("start", "check")),
    *(
        f"{database} {what} p99 ms {when}"
        for database in ("sqlite", "postgresql")
        for what in ("start", "delivery", "check")
        for when in ("alone", "beside one that hangs")
    ),
]


@pytest.mark.postgres
@pytest.mark.process
def test_the_benchmark_prints_what_each_operation_costs_beside_the_bare_parts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otpost", "bench", "--rounds", "1", "--many", "40", "--connections", "8"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    for name in FIGURES:
        assert re.search(rf"^{re.escape(name)} +\d+\.\d ", done.stdout, re.MULTILINE), name
    ratio = r"a message costs \d+\.\d\d times the bare server and client together"
    assert len(re.findall(ratio, done.stdout)) == 2

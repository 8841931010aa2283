"""The commands that look after an installation, and the one that measures it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from otpost.cli.mistakes import Mistake


def migrate() -> None:
    from otpost import telemetry
    from otpost.cli.work import read_config, run, say
    from otpost.installation import migrated

    telemetry.configure("critical")
    before = run(migrated(read_config(), say))
    print("The database is up to date." if before == "current" else "The database was migrated.")


def doctor() -> None:
    from otpost import telemetry
    from otpost.cli.work import run
    from otpost.doctor import examine

    telemetry.configure("critical")
    findings = run(examine(os.environ))
    for finding in findings:
        print(f"{finding.level:<4}  {finding.what}{f'  → {finding.remedy}' if finding.remedy else ''}")
    failures = sum(finding.level == "FAIL" for finding in findings)
    if failures:
        raise Mistake(f"{failures} of {len(findings)} checks failed: the lines marked FAIL say what to do.")


def bench(*, words: Sequence[str]) -> None:
    root = Path(__file__).resolve().parents[3]
    if not (root / "bench" / "__main__.py").is_file():
        raise Mistake("The benchmark suite is part of the source checkout: run `otpost bench` from its .venv.")
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "bench", *words])  # noqa: S606  # our own suite

"""Small faults put into the program one by one, and which of them the tests notice: `make prove PART=mutants`.

A seeded sample is drawn over all of `src`. Which tests run which line is gathered once for each state of the sources.
Every fault is judged in a copy of the tree, by a process forked from one that has the libraries loaded, with the
quickest and most specific tests first. A fault that makes them hang is caught.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import hashlib
import json
import multiprocessing
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faulting

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "otpost-mutants"
# Processes of their own, a browser and a crashed server are dear and show nothing of lines.
IN_PROCESS = "not browser and not process and not slow and not prove"
# What no test in the process runs is judged by those that start the program.
AS_PROGRAM = ["tests/test_app.py", "tests/test_cli.py", "tests/test_demo.py", "tests/faults/test_refused_starts.py"]
DECLARED = ("store/migrations/",)
FIRST_S, IN_ALL_S = 6.0, 60.0
"""The durations of the tests that judge a fault: of those that come first, and of all."""
FROM_ONE_FILE = 6
LARGEST_MEMORY = 8 << 30
OURS = (3, 4, 70)
"""Exit codes that speak of this program and not of the fault."""


@dataclass(frozen=True)
class Known:
    """What the tests have told of themselves: seconds of each, lines of `src` that each runs, tests of each line."""

    seconds: dict[str, float]
    lines: dict[str, int]
    tests: dict[str, dict[int, list[str]]]

    def of(self, fault: faulting.Fault) -> list[str]:
        """The tests that run a fault's lines, or its module where it stands outside of any function; the best first."""
        by_line = self.tests.get(fault.file, {})
        found = {test for line in range(fault.line, fault.last_line + 1) for test in by_line.get(line, [])}
        if not found and fault.at_import:
            found = {test for tests in by_line.values() for test in tests}
        stem = Path(fault.file).stem.strip("_")
        folder = Path(fault.file).parent.name

        def worth(test: str) -> float:
            file = test.partition("::")[0]
            mirrored = stem in file or (folder != "otpost" and f"/{folder}/" in file and stem.split("_")[0] in file)
            return (self.seconds[test] + 0.01) * (1 + self.lines[test] / 1000) * (0.2 if mirrored else 1)

        ranked, taken, later = [], Counter[str](), []
        for test in sorted(found, key=worth):
            file = test.partition("::")[0]
            taken[file] += 1
            (ranked if taken[file] <= FROM_ONE_FILE else later).append(test)
        return ranked + later


def sources(tree: Path = ROOT) -> list[str]:
    """The files of the working tree that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (tree / name).is_file())


def state() -> str:
    """Stands for the contents of `src` and `tests`."""
    digest = hashlib.sha256()
    for name in sources():
        if name.startswith(("src/", "tests/", "pyproject")):
            digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


def copied(into: Path) -> Path:
    """A copy of the working tree, with what its tests use beside it."""
    for name in sources():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, into / name)
    for beside in (".venv", "tests/compat/node_modules"):
        (into / beside).symlink_to(ROOT / beside)
    return into


def environment(tree: Path, **more: str) -> dict[str, str]:
    path = f"{tree / 'src'}:{tree / 'tests'}:{ROOT / 'scripts'}"
    return {**os.environ, "PYTHONPATH": path, **more}


def gather(jobs: int, paths: list[str]) -> Known:
    """Runs the tests of these paths once under coverage, or reads what an earlier run on the same sources has kept."""
    kept = CACHE / f"{state()}-{hashlib.sha256(repr(sorted(paths)).encode()).hexdigest()[:8]}"
    if not (kept / "known.json").is_file():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        print("gathering which tests run which lines", flush=True)
        with tempfile.TemporaryDirectory(prefix="otpost-mutants-") as folder:
            tree = copied(Path(folder))
            command = [sys.executable, "-m", "pytest", "-q", "-n", str(jobs), "--dist", "worksteal", "-p", "gathering"]
            done = subprocess.run(
                [*command, "-m", IN_PROCESS, "--no-header", "-r", "fE", *paths],
                cwd=tree,
                env=environment(tree, OTPOST_PROVE_GATHER=str(kept)),
                check=False,
            )
            if done.returncode not in (0, 1):
                sys.exit(f"mutants: the tests could not be run ({done.returncode})")
            (kept / "known.json").write_text(json.dumps(_known(kept, tree)))
        for old in sorted(CACHE.iterdir(), key=lambda path: path.stat().st_mtime)[:-3]:
            shutil.rmtree(old, ignore_errors=True)
    return Known(**_with_numbers(json.loads((kept / "known.json").read_text())))


def _with_numbers(told: Any) -> Any:
    told["tests"] = {
        file: {int(line): [told["names"][place] for place in places] for line, places in lines.items()}
        for file, lines in told["tests"].items()
    }
    del told["names"]
    return told


def _known(kept: Path, tree: Path) -> dict[str, Any]:
    from coverage import CoverageData

    seconds: dict[str, float] = {}
    for file in kept.glob("seconds.*.json"):
        seconds.update(json.loads(file.read_text()))
    names = sorted(seconds)
    places = {name: place for place, name in enumerate(names)}
    tests: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    lines: Counter[str] = Counter(dict.fromkeys(names, 0))
    for file in kept.glob("coverage.*"):
        data = CoverageData(basename=str(file))
        data.read()
        for measured in data.measured_files():
            name = str(Path(measured).relative_to(tree))
            for line, contexts in data.contexts_by_lineno(measured).items():
                for test in contexts:
                    if test in places:
                        tests[name][line].add(places[test])
                        lines[test] += 1
        file.unlink()
    plain = {file: {line: sorted(found) for line, found in by.items()} for file, by in tests.items()}
    return {"names": names, "seconds": seconds, "lines": lines, "tests": plain}


class Chosen:
    """Lets pytest run the chosen tests alone, in their order, and notes the first that fails."""

    def __init__(self, tests: list[str] | None, note: Path) -> None:
        self._order = None if tests is None else {test: place for place, test in enumerate(tests)}
        self._note = note

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._order is not None:
            order = self._order
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self._note.exists():
            self._note.write_text(report.nodeid)


def run(tree: Path, tests: list[str] | None, files: list[str], timeout_s: float) -> str | None:
    """What caught the fault that stands in the tree: the failing test, or how it ended. None where all passed."""
    import pytest

    note = tree / "caught-by"
    note.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            said = os.open(tree / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
            arguments = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={tree / 'tmp'}"]
            arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            code = int(pytest.main([*arguments, *files], plugins=[Chosen(tests, note)]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    ended = select.poll()
    handle = os.pidfd_open(pid)
    ended.register(handle, select.POLLIN)
    in_time = bool(ended.poll(timeout_s * 1000))
    os.close(handle)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if not in_time:
        return f"no end within {timeout_s:.0f} s"
    if code in (0, 5):
        return None
    if code in OURS:
        raise RuntimeError((tree / "said").read_text()[-2000:])
    return note.read_text() if note.exists() else f"the tests could not begin or ended with {code}"


_tree: Path
_known_here: Known


def begin(folder: str, known: Known) -> None:
    """Makes this process the one that forks: its own tree, and the libraries loaded but nothing of Otpost."""
    global _tree, _known_here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _known_here = known
    _tree = copied(Path(tempfile.mkdtemp(dir=folder)))
    os.chdir(_tree)
    os.environ.update(environment(_tree))
    sys.path[:0] = [str(_tree / "src"), str(_tree / "tests")]
    import hypothesis  # noqa: F401
    import jsonschema  # noqa: F401
    import pytest_asyncio  # noqa: F401

    import otpost.app  # noqa: F401

    for name in [name for name in sys.modules if name.partition(".")[0] == "otpost"]:
        del sys.modules[name]


def judge(numbered: tuple[int, faulting.Fault]) -> tuple[faulting.Fault, str | None, int, float]:
    """The fault, what caught it, how many tests looked at most, and the seconds that it took."""
    number, fault = numbered
    began = time.monotonic()
    file = _tree / fault.file
    before, stamp = file.read_bytes(), file.stat()
    tests = _known_here.of(fault)
    stages: list[list[str]] = [[], []]
    sum_s = 0.0
    for test in tests:
        if sum_s < IN_ALL_S:
            stages[sum_s >= FIRST_S].append(test)
        sum_s += _known_here.seconds[test]
    file.write_bytes(fault.applied(before))
    # Compiled code is known by its source's time in seconds and its size: no two faults may share a time.
    os.utime(file, (stamp.st_atime, stamp.st_mtime + 1 + number))
    try:
        caught = None
        for stage in filter(None, stages):
            files = list(dict.fromkeys(test.partition("::")[0] for test in stage))
            caught = run(_tree, stage, files, 30 + 8 * sum(map(_known_here.seconds.__getitem__, stage)))
            if caught is not None:
                break
        if not tests:
            caught = run(_tree, None, AS_PROGRAM, 300)
    finally:
        file.write_bytes(before)
        os.utime(file, (stamp.st_atime, stamp.st_mtime))
    return fault, caught, sum(map(len, stages)), time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Puts a sample of faults into the program; tells which were noticed.")
    parser.add_argument("--number", type=int, default=300, help="how many faults")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--only", default="", help="only modules whose path holds this")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="only the tests of these paths judge")
    told = parser.parse_args()
    drawn: dict[tuple[str, int, str], list[faulting.Fault]] = defaultdict(list)
    for path in sorted((ROOT / "src").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if told.only in name and not any(part in name for part in DECLARED):
            for fault in faulting.faults(name, path.read_bytes()):
                drawn[fault.file, fault.start, fault.kind].append(fault)
    dice = random.Random(told.seed)
    places = dice.sample(sorted(drawn), min(told.number, len(drawn)))
    sample = [dice.choice(drawn[place]) for place in places]
    known = gather(told.jobs, told.tests)
    began = time.monotonic()
    print(f"{len(sample)} faults at {len(drawn)} places, seed {told.seed}, {len(known.seconds)} tests", flush=True)
    survivors = []
    caught_in: dict[str, Counter[bool]] = defaultdict(Counter)
    with (
        tempfile.TemporaryDirectory(prefix="otpost-mutants-") as folder,
        multiprocessing.get_context("fork").Pool(told.jobs, begin, (folder, known)) as pool,
    ):
        # What is no fault at all must not be caught, or the verdicts mean nothing.
        first = next((fault for fault in sample if known.of(fault)), sample[0])
        nothing = dataclasses.replace(first, end=first.start, text="")
        if (wrong := pool.apply(judge, [(-1, nothing)])[1]) is not None:
            sys.exit(f"mutants: the tests fail on the program as it is: {wrong}")
        for done, (fault, caught, looked, took_s) in enumerate(pool.imap_unordered(judge, enumerate(sample)), 1):
            caught_in[Path(fault.file).parts[2]][caught is not None] += 1
            where = f"{fault.file}:{fault.line} {fault.kind}"
            if caught is not None:
                verdict, how = "caught  ", caught
            else:
                verdict, how = "SURVIVED", f"{looked} tests looked" if looked else "no test in the process runs it"
                survivors.append((fault, how))
            print(f"[{done:3}/{len(sample)}] {verdict} {where}: {how} ({took_s:.0f} s)", flush=True)
    caught_count = len(sample) - len(survivors)
    share, took_min = 100 * caught_count / len(sample), (time.monotonic() - began) / 60
    print(f"\ncaught {caught_count} of {len(sample)} ({share:.1f} %) in {took_min:.0f} minutes")
    for name, verdicts in sorted(caught_in.items()):
        print(f"  {name:24} {verdicts[True]} of {verdicts.total()}")
    for fault, how in sorted(survivors, key=lambda one: (one[0].file, one[0].line)):
        before = (ROOT / fault.file).read_bytes()
        lines = (before.decode().splitlines(), fault.applied(before).decode().splitlines())
        print(f"\nsurvived: {fault.file}:{fault.line} {fault.kind} ({how})")
        print("\n".join(list(difflib.unified_diff(*lines, n=1, lineterm=""))[2:]))


if __name__ == "__main__":
    main()

"""The rules of the house that no linter knows: sizes, names, docstrings, and what a tracked file may say."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from otpost.senders.registry import find_services

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "otpost"
LINES_IN_A_MODULE = 400
LONGER_MODULES = {
    "src/otpost/store/migrations/versions/0001_first_schema.py": "a line for each column",
    "src/otpost/store/tables.py": "a line for each column, in one place",
    "src/otpost/store/units.py": "what a unit of work may do with rows, which both drivers and the writer read as one",
    "src/otpost/web/policy/page.py": "the acts of one page, which share its form",
}
PLACES_IN_A_FOLDER = 12
WIDER_FOLDERS = {
    "src/otpost": (22, "the layers, and the composition and the single commands above them"),
    "src/otpost/api/twilio": (13, "a module for each resource of Twilio's API"),
    "src/otpost/domain": (17, "a module for each word of the glossary that decides something"),
}
DEPTH = 3
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
LOCKS = ("requirements.txt", "requirements-test.txt")
LOCKED = re.compile(r"[a-z0-9-]+==[^\s;]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
# Put together here, so that this file does not say what it looks for.
REGISTRY_HOSTS = ("pypi." + "org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian", "yarn" + "pkg.com")
FOREIGN_LOCKS = {"uv" + ".lock", "poetry" + ".lock", "Pipfile" + ".lock", "pdm" + ".lock"}
LATER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def _tracked() -> list[Path]:
    """The files of the project: what git tracks, and what it would track next."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def _texts() -> list[tuple[Path, str]]:
    texts = []
    for path in _tracked():
        try:
            texts.append((path.relative_to(ROOT), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return texts


def test_every_module_is_short_enough_to_be_read_at_once() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _modules()}
    assert {name for name, lines in sizes.items() if lines > LINES_IN_A_MODULE} - set(LONGER_MODULES) == set()


def test_every_folder_of_the_package_can_be_taken_in_at_a_glance() -> None:
    modules = {path for path in _modules() if path.name != "__init__.py"}
    packages = {path.parent for path in _modules() if path.name == "__init__.py"} - {PACKAGE}
    services = {PACKAGE / "senders" / name for name in find_services()}  # as many as there are vendors
    shared = {place for place in modules | packages if place.with_suffix("") not in services}
    places = Counter(str(place.parent.relative_to(ROOT)) for place in shared)
    most = {folder: WIDER_FOLDERS.get(folder, (PLACES_IN_A_FOLDER, ""))[0] for folder in places}
    assert {folder: count for folder, count in places.items() if count > most[folder]} == {}


def test_no_module_lies_deeper_than_three_folders() -> None:
    assert [path for path in _modules() if len(path.relative_to(PACKAGE).parts) - 1 > DEPTH] == []


def test_no_use_case_is_named_after_a_vendor() -> None:
    vendors = {"aws", "infobip", "messagebird", "twilio", "vonage"}
    assert vendors <= {path.stem for path in (PACKAGE / "senders").iterdir()}
    named = [path for path in (PACKAGE / "services").rglob("*") if vendors & set(re.split(r"[_.]", path.name))]
    assert named == []


def test_no_module_hides_behind_an_empty_word() -> None:
    empty = [
        path
        for folder in (PACKAGE, ROOT / "tests", ROOT / "bench")
        for path in folder.rglob("*.py")
        if EMPTY_WORDS & set(re.split(r"[_/.]", str(path.relative_to(ROOT))))
    ]
    assert empty == []


def test_every_module_opens_with_what_it_alone_knows() -> None:
    silent = [path for path in _modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_one_version_and_its_hashes(lock: str) -> None:
    text = re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / lock).read_text()).replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip()]
    loose = [line for line in requirements if not LOCKED.fullmatch(line)]
    assert requirements
    assert loose == []


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-test.in"])
def test_no_requirement_says_where_packages_come_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert re.findall(r"(?m)^\s*(?:-i\b|--(?:index|extra|find|trusted|no-index).*|.*://.*)$", text) == []


def test_the_test_lock_holds_the_runtime_lock() -> None:
    runtime, test = (set(re.findall(r"(?m)^[a-z0-9-]+==\S+", (ROOT / lock).read_text())) for lock in LOCKS)
    assert runtime - test == set()


def test_no_file_names_a_package_registry() -> None:
    named = [(str(path), host) for path, text in _texts() for host in REGISTRY_HOSTS if host in text]
    assert named == []


def test_no_lock_file_of_another_tool_is_kept() -> None:
    assert [path for path in _tracked() if path.name in FOREIGN_LOCKS] == []


def test_nothing_is_left_for_later() -> None:
    left = [
        f"{path}:{number}"
        for path, text in _texts()
        if not path.is_relative_to("tests/data")
        for number, line in enumerate(text.splitlines(), 1)
        if LATER.search(line)
    ]
    assert left == []

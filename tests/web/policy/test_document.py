"""docs/reference/twilio-settings.md has every sentence of the reference page, each with tests that are there."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "twilio-settings.md"
PAGE = "164b790c8dbd672fe8cce312737ef2ba93a51ebcd14d4334579875fcc8c61dc7"
"""The SHA-256 of the reference page's text without blanks, bullets and the numbers of its lists."""


def rows() -> list[tuple[str, str, str]]:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")][1:]
    cells = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in lines]
    assert all(len(row) == 3 and all(row) for row in cells), cells
    return [(sentence.replace("\\\\", "\\"), where, tests) for sentence, where, tests in cells]


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.AsyncFunctionDef)}


def test_no_word_of_the_reference_page_is_missing_or_changed():
    text = "".join("".join(sentence.split()) for sentence, _, _ in rows())
    assert hashlib.sha256(text.encode()).hexdigest() == PAGE


def test_every_sentence_names_tests_that_are_there():
    named = [test for _, _, tests in rows() for test in tests.split(", ")]
    assert len(named) >= len(rows())
    for test in named:
        file, _, name = test.partition("::")
        assert name in names_in(Path(__file__).with_name(file)), test

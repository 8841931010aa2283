from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from otpost.cli.arguments import find_command, read
from otpost.cli.commands import COMMANDS
from otpost.cli.mistakes import WrongUse
from otpost.domain.access import Scope

HEAVY = {
    "aiohttp", "alembic", "argon2", "asyncio", "asyncpg", "cryptography", "dataclasses", "inspect", "jinja2", "msgspec",
    "phonenumbers", "prometheus_client", "sqlalchemy", "starlette", "structlog", "uvicorn", "uvloop",
}  # fmt: skip
"""What `--version` and `--help` shall not wait for."""


def loaded(*words: str) -> tuple[set[str], str]:
    """The modules that a command loads, and what it prints."""
    script = (
        f"import sys, otpost.cli\ntry: otpost.cli.main({list(words)!r})\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stderr.split()), ended.stdout


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["--version"], "0.1.0\n"),
        (["--help"], "Usage: otpost COMMAND\n"),
        ([], "Usage: otpost COMMAND\n"),
        (["key"], "Usage: otpost key COMMAND\n"),
        (["key", "-h"], "Usage: otpost key COMMAND\n"),
        (["send-test", "--help"], "Usage: otpost send-test NUMBER [--text TEXT] [--tenant TEXT]\n"),
        (["bench", "--help"], "Usage: otpost bench ARGUMENTS\n"),
    ],
)
def test_help_and_version_load_no_heavy_module(words: list[str], first: str) -> None:
    modules, shown = loaded(*words)
    assert modules & HEAVY == set()
    assert shown.startswith(first)


def test_every_command_has_a_function_that_takes_its_arguments() -> None:
    for command in COMMANDS:
        code = command.load().__code__
        names = code.co_varnames[: code.co_kwonlyargcount]
        wanted = ["words"] if command.takes_all else [argument.parameter for argument in command.arguments]
        assert list(names) == wanted, command.words


def test_the_scopes_that_a_command_takes_are_those_that_there_are() -> None:
    choices = {argument.choices for command in COMMANDS for argument in command.arguments if argument.name == "--scope"}
    assert choices == {get_args(Scope)}


def arguments_of(*words: str) -> dict[str, object]:
    command, rest = find_command(words)
    assert command is not None
    return read(command, rest)


def test_arguments_are_read_in_every_order_and_way_of_writing() -> None:
    expected = {"number": "+49170", "text": "a=b", "tenant": None}
    for words in (["+49170", "--text", "a=b"], ["--text=a=b", "+49170"], ["--text", "a=b", "--", "+49170"]):
        assert arguments_of("send-test", *words) == expected
    assert arguments_of("user", "create", "--link", "--name", "-x") == {
        "name": "-x",
        "password_stdin": False,
        "link": True,
        "tenant": None,
    }
    assert arguments_of("bench", "--x", "y") == {"words": ("--x", "y")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--frob"], 'Unknown option "--frob".'),
        (["key", "revok"], 'Unknown command "revok". Did you mean revoke instead of revok?'),
        (["demo", "--exit=yes"], "--exit takes no value."),
        (["user", "create", "--name", "--link"], "--name requires an argument."),
        (["user", "create", "--name"], "--name requires an argument."),
        (["migrate", "now"], "Unused Tokens: now."),
    ],
)
def test_a_command_that_is_typed_wrong_is_told_what_is_wrong(words: list[str], told: str) -> None:
    with pytest.raises(WrongUse, match=told.replace("?", r"\?")):
        arguments_of(*words)

"""The command line: each command tells what went wrong in one line. No module is loaded before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from otpost import __version__
from otpost.cli.mistakes import Mistake, WrongUse


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command: exit code 0, or another with one line on stderr that says what to do."""
    os.umask(0o077)
    try:
        _run(sys.argv[1:] if arguments is None else list(arguments))
    except WrongUse as error:
        _end(f"{error} (`otpost --help` lists the commands.)", 2)
    except Mistake as error:
        _end(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except SystemExit:
        raise
    except BaseException as error:
        from otpost.cli.failures import describe_failure

        _end(*describe_failure(error))
    sys.exit(0)


def _run(words: list[str]) -> None:
    if words == ["--version"]:
        print(__version__)
        return
    from otpost.cli import arguments

    command, rest = arguments.find_command(words)
    if command is None or arguments.asks_for_help(command, rest):
        print(arguments.describe(command, words))
    else:
        command.load()(**arguments.read(command, rest))


def _end(line: str, code: int) -> NoReturn:
    if line:
        print(f"otpost: {line}", file=sys.stderr)
    sys.exit(code)

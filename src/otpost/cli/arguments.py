"""What is typed behind `otpost`, read as the commands declare it, and the help that is made of the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any, Final

from otpost.cli.commands import COMMANDS, GROUPS, SUMMARY, Argument, Command
from otpost.cli.mistakes import WrongUse

HELP: Final = ("--help", "-h")
_WIDTH: Final = 100


def find_command(words: Sequence[str]) -> tuple[Command | None, Sequence[str]]:
    """The command that the first words name, and the words behind it; None where help is asked for, or no more said."""
    count = 2 if words and words[0] in GROUPS else 1
    for command in COMMANDS:
        if command.words.split() == list(words[:count]):
            return command, words[count:]
    if len(words) < count or words[count - 1] in HELP:
        return None, ()
    kind = "option" if words[count - 1].startswith("-") else "command"
    siblings = [name.words.split() for name in COMMANDS if count == 1 or name.words.startswith(f"{words[0]} ")]
    raise WrongUse(f"Unknown {kind} {_suggest(words[count - 1], (name[count - 1] for name in siblings))}")


def asks_for_help(command: Command, words: Sequence[str]) -> bool:
    """Whether what is typed behind the command is a question, and not what the command is to do."""
    return any(word in HELP for word in (words[:1] if command.takes_all else words))


def read(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """What the command's function is called with; WrongUse where something is missing, wrong or too much."""
    if command.takes_all:
        return {"words": words}
    options = {argument.name: argument for argument in command.arguments if argument.is_option}
    places = [argument for argument in command.arguments if not argument.is_option]
    given: dict[str, str | bool] = {}
    rest, unnamed = list(words), list[str]()
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.partition("=")
        if word == "--":
            unnamed, rest = unnamed + rest, []
        elif name in options:
            given[name] = value if has_value else _take_value(options[name], rest, options)
        elif name.startswith("--"):
            raise WrongUse(f"Unknown option {_suggest(name, options)}")
        else:
            unnamed.append(word)
    given |= {place.name: word for place, word in zip(places, unnamed, strict=False)}
    if unused := unnamed[len(places) :]:
        raise WrongUse(f"Unused Tokens: {' '.join(unused)}.")
    return {argument.parameter: _judge(argument, given.get(argument.name)) for argument in command.arguments}


def _take_value(option: Argument, rest: list[str], options: Iterable[str]) -> str | bool:
    if option.is_flag:
        return True
    if not rest or rest[0].partition("=")[0] in options:
        raise WrongUse(f"{option.name} requires an argument.")
    return rest.pop(0)


def _judge(argument: Argument, value: str | bool | None) -> str | bool | None:
    if value is None:
        if argument.is_required:
            raise WrongUse(f"{argument.name} requires an argument.")
        return False if argument.is_flag else argument.default
    if argument.is_flag and value is not True:
        raise WrongUse(f"{argument.name} takes no value.")
    if argument.choices and value not in argument.choices:
        raise WrongUse(f'Invalid value "{value}" for {argument.name}. It is one of: {", ".join(argument.choices)}.')
    return value


def _suggest(name: str, known: Iterable[str]) -> str:
    """The name that there is not, and one like it that there is."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    return f'"{name}".{f" Did you mean {near[0]} instead of {name}?" if near else ""}'


def describe(command: Command | None, words: Sequence[str]) -> str:
    """The help for the command, else for the group that is typed, else for all commands."""
    if command is None:
        group = words[0] if words and words[0] in GROUPS else None
        listed = [one for one in COMMANDS if group is None or one.words.startswith(f"{group} ")]
        usage, summary = f"otpost {group or ''} COMMAND", GROUPS[group] if group else SUMMARY
        rows = [(one.words, one.help) for one in listed]
        rows += [] if group else [("--version", "Print the version."), ("--help", "Print this, or a command's help.")]
    else:
        usage, summary = " ".join(["otpost", command.words, *map(_in_usage, command.arguments)]), command.help
        usage += " ARGUMENTS" if command.takes_all else ""
        rows = [(argument.name, _explain(argument)) for argument in command.arguments]
    left = max((len(name) for name, _ in rows), default=0) + 2
    lines = [
        fill(help, _WIDTH, initial_indent=f"  {name:<{left}}", subsequent_indent=" " * (left + 2))
        for name, help in rows
    ]
    return "\n".join([f"Usage: {' '.join(usage.split())}", "", fill(summary, _WIDTH), *([""] if lines else []), *lines])


def _in_usage(argument: Argument) -> str:
    value = "" if argument.is_flag else f" {'|'.join(argument.choices) or 'TEXT'}"
    written = f"{argument.name}{value}" if argument.is_option else argument.name
    return written if argument.is_required else f"[{written}]"


def _explain(argument: Argument) -> str:
    return argument.help + (f" Default: {argument.default}" if argument.default else "")

"""Regular expressions whose time is bounded, whatever the pattern and whatever the text.

All ways through a pattern are followed at once, one character after another, so that nothing is tried twice
(https://swtch.com/~rsc/regexp/regexp2.html): the standard library's backtracking takes years for some patterns. What a
single character may be is left to the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

LONGEST: Final = 1_000
"""Steps of a compiled pattern: about one for each character that it may match."""
STEPS: Final = 50_000
"""Steps through all patterns that are looked for in one text: some hundredths of a second."""

_DEEPEST: Final = 50
_REPEAT: Final = re.compile(r"([*+?]|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})(\??)")
_OPENING: Final = re.compile(r"\((?:\?(?::|P?<[A-Za-z_]\w*>))?")
_FLAGS: Final = re.compile(r"\(\?([ims]+)\)")
_ESCAPE: Final = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|[dDwWsSnrtfv]|[^A-Za-z0-9])")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_PLACES: Final = {"^": "start", "$": "end", r"\A": "text", r"\z": "end of text", r"\b": "border", r"\B": "inside"}
_IN_WORDS: Final = re.compile(r"\w", re.ASCII)


class Budget:
    """How many steps may still be taken through one text."""

    def __init__(self, steps: int = STEPS) -> None:
        self.left = steps


class Match(NamedTuple):
    """Where a pattern was found, and what its first group holds; None where that took no part."""

    start: int
    end: int
    group: str | None


_CHARACTER, _SPLIT, _JUMP, _MARK, _PLACE, _FOUND = range(6)
_Step = tuple[int, Any, int]
"""What kind of step it is, what it asks for or where it leads to, and where a split leads to as well."""
_Thread = tuple[int, tuple[int, int, int]]
"""A way through the pattern: the step that it has come to, and where the whole and its first group begin and end."""


class Pattern:
    """A compiled pattern; ValueError with what is wrong where it cannot be used."""

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        writer = _Writer(parser.flags)
        writer.write(parser.tree)
        program = [*writer.program, (_FOUND, None, 0)]
        self._program: Final = program
        self._multiline: Final = "m" in parser.flags
        self._literals: Final = () if "i" in parser.flags else tuple(_literals(parser.tree))
        first = parser.tree[1][0] if parser.tree[0] == "all" and parser.tree[1] else parser.tree
        self._prefix: Final = self._literals[0] if self._literals and first[0] == "literal" else ""
        self._at_start: Final = not self._multiline and program[0][:2] in ((_PLACE, "start"), (_PLACE, "text"))
        self.has_group: Final = parser.groups > 0

    def search(self, text: str, budget: Budget, start: int = 0) -> Match | None:
        """The first place where the pattern is found; None also where the budget runs out before."""
        if any(literal not in text for literal in self._literals):
            return None
        program, found = self._program, None
        threads: list[_Thread] = []
        seen: set[int] = set()
        at = start
        while True:
            if found is None and not (self._at_start and at > 0):
                if not threads and self._prefix and (at := text.find(self._prefix, at)) < 0:
                    return None
                if text.startswith(self._prefix, at):
                    self._follow(0, (at, -1, -1), text, at, seen, threads)
            budget.left -= len(seen) + 1
            if budget.left < 0:
                return None
            character = text[at : at + 1]
            following: list[_Thread] = []
            seen = set()
            for step, marks in threads:
                kind, matches, _ = program[step]
                if kind == _FOUND:
                    found = Match(marks[0], at, text[marks[1] : marks[2]] if marks[2] >= 0 else None)
                    break
                if character and matches(character):
                    self._follow(step + 1, marks, text, at + 1, seen, following)
            threads = following
            if not character or (not threads and (found is not None or self._at_start)):
                return found
            at += 1

    def find_all(self, text: str, budget: Budget) -> Iterator[Match]:
        """All places where the pattern is found, none of which overlap."""
        at = 0
        while at <= len(text) and (match := self.search(text, budget, at)) is not None:
            yield match
            at = match.end + (match.end == match.start)

    def _follow(
        self,
        step: int,
        marks: tuple[int, int, int],
        text: str,
        at: int,
        seen: set[int],
        threads: list[_Thread],
    ) -> None:
        """Go on from a step to those that need a character, the preferred ones first."""
        waiting = [(step, marks)]
        while waiting:
            step, marks = waiting.pop()
            if step in seen:
                continue
            seen.add(step)
            kind, what, other = self._program[step]
            if kind == _SPLIT:
                waiting += ((other, marks), (what, marks))
            elif kind == _JUMP:
                waiting.append((what, marks))
            elif kind == _MARK:
                waiting.append((step + 1, (marks[0], at, -1) if what == 1 else (*marks[:2], at)))
            elif kind != _PLACE:
                threads.append((step, marks))
            elif self._is_at(what, text, at):
                waiting.append((step + 1, marks))

    def _is_at(self, place: str, text: str, at: int) -> bool:
        match place:
            case "start" | "text":
                return at == 0 or (place == "start" and self._multiline and text[at - 1] == "\n")
            case "end" | "end of text":
                return at == len(text) or (place == "end" and self._multiline and text[at] == "\n")
        border = bool(_IN_WORDS.match(text[at - 1 : at])) != bool(_IN_WORDS.match(text, at))
        return border == (place == "border")


_Node = tuple[Any, ...]
"""A part of a pattern: ("all", parts), ("any", parts), ("repeat", part, least, most or None, greedy), ("group", part),
("place", which), ("literal", character), or ("set", an expression of the standard library for one character)."""


class _Parser:
    """Reads a pattern into a tree."""

    def __init__(self, text: str) -> None:
        flags = _FLAGS.match(text)
        self.flags: Final = flags[1] if flags else ""
        self.groups = 0
        self._text: Final = text
        self._at = flags.end() if flags else 0
        self._depth = 0
        self.tree: Final = self._read_any()
        if self._at < len(text):
            raise ValueError("a ) has no (")

    def _take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        match = expression.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _read_any(self) -> _Node:
        ways = [self._read_all()]
        while self._text.startswith("|", self._at):
            self._at += 1
            ways.append(self._read_all())
        return ways[0] if len(ways) == 1 else ("any", ways)

    def _read_all(self) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            part = self._read_one()
            if (repeat := self._take(_REPEAT)) is not None:
                part = ("repeat", part, *_bounds(repeat), not repeat[5])
                if self._take(_REPEAT) is not None:
                    raise ValueError(f"{self._text[repeat.start() : self._at]} repeats a repetition")
            parts.append(part)
        return parts[0] if len(parts) == 1 else ("all", parts)

    def _read_one(self) -> _Node:
        character = self._text[self._at]
        if character == "(":
            return self._read_group()
        if self._take(_REPEAT) is not None:
            raise ValueError(f"nothing stands before {character}")
        for place, name in _PLACES.items():
            if self._text.startswith(place, self._at):
                self._at += len(place)
                return "place", name
        if character in "[\\":
            match = self._take(_CLASS if character == "[" else _ESCAPE)
            if match is None:
                raise ValueError("a [ has no ]" if character == "[" else f"{self._text[self._at :][:2]} is not known")
            return ("literal", match[0][1]) if _is_escaped(match[0]) else ("set", match[0])
        self._at += 1
        return ("set", ".") if character == "." else ("literal", character)

    def _read_group(self) -> _Node:
        opening, self._depth = self._take(_OPENING), self._depth + 1
        if opening is None or self._text.startswith("?", self._at):
            raise ValueError(f"{self._text[self._at - 1 :][:3]} is not known")
        if self._depth > _DEEPEST:
            raise ValueError("too many parentheses lie in each other")
        is_group = opening[0] != "(?:"
        self.groups += is_group
        is_first = is_group and self.groups == 1
        inner = self._read_any()
        if not self._text.startswith(")", self._at):
            raise ValueError("a ( has no )")
        self._at, self._depth = self._at + 1, self._depth - 1
        return ("group", inner) if is_first else inner


def _is_escaped(expression: str) -> bool:
    """Whether this is a character that means itself behind its backslash."""
    return len(expression) == 2 and expression[0] == "\\" and not expression[1].isalnum()


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    if repeat[2] is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[repeat[1]]
    least, most = int(repeat[2]), int(repeat[4]) if repeat[4] else None
    if repeat[3] is None:
        most = least
    if most is not None and most < least:
        raise ValueError(f"{repeat[1]} has a larger number before a smaller one")
    return least, most


def _literals(tree: _Node) -> Iterator[str]:
    """The texts that stand in everything which the pattern matches, in their order."""
    parts = tree[1] if tree[0] == "all" else [tree]
    run = ""
    for part in parts:
        if part[0] == "literal":
            run += part[1]
        elif run:
            yield run
            run = ""
    if run:
        yield run


class _Writer:
    """Writes a tree as a program."""

    def __init__(self, flags: str) -> None:
        self.program: Final[list[_Step]] = []
        self._written = 0
        self._flags: Final = re.ASCII | (re.IGNORECASE if "i" in flags else 0) | (re.DOTALL if "s" in flags else 0)

    def write(self, node: _Node) -> None:
        self._written += 1
        if self._written > 3 * LONGEST or len(self.program) > LONGEST:
            raise ValueError("it is longer than 1,000 steps")
        match node:
            case ("all", parts):
                for part in parts:
                    self.write(part)
            case ("any", ways):
                self._write_any(ways)
            case ("repeat", part, least, most, greedy):
                self._write_repeat(part, least, most, greedy=greedy)
            case ("group", part):
                self._add(_MARK, 1)
                self.write(part)
                self._add(_MARK, 2)
            case ("place", which):
                self._add(_PLACE, which)
            case ("literal", character):
                self._add(
                    _CHARACTER, self._matcher(re.escape(character)) if self._flags & re.IGNORECASE else character.__eq__
                )
            case ("set", expression):
                self._add(_CHARACTER, self._matcher(expression))

    def _matcher(self, expression: str) -> Callable[[str], Any]:
        try:
            return re.compile(expression, self._flags).match
        except re.error as error:
            raise ValueError(f"{expression}: {error.msg}") from None

    def _add(self, kind: int, what: Any) -> int:
        self.program.append((kind, what, 0))
        return len(self.program) - 1

    def _split(self, at: int, inside: int, outside: int, *, greedy: bool = True) -> None:
        self.program[at] = (_SPLIT, inside, outside) if greedy else (_SPLIT, outside, inside)

    def _write_any(self, ways: list[_Node]) -> None:
        jumps = []
        for way in ways[:-1]:
            split = self._add(_SPLIT, None)
            self.write(way)
            jumps.append(self._add(_JUMP, None))
            self._split(split, split + 1, len(self.program))
        self.write(ways[-1])
        for jump in jumps:
            self.program[jump] = (_JUMP, len(self.program), 0)

    def _write_repeat(self, part: _Node, least: int, most: int | None, *, greedy: bool) -> None:
        for _ in range(least):
            self.write(part)
        if most is None:
            split = self._add(_SPLIT, None)
            self.write(part)
            self.program[self._add(_JUMP, None)] = (_JUMP, split, 0)
            self._split(split, split + 1, len(self.program), greedy=greedy)
            return
        splits = []
        for _ in range(most - least):
            splits.append(self._add(_SPLIT, None))
            self.write(part)
        for split in splits:
            self._split(split, split + 1, len(self.program), greedy=greedy)

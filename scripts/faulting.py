"""The small faults that a module can be given, from which `mutants.py` draws. Words that people read are no code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
# Their arguments are types, or their order is a type error and no fault of reasoning.
TYPES = {"cast", "isinstance", "issubclass", "TypeVar", "NewType", "getattr", "setattr", "assert_never"}


@dataclass(frozen=True)
class Fault:
    """Bytes of a file from `start` to `end` replaced by `text`; `at_import`: it stands outside of any function."""

    file: str
    line: int
    last_line: int
    kind: str
    start: int
    end: int
    text: str
    at_import: bool

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def faults(file: str, source: bytes) -> list[Fault]:
    """All faults of a module, in the order of its text."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def fault(node: ast.expr | ast.stmt, kind: str, text: str, at_import: bool) -> Fault:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        return Fault(file, node.lineno, node.end_lineno, kind, start, end, text, at_import)

    return [fault(*found) for found in _walk(ast.parse(source), at_import=True)]


Found = tuple[ast.expr | ast.stmt, str, str, bool]


def _walk(node: ast.AST, *, at_import: bool) -> Iterator[Found]:
    for kind, text in _ways(node):
        assert isinstance(node, ast.expr | ast.stmt)
        yield node, kind, text, at_import
    for condition in _conditions(node):
        for forced in ("True", "False"):
            yield condition, "condition", forced, at_import
    inside = at_import and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in _children(node):
        yield from _walk(child, at_import=inside)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What of a node is run: no annotations, decorators, patterns, assertions or words."""
    if isinstance(node, ast.Assert | ast.JoinedStr):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "pattern", "type_comment"):
            continue
        if isinstance(node, ast.ClassDef) and name in ("bases", "keywords"):
            continue
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Literal", "Callable", "Annotated"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _conditions(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.If(test) | ast.IfExp(test):
            return [test]
        case ast.comprehension(_, _, conditions):
            return conditions
        case _:
            return []


def _ways(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare(left, [op], [right]) if type(op) in SWAPPED:
            swapped = ast.Compare(left, [SWAPPED[type(op)]()], [right])
            yield "comparison", f"({ast.unparse(swapped)})"
        case ast.BoolOp(op, values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "and/or", f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield "not", f"({ast.unparse(operand)})"
        case ast.Constant(bool(value)):
            yield "constant", str(not value)
        case ast.Constant(int(value)) | ast.Constant(float(value)):
            yield "constant", f"{value + 1}"
            yield "constant", f"({value - 1})"
        case ast.Call(func, [first, second, *_], _):
            plain = not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred)
            if plain and ast.unparse(func).rpartition(".")[2] not in TYPES and ast.dump(first) != ast.dump(second):
                swapped_call = ast.Call(func, [second, first, *node.args[2:]], node.keywords)
                yield "arguments", ast.unparse(swapped_call)
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return value", "return None"
        case ast.Expr(ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield "statement", "pass"
        case ast.Assign([ast.Attribute() | ast.Subscript()], _):
            yield "statement", "pass"

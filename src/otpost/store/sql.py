"""The hot statements, made once for each kind of row and beside its Core definition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ClauseElement, Integer
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from otpost.store.units import Kind

_SQLITE = sqlite.dialect(paramstyle="named")
_POSTGRESQL = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]


def quoted(name: str) -> str:
    return f'"{name}"'


def listed(columns: tuple[str, ...]) -> str:
    return ", ".join(quoted(column) for column in columns)


def array_type(kind: Kind[Any], column: str) -> str:
    """The PostgreSQL array type that carries a set of this column's values."""
    sql_type = kind.table.columns[column].type
    if not isinstance(sql_type, Integer):
        return "text[]"
    return "bigint[]" if sql_type.__visit_name__ == "big_integer" else "integer[]"


def condition(kind: Kind[Any], index: str) -> tuple[tuple[str, ...], str]:
    """The columns that a key's values stand for, and what must hold besides."""
    if not index:
        return kind.key_columns, ""
    entry = kind.indexes[index]
    return entry.columns, entry.where


@cache
def sqlite_select(kind: Kind[Any], index: str) -> str:
    columns, where = condition(kind, index)
    tests = [f"{quoted(column)} = ?" for column in columns]
    if where:
        tests.append(where)
    return f"SELECT {listed(kind.columns)} FROM {quoted(kind.name)} WHERE {' AND '.join(tests)}"


@cache
def sqlite_select_many(kind: Kind[Any], index: str) -> str:
    """The same for a JSON list of keys, each a value or a list of values; half the cost where there are several."""
    columns, where = condition(kind, index)
    if len(columns) == 1:
        test = f"{quoted(columns[0])} IN (SELECT value FROM json_each(?))"
    else:
        parts = ", ".join(f"value ->> {place}" for place in range(len(columns)))
        test = f"({listed(columns)}) IN (SELECT {parts} FROM json_each(?))"
    if where:
        test += f" AND {where}"
    return f"SELECT {listed(kind.columns)} FROM {quoted(kind.name)} WHERE {test}"


@cache
def sqlite_insert(kind: Kind[Any]) -> str:
    places = ", ".join("?" for _ in kind.columns)
    return f"INSERT INTO {quoted(kind.name)} ({listed(kind.columns)}) VALUES ({places})"


@cache
def sqlite_update(kind: Kind[Any], columns: tuple[str, ...]) -> str:
    """The values of `columns` come first, those of the key after them."""
    sets = ", ".join(f"{quoted(column)} = ?" for column in columns)
    tests = " AND ".join(f"{quoted(column)} = ?" for column in kind.key_columns)
    return f"UPDATE {quoted(kind.name)} SET {sets} WHERE {tests}"


@cache
def sqlite_delete(kind: Kind[Any]) -> str:
    tests = " AND ".join(f"{quoted(column)} = ?" for column in kind.key_columns)
    return f"DELETE FROM {quoted(kind.name)} WHERE {tests}"


@cache
def postgresql_select(kind: Kind[Any], index: str, lock: bool) -> str:
    columns, where = condition(kind, index)
    arrays = ", ".join(f"${place + 1}::{array_type(kind, column)}" for place, column in enumerate(columns))
    if len(columns) == 1:
        test = f"{quoted(columns[0])} = ANY({arrays})"
    else:
        test = f"({listed(columns)}) IN (SELECT * FROM unnest({arrays}))"
    if where:
        test += f" AND {where}"
    order = listed(kind.key_columns)
    tail = " FOR UPDATE" if lock else ""
    return f"SELECT {listed(kind.columns)} FROM {quoted(kind.name)} WHERE {test} ORDER BY {order}{tail}"


def _unnested(kind: Kind[Any], columns: tuple[str, ...]) -> str:
    arrays = ", ".join(f"${place + 1}::{array_type(kind, column)}" for place, column in enumerate(columns))
    return f"unnest({arrays}) AS new({listed(columns)})"


@cache
def postgresql_insert(kind: Kind[Any]) -> str:
    return f"INSERT INTO {quoted(kind.name)} ({listed(kind.columns)}) SELECT * FROM {_unnested(kind, kind.columns)}"


@cache
def postgresql_update(kind: Kind[Any], columns: tuple[str, ...]) -> str:
    """The values of `columns` come first, those of the key after them."""
    sets = ", ".join(f"{quoted(c)} = new.{quoted(c)}" for c in columns)
    tests = " AND ".join(f"old.{quoted(c)} = new.{quoted(c)}" for c in kind.key_columns)
    rows = _unnested(kind, (*columns, *kind.key_columns))
    return f"UPDATE {quoted(kind.name)} AS old SET {sets} FROM {rows} WHERE {tests}"


@cache
def postgresql_delete(kind: Kind[Any]) -> str:
    tests = " AND ".join(f"old.{quoted(c)} = gone.{quoted(c)}" for c in kind.key_columns)
    rows = _unnested(kind, kind.key_columns).replace(" AS new(", " AS gone(")
    return f"DELETE FROM {quoted(kind.name)} AS old USING {rows} WHERE {tests}"


def columns_of(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as the arrays that carry their columns."""
    return [list(column) for column in zip(*rows, strict=True)]


_LIST = re.compile(r"\bIN :(\w+)")
_PARAMETER = re.compile(r":(\w+)")


@cache
def sqlite_query(kind: Kind[Any], condition: str) -> tuple[str, frozenset[str]]:
    """The statement of a query, and the names of those parameters that are lists: each of them is JSON text."""
    test = _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", condition)
    text = f"SELECT {listed(kind.columns)} FROM {quoted(kind.name)} WHERE {test}"
    return text, frozenset(_LIST.findall(condition))


@cache
def postgresql_query(kind: Kind[Any], condition: str) -> tuple[str, tuple[str, ...]]:
    """The statement of a query, and the names of its parameters in their order."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(condition)))
    test = _LIST.sub(r"= ANY(:\1)", condition)
    test = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", test)
    return f"SELECT {listed(kind.columns)} FROM {quoted(kind.name)} WHERE {test} FOR UPDATE SKIP LOCKED", names


def for_sqlite(statement: ClauseElement) -> tuple[str, Mapping[str, Any]]:
    """A Core statement for the `sqlite3` module."""
    compiled = statement.compile(dialect=_SQLITE, compile_kwargs={"render_postcompile": True})
    return str(compiled), compiled.params


def for_postgresql(statement: ClauseElement) -> tuple[str, list[Any]]:
    """A Core statement for asyncpg."""
    compiled = statement.compile(dialect=_POSTGRESQL, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler)
    values = compiled.params
    return str(compiled), [values[name] for name in compiled.positiontup or ()]

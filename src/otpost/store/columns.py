"""How columns and partial indexes of the schema are written down, the same for both databases."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Text, text

metadata = MetaData()


def string(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def strings(*names: str) -> list[Column[str]]:
    return [string(name) for name in names]


def moments(*names: str) -> list[Column[int]]:
    return [moment(name) for name in names]


def counts(*names: str) -> list[Column[int]]:
    return [count(name) for name in names]


def moment(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def count(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def json(name: str) -> Column[str]:
    """A value kept as JSON text: decoded by the value's own type."""
    return Column(name, Text, nullable=False, info={"json": True})


def flag(name: str) -> Column[int]:
    """A truth value as 0 or 1, so that both databases hold the same."""
    return Column(name, Integer, nullable=False)


def live(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """A partial index: of the rows for which the condition holds."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))

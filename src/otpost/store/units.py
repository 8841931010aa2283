"""Units of work: what one is, which rows it sees, and how a batch of them is decided.

A unit is a plain function over `Rows`. It names the rows that it needs by key and may ask for more while it
decides: the store then loads those and runs it again, so it must have no clock, dice or effect of its own.
A batch loads the rows of all its units, decides one unit after another, each seeing what the one before it
changed, writes set by set and commits once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec
from sqlalchemy import Table

R = TypeVar("R", bound=msgspec.Struct)
A = TypeVar("A")
Values = tuple[Any, ...]


class Index(Generic[R]):
    """A second way to find rows of a kind: columns, and the condition under which a row is in it.

    `where` is the condition as SQL (the same as the partial index's), `holds` the same in Python. As in SQL, a row
    with a null in one of the columns is found by no value.
    """

    def __init__(
        self, name: str, columns: tuple[str, ...], where: str = "", holds: Callable[[R], bool] | None = None
    ) -> None:
        self.name = name
        self.columns = columns
        self.where = where
        self._values = _getter(columns)
        self._holds = holds

    def values(self, row: R) -> Values | None:
        """Under which values the row stands in the index, if it does."""
        if self._holds is not None and not self._holds(row):
            return None
        values = self._values(row)
        return None if None in values else values


_places = count()


class Kind(Generic[R]):
    """One table and the value that a row of it is; the value's fields are the columns, in their order.

    Rows of several kinds are locked in the order in which the kinds were made, the same on every node. `settled`
    are those that every request reads and hardly one changes: a store may remember them until they change.
    """

    def __init__(
        self, table: Table, struct: type[R], indexes: Sequence[Index[R]] = (), *, settled: bool = False
    ) -> None:
        self.settled = settled
        self.place = next(_places)
        self.table = table
        self.name = table.name
        self.struct = struct
        self.columns: tuple[str, ...] = struct.__struct_fields__
        self.types = {info.name: info.type for info in msgspec.structs.fields(struct)}
        if self.columns != tuple(column.name for column in table.columns):
            raise TypeError(f"the columns of {table.name} are not the fields of {struct.__name__}")
        self.key_columns: tuple[str, ...] = tuple(column.name for column in table.primary_key.columns)
        self.indexes = {index.name: index for index in indexes}
        self.key: Callable[[R], Values] = _getter(self.key_columns)
        self._plain: Callable[[R], Values] = _getter(self.columns)
        self._json = [
            (place, msgspec.json.Decoder(self.types[column.name]))
            for place, column in enumerate(table.columns)
            if column.info.get("json")
        ]
        self._picks: dict[tuple[str, ...], tuple[Callable[[R], Values], list[tuple[int, Callable[[Any], Any]]]]] = {}
        self._flags = [place for place, column in enumerate(self.columns) if self.types[column] is bool]

    def __repr__(self) -> str:
        return f"Kind({self.name})"

    def to_columns(self, row: R) -> Values:
        return self.values_of(row, self.columns)

    def values_of(self, row: R, columns: tuple[str, ...]) -> Values:
        """What these columns hold for the row."""
        pick = self._picks.get(columns)
        if pick is None:
            encoders: dict[int, Callable[[Any], Any]] = {
                **dict.fromkeys(self._flags, int),
                **{place: _to_json for place, _ in self._json},
            }
            places = [encoders.get(self.columns.index(column)) for column in columns]
            pick = _getter(columns), [(place, encode) for place, encode in enumerate(places) if encode is not None]
            self._picks[columns] = pick
        get, encoded = pick
        values = get(row)
        if not encoded:
            return values
        changed = list(values)
        for place, encode in encoded:
            changed[place] = encode(changed[place])
        return tuple(changed)

    def differing(self, old: R, new: R) -> tuple[str, ...]:
        """The columns that are not the same in both: an update names no others, and so spares their indexes."""
        pairs = zip(self.columns, self._plain(old), self._plain(new), strict=True)
        return tuple(column for column, before, after in pairs if before is not after and before != after)

    def from_columns(self, values: Sequence[Any]) -> R:
        if not self._json and not self._flags:
            return self.struct(*values)
        changed = list(values)
        for place, decoder in self._json:
            changed[place] = decoder.decode(changed[place])
        for place in self._flags:
            changed[place] = bool(changed[place])
        return self.struct(*changed)


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _getter(columns: tuple[str, ...]) -> Callable[[Any], Values]:
    if len(columns) == 1:
        only = attrgetter(columns[0])
        return lambda row: (only(row),)
    return cast(Callable[[Any], Values], attrgetter(*columns))


class Key(NamedTuple):
    """Which rows: those of `kind` with these values in its primary key, or in the index `by`.

    A row that a unit changes is loaded with `lock`; one that it only reads is not.
    """

    kind: Kind[Any]
    by: str
    values: Values
    lock: bool


class Query(Generic[R]):
    """Rows found by a condition of their own, with named parameters `:name`; a list is one in `column IN :name`.

    The rows come locked, without waiting for those that somebody else holds.
    """

    __slots__ = ("condition", "kind", "parameters")

    def __init__(self, kind: Kind[R], condition: str, **parameters: Any) -> None:
        self.kind = kind
        self.condition = condition
        self.parameters = parameters


class Missing(Exception):
    """A unit asked for rows that are not loaded yet."""

    def __init__(self, wanted: list[Key]) -> None:
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Unit(Generic[A]):
    """A use case: the rows that it needs first, and the decision on them."""

    decide: Callable[[Rows], A]
    needs: Sequence[Key] = ()
    query: Query[Any] | None = None


def lock(kind: Kind[Any], *values: Any) -> Key:
    """The row with this primary key, to be changed."""
    return Key(kind, "", values, True)


def look(kind: Kind[Any], *values: Any) -> Key:
    """The row with this primary key, only to be read."""
    return Key(kind, "", values, False)


def lock_by(kind: Kind[Any], index: str, *values: Any) -> Key:
    """The rows that stand under these values in an index, to be changed."""
    return Key(kind, index, values, True)


def look_by(kind: Kind[Any], index: str, *values: Any) -> Key:
    """The rows that stand under these values in an index, only to be read."""
    return Key(kind, index, values, False)


Place = tuple[Kind[Any], Values]


class Batch:
    """The rows of all units of one transaction, as loaded and as changed so far; `asked` is what units asked for."""

    def __init__(self) -> None:
        self.loaded: dict[Place, bool] = {}
        self.rows: dict[Place, msgspec.Struct | None] = {}
        self.stored: dict[Place, msgspec.Struct] = {}
        self.changed: dict[Place, None] = {}
        self.members: dict[tuple[Kind[Any], str, Values], dict[Values, None]] = {}
        self.found: dict[int, list[Values]] = {}
        self.asked: dict[int, list[Key]] = {}
        self.signals: set[str] = set()

    def wanted(self, keys: Iterable[Key]) -> list[Key]:
        """Those of the keys whose rows are not loaded, or not locked, as they should be."""
        strongest: dict[tuple[Kind[Any], str, Values], bool] = {}
        for kind, index, values, locked in keys:
            place = (kind, index, values)
            strongest[place] = locked or strongest.get(place, False)
        return [Key(*place, locked) for place, locked in strongest.items() if not self._has(*place, locked)]

    def _has(self, kind: Kind[Any], index: str, values: Values, locked: bool) -> bool:
        if not index:
            have = self.loaded.get((kind, values))
        else:
            have = self.loaded.get((kind, (index, *values)))
        return have is not None and (have or not locked)

    def load(self, key: Key, rows: Sequence[msgspec.Struct]) -> None:
        """Take in what the database holds for a key."""
        kind, index, values, locked = key
        if not index:
            self.loaded[kind, values] = locked or self.loaded.get((kind, values), False)
            self._take(kind, values, rows[0] if rows else None)
            return
        self.loaded[kind, (index, *values)] = locked
        self.members.setdefault((kind, index, values), {})
        for row in rows:
            own = kind.key(row)
            self.loaded[kind, own] = locked or self.loaded.get((kind, own), False)
            self._take(kind, own, row)

    def load_query(self, query: Query[Any], rows: Sequence[msgspec.Struct]) -> None:
        """Take in what a query found; its rows are locked."""
        kind = query.kind
        for row in rows:
            values = kind.key(row)
            self.loaded[kind, values] = True
            self._take(kind, values, row)
        self.found[id(query)] = [kind.key(row) for row in rows]

    def _take(self, kind: Kind[Any], values: Values, row: msgspec.Struct | None) -> None:
        place = (kind, values)
        if place in self.changed:
            return
        self.rows[place] = row
        if row is None:
            self.stored.pop(place, None)
            return
        self.stored[place] = row
        for name, index in kind.indexes.items():
            under = index.values(row)
            if under is not None:
                self.members.setdefault((kind, name, under), {})[values] = None

    def keep(self, changes: dict[Place, msgspec.Struct | None]) -> None:
        """Make a unit's changes visible to the units after it."""
        for place, row in changes.items():
            kind, values = place
            self.rows[place] = row
            self.loaded.setdefault(place, True)
            self.changed[place] = None
            if row is not None:
                for name, index in kind.indexes.items():
                    under = index.values(row)
                    if under is not None:
                        self.members.setdefault((kind, name, under), {})[values] = None

    def writes(self) -> Writes:
        """What has to be written, set by set."""
        writes = Writes(defaultdict(list), defaultdict(list), defaultdict(list))
        for place in self.changed:
            kind, values = place
            row = self.rows[place]
            if row is None:
                if place in self.stored:
                    writes.deletes[kind].append(values)
            elif place in self.stored:
                if columns := kind.differing(self.stored[place], row):
                    writes.updates[kind].append(Update(row, columns))
            else:
                writes.inserts[kind].append(row)
        return writes


class Update(NamedTuple):
    """A row as it is to be, and the columns in which it differs from what is stored."""

    row: Any
    columns: tuple[str, ...]


class Writes(NamedTuple):
    inserts: dict[Kind[Any], list[Any]]
    updates: dict[Kind[Any], list[Update]]
    deletes: dict[Kind[Any], list[Values]]


class Rows:
    """What one unit sees and changes. Its changes are kept only if it ends without an error."""

    __slots__ = ("_batch", "_changes", "_signals")

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._changes: dict[Place, msgspec.Struct | None] = {}
        self._signals: set[str] = set()

    def get(self, kind: Kind[R], *values: Any) -> R | None:
        """The row with this primary key, locked, or None."""
        return self._one(kind, values, True)

    def look(self, kind: Kind[R], *values: Any) -> R | None:
        """The row with this primary key, not locked: it may be read, not put back."""
        return self._one(kind, values, False)

    def require(self, *keys: Key) -> None:
        """Load these together, so that the unit is run again once and not once for each."""
        wanted = self._batch.wanted(keys)
        if wanted:
            raise Missing(wanted)

    def _one(self, kind: Kind[R], values: Values, locked: bool) -> R | None:
        place = (kind, values)
        if place in self._changes:
            return cast("R | None", self._changes[place])
        have = self._batch.loaded.get(place)
        if have is None or (locked and not have):
            raise Missing([Key(kind, "", values, locked)])
        return cast("R | None", self._batch.rows.get(place))

    def find(self, kind: Kind[R], index: str, *values: Any, locked: bool = True) -> list[R]:
        """The rows that stand under these values in an index, oldest key first."""
        have = self._batch.loaded.get((kind, (index, *values)))
        if have is None or (locked and not have):
            raise Missing([Key(kind, index, values, locked)])
        entry = kind.indexes[index]
        candidates = dict(self._batch.members.get((kind, index, values), {}))
        for changed_kind, own in self._changes:
            if changed_kind is kind:
                candidates[own] = None
        found = []
        for own in sorted(candidates):
            place = (kind, own)
            row = self._changes[place] if place in self._changes else self._batch.rows.get(place)
            if row is not None and entry.values(cast(R, row)) == values:
                found.append(cast(R, row))
        return found

    def found(self, query: Query[R]) -> list[R]:
        """The rows that the unit's own query found, as they are now."""
        rows = (self._one(query.kind, values, True) for values in self._batch.found[id(query)])
        return [row for row in rows if row is not None]

    def put(self, kind: Kind[R], row: R) -> None:
        """Insert the row, or change the one with its key, which must have been loaded locked."""
        place = (kind, kind.key(row))
        if self._batch.loaded.get(place) is False:
            raise AssertionError(f"{kind!r} {place[1]} is changed, but was loaded without a lock")
        self._changes[place] = row

    def delete(self, kind: Kind[R], *values: Any) -> None:
        """Delete the row with this primary key, which must have been loaded locked."""
        self._one(kind, values, True)
        self._changes[kind, values] = None

    def signal(self, name: str) -> None:
        """Tell every process that listens, once this is committed."""
        self._signals.add(name)

    def undo(self) -> None:
        """Forget what this unit has changed so far."""
        self._changes.clear()
        self._signals.clear()

    def keep(self) -> None:
        """Hand the unit's changes to the batch."""
        if self._changes:
            self._batch.keep(self._changes)
        if self._signals:
            self._batch.signals |= self._signals


Answer = tuple[bool, Any]


def decide(batch: Batch, units: Sequence[Unit[Any]], answers: dict[int, Answer]) -> list[Key]:
    """Run those units that have no answer yet; return the keys that some of them still miss.

    An answer is (True, value) or (False, exception).
    """
    missing: list[Key] = []
    for place, unit in enumerate(units):
        if place in answers:
            continue
        rows = Rows(batch)
        try:
            answers[place] = (True, unit.decide(rows))
        except Missing as more:
            missing.extend(more.wanted)
            batch.asked.setdefault(place, []).extend(more.wanted)
        except StopIteration as error:
            # A future cannot carry it.
            answers[place] = (False, RuntimeError("a unit ran out of values").with_traceback(error.__traceback__))
        except Exception as error:
            answers[place] = (False, error)
        else:
            rows.keep()
    return missing

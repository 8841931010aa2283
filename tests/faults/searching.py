"""Looks for secrets where none may be: in texts, files and tables, in every form they may have."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import postgres


def forms(secret: str) -> set[bytes]:
    """A secret as bytes: UTF-8, UTF-16, hexadecimal, quoted for an address, and in base64 wherever it may begin."""
    raw = secret.encode()
    found = {
        raw,
        secret.encode("utf-16-le"),
        secret.encode("utf-16-be"),
        raw.hex().encode(),
        raw.hex().upper().encode(),
    }
    found |= {quote(secret, safe="").encode(), quote_plus(secret).encode()}
    for before in range(3):
        # The characters at both ends hold bits of neighbours too.
        encoded = base64.b64encode(bytes(before) + raw)
        first, beyond = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        found |= {encoded[first:beyond], encoded[first:beyond].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Secrets:
    """What must not be found, by name."""

    def __init__(self) -> None:
        self._forms: dict[str, set[bytes]] = {}

    def add(self, name: str, secret: str) -> str:
        assert len(secret) >= 10, f"{name} is too short to be told from chance"
        self._forms[f"{name} #{len(self._forms) + 1}"] = forms(secret)
        return secret

    def __len__(self) -> int:
        return len(self._forms)

    def within(self, data: bytes) -> list[str]:
        """The names of the secrets that the data hold."""
        return [name for name, written in self._forms.items() if any(form in data for form in written)]

    def found(self, places: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
        """Each place that holds a secret, with the secret's name."""
        return [(place, name) for place, data in places for name in self.within(data)]


def files(folder: Path, *, leave_out: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, whole; the names alone are told."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != leave_out:
            yield str(path.relative_to(folder)), path.read_bytes()


def sqlite_tables(path: Path) -> list[tuple[str, bytes]]:
    """Every row of every table as text."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [
            (f"table {name}", "\n".join(map(repr, database.execute(f'SELECT * FROM "{name}"'))).encode())
            for name in names
        ]
    finally:
        database.close()


def postgresql_tables(server: postgres.Cluster, database: str = "postgres") -> list[tuple[str, bytes]]:
    """Every row of every table as text."""
    names = server.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database).split()
    return [
        (f"table {name}", server.run(f'COPY (SELECT * FROM "{name}") TO STDOUT', database).encode()) for name in names
    ]

"""A secret as a value that cannot give itself away."""

from __future__ import annotations

from typing import Final, final


@final
class Secret:
    """Text that only `reveal()` shows: never `repr`, `str`, a format or a log line."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("otpost.secret", self._text))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")

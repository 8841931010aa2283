"""The language of the console: every sentence of it that people read goes through here.

A sentence is its own name in a catalogue. What varies in it stands as `%(name)s`, so that another language can put it
elsewhere. There is no catalogue yet: each sentence is answered as it is.
"""

from __future__ import annotations

from gettext import NullTranslations

catalogue = NullTranslations()


def _(sentence: str, /, **values: object) -> str:
    """The sentence in the reader's language, with its values."""
    words = catalogue.gettext(sentence)
    return words % values if values else words


def ngettext(one: str, many: str, number: int, /, **values: object) -> str:
    """The sentence for this number of things, in the reader's language, with its values."""
    words = catalogue.ngettext(one, many, number)
    return words % values if values else words


def N_(sentence: str) -> str:
    """Mark a sentence of a table for the catalogue; `_` translates it where it is shown."""
    return sentence

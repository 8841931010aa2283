"""The text of a message: its template, the variables in it, its characters, and the segments that it is billed as."""

from otpost.domain.text.judge import (
    MAX_BODY_CHARACTERS,
    MAX_VARIABLE_CHARACTERS,
    TextCode,
    TextRefused,
    read_line,
    read_name,
    read_text,
    read_variable,
)
from otpost.domain.text.segments import Segments, segments
from otpost.domain.text.template import (
    CALLER_VARIABLES,
    DEFAULT_TEMPLATE,
    PLACEHOLDERS,
    read_template,
    render,
    variables_needed,
)

__all__ = [
    "CALLER_VARIABLES",
    "DEFAULT_TEMPLATE",
    "MAX_BODY_CHARACTERS",
    "MAX_VARIABLE_CHARACTERS",
    "PLACEHOLDERS",
    "Segments",
    "TextCode",
    "TextRefused",
    "read_line",
    "read_name",
    "read_template",
    "read_text",
    "read_variable",
    "render",
    "segments",
    "variables_needed",
]

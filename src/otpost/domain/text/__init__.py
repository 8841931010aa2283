"""The text of a message: its template, the variables in it, its characters, and the segments that it is billed as."""

from otpost.domain.text.segments import Segments, segments
from otpost.domain.text.template import (
    CALLER_VARIABLES,
    DEFAULT_TEMPLATE,
    MAX_BODY_CHARACTERS,
    MAX_VARIABLE_CHARACTERS,
    PLACEHOLDERS,
    TemplateRefused,
    check_template,
    check_variable,
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
    "TemplateRefused",
    "check_template",
    "check_variable",
    "render",
    "segments",
    "variables_needed",
]

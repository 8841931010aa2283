"""Phone numbers as values, and the readers of what people type; nothing outside of here knows libphonenumber."""

from otpost.domain.phone.number import (
    NumberRefused,
    PhoneNumber,
    dialing_code_known,
    dialing_code_of,
    example_of,
    region_known,
    trusted,
)
from otpost.domain.phone.reading import parse_filter, parse_origin, parse_own_region, parse_recipient
from otpost.domain.phone.typed import parse_dialing_code, parse_region

__all__ = [
    "NumberRefused",
    "PhoneNumber",
    "dialing_code_known",
    "dialing_code_of",
    "example_of",
    "parse_dialing_code",
    "parse_filter",
    "parse_origin",
    "parse_own_region",
    "parse_recipient",
    "parse_region",
    "region_known",
    "trusted",
]

"""Which sender services there are, by name, and what each of them can do."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from importlib.metadata import entry_points
from typing import Final, NamedTuple, cast

from otpost import senders
from otpost.domain.errors import FieldError
from otpost.senders.service import (
    FallsBack,
    FetchesReports,
    JudgesSettings,
    LooksUp,
    Preset,
    ReadsReports,
    RoutesByCountry,
    SenderService,
)
from otpost.senders.settings import form, missing

ENTRY_POINTS: Final = "otpost.senders"
"""The entry-point group in which other packages name modules that are sender services."""

SHARED: Final = frozenset({"answers", "asking", "codes", "dlt", "registry", "service", "settings", "submission"})
"""The modules of this folder that the services share."""

_OFFERED: Final = (
    "NAME", "TITLE", "PLACE", "may_be_fallback", "Settings", "route", "account_secret", "send",
)  # fmt: skip


class Capabilities(NamedTuple):
    """What a service can do beside sending.

    `routes_by_country` is the service itself where it is one that RoutesByCountry. Where its reports carry no
    signature, they are `proven_by_address`. A callback address may have `longest_callback` characters, or any number.
    A sender of a service that `takes_any_name` need not keep to the letters of others.
    """

    looks_up: bool
    reads_reports: bool
    fetches_reports: bool
    falls_back: bool
    routes_by_country: RoutesByCountry | None
    proven_by_address: bool
    longest_callback: int | None
    takes_any_name: bool
    presets: tuple[Preset, ...]


@cache
def capabilities(service: SenderService) -> Capabilities:
    """What the service can do; asked of it once, for a Protocol's own answer is slow."""
    return Capabilities(
        looks_up=isinstance(service, LooksUp),
        reads_reports=isinstance(service, ReadsReports),
        fetches_reports=isinstance(service, FetchesReports),
        falls_back=isinstance(service, FallsBack),
        routes_by_country=service if isinstance(service, RoutesByCountry) else None,
        proven_by_address=getattr(service, "PROVEN_BY_ADDRESS", False),
        longest_callback=getattr(service, "LONGEST_CALLBACK", None),
        takes_any_name=any(field.any_name for field in form(service.Settings)),
        presets=getattr(service, "PRESETS", ()),
    )


def list_problems(service: SenderService, settings: object, path: str) -> list[FieldError]:
    """What keeps these settings from being used, secrets apart; field codes `required` and `invalid`."""
    more = service.problems(settings, path) if isinstance(service, JudgesSettings) else []
    return [*missing(settings, path), *more]


@cache
def find_services() -> dict[str, SenderService]:
    """Every sender service by name, in the order of lists: what this folder has but for `SHARED`, and entry points.

    Raises TypeError if one lacks what a service must offer, or takes a name that is in use.
    """
    modules = [
        importlib.import_module(f"{senders.__name__}.{module.name}")
        for module in pkgutil.iter_modules(senders.__path__)
        if module.name not in SHARED
    ]
    modules += [entry.load() for entry in entry_points(group=ENTRY_POINTS)]
    services: dict[str, SenderService] = {}
    for module in sorted(modules, key=lambda module: (getattr(module, "PLACE", 0), module.__name__)):
        if lacks := [name for name in _OFFERED if not hasattr(module, name)]:
            raise TypeError(f"{module.__name__} is no sender service: it lacks {', '.join(lacks)}")
        service = cast(SenderService, module)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", service.NAME):
            raise TypeError(f"{module.__name__}: NAME must be small letters, digits and _, beginning with a letter")
        if service.NAME in services:
            raise TypeError(f"{module.__name__}: there is a sender service named {service.NAME} already")
        services[service.NAME] = service
    return services

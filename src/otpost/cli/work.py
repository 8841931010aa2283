"""What commands share: the opened installation, and arguments that mean a tenant, a number or a name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from otpost import config, telemetry
from otpost.cli.mistakes import Mistake
from otpost.config import Config
from otpost.domain import sid
from otpost.domain.access import Tenant
from otpost.domain.text.characters import compact
from otpost.domain.text.judge import TextRefused, read_line
from otpost.installation import Installation, opened
from otpost.services.tenants.sign_in import NAME_LENGTH
from otpost.store.kinds import TENANTS

T = TypeVar("T")


def read_config() -> Config:
    return config.read(os.environ)


def say(line: str) -> None:
    print(line, flush=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def run_inside(work: Callable[[Installation], Coroutine[Any, Any, T]]) -> T:
    """Do some work in the opened installation, quietly: what goes wrong is told in one line."""
    telemetry.configure("critical")

    async def open_and_work() -> T:
        async with opened(read_config(), make=False) as installation:
            return await work(installation)

    return run(open_and_work())


async def find_tenant(installation: Installation, named: str | None) -> Tenant:
    """The tenant with this SID, else the one that every installation has."""
    if named is None:
        return installation.tenant
    plain = compact(named)
    tenant = await installation.context.store.get(TENANTS, plain) if sid.is_sid(plain, sid.TENANT) else None
    if tenant is None:
        raise Mistake(f"--tenant: there is no tenant {named}: `otpost tenant create NAME` prints a new one's SID.")
    return tenant


def read_name(text: str, argument: str) -> str:
    try:
        if name := read_line(text, NAME_LENGTH):
            return name
    except TextRefused as refused:
        raise Mistake(f"{argument}: {refused.message}") from None
    raise Mistake(f"{argument}: give a name of 1 to {NAME_LENGTH} characters on one line.")

"""The command for tenants."""

from __future__ import annotations

from otpost.cli.work import read_name, run_inside
from otpost.installation import Installation
from otpost.services.tenants.tenants import make_tenant


def create_tenant(*, name: str) -> None:
    tenant_name = read_name(name, "NAME")

    async def work(installation: Installation) -> str:
        return (await installation.context.store.run(make_tenant(installation.context, tenant_name))).sid

    print(run_inside(work))

"""The commands for API keys."""

from __future__ import annotations

from otpost.cli.mistakes import Mistake
from otpost.cli.work import find_tenant, read_name, run_inside
from otpost.domain.access import Scope
from otpost.domain.errors import NotFound
from otpost.domain.text.characters import compact
from otpost.installation import Installation
from otpost.services.audit import command_line_actor
from otpost.services.tenants import keys
from otpost.store.kinds import APPLICATIONS

KEYS_AT_ONCE = 200


def create_key(*, scope: Scope, application: str | None, name: str, tenant: str | None) -> None:
    if scope == "admin" and application is not None:
        raise Mistake("A key with scope admin has no application: leave --application out, or use --scope verify.")
    key_name = read_name(name, "--name") if name else ""

    async def work(installation: Installation) -> str:
        context, own = installation.context, await find_tenant(installation, tenant)
        chosen = compact(application or own.default_application)
        if application is not None:
            existing = await context.store.get(APPLICATIONS, chosen)
            if existing is None or existing.tenant != own.sid:
                raise Mistake(f"--application: there is no application {application}: GET /v1/applications lists them.")
        actor, of_scope = command_line_actor(own.sid), chosen if scope == "verify" else None
        new = await context.store.run(keys.make_key(context, actor, scope, of_scope, key_name))
        return f"{new.key.sid} {new.secret}"

    print(run_inside(work))


def list_keys(*, scope: Scope | None, application: str | None, tenant: str | None) -> None:
    async def work(installation: Installation) -> list[str]:
        context, own = installation.context, await find_tenant(installation, tenant)
        now, lines, cursor = context.clock(), list[str](), None
        while True:
            page = await keys.list_keys(
                context, {}, own.sid, scope=scope, application=application, limit=KEYS_AT_ONCE, cursor=cursor
            )
            lines += [keys.describe_key(row, now) for row in page.rows]
            if (cursor := page.next) is None:
                return lines

    for line in run_inside(work):
        print(line)


def revoke_key(*, key: str, tenant: str | None) -> None:
    async def work(installation: Installation) -> str:
        context, own = installation.context, await find_tenant(installation, tenant)
        try:
            revoked = await context.store.run(keys.revoke_key(context, command_line_actor(own.sid), key.strip()))
        except NotFound:
            raise Mistake(f"KEY: there is no key {key} in force: `otpost key list` shows them.") from None
        return f"{revoked.sid} is revoked. It counts at once."

    print(run_inside(work))

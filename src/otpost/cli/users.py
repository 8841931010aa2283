"""The commands for people with the console."""

from __future__ import annotations

import getpass
import sys

from otpost.cli.mistakes import Mistake
from otpost.cli.work import find_tenant, read_name, run_inside
from otpost.domain.errors import NotFound
from otpost.installation import Installation, sign_in_address
from otpost.services.audit import command_line_actor
from otpost.services.tenants.sign_in import PASSWORD_LONGEST, PASSWORD_SHORTEST
from otpost.services.tenants.users import make_link, make_user, make_user_link


def create_user(*, name: str, password_stdin: bool, link: bool, tenant: str | None) -> None:
    user_name = read_name(name, "--name")
    if link and password_stdin:
        raise Mistake("--link and --password-stdin exclude each other: leave one of them out.")
    password_hash = None if link else _hash(_read_password(from_stdin=password_stdin))

    async def work(installation: Installation) -> str:
        context, own = installation.context, await find_tenant(installation, tenant)
        user = await context.store.run(make_user(context, command_line_actor(own.sid), user_name, password_hash))
        if not link:
            return f"User {user_name} is made."
        one_time = await context.store.run(make_link(context, own.sid, user.sid))
        return sign_in_address(installation.config, one_time.token)

    print(run_inside(work))


def link_user(*, name: str, tenant: str | None) -> None:
    async def work(installation: Installation) -> str:
        context, own = installation.context, await find_tenant(installation, tenant)
        try:
            new = await context.store.run(make_user_link(context, command_line_actor(own.sid), name=name.strip()))
        except NotFound:
            raise Mistake(
                f"NAME: there is no user {name!r}: `otpost user create --name NAME --link` makes one."
            ) from None
        return sign_in_address(installation.config, new.link.token)

    print(run_inside(work))


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise Mistake("The two passwords differ: call again.")
    else:
        raise Mistake("There is no terminal to ask for a password: use --password-stdin or --link.")
    if not PASSWORD_SHORTEST <= len(password) <= PASSWORD_LONGEST:
        raise Mistake(f"The password needs {PASSWORD_SHORTEST} to {PASSWORD_LONGEST} characters: choose another.")
    return password


def _hash(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)

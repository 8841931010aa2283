"""The command line: which commands there are, and how each one tells what went wrong in one line."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import cyclopts
import uvloop
from cyclopts import App, Parameter

from otpost import __version__, config, telemetry
from otpost.config import Config, ConfigError
from otpost.domain import sid
from otpost.domain.access import Scope, Tenant
from otpost.domain.errors import NotFound, Refusal
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.policy import NoRoute
from otpost.domain.text import TextRefused, read_line, read_text
from otpost.domain.text.characters import compact
from otpost.installation import Installation, NotReady, migrated, opened, sign_in_address
from otpost.outbound import OutboundRefused
from otpost.services.audit import command_line_actor
from otpost.services.keyring import KeyRingError
from otpost.services.policy.routes import explain_saved_route, name_sender
from otpost.services.tenants import keys
from otpost.services.tenants.keys import describe_key, make_key
from otpost.services.tenants.sign_in import NAME_LENGTH, PASSWORD_LONGEST, PASSWORD_SHORTEST
from otpost.services.tenants.tenants import make_tenant
from otpost.services.tenants.users import make_link, make_user, make_user_link
from otpost.services.verifications.guards import unlock_number
from otpost.store.kinds import APPLICATIONS, TENANTS

T = TypeVar("T")

KEYS_AT_ONCE = 200

app = App(
    name="otpost",
    help="One-time passcodes by SMS. Settings come from the environment: OTPOST_DATA, OTPOST_LISTEN and others.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
key = App(name="key", help="API keys.")
user = App(name="user", help="People with the console.")
number = App(name="number", help="Recipients' numbers.")
tenant = App(name="tenant", help="Organisations that share this installation.")
for _group in (key, user, number, tenant):
    app.command(_group)

Number = Annotated[str, Parameter(help="A phone number such as +15005550006.")]
TenantSid = Annotated[str | None, Parameter(name="--tenant", help="The tenant's SID (AC…); else the first one.")]


class Mistake(Exception):
    """A command cannot do what it was asked; the message is one line that says what to do."""


@app.command
def serve() -> None:
    """Run the service: API, console and messaging service, as OTPOST_ROLES says."""
    from otpost.app import serve as run_service

    chosen = _config()
    telemetry.configure(chosen.log_level)
    _run(run_service(chosen, _say, terminal=sys.stdout.isatty()))


@app.command
def demo(*, exit: Annotated[bool, Parameter(negative="", help="End once the code is checked.")] = False) -> None:
    """Show a whole verification in this terminal, with the sandbox phone in place of a real one."""
    from otpost.demo import show

    telemetry.configure("warning")
    _run(show(os.environ, stay=not exit))


@key.command(name="create")
def create_key(
    *,
    scope: Annotated[Scope, Parameter(help="verify: one application; admin: everything of the tenant.")],
    application: Annotated[str | None, Parameter(help="For scope verify: the application's SID (VA…).")] = None,
    name: Annotated[str, Parameter(help="What the key is for.")] = "",
    tenant: TenantSid = None,
) -> None:
    """Make an API key and print its SID and secret; the secret is shown this once."""
    if scope == "admin" and application is not None:
        raise Mistake("A key with scope admin has no application: leave --application out, or use --scope verify.")
    called = _name(name, "--name") if name else ""

    async def work(here: Installation) -> str:
        own = await _tenant(here, tenant)
        chosen = compact(application or own.default_application)
        if application is not None:
            found = await here.context.store.get(APPLICATIONS, chosen)
            if found is None or found.tenant != own.sid:
                raise Mistake(f"--application: there is no application {application}: GET /v1/applications lists them.")
        unit = make_key(here.context, command_line_actor(own.sid), scope, chosen if scope == "verify" else None, called)
        made = await here.context.store.run(unit)
        return f"{made.key.sid} {made.secret}"

    print(_inside(work))


@key.command(name="list")
def list_keys(
    *,
    scope: Annotated[Scope | None, Parameter(help="Only keys of this scope.")] = None,
    application: Annotated[str | None, Parameter(help="Only keys of this application (VA…).")] = None,
    tenant: TenantSid = None,
) -> None:
    """List the keys, newest first: SID, state, scope, who made each and when, last use, name."""

    async def work(here: Installation) -> list[str]:
        own, now, lines, cursor = (await _tenant(here, tenant)).sid, here.context.clock(), list[str](), None
        while True:
            page = await keys.list_keys(
                here.context, own, scope=scope, application=application, limit=KEYS_AT_ONCE, cursor=cursor
            )
            lines += [describe_key(row, now) for row in page.rows]
            if (cursor := page.next) is None:
                return lines

    for line in _inside(work):
        print(line)


@key.command(name="revoke")
def revoke_key(
    key: Annotated[str, Parameter(name="KEY", help="The key's SID (SK…).")], /, *, tenant: TenantSid = None
) -> None:
    """End a key at once, on every node."""

    async def work(here: Installation) -> str:
        actor = command_line_actor((await _tenant(here, tenant)).sid)
        try:
            revoked = await here.context.store.run(keys.revoke_key(here.context, actor, key.strip()))
        except NotFound:
            raise Mistake(f"KEY: there is no key {key} in force: `otpost key list` shows them.") from None
        return f"{revoked.sid} is revoked. It counts at once."

    print(_inside(work))


@user.command(name="create")
def create_user(
    *,
    name: Annotated[str, Parameter(help="The name that the person signs in with.")],
    password_stdin: Annotated[bool, Parameter(negative="", help="Read the password from standard input.")] = False,
    link: Annotated[bool, Parameter(negative="", help="Print a one-time link that lets the person choose it.")] = False,
    tenant: TenantSid = None,
) -> None:
    """Make a user of the console."""
    called = _name(name, "--name")
    if link and password_stdin:
        raise Mistake("--link and --password-stdin exclude each other: leave one of them out.")
    hashed = None if link else _hashed(_password(from_stdin=password_stdin))

    async def work(here: Installation) -> str:
        own = await _tenant(here, tenant)
        made = await here.context.store.run(make_user(here.context, command_line_actor(own.sid), called, hashed))
        if not link:
            return f"User {called} is made."
        one_time = await here.context.store.run(make_link(here.context, own.sid, made.sid))
        return sign_in_address(here.config, one_time.token)

    print(_inside(work))


@user.command(name="link")
def link_user(name: Annotated[str, Parameter(name="NAME")], /, *, tenant: TenantSid = None) -> None:
    """Print a one-time link with which a user chooses a new password and is signed in."""

    async def work(here: Installation) -> str:
        actor = command_line_actor((await _tenant(here, tenant)).sid)
        try:
            made = await here.context.store.run(make_user_link(here.context, actor, name=name.strip()))
        except NotFound:
            raise Mistake(
                f"NAME: there is no user {name!r}: `otpost user create --name NAME --link` makes one."
            ) from None
        return sign_in_address(here.config, made.link.token)

    print(_inside(work))


@number.command
def unlock(to: Annotated[str, Parameter(name="NUMBER")], /, *, tenant: TenantSid = None) -> None:
    """Lift the lock of a number for which too many wrong codes were tried."""
    recipient = _recipient(to)

    async def work(here: Installation) -> str:
        actor = command_line_actor((await _tenant(here, tenant)).sid)
        count = await here.context.store.run(unlock_number(here.context, actor, recipient.e164))
        return f"{recipient.e164} is unlocked{f' in {count} applications' if count > 1 else ''}."

    print(_inside(work))


@tenant.command(name="create")
def create_tenant(name: Annotated[str, Parameter(name="NAME")], /) -> None:
    """Make a further tenant and print its SID."""
    called = _name(name, "NAME")

    async def work(here: Installation) -> str:
        return (await here.context.store.run(make_tenant(here.context, called))).sid

    print(_inside(work))


@app.command
def migrate() -> None:
    """Bring the database to this version's tables."""
    telemetry.configure("critical")
    before = _run(migrated(_config(), _say))
    print("The database is up to date." if before == "current" else "The database was migrated.")


@app.command
def route(to: Annotated[str, Parameter(name="NUMBER")], /, *, tenant: TenantSid = None) -> None:
    """Tell what the saved sender policy does with a number, and why; sends nothing."""
    recipient = _recipient(to)

    async def work(here: Installation) -> str:
        own = await _tenant(here, tenant)
        taken, others = await explain_saved_route(here.context, own.sid, recipient)
        if isinstance(taken, NoRoute):
            raise Mistake(f"Nothing is sent to {recipient.e164}: {taken.reason}")
        told = (
            f"service  {taken.service}\naccount  {taken.account_sid or '-'}\n"
            f"origin   {taken.origin}\nreason   {taken.reason}"
        )
        stand_ins = [f"\nfallback {name_sender(way.route)} from {way.route.origin}" for way in others]
        return told + "".join(stand_ins)

    print(_inside(work))


@app.command(name="send-test")
def send_test(
    to: Annotated[str, Parameter(name="NUMBER")],
    /,
    *,
    text: Annotated[str, Parameter(help="What to send.")] = "This is a test message from Otpost.",
    tenant: TenantSid = None,
) -> None:
    """Send a text through the saved sender policy and the outbox, and tell what became of it."""
    from otpost.sending import send_and_wait

    recipient = _recipient(to)
    try:
        text = read_text(text)
    except TextRefused as refused:
        raise Mistake(f"--text: {refused.message}") from None
    telemetry.configure("critical")
    told = _run(send_and_wait(_config(), tenant, recipient, text))
    if not told.well:
        raise Mistake(told.words)
    print(told.words)


@app.command
def doctor() -> None:
    """Check configuration, key ring, database and sender policy, each with a remedy."""
    from otpost.doctor import examine

    telemetry.configure("critical")
    findings = _run(examine(os.environ))
    for finding in findings:
        print(f"{finding.level:<4}  {finding.what}{f'  → {finding.remedy}' if finding.remedy else ''}")
    failures = sum(finding.level == "FAIL" for finding in findings)
    if failures:
        raise Mistake(f"{failures} of {len(findings)} checks failed: the lines marked FAIL say what to do.")


@app.command
def bench(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Run the benchmark suite of a source checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "bench" / "__main__.py").is_file():
        raise Mistake("The benchmark suite is part of the source checkout: run `otpost bench` from its .venv.")
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "bench", *arguments])  # noqa: S606  # our own suite


def _config() -> Config:
    return config.read(os.environ)


def _say(line: str) -> None:
    print(line, flush=True)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _inside(work: Callable[[Installation], Coroutine[Any, Any, T]]) -> T:
    """Do some work in the opened installation, quietly: what goes wrong is told in one line."""
    telemetry.configure("critical")

    async def all_of_it() -> T:
        async with opened(_config(), make=False) as here:
            return await work(here)

    return _run(all_of_it())


async def _tenant(here: Installation, named: str | None) -> Tenant:
    if named is None:
        return here.tenant
    plain = compact(named)
    found = await here.context.store.get(TENANTS, plain) if sid.is_sid(plain, sid.TENANT) else None
    if found is None:
        raise Mistake(f"--tenant: there is no tenant {named}: `otpost tenant create NAME` prints a new one's SID.")
    return found


def _recipient(text: str) -> PhoneNumber:
    try:
        return parse_recipient(text)
    except NumberRefused as refused:
        raise Mistake(f"NUMBER: {refused.message}") from None


def _name(text: str, option: str) -> str:
    try:
        if name := read_line(text, NAME_LENGTH):
            return name
    except TextRefused as refused:
        raise Mistake(f"{option}: {refused.message}") from None
    raise Mistake(f"{option}: give a name of 1 to {NAME_LENGTH} characters on one line.")


def _password(*, from_stdin: bool) -> str:
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


def _hashed(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)


def _told(error: BaseException) -> str:
    """An error as one line."""
    match error:
        case Refusal():
            return " ".join(dict.fromkeys([wrong.message for wrong in error.errors] or [error.detail]))
        case OutboundRefused():
            return error.reason
        case _:
            return " ".join(str(error).split())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command: exit code 0, or another with one line on stderr that says what to do."""
    os.umask(0o077)
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        _end(f"{_told(error)} (`otpost --help` lists the commands.)", 2)
    except (Mistake, ConfigError, NotReady, KeyRingError, Refusal, OutboundRefused) as error:
        _end(_told(error), 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("OTPOST_LOG_LEVEL", "").lower() == "debug":
            traceback.print_exc()
        what = f"{type(error).__name__}: {telemetry.mask(_told(error))}"
        _end(f"Otpost failed inside ({what}): please report it, with what OTPOST_LOG_LEVEL=debug shows.", 70)
    sys.exit(0)


def _end(line: str, code: int) -> NoReturn:
    print(f"otpost: {line}", file=sys.stderr)
    sys.exit(code)

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
import pwd
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from otpost import cli, config
from otpost.domain.errors import Unauthenticated
from otpost.domain.limits import NumberLimits
from otpost.domain.policy import CALLBACKS_REFUSED, Breaker, Notice, Policy
from otpost.installation import Installation, NotReady, opened
from otpost.services.tenants.keys import prove_key
from otpost.services.tenants.sign_in import find_link
from otpost.store import tables
from otpost.store.base import rows_of
from otpost.store.kinds import AUDIT, BREAKERS, NOTICES, NUMBER_LIMITS, POLICIES, TENANTS, USERS
from otpost.store.units import Rows, Unit

OTPOST = [sys.executable, "-m", "otpost"]
NUMBER = "+15005550006"
MAKE_OR_LOOK = ("serve", "demo", "doctor", "migrate")
"""All other commands are called as they are in a tour: after the first start of the service."""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Otpost = Callable[..., Ended]


@pytest.fixture
def environment(tmp_path: Path, free_port: int) -> dict[str, str]:
    return {"OTPOST_DATA": str(tmp_path / "data"), "OTPOST_LISTEN": f"127.0.0.1:{free_port}"}


@pytest.fixture
def otpost(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Otpost]:
    """A command as the terminal runs it, in this process: `otpost("key", "create", …, stdin="…")`."""
    before = os.umask(0o077)

    def run(*arguments: str, stdin: str = "") -> Ended:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if arguments[0] not in MAKE_OR_LOOK and not Path(environment["OTPOST_DATA"]).exists():
            with contextlib.suppress(config.ConfigError, NotReady):
                inside(environment, nothing)
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    yield run
    os.umask(before)


async def nothing(here: Installation) -> None:
    pass


def inside(environment: dict[str, str], work: Callable[[Installation], Any]) -> Any:
    """What `work` answers, in the opened installation."""

    async def run() -> Any:
        async with opened(config.read(environment)) as here:
            return await work(here)

    return asyncio.run(run())


async def save_sandbox(here: Installation) -> None:
    policy = Policy(here.tenant.sid, 1, "sandbox", incomplete=False, updated_at=1)

    def decide(rows: Rows) -> None:
        rows.get(POLICIES, here.tenant.sid)
        rows.put(POLICIES, policy)

    await here.context.store.run(Unit(decide))


def test_a_key_is_printed_as_sid_and_secret_on_one_line(otpost: Otpost, environment: dict[str, str]) -> None:
    ended = otpost("key", "create", "--scope", "admin", "--name", "ops")
    assert (ended.code, ended.err) == (0, "")
    match = re.fullmatch(r"(SK[0-9a-f]{32}) ([A-Za-z0-9_-]{32})\n", ended.out)
    assert match is not None

    async def work(here: Installation) -> None:
        principal = await prove_key(here.context, {}, match[1], match[2])
        assert (principal.key.scope, principal.key.application, principal.key.name) == ("admin", None, "ops")
        lines = await rows_of(here.context.store, AUDIT, select(*tables.audit.columns))
        assert [(line.who, line.what) for line in lines] == [("command line", "key made")]
        assert match[2] not in repr(lines)

    inside(environment, work)


def test_a_verify_key_is_the_default_applications_unless_another_is_named(
    otpost: Otpost, environment: dict[str, str]
) -> None:
    async def application(here: Installation) -> str:
        return here.tenant.default_application

    default = inside(environment, application)
    plain = otpost("key", "create", "--scope", "verify").out.split()
    named = otpost("key", "create", "--scope", "verify", "--application", default).out.split()

    async def work(here: Installation) -> None:
        for key, secret in (plain, named):
            principal = await prove_key(here.context, {}, key, secret)
            assert (principal.key.scope, principal.key.application) == ("verify", default)

    inside(environment, work)


def test_keys_are_listed_and_revoked(otpost: Otpost, environment: dict[str, str]) -> None:
    admin, secret = otpost("key", "create", "--scope", "admin", "--name", "ops").out.split()
    verify, _ = otpost("key", "create", "--scope", "verify").out.split()
    tenant = otpost("tenant", "create", "acme").out.strip()
    listed = otpost("key", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == [verify, admin]
    assert re.fullmatch(
        rf"{admin}  in force  admin +made \d{{4}}-\d\d-\d\d \d\d:\d\dZ by command line  used never  ops", listed[1]
    )
    assert [line.split()[0] for line in otpost("key", "list", "--scope", "admin").out.splitlines()] == [admin]
    assert otpost("key", "list", "--tenant", tenant).out == ""
    assert otpost("key", "revoke", admin, "--tenant", tenant).err == (
        f"otpost: KEY: there is no key {admin} in force: `otpost key list` shows them.\n"
    )
    assert otpost("key", "revoke", admin) == Ended(0, f"{admin} is revoked. It counts at once.\n", "")
    assert otpost("key", "revoke", admin).code == 1
    assert "revoked" in otpost("key", "list").out.splitlines()[1]

    async def work(here: Installation) -> None:
        with pytest.raises(Unauthenticated):
            await prove_key(here.context, {}, admin, secret)

    inside(environment, work)


def test_a_link_lets_a_user_in_again_who_is_there_already(otpost: Otpost, environment: dict[str, str]) -> None:
    otpost("user", "create", "--name", "ada", "--password-stdin", stdin="correct horse battery\n")
    ended = otpost("user", "link", "ada")
    match = re.fullmatch(r"http://127\.0\.0\.1:\d+/sign-in\?link=([A-Za-z0-9_-]{43})\n", ended.out)
    assert match is not None, ended
    assert otpost("user", "link", "eve") == Ended(
        1, "", "otpost: NAME: there is no user 'eve': `otpost user create --name NAME --link` makes one.\n"
    )

    async def work(here: Installation) -> None:
        found = await find_link(here.context, match[1])
        assert found.user is not None
        assert found.user.name == "ada"

    inside(environment, work)


def test_a_key_of_another_tenant_belongs_to_it(otpost: Otpost, environment: dict[str, str]) -> None:
    tenant = otpost("tenant", "create", "acme").out.strip()
    key, secret = otpost("key", "create", "--scope", "admin", "--tenant", tenant).out.split()

    async def work(here: Installation) -> tuple[str, str]:
        own = await here.context.store.get(TENANTS, tenant)
        assert own is not None
        assert (await prove_key(here.context, {}, key, secret)).tenant == own
        return own.name, here.tenant.default_application

    name, foreign = inside(environment, work)
    assert name == "acme"
    refused = otpost("key", "create", "--scope", "verify", "--tenant", tenant, "--application", foreign)
    assert refused.code == 1
    assert f"there is no application {foreign}" in refused.err


def test_a_user_is_made_with_a_password_from_standard_input(otpost: Otpost, environment: dict[str, str]) -> None:
    ended = otpost("user", "create", "--name", "ada", "--password-stdin", stdin="correct horse\n")
    assert (ended.code, ended.out) == (0, "User ada is made.\n")

    async def work(here: Installation) -> None:
        (ada,) = await here.context.store.find(USERS, "name", "ada")
        assert ada.password is not None
        assert PasswordHasher().verify(ada.password, "correct horse")

    inside(environment, work)


def test_a_user_may_choose_the_password_through_a_one_time_link(otpost: Otpost, environment: dict[str, str]) -> None:
    environment["OTPOST_PUBLIC_URL"] = "https://otp.example.com/"
    ended = otpost("user", "create", "--name", "ada", "--link")
    assert re.fullmatch(r"https://otp\.example\.com/sign-in\?link=[A-Za-z0-9_-]{43}\n", ended.out)

    async def work(here: Installation) -> None:
        (ada,) = await here.context.store.find(USERS, "name", "ada")
        ((user, expires_at),) = await here.context.store.select(
            select(tables.sign_in_links.c.user, tables.sign_in_links.c.expires_at)
        )
        assert (user, ada.password) == (ada.sid, None)
        assert 3_590_000 < expires_at - here.context.clock() <= 3_600_000

    inside(environment, work)


def test_a_locked_number_is_unlocked_however_it_is_written(otpost: Otpost, environment: dict[str, str]) -> None:
    async def locked(here: Installation) -> None:
        row = NumberLimits(here.tenant.default_application, NUMBER, here.tenant.sid, until=0, locked_at=1)
        await here.context.store.run(Unit(lambda rows: rows.put(NUMBER_LIMITS, row)))

    inside(environment, locked)
    assert otpost("number", "unlock", "+1 (500) 555-0006") == Ended(0, f"{NUMBER} is unlocked.\n", "")
    assert otpost("number", "unlock", NUMBER) == Ended(1, "", "otpost: This number is not locked.\n")


def test_route_tells_what_the_saved_policy_does(otpost: Otpost, environment: dict[str, str]) -> None:
    assert otpost("route", NUMBER).code == 1
    inside(environment, save_sandbox)
    assert otpost("route", NUMBER) == Ended(
        0,
        "service  sandbox\naccount  -\norigin   Sandbox\n"
        "reason   The sandbox is the chosen service: the text goes to its inbox, not to a phone.\n",
        "",
    )


def test_send_test_sends_by_itself_where_no_service_runs(otpost: Otpost, environment: dict[str, str]) -> None:
    inside(environment, save_sandbox)
    ended = otpost("send-test", NUMBER)
    assert ended.code == 0, ended.err
    assert re.fullmatch(
        r"Sandbox accepted the text \(SM[0-9a-f]{32}, from Sandbox\): accepted\. It lies on the sandbox phone: .*\n",
        ended.out,
    )

    async def nodes(here: Installation) -> list[tuple[Any, ...]]:
        return await here.context.store.select(select(tables.nodes.c.sid))

    assert inside(environment, nodes) == []


def test_send_test_tells_in_one_line_why_nothing_left(otpost: Otpost, environment: dict[str, str]) -> None:
    ended = otpost("send-test", NUMBER)
    assert ended == Ended(
        1, "", "otpost: No sender service is ready; choose one and fill in its settings in the sender policy.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["frob"], 2, 'Unknown command "frob".'),
        (["key", "create"], 2, "--scope requires an argument."),
        (["key", "create", "--scope", "root"], 2, 'Invalid value "root" for --scope.'),
        (["key", "create", "--scope", "admin", "extra"], 2, "Unused Tokens"),
        (["key", "create", "--scop", "admin"], 2, "Did you mean --scope instead of --scop?"),
        (["key", "create", "--scope", "admin", "--application", "VA1"], 1, "leave --application out"),
        (["key", "create", "--scope", "verify", "--application", "x"], 1, "there is no application x"),
        (["key", "create", "--scope", "admin", "--tenant", "AC1"], 1, "there is no tenant AC1"),
        (["key", "create", "--scope", "admin", "--name", "x" * 65], 1, "--name: The name has at most 64 characters."),
        (["user", "create"], 2, "--name requires an argument."),
        (["user", "create", "--name", " "], 1, "--name: give a name of 1 to 64 characters"),
        (["user", "create", "--name", "a\nb"], 1, "--name: The name is one line. Remove U+000A (a line break)"),
        (["user", "create", "--name", "ada"], 1, "use --password-stdin or --link."),
        (["user", "create", "--name", "ada", "--password-stdin"], 1, "The password needs 10 to 1000 characters"),
        (["user", "create", "--name", "ada", "--link", "--password-stdin"], 1, "exclude each other"),
        (["tenant", "create"], 2, "NAME requires an argument."),
        (["tenant", "create", ""], 1, "NAME: give a name of 1 to 64 characters"),
        (["tenant", "create", "default"], 1, "There is a tenant named 'default' already."),
        (["number", "unlock", "abc"], 1, "NUMBER: Write the number in digits"),
        (["route", "12"], 1, "NUMBER: Put the dialing code in front"),
        (["send-test", "+49"], 1, "NUMBER: "),
        (["send-test", NUMBER, "--text", "a\x1bb"], 1, "--text: Remove U+001B (ESCAPE), a control character."),
        (["send-test", NUMBER, "--text", "a\u202eb"], 1, "--text: Remove U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        (["send-test", NUMBER, "--text", " "], 1, "--text: Write the text that is to be sent."),
    ],
)
def test_what_a_command_cannot_do_is_told_in_one_line(
    otpost: Otpost, arguments: list[str], code: int, said: str
) -> None:
    ended = otpost(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.startswith("otpost: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["key", "create", "--scope", "admin"], ["demo", "--exit"]])
def test_every_command_refuses_an_environment_that_makes_no_sense(
    otpost: Otpost, environment: dict[str, str], command: list[str]
) -> None:
    environment["OTPOST_LOG_LEVEL"] = "loud"
    assert otpost(*command) == Ended(1, "", "otpost: OTPOST_LOG_LEVEL has to be one of debug, info, warning, error.\n")
    assert not Path(environment["OTPOST_DATA"]).exists()


def test_no_file_of_a_new_installation_is_readable_by_others(otpost: Otpost, environment: dict[str, str]) -> None:
    otpost("key", "create", "--scope", "admin")
    folder = Path(environment["OTPOST_DATA"])
    assert {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())} == {
        "data": 0o700,
        "keyring": 0o600,
        "otpost.db": 0o600,
        "otpost.lock": 0o600,
    }


def test_a_key_ring_that_others_may_read_is_refused(otpost: Otpost, environment: dict[str, str]) -> None:
    otpost("key", "create", "--scope", "admin")
    ring = Path(environment["OTPOST_DATA"]) / "keyring"
    ring.chmod(0o644)
    said = f"{ring} can be read by others (mode 644): run `chmod 600 {ring}`."
    assert otpost("key", "create", "--scope", "admin") == Ended(1, "", f"otpost: {said}\n")
    doctor = otpost("doctor")
    assert doctor.code == 1
    assert f"FAIL  key ring: cannot be used  → {said}\n" in doctor.out


def test_a_lost_key_ring_is_not_made_anew(otpost: Otpost, environment: dict[str, str]) -> None:
    otpost("key", "create", "--scope", "admin")
    ring = Path(environment["OTPOST_DATA"]) / "keyring"
    line = ring.read_text()
    ring.unlink()
    ended = otpost("key", "create", "--scope", "admin")
    assert ended.code == 1
    assert "There is no key ring, but the database was written with the key k1: copy the key ring" in ended.err
    assert not ring.exists()
    environment["OTPOST_MASTER_KEY"] = line.strip()
    assert otpost("key", "create", "--scope", "admin").code == 0


def test_a_database_of_a_newer_version_is_refused(otpost: Otpost, environment: dict[str, str]) -> None:
    otpost("key", "create", "--scope", "admin")
    with sqlite3.connect(Path(environment["OTPOST_DATA"]) / "otpost.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for command in (["key", "create", "--scope", "admin"], ["serve"], ["migrate"]):
        ended = otpost(*command)
        assert ended.code == 1
        assert "was written by a newer Otpost; install that version, or restore an older backup." in ended.err
    assert "FAIL  migrations: " in otpost("doctor").out


def test_a_file_that_is_no_database_is_refused(otpost: Otpost, environment: dict[str, str]) -> None:
    folder = Path(environment["OTPOST_DATA"])
    folder.mkdir(mode=0o700)
    (folder / "otpost.db").write_text("not a database, but a text that is long enough to be looked at" * 20)
    ended = otpost("key", "create", "--scope", "admin")
    assert ended.code == 1
    assert ended.err == (
        f"otpost: The database {folder / 'otpost.db'} cannot be used (file is not a database): check its owner and its "
        "disk, and that it is Otpost's.\n"
    )
    assert ended.err.count("\n") == 1


def test_a_server_that_does_not_answer_is_told_without_its_password(
    otpost: Otpost, environment: dict[str, str], free_port: int
) -> None:
    environment["OTPOST_DATABASE_URL"] = f"postgresql://otpost:marker@127.0.0.1:{free_port}/otpost"
    ended = otpost("key", "create", "--scope", "admin")
    assert ended.code == 1
    assert "The database cannot be used (" in ended.err
    assert "check OTPOST_DATABASE_URL" in ended.err
    assert ended.err.count("\n") == 1
    assert "marker" not in ended.err
    doctor = otpost("doctor")
    assert "FAIL  database: cannot be used" in doctor.out
    assert "marker" not in doctor.out


def test_a_database_on_a_server_is_migrated_by_command_alone(
    otpost: Otpost, environment: dict[str, str], postgres_url: str
) -> None:
    environment["OTPOST_DATABASE_URL"] = postgres_url
    for command in (["key", "create", "--scope", "admin"], ["serve"]):
        ended = otpost(*command)
        assert (ended.code, ended.err) == (1, "otpost: The database has no tables yet: run `otpost migrate`.\n")
    assert "FAIL  migrations: " in otpost("doctor").out
    assert otpost("migrate") == Ended(0, "The database was migrated.\n", "")
    assert otpost("migrate") == Ended(0, "The database is up to date.\n", "")
    assert otpost("key", "create", "--scope", "admin").code == 0
    assert "FAIL" not in otpost("doctor").out


def test_a_second_node_with_a_key_ring_of_its_own_is_refused(
    otpost: Otpost, environment: dict[str, str], postgres_url: str, tmp_path: Path
) -> None:
    environment["OTPOST_DATABASE_URL"] = postgres_url
    otpost("migrate")
    assert otpost("key", "create", "--scope", "admin").code == 0
    environment["OTPOST_DATA"] = str(tmp_path / "second")
    ended = otpost("key", "create", "--scope", "admin")
    assert "There is no key ring, but the database was written with the key k1" in ended.err
    assert not (tmp_path / "second").exists()


def test_doctor_names_a_remedy_for_everything_that_is_not_ok(otpost: Otpost, environment: dict[str, str]) -> None:
    before = otpost("doctor")
    assert before.code == 0
    assert not Path(environment["OTPOST_DATA"]).exists()
    for what in ("public URL", "data directory", "database", "key ring"):
        assert re.search(rf"^warn  {what}: .*  → .+$", before.out, re.MULTILINE), what
    inside(environment, nothing)
    environment["OTPOST_PUBLIC_URL"] = "https://otp.example.com"
    after = otpost("doctor")
    assert re.findall(r"^(\S+) +(.*?):", after.out, re.MULTILINE) == [
        ("ok", "configuration"),
        ("ok", "public URL"),
        ("ok", "data directory"),
        ("ok", "database"),
        ("ok", "migrations"),
        ("ok", "clock"),
        ("ok", "key ring"),
        ("warn", "sender policy"),
        ("warn", "users"),
    ]


@contextlib.contextmanager
def as_another_user(folder: Path) -> Iterator[None]:
    """Meanwhile this process may not look into the folder."""
    if os.geteuid() == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        yield
        os.seteuid(0)
    else:
        folder.chmod(0)
        yield
        folder.chmod(0o700)


def test_doctor_run_as_another_user_says_so(otpost: Otpost, environment: dict[str, str]) -> None:
    inside(environment, nothing)
    data = Path(environment["OTPOST_DATA"])
    with as_another_user(data):
        told = otpost("doctor")
    assert told.code == 1
    (folder,) = re.findall(r"^FAIL  data directory: (.+)$", told.out, re.MULTILINE)
    assert str(data) in folder
    assert "run the command as" in folder or "chmod" in folder
    assert re.search(r"^FAIL  database: \S+ cannot look at .* → run the command as the user", told.out, re.MULTILINE)


def test_a_file_of_another_user_is_told_with_its_owner(otpost: Otpost, environment: dict[str, str]) -> None:
    # Above the folders of a test there are some that nobody else may pass.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        data = Path(folder)
        environment["OTPOST_DATA"] = folder
        inside(environment, nothing)
        file = data / "otpost.db"
        file.chmod(0o400)
        if os.geteuid() == 0:
            os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
            with as_another_user(data):
                told = otpost("doctor")
            assert f"FAIL  database: {file} belongs to root and cannot be written to by nobody" in told.out
            assert f"run the command as root, or, where Otpost runs as nobody, `chown -R nobody {file}`" in told.out
        else:
            told = otpost("doctor")
            assert f"FAIL  database: {file} may not be written to by its owner" in told.out
        assert told.code == 1


def test_doctor_says_that_the_database_is_damaged(otpost: Otpost, environment: dict[str, str]) -> None:
    inside(environment, nothing)
    file = Path(environment["OTPOST_DATA"]) / "otpost.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    told = otpost("doctor")
    assert told.code == 1
    assert re.search(
        rf"^FAIL  database: {file} is damaged \(.+\)  → stop Otpost, keep the file aside, and restore the last backup$",
        told.out,
        re.MULTILINE,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("key", "create", "--scope", "admin"),
        ("key", "list"),
        ("user", "create", "--name", "ada", "--link"),
        ("number", "unlock", NUMBER),
        ("tenant", "create", "other"),
        ("route", NUMBER),
        ("send-test", NUMBER),
        ("migrate",),
    ],
    ids=" ".join,
)
def test_a_command_that_looks_in_the_wrong_place_makes_nothing_and_says_where_it_looked(
    otpost: Otpost, environment: dict[str, str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    wrong = tmp_path / "wrong"
    environment["OTPOST_DATA"] = str(wrong)
    wrong.mkdir(mode=0o700)
    ended = otpost(*command)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"otpost: There is no installation in {wrong}: `otpost serve` makes one. If yours lies elsewhere, name its "
        "place in OTPOST_DATA.\n"
    )
    assert list(wrong.iterdir()) == []


def test_doctor_fails_on_a_policy_that_is_not_complete(otpost: Otpost, environment: dict[str, str]) -> None:
    async def unfinished(here: Installation) -> None:
        await save_sandbox(here)
        await here.context.store.sweep(update(tables.policies).values(sender_service="twilio", incomplete=True))

    inside(environment, unfinished)
    ended = otpost("doctor")
    assert ended.code == 1
    assert "FAIL  sender policy: Twilio is not complete  → twilio.account_sid: " in ended.out


def test_doctor_tells_that_callbacks_are_refused_and_forgets_it_with_the_address(
    otpost: Otpost, environment: dict[str, str]
) -> None:
    environment["OTPOST_PUBLIC_URL"] = "https://otp.example.com"

    async def refused(here: Installation) -> None:
        notice = Notice(here.tenant.sid, CALLBACKS_REFUSED, "twilio", 1, 2, "https://otp.example.com", "No.")
        await here.context.store.run(Unit(lambda rows: rows.put(NOTICES, notice)))

    inside(environment, refused)
    told = otpost("doctor")
    assert told.code == 0
    assert re.search(
        "^warn  callbacks: Callbacks to https://otp.example.com are refused. No. .* "
        "→ OTPOST_PUBLIC_URL must be a public https address, like",
        told.out,
        re.MULTILINE,
    )
    environment["OTPOST_PUBLIC_URL"] = "https://other.example.com"
    assert "callbacks" not in otpost("doctor").out


def test_doctor_tells_which_account_is_left_alone_until_the_policy_is_saved_again(
    otpost: Otpost, environment: dict[str, str]
) -> None:
    async def opens(here: Installation) -> None:
        await save_sandbox(here)
        tenant, account = here.tenant.sid, "AC" + "a" * 32
        breaker = Breaker(
            lane=f"{tenant}:twilio:{account}",
            tenant=tenant,
            service="twilio",
            account_sid=account,
            revision=1,
            reason="credentials_refused",
            detail="Twilio did not accept the account SID and token.",
            failures=5,
            opened_at=1_800_000_000_000,
            probe_at=1_800_000_005_000,
        )
        await here.context.store.run(Unit(lambda rows: rows.put(BREAKERS, breaker)))

    inside(environment, opens)
    assert (
        f"warn  circuit breaker: Twilio AC{'a' * 32} is left alone since 2027-01-15 08:00:00 UTC: "
        "Twilio did not accept the account SID and token.  → The service does not accept the account's credentials."
    ) in otpost("doctor").out

    async def saved_again(here: Installation) -> None:
        await here.context.store.sweep(update(tables.policies).values(revision=2, updated_at=2))

    inside(environment, saved_again)
    assert "circuit breaker" not in otpost("doctor").out


def test_doctor_tells_everything_that_is_wrong_with_the_environment(
    otpost: Otpost, environment: dict[str, str]
) -> None:
    environment |= {"OTPOST_LISTN": "x", "OTPOST_ROLES": "x"}
    ended = otpost("doctor")
    assert ended.code == 1
    assert [line[:4] for line in ended.out.splitlines()] == ["FAIL", "FAIL"]
    assert ended.err == "otpost: 2 of 2 checks failed: the lines marked FAIL say what to do.\n"


def service(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*OTPOST, *(arguments or ("serve",))],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def logged(err: str) -> list[str]:
    """The sentences of a service's log."""
    return [msgspec.json.decode(line)["event"] for line in err.splitlines()]


@pytest.mark.process
def test_a_service_serves_refuses_a_second_one_and_stops_when_told(
    otpost: Otpost, environment: dict[str, str], tmp_path: Path, free_port: int
) -> None:
    inside(environment, save_sandbox)
    with service(environment) as running:
        assert running.stdout is not None
        try:
            url = f"http://{environment['OTPOST_LISTEN']}"
            assert running.stdout.readline() == f"Otpost 0.1.0 listens on {url} as api, console, messaging.\n"
            assert running.stdout.readline() == (
                "There is no user yet. `otpost user create --name NAME --link` makes one and prints a link.\n"
            )
            with urllib.request.urlopen(f"{url}/readyz") as answer:
                assert answer.status == 200
                assert answer.headers["server"] is None

            second = otpost("serve")
            assert second.code == 1
            assert "Another otpost is serving" in second.err
            elsewhere = {**environment, "OTPOST_DATA": str(tmp_path / "other")}
            with service(elsewhere) as third:
                told = third.communicate()
            assert (third.returncode, told[0]) == (1, "")
            assert told[1] == (
                f"otpost: OTPOST_LISTEN: {environment['OTPOST_LISTEN']} cannot be listened on "
                "(Address already in use): choose another address or port.\n"
            )

            key, secret = otpost("key", "create", "--scope", "admin").out.split()
            request = urllib.request.Request(
                f"{url}/v1/sender-policy", headers={"Authorization": f"Bearer {key}.{secret}"}
            )
            with urllib.request.urlopen(request) as answer:
                assert msgspec.json.decode(answer.read())["sender_service"] == "sandbox"
            sent = otpost("send-test", NUMBER)
            assert sent.code == 0, sent.err
            assert "Sandbox accepted the text" in sent.out
        finally:
            running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert out == "Otpost stops: requests under way and texts in flight come to their end.\n"
    assert logged(err) == [
        f"started: Otpost 0.1.0 listens on {url} as api, console, messaging",
        "stopping: requests under way and texts in flight come to their end",
        "stopped",
    ]


def test_only_a_terminal_is_shown_the_link_for_the_first_user(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*OTPOST, "serve"], env={**os.environ, **environment}, stdout=theirs, stderr=subprocess.PIPE
    ) as running:
        os.close(theirs)
        told = b""
        while b"sign-in?link=" not in told or not told.endswith(b"\n"):
            told += os.read(ours, 4096)
        running.send_signal(signal.SIGTERM)
        assert running.stderr is not None
        assert "link" not in running.stderr.read().decode()
    os.close(ours)
    url = f"http://{environment['OTPOST_LISTEN']}"
    assert re.search(rf"Make the first one within the hour: {url}/sign-in\?link=[\w-]{{43}}\s", told.decode())


@pytest.mark.process
def test_ctrl_c_ends_the_service_quietly(environment: dict[str, str]) -> None:
    with service(environment) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert [line.partition(":")[0] for line in logged(err)] == ["started", "stopping", "stopped"]


@pytest.mark.process
def test_metrics_are_open_on_a_listener_of_their_own(environment: dict[str, str], tmp_path: Path) -> None:
    host, _, port = environment["OTPOST_LISTEN"].partition(":")
    environment["OTPOST_METRICS_LISTEN"] = f"{host}:{int(port) + 1}"
    environment["OTPOST_ROLES"] = "messaging"
    with service(environment) as running:
        assert running.stdout is not None
        try:
            assert "as messaging." in running.stdout.readline()
            metrics = f"http://{environment['OTPOST_METRICS_LISTEN']}/metrics"
            assert running.stdout.readline() == f"Metrics are open on {metrics}.\n"
            with urllib.request.urlopen(metrics) as answer:
                assert b"otpost_build" in answer.read()
            with urllib.request.urlopen(f"http://{environment['OTPOST_LISTEN']}/readyz") as answer:
                assert msgspec.json.decode(answer.read()) == {"status": "ready"}
        finally:
            running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert [line.partition(":")[0] for line in logged(err)] == ["started", "stopping", "stopped"]
    assert "sign-in" not in out

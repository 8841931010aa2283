"""What `otpost doctor` looks at, and the remedy for each thing that is wrong."""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
from collections.abc import AsyncIterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from otpost import config
from otpost.config import Config, ConfigError
from otpost.domain import errors
from otpost.domain.access import KeyCheck
from otpost.domain.outcome import REASONS
from otpost.domain.policy import Policy
from otpost.installation import NotReady, key_checks, lacks_ring, read_ring, state_of, store_of
from otpost.senders.registry import find_services, list_problems
from otpost.senders.settings import SecretRef, load
from otpost.services.keyring import judge_key_ring
from otpost.services.policy.callbacks import too_long
from otpost.services.policy.plan import lacking, ref_of
from otpost.store import clocks
from otpost.store.base import Store, list_rows
from otpost.store.clocks import DatabaseClock, Ticks
from otpost.store.kinds import BREAKERS, NOTICES, POLICIES, SECRETS, TENANTS, USERS
from otpost.store.sqlite import damage

Level = Literal["ok", "warn", "FAIL"]

_NOT_THERE: Final = "the first `otpost serve` makes it; if yours lies elsewhere, name its directory in OTPOST_DATA"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` says what to do unless it is ok."""

    level: Level
    what: str
    remedy: str = ""


async def examine(environment: Mapping[str, str], *, wall: Ticks = clocks.wall) -> list[Finding]:
    """Look at everything without changing anything and without calling any sender service."""
    try:
        chosen = config.read(environment)
    except ConfigError as error:
        return [Finding("FAIL", f"configuration: {problem}", "correct the environment") for problem in error.problems]
    findings = [Finding("ok", f"configuration: listens on {chosen.listen} as {', '.join(sorted(chosen.roles))}")]
    findings += _public_url(chosen)
    findings += _folder(chosen)
    findings += [finding async for finding in _database(chosen, wall)]
    return findings


def _public_url(chosen: Config) -> list[Finding]:
    if chosen.public_url is None:
        return [
            Finding(
                "warn",
                "public URL: not set, so that delivery reports are fetched and come late, and links name this machine",
                "set OTPOST_PUBLIC_URL to the address under which Otpost is reached, like https://otp.example.com",
            )
        ]
    if chosen.public_url.startswith("http://"):
        return [Finding("warn", f"public URL: {chosen.public_url} is not encrypted", "serve it over https://")]
    return [Finding("ok", f"public URL: {chosen.public_url}")]


def _folder(chosen: Config) -> list[Finding]:
    folder = chosen.data
    try:
        mode = folder.stat().st_mode & 0o777
    except FileNotFoundError:
        if chosen.database_file is None and chosen.master_key is not None:
            return []
        return [Finding("warn", f"data directory: {folder} is not there yet", _NOT_THERE)]
    except OSError as error:
        return [_not_seen("data directory", folder, error)]
    if (finding := _not_writable("data directory", folder)) is not None:
        return [finding]
    if mode & 0o077:
        return [Finding("warn", f"data directory: others read {folder} (mode {mode:o})", f"run `chmod 700 {folder}`")]
    return [Finding("ok", f"data directory: {folder}")]


async def _database(chosen: Config, wall: Ticks) -> AsyncIterator[Finding]:
    file = chosen.database_file
    if file is not None:
        try:
            file.stat()
        except FileNotFoundError:
            yield Finding("warn", f"database: {file} is not there yet", _NOT_THERE)
            yield _ring(chosen, [])
            return
        except OSError as error:
            yield _not_seen("database", file, error)
            return
        if (finding := _not_writable("database", file) or await _damaged(file)) is not None:
            yield finding
            return
    try:
        state = await state_of(chosen)
    except NotReady as error:
        yield Finding("FAIL", "database: cannot be used", str(error))
        return
    yield Finding("ok", f"database: {file or 'PostgreSQL'} answers")
    match state:
        case "current":
            yield Finding("ok", "migrations: the tables are those of this version")
        case "newer":
            yield Finding(
                "FAIL",
                "migrations: the database was written by a newer Otpost",
                "install that version, or restore an older backup",
            )
            return
        case "empty" | "behind" if file is not None:
            yield Finding("warn", "migrations: the tables are older than this version", "`otpost serve` migrates them")
            return
        case _:
            yield Finding("FAIL", "migrations: the tables are not those of this version", "run `otpost migrate`")
            return
    store = store_of(chosen)
    try:
        await store.open()
    except (errors.Unavailable, sqlite3.Error, OSError) as error:
        yield Finding("FAIL", "database: cannot be opened", str(error))
        return
    try:
        yield await _clock(store, wall)
        yield _ring(chosen, list(await key_checks(store)))
        async for finding in _policies(store):
            yield finding
        for finding in [*await _notices(store, chosen.public_url), *await _breakers(store)]:
            yield finding
        if "console" in chosen.roles and not await list_rows(store, USERS, limit=1):
            yield Finding("warn", "users: there is none, so that nobody can sign in", "run `otpost user create`")
    except errors.Unavailable as refusal:
        yield Finding("FAIL", "database: cannot be read", refusal.detail)
    finally:
        await store.close()


async def _clock(store: Store, wall: Ticks) -> Finding:
    time = DatabaseClock(wall)
    await time.learn(store)
    if (sentence := time.sentence) is None:
        return Finding("ok", "clock: this machine's clock goes with the database's")
    remedy = "have NTP set the clock of this machine and of the database's; times are kept by the database's"
    return Finding("warn", f"clock: {sentence[0].lower()}{sentence[1:].rstrip('.')}", remedy)


def _not_seen(what: str, path: Path, error: OSError) -> Finding:
    remedy = (
        "run the command as the user that Otpost runs as" if isinstance(error, PermissionError) else "check the disk"
    )
    return Finding("FAIL", f"{what}: {_me()} cannot look at {path} ({error.strerror})", remedy)


def _not_writable(what: str, path: Path) -> Finding | None:
    if os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True):
        return None
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return Finding("FAIL", f"{what}: {path} lies on a disk that is read-only", "mount it for writing")
    owner, me = _name(path.stat().st_uid), _me()
    if owner == me:
        return Finding("FAIL", f"{what}: {path} may not be written to by its owner", f"run `chmod -R u+rwX {path}`")
    remedy = f"run the command as {owner}, or, where Otpost runs as {me}, `chown -R {me} {path}`"
    return Finding("FAIL", f"{what}: {path} belongs to {owner} and cannot be written to by {me}", remedy)


async def _damaged(file: Path) -> Finding | None:
    try:
        told = await asyncio.to_thread(damage, file)
    except sqlite3.Error as error:
        told = str(error)
    if told is None:
        return None
    remedy = "stop Otpost, keep the file aside, and restore the last backup"
    return Finding("FAIL", f"database: {file} is damaged ({told})", remedy)


def _me() -> str:
    return _name(os.geteuid())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _ring(chosen: Config, checks: list[KeyCheck]) -> Finding:
    where = "OTPOST_MASTER_KEY" if chosen.master_key is not None else str(chosen.key_ring_file)
    try:
        ring = read_ring(chosen)
    except NotReady as error:
        return Finding("FAIL", "key ring: cannot be used", str(error))
    if ring is None and checks:
        return Finding("FAIL", f"key ring: {where} is not there", lacks_ring(chosen, checks))
    if ring is None:
        return Finding("warn", f"key ring: {where} is not there yet", "the first `otpost serve` makes it; keep a copy")
    if wrong := judge_key_ring(ring, checks):
        return Finding("FAIL", f"key ring: {where} does not fit the database", " ".join(wrong))
    return Finding("ok", f"key ring: {where} with the key {', '.join(ring.ids)}")


async def _policies(store: Store) -> AsyncIterator[Finding]:
    tenants = await list_rows(store, TENANTS)
    policies = {row.tenant: row for row in await list_rows(store, POLICIES)}
    for tenant in tenants:
        whose = "sender policy" if len(tenants) == 1 else f"sender policy of {tenant.name}"
        kept = {
            (secret.service, ref_of(secret))
            for secret in await store.find(SECRETS, "tenant", tenant.sid)
            if secret.retired_at is None
        }
        yield _policy(whose, policies.get(tenant.sid, Policy(tenant.sid)), kept)


async def _notices(store: Store, public_url: str | None) -> list[Finding]:
    """What the running service has met with; a refusal of a public URL that was changed since is over."""
    notices = await list_rows(store, NOTICES)
    known = [notice for notice in notices if notice.detail == public_url]
    for policy in await list_rows(store, POLICIES):
        known += too_long(policy, public_url)
    told = {(notice.service, notice.what): notice for notice in known}
    return [Finding("warn", f"callbacks: {notice.sentence}", notice.remedy) for notice in told.values()]


async def _breakers(store: Store) -> list[Finding]:
    """The accounts that are left alone; one that was so before the last Save is not any more."""
    policies = await list_rows(store, POLICIES)
    in_force = {policy.tenant: policy.revision for policy in policies}
    services = find_services()
    findings = []
    for breaker in await list_rows(store, BREAKERS, "opened_at", "lane"):
        if breaker.revision == in_force.get(breaker.tenant):
            title = services[breaker.service].TITLE if breaker.service in services else breaker.service
            who = f"{title} {breaker.account_sid}".strip()
            since = f"{datetime.fromtimestamp(breaker.opened_at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
            what = f"circuit breaker: {who} is left alone since {since}: {breaker.detail}"
            findings.append(Finding("warn", what, REASONS[breaker.reason].for_administrator))
    return findings


def _policy(whose: str, policy: Policy, kept: Set[tuple[str, SecretRef]]) -> Finding:
    where = "choose one in the console, or with PUT /v1/sender-policy"
    name = policy.sender_service
    if name is None:
        return Finding("warn", f"{whose}: no sender service is chosen, so that no text can leave", where)
    service = find_services().get(name)
    if service is None:
        return Finding("FAIL", f"{whose}: the service {name} is not installed here", where)
    settings = load(service.Settings, policy.sections.get(name, {}))
    problems = list_problems(service, settings, name)
    if problems:
        remedy = " ".join(f"{problem.field}: {problem.message}" for problem in problems)
        return Finding("FAIL", f"{whose}: {service.TITLE} is not complete", remedy)
    if lacks := lacking(settings, {ref for of, ref in kept if of == name}):
        what = f"{whose}: nothing can be sent, for {service.TITLE} lacks {', '.join(lacks)}"
        return Finding("FAIL", what, "type it in the sender policy and save")
    if name == "sandbox":
        return Finding(
            "warn", f"{whose}: texts go to the sandbox phone alone", "choose another service to reach people"
        )
    return Finding("ok", f"{whose}: {service.TITLE}, revision {policy.revision}")

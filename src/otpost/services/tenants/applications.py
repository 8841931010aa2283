"""Applications: their settings as somebody sends them, judged field by field, and as they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, assert_never

import msgspec

from otpost.domain import locale, sid, text
from otpost.domain.access import Actor
from otpost.domain.application import (
    NAME_LENGTH,
    SETTINGS,
    SHORT_CODE_CHECKS,
    SHORT_CODE_LENGTH,
    Application,
    Features,
    Rules,
    out_of_range,
)
from otpost.domain.errors import FieldError, NotFound, invalid, refusal
from otpost.domain.phone import (
    NumberRefused,
    dialing_code_of,
    parse_dialing_code,
    parse_own_region,
    parse_region,
    region_known,
)
from otpost.domain.sid import APPLICATION, is_sid
from otpost.domain.verification import LONGEST
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.paging import Page, Wanted, read_page
from otpost.store.base import list_rows
from otpost.store.kinds import (
    API_KEYS,
    APPLICATIONS,
    TENANTS,
)
from otpost.store.units import Rows, Unit, lock, lock_by, look

NO_APPLICATION = "There is no such application."

Judge = Callable[[Application], None]


def make_application(
    context: Context, actor: Actor, name: str, rules: Rules, features: Features | None = None
) -> Unit[Application]:
    now, application_sid, line = context.clock(), context.ids(sid.APPLICATION), context.ids("AU")

    def decide(rows: Rows) -> Application:
        application = Application(application_sid, actor.tenant, name, now, now, rules, features or Features())
        rows.put(APPLICATIONS, application)
        add_line(context, rows, line, now, actor, "application made", f"{application_sid} {name}")
        return application

    return Unit(decide)


def change_application(
    context: Context,
    actor: Actor,
    application_sid: str,
    name: str | None,
    rules: dict[str, object],
    judge: Judge,
    features: dict[str, object] | None = None,
) -> Unit[Application]:
    """Change some of an application's rules; `judge` raises Invalid for what it then would be."""
    if not sid.is_sid(application_sid, sid.APPLICATION):
        raise NotFound(NO_APPLICATION)
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> Application:
        application = rows.get(APPLICATIONS, application_sid)
        if application is None or not application.belongs_to(actor.tenant):
            raise NotFound(NO_APPLICATION)
        changed = msgspec.structs.replace(
            application,
            name=name if name is not None else application.name,
            rules=msgspec.structs.replace(application.rules, **rules),
            features=msgspec.structs.replace(application.features, **(features or {})),
            updated_at=now,
        )
        judge(changed)
        rows.put(APPLICATIONS, changed)
        what = ", ".join([*(["name"] if name is not None else []), *rules, *(features or {})])
        add_line(context, rows, line, now, actor, "application changed", f"{application_sid}: {what}")
        return changed

    return Unit(decide, [lock(APPLICATIONS, application_sid)])


def delete_application(context: Context, actor: Actor, application_sid: str) -> Unit[None]:
    """End an application and its keys at once; what it did before stays readable.

    Raises NotFound, or Invalid for the application that calls without one act for.
    """
    if not sid.is_sid(application_sid, sid.APPLICATION):
        raise NotFound(NO_APPLICATION)
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        application, tenant = rows.get(APPLICATIONS, application_sid), rows.look(TENANTS, actor.tenant)
        if application is None or not application.belongs_to(actor.tenant):
            raise NotFound(NO_APPLICATION)
        if tenant is not None and tenant.default_application == application_sid:
            raise invalid("Sid", "invalid", f"{application.name} is the application of calls that name none; keep it.")
        rows.put(APPLICATIONS, msgspec.structs.replace(application, deleted_at=now, updated_at=now))
        for key in rows.find(API_KEYS, "application", actor.tenant, application_sid):
            if key.revoked_at is None:
                rows.put(API_KEYS, msgspec.structs.replace(key, revoked_at=now))
        add_line(context, rows, line, now, actor, "application deleted", f"{application_sid} {application.name}")

    return Unit(
        decide,
        [
            look(TENANTS, actor.tenant),
            lock_by(API_KEYS, "application", actor.tenant, application_sid),
            lock(APPLICATIONS, application_sid),
        ],
    )


MAX_DIALING_CODES: Final = 300
NO_REGION: Final = "A region is two ISO 3166 letters, as in IN."


class Given(NamedTuple):
    """What was given, in its stored form; `name` is None where it was left out. `wrong` is what each field lacks."""

    name: str | None
    rules: dict[str, Any]
    wrong: list[FieldError]


def read_settings(given: Mapping[str, Any]) -> Given:
    """The name and the rules that were given, each judged by itself."""
    rules = dict(given)
    wrong: list[FieldError] = []
    name = rules.pop("name", None)
    if name is not None:
        name = _name(name, wrong)
    for field in [own for own in SETTINGS.values() if rules.get(own.name) is not None]:
        value = rules[field.name]
        match field.kind:
            case "text":
                try:
                    rules[field.name] = text.read_template(value)
                except text.TextRefused as refused:
                    del rules[field.name]
                    wrong.append(FieldError(field.name, refused.code, refused.message))
            case "region":
                rules[field.name] = region = parse_region(value)
                if value.strip() if region is None else not region_known(region):
                    wrong.append(FieldError(field.name, "invalid", NO_REGION))
            case "dialing_codes":
                rules[field.name] = _entries(field.name, value, parse_dialing_code, wrong)
            case "regions":
                rules[field.name] = _entries(field.name, value, parse_own_region, wrong)
            case "number":
                pass
            case _:
                assert_never(field.kind)
    return Given(name, rules, wrong)


def complete_settings(given: Mapping[str, Any]) -> tuple[str, Rules, list[FieldError]]:
    """The name and whole rules of a new application, and everything that is wrong; what is left out is default."""
    name, rules, wrong = read_settings(given)
    whole = msgspec.structs.replace(Rules(), **rules)
    known = {error.field for error in wrong}
    more = [error for error in problems(name or "", whole, Features()) if error.field.split("[")[0] not in known]
    return name or "", whole, wrong + more


def judge_settings(changed: Application) -> None:
    """Raise Invalid with everything that keeps the application from being saved as it would be."""
    if wrong := problems(changed.name, changed.rules, changed.features):
        raise refusal(wrong)


def problems(name: str, rules: Rules, features: Features) -> list[FieldError]:
    """What is wrong with rules that are right one by one: ranges, a text that is too long, regions out of reach."""
    wrong = out_of_range(rules)
    if not wrong and (long := _too_long(name, rules, features)) is not None:
        wrong.append(long)
    codes = rules.allowed_dialing_codes
    for place, region in enumerate(rules.allowed_regions):
        own = dialing_code_of(region)
        if codes and not any(code.startswith(own) for code in codes):
            message = f"Numbers of {region} begin with {own}, which allowed_dialing_codes does not have. Add it there."
            wrong.append(FieldError(f"allowed_regions[{place}]", "invalid", message))
    return wrong


def with_code_length(rules: Rules, code_length: int) -> Rules:
    """The rules with codes of this length, and as many checks as are safe for it where nobody says how many."""
    checks = rules.max_checks
    if code_length <= SHORT_CODE_LENGTH:
        checks = min(checks, SHORT_CODE_CHECKS)
    elif rules.code_length <= SHORT_CODE_LENGTH:
        checks = Rules().max_checks
    return msgspec.structs.replace(rules, code_length=code_length, max_checks=checks)


def _too_long(name: str, rules: Rules, features: Features) -> FieldError | None:
    """A text that would be refused at each start: judged with the longest code and the longest variables."""
    longest = {
        **dict.fromkeys(text.CALLER_VARIABLES, "x" * text.MAX_VARIABLE_CHARACTERS),
        "otp": "0" * (LONGEST if features.custom_code else rules.code_length),
        "application": name,
        "number": str(rules.max_sends),
        "minutes": str(-(-rules.lifetime_s // 60)),
    }
    body = locale.with_warning(rules.body, locale.FALLBACK) if features.do_not_share_warning else rules.body
    count = text.segments(text.render(body, longest)).count
    if count <= rules.max_segments:
        return None
    return FieldError(
        "body",
        "text_too_long",
        f"With the longest code and variables the text is billed as {count} segments; max_segments allows "
        f"{rules.max_segments}. Shorten the text or the name, or raise max_segments.",
    )


def _name(given: str, wrong: list[FieldError]) -> str:
    try:
        name = text.read_name(given, NAME_LENGTH)
    except text.TextRefused as refused:
        wrong.append(FieldError("name", refused.code, refused.message))
        return ""
    if not name:
        wrong.append(FieldError("name", "required", "The name is what recipients read in the text."))
    return name


def _entries(field: str, texts: Sequence[str], kind: Callable[[str], str], wrong: list[FieldError]) -> tuple[str, ...]:
    if len(texts) > MAX_DIALING_CODES:
        wrong.append(FieldError(field, "out_of_range", f"At most {MAX_DIALING_CODES} entries."))
        return ()
    entries: list[str] = []
    for place, typed in enumerate(texts):
        at = f"{field}[{place}]"
        try:
            entry = kind(typed)
        except NumberRefused as refused:
            wrong.append(FieldError(at, refused.code if kind is parse_dialing_code else "invalid", refused.message))
            continue
        if entry in entries:
            wrong.append(FieldError(at, "duplicate", f"{entry} stands in the list already."))
        entries.append(entry)
    return tuple(entries)


async def application_names(context: Context, tenant: str) -> dict[str, str]:
    """The applications' names by SID."""
    return {row.sid: row.name for row in await list_rows(context.store, APPLICATIONS, tenant=tenant)}


async def read_application(context: Context, tenant: str, application_sid: str) -> Application:
    """An application of the tenant; NotFound for another's."""
    row = await context.store.get(APPLICATIONS, application_sid) if is_sid(application_sid, APPLICATION) else None
    if row is None or not row.belongs_to(tenant):
        raise NotFound("There is no such application.")
    return row


async def list_applications(context: Context, tenant: str, *, limit: int, cursor: str | None) -> Page:
    return await read_page(context.store, select_applications(tenant), limit, cursor)


def select_applications(tenant: str) -> Wanted[Application]:
    """The tenant's applications without the deleted ones."""
    table = APPLICATIONS.table.c
    return Wanted(APPLICATIONS, [table.tenant == tenant], [table.deleted_at.is_(None)])

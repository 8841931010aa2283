"""A sender policy as submitted: read from JSON or an old revision, not yet judged against what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET, UnsetType

from otpost.domain.errors import FieldError, NotFound, refusal
from otpost.domain.phone import NumberRefused
from otpost.domain.policy import Rate, Revision
from otpost.outbound import Outbound
from otpost.senders.registry import find_services
from otpost.senders.settings import form, join, load, plain, urls
from otpost.senders.submission import Submission, parse_sender, read_section
from otpost.services.context import Context
from otpost.store.kinds import REVISIONS

HIGHEST = 2**31 - 1
"""No revision has a higher number than the database can hold."""
FAILOVER_S: Final = (10, 600)
MESSAGES_PER_SECOND: Final = (0.1, 1000)
MOST_RATES: Final = 1000
_CHOICE: Final = ("revision", "sender_service", "fallback", "failover_after_s", "rates")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a PUT, a Restore or a test brings; `path` stands before the paths of all its fields.

    `sections` are those that were brought, by service. What is UNSET was not brought and is left as it is.
    `revision` is the one that the draft was made from, where it says so; `restores` the number of an old one.
    """

    sections: Mapping[str, Submission[Any]]
    path: str = ""
    revision: int | None = None
    sender_service: str | UnsetType | None = UNSET
    fallback: tuple[str, ...] | UnsetType = UNSET
    failover_after_s: int | UnsetType | None = UNSET
    rates: tuple[Rate, ...] | UnsetType = UNSET
    restores: int | None = None


def read(body: object, path: str = "") -> Draft:
    """Judge a submitted policy; Invalid with every mistake at its path.

    Read are `revision`, `sender_service` (null: none is chosen), `fallback`, `failover_after_s` (null: never), `rates`,
    and a section for each sender service. None of them is needed. Whether it is complete is judged when it is saved
    or tested.
    """
    if not isinstance(body, dict):
        raise refusal([FieldError(path, "invalid", "The sender policy is an object with its settings.")])
    errors: list[FieldError] = []
    services = find_services()
    for name in body:
        if name not in services and name not in _CHOICE:
            message = f"There is no such setting or sender service. Services are: {', '.join(services)}."
            errors.append(FieldError(join(path, _readable(name)), "unknown_field", message))
    sections = {
        name: read_section(service.Settings, body[name], join(path, name))
        for name, service in services.items()
        if name in body
    }
    draft = Draft(
        sections,
        path,
        _revision(body.get("revision"), path, errors),
        _service(body["sender_service"], path, errors) if "sender_service" in body else UNSET,
        _fallback(body["fallback"], path, errors) if "fallback" in body else UNSET,
        _failover(body["failover_after_s"], path, errors) if "failover_after_s" in body else UNSET,
        _rates(body["rates"], join(path, "rates"), errors) if "rates" in body else UNSET,
    )
    errors += _chosen_twice(draft)
    for section in sections.values():
        errors += section.errors
    if errors:
        raise refusal(errors)
    return draft


async def restored(context: Context, tenant: str, number: int, body: object) -> Draft:
    """The values of an old revision with the secrets that `body` brings, to be saved like any other draft.

    `body` may name the current `revision`, and has sections with only secrets in them:
    `{"twilio": {"auth_token": "…", "subaccounts": [{"account_sid": "AC…", "auth_token": "…"}]}}`. A row stands for
    the restored row that has the values it names; one that names none, for the row at its place in the list. Secrets
    are never paired with other values than the restored ones: a value that differs from them is Invalid.
    Paths are those of the restored values, so that a `token_required` can be answered at its path. Secrets that are
    stored need not be brought, and `…_set: false` clears one. NotFound for an unknown revision.
    """
    revision = await context.store.get(REVISIONS, tenant, number) if 0 < number <= HIGHEST else None
    if revision is None:
        raise NotFound("There is no such revision.")
    if not isinstance(body, dict):
        raise refusal([FieldError("", "invalid", "Bring an object with the secrets, or an empty one.")])
    errors: list[FieldError] = []
    current = _revision(body.get("revision"), "", errors)
    merged = _merged(revision, body, errors)
    if errors:
        raise refusal(errors)
    choice = {"sender_service": revision.sender_service, "fallback": list(revision.fallback)}
    old = read({**merged, **choice})
    return Draft(
        sections=old.sections,
        revision=current,
        sender_service=old.sender_service,
        fallback=old.fallback,
        failover_after_s=revision.failover_after_s,
        rates=revision.rates,
        restores=number,
    )


async def url_errors(http: Outbound, draft: Draft, services: Sequence[str] | None = None) -> list[FieldError]:
    """Each URL of the draft's sections (or only those of `services`) that the outbound guard would refuse."""
    named = [
        (path, url)
        for name, section in draft.sections.items()
        if services is None or name in services
        for path, url in urls(section.settings, join(draft.path, name))
    ]
    async with asyncio.TaskGroup() as group:
        judging = [group.create_task(http.judge(url)) for _, url in named]
    return [
        FieldError(path, "invalid", reason)
        for (path, _), task in zip(named, judging, strict=True)
        if (reason := task.result()) is not None
    ]


def _readable(name: object) -> str:
    return str(name)[:64].encode("utf-8", "replace").decode()


def _revision(value: object, path: str, errors: list[FieldError]) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    errors.append(FieldError(join(path, "revision"), "invalid", "revision is the whole number that was read."))
    return None


def _service(value: object, path: str, errors: list[FieldError]) -> str | None:
    if value is None or (isinstance(value, str) and value in find_services()):
        return value
    message = f"This must be one of: {', '.join(find_services())}; or null, to choose none."
    errors.append(FieldError(join(path, "sender_service"), "invalid", message))
    return None


def _fallback(value: object, path: str, errors: list[FieldError]) -> tuple[str, ...]:
    at = join(path, "fallback")
    if not isinstance(value, list):
        errors.append(FieldError(at, "invalid", "This must be a list of sender services, in their order."))
        return ()
    possible = [name for name, service in find_services().items() if service.may_be_fallback]
    names: list[str] = []
    for index, name in enumerate(value):
        if not isinstance(name, str) or name not in possible:
            message = f"A fallback must be one of: {', '.join(possible)}."
            errors.append(FieldError(f"{at}[{index}]", "invalid", message))
        elif name in names:
            errors.append(FieldError(f"{at}[{index}]", "duplicate", f"{name} stands here twice. Keep one."))
        names.append(str(name))
    return tuple(names)


def _failover(value: object, path: str, errors: list[FieldError]) -> int | None:
    at, (low, high) = join(path, "failover_after_s"), FAILOVER_S
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        message = "Failover comes after a whole number of seconds; or never, which is null."
        errors.append(FieldError(at, "invalid", message))
    elif not low <= value <= high:
        errors.append(FieldError(at, "out_of_range", f"Failover can come after {low} to {high} seconds."))
    else:
        return value
    return None


def _rates(value: object, path: str, errors: list[FieldError]) -> tuple[Rate, ...]:
    if not isinstance(value, list):
        errors.append(FieldError(path, "invalid", "This must be a list of origins with their messages_per_second."))
        return ()
    if len(value) > MOST_RATES:
        errors.append(FieldError(path, "out_of_range", f"At most {MOST_RATES} origins can have a rate."))
        return ()
    rates: list[Rate] = []
    rows: dict[str, int] = {}
    for index, row in enumerate(value):
        at = f"{path}[{index}]"
        if not isinstance(row, dict):
            errors.append(FieldError(at, "invalid", "This must be an object with origin and messages_per_second."))
            continue
        for name in row:
            if name not in Rate.__struct_fields__:
                message = "There is no such setting. Leave it out."
                errors.append(FieldError(join(at, _readable(name)), "unknown_field", message))
        origin = _origin(row.get("origin"), join(at, "origin"), errors)
        speed = _speed(row.get("messages_per_second"), join(at, "messages_per_second"), errors)
        if origin and origin in rows:
            message = f"{origin} stands in row {rows[origin] + 1} already. Keep one of the two."
            errors.append(FieldError(join(at, "origin"), "duplicate", message))
        rows.setdefault(origin, index)
        rates.append(Rate(origin, speed))
    return tuple(rates)


def _origin(value: object, at: str, errors: list[FieldError]) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        message = "Say which origin the rate holds for, as in +15005550006 or MyBrand."
        errors.append(FieldError(at, "required", message))
    elif not isinstance(value, str):
        errors.append(FieldError(at, "invalid", "The origin must be a text, as in +15005550006 or MyBrand."))
    else:
        try:
            return parse_sender(value.strip(), any_name=True)
        except NumberRefused as refused:
            errors.append(FieldError(at, refused.code, refused.message))
    return ""


def _speed(value: object, at: str, errors: list[FieldError]) -> float:
    low, high = MESSAGES_PER_SECOND
    if value is None:
        errors.append(FieldError(at, "required", "Say how many messages a second the origin may send."))
    elif not isinstance(value, int | float) or isinstance(value, bool):
        errors.append(FieldError(at, "invalid", "A rate is a number of messages a second, as in 1 or 0.5."))
    elif not low <= value <= high:
        errors.append(FieldError(at, "out_of_range", f"A rate is from {low} to {high} messages a second."))
    else:
        return float(value)
    return low


def _chosen_twice(draft: Draft) -> list[FieldError]:
    if not isinstance(draft.sender_service, str) or isinstance(draft.fallback, UnsetType):
        return []
    return [
        FieldError(f"{join(draft.path, 'fallback')}[{index}]", "invalid", "This is the chosen service itself.")
        for index, name in enumerate(draft.fallback)
        if name == draft.sender_service
    ]


def _merged(revision: Revision, body: Mapping[str, Any], errors: list[FieldError]) -> dict[str, Any]:
    """The old sections as JSON with the secrets of `body` in their places."""
    services = find_services()
    sections = {
        name: plain(load(services[name].Settings, section))
        for name, section in revision.sections.items()
        if name in services
    }
    for name, brought in body.items():
        if name in sections:
            _bring(services[name].Settings, sections[name], brought, name, errors)
        elif name != "revision":
            message = "The revision has no such section. Only secrets of its sections can be brought."
            errors.append(FieldError(_readable(name), "unknown_field", message))
    return sections


def _bring(cls: type[Any], values: dict[str, Any], brought: object, path: str, errors: list[FieldError]) -> None:
    if not isinstance(brought, dict):
        errors.append(FieldError(path, "invalid", "This must be an object with secrets."))
        return
    fields = {field.name: field for field in form(cls)}
    secrets = {name for name, field in fields.items() if field.kind == "secret"}
    for name, value in brought.items():
        at = join(path, _readable(name))
        if name in secrets or name.removesuffix("_set") in secrets:
            values[name] = value
        elif name not in fields:
            errors.append(FieldError(at, "unknown_field", "There is no such setting. Leave it out."))
        elif (row := fields[name].row) is not None:
            _bring_rows(row, values[name], value, at, errors)
        elif value != values[name]:
            message = "The revision has another value here. Bring secrets alone, and save other values afterwards."
            errors.append(FieldError(at, "invalid", message))


def _bring_rows(cls: type[Any], rows: list[Any], brought: object, path: str, errors: list[FieldError]) -> None:
    if not isinstance(brought, list):
        errors.append(FieldError(path, "invalid", "This must be a list of rows with secrets."))
        return
    owners = {field.owner for field in form(cls) if field.owner}
    telling = {field.name for field in form(cls) if field.kind not in ("secret", "rows")}
    for index, row in enumerate(brought):
        at = f"{path}[{index}]"
        told = {name: row[name] for name in telling & row.keys()} if isinstance(row, dict) else {}
        if told:
            meant = [old for old in rows if all(old[name] == value for name, value in told.items())]
        else:
            meant = rows[index : index + 1]
        if len({tuple(old[name] for name in owners) for old in meant}) != 1:
            named = join(at, next(iter(sorted(owners & told.keys() or told)))) if told else at
            message = "The revision has no such row." if not meant else "Several rows are like this; name the account."
            errors.append(FieldError(named, "invalid", message))
        else:
            _bring(cls, meant[0], row, at, errors)

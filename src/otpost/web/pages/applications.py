"""Applications: the list, the form with a program's text and limits, and its keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from otpost.domain.application import NAME_LENGTH, RANGES, Application, Rules
from otpost.domain.errors import FieldError, Invalid
from otpost.domain.text import PLACEHOLDERS, TextRefused, read_line
from otpost.domain.text.characters import trimmed
from otpost.services.tenants import keys as tenants_keys
from otpost.services.tenants.applications import (
    change_application,
    complete_settings,
    judge_settings,
    list_applications,
    make_application,
    read_application,
    read_settings,
)
from otpost.services.tenants.keys import list_keys
from otpost.web.request import Form, Page, Visit, Wrong
from otpost.web.translation import _

MANY: Final = 200


@dataclass(frozen=True, slots=True)
class Number:
    """A rule that is a number: its label, what it is for, and whether it may be left empty."""

    name: str
    label: str
    help: str
    optional: bool = False

    @property
    def low(self) -> int:
        return RANGES[self.name][0]

    @property
    def high(self) -> int:
        return RANGES[self.name][1]


CODE: Final = (
    Number("code_length", "Code length", "4 to 10 digits; 4 and 5 only with at most 3 checks."),
    Number("lifetime_s", "Lifetime in seconds", "60 to 600: how long a code can be checked."),
    Number("max_checks", "Checks", "1 to 10: how many codes one verification looks at."),
    Number("max_sends", "Texts", "1 to 10: how many texts one verification sends."),
    Number("resend_after_s", "Pause before a resend in seconds", "0 to 600."),
)
LIMITS: Final = (
    Number("number_sends_per_hour", "Texts to one number in an hour", "1 to 1000."),
    Number("number_sends_per_day", "Texts to one number in a day", "1 to 1000."),
    Number("number_checks_per_hour", "Wrong checks of one number in an hour", "1 to 1000."),
    Number("max_sends_per_hour", "Texts of the whole application in an hour", "Empty: no limit.", optional=True),
    Number(
        "max_sends_per_client_ip",
        "Texts for one client address in an hour",
        "Counts calls that bring client_ip. Empty: no limit.",
        optional=True,
    ),
    Number("max_segments", "Segments of one text", "1 to 10: a longer text is refused, because each is billed."),
)


async def listing(visit: Visit) -> Response:
    page = await list_applications(visit.context, visit.tenant, limit=MANY, cursor=None)
    return await visit.page("applications.html", page=page)


async def new(visit: Visit) -> Response:
    return await _form(visit, None, {"name": "", **_texts(Rules())})


async def create(visit: Visit) -> Response:
    given, wrong = _read(visit.form)
    name, made, more = complete_settings(given)
    wrong += [error for error in more if error.field not in {known.field for known in wrong}]
    if wrong:
        return await _form(visit, None, _typed(visit.form), Wrong(_at_fields(wrong)))
    application = await visit.context.store.run(make_application(visit.context, visit.actor, name, made))
    return visit.go(f"/applications/{application.sid}", flash=_("%(name)s is made. Make a key for it next.", name=name))


async def one(visit: Visit) -> Response:
    application = await _application(visit)
    return await _form(visit, application, {"name": application.name, **_texts(application.rules)})


async def change(visit: Visit) -> Response:
    application = await _application(visit)
    given, wrong = _read(visit.form)
    name, changed, more = read_settings(given)
    wrong += more
    if not wrong:
        try:
            await visit.context.store.run(
                change_application(visit.context, visit.actor, application.sid, name, changed, judge_settings)
            )
        except Invalid as refused:
            wrong += refused.errors
    if wrong:
        return await _form(visit, application, _typed(visit.form), Wrong(_at_fields(wrong)))
    return visit.go(f"/applications/{application.sid}", flash=_("Saved. What starts from now on follows it."))


async def make_key(visit: Visit) -> Response:
    """A new key; the page that follows shows its secret, which no other can."""
    application = await _application(visit)
    name = visit.form.get("key_name")
    try:
        name = read_line(name, NAME_LENGTH)
    except TextRefused as refused:
        wrong = Wrong([FieldError("key_name", refused.code, refused.message)])
        values = {"name": application.name, **_texts(application.rules)}
        return await _form(visit, application, values, wrong, key_name=name)
    made = await visit.context.store.run(
        tenants_keys.make_key(visit.context, visit.actor, "verify", application.sid, name)
    )
    shown = {"key": f"{made.key.sid}:{made.secret}", "key_name": made.key.name}
    return visit.go(f"/applications/{application.sid}#made", once=shown)


async def revoke_key(visit: Visit) -> Response:
    application = await _application(visit)
    await visit.context.store.run(
        tenants_keys.revoke_key(visit.context, visit.actor, visit.path["key"], application.sid)
    )
    return visit.go(f"/applications/{application.sid}#keys", flash=_("The key is revoked. It counts at once."))


async def _application(visit: Visit) -> Application:
    return await read_application(visit.context, visit.tenant, visit.path["sid"])


async def _form(
    visit: Visit,
    application: Application | None,
    values: Mapping[str, str],
    wrong: Wrong | None = None,
    key_name: str = "",
) -> Response:
    keys = []
    if application is not None:
        page = await list_keys(
            visit.context,
            visit.surroundings.key_uses,
            visit.tenant,
            application=application.sid,
            limit=MANY,
            cursor=None,
        )
        keys = page.rows
    return await visit.page(
        "application.html",
        422 if wrong else 200,
        application=application,
        values=values,
        wrong=wrong or Wrong(),
        keys=keys,
        made=visit.once("key"),
        made_name=visit.once("key_name"),
        key_name=key_name,
        code=CODE,
        limits=LIMITS,
        placeholders=sorted(PLACEHOLDERS),
    )


def _read(form: Form) -> tuple[dict[str, Any], list[FieldError]]:
    """The name and the rules as the API would be given them, and what is wrong before they are judged."""
    wrong: list[FieldError] = []
    given: dict[str, Any] = {
        "name": form.get("name"),
        "body": form.get("body"),
        "default_region": form.get("default_region").strip() or None,
    }
    for field in ("allowed_dialing_codes", "allowed_regions"):
        given[field] = [entry for entry in re.split(r"[\s,;]+", form.get(field)) if trimmed(entry)]
    for number in (*CODE, *LIMITS):
        typed = form.get(number.name).strip()
        if not typed and number.optional:
            given[number.name] = None
        elif not typed:
            wrong.append(FieldError(number.name, "required", f"{number.label}: type a number."))
        elif not re.fullmatch(r"[0-9]{1,9}", typed):
            wrong.append(FieldError(number.name, "invalid", f"{number.label}: type a whole number."))
        else:
            given[number.name] = int(typed)
    return given, wrong


def _at_fields(errors: list[FieldError]) -> list[FieldError]:
    """The errors at the form's fields, in its words: entries of a list stand in one field here."""
    labels = {number.name: number for number in (*CODE, *LIMITS)}
    found = []
    for error in errors:
        field = error.field.split("[")[0]
        message = error.message
        if field in labels and error.code == "out_of_range" and message.startswith(f"{field} must"):
            message = f"{labels[field].label}: from {labels[field].low} to {labels[field].high}."
        found.append(FieldError(field, error.code, message))
    return found


def _texts(own: Rules) -> dict[str, str]:
    numbers = {number.name: getattr(own, number.name) for number in (*CODE, *LIMITS)}
    return {
        "body": own.body,
        "default_region": own.default_region or "",
        "allowed_dialing_codes": " ".join(own.allowed_dialing_codes),
        "allowed_regions": " ".join(own.allowed_regions),
        **{name: "" if value is None else str(value) for name, value in numbers.items()},
    }


def _typed(form: Form) -> dict[str, str]:
    names = ("name", *_texts(Rules()))
    return {name: form.get(name) for name in names}


PAGES: Final[tuple[Page, ...]] = (
    Page("/applications", get=listing, post=create, entry="applications"),
    Page("/applications/new", get=new, entry="applications"),
    Page("/applications/{sid}", get=one, post=change, entry="applications"),
    Page("/applications/{sid}/keys", post=make_key, entry="applications"),
    Page("/applications/{sid}/keys/{key}/revoke", post=revoke_key, entry="applications"),
)

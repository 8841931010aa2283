"""Applications: the list, the form with a program's text and limits, and its keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, assert_never

from starlette.responses import Response

from otpost.domain.application import CODE, LIMITS, NAME_LENGTH, SETTINGS, TEXT, Application, Rules
from otpost.domain.errors import FieldError, Invalid
from otpost.domain.text import TextRefused, read_line
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
        groups={
            group: [setting for setting in SETTINGS.values() if setting.group == group]
            for group in (TEXT, CODE, LIMITS)
        },
    )


def _read(form: Form) -> tuple[dict[str, Any], list[FieldError]]:
    """The name and the rules as the API would be given them, and what is wrong before they are judged."""
    wrong: list[FieldError] = []
    given: dict[str, Any] = {"name": form.get("name")}
    for setting in SETTINGS.values():
        typed = form.get(setting.name)
        match setting.kind:
            case "text":
                given[setting.name] = typed
            case "region":
                given[setting.name] = typed.strip() or None
            case "dialing_codes" | "regions":
                given[setting.name] = [entry for entry in re.split(r"[\s,;]+", typed) if trimmed(entry)]
            case "number":
                if number := typed.strip():
                    if re.fullmatch(r"[0-9]{1,9}", number):
                        given[setting.name] = int(number)
                    else:
                        wrong.append(FieldError(setting.name, "invalid", f"{setting.label}: type a whole number."))
                elif setting.optional:
                    given[setting.name] = None
                else:
                    wrong.append(FieldError(setting.name, "required", f"{setting.label}: type a number."))
            case _:
                assert_never(setting.kind)
    return given, wrong


def _at_fields(errors: list[FieldError]) -> list[FieldError]:
    """The errors at the form's fields, in its words: entries of a list stand in one field here."""
    found = []
    for error in errors:
        field, message = error.field.split("[")[0], error.message
        if error.code == "out_of_range" and message.startswith(f"{field} must"):
            message = f"{SETTINGS[field].label}: from {SETTINGS[field].range}."
        found.append(FieldError(field, error.code, message))
    return found


def _texts(own: Rules) -> dict[str, str]:
    texts = {}
    for name in SETTINGS:
        value = getattr(own, name)
        texts[name] = "" if value is None else " ".join(value) if isinstance(value, tuple) else str(value)
    return texts


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

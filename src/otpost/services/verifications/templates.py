"""Pages and lists: what is read without a unit of work, and without a lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from otpost.domain import locale, sid
from otpost.domain.access import Actor
from otpost.domain.errors import NotFound, invalid
from otpost.domain.locale import Template
from otpost.domain.text import TextRefused, read_line
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.paging import Page, Wanted, read_page
from otpost.store.kinds import (
    APPLICATIONS,
    TEMPLATES,
)
from otpost.store.units import Query, Rows, Unit, lock, lock_by


async def list_templates(context: Context, tenant: str, *, limit: int, cursor: str | None) -> Page:
    """The tenant's own templates (Template), newest first."""
    return await read_page(context.store, Wanted(TEMPLATES, [TEMPLATES.table.c.tenant == tenant]), limit, cursor)


MOST_TEMPLATES, MOST_TRANSLATIONS = 100, 100
NO_TEMPLATE = "There is no such template."


async def read_template(context: Context, tenant: str, template_sid: str) -> Template:
    """A template of the tenant, our own built-in one among them; NotFound if there is none."""
    if template_sid == locale.BUILT_IN:
        return locale.built_in(tenant)
    row = await context.store.get(TEMPLATES, template_sid) if sid.is_sid(template_sid, sid.TEMPLATE) else None
    if row is None or row.tenant != tenant:
        raise NotFound(NO_TEMPLATE)
    return row


async def every_template(context: Context, tenant: str) -> Sequence[Template]:
    """All templates of the tenant, newest first, the built-in one at the end."""
    return [*(await context.store.find(TEMPLATES, "tenant", tenant))[::-1], locale.built_in(tenant)]


def make_template(
    context: Context, actor: Actor, friendly_name: str, translations: Mapping[str, str], default_locale: str
) -> Unit[Template]:
    """A new template; Invalid at `friendly_name`, `translations` or `default_locale`."""
    now, line = context.clock(), context.ids("AU")
    made = _read(
        Template(context.ids(sid.TEMPLATE), actor.tenant, friendly_name, dict(translations), now, now, default_locale)
    )

    def decide(rows: Rows) -> Template:
        if len(rows.find(TEMPLATES, "tenant", actor.tenant)) >= MOST_TEMPLATES:
            raise invalid("friendly_name", "out_of_range", f"There are {MOST_TEMPLATES} templates; delete one first.")
        rows.put(TEMPLATES, made)
        add_line(context, rows, line, now, actor, "template made", f"{made.sid} {made.friendly_name}")
        return made

    return Unit(decide, [lock_by(TEMPLATES, "tenant", actor.tenant)])


def change_template(context: Context, actor: Actor, template_sid: str, changes: Mapping[str, object]) -> Unit[Template]:
    """Change some of `friendly_name`, `translations` (all of them) and `default_locale`, for starts to come."""
    if not sid.is_sid(template_sid, sid.TEMPLATE):
        raise NotFound(NO_TEMPLATE)
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> Template:
        changed = _read(msgspec.structs.replace(_owned(rows, actor, template_sid), updated_at=now, **changes))
        rows.put(TEMPLATES, changed)
        add_line(context, rows, line, now, actor, "template changed", f"{template_sid}: {', '.join(changes)}")
        return changed

    return Unit(decide, [lock(TEMPLATES, template_sid)])


def remove_template(context: Context, actor: Actor, template_sid: str) -> Unit[None]:
    """Delete a template; starts can name it no more. Invalid while it is the default of an application."""
    if not sid.is_sid(template_sid, sid.TEMPLATE):
        raise NotFound(NO_TEMPLATE)
    now, line = context.clock(), context.ids("AU")

    users = Query(
        APPLICATIONS,
        "tenant = :tenant AND deleted_at IS NULL AND features LIKE :named LIMIT 1",
        tenant=actor.tenant,
        named=f'%"{template_sid}"%',
    )

    def decide(rows: Rows) -> None:
        row = _owned(rows, actor, template_sid)
        for app in rows.found(users):
            told = f"It is the default template of {app.name} ({app.sid}); choose another one there first."
            raise invalid("sid", "invalid", told)
        rows.delete(TEMPLATES, template_sid)
        add_line(context, rows, line, now, actor, "template deleted", f"{template_sid} {row.friendly_name}")

    return Unit(decide, [lock(TEMPLATES, template_sid)], users)


def _read(template: Template) -> Template:
    """The template as it is kept; Invalid at the field that keeps it from being saved."""
    if len(template.translations) > MOST_TRANSLATIONS:
        raise invalid("translations", "out_of_range", f"A template has at most {MOST_TRANSLATIONS} translations.")
    try:
        return locale.read_template(template)
    except TextRefused as refused:
        raise invalid(_field(template), refused.code, refused.message) from None


def _field(template: Template) -> str:
    """At which field `read_template` stopped."""
    try:
        if not read_line(template.friendly_name, locale.MAX_FRIENDLY_NAME_CHARACTERS):
            return "friendly_name"
    except TextRefused:
        return "friendly_name"
    return "translations" if template.default_locale in template.translations else "default_locale"


def _owned(rows: Rows, actor: Actor, template_sid: str) -> Template:
    row = rows.get(TEMPLATES, template_sid)
    if row is None or row.tenant != actor.tenant:
        raise NotFound(NO_TEMPLATE)
    return row

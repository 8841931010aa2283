"""The sender policy's page: what each of its buttons does with the form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.responses import Response

from otpost.domain.errors import FieldError, Invalid, RevisionConflict, refusal
from otpost.domain.policy import Policy
from otpost.senders.registry import capabilities, find_services, list_problems
from otpost.senders.service import Preset
from otpost.senders.settings import join, places, plain
from otpost.senders.submission import read_section
from otpost.services.policy import draft
from otpost.services.policy import revisions as policies
from otpost.services.policy.accounts import list_notices
from otpost.services.policy.plan import read_plan
from otpost.services.policy.read import list_revisions
from otpost.store.kinds import POLICIES
from otpost.web.policy.fallback import FIELDS as STANDBY_FIELDS
from otpost.web.policy.fallback import follows, obstacles, resting
from otpost.web.policy.form import PolicyForm, Row, new_form_id, part_of, read_form, read_row, saved_form, section
from otpost.web.policy.revisions import PAGES as REVISIONS
from otpost.web.policy.routes import PAGES as ROUTES
from otpost.web.policy.routes import Explanation, TooMany, by_form, lines, split
from otpost.web.policy.seals import FormSecret, Seals
from otpost.web.policy.test import compared, send, test
from otpost.web.policy.view import View, stored_secrets
from otpost.web.request import Page, Visit, Wrong
from otpost.web.translation import _, ngettext

PATH: Final = "/sender-policy"
SINCE: Final = 20
KEPT_BYTES: Final = 1_000
"""What a cookie has room for of a field that a Save leaves as it is."""

Done = Awaitable[Response]


async def shown(visit: Visit) -> Response:
    """The form with what is saved."""
    policy_form = saved_form(await _saved(visit), new_form_id(visit))
    policy_form.to = visit.once("to") or policy_form.to
    policy_form.message = visit.once("message") or policy_form.message
    return await _page(visit, policy_form)


async def pressed(visit: Visit) -> Response:
    """One of the form's buttons; the form comes back with everything that was typed."""
    policy_form = read_form(visit)
    name, _, at = visit.form.get("do").partition(":")
    stood_in = list(policy_form.standby.fallback)
    focus = policy_form.standby.press(name, at)
    row = policy_form.row
    if row is not None and row.service not in policy_form.shown:
        if policy_form.row_changed:
            policy_form.standby.fallback = stood_in
            policy_form.chosen = policy_form.chosen if row.service in policy_form.shown else row.service
            return await _page(visit, policy_form, _not_committed(policy_form))
        policy_form.close_row()
    if focus is not None:
        return await _page(visit, policy_form, focus=focus)
    return await _BUTTONS.get(name, _show)(visit, policy_form, at)


async def _show(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """Another sender service was selected; the others' settings stay in the form."""
    policy_form.close_row()
    said = _("No service is chosen.")
    if policy_form.chosen:
        said = _("The settings of %(service)s are shown.", service=_title(policy_form.chosen))
    return await _page(visit, policy_form, focus="sender_service", said=said)


async def _enter(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """Enter was pressed in a field: the row's Save while one is open, else the policy's."""
    if policy_form.row is not None:
        return await _keep(visit, policy_form, at)
    if policy_form.to:
        return await _page(visit, policy_form, notice=_("Nothing was sent or saved yet. Choose a button."))
    return await _save(visit, policy_form, at)


async def _add(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """A new row, after the last."""
    return await _open(visit, policy_form, read_row(f"{at}[9999]"))


async def _edit(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    return await _open(visit, policy_form, read_row(at))


async def _open(visit: Visit, policy_form: PolicyForm, row: Row | None) -> Response:
    if row is None or row.service not in policy_form.shown:
        return await _page(visit, policy_form)
    if policy_form.row_changed:
        return await _page(visit, policy_form, _not_committed(policy_form))
    policy_form.close_row()
    policy_form.open_row(row)
    return await _page(visit, policy_form, focus="row", said=_("%(row)s is open for changes.", row=_(row.of.row_label)))


async def _cancel(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """The open row stays what it was."""
    list_path = policy_form.row.list_path if policy_form.row else ""
    policy_form.close_row()
    return await _page(visit, policy_form, focus=list_path, said=_("The row is what it was."))


async def _remove(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    row = read_row(at)
    if row is None or row.index >= len(policy_form.rows(row)):
        return await _page(visit, policy_form)
    opened = policy_form.row
    if opened is not None and opened.list_path == row.list_path:
        if opened.index == row.index:
            policy_form.row = policy_form.before = None
        elif opened.index > row.index:
            policy_form.row = Row(opened.service, opened.name, opened.index - 1)
    del policy_form.rows(row)[row.index]
    return await _page(visit, policy_form, focus=row.list_path, said=_("The row is taken out. Nothing is saved yet."))


async def _keep(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """A row's Save: commits the row to the form, and nothing to the database."""
    row = policy_form.row
    if row is None:
        return await _page(visit, policy_form)
    part, errors = await _judged(visit, policy_form, row)
    if errors:
        return await _page(visit, policy_form, errors, what=_("The row was not saved to the form"))
    policy_form.rows(row)[row.index] = part
    policy_form.row = policy_form.before = None
    return await _page(visit, policy_form, focus=row.list_path, said=_("The row is in the form. Nothing is saved yet."))


async def _judged(visit: Visit, policy_form: PolicyForm, row: Row) -> tuple[dict[str, Any], list[FieldError]]:
    """The open row as it will be kept, and what is wrong with it."""
    service, opened = find_services()[row.service], policy_form.opened
    part = policy_form.parts[row.service]
    others = [one for index, one in enumerate(part[row.name]) if index != row.index]
    body = section(service.Settings, {**part, row.name: [*others, opened]})
    submission = read_section(service.Settings, body, row.service)
    at = f"{row.list_path}[{len(others)}]"
    found_errors = [*submission.errors, *list_problems(service, submission.settings, row.service)]
    stored = await stored_secrets(visit.context, visit.tenant)
    for place in places(submission.settings, row.service):
        if place.field.required and place.ref not in submission.typed and (row.service, place.ref) not in stored:
            found_errors.append(
                FieldError(
                    place.path, "token_required", _("%(field)s is not stored. Type it.", field=_(place.field.label))
                )
            )
    errors: dict[str, FieldError] = {}
    for error in found_errors:
        if error.field.startswith(f"{at}."):
            message = error.message
            if error.code == "duplicate":
                message = _(
                    "There is such a %(row)s already. Edit that one, or change this.", row=_(row.of.row_label).lower()
                )
            here = row.path + error.field.removeprefix(at)
            errors.setdefault(here, FieldError(here, error.code, message))
    for name, value in opened.items():
        if isinstance(value, FormSecret) and value.lost:
            lost = next(error for error in policy_form.lost() if error.field == join(row.path, name))
            errors[lost.field] = lost
    kept = part_of(row.cls, plain(getattr(submission.settings, row.name)[-1]))
    kept |= {name: value for name, value in opened.items() if isinstance(value, FormSecret)}
    return kept, list(errors.values())


async def _save(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """The policy's Save: commits the form to the database."""
    if policy_form.row_changed:
        return await _page(visit, policy_form, _not_committed(policy_form))
    policy_form.close_row()
    policy_form.standby.drop_empty_rates()
    if errors := list(policy_form.lost()):
        return await _page(visit, policy_form, errors)
    saved = await _saved(visit)
    if not policy_form.chosen and saved.sender_service is None:
        choose = FieldError("sender_service", "required", _("Choose the sender service that sends your texts."))
        return await _page(visit, policy_form, [choose])
    try:
        submitted = draft.read(policy_form.body())
        if errors := await draft.url_errors(visit.surroundings.http, submitted):
            raise refusal(errors)
        done = await policies.put(visit.context, visit.actor, submitted)
    except Invalid as refused:
        return await _page(visit, policy_form, list(refused.errors))
    except RevisionConflict:
        return await _page_after_conflict(visit, policy_form)
    words = _("Saved as revision %(revision)s.", revision=done.policy.revision)
    typed = {"to": policy_form.to, "message": policy_form.message}
    kept = {name: text for name, text in typed.items() if len(text.encode()) <= KEPT_BYTES}
    return visit.go(PATH, flash=f"{words} {await follows(visit)}", once=kept)


async def _page_after_conflict(visit: Visit, policy_form: PolicyForm) -> Response:
    """Somebody else saved meanwhile: what he changed, and the form as it was typed, to be saved over it or not."""
    page = await list_revisions(visit.context, visit.tenant, limit=SINCE, cursor=None)
    newer = [row for row in page.rows if row.number > policy_form.revision]
    policy_form.revision = max([policy_form.revision, *(row.number for row in newer)])
    return await _page(visit, policy_form, status=409, newer=newer)


async def _test(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """Send with what is in this form; save nothing."""
    if policy_form.row_changed:
        return await _page(visit, policy_form, _not_committed(policy_form), what=_("Nothing was sent"))
    policy_form.close_row()
    errors = [error for error in policy_form.lost() if error.field.startswith(f"{policy_form.tested}.")]
    answer = await test(visit, policy_form, errors)
    return await _page(visit, policy_form, answer.errors, what=_("Nothing was sent"), limit=answer.limit, focus="tried")


async def _preset(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """Fill a service's form in with a preset's values, in place of what stands in it."""
    if at not in policy_form.shown:
        return await _page(visit, policy_form)
    service = find_services()[at]
    preset = next((one for one in capabilities(service).presets if one.name == visit.form.get(f"preset-{at}")), None)
    if preset is None:
        return await _page(visit, policy_form, focus=f"preset-{at}")
    if policy_form.row_changed:
        return await _page(visit, policy_form, _not_committed(policy_form))
    policy_form.close_row()
    settings = read_section(service.Settings, dict(preset.section), at).settings
    policy_form.parts[at] = part_of(service.Settings, plain(settings))
    said = _("The form is filled in for %(preset)s. Nothing is saved yet.", preset=preset.title)
    return await _page(visit, policy_form, filled=(at, preset), focus=f"filled-{at}", said=said)


async def _send(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """Send the same text with what is saved, through the outbox and the messaging service."""
    answer = await send(visit, policy_form)
    return await _page(
        visit,
        policy_form,
        answer.errors,
        what=_("Nothing was sent"),
        limit=answer.limit,
        focus="sent",
        said=_("The text is handed to the messaging service."),
    )


async def _explain(visit: Visit, policy_form: PolicyForm, at: str) -> Response:
    """Who would send to these numbers by what is in this form."""
    service = find_services().get(policy_form.chosen)
    try:
        numbers = split(policy_form.numbers)
    except TooMany as refused:
        return await _page(
            visit, policy_form, [FieldError("numbers", "out_of_range", str(refused))], what=_("Too many")
        )
    if service is None or not numbers:
        message = _("Type a number, or paste a list.") if service else _("Choose a sender service first.")
        where = "numbers" if service else "sender_service"
        return await _page(visit, policy_form, [FieldError(where, "required", message)], what=_("Nothing to explain"))
    plan = by_form(policy_form, await stored_secrets(visit.context, visit.tenant))
    if plan.obstacle:
        return await _page(visit, policy_form, notice=plan.obstacle)
    explained = lines(plan, numbers)
    said = ngettext(
        "One number is explained.",
        "%(number)s numbers are explained.",
        len(explained),
        number=len(explained),
    )
    return await _page(visit, policy_form, explained=explained, focus="explained", said=said)


def _not_committed(policy_form: PolicyForm) -> list[FieldError]:
    row = policy_form.row
    assert row is not None, "only an open row can have changed"
    message = _(
        "%(row)s: what you typed in this row is not in the form yet. Save the row, or cancel it.",
        row=_(row.of.row_label),
    )
    return [FieldError(row.path, "invalid", message)]


async def _saved(visit: Visit) -> Policy:
    return await visit.context.store.get(POLICIES, visit.tenant) or Policy(visit.tenant)


async def _page(
    visit: Visit,
    policy_form: PolicyForm,
    errors: Sequence[FieldError] = (),
    *,
    what: str = "",
    notice: str = "",
    limit: str = "",
    focus: str = "",
    status: int = 200,
    newer: Sequence[Any] = (),
    explained: Sequence[Explanation] = (),
    filled: tuple[str, Preset] | None = None,
    said: str = "",
) -> Response:
    """The page, or for htmx the form alone; `said` is what a screen reader says of what was just done."""
    wrong = Wrong(_at_what_is_shown(policy_form, errors))
    what = what or _("Nothing was saved")
    seals = Seals(visit, policy_form.id)
    plan = await read_plan(visit.context, visit.tenant)
    saved = plan.policy
    view = View(visit, policy_form, seals, await stored_secrets(visit.context, visit.tenant), wrong, filled)
    focus = "" if wrong or newer else focus
    outcome = await compared(visit, policy_form, seals)
    if wrong:
        said = ngettext(
            "%(what)s: 1 field needs your attention.",
            "%(what)s: %(number)s fields need your attention.",
            len(wrong),
            what=what,
            number=len(wrong),
        )
    elif newer:
        said = _("Nothing was saved: the policy was saved by somebody else after you opened this form.")
    elif limit or notice:
        said = limit or notice
    elif focus == "tried":
        said = f"{outcome.sentence} {outcome.follows}"
    values: dict[str, Any] = {
        "form": policy_form,
        "saved": saved,
        "saved_title": _title(saved.sender_service),
        **obstacles(plan),
        "services": [("", _("None: no text is sent")), *((name, one.TITLE) for name, one in find_services().items())],
        "section": view.section(policy_form.chosen) if policy_form.chosen else None,
        "carried": list(view.carried()),
        "fallbacks": list(view.fallbacks(saved_form(saved, policy_form.id), focus)),
        "falls_back": bool(policy_form.chosen) and capabilities(find_services()[policy_form.chosen]).falls_back,
        "testers": [(name, find_services()[name].TITLE) for name in policy_form.shown],
        "fallback_choices": view.fallback_choices(),
        "changed": visit.method == "POST" and _differs(policy_form, saved),
        "wrong": wrong,
        "what": what,
        "notice": notice,
        "limit": limit,
        "focus": focus,
        "newer": newer,
        "explained": explained,
        "compared": outcome,
        "said": said,
    }
    status = 422 if wrong else 429 if limit else status
    if visit.htmx:
        return visit.fragment("policy_form.html", status, **values)
    notices = await list_notices(visit.context, visit.tenant, visit.surroundings.public_url)
    return await visit.page("policy.html", status, resting=await resting(visit), notices=notices, **values)


def _title(name: str | None) -> str:
    return find_services()[name].TITLE if name in find_services() else ""


def _differs(policy_form: PolicyForm, saved: Policy) -> bool:
    """Whether there is something in the form that is not saved."""
    fresh = saved_form(saved, policy_form.id)
    mine, there = policy_form.body(), fresh.body()
    return {**mine, "revision": 0} != {**there, "revision": 0}


def _at_what_is_shown(policy_form: PolicyForm, errors: Sequence[FieldError]) -> list[FieldError]:
    """The errors at fields that are in the page: opens the first row with one, names services that are not shown."""
    placed = []
    for error in errors:
        name = error.field.split(".")[0]
        if name in find_services() and name not in policy_form.shown:
            message = _(
                "%(service)s, which is not shown: %(error)s", service=find_services()[name].TITLE, error=error.message
            )
            error = FieldError("sender_service", error.code, message)
        elif name.split("[")[0] in STANDBY_FIELDS and not policy_form.asks_standby:
            message = _("When it fails, which is not shown: %(error)s", error=error.message)
            error = FieldError("sender_service", error.code, message)
        elif (row := read_row(error.field.rpartition(".")[0])) is not None and policy_form.row is None:
            policy_form.open_row(row)
        placed.append(error)
    return placed


_BUTTONS: Final[dict[str, Callable[[Visit, PolicyForm, str], Done]]] = {
    "show": _show,
    "enter": _enter,
    "add": _add,
    "edit": _edit,
    "cancel": _cancel,
    "remove": _remove,
    "keep": _keep,
    "save": _save,
    "preset": _preset,
    "test": _test,
    "send": _send,
    "explain": _explain,
}

PAGES: Final[tuple[Page, ...]] = (
    Page(PATH, get=shown, post=pressed, entry="policy"),
    *REVISIONS,
    *ROUTES,
)

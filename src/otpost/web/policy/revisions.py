"""The sender policy's revisions: who saved what and when, and Restore, which asks for the secrets that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from otpost.domain.errors import FieldError, Invalid, NotFound, RevisionConflict, refusal
from otpost.domain.policy import Policy, Revision
from otpost.domain.secret import Secret
from otpost.senders.registry import find_services
from otpost.senders.settings import changes, load, places, plain
from otpost.services.policy import draft
from otpost.services.policy import revisions as policies
from otpost.services.policy.read import list_revisions
from otpost.store.kinds import POLICIES, REVISIONS
from otpost.web.policy.fallback import follows
from otpost.web.policy.form import new_form_id
from otpost.web.policy.seals import FormSecret, Seals
from otpost.web.policy.view import TYPED, Stored, stored_secrets
from otpost.web.request import Page, Visit, Wrong
from otpost.web.translation import _

ROWS: Final = 25


@dataclass(frozen=True, slots=True)
class MissingSecret:
    """A secret that the revision needs and that is not stored (any more)."""

    path: str
    label: str
    state: str
    sealed: str


async def listing(visit: Visit) -> Response:
    cursor = visit.query.get("cursor")
    page = await list_revisions(visit.context, visit.tenant, limit=ROWS, cursor=cursor if _number(cursor) else None)
    current = await _saved(visit)
    return await visit.page("policy_revisions.html", page=page, current=current.revision, cursor=cursor)


async def one(visit: Visit) -> Response:
    """A revision against what is in force now, with Restore."""
    return await _page(visit, await _revision(visit), new_form_id(visit), {})


async def restore(visit: Visit) -> Response:
    """Save the old values again, with the secrets that were typed."""
    revision = await _revision(visit)
    given = visit.form.get("form")
    form_id = given if re.fullmatch(r"[0-9a-f]{32}", given) else new_form_id(visit)
    typed = dict(_typed(visit, revision, Seals(visit, form_id)))
    number = _number(visit.form.get("revision"))
    if lost := [path for path, secret in typed.items() if secret.lost]:
        again = _("What was typed here is forgotten: it was more than 15 minutes ago. Type it again.")
        errors = [FieldError(path, "token_required", again) for path in lost]
        return await _page(visit, revision, form_id, typed, errors)
    body = _body(revision, {path: secret.typed for path, secret in typed.items() if secret.typed is not None}, number)
    try:
        old = await draft.restored(visit.context, visit.tenant, revision.number, body)
        if errors := await draft.url_errors(visit.surroundings.http, old):
            raise refusal(errors)
        saved = await policies.put(visit.context, visit.actor, old)
    except Invalid as refused:
        return await _page(visit, revision, form_id, typed, list(refused.errors))
    except RevisionConflict:
        return await _page(visit, revision, form_id, typed, conflict=True)
    words = _("Revision %(old)s is restored, as revision %(new)s.", old=revision.number, new=saved.policy.revision)
    return visit.go("/sender-policy", flash=f"{words} {await follows(visit)}")


async def _page(
    visit: Visit,
    revision: Revision,
    form_id: str,
    typed: dict[str, FormSecret],
    errors: Sequence[FieldError] = (),
    *,
    conflict: bool = False,
) -> Response:
    current = await _saved(visit)
    stored = await stored_secrets(visit.context, visit.tenant)
    wrong = Wrong(errors)
    return await visit.page(
        "policy_revision.html",
        422 if errors else 409 if conflict else 200,
        revision=revision,
        current=current,
        form_id=form_id,
        wrong=wrong,
        conflict=conflict,
        differences=list(_differences(current, revision)),
        lacking=list(_lacking(revision, stored, typed, wrong, Seals(visit, form_id))),
    )


def _differences(current: Policy, revision: Revision) -> Iterator[str]:
    """What Restore would change, in words."""
    yield from policies.choice_changes(current, revision)
    for name, service in find_services().items():
        old = plain(load(service.Settings, current.sections.get(name, {})))
        new = plain(load(service.Settings, revision.sections.get(name, {})))
        for change in changes(service.Settings, old, new):
            yield f"{service.TITLE}: {change}"


def _lacking(
    revision: Revision, stored: Stored, typed: dict[str, FormSecret], wrong: Wrong, seals: Seals
) -> Iterator[MissingSecret]:
    asked = set()
    for name, service in find_services().items():
        in_use = name in (revision.sender_service, *revision.fallback)
        settings = load(service.Settings, revision.sections.get(name, {}))
        for place in places(settings, name):
            needed = in_use and place.field.required and (name, place.ref) not in stored
            if (needed or wrong.at(place.path)) and (name, place.ref) not in asked:
                asked.add((name, place.ref))
                secret = typed.get(place.path, FormSecret())
                label = f"{service.TITLE}: {_(place.label)}"
                yield MissingSecret(place.path, label, _(TYPED) if secret.typed else _("not set"), seals.close(secret))


def _typed(visit: Visit, revision: Revision, seals: Seals) -> Iterator[tuple[str, FormSecret]]:
    for name, service in find_services().items():
        for place in places(load(service.Settings, revision.sections.get(name, {})), name):
            if text := visit.form.get(place.path):
                yield place.path, FormSecret(Secret(text), place.ref.destination)
            elif sealed := visit.form.get(f"{place.path}~sealed"):
                yield place.path, seals.open(sealed, place.ref.destination)


def _body(revision: Revision, typed: dict[str, Secret], number: int | None) -> dict[str, Any]:
    """The secrets as Restore takes them: rows by their place in the list."""
    body: dict[str, Any] = {"revision": number} if number is not None else {}
    for path, secret in typed.items():
        names = re.findall(r"[a-z0-9_]+|\[\d+\]", path)
        here: Any = body.setdefault(names[0], {})
        for name, following in zip(names[1:], [*names[2:], ""], strict=True):
            if name.startswith("["):
                index = int(name[1:-1])
                here += [{} for _ in range(index + 1 - len(here))]
                here = here[index]
            elif following:
                here = here.setdefault(name, [])
            else:
                here[name] = secret.reveal()
    return body


async def _revision(visit: Visit) -> Revision:
    number = _number(visit.path["number"])
    row = await visit.context.store.get(REVISIONS, visit.tenant, number) if number else None
    if row is None:
        raise NotFound(_("There is no such revision."))
    return row


async def _saved(visit: Visit) -> Policy:
    return await visit.context.store.get(POLICIES, visit.tenant) or Policy(visit.tenant)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


PAGES: Final[tuple[Page, ...]] = (
    Page("/sender-policy/revisions", get=listing, entry="policy"),
    Page("/sender-policy/revisions/{number}", get=one, post=restore, entry="policy"),
)

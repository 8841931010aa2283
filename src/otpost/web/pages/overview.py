"""The first page: the last 24 hours in figures, and what is not set up yet with the one next step."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from otpost.services.overview import SetUp, count_day, read_set_up
from otpost.services.policy.accounts import list_notices
from otpost.services.policy.plan import read_plan
from otpost.services.webhooks import endpoints
from otpost.web.policy.fallback import obstacles, resting
from otpost.web.request import Page, Visit
from otpost.web.timeline import service_title
from otpost.web.translation import _

MESSAGE_STATUSES: Final = (
    "queued", "sending", "accepted", "sent", "delivered", "undelivered", "failed", "expired", "unconfirmed",
)  # fmt: skip


async def overview(visit: Visit) -> Response:
    plan = await read_plan(visit.context, visit.tenant)
    there = await read_set_up(visit.context, visit.tenant)
    chosen = plan.policy.sender_service
    return await visit.page(
        "overview.html",
        day=await count_day(visit.context, visit.tenant),
        steps=_steps(there, chosen=chosen is not None),
        **obstacles(plan),
        notices=await list_notices(visit.context, visit.tenant, visit.surroundings.public_url),
        resting=await resting(visit),
        webhooks=await endpoints.disabled(visit.context, visit.tenant),
        service=service_title(chosen) if chosen is not None and plan.ready else "",
        statuses=MESSAGE_STATUSES,
    )


def _steps(there: SetUp, *, chosen: bool) -> list[tuple[bool, str, str, str, str]]:
    """What a new installation needs, in order: done, what, what happens meanwhile, where, the step in words."""
    return [
        (
            chosen,
            _("Choose who sends your texts"),
            _(
                "Until then starts and messages are refused. The sandbox needs no account: its texts stay in "
                "this console."
            ),
            "/sender-policy",
            _("Open the sender policy"),
        ),
        (
            there.keys > 0,
            _("Make a key for your application"),
            _("Until then no program can start a verification."),
            "/applications",
            _("Open the applications"),
        ),
        (
            there.ever_verified,
            _("Start a first verification"),
            _("The API reference shows the call; its verification then has a timeline here."),
            "/docs",
            _("Open the API reference"),
        ),
    ]


PAGES: Final[tuple[Page, ...]] = (Page("/overview", get=overview, entry="overview"),)

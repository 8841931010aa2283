"""The commands for one number: its lock, its route, a text to it."""

from __future__ import annotations

from otpost import telemetry
from otpost.cli.mistakes import Mistake
from otpost.cli.work import find_tenant, read_config, run, run_inside
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.domain.policy import NoRoute
from otpost.domain.text.judge import TextRefused, read_text
from otpost.installation import Installation
from otpost.services.audit import command_line_actor


def unlock(*, number: str, tenant: str | None) -> None:
    from otpost.services.verifications.number_limits import unlock_number

    recipient = _read_recipient(number)

    async def work(installation: Installation) -> str:
        context, own = installation.context, await find_tenant(installation, tenant)
        count = await context.store.run(unlock_number(context, command_line_actor(own.sid), recipient.e164))
        return f"{recipient.e164} is unlocked{f' in {count} applications' if count > 1 else ''}."

    print(run_inside(work))


def route(*, number: str, tenant: str | None) -> None:
    from otpost.services.policy.routes import explain_saved_route, name_sender

    recipient = _read_recipient(number)

    async def work(installation: Installation) -> str:
        own = await find_tenant(installation, tenant)
        chosen, others = await explain_saved_route(installation.context, own.sid, recipient)
        if isinstance(chosen, NoRoute):
            raise Mistake(f"Nothing is sent to {recipient.e164}: {chosen.reason}")
        lines = [
            f"service  {chosen.service}",
            f"account  {chosen.account_sid or '-'}",
            f"origin   {chosen.origin}",
            f"reason   {chosen.reason}",
            *(f"fallback {name_sender(way.route)} from {way.route.origin}" for way in others),
        ]
        return "\n".join(lines)

    print(run_inside(work))


def send_test(*, number: str, text: str, tenant: str | None) -> None:
    from otpost.sending import send_and_wait

    recipient = _read_recipient(number)
    try:
        text = read_text(text)
    except TextRefused as refused:
        raise Mistake(f"--text: {refused.message}") from None
    telemetry.configure("critical")
    told = run(send_and_wait(read_config(), tenant, recipient, text))
    if not told.well:
        raise Mistake(told.words)
    print(told.words)


def _read_recipient(text: str) -> PhoneNumber:
    try:
        return parse_recipient(text)
    except NumberRefused as refused:
        raise Mistake(f"NUMBER: {refused.message}") from None

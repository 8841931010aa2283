"""The sandbox takes everything and sends nothing."""

from __future__ import annotations

from otpost.domain.outcome import Accepted, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.senders import sandbox
from otpost.senders.registry import list_problems
from otpost.senders.service import Text
from senders.contract import Example, outbound

EXAMPLE = Example(section=lambda url: {}, cases={})

TO = trusted("+919191919191")


def test_every_number_goes_to_the_sandbox_phone():
    assert sandbox.route(sandbox.Settings(), TO) == Route(
        "sandbox", "", "Sandbox", "The sandbox is the chosen service: the text goes to its inbox, not to a phone."
    )


async def test_a_text_is_accepted_with_a_copy_and_a_sid_made_from_its_attempt():
    text = Text("AT0190", TO, "123456 is your code.", 300)
    async with outbound() as http:
        route = sandbox.route(sandbox.Settings(), TO)
        assert isinstance(route, Route)
        outcome = await sandbox.send(http, sandbox.Settings(), route, text)
    assert outcome == Accepted(Vendor(sid="sandbox-AT0190", status="accepted"), copy="123456 is your code.")


def test_the_sandbox_is_always_ready_and_never_a_fallback():
    assert list_problems(sandbox, sandbox.Settings(), "sandbox") == []
    assert sandbox.may_be_fallback is False

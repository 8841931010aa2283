"""What an SDK sent is sent again with one thing wrong: Twilio's answer, no failure, nothing of a neighbour's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, unquote_plus

import pytest

from asgi import Answered, ask
from compat.sdks import Sdk
from compat.served import RFC_9457, Exchange, Served
from compat.tour import OURS, THEIRS, Names, Tour
from compat.wrongs import NOTHING, SID, Whose, Wrong, basic, operation, revived, wrongs
from installation import until

READ = (
    "/v2/Services?PageSize=1000",
    "/v2/Services/{VA}/Verifications/{VE}",
    "/v2/Services/{VA}/RateLimits",
    "/v2/Services/{VA}/RateLimits/{RK}/Buckets",
    "/v2/Services/{VA}/MessagingConfigurations",
    "/v2/Attempts?PageSize=1000",
    "/v2/SafeList/Numbers/{safe}",
    "/2010-04-01/Accounts/{AC}/Messages.json?PageSize=1000",
)
"""What there is to see of a tenant."""


class Party:
    """A tenant that an SDK has worked for: what it sent, what lives on, and what may show to nobody else."""

    def __init__(self, served: Served, tour: Tour, exchanges: Sequence[Exchange]) -> None:
        self.served, self.names, self.gone = served, tour.names, tour.gone
        key = served.key
        self.whose = Whose(served.account, served.token, key.key.sid, key.secret, {**tour.living, "AC": served.account})
        recorded: dict[Any, Exchange] = {}
        for exchange in exchanges:
            said = operation(exchange)
            if said is not None and exchange.status < 400:
                fields = tuple(sorted(re.findall(rb"(?:^|&)([^=&]+)=", exchange.body)))
                recorded.setdefault((said["operationId"], fields), revived(exchange, self.whose, self.gone))
        # A deletion that went through would leave nothing to ask for.
        self.recorded = sorted(recorded.values(), key=lambda one: one.method == "DELETE")

    async def seen(self) -> list[Any]:
        """All that the tenant reads of its own."""
        headers = {"authorization": basic(self.whose.account, self.whose.token)}
        targets = [place.format(**self.whose.living) for place in READ]
        answers = [await ask(self.served.heard.app, "GET", target, headers=headers) for target in targets]
        assert [answer.status for answer in answers] == [200] * len(READ)
        return [answer.json() for answer in answers]

    async def secrets(self) -> set[str]:
        """What would give the tenant away, its names apart."""
        found = {sid for sid in SID.findall(json.dumps(await self.seen())) if sid[:2] not in ("HJ", "MG")}
        return found | {self.whose.token, self.whose.secret}


async def party(sdk: Sdk, served: Served, names: Names) -> Party:
    await sdk.connect(served.url, served.key.key.sid, served.key.secret, served.account)
    before = len(served.heard.exchanges)
    tour = await Tour(sdk, served, names).whole()
    made = Party(served, tour, served.heard.exchanges[before:])

    async def look() -> Any:
        return (await served.here.ok("GET", "/v1/messages?limit=200", key=served.key))["items"]

    await until(look, lambda items: all(item["status"] not in ("queued", "sending") for item in items))
    return made


async def sent(served: Served, wrong: Wrong) -> Answered:
    return await ask(served.heard, wrong.method, wrong.target, headers=wrong.headers, body=wrong.body)


def against(wrong: Wrong, answer: Answered, secrets: set[str]) -> list[str]:
    """What there is to say against an answer."""
    where = f"{wrong.method} {wrong.target[:160]} {wrong.what}: {answer.status} {answer.text[:200]}"
    if answer.status >= 500:
        return [f"{where} is a failure"]
    found = []
    body = answer.json() if answer.body else {}
    if answer.status >= 400:
        code = body.get("code")
        if wrong.answer is not None and (answer.status, code) != wrong.answer:
            found.append(f"{where} is not {wrong.answer}")
        if body.keys() >= RFC_9457:
            found.append(f"{where} has all four keys")
    elif wrong.answer is not None:
        found.append(f"{where} is not {wrong.answer}")
    asked = unquote(wrong.target) + unquote_plus(wrong.body.decode("latin-1"))
    found += [f"{where} shows {secret}" for secret in sorted(secrets) if secret in answer.text and secret not in asked]
    return found


@pytest.mark.slow
async def test_a_neighbour_is_shown_nothing_and_each_thing_wrong_is_told_as_twilio_tells_it(
    sdk: Sdk, served: Served
) -> None:
    theirs = await party(sdk, await served.next_door(), THEIRS)
    ours = await party(sdk, served, OURS)
    assert len(ours.recorded) > 40
    assert "\n".join(await with_their_credentials(served, ours, theirs)) == ""

    before = await theirs.seen()
    secrets = await theirs.secrets() | {THEIRS.shop, THEIRS.numbers, THEIRS.limit}
    complaints, told = list[str](), 0
    for exchange in ours.recorded:
        for wrong in wrongs(exchange, ours.whose, theirs.whose):
            told += 1
            complaints += against(wrong, await sent(served, wrong), secrets)
    assert "\n".join(complaints) == ""
    assert told > 3_000
    assert await theirs.seen() == before


async def with_their_credentials(served: Served, ours: Party, theirs: Party) -> list[str]:
    """What a neighbour gets to see or to change of ours with requests that we made."""
    before, secrets, complaints = await ours.seen(), await ours.secrets(), list[str]()
    # What names nothing of ours comes last: a neighbour may make what is called as ours is.
    for exchange in sorted(ours.recorded, key=lambda one: not _names_ours(one)):
        for name, secret in ((theirs.whose.account, theirs.whose.token), (theirs.whose.key, theirs.whose.secret)):
            headers = {each: value for each, value in exchange.headers.items() if each != "content-length"}
            headers["authorization"] = basic(name, secret)
            answer = NOTHING if _names_ours(exchange) else None
            wrong = Wrong("their credentials", exchange.method, exchange.target, headers, exchange.body, answer)
            complaints += against(wrong, await sent(served, wrong), secrets)
    if await ours.seen() != before:
        complaints.append("something of ours is not what it was")
    return complaints


def _names_ours(exchange: Exchange) -> bool:
    return bool(SID.search(exchange.path)) or "/Numbers/" in exchange.path

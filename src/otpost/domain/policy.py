"""The sender policy: a tenant's choice and settings of sender services, the route it gives, what stands in its way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from otpost.domain.outcome import ReasonName
from otpost.domain.phone import PhoneNumber

Sections = dict[str, dict[str, Any]]
CALLBACKS_REFUSED: Final = "callbacks_refused"
CALLBACKS_TOO_LONG: Final = "callbacks_too_long"
STANDS_MS: Final = 3_600_000
EVERY_COUNTRY: Final = "all"


class Rate(msgspec.Struct, frozen=True):
    """How many messages a second an origin may send."""

    origin: str
    messages_per_second: float


class Policy(msgspec.Struct, frozen=True):
    """The policy in force. `sections` hold each service's settings without any secret.

    `fallback` are the services that stand in, in their order. `failover_after_s`: a text goes the next way once this
    long has passed without a report that says `delivered`. `rates` hold for origins that may not send as fast as their
    account.
    """

    tenant: str
    revision: int = 0
    sender_service: str | None = None
    fallback: tuple[str, ...] = ()
    sections: Sections = {}
    incomplete: bool = True
    updated_at: int = 0
    failover_after_s: int | None = None
    rates: tuple[Rate, ...] = ()


class Revision(msgspec.Struct, frozen=True):
    """One Save: who, when, what changed in words (secrets as "changed"), and the values without secrets."""

    tenant: str
    number: int
    at: int
    who: str
    changes: tuple[str, ...]
    sender_service: str | None
    fallback: tuple[str, ...]
    sections: Sections
    failover_after_s: int | None = None
    rates: tuple[Rate, ...] = ()


class StoredSecret(msgspec.Struct, frozen=True):
    """An encrypted secret of one owner for one destination.

    Once `retired_at` is set it no longer sends, and is erased 48 hours later: until then it still proves the
    reports and look-ups of what it sent.
    """

    sid: str
    tenant: str
    service: str
    field: str
    owner: str
    destination: str
    sealed: str
    set_at: int
    set_by: str
    retired_at: int | None = None


class Route(msgspec.Struct, frozen=True):
    """The decision for one message.

    `account_sid` names the account whose credentials are used (empty where a service has none).
    `origin` is what the phone shows: an E.164 number, a short code, an alphanumeric sender, or the SID of a
    Messaging Service (`MG…`) that picks one. `reason` is a sentence for the administrator.
    """

    service: str
    account_sid: str
    origin: str
    reason: str


def lane_of(tenant: str, route: Route) -> str:
    """The queue that a tenant's route shares with everything that it sends through the same account."""
    return f"{tenant}:{route.service}:{route.account_sid}"


class NoRoute(msgspec.Struct, frozen=True):
    """The policy refuses to send to this number; `reason` is a sentence for the administrator."""

    reason: str


class CountrySender(NamedTuple):
    """The Messaging Service that an application asks for, and the country it is for: `CA`, or `all` for every other."""

    country: str
    service_sid: str


def closest_filter(to: PhoneNumber, filters: Iterable[str]) -> str | None:
    """Of `filters` (`+91`, `+1876`, `PR`) the one that says most about a number that it fits, or None.

    That is the longest prefix. A region says more than its country's dialing code, and less than any longer prefix:
    for a number of San Juan `+1787` goes before `PR`, and `PR` before `+1`.
    """
    best, most, region = None, 0, None
    for one in filters:
        if one.startswith("+"):
            fits, says = to.e164.startswith(one), 2 * len(one)
        else:
            region = to.region if region is None else region
            fits, says = one == region, 2 * len(to.dialing_code) + 1
        if fits and says > most:
            best, most = one, says
    return best


class Notice(msgspec.Struct, frozen=True):
    """One thing that stands in the way of a tenant's reports at one sender service.

    `what` is its stable name, `detail` what it is about: the public URL. `why` is the sentence of whoever refuses.
    Until `until` Otpost acts on it; after that it tries again, and the notice goes once that went well.
    """

    tenant: str
    what: str
    service: str
    since: int
    until: int
    detail: str
    why: str

    @property
    def sentence(self) -> str:
        return (
            f"Callbacks to {self.detail} are refused. {self.why} Texts by this service go out without a callback "
            "address, so that their reports come late or not at all."
        )

    @property
    def remedy(self) -> str:
        if self.what == CALLBACKS_TOO_LONG:
            return "Set OTPOST_PUBLIC_URL to a shorter address and start Otpost again."
        signs = " without underscores in its host" if "_" in self.detail.partition("://")[2].partition("/")[0] else ""
        return (
            f"OTPOST_PUBLIC_URL must be a public https address{signs}, like https://otp.example.com; set it and start "
            "Otpost again."
        )


def callbacks_refused(
    standing: Notice | None, tenant: str, service: str, public_url: str, why: str, now: int
) -> Notice:
    """The notice after one more refusal by the service; it stands for an hour from now on."""
    since = standing.since if standing is not None and standing.detail == public_url else now
    return Notice(tenant, CALLBACKS_REFUSED, service, since, now + STANDS_MS, public_url, why)


class Breaker(msgspec.Struct, frozen=True):
    """The open circuit breaker of an account: nothing is sent through it until `probe_at`, then one text tries it.

    `revision` is that of the policy under which it opened: a Save closes it. `reason` and `detail` are those of the
    failure that opened it, `failures` how many there were in a row.
    """

    lane: str
    tenant: str
    service: str
    account_sid: str
    revision: int
    reason: ReasonName
    detail: str
    failures: int
    opened_at: int
    probe_at: int

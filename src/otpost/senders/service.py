"""What a sender service is: the values that go in and come out, and what its module offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from otpost.domain.errors import FieldError
from otpost.domain.outcome import Outcome, ReasonName
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import CountrySender, NoRoute, Route
from otpost.domain.secret import Secret
from otpost.outbound import Response
from otpost.senders.codes import Status
from otpost.senders.settings import SecretRef

CONNECT_S: Final = 5.0
TOTAL_S: Final = 10.0
"""What every request to a service may take: to connect, and in all."""


class Http(Protocol):
    """What a service asks of the network; `otpost.outbound.Outbound` is it. Raises what that one raises.

    `ca` are the certificates (PEM) of the authorities that alone may have signed the server's own.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        connect_s: float,
        total_s: float,
        ca: str | None = None,
    ) -> Response: ...


@dataclass(frozen=True, slots=True)
class Text:
    """One text to hand over: the attempt's SID, the recipient, the words, and how long they are worth delivering.

    `at` (ms) is the moment of it, for a service whose requests are signed with the time.
    """

    attempt: str
    to: PhoneNumber
    body: str = field(repr=False)
    valid_for_s: int
    callback_url: str | None = None
    at: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a service with what opens it; `url` is where the service is called."""

    sid: str
    token: Secret
    url: str


@dataclass(frozen=True, slots=True)
class LookUpFailed:
    """The service did not answer the question, which proves nothing.

    `about_credentials`: it did not take the account's credentials, so that asking again the same way is useless.
    """

    reason: str
    about_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of a message, as the service says.

    `reason` is of the closed set, `detail` a sentence of ours on this very case and `link` the service's page on its
    code; None and empty where nothing went wrong. `attempt` is our own name of the message, where the service gives it
    back: so a report at a fixed address finds an attempt whose answer was lost.
    """

    status: Status
    vendor_status: str
    vendor_code: str | None
    vendor_sid: str
    account_sid: str
    reason: ReasonName | None = None
    detail: str = ""
    link: str | None = None
    attempt: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One message in an account's own listing. `created_at` is None where the service's date could not be read."""

    sid: str
    created_at: int | None
    body: str = field(repr=False)
    told: Reported


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A call of the service to us. `url` is the public one, as the service was given it, query included."""

    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The call is no report: it asks that `url` be called, so that reports come from then on."""

    url: str


@dataclass(frozen=True, slots=True)
class NotProven:
    """The call may come from anybody: nothing of it is believed. `reason` is for the log."""

    reason: str


class SenderService(Protocol):
    """What each sender service's module offers.

    `NAME` is the section's name in the policy, `TITLE` the company's name, `PLACE` its place in lists (low comes
    first), `may_be_fallback` whether it may stand in for another service.
    """

    def __hash__(self) -> int: ...
    @property
    def NAME(self) -> str: ...
    @property
    def TITLE(self) -> str: ...
    @property
    def PLACE(self) -> int: ...
    @property
    def may_be_fallback(self) -> bool: ...
    @property
    def Settings(self) -> type[Any]: ...

    def route(self, settings: Any, to: PhoneNumber) -> Route | NoRoute:
        """Which account and origin send to this number; a pure decision."""

    def account_secret(self, settings: Any, route: Route) -> SecretRef | None:
        """The secret without which this route cannot be used, if there is one."""

    async def send(self, http: Http, settings: Any, route: Route, text: Text) -> Outcome:
        """Hand the text over, once. `settings` have their secrets filled in. Never raises for what a service does.

        `field` of a refusal is relative to the section: `api_url`, `subaccounts[1].auth_token`.
        """


@runtime_checkable
class JudgesSettings(Protocol):
    """A service whose settings ask for more than that those which are required are there."""

    def problems(self, settings: Any, path: str) -> list[FieldError]:
        """What else keeps these settings from being used, secrets apart; field codes `required` and `invalid`."""


@runtime_checkable
class HasAccounts(Protocol):
    """A service whose accounts can be asked about their messages."""

    def account(self, settings: Any, route: Route, token: Secret) -> Account:
        """The account that this route sends from, opened by `token`."""


@runtime_checkable
class LooksUp(HasAccounts, Protocol):
    """A service that lists what it was asked to send, so that a lost answer can be settled."""

    async def look_up(self, http: Http, account: Account, to: PhoneNumber, since: int) -> list[Listed] | LookUpFailed:
        """The account's messages to this number that were created after `since` (ms), or at most 5 s before it."""


@runtime_checkable
class ReadsReports(Protocol):
    """A service that calls back with what became of a message.

    One whose calls carry no signature says so by `PROVEN_BY_ADDRESS = True` in its module: the address that it is
    given then ends with `?proof=…`, which only Otpost can make, and `read_report` is asked only where that was right.
    Such a service may also call one fixed address for all its messages, shown in the console; the report is then the
    attempt's that it names, or whose `vendor_sid` it names. One that takes no address beyond some length says it by
    `LONGEST_CALLBACK`.
    """

    def read_report(
        self, settings: Any, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
    ) -> Sequence[Reported] | NotProven | Confirmation:
        """Prove and read all the reports of a call, at least one; where one of them cannot be read, none is believed.

        `tokens` are those that may have signed it, by their owner (the account's SID). `settings` are those in force,
        secrets filled in.
        """


@runtime_checkable
class AnswersReports(ReadsReports, Protocol):
    """A service that waits for an answer of its own to each report."""

    def report_answer(self, settings: Any) -> tuple[int, str]:
        """The status and the words, which are plain text; they are the answer to what was taken."""


@runtime_checkable
class FetchesReports(HasAccounts, Protocol):
    """A service that can be asked what became of a message."""

    async def fetch_report(self, http: Http, account: Account, vendor_sid: str) -> Reported | LookUpFailed:
        """What became of the message that the service calls `vendor_sid`."""


@runtime_checkable
class FallsBack(Protocol):
    """A service that has another account to send from when one refuses."""

    def other_route(self, settings: Any, refused: Route) -> Route | None:
        """The route to take after this one's account refused, if the settings allow another."""


@runtime_checkable
class RoutesByCountry(FallsBack, Protocol):
    """A service whose account can send to a country by a Messaging Service that the application names."""

    def route_by_country(self, settings: Any, to: PhoneNumber, chosen: CountrySender | None) -> Route | NoRoute:
        """What `route` answers, but for the origin: `chosen` where the choice is the account's own."""

    def other_route_by_country(self, settings: Any, refused: Route, chosen: CountrySender | None) -> Route | None:
        """What `other_route` answers, but for the origin."""


@runtime_checkable
class SendsAgain(Protocol):
    """A service that can neither list nor report, for which the administrator decides about lost answers."""

    def sends_again_when_unknown(self, settings: Any) -> bool:
        """Whether a text whose answer was lost is sent once more, at the risk that it arrives twice."""


class Preset(Protocol):
    """Settings to begin with, offered by a service whose module has `PRESETS`, a tuple of them.

    `section` is what the form is filled with, without secrets; `link` the page that it was made from; `typed` the
    paths in the section that are still to be typed, and `note` what else is to be done.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def link(self) -> str: ...
    @property
    def section(self) -> Mapping[str, Any]: ...
    @property
    def typed(self) -> Sequence[str]: ...
    @property
    def note(self) -> str: ...

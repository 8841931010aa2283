"""What the pretended Twilio holds: accounts, their senders, and a record of everything that reached it.

Facts: https://www.twilio.com/docs/iam/api/subaccounts and https://www.twilio.com/docs/messaging/services .
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import defaultdict
from functools import cache, lru_cache
from typing import Any, Literal

import msgspec
import phonenumbers

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
SHORT_CODE = re.compile(r"[0-9]{3,8}")
ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}")

Pairs = list[tuple[str, str]]


class Sender(msgspec.Struct):
    """A sender in a pool. `country` (ISO letters) is read from a number; a short code's has to be given."""

    origin: str
    country: str | None = None


class MessagingService(msgspec.Struct):
    """`senders` are origins, or `Sender` where the country cannot be read from the origin."""

    sid: str
    senders: list[str | Sender] = []


class Account(msgspec.Struct, kw_only=True):
    """An account of the pretended Twilio. `test`: test credentials, which know only the magic numbers.

    `numbers`: origins that it owns besides those in its Messaging Services. `api_keys`: SID to secret.
    `max_concurrent`: requests at one time before 20429. `redact_bodies`: listings show empty bodies.
    """

    sid: str
    auth_token: str
    parent: str | None = None
    numbers: list[str] = []
    messaging_services: list[MessagingService] = []
    api_keys: dict[str, str] = {}
    status: Literal["active", "suspended", "closed"] = "active"
    test: bool = False
    max_concurrent: int | None = None
    redact_bodies: bool = False


class RequestRecord(msgspec.Struct, kw_only=True):
    """A request as it came on the wire. `status` and `code` are the answer's; `status` is None while there is none.

    `account` and `message` come from the path; `fault`: the fault that struck it.
    """

    index: int
    at: int
    method: str
    path: str
    headers: Pairs
    form: Pairs
    body: str
    username: str | None
    password: str | None
    operation: str | None
    account: str | None
    message: str | None
    fault: int | None = None
    held: bool = False
    status: int | None = None
    code: int | None = None


class MessageRecord(msgspec.Struct, kw_only=True):
    """An accepted message. `body` is the text as it was accepted; `sender` what the phone shows.

    `origin` is the request's From; `request` is None for a planted message.
    """

    index: int
    sid: str
    account: str
    to: str
    body: str
    origin: str | None
    messaging_service_sid: str | None
    sender: str
    status: str
    created_at: int
    updated_at: int
    num_segments: int
    sent_at: int | None = None
    error_code: int | None = None
    validity_period: int | None = None
    status_callback: str | None = None
    request: int | None = None
    username: str | None = None
    test: bool = False
    sender_chosen: bool = True
    redacted: bool = False
    deleted: bool = False


class CallbackRecord(msgspec.Struct, kw_only=True):
    """One try of a status callback. `url` is what was signed; `answered` the HTTP status, or None with `error`."""

    index: int
    at: int
    message: str
    status: str
    url: str
    form: Pairs
    headers: Pairs
    attempt: int
    finished: bool = False
    answered: int | None = None
    error: str | None = None


class Violation(msgspec.Struct, kw_only=True):
    """Something that a right client never does; `rule` is one word, `detail` a sentence."""

    index: int
    request: int
    rule: str
    detail: str


class Records(msgspec.Struct, kw_only=True):
    """Everything that happened, each list in order of arrival."""

    requests: list[RequestRecord] = []
    messages: list[MessageRecord] = []
    callbacks: list[CallbackRecord] = []
    violations: list[Violation] = []

    @property
    def held(self) -> int:
        """How many requests a `hang` holds now."""
        return sum(request.held for request in self.requests)

    def sent_to(self, to: str) -> list[MessageRecord]:
        return [message for message in self.messages if message.to == to]


KINDS = {"requests": RequestRecord, "messages": MessageRecord, "callbacks": CallbackRecord, "violations": Violation}


class Config(msgspec.Struct, kw_only=True):
    """`latency_ms` goes before every answer. `keep_requests` off: requests are counted, and not kept."""

    accounts: list[Account]
    latency_ms: int = 0
    keep_requests: bool = True
    callback_timeout_s: float = 15.0


class World:
    """The state of one pretended Twilio, in memory alone."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.accounts: dict[str, Account] = {account.sid: account for account in config.accounts}
        self.in_flight: dict[str, int] = defaultdict(int)
        self.records = Records()
        self.request_count = 0
        self.epoch = 0
        self.fixed_now: int | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._even: dict[str, int] = defaultdict(int)
        self.clear()

    def clear(self) -> None:
        """Forgets what happened; accounts stay."""
        for kind in KINDS:
            getattr(self.records, kind).clear()
        self.request_count = 0
        self.journal: list[tuple[str, int]] = []
        self.by_sid: dict[str, MessageRecord] = {}
        self.by_account: dict[str, list[MessageRecord]] = defaultdict(list)
        self.by_recipient: dict[tuple[str, str], list[MessageRecord]] = defaultdict(list)
        self.epoch += 1
        self._wake()

    def now(self) -> int:
        """Milliseconds since the epoch, or what `set_clock` fixed."""
        return time.time_ns() // 1_000_000 if self.fixed_now is None else self.fixed_now

    def changed(self, kind: str, index: int) -> None:
        self.journal.append((kind, index))
        if self._waiting:
            self._wake()

    async def change(self) -> None:
        """Returns after the next change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def arrived(self, **fields: Any) -> RequestRecord:
        record = RequestRecord(index=self.request_count, at=self.now(), **fields)
        self.request_count += 1
        if self.config.keep_requests:
            self.records.requests.append(record)
            self.changed("requests", record.index)
        return record

    def answered(self, record: RequestRecord) -> None:
        requests = self.records.requests
        if record.index < len(requests) and requests[record.index] is record:
            self.changed("requests", record.index)

    def message_changed(self, message: MessageRecord) -> None:
        if self.by_sid.get(message.sid) is message:
            self.changed("messages", message.index)

    def violated(self, record: RequestRecord, rule: str, detail: str) -> None:
        violations = self.records.violations
        violations.append(Violation(index=len(violations), request=record.index, rule=rule, detail=detail))
        self.changed("violations", len(violations) - 1)

    def keep(self, **fields: Any) -> MessageRecord:
        message = MessageRecord(index=len(self.records.messages), sid="SM" + uuid.uuid4().hex, **fields)
        self.records.messages.append(message)
        self.by_sid[message.sid] = message
        self.by_account[message.account].append(message)
        self.by_recipient[message.account, message.to].append(message)
        self.changed("messages", message.index)
        return message

    def owner_of(self, origin: str) -> Account | None:
        return next((account for account in self.accounts.values() if origin in _origins(account)), None)

    def owns(self, account: Account, origin: str) -> bool:
        return origin in _origins(account)

    def service(self, sid: str) -> tuple[Account, MessagingService] | None:
        for account in self.accounts.values():
            for service in account.messaging_services:
                if service.sid == sid:
                    return account, service
        return None

    def choose_sender(self, service: MessagingService, to: str) -> str | None:
        """A sender of the recipient's country, else one of the United States, else any number.

        Within a country a short code comes before an alphanumeric sender, that before a number; equals take turns.
        An alphanumeric sender counts as of every country outside dialing code 1.
        """
        senders = [Sender(item) if isinstance(item, str) else item for item in service.senders]
        home = country_of(to)
        abroad_only = [s for s in senders if ALPHANUMERIC.fullmatch(s.origin) and not to.startswith("+1")]
        numbers = [sender for sender in senders if E164.fullmatch(sender.origin)]
        at_home = [sender for sender in senders if home and _country(sender) == home]
        for candidates in (
            [sender for sender in at_home if SHORT_CODE.fullmatch(sender.origin)],
            abroad_only,
            [sender for sender in at_home if E164.fullmatch(sender.origin)],
            [sender for sender in numbers if _country(sender) == "US"],
            numbers,
        ):
            if candidates:
                self._even[service.sid] += 1
                return candidates[self._even[service.sid] % len(candidates)].origin
        return None


def _origins(account: Account) -> set[str]:
    pooled = (sender for service in account.messaging_services for sender in service.senders)
    return {*account.numbers, *(sender if isinstance(sender, str) else sender.origin for sender in pooled)}


def _country(sender: Sender) -> str | None:
    return sender.country or (country_of(sender.origin) if E164.fullmatch(sender.origin) else None)


@lru_cache(maxsize=65_536)
def country_of(number: str) -> str | None:
    """ISO letters of the country that an E.164 number belongs to."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None


@cache
def _possible_lengths(dialing_code: int) -> frozenset[int]:
    """How many digits may follow this dialing code; none where it does not exist."""
    lengths: set[int] = set()
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(dialing_code, ()):
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(dialing_code, region)
        if metadata is not None and metadata.general_desc is not None:
            lengths.update(metadata.general_desc.possible_length)
    return frozenset(lengths)


def is_possible(number: str) -> bool:
    """Whether this is E.164 with a dialing code that exists and a length that it has."""
    if not E164.fullmatch(number):
        return False
    return any(len(number) - 1 - width in _possible_lengths(int(number[1 : 1 + width])) for width in (1, 2, 3))

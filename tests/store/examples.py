"""Rows for tests of the store: one of each kind with every field in use, one with as few as it can have."""

from __future__ import annotations

from typing import Any

import msgspec

from otpost.domain.access import ApiKey, AuditLine, FirstAnswer, KeyCheck, Session, SignInLink, Tenant, User
from otpost.domain.application import Application, Features, MessagingConfiguration, Rules
from otpost.domain.limits import Bucket, NumberLimits, RateLimit, SafeNumber, Window
from otpost.domain.locale import Template
from otpost.domain.message import Attempt, EarlyReport, Message, MessageExtras, Node, Report, SandboxText
from otpost.domain.policy import Breaker, Notice, Policy, Rate, Revision, StoredSecret
from otpost.domain.verification import Event, Extras, Verification
from otpost.domain.webhook import Delivery, SigningSecret, Try, Webhook
from otpost.store import kinds
from otpost.store.units import Kind

LATE = 4_102_444_800_000
"""A moment that needs more than 32 bits."""

ODD = "Grüße, 你好 — “naïve” 🐘 'single' \"double\" back\\slash %s $1 :name ?\nline"


def verification(sid: str, **fields: Any) -> Verification:
    row = Verification(
        sid=sid,
        tenant="AC1",
        application="VA1",
        to="+4915112345678",
        status="pending",
        created_at=1_000,
        expires_at=301_000,
        resend_at=31_000,
        key_id="k1",
        code_length=6,
        lifetime_s=300,
        max_checks=5,
        max_sends=5,
        resend_after_s=30,
        message="SM1",
    )
    return msgspec.structs.replace(row, **fields)


def message(sid: str, **fields: Any) -> Message:
    row = Message(
        sid=sid,
        tenant="AC1",
        application="VA1",
        to="+4915112345678",
        status="queued",
        segments=1,
        created_at=1_000,
        valid_until=301_000,
        service="twilio",
        account_sid="AC9",
        origin="+1500",
        route_reason="The main account.",
        lane="AC1:twilio:AC9",
    )
    return msgspec.structs.replace(row, **fields)


def attempt(sid: str, **fields: Any) -> Attempt:
    row = Attempt(
        sid=sid,
        tenant="AC1",
        message="SM1",
        node="ND1",
        started_at=2_000,
        service="twilio",
        account_sid="AC9",
        origin="+1500",
        to="+4915112345678",
    )
    return msgspec.structs.replace(row, **fields)


def webhook(sid: str, **fields: Any) -> Webhook:
    row = Webhook(sid, "AC1", "VA1", "https://shop.example/", "", ("message.sent",), True, (), 1, 2)
    return msgspec.structs.replace(row, **fields)


def delivery(sid: str, **fields: Any) -> Delivery:
    row = Delivery(sid, "AC1", "VA1", "WH1", "WH1", "standard", None, "message.sent", "SM1", "{}", 1_000)
    return msgspec.structs.replace(row, **fields)


EVERY_KIND: list[tuple[Kind[Any], list[Any]]] = [
    (
        kinds.TENANTS,
        [Tenant("AC1", ODD, LATE, "VA1"), Tenant("AC2", "two", 1, "VA2", "sealed", LATE, "sealed too", LATE)],
    ),
    (
        kinds.API_KEYS,
        [
            ApiKey("SK1", "AC1", "verify", "VA1", ODD, "ab" * 32, 1, ODD, LATE, LATE, LATE),
            ApiKey("SK2", "AC1", "admin", None, "", "cd" * 32, 0),
        ],
    ),
    (kinds.USERS, [User("US1", "AC1", "ada", "$argon2id$…", LATE), User("US2", "AC1", ODD, None, 1)]),
    (kinds.SIGN_IN_LINKS, [SignInLink("ab" * 32, "AC1", "US1", LATE), SignInLink("cd" * 32, "AC1", None, 1)]),
    (kinds.SESSIONS, [Session("ab" * 32, "AC1", "US1", 1, LATE, LATE), Session("cd" * 32, "AC1", "US2", 1, 2, 3)]),
    (kinds.AUDIT, [AuditLine("AU1", "AC1", LATE, "ada", "policy.saved", ODD, "2001:db8::1")]),
    (
        kinds.FIRST_ANSWERS,
        [
            FirstAnswer("AC1", "start", ODD, "ab", 201, "sealed", LATE),
            FirstAnswer("AC1", "start", "k", "cd", 0, None, 1),
        ],
    ),
    (kinds.KEY_CHECKS, [KeyCheck("k1", "ab", LATE)]),
    (
        kinds.APPLICATIONS,
        [
            Application("VA1", "AC1", ODD, LATE, LATE),
            Application(
                "VA2",
                "AC1",
                "Shop",
                1,
                2,
                Rules(code_length=4, body=ODD, default_region="DE", allowed_dialing_codes=("49", "1876")),
                Features(
                    lookup=True,
                    tts_name=ODD,
                    template="HJ1",
                    other={"a": ODD, "b": True, "c": 1},
                    messaging={"CA": MessagingConfiguration("MG1", 1, LATE)},
                ),
                LATE,
            ),
        ],
    ),
    (
        kinds.POLICIES,
        [
            Policy("AC1"),
            Policy(
                "AC2",
                2_147_483_647,
                "twilio",
                ("generic", "sandbox"),
                {"twilio": {"accounts": [{"filter": "91", "odd": ODD}], "none": None, "on": True, "rate": 1.5}},
                False,
                LATE,
                600,
                (Rate("+15005550006", 0.1), Rate(ODD, 1000.0)),
            ),
        ],
    ),
    (
        kinds.REVISIONS,
        [
            Revision(
                *("AC1", 1, LATE, "ada", (ODD, "Sender phone"), "twilio", ("generic",), {"twilio": {"a": [1]}}),
                failover_after_s=30,
                rates=(Rate("Acme", 1.5),),
            ),
            Revision("AC1", 2, 1, "", (), None, (), {}),
        ],
    ),
    (
        kinds.SECRETS,
        [
            StoredSecret("SE1", "AC1", "twilio", "auth_token", "AC9", "https://api.twilio.com", "sealed", LATE, "ada"),
            StoredSecret("SE2", "AC1", "twilio", "auth_token", "AC9", "https://api.twilio.com", "s", 1, "bob", LATE),
        ],
    ),
    (
        kinds.VERIFICATIONS,
        [
            verification(
                "VE1",
                sends=2,
                checks=1,
                approved_at=LATE,
                locale="pt-BR",
                variables={"name": ODD, "": ""},
                events=(Event(LATE, "started", "SM1"), Event(2, "wrong_code")),
                status="approved",
                extras=Extras(ODD, "HJ1", ODD, ODD, {"a": ODD}, "9.99", ODD, "sealed"),
            ),
            verification("VE2"),
        ],
    ),
    (
        kinds.NUMBER_LIMITS,
        [
            NumberLimits("VA1", "+4915112345678", "AC1", LATE, LATE, (1, LATE), (2, 3, 4), 99, LATE, "VE1"),
            NumberLimits("VA1", "+4915112345679", "AC1", 1),
        ],
    ),
    (kinds.WINDOWS, [Window("client", "2001:db8::1", LATE, ((1, 2), (LATE, 3))), Window("application", "VA1", 1)]),
    (
        kinds.MESSAGES,
        [
            message(
                "SM1",
                due_at=LATE,
                verification="VE1",
                number=3,
                body=ODD,
                reason="text_refused",
                tries=2,
                attempt="AT1",
                turn=LATE,
                put_off=1,
            ),
            message("SM2"),
        ],
    ),
    (
        kinds.ATTEMPTS,
        [
            attempt(
                "AT1",
                outcome="accepted",
                status="delivered",
                duration_ms=12,
                answered=True,
                reason="answer_lost",
                detail=ODD,
                link="https://www.twilio.com/docs/api/errors/21211",
                vendor_http_status=201,
                vendor_code="21211",
                vendor_message=ODD,
                vendor_sid="SM99",
                vendor_status="queued",
                vendor_request_id="RQ1",
                unknown_at=LATE,
                looked_at=LATE,
                look_at=LATE,
                fetch_at=LATE,
            ),
            attempt("AT2"),
        ],
    ),
    (
        kinds.REPORTS,
        [
            Report("AT1", "delivered", "", "SM1", LATE, "delivered"),
            Report("AT1", ODD, "30003", "SM1", LATE, "undelivered", "not_reachable", "https://x.example/30003"),
        ],
    ),
    (
        kinds.EARLY_REPORTS,
        [
            EarlyReport("AC1", "generic", ODD, "sent", "", "x.example", LATE, LATE, "sent"),
            EarlyReport(*("AC1", "vonage", "0A", "failed", "1", "k", 1, 2, "failed", "not_delivered", ODD, ODD)),
        ],
    ),
    (kinds.NODES, [Node("ND1", 1, LATE)]),
    (
        kinds.BREAKERS,
        [Breaker("AC1:twilio:AC9", "AC1", "twilio", "AC9", 7, "network_trouble", ODD, 2_147_483_647, LATE, LATE)],
    ),
    (kinds.NOTICES, [Notice("AC1", "callbacks_refused", "twilio", 1, LATE, ODD, ODD)]),
    (kinds.SANDBOX_TEXTS, [SandboxText("SM1", "AC1", "+4915112345678", ODD, LATE)]),
    (
        kinds.WEBHOOKS,
        [
            Webhook("WH1", "AC1", "VA1", "https://x.example", ODD, (), False, (), 1, 2),
            Webhook(
                *("WH2", "AC1", "VA1", "https://x.example", "", ("message.sent", "verification.expired"), True),
                (SigningSecret("sealed", LATE), SigningSecret("sealed too", 1, LATE)),
                *(LATE, LATE, LATE, LATE, "failing", LATE),
            ),
        ],
    ),
    (
        kinds.WEBHOOK_DELIVERIES,
        [
            Delivery("WD1", "AC1", "VA1", "WH1", "WH1", "standard", None, "message.sent", "SM1", ODD, LATE),
            Delivery(
                *("WD2", "AC1", "VA1", None, "x.example", "twilio", "https://x.example", "sent", "SM1", "a=b", 1),
                *("failed", LATE, 8, LATE, (Try(LATE, 10_000, 500, ODD, ""), Try(2, 1, None, "", ODD))),
            ),
        ],
    ),
    (
        kinds.RATE_LIMITS,
        [
            RateLimit("RK1", "AC1", "VA1", ODD, ODD, LATE, LATE, (Bucket("BL1", 5, 86_400, LATE, LATE),)),
            RateLimit("RK2", "AC1", "VA1", "ip", None, 1, 2),
        ],
    ),
    (
        kinds.TEMPLATES,
        [
            Template("HJ1", "AC1", ODD, {"en": "{{code}}", "de": ODD}, LATE, LATE, "de", ("sms", "call")),
            Template("HJ2", "AC1", "", {}, 1, 2),
        ],
    ),
    (kinds.SAFE_NUMBERS, [SafeNumber("GN1", "AC1", "+4915112345678", LATE)]),
    (kinds.MESSAGE_EXTRAS, [MessageExtras("SM1", "https://x.example/?a=ü")]),
]

"""Which value of the domain lies in which table, and by what else than its key it is found."""

from __future__ import annotations

from otpost.domain.access import ApiKey, AuditLine, FirstAnswer, KeyCheck, Session, SignInLink, Tenant, User
from otpost.domain.application import Application
from otpost.domain.limits import NumberLimits, RateLimit, SafeNumber, Window
from otpost.domain.locale import Template
from otpost.domain.message import Attempt, EarlyReport, Message, MessageExtras, Node, Report, SandboxText
from otpost.domain.policy import Breaker, Notice, Policy, Revision, StoredSecret
from otpost.domain.verification import Verification
from otpost.domain.webhook import Delivery, Webhook
from otpost.store import tables
from otpost.store.units import Index, Kind

TENANTS = Kind(tables.tenants, Tenant, [Index("name", ("name",))], settled=True)
API_KEYS = Kind(
    tables.api_keys,
    ApiKey,
    [
        Index(
            "application", ("tenant", "application"), "application IS NOT NULL", lambda row: row.application is not None
        )
    ],
    settled=True,
)
USERS = Kind(tables.users, User, [Index("name", ("name",)), Index("tenant", ("tenant",))])
SIGN_IN_LINKS = Kind(tables.sign_in_links, SignInLink, [Index("user", ("user",))])
SESSIONS = Kind(tables.sessions, Session, [Index("user", ("user",))])
AUDIT = Kind(tables.audit, AuditLine)
FIRST_ANSWERS = Kind(tables.first_answers, FirstAnswer)
KEY_CHECKS = Kind(tables.key_checks, KeyCheck)
APPLICATIONS = Kind(tables.applications, Application, settled=True)
POLICIES = Kind(tables.policies, Policy, settled=True)
REVISIONS = Kind(tables.revisions, Revision)
SECRETS = Kind(tables.secrets, StoredSecret, [Index("tenant", ("tenant",))])
VERIFICATIONS = Kind(
    tables.verifications,
    Verification,
    [Index("pending", ("application", "to"), "status = 'pending'", lambda row: row.status == "pending")],
)
NUMBER_LIMITS = Kind(tables.number_limits, NumberLimits, [Index("number", ("tenant", "to"))])
WINDOWS = Kind(tables.windows, Window)
MESSAGES = Kind(tables.messages, Message, [Index("verification", ("verification",))])
ATTEMPTS = Kind(
    tables.attempts,
    Attempt,
    [
        Index("message", ("message",)),
        Index("in_flight", ("tenant", "service"), "outcome IS NULL", lambda row: row.outcome is None),
        Index(
            "service_sid",
            ("service", "vendor_sid"),
            "vendor_sid IS NOT NULL",
            lambda row: row.vendor_sid is not None,
        ),
        Index(
            "vendor_sid",
            ("service", "account_sid", "vendor_sid"),
            "vendor_sid IS NOT NULL",
            lambda row: row.vendor_sid is not None,
        ),
    ],
)
REPORTS = Kind(tables.reports, Report, [Index("message", ("message",))])
EARLY_REPORTS = Kind(
    tables.early_reports,
    EarlyReport,
    [Index("service", ("tenant", "service")), Index("vendor_sid", ("tenant", "service", "vendor_sid"))],
)
NODES = Kind(tables.nodes, Node)
BREAKERS = Kind(tables.breakers, Breaker)
NOTICES = Kind(tables.notices, Notice)
SANDBOX_TEXTS = Kind(tables.sandbox_texts, SandboxText, [Index("tenant", ("tenant",))])
WEBHOOKS = Kind(tables.webhooks, Webhook, [Index("tenant", ("tenant",)), Index("application", ("application",))])
WEBHOOK_DELIVERIES = Kind(tables.webhook_deliveries, Delivery)
RATE_LIMITS = Kind(tables.rate_limits, RateLimit, [Index("application", ("application",))])
TEMPLATES = Kind(tables.templates, Template, [Index("tenant", ("tenant",))])
SAFE_NUMBERS = Kind(tables.safe_numbers, SafeNumber)
MESSAGE_EXTRAS = Kind(tables.message_extras, MessageExtras)

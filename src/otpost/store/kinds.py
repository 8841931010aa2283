"""Which value of the domain lies in which table, and by what else than its key it is found."""

from __future__ import annotations

from otpost.domain.access import ApiKey, AuditLine, FirstAnswer, KeyCheck, Session, SignInLink, Tenant, User
from otpost.domain.application import Application
from otpost.domain.limits import NumberLimits, Window
from otpost.domain.message import Attempt, Message, Node, Report, SandboxText
from otpost.domain.notice import Notice
from otpost.domain.policy import Policy, Revision, StoredSecret
from otpost.domain.verification import Verification
from otpost.store import tables
from otpost.store.units import Index, Kind

TENANTS = Kind(tables.tenants, Tenant, [Index("name", ("name",))], settled=True)
API_KEYS = Kind(tables.api_keys, ApiKey, settled=True)
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
        Index(
            "vendor_sid",
            ("service", "account_sid", "vendor_sid"),
            "vendor_sid IS NOT NULL",
            lambda row: row.vendor_sid is not None,
        ),
    ],
)
REPORTS = Kind(tables.reports, Report, [Index("message", ("message",))])
NODES = Kind(tables.nodes, Node)
NOTICES = Kind(tables.notices, Notice)
SANDBOX_TEXTS = Kind(tables.sandbox_texts, SandboxText, [Index("tenant", ("tenant",))])

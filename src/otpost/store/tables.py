"""The schema, for both databases; moments are milliseconds since the epoch.

What is live is found by partial indexes: pending verifications, messages that wait for an attempt, intents in
flight, unknown attempts with a look due, accepted ones whose report may have to be fetched. A finished row is in
none of them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, PrimaryKeyConstraint, Table, Text, text

metadata = MetaData()


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _moment(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _count(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def _json(name: str) -> Column[str]:
    """A value kept as JSON text: decoded by the value's own type."""
    return Column(name, Text, nullable=False, info={"json": True})


def _flag(name: str) -> Column[int]:
    """A truth value as 0 or 1, so that both databases hold the same."""
    return Column(name, Integer, nullable=False)


tenants = Table(
    "tenants",
    metadata,
    _text("sid"),
    _text("name"),
    _moment("created_at"),
    _text("default_application"),
    PrimaryKeyConstraint("sid"),
    Index("tenants_by_name", "name", unique=True),
    sqlite_with_rowid=False,
)

api_keys = Table(
    "api_keys",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("scope"),
    _text("application", null=True),
    _text("name"),
    _text("secret_sha256"),
    _moment("created_at"),
    _moment("revoked_at", null=True),
    PrimaryKeyConstraint("sid"),
    Index("api_keys_by_tenant", "tenant", "application"),
    sqlite_with_rowid=False,
)

users = Table(
    "users",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("name"),
    _text("password", null=True),
    _moment("created_at"),
    PrimaryKeyConstraint("sid"),
    Index("users_by_name", "name", unique=True),
    Index("users_by_tenant", "tenant"),
    sqlite_with_rowid=False,
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    _text("token_sha256"),
    _text("tenant"),
    _text("user", null=True),
    _moment("expires_at"),
    PrimaryKeyConstraint("token_sha256"),
    Index("sign_in_links_by_user", "user"),
    sqlite_with_rowid=False,
)

sessions = Table(
    "sessions",
    metadata,
    _text("token_sha256"),
    _text("tenant"),
    _text("user"),
    _moment("created_at"),
    _moment("seen_at"),
    _moment("expires_at"),
    PrimaryKeyConstraint("token_sha256"),
    Index("sessions_by_user", "user"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    _text("sid"),
    _text("tenant"),
    _moment("at"),
    _text("who"),
    _text("what"),
    _text("detail"),
    PrimaryKeyConstraint("sid"),
    Index("audit_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

first_answers = Table(
    "first_answers",
    metadata,
    _text("scope"),
    _text("call"),
    _text("key"),
    _text("body_hash"),
    _count("status"),
    _text("answer", null=True),
    _moment("until"),
    PrimaryKeyConstraint("scope", "call", "key"),
    Index("first_answers_until", "until"),
    sqlite_with_rowid=False,
)

key_checks = Table(
    "key_checks",
    metadata,
    _text("key_id"),
    _text("check_value"),
    _moment("created_at"),
    PrimaryKeyConstraint("key_id"),
    sqlite_with_rowid=False,
)

applications = Table(
    "applications",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("name"),
    _moment("created_at"),
    _moment("updated_at"),
    _json("rules"),
    PrimaryKeyConstraint("sid"),
    Index("applications_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

policies = Table(
    "policies",
    metadata,
    _text("tenant"),
    _count("revision"),
    _text("sender_service", null=True),
    _json("fallback"),
    _json("sections"),
    _flag("incomplete"),
    _moment("updated_at"),
    PrimaryKeyConstraint("tenant"),
    sqlite_with_rowid=False,
)

revisions = Table(
    "revisions",
    metadata,
    _text("tenant"),
    _count("number"),
    _moment("at"),
    _text("who"),
    _json("changes"),
    _text("sender_service", null=True),
    _json("fallback"),
    _json("sections"),
    PrimaryKeyConstraint("tenant", "number"),
    sqlite_with_rowid=False,
)

secrets = Table(
    "secrets",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("service"),
    _text("field"),
    _text("owner"),
    _text("destination"),
    _text("sealed"),
    _moment("set_at"),
    _text("set_by"),
    _moment("retired_at", null=True),
    PrimaryKeyConstraint("sid"),
    Index("secrets_by_tenant", "tenant"),
    Index(
        "secrets_in_force",
        "tenant",
        "service",
        "field",
        "owner",
        "destination",
        unique=True,
        sqlite_where=text("retired_at IS NULL"),
        postgresql_where=text("retired_at IS NULL"),
    ),
    sqlite_with_rowid=False,
)

verifications = Table(
    "verifications",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("application"),
    _text("to"),
    _text("status"),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("resend_at"),
    _text("key_id"),
    _count("code_length"),
    _count("lifetime_s"),
    _count("max_checks"),
    _count("max_sends"),
    _count("resend_after_s"),
    _text("message"),
    _count("sends"),
    _count("checks"),
    _moment("approved_at", null=True),
    _text("locale", null=True),
    _json("variables"),
    _json("events"),
    PrimaryKeyConstraint("sid"),
    Index(
        "verifications_pending",
        "application",
        "to",
        unique=True,
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "verifications_to_expire",
        "expires_at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index("verifications_by_number", "tenant", "to", "sid"),
    Index("verifications_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

number_limits = Table(
    "number_limits",
    metadata,
    _text("application"),
    _text("to"),
    _text("tenant"),
    _moment("until"),
    _moment("cooldown_until"),
    _json("sends"),
    _json("wrong"),
    _count("wrong_in_a_row"),
    _moment("locked_at", null=True),
    PrimaryKeyConstraint("application", "to"),
    Index("number_limits_by_tenant", "tenant", "to"),
    sqlite_with_rowid=False,
)

windows = Table(
    "windows",
    metadata,
    _text("scope"),
    _text("key"),
    _moment("until"),
    _json("hits"),
    PrimaryKeyConstraint("scope", "key"),
    Index("windows_until", "until"),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("application"),
    _text("to"),
    _text("status"),
    _count("segments"),
    _moment("created_at"),
    _moment("valid_until"),
    _text("service"),
    _text("account_sid"),
    _text("origin"),
    _text("route_reason"),
    _text("lane"),
    _moment("due_at", null=True),
    _text("verification", null=True),
    _count("number"),
    _text("body", null=True),
    _text("reason", null=True),
    _count("tries"),
    _text("attempt", null=True),
    PrimaryKeyConstraint("sid"),
    Index(
        "messages_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index(
        "messages_with_body",
        "valid_until",
        sqlite_where=text("body IS NOT NULL"),
        postgresql_where=text("body IS NOT NULL"),
    ),
    Index("messages_by_number", "tenant", "to", "sid"),
    Index("messages_by_tenant", "tenant", "sid"),
    Index("messages_by_verification", "verification"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("message"),
    _text("node"),
    _moment("started_at"),
    _text("service"),
    _text("account_sid"),
    _text("origin"),
    _text("to"),
    _text("outcome", null=True),
    _text("status", null=True),
    _count("duration_ms", null=True),
    _flag("answered"),
    _text("reason", null=True),
    _text("link", null=True),
    _count("vendor_http_status", null=True),
    _text("vendor_code", null=True),
    _text("vendor_message", null=True),
    _text("vendor_sid", null=True),
    _text("vendor_status", null=True),
    _text("vendor_request_id", null=True),
    _moment("unknown_at", null=True),
    _moment("looked_at", null=True),
    _moment("look_at", null=True),
    _moment("fetch_at", null=True),
    PrimaryKeyConstraint("sid"),
    Index("attempts_by_message", "message"),
    Index(
        "attempts_in_flight",
        "node",
        sqlite_where=text("outcome IS NULL"),
        postgresql_where=text("outcome IS NULL"),
    ),
    Index(
        "attempts_to_look_up",
        "look_at",
        sqlite_where=text("look_at IS NOT NULL"),
        postgresql_where=text("look_at IS NOT NULL"),
    ),
    Index(
        "attempts_to_fetch",
        "fetch_at",
        sqlite_where=text("fetch_at IS NOT NULL"),
        postgresql_where=text("fetch_at IS NOT NULL"),
    ),
    Index(
        "attempts_by_vendor_sid",
        "service",
        "account_sid",
        "vendor_sid",
        unique=True,
        sqlite_where=text("vendor_sid IS NOT NULL"),
        postgresql_where=text("vendor_sid IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

reports = Table(
    "reports",
    metadata,
    _text("attempt"),
    _text("vendor_status"),
    _text("vendor_code"),
    _text("message"),
    _moment("at"),
    _text("status"),
    PrimaryKeyConstraint("attempt", "vendor_status", "vendor_code"),
    Index("reports_by_message", "message"),
    sqlite_with_rowid=False,
)

nodes = Table(
    "nodes",
    metadata,
    _text("sid"),
    _moment("started_at"),
    _moment("beat_at"),
    PrimaryKeyConstraint("sid"),
    sqlite_with_rowid=False,
)

notices = Table(
    "notices",
    metadata,
    _text("tenant"),
    _text("what"),
    _moment("since"),
    _moment("until"),
    _text("detail"),
    PrimaryKeyConstraint("tenant", "what"),
    sqlite_with_rowid=False,
)

sandbox_texts = Table(
    "sandbox_texts",
    metadata,
    _text("sid"),
    _text("tenant"),
    _text("to"),
    _text("body"),
    _moment("received_at"),
    PrimaryKeyConstraint("sid"),
    Index("sandbox_texts_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

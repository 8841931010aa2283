"""The schema, for both databases; moments are milliseconds since the epoch.

What is live is found by partial indexes: pending verifications, messages that wait for an attempt, intents in
flight, unknown attempts with a look due, accepted ones whose report may have to be fetched. A finished row is in
none of them.
"""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from otpost.store.columns import count, counts, flag, json, live, metadata, moment, moments, string, strings

tenants = Table(
    "tenants",
    metadata,
    *strings("sid", "name"),
    moment("created_at"),
    string("default_application"),
    string("auth_token", null=True),
    moment("auth_token_at", null=True),
    string("former_token", null=True),
    moment("former_until", null=True),
    PrimaryKeyConstraint("sid"),
    Index("tenants_by_name", "name", unique=True),
    sqlite_with_rowid=False,
)

api_keys = Table(
    "api_keys",
    metadata,
    *strings("sid", "tenant", "scope"),
    string("application", null=True),
    *strings("name", "secret_sha256"),
    moment("created_at"),
    string("created_by"),
    *(moment(name, null=True) for name in ("last_used_at", "expires_at", "revoked_at")),
    PrimaryKeyConstraint("sid"),
    Index("api_keys_by_tenant", "tenant", "application"),
    sqlite_with_rowid=False,
)

users = Table(
    "users",
    metadata,
    *strings("sid", "tenant", "name"),
    string("password", null=True),
    moment("created_at"),
    PrimaryKeyConstraint("sid"),
    Index("users_by_name", "name", unique=True),
    Index("users_by_tenant", "tenant"),
    sqlite_with_rowid=False,
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    *strings("token_sha256", "tenant"),
    string("user", null=True),
    moment("expires_at"),
    PrimaryKeyConstraint("token_sha256"),
    Index("sign_in_links_by_user", "user"),
    sqlite_with_rowid=False,
)

sessions = Table(
    "sessions",
    metadata,
    *strings("token_sha256", "tenant", "user"),
    *moments("created_at", "seen_at", "expires_at"),
    PrimaryKeyConstraint("token_sha256"),
    Index("sessions_by_user", "user"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    *strings("sid", "tenant"),
    moment("at"),
    *strings("who", "what", "detail", "client"),
    PrimaryKeyConstraint("sid"),
    Index("audit_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

first_answers = Table(
    "first_answers",
    metadata,
    *strings("scope", "call", "key", "body_hash"),
    count("status"),
    string("answer", null=True),
    moment("until"),
    PrimaryKeyConstraint("scope", "call", "key"),
    Index("first_answers_until", "until"),
    sqlite_with_rowid=False,
)

key_checks = Table(
    "key_checks",
    metadata,
    *strings("key_id", "check_value"),
    moment("created_at"),
    PrimaryKeyConstraint("key_id"),
    sqlite_with_rowid=False,
)

applications = Table(
    "applications",
    metadata,
    *strings("sid", "tenant", "name"),
    *moments("created_at", "updated_at"),
    json("rules"),
    json("features"),
    moment("deleted_at", null=True),
    PrimaryKeyConstraint("sid"),
    Index("applications_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

policies = Table(
    "policies",
    metadata,
    string("tenant"),
    count("revision"),
    string("sender_service", null=True),
    json("fallback"),
    json("sections"),
    flag("incomplete"),
    moment("updated_at"),
    count("failover_after_s", null=True),
    json("rates"),
    PrimaryKeyConstraint("tenant"),
    sqlite_with_rowid=False,
)

revisions = Table(
    "revisions",
    metadata,
    string("tenant"),
    count("number"),
    moment("at"),
    string("who"),
    json("changes"),
    string("sender_service", null=True),
    json("fallback"),
    json("sections"),
    count("failover_after_s", null=True),
    json("rates"),
    PrimaryKeyConstraint("tenant", "number"),
    sqlite_with_rowid=False,
)

secrets = Table(
    "secrets",
    metadata,
    *strings("sid", "tenant", "service", "field", "owner", "destination", "sealed"),
    moment("set_at"),
    string("set_by"),
    moment("retired_at", null=True),
    PrimaryKeyConstraint("sid"),
    Index("secrets_by_tenant", "tenant"),
    live(
        "secrets_in_force",
        "tenant",
        "service",
        "field",
        "owner",
        "destination",
        where="retired_at IS NULL",
        unique=True,
    ),
    sqlite_with_rowid=False,
)

verifications = Table(
    "verifications",
    metadata,
    *strings("sid", "tenant", "application", "to", "status"),
    *moments("created_at", "expires_at", "resend_at"),
    string("key_id"),
    *counts("code_length", "lifetime_s", "max_checks", "max_sends", "resend_after_s"),
    string("message"),
    *counts("sends", "checks"),
    moment("approved_at", null=True),
    string("locale", null=True),
    json("variables"),
    json("events"),
    json("extras"),
    PrimaryKeyConstraint("sid"),
    live("verifications_pending", "application", "to", where="status = 'pending'", unique=True),
    live("verifications_to_expire", "expires_at", where="status = 'pending'"),
    Index("verifications_by_number", "tenant", "to", "sid"),
    Index("verifications_by_tenant", "tenant", "sid"),
    Index("verifications_by_application", "tenant", "application", "sid"),
    Index("verifications_by_status", "tenant", "status", "sid"),
    sqlite_with_rowid=False,
)

number_limits = Table(
    "number_limits",
    metadata,
    *strings("application", "to", "tenant"),
    *moments("until", "cooldown_until"),
    json("sends"),
    json("wrong"),
    count("wrong_in_a_row"),
    moment("locked_at", null=True),
    string("used_up", null=True),
    PrimaryKeyConstraint("application", "to"),
    Index("number_limits_by_tenant", "tenant", "to"),
    sqlite_with_rowid=False,
)

windows = Table(
    "windows",
    metadata,
    *strings("scope", "key"),
    moment("until"),
    json("hits"),
    PrimaryKeyConstraint("scope", "key"),
    Index("windows_until", "until"),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    metadata,
    *strings("sid", "tenant", "application", "to", "status"),
    count("segments"),
    *moments("created_at", "valid_until"),
    *strings("service", "account_sid", "origin", "route_reason", "lane"),
    moment("due_at", null=True),
    string("verification", null=True),
    count("number"),
    string("body", null=True),
    string("reason", null=True),
    count("tries"),
    string("attempt", null=True),
    moment("turn"),
    count("put_off"),
    PrimaryKeyConstraint("sid"),
    live("messages_due", "turn", where="due_at IS NOT NULL AND put_off = 0"),
    live("messages_put_off", "due_at", where="due_at IS NOT NULL AND put_off = 1"),
    live("messages_with_body", "valid_until", where="body IS NOT NULL"),
    Index("messages_by_number", "tenant", "to", "sid"),
    Index("messages_by_tenant", "tenant", "sid"),
    Index("messages_by_application", "tenant", "application", "sid"),
    Index("messages_by_account", "tenant", "account_sid", "sid"),
    Index("messages_by_status", "tenant", "status", "sid"),
    live("messages_by_reason", "tenant", "reason", "sid", where="reason IS NOT NULL"),
    Index("messages_by_verification", "verification"),
    live("messages_of_callers", "tenant", "sid", where="verification IS NULL"),
    sqlite_with_rowid=False,
)

message_extras = Table(
    "message_extras",
    metadata,
    *strings("sid", "status_callback"),
    PrimaryKeyConstraint("sid"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    *strings("sid", "tenant", "message", "node"),
    moment("started_at"),
    *strings("service", "account_sid", "origin", "to"),
    string("outcome", null=True),
    string("status", null=True),
    count("duration_ms", null=True),
    flag("answered"),
    string("reason", null=True),
    string("link", null=True),
    count("vendor_http_status", null=True),
    string("vendor_code", null=True),
    string("vendor_message", null=True),
    string("vendor_sid", null=True),
    string("vendor_status", null=True),
    string("vendor_request_id", null=True),
    moment("unknown_at", null=True),
    moment("looked_at", null=True),
    moment("look_at", null=True),
    moment("fetch_at", null=True),
    string("detail", null=True),
    PrimaryKeyConstraint("sid"),
    Index("attempts_by_message", "message"),
    live("attempts_in_flight", "node", where="outcome IS NULL"),
    live("attempts_to_look_up", "look_at", where="look_at IS NOT NULL"),
    live("attempts_to_fetch", "fetch_at", where="fetch_at IS NOT NULL"),
    live("attempts_by_request", "vendor_request_id", where="vendor_request_id IS NOT NULL"),
    live("attempts_by_vendor_sid", "service", "vendor_sid", "account_sid", where="vendor_sid IS NOT NULL", unique=True),
    sqlite_with_rowid=False,
)

reports = Table(
    "reports",
    metadata,
    *strings("attempt", "vendor_status", "vendor_code", "message"),
    moment("at"),
    string("status"),
    string("reason", null=True),
    string("link", null=True),
    PrimaryKeyConstraint("attempt", "vendor_status", "vendor_code"),
    Index("reports_by_message", "message"),
    sqlite_with_rowid=False,
)

early_reports = Table(
    "early_reports",
    metadata,
    *strings("tenant", "service", "vendor_sid", "vendor_status", "vendor_code", "account_sid"),
    *moments("at", "until"),
    string("status"),
    string("reason", null=True),
    string("detail"),
    string("link", null=True),
    PrimaryKeyConstraint("tenant", "service", "vendor_sid", "vendor_status", "vendor_code"),
    Index("early_reports_until", "until"),
    sqlite_with_rowid=False,
)

nodes = Table(
    "nodes",
    metadata,
    string("sid"),
    *moments("started_at", "beat_at"),
    PrimaryKeyConstraint("sid"),
    sqlite_with_rowid=False,
)

notices = Table(
    "notices",
    metadata,
    *strings("tenant", "what", "service"),
    *moments("since", "until"),
    *strings("detail", "why"),
    PrimaryKeyConstraint("tenant", "what", "service"),
    sqlite_with_rowid=False,
)

breakers = Table(
    "breakers",
    metadata,
    *strings("lane", "tenant", "service", "account_sid"),
    count("revision"),
    *strings("reason", "detail"),
    count("failures"),
    *moments("opened_at", "probe_at"),
    PrimaryKeyConstraint("lane"),
    Index("breakers_by_tenant", "tenant"),
    sqlite_with_rowid=False,
)

sandbox_texts = Table(
    "sandbox_texts",
    metadata,
    *strings("sid", "tenant", "to", "body"),
    moment("received_at"),
    PrimaryKeyConstraint("sid"),
    Index("sandbox_texts_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

webhooks = Table(
    "webhooks",
    metadata,
    *strings("sid", "tenant", "application", "url", "description"),
    json("events"),
    flag("enabled"),
    json("secrets"),
    *moments("created_at", "updated_at"),
    moment("old_until", null=True),
    moment("failing_since", null=True),
    string("disabled", null=True),
    moment("disabled_at", null=True),
    PrimaryKeyConstraint("sid"),
    Index("webhooks_by_application", "application", "sid"),
    Index("webhooks_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    *strings("sid", "tenant", "application"),
    string("webhook", null=True),
    *strings("lane", "form"),
    string("url", null=True),
    *strings("type", "subject", "body"),
    moment("created_at"),
    string("status"),
    moment("due_at", null=True),
    count("tries"),
    moment("finished_at", null=True),
    json("log"),
    PrimaryKeyConstraint("sid"),
    live("webhook_deliveries_due", "due_at", where="due_at IS NOT NULL"),
    live("webhook_deliveries_finished", "finished_at", where="finished_at IS NOT NULL"),
    live("webhook_deliveries_failed", "webhook", "sid", where="status = 'failed'"),
    Index("webhook_deliveries_by_webhook", "webhook", "sid"),
    sqlite_with_rowid=False,
)

rate_limits = Table(
    "rate_limits",
    metadata,
    *strings("sid", "tenant", "application", "unique_name"),
    string("description", null=True),
    *moments("created_at", "updated_at"),
    json("buckets"),
    PrimaryKeyConstraint("sid"),
    Index("rate_limits_by_name", "application", "unique_name", unique=True),
    sqlite_with_rowid=False,
)

templates = Table(
    "templates",
    metadata,
    *strings("sid", "tenant", "friendly_name"),
    json("translations"),
    *moments("created_at", "updated_at"),
    string("default_locale"),
    json("channels"),
    PrimaryKeyConstraint("sid"),
    Index("templates_by_tenant", "tenant", "sid"),
    sqlite_with_rowid=False,
)

safe_numbers = Table(
    "safe_numbers",
    metadata,
    *strings("sid", "tenant", "to"),
    moment("created_at"),
    PrimaryKeyConstraint("tenant", "to"),
    sqlite_with_rowid=False,
)

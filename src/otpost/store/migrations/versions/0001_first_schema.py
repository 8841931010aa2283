"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("api_keys_by_tenant", "api_keys", ["tenant", "application"], unique=False)
    op.create_table(
        "applications",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("applications_by_tenant", "applications", ["tenant", "sid"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("vendor_http_status", sa.Integer(), nullable=True),
        sa.Column("vendor_code", sa.Text(), nullable=True),
        sa.Column("vendor_message", sa.Text(), nullable=True),
        sa.Column("vendor_sid", sa.Text(), nullable=True),
        sa.Column("vendor_status", sa.Text(), nullable=True),
        sa.Column("vendor_request_id", sa.Text(), nullable=True),
        sa.Column("unknown_at", sa.BigInteger(), nullable=True),
        sa.Column("looked_at", sa.BigInteger(), nullable=True),
        sa.Column("look_at", sa.BigInteger(), nullable=True),
        sa.Column("fetch_at", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("attempts_by_message", "attempts", ["message"], unique=False)
    op.create_index(
        "attempts_by_request",
        "attempts",
        ["vendor_request_id"],
        unique=False,
        sqlite_where=sa.text("vendor_request_id IS NOT NULL"),
        postgresql_where=sa.text("vendor_request_id IS NOT NULL"),
    )
    op.create_index(
        "attempts_by_vendor_sid",
        "attempts",
        ["service", "vendor_sid", "account_sid"],
        unique=True,
        sqlite_where=sa.text("vendor_sid IS NOT NULL"),
        postgresql_where=sa.text("vendor_sid IS NOT NULL"),
    )
    op.create_index(
        "attempts_in_flight",
        "attempts",
        ["node"],
        unique=False,
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "attempts_to_fetch",
        "attempts",
        ["fetch_at"],
        unique=False,
        sqlite_where=sa.text("fetch_at IS NOT NULL"),
        postgresql_where=sa.text("fetch_at IS NOT NULL"),
    )
    op.create_index(
        "attempts_to_look_up",
        "attempts",
        ["look_at"],
        unique=False,
        sqlite_where=sa.text("look_at IS NOT NULL"),
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_table(
        "audit",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("audit_by_tenant", "audit", ["tenant", "sid"], unique=False)
    op.create_table(
        "breakers",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("probe_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane"),
        sqlite_with_rowid=False,
    )
    op.create_index("breakers_by_tenant", "breakers", ["tenant"], unique=False)
    op.create_table(
        "early_reports",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("vendor_sid", sa.Text(), nullable=False),
        sa.Column("vendor_status", sa.Text(), nullable=False),
        sa.Column("vendor_code", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "service", "vendor_sid", "vendor_status", "vendor_code"),
        sqlite_with_rowid=False,
    )
    op.create_index("early_reports_until", "early_reports", ["until"], unique=False)
    op.create_table(
        "first_answers",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "call", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("first_answers_until", "first_answers", ["until"], unique=False)
    op.create_table(
        "key_checks",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("check_value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message_extras",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("status_callback", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "messages",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("route_reason", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("verification", sa.Text(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Text(), nullable=True),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("put_off", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("messages_by_account", "messages", ["tenant", "account_sid", "sid"], unique=False)
    op.create_index("messages_by_application", "messages", ["tenant", "application", "sid"], unique=False)
    op.create_index("messages_by_number", "messages", ["tenant", "to", "sid"], unique=False)
    op.create_index(
        "messages_by_reason",
        "messages",
        ["tenant", "reason", "sid"],
        unique=False,
        sqlite_where=sa.text("reason IS NOT NULL"),
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.create_index("messages_by_status", "messages", ["tenant", "status", "sid"], unique=False)
    op.create_index("messages_by_tenant", "messages", ["tenant", "sid"], unique=False)
    op.create_index("messages_by_verification", "messages", ["verification"], unique=False)
    op.create_index(
        "messages_due",
        "messages",
        ["turn"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL AND put_off = 0"),
        postgresql_where=sa.text("due_at IS NOT NULL AND put_off = 0"),
    )
    op.create_index(
        "messages_of_callers",
        "messages",
        ["tenant", "sid"],
        unique=False,
        sqlite_where=sa.text("verification IS NULL"),
        postgresql_where=sa.text("verification IS NULL"),
    )
    op.create_index(
        "messages_put_off",
        "messages",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL AND put_off = 1"),
        postgresql_where=sa.text("due_at IS NOT NULL AND put_off = 1"),
    )
    op.create_index(
        "messages_with_body",
        "messages",
        ["valid_until"],
        unique=False,
        sqlite_where=sa.text("body IS NOT NULL"),
        postgresql_where=sa.text("body IS NOT NULL"),
    )
    op.create_table(
        "nodes",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "notices",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "what", "service"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "number_limits",
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("cooldown_until", sa.BigInteger(), nullable=False),
        sa.Column("sends", sa.Text(), nullable=False),
        sa.Column("wrong", sa.Text(), nullable=False),
        sa.Column("wrong_in_a_row", sa.Integer(), nullable=False),
        sa.Column("locked_at", sa.BigInteger(), nullable=True),
        sa.Column("used_up", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("application", "to"),
        sqlite_with_rowid=False,
    )
    op.create_index("number_limits_by_tenant", "number_limits", ["tenant", "to"], unique=False)
    op.create_table(
        "policies",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sender_service", sa.Text(), nullable=True),
        sa.Column("fallback", sa.Text(), nullable=False),
        sa.Column("sections", sa.Text(), nullable=False),
        sa.Column("incomplete", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("failover_after_s", sa.Integer(), nullable=True),
        sa.Column("rates", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rate_limits",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("unique_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("buckets", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("rate_limits_by_name", "rate_limits", ["application", "unique_name"], unique=True)
    op.create_table(
        "reports",
        sa.Column("attempt", sa.Text(), nullable=False),
        sa.Column("vendor_status", sa.Text(), nullable=False),
        sa.Column("vendor_code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("attempt", "vendor_status", "vendor_code"),
        sqlite_with_rowid=False,
    )
    op.create_index("reports_by_message", "reports", ["message"], unique=False)
    op.create_table(
        "revisions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("sender_service", sa.Text(), nullable=True),
        sa.Column("fallback", sa.Text(), nullable=False),
        sa.Column("sections", sa.Text(), nullable=False),
        sa.Column("failover_after_s", sa.Integer(), nullable=True),
        sa.Column("rates", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "safe_numbers",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "to"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sandbox_texts",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("sandbox_texts_by_tenant", "sandbox_texts", ["tenant", "sid"], unique=False)
    op.create_table(
        "secrets",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("secrets_by_tenant", "secrets", ["tenant"], unique=False)
    op.create_index(
        "secrets_in_force",
        "secrets",
        ["tenant", "service", "field", "owner", "destination"],
        unique=True,
        sqlite_where=sa.text("retired_at IS NULL"),
        postgresql_where=sa.text("retired_at IS NULL"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256"),
        sqlite_with_rowid=False,
    )
    op.create_index("sessions_by_user", "sessions", ["user"], unique=False)
    op.create_table(
        "sign_in_links",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256"),
        sqlite_with_rowid=False,
    )
    op.create_index("sign_in_links_by_user", "sign_in_links", ["user"], unique=False)
    op.create_table(
        "templates",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("friendly_name", sa.Text(), nullable=False),
        sa.Column("translations", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("default_locale", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("templates_by_tenant", "templates", ["tenant", "sid"], unique=False)
    op.create_table(
        "tenants",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("default_application", sa.Text(), nullable=False),
        sa.Column("auth_token", sa.Text(), nullable=True),
        sa.Column("auth_token_at", sa.BigInteger(), nullable=True),
        sa.Column("former_token", sa.Text(), nullable=True),
        sa.Column("former_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("tenants_by_name", "tenants", ["name"], unique=True)
    op.create_table(
        "users",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("users_by_name", "users", ["name"], unique=True)
    op.create_index("users_by_tenant", "users", ["tenant"], unique=False)
    op.create_table(
        "verifications",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("resend_at", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("code_length", sa.Integer(), nullable=False),
        sa.Column("lifetime_s", sa.Integer(), nullable=False),
        sa.Column("max_checks", sa.Integer(), nullable=False),
        sa.Column("max_sends", sa.Integer(), nullable=False),
        sa.Column("resend_after_s", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("variables", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("extras", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("verifications_by_application", "verifications", ["tenant", "application", "sid"], unique=False)
    op.create_index("verifications_by_number", "verifications", ["tenant", "to", "sid"], unique=False)
    op.create_index("verifications_by_status", "verifications", ["tenant", "status", "sid"], unique=False)
    op.create_index("verifications_by_tenant", "verifications", ["tenant", "sid"], unique=False)
    op.create_index(
        "verifications_pending",
        "verifications",
        ["application", "to"],
        unique=True,
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "verifications_to_expire",
        "verifications",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("webhook", sa.Text(), nullable=True),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("log", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("webhook_deliveries_by_webhook", "webhook_deliveries", ["webhook", "sid"], unique=False)
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "webhook_deliveries_failed",
        "webhook_deliveries",
        ["webhook", "sid"],
        unique=False,
        sqlite_where=sa.text("status = 'failed'"),
        postgresql_where=sa.text("status = 'failed'"),
    )
    op.create_index(
        "webhook_deliveries_finished",
        "webhook_deliveries",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_table(
        "webhooks",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("old_until", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("disabled", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("webhooks_by_application", "webhooks", ["application", "sid"], unique=False)
    op.create_index("webhooks_by_tenant", "webhooks", ["tenant", "sid"], unique=False)
    op.create_table(
        "windows",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("hits", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("windows_until", "windows", ["until"], unique=False)

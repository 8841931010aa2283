"""Reasons, breakers, webhooks, and what the Twilio-shaped API keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
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
        "message_extras",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("status_callback", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
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
        "safe_numbers",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "to"),
        sqlite_with_rowid=False,
    )
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
    op.add_column("applications", sa.Column("features", sa.Text(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("applications", sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("detail", sa.Text(), nullable=True))
    op.drop_index(op.f("attempts_by_vendor_sid"), table_name="attempts", sqlite_where=sa.text("vendor_sid IS NOT NULL"))
    op.create_index(
        "attempts_by_vendor_sid",
        "attempts",
        ["service", "vendor_sid", "account_sid"],
        unique=True,
        sqlite_where=sa.text("vendor_sid IS NOT NULL"),
        postgresql_where=sa.text("vendor_sid IS NOT NULL"),
    )
    op.add_column("messages", sa.Column("turn", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("messages", sa.Column("put_off", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.drop_index(op.f("messages_due"), table_name="messages", sqlite_where=sa.text("due_at IS NOT NULL"))
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
    op.add_column("number_limits", sa.Column("used_up", sa.Text(), nullable=True))
    op.add_column("policies", sa.Column("failover_after_s", sa.Integer(), nullable=True))
    op.add_column("policies", sa.Column("rates", sa.Text(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("reports", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("reports", sa.Column("link", sa.Text(), nullable=True))
    op.add_column("revisions", sa.Column("failover_after_s", sa.Integer(), nullable=True))
    op.add_column("revisions", sa.Column("rates", sa.Text(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("tenants", sa.Column("auth_token", sa.Text(), nullable=True))
    op.add_column("tenants", sa.Column("auth_token_at", sa.BigInteger(), nullable=True))
    op.add_column("tenants", sa.Column("former_token", sa.Text(), nullable=True))
    op.add_column("tenants", sa.Column("former_until", sa.BigInteger(), nullable=True))
    op.add_column("verifications", sa.Column("extras", sa.Text(), server_default=sa.text("'null'"), nullable=False))
    # ### end Alembic commands ###
    # A reason was a sentence before it was a name; the sentence of an attempt is its detail now.
    op.execute("UPDATE attempts SET detail = reason, reason = 'unknown' WHERE reason IS NOT NULL")
    op.execute("UPDATE messages SET reason = 'unknown' WHERE reason IS NOT NULL")
    op.execute("UPDATE messages SET turn = created_at, lane = tenant || ':' || lane")

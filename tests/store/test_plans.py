"""What is live is found by its partial index, however many finished rows lie beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from otpost.domain.limits import NumberLimits
from otpost.store import kinds, sql
from otpost.store.units import Kind, Unit
from store.examples import attempt, delivery, message, verification, webhook
from store.plans import asked

FINISHED = 4_000
LIVE = 20

# Statement after FROM, and the index by which it is to be answered.
CONDITIONS = [
    (
        (
            "messages WHERE due_at <= 9000 AND put_off = 0 AND (NOT lane IN ('a', 'b') OR valid_until < 10) "
            "ORDER BY turn LIMIT 64"
        ),
        "messages_due",
    ),
    ("messages WHERE due_at IS NOT NULL AND put_off = 1 AND due_at <= 9000", "messages_put_off"),
    ("messages WHERE body IS NOT NULL AND valid_until < 9000", "messages_with_body"),
    (
        "verifications WHERE status = 'pending' AND expires_at <= 9000 ORDER BY expires_at LIMIT 500",
        "verifications_to_expire",
    ),
    ("attempts WHERE look_at <= 9000 ORDER BY look_at LIMIT 64", "attempts_to_look_up"),
    ("attempts WHERE fetch_at <= 9000 ORDER BY fetch_at LIMIT 64", "attempts_to_fetch"),
    (
        "webhook_deliveries WHERE due_at <= 9000 AND NOT lane IN ('a', 'b') ORDER BY due_at LIMIT 64",
        "webhook_deliveries_due",
    ),
    (
        "webhook_deliveries WHERE webhook = 'WH1' AND status = 'failed' AND created_at >= 5 ORDER BY sid LIMIT 500",
        "webhook_deliveries_failed",
    ),
    ("webhook_deliveries WHERE finished_at <= 9", "webhook_deliveries_finished"),
    ("attempts WHERE outcome IS NULL AND node NOT IN (SELECT sid FROM nodes) LIMIT 500", "attempts_in_flight"),
    *(
        (f"{table} WHERE tenant = 'AC1' AND {column} = 'rare' AND sid < 'Z' ORDER BY sid DESC LIMIT 51", index)
        for table, column, index in (
            ("messages", '"to"', "messages_by_number"),
            ("messages", "status", "messages_by_status"),
            ("messages", "reason", "messages_by_reason"),
            ("messages", "account_sid", "messages_by_account"),
            ("messages", "application", "messages_by_application"),
            ("verifications", '"to"', "verifications_by_number"),
            ("verifications", "status", "verifications_by_status"),
            ("verifications", "application", "verifications_by_application"),
        )
    ),
]

# Kind, index and one key of it, as units name rows.
KEYS: list[tuple[Kind[Any], str, tuple[str, ...], str]] = [
    (kinds.VERIFICATIONS, "pending", ("VA1", "+4001"), "verifications_pending"),
    (kinds.VERIFICATIONS, "", ("VE7",), "verifications_pkey"),
    (kinds.MESSAGES, "verification", ("VE7",), "messages_by_verification"),
    (kinds.MESSAGES, "", ("SM7",), "messages_pkey"),
    (kinds.ATTEMPTS, "message", ("SM7",), "attempts_by_message"),
    (kinds.ATTEMPTS, "vendor_sid", ("twilio", "AC9", "SM7"), "attempts_by_vendor_sid"),
    (kinds.ATTEMPTS, "service_sid", ("twilio", "SM7"), "attempts_by_vendor_sid"),
    (kinds.ATTEMPTS, "in_flight", ("AC1", "twilio"), "attempts_in_flight"),
    (kinds.NUMBER_LIMITS, "", ("VA1", "+7"), "number_limits_pkey"),
    (kinds.WEBHOOKS, "tenant", ("AC7",), "webhooks_by_tenant"),
    (kinds.WEBHOOKS, "application", ("VA7",), "webhooks_by_application"),
]


@pytest.fixture
async def filled_url(store, database_url):
    """A database of some thousand finished rows and a few live ones, with its statistics up to date."""

    def decide(rows):
        for n in range(FINISHED):
            rows.put(
                kinds.VERIFICATIONS,
                verification(f"VE{n}", to=f"+{n}", status=f"status {n % 9}", application=f"VA{n % 9}"),
            )
            # Of several accounts, reasons and applications: by statistics alone SQLite takes no index of equal values.
            several = {"account_sid": f"AC{n % 9}", "application": f"VA{n % 9}", "reason": f"reason {n % 9}"}
            of_it = {"to": f"+{n}", "verification": f"VE{n}", **several}
            rows.put(kinds.MESSAGES, message(f"SM{n}", status=f"status {n % 9}", **of_it))
            sent = attempt(f"AT{n}", message=f"SM{n}", outcome="accepted", vendor_sid=f"SM{n}")
            rows.put(kinds.ATTEMPTS, sent)
            rows.put(kinds.NUMBER_LIMITS, NumberLimits("VA1", f"+{n}", "AC1", n))
            rows.put(kinds.WEBHOOKS, webhook(f"WH{n}", tenant=f"AC{n}", application=f"VA{n}"))
            rows.put(kinds.WEBHOOK_DELIVERIES, delivery(f"WD{n}", status="delivered", finished_at=n + 10))
        for n in range(FINISHED, FINISHED + LIVE):
            rows.put(kinds.VERIFICATIONS, verification(f"VE{n}", to=f"+{n}", expires_at=n))
            rows.put(kinds.MESSAGES, message(f"SM{n}", due_at=n, body="sealed", verification=f"VE{n}"))
            rows.put(kinds.MESSAGES, message(f"SP{n}", due_at=n, put_off=1))
            rows.put(kinds.ATTEMPTS, attempt(f"AT{n}", message=f"SM{n}"))
            rows.put(kinds.ATTEMPTS, attempt(f"AF{n}", message=f"SM{n}", outcome="accepted", fetch_at=n))
            rows.put(kinds.ATTEMPTS, attempt(f"AL{n}", message=f"SM{n}", outcome="unknown", look_at=n))
            rows.put(kinds.WEBHOOK_DELIVERIES, delivery(f"WD{n}", due_at=n))
            rows.put(kinds.WEBHOOK_DELIVERIES, delivery(f"WF{n}", status="failed", finished_at=n + 10))

    await store.run(Unit(decide))
    await asked(database_url, "ANALYZE")
    return database_url


def by_index(plan, table, index):
    """Whether a plan of either database reads `table` by `index` and by nothing else."""
    if index.endswith("_pkey") and f"SEARCH {table} USING PRIMARY KEY" in plan:
        return "SCAN" not in plan
    used = re.findall(r"(?:USING (?:COVERING )?INDEX|Index Scan (?:Backward )?using|Bitmap Index Scan on) (\w+)", plan)
    return set(used) - {"nodes_pkey", "sqlite_autoindex_nodes_1"} == {index} and f"Seq Scan on {table}" not in plan


async def test_live_rows_are_found_by_their_partial_indexes(filled_url):
    explain = "EXPLAIN QUERY PLAN" if filled_url.startswith("sqlite") else "EXPLAIN"
    for statement, index in CONDITIONS:
        plan = await asked(filled_url, f"{explain} SELECT * FROM {statement}")
        assert by_index(plan, statement.partition(" ")[0], index), plan


async def test_rows_that_units_name_are_found_by_their_indexes(filled_url):
    for kind, index, values, name in KEYS:
        if filled_url.startswith("sqlite"):
            plan = await asked(filled_url, f"EXPLAIN QUERY PLAN {sql.sqlite_select(kind, index)}", *values)
            many = await asked(filled_url, f"EXPLAIN QUERY PLAN {sql.sqlite_select_many(kind, index)}", "[]")
            assert by_index(many.splitlines()[0], kind.name, name), many
        else:
            batch = [[value] for value in values]
            plan = await asked(filled_url, f"EXPLAIN {sql.postgresql_select(kind, index, True)}", *batch)
        assert by_index(plan, kind.name, name), plan

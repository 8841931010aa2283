"""Lists along an index: every filter has one or is bounded, and nothing is lost at the edge of what is looked at."""

from __future__ import annotations

import re

import pytest

from installation import Clock, context_of
from otpost.services.messages.search import Search, search_messages, select_wanted
from otpost.services.paging import JUDGED, Tenancy, read_page, read_part
from otpost.services.verifications.read import list_verifications, search_verifications
from otpost.services.verifications.search import SUMMED_MS, Asked, select_attempts, summarise_attempts
from otpost.services.webhooks import endpoints
from otpost.store import kinds, sql
from otpost.store.units import Unit
from store.examples import delivery, message, verification
from store.plans import asked

ROWS = 6_000
HOUR_MS = 3_600_000
BEGAN = 1_700_000_000_000
TENANT = Tenancy("AC1")
RARE = range(0, ROWS, 1_500)
"""Which rows are as none of the others; the first is the oldest."""


def sid_of(prefix, number):
    return f"{prefix}{BEGAN + number * 1_000:012x}{number:020x}"


RARE_MESSAGES = [sid_of("SM", number) for number in reversed(RARE)]
RARE_VERIFICATIONS = [sid_of("VE", number) for number in reversed(RARE)]


class Listening:
    """A store that writes down what it is asked."""

    def __init__(self, store):
        self._store = store
        self.heard = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def select(self, statement, *, at_once=False):
        self.heard.append(statement)
        return await self._store.select(statement, at_once=at_once)


@pytest.fixture
async def context(store, database_url):
    """Thousands of rows that are alike, and among them a few that are not."""

    def decide(rows):
        for number in range(ROWS):
            rare = number in RARE
            made = {"application": "VA9" if rare else "VA1", "created_at": BEGAN + number * 1_000}
            to = f"+1416555{number:04}" if rare else f"+1212555{number:04}"
            begun = sid_of("VE", number)
            status, expires_at = ("pending", BEGAN) if rare and number else ("approved", BEGAN + HOUR_MS)
            if number == 0:
                status = "expired"
            begins = {"to": to, "status": status, "expires_at": expires_at, "message": sid_of("SM", number)}
            rows.put(kinds.VERIFICATIONS, verification(begun, **begins, **made))
            sent = {"status": "delivered"}
            if rare:
                sent = {"status": "failed", "reason": "number_gone", "account_sid": "AC8", "service": "generic"}
            rows.put(kinds.MESSAGES, message(sid_of("SM", number), to=to, verification=begun, **made, **sent))
            posted = delivery(sid_of("WD", number), status="failed" if rare else "delivered")
            rows.put(kinds.WEBHOOK_DELIVERIES, posted)

    await store.run(Unit(decide))
    await asked(database_url, "ANALYZE")
    return context_of(Listening(store), Clock(BEGAN + ROWS * 1_000))


async def every(page):
    """The SIDs of all pages of a list, and how many rows each page had."""
    found, sizes, cursor = list[str](), list[int](), None
    while True:
        rows, cursor = await page(cursor)
        found += [getattr(row, "message", row).sid if hasattr(row, "attempts") else row.sid for row in rows]
        sizes.append(len(rows))
        if cursor is None:
            return found, sizes


SEARCHES = [
    Search(),
    Search(status="failed"),
    Search(reason="number_gone"),
    Search(account="AC8"),
    Search(service="generic"),
    Search(application="VA9"),
    Search(country="CA"),
    Search(country="CA", application="VA1"),
    Search(status="delivered", application="VA9"),
    Search(since=BEGAN, until=BEGAN + 1_000),
    Search(after=BEGAN + (ROWS - 2) * 1_000),
    Search(to="+14165550000"),
    Search(to="+14165550000", status="delivered"),
]


async def plan_of(url, statement):
    if url.startswith("sqlite"):
        text, named = sql.for_sqlite(statement)
        return await asked(url, f"EXPLAIN QUERY PLAN {text}", named)
    text, values = sql.for_postgresql(statement)
    # Of a table as small as this one PostgreSQL would rather read all than use an index.
    return await asked(f"{url}?enable_seqscan=off", f"EXPLAIN {text}", *values)


def reads_all(plan):
    """Whether a plan of either database reads a whole table or a whole index of one."""
    scans = re.findall(r"(?:SCAN|Seq Scan on) (\w+)", plan)
    return bool(set(scans) & {"messages", "verifications", "webhook_deliveries"})


async def test_no_filter_reads_a_whole_table(context, database_url):
    store = context.store
    for search in SEARCHES:
        await search_messages(context, TENANT, search, 50, None)
        await search_messages(context, Tenancy("AC1", "VA9"), search, 50, None)
    for status in ("pending", "approved", "expired", "canceled", "max_attempts_reached"):
        for search in (Search(status=status), Search(status=status, to="+1"), Search(status=status, country="CA")):
            await search_verifications(context, TENANT, search, 50, None)
    for state, event in (("failed", None), ("delivered", None), (None, "verification.approved")):
        await endpoints.log(context, "WH1", status=state, event=event, after=BEGAN, limit=50, cursor=None)
    for one in (Asked(Search(country="CA")), Asked(Search(), prefix="+1416"), Asked(Search(), status="converted")):
        await read_part(store, select_attempts(TENANT, one), 51, None)
        await summarise_attempts(context, TENANT, one)
    heard, store.heard = store.heard, []
    assert len(heard) > 60
    for statement in heard:
        plan = await plan_of(database_url, statement)
        assert not reads_all(plan), f"{statement}\n{plan}"


async def test_rare_rows_are_all_found_whatever_they_are_searched_by(context):
    for search in SEARCHES[1:7]:
        assert await every(lambda at, search=search: search_messages(context, TENANT, search, 50, at)) == (
            RARE_MESSAGES,
            [4] if search.country is None else [3, 1],
        )
    for search, found in zip(SEARCHES[7:], ([], [], ["SM", 0], ["SM", ROWS - 1], ["SM", 0], []), strict=True):
        sids, _ = await every(lambda at, search=search: search_messages(context, TENANT, search, 50, at))
        assert sids == ([sid_of(*found)] if found else [])


async def test_what_is_over_is_expired_before_that_is_written_down(context):
    expired, pending = Search(status="expired"), Search(status="pending")
    for limit in (1, 2, 50):
        found, _ = await every(lambda at, limit=limit: search_verifications(context, TENANT, expired, limit, at))
        assert found == RARE_VERIFICATIONS
    assert await every(lambda at: search_verifications(context, TENANT, pending, 50, at)) == ([], [0])
    with_messages, latest = await list_verifications(context, TENANT, expired, limit=50, cursor=None)
    assert [latest[row.message].sid for row in with_messages.rows] == RARE_MESSAGES


async def test_a_page_looks_at_a_bounded_part_of_the_list_and_the_next_one_goes_on(context):
    wanted = select_wanted(kinds.MESSAGES, TENANT, Search(country="CA"))
    first = await read_page(context.store, wanted, 50, None)
    assert [row.sid for row in first.rows] == RARE_MESSAGES[:3]
    # 5,000 of 6,000 rows were looked at.
    assert first.next == sid_of("SM", ROWS - sum(JUDGED))
    assert await read_page(context.store, wanted, 50, first.next) == ([await oldest(context)], None)
    up = await read_part(context.store, wanted, 51, sid_of("SM", 0), upward=True)
    assert ([row.sid for row in up.rows], up.edge) == (RARE_MESSAGES[2::-1], sid_of("SM", sum(JUDGED)))


async def oldest(context):
    return await context.store.get(kinds.MESSAGES, sid_of("SM", 0))


async def test_a_summary_counts_every_part_and_without_dates_the_last_thirty_days(context):
    ca, all_of_them = Asked(Search(country="CA")), Asked(Search())
    assert await summarise_attempts(context, TENANT, ca) == (len(RARE), 0)
    assert await summarise_attempts(context, TENANT, all_of_them) == (ROWS, ROWS - len(RARE))
    late = context_of(context.store, Clock(BEGAN + SUMMED_MS + (ROWS - 10) * 1_000))
    assert await summarise_attempts(late, TENANT, all_of_them) == (10, 10)
    assert await summarise_attempts(late, TENANT, Asked(Search(since=0))) == (ROWS, ROWS - len(RARE))
    assert await summarise_attempts(late, TENANT, Asked(Search(until=BEGAN + 5_000))) == (5, 4)

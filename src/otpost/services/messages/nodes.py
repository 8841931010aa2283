"""Which nodes live, and what becomes of the intents of one that does not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from otpost.domain import delivery as rules
from otpost.domain.message import Attempt, Node
from otpost.senders.registry import capabilities, find_services
from otpost.services.context import Context
from otpost.services.messages.reports import failover_at_of, others_of
from otpost.services.policy.plan import Plans
from otpost.services.webhooks.events import announce_change
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import ATTEMPTS, MESSAGES, NODES
from otpost.store.units import Query, Rows, Unit, lock

LOST_MS = 15_000
HOLDS_MS = 10_000
"""How old a heartbeat and an intent may be when a text is sent: five seconds less than others wait for the node."""
STRAY_MS = 20_000


def record_heartbeat(context: Context, node: str, started_at: int) -> Unit[None]:
    """The node lives."""
    now = context.clock()

    def decide(rows: Rows) -> None:
        rows.get(NODES, node)
        rows.put(NODES, Node(node, started_at, now))

    return Unit(decide, [lock(NODES, node)])


def remove_node(node: str) -> Unit[None]:
    """The node stops, with nothing in flight."""

    def decide(rows: Rows) -> None:
        if rows.get(NODES, node) is not None:
            rows.delete(NODES, node)

    return Unit(decide, [lock(NODES, node)])


def settle_lost(context: Context, plans: Plans, *, alone: bool) -> Unit[int]:
    """Intents whose node is gone become unknown; their count.

    `alone`: this is the start of an embedded installation, so that no other node can live.
    """
    now = context.clock()
    query = Query(
        ATTEMPTS,
        "outcome IS NULL AND node NOT IN (SELECT sid FROM nodes WHERE beat_at > :alive) LIMIT :many",
        alive=now if alone else now - LOST_MS,
        many=500,
    )
    return _lost(plans, query, "Otpost was stopped while it was being sent.", now)


def settle_stray(context: Context, plans: Plans, node: str, in_hand: Sequence[str]) -> Unit[int]:
    """Intents that this node wrote and does not know of become unknown; their count.

    The answer to their commit was lost, or their outcome could not be kept. `in_hand` are the attempts that the node
    is sending now. A claim that is under way is given time to come home.
    """
    now = context.clock()
    query = Query(
        ATTEMPTS,
        "outcome IS NULL AND node = :node AND started_at <= :before AND NOT sid IN :in_hand LIMIT :many",
        node=node,
        before=now - STRAY_MS,
        in_hand=list(in_hand),
        many=500,
    )
    return _lost(plans, query, "Otpost lost sight of it while it was being sent.", now)


def _lost(plans: Plans, query: Query[Attempt], reason: str, now: int) -> Unit[int]:
    def decide(rows: Rows) -> int:
        attempts = rows.found(query)
        rows.require(*(lock(MESSAGES, attempt.message) for attempt in attempts))
        for attempt in attempts:
            message = rows.get(MESSAGES, attempt.message)
            gone = rules.lost(attempt, now, reason)
            service = find_services().get(attempt.service)
            can = capabilities(service) if service is not None else None
            can_look = can is not None and can.looks_up
            can_report = can is not None and can.reads_reports
            changed = message
            if message is not None and not can_look and not can_report:
                changed, gone = rules.unconfirmed(message, gone, others_of(rows, attempt))
            elif message is not None:
                if not can_look:
                    gone = msgspec.structs.replace(gone, look_at=message.valid_until)
                if can_report or (can is not None and can.fetches_reports):
                    failover_at = failover_at_of(plans, rows, message, attempt, now)
                    changed = rules.wait_for_failover(message, gone, failover_at, now)
            rows.put(ATTEMPTS, gone)
            if message is not None and changed is not None and changed is not message:
                rows.put(MESSAGES, changed.filed(now))
                announce_change(rows, message, changed, now)
                if changed.due_at is not None:
                    rows.signal(MESSAGES_DUE)
        return len(attempts)

    return Unit(decide, query=query)

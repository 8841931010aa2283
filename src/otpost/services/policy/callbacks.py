"""The addresses at which sender services report: how they are proven, and which services take none that is so long."""

from __future__ import annotations

import base64
import hmac
from typing import Final

from otpost.domain.policy import CALLBACKS_TOO_LONG, Notice, Policy
from otpost.domain.sid import SHORT_LENGTH, shortened
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import SenderService
from otpost.services.context import Context

PURPOSE: Final = "reports"
_PROOF_LENGTH: Final = len("?proof=") + 16


def make_proof(context: Context, service: str, subject: str) -> str:
    """What proves an address that a service without signatures calls: `subject` is an attempt's SID or a tenant's."""
    return _proof(context, context.keyring.current, service, subject)


def is_proof(context: Context, service: str, subject: str, given: str) -> bool:
    """Whether `given` is the proof of that address, under any key that the ring still has."""
    proofs = [_proof(context, key_id, service, subject) for key_id in context.keyring.ids]
    return any([hmac.compare_digest(make_proof.encode(), given.encode()) for make_proof in proofs])  # noqa: C419  # none is skipped


def _proof(context: Context, key_id: str, service: str, subject: str) -> str:
    """96 bits, as 16 characters: some services take no address of more than 100."""
    digest = hmac.digest(context.keyring.derived(PURPOSE, key_id), f"{service} {subject}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:12]).decode()


def address_of(context: Context, service: SenderService, attempt: str, public_url: str) -> str | None:
    """Where a service reports on an attempt; None where even the short form is too long for the service."""
    can, proven = capabilities(service), ""
    if can.proven_by_address:
        proven = f"?proof={make_proof(context, service.NAME, attempt)}"
    for subject in (attempt, shortened(attempt)):
        address = f"{public_url}/callbacks/{service.NAME}/{subject}{proven}"
        if can.longest_callback is None or len(address) <= can.longest_callback:
            return address
    return None


def too_long(policy: Policy, public_url: str | None) -> list[Notice]:
    """Which services of a policy take no callback address that begins with this public URL, for its length."""
    notices = []
    for name in dict.fromkeys([policy.sender_service or "", *policy.fallback]):
        service = find_services().get(name)
        if service is None or public_url is None or (longest := capabilities(service).longest_callback) is None:
            continue
        proof = _PROOF_LENGTH if capabilities(service).proven_by_address else 0
        room = longest - len(f"/callbacks/{name}/") - SHORT_LENGTH - proof
        if len(public_url) > room:
            why = (
                f"{service.TITLE} takes addresses of at most {longest} characters, of which OTPOST_PUBLIC_URL can have "
                f"{room}; it has {len(public_url)}."
            )
            notices.append(Notice(policy.tenant, CALLBACKS_TOO_LONG, name, 0, 0, public_url, why))
    return notices

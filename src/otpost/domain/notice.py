"""What an administrator has to know until it is over: the sentence for it, and the remedy."""

from __future__ import annotations

from typing import Final

import msgspec

CALLBACKS_REFUSED: Final = "callbacks_refused"
STANDS_MS: Final = 3_600_000


class Notice(msgspec.Struct, frozen=True):
    """One thing that stands in the way of a tenant's texts or reports.

    `what` is its stable name, `detail` what it is about: the refused public URL for `callbacks_refused`. Until
    `until` Otpost acts on it; after that it tries again, and the notice goes once that went well.
    """

    tenant: str
    what: str
    since: int
    until: int
    detail: str

    @property
    def sentence(self) -> str:
        return (
            f"The sender service refuses callbacks to {self.detail}: texts go out without a callback address, and "
            "their reports are fetched from a minute later on."
        )

    @property
    def remedy(self) -> str:
        return (
            "OTPOST_PUBLIC_URL must be a public https address without underscores in its host, like "
            "https://otp.example.com; set it and start Otpost again."
        )


def callbacks_refused(standing: Notice | None, tenant: str, public_url: str, now: int) -> Notice:
    """The notice after one more refusal; it stands for an hour from now on."""
    since = standing.since if standing is not None and standing.detail == public_url else now
    return Notice(tenant, CALLBACKS_REFUSED, since, now + STANDS_MS, public_url)

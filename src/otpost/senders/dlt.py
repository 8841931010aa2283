"""India's DLT registry: the ids of sender and text that carriers there ask for, and which texts they go with."""

from __future__ import annotations

from typing import Any, Final, Protocol

from otpost.domain.phone import PhoneNumber
from otpost.senders.settings import setting

_INDIA: Final = "+91"
_RULE: Final = "An ID of India's DLT registry has digits alone, as in 1101456324675322134."


class Registered(Protocol):
    """Settings that have these ids."""

    @property
    def dlt_entity_id(self) -> str: ...
    @property
    def dlt_template_id(self) -> str: ...


def entity_setting() -> Any:
    """The setting `dlt_entity_id`."""
    return setting(
        "DLT entity ID",
        pattern="[0-9]{1,30}",
        rule=_RULE,
        help="Only for India: your ID as a sender in the DLT registry. It goes with texts to +91.",
    )


def template_setting() -> Any:
    """The setting `dlt_template_id`."""
    return setting(
        "DLT template ID",
        pattern="[0-9]{1,30}",
        rule=_RULE,
        help="Only for India: the ID of the text in the DLT registry. It goes with texts to +91.",
    )


def ids(settings: Registered, to: PhoneNumber, entity: str, template: str) -> dict[str, str]:
    """The ids that go with a text to this number, under the names that the service has for them."""
    if not to.e164.startswith(_INDIA):
        return {}
    named = {entity: settings.dlt_entity_id, template: settings.dlt_template_id}
    return {name: value for name, value in named.items() if value}

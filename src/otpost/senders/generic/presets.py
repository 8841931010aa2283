"""Well-known gateways as settings of the generic one, made from their own documentation and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Preset:
    """A gateway: `section` is what the form is filled with, `link` the page that says so.

    `typed` are the paths in the section that only the administrator knows, secrets among them, in the form's order;
    `note` tells what they are there, and what else is to be done. What the section does not name has its default.
    """

    name: str
    title: str
    link: str
    section: Mapping[str, Any]
    typed: tuple[str, ...]
    note: str


_BULKSMS: Final = Preset(
    name="bulksms",
    title="BulkSMS",
    link="https://www.bulksms.com/developer/json/v1/",
    section={
        "service_url": "https://api.bulksms.com/v1/messages?auto-unicode=true",
        "body_format": "json",
        "parameters": [
            {"name": "to", "value": "{phone}"},
            {"name": "body", "value": "{message}"},
            {"name": "from", "value": "{sender}"},
        ],
        "message_id_path": "0.id",
        "error_code_path": "title",
        "refusals": [
            {"pattern": r'"title"\s*:\s*"Insufficient Credits"', "reason": "account_trouble"},
            {"pattern": r'"id"\s*:\s*"FAILED\.BLOCKED"', "reason": "opted_out"},
            {"pattern": r'"id"\s*:\s*"FAILED\.(EXPIRED|HANDSET_ERROR)"', "reason": "not_reachable"},
        ],
        "report_id_path": "0.id",
        "report_status_path": "0.status.type",
        "report_code_path": "0.status.subtype",
        "report_sent": "SENT",
        "report_delivered": "DELIVERED",
        "report_failed": "FAILED",
    },
    typed=("auth_username", "auth_password"),
    note="User name and password are an API token's id and secret. For reports make a webhook with the fixed address, "
    "the trigger SENT and the invoke option ONE.",
)

_CLICKATELL: Final = Preset(
    name="clickatell",
    title="Clickatell",
    link="https://www.clickatell.com/developers/api-documentation/rest-api-request-parameters/",
    section={
        "service_url": "https://platform.clickatell.com/messages",
        "body_format": "json",
        "parameters": [
            {"name": "to.0", "value": "{phone}"},
            {"name": "content", "value": "{message}"},
            {"name": "from", "value": "{sender}"},
        ],
        "secure_headers": [{"name": "Authorization"}],
        "number_format": "",
        "success_pattern": r'"accepted"\s*:\s*true',
        "failure_pattern": r'"accepted"\s*:\s*false',
        "message_id_path": "messages.0.apiMessageId",
        "refusals": [{"pattern": "Invalid destination address", "reason": "invalid_number"}],
        "report_id_path": "messageId",
        "report_status_path": "status",
        "report_delivered": "RECEIVED_BY_RECIPIENT",
    },
    typed=("secure_headers[0].value",),
    note="The header Authorization is the API key alone. For reports give the fixed address as the integration's "
    "callback of delivery statuses; only the status of delivery is known to Otpost.",
)

_CLICKSEND: Final = Preset(
    name="clicksend",
    title="ClickSend",
    link="https://developers.clicksend.com/docs/messaging/sms",
    section={
        "service_url": "https://rest.clicksend.com/v3/sms/send",
        "body_format": "json",
        "parameters": [
            {"name": "messages.0.to", "value": "{phone}"},
            {"name": "messages.0.body", "value": "{message}"},
            {"name": "messages.0.from", "value": "{sender}"},
            {"name": "messages.0.custom_string", "value": "{attempt}"},
        ],
        "success_pattern": r'"status"\s*:\s*"SUCCESS"',
        "message_id_path": "data.messages.0.message_id",
        "error_code_path": "data.messages.0.status",
        "refusals": [
            {"pattern": r'"status"\s*:\s*"INVALID_RECIPIENT"', "reason": "invalid_number"},
            {"pattern": r'"status"\s*:\s*"INVALID_SENDER_ID"', "reason": "sender_not_allowed"},
            {"pattern": r'"status"\s*:\s*"(INSUFFICIENT_CREDIT|ACCOUNT_NOT_ACTIVATED)"', "reason": "account_trouble"},
            {"pattern": r'"status"\s*:\s*"(MISSING|INVALID)_CREDENTIALS"', "reason": "credentials_refused"},
            {"pattern": r'"status"\s*:\s*"THROTTLED"', "reason": "throttled"},
            {"pattern": r'"status"\s*:\s*"EMPTY_MESSAGE"', "reason": "text_refused"},
        ],
    },
    typed=("auth_username", "auth_password"),
    note="The password is the API key. Without a Sender, ClickSend picks one.",
)

_PLIVO: Final = Preset(
    name="plivo",
    title="Plivo",
    link="https://www.plivo.com/docs/messaging/api/messages",
    section={
        "service_url": "https://api.plivo.com/v1/Account/{username}/Message/",
        "body_format": "json",
        "parameters": [
            {"name": "src", "value": "{sender}"},
            {"name": "dst", "value": "{phone}"},
            {"name": "text", "value": "{message}"},
            {"name": "url", "value": "{callback_url}"},
            {"name": "method", "value": "POST"},
        ],
        "number_format": "",
        "message_id_path": "message_uuid.0",
        "report_id_path": "MessageUUID",
        "report_status_path": "Status",
        "report_code_path": "ErrorCode",
        "report_sent": "sent",
        "report_delivered": "delivered",
        "report_failed": "failed, undelivered, rejected",
    },
    typed=("auth_username", "auth_password", "sender"),
    note="User name and password are the account's Auth ID and Auth Token; the Sender is a number or name of its own.",
)

_TELNYX: Final = Preset(
    name="telnyx",
    title="Telnyx",
    link="https://developers.telnyx.com/docs/messaging/messages/send-message",
    section={
        "service_url": "https://api.telnyx.com/v2/messages",
        "body_format": "json",
        "parameters": [
            {"name": "from", "value": "{sender}"},
            {"name": "to", "value": "{phone}"},
            {"name": "text", "value": "{message}"},
            {"name": "webhook_url", "value": "{callback_url}"},
        ],
        "secure_headers": [{"name": "Authorization"}],
        "message_id_path": "data.id",
        "error_code_path": "errors.0.code",
        "report_id_path": "data.payload.id",
        "report_status_path": "data.payload.to.0.status",
        "report_code_path": "data.payload.errors.0.code",
        "report_sent": "sent",
        "report_delivered": "delivered",
        "report_failed": "sending_failed, delivery_failed, expired",
    },
    typed=("secure_headers[0].value", "sender"),
    note="The header Authorization is the word Bearer, a blank and the API key; the Sender a number with a messaging "
    "profile.",
)

PRESETS: Final[tuple[Preset, ...]] = (_BULKSMS, _CLICKATELL, _CLICKSEND, _PLIVO, _TELNYX)

"""Twilio's errors: which number and HTTP status each of our refusals has there, and the JSON that the SDKs read.

Numbers, statuses and sentences are those of https://www.twilio.com/docs/api/errors; where the dictionary states no
status, 400. The body never holds `type`, `title`, `status` and `code` together: the SDKs would raise another
exception than the one that their users catch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from otpost.api.problems import retry_after_s
from otpost.domain.errors import Invalid, LimitReached, Refusal
from otpost.domain.limits import RateLimitReached

DICTIONARY: dict[int, tuple[int, str]] = {
    20001: (400, "Unknown parameters"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20007: (400, "Page size too large"),
    20009: (400, "Cannot delete this resource before it is complete"),
    20403: (403, "Forbidden"),
    20404: (404, "Not Found"),
    20409: (409, "Conflict"),
    20413: (413, "Request Entity Too Large"),
    20422: (400, "Invalid Parameter"),
    20429: (429, "Too many requests"),
    20500: (500, "Internal Server Error"),
    20503: (503, "Service unavailable"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid From Number (caller ID)"),
    21408: (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    21602: (400, "Message body is required"),
    21603: (400, "A 'From' or 'MessagingServiceSid' parameter is required to send a message"),
    21604: (400, "The destination 'To' phone number is required to send an SMS"),
    21606: (
        400,
        "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination",
    ),
    21609: (400, "Invalid 'StatusCallback'"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21618: (400, "The message body cannot be sent"),
    21622: (400, "MMS has not been enabled for your account"),
    21624: (400, "Invalid validity period value"),
    21655: (400, "The ContentSid is Invalid"),
    21656: (400, "The ContentVariables Parameter is invalid"),
    21701: (404, "The Messaging Service does not exist"),
    21705: (400, "The Messaging Service is invalid"),
    30409: (400, "This message cannot be canceled"),
    35114: (400, "Scheduling does not support this timestamp"),
    60200: (400, "Invalid parameter"),
    60202: (429, "Max check attempts reached"),
    60203: (429, "Max send attempts reached"),
    60204: (403, "Service does not support this feature"),
    60205: (403, "SMS is not supported by landline phone number"),
    60206: (400, "'Amount' & 'Payee' params are required"),
    60207: (400, "Max rate limits per service reached"),
    60208: (400, "Rate limit with that UniqueName already exists"),
    60209: (400, "UniqueName format is invalid"),
    60210: (400, "Max Buckets per Rate limit reached"),
    60211: (400, "Bucket with the given Interval already exists"),
    60212: (429, "Too many concurrent requests for phone number"),
    60213: (400, "A Messaging Configuration already exists for the given country"),
    60214: (400, "Call channel is not supported when using PSD2"),
    60217: (400, "Invalid Service configuration"),
    60221: (400, "No target verification specified"),
    60223: (400, "Delivery channel disabled"),
    60224: (400, "Missing substitutions for selected template"),
    60228: (400, "Template was not found"),
    60229: (400, "Template translation was not found"),
    60243: (400, "Custom messages are not supported"),
    60247: (400, "Message Length Exceeded"),
    60410: (403, "Verification delivery attempt blocked"),
    60411: (400, "Phone Number or Phone Number Prefix already exists in Safelist"),
    60428: (400, "Unsupported channel"),
    60605: (403, "Verification delivery attempt blocked (Geo permissions)"),
}

NUMBERS: dict[str, int] = {
    "malformed": 20422,
    "unauthenticated": 20003,
    "scope_missing": 20403,
    "not_found": 20404,
    "verification_not_found": 20404,
    "method_not_allowed": 20004,
    "revision_conflict": 20409,
    "sender_policy_incomplete": 60217,
    "verification_final": 20404,
    "too_large": 20413,
    "unavailable": 20503,
    "internal": 20500,
    "max_sends_reached": 60203,
    "max_checks_reached": 60202,
    "number_sends_reached": 60203,
    "number_checks_reached": 60202,
    "number_locked": 60202,
}
"""Our refusals by their codes; any other limit is 20429."""

FIELD_NUMBERS: dict[str, int] = {
    "dialing_code_refused": 60605,
    "region_refused": 60605,
    "text_too_long": 60247,
    "variable_missing": 60224,
    "amount_and_payee_required": 60206,
    "feature_off": 60204,
    "template_not_found": 60228,
    "translation_not_found": 60229,
    "rate_limits_used_up": 60207,
    "rate_limit_name_taken": 60208,
    "rate_limit_name_invalid": 60209,
    "buckets_used_up": 60210,
    "interval_taken": 60211,
    "country_taken": 60213,
    "safe_already": 60411,
}
"""What is wrong with one field by its code; anything else is 60200 with the parameter's name."""

PARAMETERS: dict[str, str] = {"to": "To", "locale": "Locale", "client_ip": "DeviceIp", "code": "Code"}
"""What Twilio calls the fields of use cases; those that are not here have Twilio's names."""

_SILENT = frozenset({"not_found", "verification_not_found", "unauthenticated", "method_not_allowed", "internal"})


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """`details` is what both SDKs hand on to programs: `retry_after` in seconds, our own reason and sentence."""

    code: int
    message: str
    more_info: str
    status: int
    details: dict[str, Any] | None = None


class TwilioError(Exception):
    """An answer of Twilio's own, for what only the Twilio-shaped API knows."""

    def __init__(
        self, code: int, message: str | None = None, *, retry_after_s: int | None = None, detail: str | None = None
    ) -> None:
        self.code = code
        self.status, sentence = DICTIONARY[code]
        self.message = message or sentence
        self.retry_after_s = retry_after_s
        self.details: dict[str, Any] = {} if retry_after_s is None else {"retry_after": retry_after_s}
        if detail is not None:
            self.details["detail"] = detail
        self.limit: str | None = None
        super().__init__(self.message)

    def body(self) -> ErrorBody:
        more_info = f"https://www.twilio.com/docs/errors/{self.code}"
        return ErrorBody(self.code, self.message, more_info, self.status, self.details or None)


def missing(parameter: str) -> TwilioError:
    """A required parameter is not there."""
    return TwilioError(20001, f"Missing required parameter {parameter} in the post body")


def wrong(parameter: str, detail: str | None = None, *, value: str | None = None) -> TwilioError:
    """A parameter's value breaks a rule; `detail` says which and what to do. Twilio names the value of `To` alone."""
    message = f"Invalid parameter: {parameter}" if value is None else f"Invalid parameter `{parameter}`: {value}"
    return TwilioError(60200, message, detail=detail)


def not_found(resource: str) -> TwilioError:
    """There is nothing at this address, or nothing that this caller may see. `resource`: its path without version."""
    return TwilioError(20404, f"The requested resource {resource} was not found")


def translate(refusal: Refusal, resource: str, now: int, numbers: Mapping[str, int]) -> TwilioError:
    """A refusal of ours as Twilio would say it; `numbers` are an endpoint's own, before those of the table."""
    code = refusal.code
    if code in ("not_found", "verification_not_found", "verification_final"):
        return not_found(resource)
    error = _invalid(refusal, numbers) if isinstance(refusal, Invalid) else _plain(refusal, numbers)
    wait_s = retry_after_s(refusal, now)
    if wait_s is not None:
        error.retry_after_s = error.details["retry_after"] = wait_s
    if code not in _SILENT:
        error.details |= {"reason": code, "detail": refusal.detail}
    return error


def _plain(refusal: Refusal, numbers: Mapping[str, int]) -> TwilioError:
    number = numbers.get(refusal.code) or NUMBERS.get(refusal.code)
    if number is None:
        number = 20429 if isinstance(refusal, LimitReached) else 20422
    error = TwilioError(number)
    if isinstance(refusal, RateLimitReached):
        error.limit = refusal.limit
    return error


def _invalid(refusal: Invalid, numbers: Mapping[str, int]) -> TwilioError:
    if not refusal.errors:
        return TwilioError(60200)
    first = refusal.errors[0]
    number = numbers.get(first.field) or numbers.get(first.code) or FIELD_NUMBERS.get(first.code)
    return TwilioError(number) if number else wrong(PARAMETERS.get(first.field, first.field))

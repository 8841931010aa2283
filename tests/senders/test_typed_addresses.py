"""Addresses and senders as people type them: what a service appends itself is taken off, and names belong to it."""

from __future__ import annotations

import pytest

from otpost.senders.registry import find_services
from otpost.senders.submission import read_section

ACCOUNT = "AC" + "0" * 32


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("twilio", "https://api.twilio.com/2010-04-01", "https://api.twilio.com"),
        ("twilio", "https://api.twilio.com/2010-04-01/", "https://api.twilio.com"),
        ("twilio", f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json", "https://api.twilio.com"),
        ("twilio", f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}.json", "https://api.twilio.com"),
        ("twilio", "https://x.signalwire.com/api/laml/2010-04-01/Accounts", "https://x.signalwire.com/api/laml"),
        ("twilio", "https://x.signalwire.com/api/laml", "https://x.signalwire.com/api/laml"),
        ("twilio", "https://sms.example.com/Messages", "https://sms.example.com/Messages"),
        ("messagebird", "https://rest.messagebird.com/messages", "https://rest.messagebird.com"),
        ("messagebird", "https://rest.messagebird.com/messages//", "https://rest.messagebird.com"),
        ("messagebird", "https://sms.example.com/messages/v1", "https://sms.example.com/messages/v1"),
        ("vonage", "https://rest.nexmo.com/sms/json", "https://rest.nexmo.com"),
        ("vonage", "https://rest.nexmo.com/sms", "https://rest.nexmo.com"),
        ("vonage", "https://sms.example.com/", "https://sms.example.com/"),
        ("infobip", "https://x.api.infobip.com/sms/3", "https://x.api.infobip.com"),
        ("infobip", "https://x.api.infobip.com/sms/3/messages", "https://x.api.infobip.com"),
        ("infobip", "https://x.api.infobip.com/sms/2/text/advanced", "https://x.api.infobip.com"),
        ("infobip", "https://x.api.infobip.com", "https://x.api.infobip.com"),
    ],
)
def test_what_the_service_appends_is_taken_off(name: str, typed: str, kept: str) -> None:
    submission = read_section(find_services()[name].Settings, {"api_url": typed}, name)
    assert (submission.errors, submission.settings.api_url) == ([], kept)


@pytest.mark.parametrize("name", ["GOV.UK", "O'Reilly", "Köln Süd", "A name of more than eleven", "x" * 64])
def test_a_generic_gateway_decides_about_names(name: str) -> None:
    submission = read_section(find_services()["generic"].Settings, {"sender": name}, "generic")
    assert (submission.errors, submission.settings.sender) == ([], name)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("+49 151 1234-5678", "+4915112345678"), ("0049 151 12345678", "+4915112345678"), ("12345", "12345")],
)
def test_a_number_is_read_as_everywhere(typed: str, kept: str) -> None:
    assert read_section(find_services()["generic"].Settings, {"sender": typed}, "generic").settings.sender == kept


@pytest.mark.parametrize("wrong", ["+0", "0151 12345678", "x" * 65, "GOV.\x07UK", "."])
def test_what_is_neither_is_refused(wrong: str) -> None:
    assert [
        error.field for error in read_section(find_services()["generic"].Settings, {"sender": wrong}, "generic").errors
    ] == ["generic.sender"]


@pytest.mark.parametrize(
    ("service", "field"), [("vonage", "sender"), ("infobip", "sender"), ("messagebird", "originator")]
)
def test_other_services_keep_their_alphabet(service: str, field: str) -> None:
    assert [
        error.field for error in read_section(find_services()[service].Settings, {field: "GOV.UK"}, service).errors
    ] == [f"{service}.{field}"]

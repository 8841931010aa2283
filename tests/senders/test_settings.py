"""One declaration of settings is form, validation, storage and secrets; the services are found by themselves."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otpost.domain.errors import FieldError
from otpost.domain.secret import Secret
from otpost.senders.registry import SHARED, find_services
from otpost.senders.settings import (
    SecretRef,
    answer,
    changes,
    destination,
    fill,
    form,
    load,
    missing,
    needed,
    plain,
    secret_labels,
    setting,
    slots,
    urls,
)
from otpost.senders.submission import MAX_ROWS, Submission, read_section


@dataclass(frozen=True, slots=True)
class Row:
    code: str = setting("Filter", kind="dialing_code", key=True, required=True)
    user: str = setting("Row user", pattern="U[0-9]{2}", rule="A user is U and two digits.", required=True)
    token: Secret | None = setting("Row token", secret=True, owner="user", destination="url", required=True)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str = setting("Name", key=True, required=True)
    value: Secret | None = setting("Value", secret=True, owner="name", destination="url", kept_as="parameter")


@dataclass(frozen=True, slots=True)
class Settings:
    user: str = setting("User", pattern="U[0-9]{2}", rule="A user is U and two digits.", required=True, help="U and 2.")
    token: Secret | None = setting("Token", secret=True, owner="user", destination="url", required=True)
    on: bool = setting("Switch", kind="flag")
    origin: str = setting("Sender", kind="origin")
    url: str = setting("URL", kind="url", default="https://sms.example.com")
    size: int = setting("Size", kind="number", default=3, low=1, high=10)
    form: str = setting("Form", choices=(("form", "Form fields"), ("json", "JSON")))
    note: str = setting("Note", max_length=10)
    rows: tuple[Row, ...] = setting("Rows", row=Row, row_label="Row")
    parameters: tuple[Parameter, ...] = setting("Parameters", row=Parameter, row_label="Parameter")


AT = "https://sms.example.com:443"
MAIN = SecretRef("token", "U01", AT)
SECTION: dict[str, Any] = {
    "user": "U01",
    "token": "main-secret",
    "on": True,
    "origin": "91\\9191919191",
    "size": 7,
    "form": "json",
    "rows": [{"code": "0091", "user": "U02", "token": "row-secret"}, {"code": "1\\", "user": "U01"}],
    "parameters": [{"name": "apiKey", "value": "parameter-secret"}],
}


def test_a_right_section_is_read_into_settings_without_secrets_and_the_secrets_beside_them():
    submission = read_section(Settings, SECTION, "acme")
    assert submission == Submission(
        settings=Settings(
            user="U01",
            on=True,
            origin="+919191919191",
            size=7,
            form="json",
            rows=(Row(code="+91", user="U02"), Row(code="+1", user="U01")),
            parameters=(Parameter(name="apiKey"),),
        ),
        errors=[],
        typed={
            MAIN: Secret("main-secret"),
            SecretRef("token", "U02", AT): Secret("row-secret"),
            SecretRef("parameter", "apiKey", AT): Secret("parameter-secret"),
        },
        cleared=set(),
        slots=[
            (MAIN, "acme.token"),
            (SecretRef("token", "U02", AT), "acme.rows[0].token"),
            (MAIN, "acme.rows[1].token"),
            (SecretRef("parameter", "apiKey", AT), "acme.parameters[0].value"),
        ],
        claimed=set(),
    )


@pytest.mark.parametrize("section", [{}, dict.fromkeys(SECTION), {"url": "", "note": " ", "token": ""}])
def test_absent_null_and_empty_values_are_the_defaults(section):
    submission = read_section(Settings, section, "acme")
    assert (submission.errors, submission.settings, submission.typed, submission.cleared) == ([], Settings(), {}, set())


WRONG = {
    "not an object": ("text", "acme", "invalid"),
    "an unknown field": ({"nonsense": 1}, "acme.nonsense", "unknown_field"),
    "a text that is a number": ({"user": 5}, "acme.user", "invalid"),
    "a text against its pattern": ({"user": "U1"}, "acme.user", "invalid"),
    "a text that is too long": ({"note": "x" * 11}, "acme.note", "text_too_long"),
    "a text of two lines": ({"note": "a\nb"}, "acme.note", "invalid"),
    "half a surrogate pair": ({"note": "a\ud800"}, "acme.note", "invalid"),
    "a flag that is a text": ({"on": "true"}, "acme.on", "invalid"),
    "a number that is a flag": ({"size": True}, "acme.size", "invalid"),
    "a number that is too low": ({"size": 0}, "acme.size", "out_of_range"),
    "a number that is too high": ({"size": 11}, "acme.size", "out_of_range"),
    "a choice that is none": ({"form": "xml"}, "acme.form", "invalid"),
    "a choice that is a list": ({"form": []}, "acme.form", "invalid"),
    "a sender that is no number": ({"origin": "+0"}, "acme.origin", "invalid_number"),
    "a URL without a host": ({"url": "https://"}, "acme.url", "invalid"),
    "a URL of another scheme": ({"url": "ftp://sms.example.com"}, "acme.url", "invalid"),
    "a URL with a password": ({"url": "https://a:b@sms.example.com"}, "acme.url", "invalid"),
    "a URL with a template for a host": ({"url": "https://{phone}.example.com"}, "acme.url", "invalid"),
    "a URL with a blank": ({"url": "https://sms.example.com/a b"}, "acme.url", "invalid"),
    "a URL with a wrong port": ({"url": "https://sms.example.com:99999"}, "acme.url", "invalid"),
    "a URL with a wrong address": ({"url": "https://[::g]/"}, "acme.url", "invalid"),
    "rows that are no list": ({"rows": {}}, "acme.rows", "invalid"),
    "a row that is no object": ({"rows": [7]}, "acme.rows[0]", "invalid"),
    "too many rows": ({"rows": [{}] * (MAX_ROWS + 1)}, "acme.rows", "out_of_range"),
    "an unknown field in a row": ({"rows": [{}, {"x": 1}]}, "acme.rows[1].x", "unknown_field"),
    "a filter of no country": ({"rows": [{"code": "+0"}]}, "acme.rows[0].code", "invalid_number"),
    "two rows with one key": ({"rows": [{"code": "+91"}, {"code": "91"}]}, "acme.rows[1].code", "duplicate"),
    "a secret that is a number": ({"user": "U01", "token": 5}, "acme.token", "invalid"),
    "a secret of blanks": ({"user": "U01", "token": " \n"}, "acme.token", "token_required"),
    "a secret that is too long": ({"user": "U01", "token": "x" * 1025}, "acme.token", "text_too_long"),
    "a secret with a tab inside": ({"user": "U01", "token": "a\tb"}, "acme.token", "invalid"),
    "a secret of nobody": ({"token": "secret"}, "acme.user", "required"),
    "a secret of somebody wrong": ({"user": "Ux", "token": "secret"}, "acme.user", "invalid"),
    "a mark that is no flag": ({"token_set": "yes"}, "acme.token_set", "invalid"),
    "two secrets of one owner": (
        {"user": "U01", "token": "one", "rows": [{"code": "+1", "user": "U01", "token": "two"}]},
        "acme.rows[0].token",
        "invalid",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_mistake_is_reported_at_its_field(case):
    section, path, code = WRONG[case]
    assert [(error.field, error.code) for error in read_section(Settings, section, "acme").errors] == [(path, code)]


def test_all_mistakes_are_reported_at_once_and_in_words():
    section = {"user": "x", "size": 11, "form": "xml", "rows": [{"user": "U02"}, {"user": "y"}]}
    assert read_section(Settings, section, "acme").errors == [
        FieldError("acme.user", "invalid", "A user is U and two digits."),
        FieldError("acme.size", "out_of_range", "Size must be at least 1 and at most 10."),
        FieldError("acme.form", "invalid", "Form must be one of: form, json."),
        FieldError("acme.rows[1].user", "invalid", "A user is U and two digits."),
    ]


def test_a_typed_secret_wins_over_clearing_which_wins_over_keeping():
    row = {"code": "+1", "user": "U01"}
    typed = read_section(Settings, {"user": "U01", "token_set": False, "rows": [{**row, "token": "new"}]}, "acme")
    cleared = read_section(Settings, {"user": "U01", "token_set": False, "rows": [{**row, "token_set": True}]}, "acme")
    kept = read_section(Settings, {"user": "U01", "token": None, "token_set": True, "rows": [row]}, "acme")
    assert (typed.typed, typed.cleared) == ({MAIN: Secret("new")}, set())
    assert (cleared.typed, cleared.cleared, cleared.claimed) == ({}, {MAIN}, {"acme.rows[0].token"})
    assert (kept.typed, kept.cleared, kept.claimed) == ({}, set(), {"acme.token"})


def test_one_secret_typed_twice_for_its_owner_is_one_secret():
    section = {"user": "U01", "token": "same", "rows": [{"code": "+1", "user": "U01", "token": "same"}]}
    submission = read_section(Settings, section, "acme")
    assert (submission.errors, submission.typed) == ([], {MAIN: Secret("same")})


def test_a_secret_is_kept_as_typed_but_for_the_blanks_that_copying_brings_along():
    assert read_section(Settings, {"user": "U01", "token": "\r\n a b§ \n"}, "acme").typed == {MAIN: Secret("a b§")}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.twilio.com", "https://api.twilio.com:443"),
        ("https://api.twilio.com:443/x?y=1", "https://api.twilio.com:443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://sms.example.com", "http://sms.example.com:80"),
        ("https://[::1]/a", "https://[::1]:443"),
        ("", ""),
        ("https://sms.example.com:x", ""),
    ],
)
def test_a_destination_is_scheme_host_and_port(url, expected):
    assert destination(url) == expected


def test_another_host_makes_another_secret_of_it():
    submission = read_section(Settings, {**SECTION, "url": "https://evil.example.com"}, "acme")
    assert MAIN not in submission.typed
    assert {ref.destination for ref, _ in submission.slots} == {"https://evil.example.com:443"}


def test_the_stored_form_holds_everything_but_the_secrets_and_is_loaded_again():
    settings = read_section(Settings, SECTION, "acme").settings
    assert plain(settings) == {
        "user": "U01",
        "on": True,
        "origin": "+919191919191",
        "url": "https://sms.example.com",
        "size": 7,
        "form": "json",
        "note": "",
        "rows": [{"code": "+91", "user": "U02"}, {"code": "+1", "user": "U01"}],
        "parameters": [{"name": "apiKey"}],
    }
    assert load(Settings, plain(settings)) == settings


def test_what_another_version_stored_is_loaded_as_far_as_it_is_understood():
    stored = {"user": "U01", "gone": 1, "on": "yes", "size": True, "rows": [3, {"code": "+1", "new": 1}], "token": "x"}
    assert load(Settings, stored) == Settings(user="U01", rows=(Row(code="+1"),))


def test_an_answer_shows_of_a_secret_only_whether_it_is_set():
    settings = fill(Settings(user="U01", rows=(Row("+91", "U02"),)), {MAIN: Secret("main-secret")})
    shown = answer(settings, lambda ref: ref == MAIN)
    assert shown["rows"] == [{"code": "+91", "user": "U02", "token": None, "token_set": False}]
    assert list(shown)[:4] == ["user", "token", "token_set", "on"]
    assert (shown["token"], shown["token_set"]) == (None, True)


def test_known_secrets_are_put_in_every_place_of_theirs():
    settings = Settings(user="U01", rows=(Row("+91", "U02"), Row("+1", "U01")))
    assert fill(settings, {MAIN: Secret("m")}) == Settings(
        user="U01", token=Secret("m"), rows=(Row("+91", "U02"), Row("+1", "U01", Secret("m")))
    )


def test_what_is_needed_is_named_with_its_path():
    settings = Settings(rows=(Row(code="+91"),), parameters=(Parameter("apiKey"),))
    assert missing(settings, "acme") == [
        FieldError("acme.user", "required", "User is needed. U and 2."),
        FieldError("acme.rows[0].user", "required", "Row user is needed."),
    ]
    assert [path for _, path in needed(settings, "acme")] == ["acme.token", "acme.rows[0].token"]
    assert [path for _, path in slots(settings, "acme")][-1] == "acme.parameters[0].value"
    assert urls(settings, "acme") == [("acme.url", "https://sms.example.com")]


def test_secrets_have_names_for_people():
    settings = Settings(user="U01", rows=(Row("+91", "U02"), Row("", "U03"), Row("+1", "U01")))
    assert list(secret_labels(settings).values()) == ["Token", "Row +91: Row token", "Row 2: Row token"]


def test_changes_are_told_in_words_with_rows_by_their_key():
    old = {"origin": "+15005550006", "rows": [{"code": "+91", "user": "U02"}, {"code": "+1", "user": "U01"}]}
    new = {"on": True, "form": "json", "rows": [{"code": "+44", "user": "U04"}, {"code": "+91", "user": "U03"}]}
    assert changes(Settings, old, new) == [
        "Switch: off → on",
        "Sender: +15005550006 → empty",
        "Form: Form fields → JSON",
        "Row +1: removed",
        "Row +44: added",
        "Row +91, Row user: U02 → U03",
    ]
    assert changes(Settings, old, {**old, "rows": old["rows"][::-1]}) == ["Rows: order changed"]
    assert changes(Settings, new, new) == []


def test_the_form_describes_each_field():
    size = next(field for field in form(Settings) if field.name == "size")
    assert (size.label, size.kind, size.default, size.low, size.high) == ("Size", "number", 3, 1, 10)
    assert [field.kind for field in form(Settings)] == [
        "text", "secret", "flag", "origin", "url", "number", "choice", "text", "rows", "rows",
    ]  # fmt: skip


def test_services_are_found_in_the_order_of_lists_and_their_helpers_are_not_taken_for_services():
    names = list(find_services())
    assert names[0] == "twilio"
    assert names[-1] == "sandbox"
    assert not SHARED & set(names)


def find_with(directory: Path, module: str) -> subprocess.CompletedProcess[str]:
    (directory / "acme_sms.py").write_text(module)
    information = directory / "acme_sms-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sms\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[otpost.senders]\nacme = acme_sms\n")
    program = f"import sys; sys.path[:0] = {[str(directory), *sys.path]!r}\n"
    program += "from otpost.senders.registry import find_services; print(*find_services())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_another_package_brings_a_service_by_its_entry_point(tmp_path):
    module = "from otpost.senders.sandbox import *\nfrom otpost.senders.sandbox import may_be_fallback\nNAME = 'acme'\n"
    run = find_with(tmp_path, module)
    assert (run.returncode, "acme" in run.stdout.split()) == (0, True), run.stderr


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("NAME = 'acme'", "lacks TITLE, PLACE, may_be_fallback, Settings, route, account_secret, send"),
        ("from otpost.senders.sandbox import *", "there is a sender service named sandbox already"),
        ("from otpost.senders.sandbox import *\nNAME = 'A B'", "NAME must be small letters"),
    ],
)
def test_a_module_that_is_no_service_is_refused_by_name(tmp_path, module, words):
    run = find_with(tmp_path, module)
    assert run.returncode != 0
    assert words in run.stderr

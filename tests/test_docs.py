"""The documentation is true: what it lists is what there is, its links lead somewhere, and its commands work."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otpost import config, telemetry
from otpost.api.native.routes import ENDPOINTS
from otpost.api.problems import STATUS
from otpost.cli.commands import COMMANDS, GROUPS
from otpost.domain import errors
from otpost.domain.application import SETTINGS
from otpost.domain.errors import LimitReached
from otpost.senders.registry import find_services
from otpost.senders.settings import form
from standins.twilio import Account, TwilioStandIn

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUNNABLE = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
RUN = re.compile(r"<!-- run -->\n```sh\n(.*?)\n```", re.DOTALL)

TWILIO_SID, TWILIO_TOKEN = "AC" + "a" * 32, "0123456789abcdef-the-quickstarts-own"
TWILIO_PHONE, PHONE = "+14155550100", "+447400123456"


def text(name: str) -> str:
    return (REFERENCE / name).read_text()


def sections(page: str, level: str) -> dict[str, str]:
    """A page's sections by their headings, as they stand there."""
    parts = re.split(rf"(?m)^{level} (.+)$", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lies_in(page: str, wanted: str) -> bool:
    """Whether `wanted` stands on the page as code."""
    return f"`{wanted}`" in page


def test_every_endpoint_is_described_with_its_scope_its_answers_and_its_refusals() -> None:
    described = sections(text("api.md"), "####")
    assert set(described) == {f"`{each.method} {each.path}`" for each in ENDPOINTS} | {
        "`POST /callbacks/{service}/{attempt}`"
    }
    for each in ENDPOINTS:
        section = described[f"`{each.method} {each.path}`"]
        said = [f"Scope `{each.scope}`", *(f"`{word}`" for word in (*each.answers, *each.refuses))]
        assert [word for word in said if word not in section] == [], each.path
        fields = [
            field for field in getattr(each.query, "__struct_encode_fields__", ()) if field not in ("limit", "cursor")
        ]
        assert [field for field in fields if f"`{field}`" not in section] == [], each.path


def test_every_problem_is_listed_with_its_status() -> None:
    limits = {kind.code: 429 for kind in vars(errors).values() if _is_limit(kind)}
    rows = re.findall(r"(?m)^\| (\d{3}) \| `(\w+)` \|", text("api.md"))
    assert {code: int(status) for status, code in rows} == STATUS | limits
    assert len(rows) == len(STATUS) + len(limits)


def _is_limit(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, LimitReached) and kind is not LimitReached


def test_every_rule_of_an_application_is_listed_with_its_default_and_range() -> None:
    page = sections(text("api.md"), "###")["An application"]
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (.*)$", page))
    assert set(rows) == {"name", *SETTINGS}
    for name, setting in SETTINGS.items():
        if setting.kind == "number":
            assert rows[name].startswith(f"{'none' if setting.default is None else setting.default} | "), name
            assert f"{setting.low} to {setting.high}" in rows[name], name


def test_every_metric_is_listed() -> None:
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in telemetry.REGISTRY.collect()
        if family.name.startswith("otpost_")
    }
    assert set(re.findall(r"(?m)^\| `(otpost_\w+)` \|", text("api.md"))) == names


def test_every_variable_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"(?m)^\| `(OTPOST_\w+)` \| (.*?) \|", text("configuration.md")))
    assert set(rows) == set(config.NAMES)
    assert rows["OTPOST_LISTEN"] == f"`{config.DEFAULT_LISTEN}`"
    assert rows["OTPOST_ROLES"] == f"`{','.join(config.ROLES)}`"
    assert rows["OTPOST_KEEP_ALIVE_S"] == f"`{config.DEFAULT_KEEP_ALIVE_S}`"
    assert rows["OTPOST_LOG_LEVEL"] == f"`{config.DEFAULT_LOG_LEVEL}`"
    assert rows["OTPOST_DATA"] == f"`./{config.read({}).data.name}`"


def test_no_page_names_a_variable_that_there_is_not() -> None:
    known = {*config.NAMES, *(name + config.FILE_SUFFIX for name in config.NAMES)}
    named = {(page.name, name) for page in PAGES for name in re.findall(r"OTPOST_[A-Z_]*[A-Z]", page.read_text())}
    assert {(page, name) for page, name in named if name not in known and not name.startswith(config.PROOFS)} == set()


def test_every_command_is_described_with_its_options() -> None:
    described = sections(text("command-line.md"), "##")
    described.pop("Exit codes")
    known = {f"otpost {command.words}": command for command in COMMANDS}
    assert set(described) == set(known)
    for words, command in known.items():
        options = {argument.name for argument in command.arguments if argument.is_option}
        assert set(re.findall(r"(?m)^- `(--[a-z-]+)", described[words])) == options, words
        assert f"[`{words}`](#{words.replace(' ', '-')})" in text("command-line.md")


def test_no_page_names_a_command_that_there_is_not() -> None:
    known = {f"otpost {words}" for words in (*GROUPS, *(command.words for command in COMMANDS))}
    named = [
        (page.name, match[0])
        for page in PAGES
        for match in re.finditer(
            r"(?:(?<=`)|(?<=^)|(?<=\())otpost [a-z][a-z-]+(?: create| unlock)?", page.read_text(), re.M
        )
    ]
    assert [(page, words) for page, words in named if words not in known] == []


def test_every_setting_of_every_sender_service_is_listed_with_its_label() -> None:
    page = text("policy.md")
    listed = set(re.findall(r"(?m)^\| `(\w+)` \| ([^|]+?) \|", page))
    for service in find_services().values():
        fields = form(service.Settings)
        every = [*fields, *(inner for field in fields if field.row for inner in form(field.row))]
        assert {(field.name, field.label) for field in every} - listed == set()
        assert lies_in(page, service.NAME)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?s)```.*?```", "", file.read_text()))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_page_is_led_to() -> None:
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text()):
            linked.add((page.parent / target).resolve())
    pages = [page for page in PAGES if page.name != "README.md" and "evidence" not in page.parts]
    assert [str(page.relative_to(ROOT)) for page in pages if page not in linked] == []


@contextlib.contextmanager
def served(environment: dict[str, str]) -> Iterator[None]:
    """The service as an operator starts it, listening; ended afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "otpost", "serve"], env=environment, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        try:
            assert "listens on" in service.stdout.readline()
            yield
        finally:
            service.terminate()


@pytest.mark.process
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
async def test_the_commands_of_a_first_verification_work_as_they_stand_there(
    page: Path, tmp_path: Path, free_port: int
) -> None:
    blocks = RUN.findall(page.read_text())
    assert len(blocks) >= 4
    account = Account(sid=TWILIO_SID, auth_token=TWILIO_TOKEN, numbers=[TWILIO_PHONE])
    async with TwilioStandIn([account], process=True) as twilio:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OTPOST_DATA": str(tmp_path / "data"),
            "OTPOST_LISTEN": f"127.0.0.1:{free_port}",
            "OTPOST_OUTBOUND_ALLOW": "127.0.0.0/8",
        }
        typed = {
            "TWILIO_ACCOUNT_SID": TWILIO_SID,
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
            "TWILIO_PHONE": TWILIO_PHONE,
            "PHONE": PHONE,
        }
        script = "\n".join(["set -euo pipefail", *blocks]).replace("127.0.0.1:8080", f"127.0.0.1:{free_port}")
        script = script.replace('"twilio": {', f'"twilio": {{"api_url": "{twilio.url}",')
        with served(environment):
            ended = subprocess.run(
                ["bash", "-c", script],
                env={**environment, **typed},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
            )
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
        assert '"status":"approved"' in ended.stdout
        assert '"valid":true' in ended.stdout
        assert "Twilio accepted the text" in ended.stdout
        assert TWILIO_TOKEN not in ended.stdout
        sent = await twilio.messages(to=PHONE)
        assert [(message.account, message.origin) for message in sent] == [(TWILIO_SID, TWILIO_PHONE)] * len(sent)
        assert sent

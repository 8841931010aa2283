from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from otpost import config
from otpost.demo import MARKER, show
from otpost.installation import NotReady, opened


@pytest.fixture
def environment(tmp_path: Path, free_port: int) -> dict[str, str]:
    return {"OTPOST_DATA": str(tmp_path / "demo"), "OTPOST_LISTEN": f"127.0.0.1:{free_port}"}


async def shown(environment: dict[str, str]) -> str:
    screen = io.StringIO()
    await show(environment, stay=False, screen=screen)
    return screen.getvalue()


async def test_the_demo_shows_a_whole_verification_again_and_again(environment: dict[str, str]) -> None:
    codes = set()
    for _ in range(3):
        told = await shown(environment)
        text = re.search(r"^  \+15005550006: (\d{6}) is your Demo code\.$", told, re.MULTILINE)
        assert text is not None
        codes.add(text[1])
        assert re.search(r"^  VE[0-9a-f]{32} is pending until ", told, re.MULTILINE)
        assert f'{{"code": "{text[1]}"}}' in told
        assert re.search(r"approved$", told, re.MULTILINE)
        url = f"http://{environment['OTPOST_LISTEN']}"
        assert re.search(rf"^Console, .*: {url}/sign-in\?link=[\w-]{{43}}$", told, re.MULTILINE)
        assert told.count("$ curl -u SK") == 4
        assert told.splitlines()[-1].endswith("approved")
    assert len(codes) > 1
    assert {path.name for path in Path(environment["OTPOST_DATA"]).iterdir()} >= {MARKER, "otpost.db", "keyring"}


async def test_the_demo_leaves_an_installation_alone_that_it_did_not_make(environment: dict[str, str]) -> None:
    async with opened(config.read(environment)):
        pass
    folder = Path(environment["OTPOST_DATA"])
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(NotReady, match="holds something that the demo did not make"):
        await shown(environment)
    assert sorted(path.name for path in folder.iterdir()) == before


async def test_the_demo_takes_a_free_port_where_its_own_is_in_use(environment: dict[str, str]) -> None:
    port = int(environment["OTPOST_LISTEN"].rpartition(":")[2])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        told = await shown(environment)
    free = re.search(rf"^Port {port} is in use, so the demo takes (\d+)\.$", told, re.MULTILINE)
    assert free is not None
    assert f"http://127.0.0.1:{free[1]}/v1/verifications" in told


async def test_the_demo_keeps_to_a_database_of_its_own(environment: dict[str, str], tmp_path: Path) -> None:
    environment["OTPOST_DATABASE_URL"] = f"sqlite:///{tmp_path}/other.db"
    environment["OTPOST_ROLES"] = "api"
    assert "approved" in await shown(environment)
    assert not (tmp_path / "other.db").exists()


@pytest.mark.process
def test_the_demo_stays_up_until_it_is_told_to_end(environment: dict[str, str], tmp_path: Path) -> None:
    del environment["OTPOST_DATA"]
    with subprocess.Popen(
        [sys.executable, "-m", "otpost", "demo"],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        told = []
        for line in demo.stdout:
            told.append(line)
            if line.startswith("Console, "):
                break
        with urllib.request.urlopen(f"http://{environment['OTPOST_LISTEN']}/readyz") as answer:
            assert answer.status == 200
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=30)
    assert "  status: approved\n" in told
    assert (demo.returncode, err) == (0, "")
    assert (tmp_path / "otpost-demo" / MARKER).exists()

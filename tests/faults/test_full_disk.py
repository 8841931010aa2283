"""A disk without room: 503, nothing acknowledged, nothing lost, and work goes on once there is room again."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.load import Load, judge, recipients, sender_policy, settled, stand_in
from faults.served import Served

pytestmark = pytest.mark.prove

SIZE = "3m"
_OWN_MOUNTS = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
_MOUNT = f'mkdir -p "$0" && mount -t tmpfs -o size={SIZE} tmpfs "$0"'


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run([*_OWN_MOUNTS, "sh", "-c", _MOUNT, folder], capture_output=True)
    return tried.returncode == 0


def limit_files(service: Served) -> Callable[[], None]:
    """Lets no file of the service grow from now on; what ends that."""
    largest = max(path.stat().st_size for path in service.data.glob("otpost.db*"))
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (largest, hard))

    def lift() -> None:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (soft, hard))

    return lift


def fill_disk(service: Served) -> Callable[[], None]:
    """Fills the file system of the service's data, which it alone has mounted; what frees it."""
    filler = Path(f"/proc/{service.pid}/root{service.data}/filler")
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return filler.unlink


WAYS = {"files_may_not_grow": limit_files, **({"file_system_is_full": fill_disk} if _may_mount() else {})}


@pytest.mark.parametrize("way", WAYS)
async def test_a_full_disk_answers_503_acknowledges_nothing_and_recovers(tmp_path: Path, way: str):
    before: tuple[str, ...] = ()
    data = tmp_path / "service" / "data"
    if way == "file_system_is_full":
        # The data of the set-up go onto the small disk, which is there for this process alone.
        moved = f'cp -p "$0"/* "$1" && {_MOUNT} && cp -p "$1"/* "$0" && shift && exec "$@"'
        aside = tmp_path / "aside"
        aside.mkdir()
        before = (*_OWN_MOUNTS, "sh", "-c", moved, str(data), str(aside))
    service = Served(tmp_path / "service", before=before)
    async with stand_in() as twilio, service, await service.set_up() as api:
        await service.start()
        await api.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
        load = Load(api, 20, way)
        await load.run()
        await settled(api)

        # A text is on its way while the disk fills: what became of it is kept later.
        numbers = recipients()
        held, refused = [next(numbers) for _ in range(60)][-2:]
        await twilio.fault("hang", to=held)
        load.acknowledged[held] = await api.ok("POST", "/v1/verifications", {"to": held})
        await twilio.wait_for(lambda records: records.held == 1)
        make_room = WAYS[way](service)
        answers = []
        for nth in range(30):
            answer = await api.call("POST", "/v1/verifications", {"to": refused}, idempotency_key=f"full-{nth}")
            answers.append((answer.status, answer.json["code"], "retry-after" in answer.headers, answer.json["detail"]))
        told = {
            "files_may_not_grow": "The database cannot take this right now.",
            "file_system_is_full": "The disk of the database is full; nothing was kept.",
        }
        assert set(answers) == {(503, "unavailable", True, told[way])}
        await twilio.release()
        first = await api.ok("GET", "/v1/verifications?limit=1")
        assert first["items"][0]["to"] == held

        make_room()

        async def start() -> None:
            load.acknowledged[refused] = await load.start(refused)

        await asyncio.wait_for(start(), 20)
        load.total += 2
        await settled(api)
        await judge(load, twilio)
        assert len(await api.everything("/v1/verifications")) == 22
        assert await service.stop() == 0

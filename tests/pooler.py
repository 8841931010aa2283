"""PgBouncer for tests: the only module that knows how to put one before a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import postgres

START_TIMEOUT_S = 20


@contextmanager
def pooler(url: str, mode: Literal["session", "transaction"]) -> Iterator[str]:
    """The address under which a PgBouncer of its own, in this mode, reaches the database of `url`."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    server, port = urlsplit(url), postgres.free_port()
    folder = Path(tempfile.mkdtemp(prefix="otpost-pooler-", dir="/tmp"))
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
[databases]
* = host={server.hostname} port={server.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder / "users"}
pool_mode = {mode}
"""
    )
    owner = postgres.unprivileged_user() if os.geteuid() == 0 else None
    if owner is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    as_owner = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"] if owner is not None else []
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *as_owner, program, "-q", str(folder / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(port):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield f"postgresql://postgres@127.0.0.1:{port}{server.path}"
    finally:
        running.kill()
        running.wait()
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""The files that pages load: kept in memory, under addresses that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

FOLDER: Final = Path(__file__).parent / "static"
KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOR_A_YEAR: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class File:
    """One file; `address` holds the beginning of its SHA-256."""

    address: str
    kind: str
    plain: bytes
    packed: bytes


@cache
def files() -> dict[str, File]:
    """Every file by its name."""
    by_name = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in KINDS:
            plain = path.read_bytes()
            mark = hashlib.sha256(plain).hexdigest()[:12]
            address = f"/static/{mark}/{path.name}"
            by_name[path.name] = File(address, KINDS[path.suffix], plain, gzip.compress(plain, 9, mtime=0))
    return by_name


def address(name: str) -> str:
    """Where a file is, for a page."""
    return files()[name].address


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for a file; the address of a former version is 404."""
    file = files().get(scope["path_params"]["name"])
    response: Response
    if file is None or file.address != scope["path"] or scope["method"] not in ("GET", "HEAD"):
        response = PlainTextResponse("There is no such file.", 404)
    else:
        accepted = b", ".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        packs = b"gzip" in accepted
        response = Response(file.packed if packs else file.plain, media_type=None)
        response.headers["content-type"] = file.kind
        response.headers["cache-control"] = FOR_A_YEAR
        response.headers["vary"] = "Accept-Encoding"
        response.headers["x-content-type-options"] = "nosniff"
        if packs:
            response.headers["content-encoding"] = "gzip"
    await response(scope, receive, send)

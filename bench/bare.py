"""The ceiling: the same HTTP server answering an empty 201, and the same HTTP client posting to the stand-in."""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

START = {"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]}
BODY = {"type": "http.response.body", "body": b""}


async def created(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer an empty 201."""
    await receive()
    await send(START)
    await send(BODY)


def serve(port: int) -> None:
    uvicorn.run(
        created,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


async def post(url: str, authorization: str, count: int, in_flight: int) -> float:
    """CPU seconds for `count` POSTs of a text, `in_flight` at a time, with aiohttp alone."""
    body = b"To=%2B12012000000&Body=123456+is+your+Default+code.&From=%2B15005550006&ValidityPeriod=299"
    headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                async with session.post(url, data=body, headers=headers) as response:
                    await response.read()
                    if response.status != 201:
                        raise RuntimeError(f"the stand-in answered {response.status}")

        before = time.process_time()
        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return time.process_time() - before


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print(uvloop.run(post(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))

"""What an event loop complains of where nobody hears it fails the test that has led to it."""

from __future__ import annotations

import asyncio
import logging

import pytest


async def test_an_exception_that_nobody_retrieves_is_noticed() -> None:
    async def fails() -> None:
        raise ValueError("unheard of")

    task = asyncio.get_running_loop().create_task(fails())
    await asyncio.wait([task])
    del task
    heard = [one for one in logging.getLogger("asyncio").filters if hasattr(one, "raise_if_told")]
    assert heard
    for one in heard:
        with pytest.raises(pytest.fail.Exception, match=r"(?s)Task exception was never retrieved.*unheard of"):
            one.raise_if_told()

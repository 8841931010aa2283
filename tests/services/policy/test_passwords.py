"""The user name of a generic gateway is emptied: its password goes with it, and no other way."""

from __future__ import annotations

from typing import Any

from installation import installed
from messaging.through_gateway import section
from otpost.store.base import Store

GATEWAY = "https://sms.example.com"


async def test_the_user_name_can_be_emptied_without_its_password(store: Store) -> None:
    async with installed(store) as otpost:

        async def saved(generic: dict[str, Any]) -> tuple[int, Any]:
            answer = await otpost.call("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": generic})
            read = await otpost.ok("GET", "/v1/sender-policy")
            return answer.status, (read["generic"]["auth_username"], read["generic"]["auth_password_set"])

        own = {**section(GATEWAY), "auth_username": "acme", "auth_password": "secret"}
        assert await saved(own) == (200, ("acme", True))
        read = (await otpost.ok("GET", "/v1/sender-policy"))["generic"]
        assert await saved({**read, "auth_username": "other"}) == (422, ("acme", True))
        assert await saved({**read, "auth_username": ""}) == (200, ("", False))
        assert await saved({**read, "auth_username": "acme"}) == (422, ("", False))
        assert await saved(own) == (200, ("acme", True))
        bare = {name: value for name, value in read.items() if not name.startswith("auth_password")}
        assert await saved({**bare, "auth_username": ""}) == (200, ("", False))

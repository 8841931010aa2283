"""`/v2/Templates` as Twilio's SDKs use it, and `/v1/templates`, which makes what it lists."""

from __future__ import annotations

from typing import Any

from api.twilio.shaped import call, ok, refusal, service
from api.world import neighbour, told
from installation import Installation
from otpost.domain.locale import BUILT_IN, TEXTS
from otpost.services.verifications.templates import MOST_TEMPLATES

TEXT = "Your {{friendly_name}} code is {{code}}, good for {{ttl}} minutes."
SPANISH = "Tu código de {{friendly_name}} es {{code}}."
NOWHERE = "HJ" + "f" * 32


async def make(otpost: Installation, name: str = "Receipt", **more: Any) -> Any:
    body = {"friendly_name": name, "translations": {"en": TEXT, "es": SPANISH}, **more}
    return await otpost.ok("POST", "/v1/templates", body)


async def test_our_own_texts_are_a_template_that_every_tenant_has(otpost: Installation) -> None:
    page = await ok(otpost, "GET", "/v2/Templates")
    (own,) = page["templates"]
    translations = own.pop("translations")
    assert own == {
        "sid": BUILT_IN,
        "account_sid": otpost.tenant.sid,
        "friendly_name": "Otpost default",
        "channels": ["sms"],
    }
    assert list(translations) == list(TEXTS)
    assert translations["en"] == {
        "is_default_translation": True,
        "status": "approved",
        "locale": "en",
        "text": "{{code}} is your {{friendly_name}} code.",
        "date_updated": "2026-11-23T00:00:00Z",
        "date_created": "2026-11-23T00:00:00Z",
    }
    assert [tag for tag, each in translations.items() if each["is_default_translation"]] == ["en"]
    native = await otpost.ok("GET", f"/v1/templates/{BUILT_IN}")
    assert native["translations"]["en"] == translations["en"]["text"]


async def test_a_template_is_made_natively_and_listed_as_twilio_does(otpost: Installation) -> None:
    made = await make(otpost, "  Receipt ")
    assert made == {
        "sid": made["sid"],
        "friendly_name": "Receipt",
        "channels": ["sms"],
        "translations": {"en": TEXT, "es": SPANISH},
        "default_locale": "en",
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert await otpost.ok("GET", f"/v1/templates/{made['sid']}") == made
    second = await make(otpost, "Second", default_locale="es")
    page = await ok(otpost, "GET", "/v2/Templates")
    assert [row["sid"] for row in page["templates"]] == [second["sid"], made["sid"], BUILT_IN]
    defaults = {tag: each["is_default_translation"] for tag, each in page["templates"][0]["translations"].items()}
    assert defaults == {"en": False, "es": True}
    named = await ok(otpost, "GET", "/v2/Templates?FriendlyName=Receipt")
    assert [row["sid"] for row in named["templates"]] == [made["sid"]]
    assert "FriendlyName=Receipt" in named["meta"]["url"]
    first = await ok(otpost, "GET", "/v2/Templates?PageSize=2")
    rest = await ok(otpost, "GET", first["meta"]["next_page_url"].removeprefix("http://otpost.test"))
    assert [row["sid"] for row in first["templates"] + rest["templates"]] == [second["sid"], made["sid"], BUILT_IN]
    native = await otpost.ok("GET", "/v1/templates?limit=1")
    assert [row["sid"] for row in native["items"]] == [second["sid"]]
    native = await otpost.ok("GET", f"/v1/templates?limit=1&cursor={native['next']}")
    assert ([row["sid"] for row in native["items"]], native["next"]) == ([made["sid"]], None)


async def test_a_template_is_changed_and_deleted(otpost: Installation) -> None:
    made = await make(otpost)
    path = f"/v1/templates/{made['sid']}"
    otpost.clock.advance(5)
    changed = await otpost.ok("PATCH", path, {"translations": {"fr": "Code : {{code}}"}, "default_locale": "fr"})
    assert (changed["friendly_name"], changed["translations"]) == ("Receipt", {"fr": "Code : {{code}}"})
    assert changed["updated_at"] > changed["created_at"]
    assert (await otpost.ok("PATCH", path, {"friendly_name": "Bill"}))["friendly_name"] == "Bill"
    await otpost.ok("DELETE", path)
    for method, body in (("GET", None), ("PATCH", {"friendly_name": "Bill"}), ("DELETE", None)):
        assert told(await otpost.call(method, path, body))[:2] == (404, "not_found")
    assert [row["sid"] for row in (await ok(otpost, "GET", "/v2/Templates"))["templates"]] == [BUILT_IN]


async def test_our_own_template_is_neither_changed_nor_deleted(otpost: Installation) -> None:
    path = f"/v1/templates/{BUILT_IN}"
    assert told(await otpost.call("PATCH", path, {"friendly_name": "Mine"}))[:2] == (404, "not_found")
    assert told(await otpost.call("DELETE", path))[:2] == (404, "not_found")


NO_TEMPLATES: list[tuple[dict[str, Any], str, str]] = [
    ({"friendly_name": " "}, "friendly_name", "required"),
    ({"friendly_name": "a" * 33}, "friendly_name", "text_too_long"),
    ({"friendly_name": "two\nlines"}, "friendly_name", "invalid"),
    ({"translations": {}}, "default_locale", "required"),
    ({"default_locale": "de"}, "default_locale", "required"),
    ({"translations": {"en": "no code"}}, "translations", "required"),
    ({"translations": {"en": "{{code}} {lone"}}, "translations", "invalid"),
    ({"translations": {"en": TEXT, "e": TEXT}}, "translations", "invalid"),
    ({"translations": {"en": "{{code}}" + "a" * 1600}}, "translations", "text_too_long"),
    ({"translations": {f"en-{place:03d}": TEXT for place in range(101)}}, "translations", "out_of_range"),
    ({"channels": ["voice"]}, "channels", "unknown_field"),
]


async def test_what_cannot_be_a_template_is_refused_at_its_field(otpost: Installation) -> None:
    made = await make(otpost)
    path = f"/v1/templates/{made['sid']}"
    for changed, field, code in NO_TEMPLATES:
        body = {"friendly_name": "Receipt", "translations": {"en": TEXT}, **changed}
        assert told(await otpost.call("POST", "/v1/templates", body)) == (422, "invalid", [(field, code)])
        assert told(await otpost.call("PATCH", path, changed)) == (422, "invalid", [(field, code)])
    assert (await otpost.ok("GET", "/v1/templates"))["items"] == [made]


async def test_a_tenant_has_so_many_templates(otpost: Installation) -> None:
    for place in range(MOST_TEMPLATES):
        await make(otpost, f"Template {place}")
    body = {"friendly_name": "One more", "translations": {"en": TEXT}}
    assert told(await otpost.call("POST", "/v1/templates", body)) == (
        422,
        "invalid",
        [("friendly_name", "out_of_range")],
    )


async def test_templates_are_the_tenants_and_made_with_its_own_key(otpost: Installation) -> None:
    made = await make(otpost)
    nearby = await neighbour(otpost)
    assert [row["sid"] for row in (await ok(otpost, "GET", "/v2/Templates", key=otpost.verify))["templates"]] == [
        made["sid"],
        BUILT_IN,
    ]
    assert [row["sid"] for row in (await ok(otpost, "GET", "/v2/Templates", key=nearby.key))["templates"]] == [BUILT_IN]
    path = f"/v1/templates/{made['sid']}"
    for method, body in (("GET", None), ("PATCH", {"friendly_name": "Bill"}), ("DELETE", None)):
        assert told(await otpost.call(method, path, body, key=nearby.admin))[:2] == (404, "not_found")
        assert told(await otpost.call(method, path, body, key=otpost.verify))[:2] == (403, "scope_missing")
        assert told(await otpost.call(method, f"/v1/templates/{NOWHERE}", body))[:2] == (404, "not_found")
        assert told(await otpost.call(method, "/v1/templates/nonsense", body))[:2] == (404, "not_found")
    assert (await otpost.ok("GET", "/v1/templates", key=nearby.admin))["items"] == []


async def test_the_default_template_of_a_service_is_not_deleted(otpost: Installation) -> None:
    made = await make(otpost)
    va = await service(otpost, DefaultTemplateSid=made["sid"])
    path = f"/v1/templates/{made['sid']}"
    assert told(await otpost.call("DELETE", path)) == (422, "invalid", [("sid", "invalid")])
    await ok(otpost, "POST", f"/v2/Services/{va}", {"DefaultTemplateSid": ""})
    await otpost.ok("DELETE", path)


async def test_a_start_says_the_template_that_it_names(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    made = await make(otpost)
    va = await service(otpost)
    path = f"/v2/Services/{va}/Verifications"
    form = {"To": "+15005550001", "Channel": "sms", "TemplateSid": made["sid"], "Locale": "es"}
    started = (await call(otpost, "POST", path, form)).json()
    await otpost.message("SM" + started["send_code_attempts"][0]["attempt_sid"][2:])
    inbox = await otpost.ok("GET", "/v1/sandbox/messages")
    assert inbox["items"][0]["body"] == f"Tu código de Corner Shop es {otpost.code(started)}."
    form = {"To": "+15005550002", "Channel": "sms", "TemplateSid": BUILT_IN, "Locale": "de"}
    started = (await call(otpost, "POST", path, form)).json()
    await otpost.message("SM" + started["send_code_attempts"][0]["attempt_sid"][2:])
    inbox = await otpost.ok("GET", "/v1/sandbox/messages?to=%2B15005550002")
    assert inbox["items"][0]["body"] == f"{otpost.code(started)} ist Ihr Code für Corner Shop."
    nearby = await neighbour(otpost)
    foreign = {"To": "+15005550003", "Channel": "sms", "TemplateSid": made["sid"]}
    target = f"/v2/Services/{nearby.application}/Verifications"
    assert await refusal(otpost, "POST", target, foreign, key=nearby.key) == (400, 60228)

"""`/v2/Services` as Twilio's SDKs use it."""

from __future__ import annotations

from typing import Any

import pytest

from api.twilio.shaped import basic, call, ok, refusal, service
from api.world import neighbour
from asgi import ask
from installation import LOOPBACK, Installation
from otpost.api import application
from otpost.services.audit import command_line_actor
from otpost.services.tenants.tenants import renew_auth_token

BASE = "http://otpost.test/v2/Services"


async def test_a_service_is_an_application_that_lives_ten_minutes_and_has_no_cooldown(otpost: Installation) -> None:
    made = await ok(otpost, "POST", "/v2/Services", {"FriendlyName": "Corner Shop_1-a"})
    sid = made["sid"]
    assert made == {
        "sid": sid,
        "account_sid": otpost.tenant.sid,
        "friendly_name": "Corner Shop_1-a",
        "code_length": 6,
        "lookup_enabled": False,
        "psd2_enabled": False,
        "skip_sms_to_landlines": False,
        "dtmf_input_required": True,
        "tts_name": None,
        "do_not_share_warning_enabled": False,
        "custom_code_enabled": False,
        "push": {"include_date": False, "apn_credential_sid": None, "fcm_credential_sid": None},
        "totp": {"issuer": None, "time_step": None, "code_length": None, "skew": None},
        "default_template_sid": None,
        "whatsapp": {"msg_service_sid": None, "from": None},
        "passkeys": {
            "relying_party": {"id": None, "name": None, "origins": None},
            "authenticator_attachment": None,
            "discoverable_credentials": None,
            "user_verification": None,
        },
        "verify_event_subscription_enabled": False,
        "date_created": made["date_created"],
        "date_updated": made["date_created"],
        "url": f"{BASE}/{sid}",
        "links": {
            "verification_checks": f"{BASE}/{sid}/VerificationCheck",
            "verifications": f"{BASE}/{sid}/Verifications",
            "rate_limits": f"{BASE}/{sid}/RateLimits",
            "messaging_configurations": f"{BASE}/{sid}/MessagingConfigurations",
            "entities": f"{BASE}/{sid}/Entities",
            "webhooks": f"{BASE}/{sid}/Webhooks",
            "access_tokens": f"{BASE}/{sid}/AccessTokens",
        },
    }
    native = await otpost.ok("GET", f"/v1/applications/{sid}")
    assert (native["name"], native["lifetime_s"], native["resend_after_s"]) == ("Corner Shop_1-a", 600, 0)
    assert await ok(otpost, "GET", f"/v2/Services/{sid}") == made


async def test_every_setting_is_kept_and_answered_again(otpost: Installation) -> None:
    given = {
        "CodeLength": "8",
        "LookupEnabled": "true",
        "SkipSmsToLandlines": "true",
        "DtmfInputRequired": "false",
        "TtsName": "Zoe",
        "Psd2Enabled": "true",
        "DoNotShareWarningEnabled": "True",
        "CustomCodeEnabled": "true",
        "DefaultTemplateSid": "HJ" + "a" * 32,
        "VerifyEventSubscriptionEnabled": "true",
        "Push.IncludeDate": "true",
        "Push.ApnCredentialSid": "CR" + "b" * 32,
        "Totp.Issuer": "Shop",
        "Totp.TimeStep": "30",
        "Whatsapp.From": "+15005550006",
        "Passkeys.RelyingParty.Id": "shop.example",
    }
    sid = await service(otpost, **given)
    made = await ok(otpost, "GET", f"/v2/Services/{sid}")
    assert made["code_length"] == 8
    flags = [name for name in made if made[name] is True]
    assert flags == [
        "lookup_enabled",
        "psd2_enabled",
        "skip_sms_to_landlines",
        "do_not_share_warning_enabled",
        "custom_code_enabled",
        "verify_event_subscription_enabled",
    ]
    assert (made["tts_name"], made["default_template_sid"]) == ("Zoe", "HJ" + "a" * 32)
    assert made["push"] == {"include_date": True, "apn_credential_sid": "CR" + "b" * 32, "fcm_credential_sid": None}
    assert (made["totp"]["issuer"], made["totp"]["time_step"]) == ("Shop", 30)
    assert (made["whatsapp"]["from"], made["passkeys"]["relying_party"]["id"]) == ("+15005550006", "shop.example")


async def test_an_update_changes_what_it_names_and_nothing_else(otpost: Installation) -> None:
    sid = await service(otpost, CustomCodeEnabled="true", TtsName="Zoe")
    otpost.clock.advance(5)
    form = {"FriendlyName": "New Name", "CodeLength": "10", "TtsName": ""}
    changed = await ok(otpost, "POST", f"/v2/Services/{sid}", form)
    assert (changed["friendly_name"], changed["code_length"], changed["tts_name"]) == ("New Name", 10, None)
    assert changed["custom_code_enabled"] is True
    assert changed["date_updated"] > changed["date_created"]


async def test_short_codes_have_three_checks_and_longer_ones_five(otpost: Installation) -> None:
    sid = await service(otpost, CodeLength="4")
    assert (await otpost.ok("GET", f"/v1/applications/{sid}"))["max_checks"] == 3
    await ok(otpost, "POST", f"/v2/Services/{sid}", {"CodeLength": "6"})
    assert (await otpost.ok("GET", f"/v1/applications/{sid}"))["max_checks"] == 5


WRONG_SERVICES: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({}, (400, 20001)),
    ({"FriendlyName": "  "}, (400, 20001)),
    ({"FriendlyName": "a" * 31}, (400, 60200)),
    ({"FriendlyName": "shop.example"}, (400, 60200)),
    ({"FriendlyName": "Call 12345"}, (400, 60200)),
    ({"FriendlyName": "two\nlines"}, (400, 60200)),
    ({"FriendlyName": "Shop", "CodeLength": "3"}, (400, 60200)),
    ({"FriendlyName": "Shop", "CodeLength": "11"}, (400, 60200)),
    ({"FriendlyName": "Shop", "CodeLength": "six"}, (400, 60200)),
    ({"FriendlyName": "Shop", "Psd2Enabled": "maybe"}, (400, 60200)),
    ({"FriendlyName": "Shop", "SkipSmsToLandlines": "true"}, (400, 60200)),
    ({"FriendlyName": "Shop", "DefaultTemplateSid": "HJ1"}, (400, 60200)),
    ({"FriendlyName": "Shop", "Push.ApnCredentialSid": "MG" + "a" * 32}, (400, 60200)),
    ({"FriendlyName": "Shop", "TtsName": "a" * 300}, (400, 60200)),
    ({"FriendlyName": "Shop", "TtsName": "a\0b"}, (400, 60200)),
]


async def test_what_cannot_be_a_service_is_refused(otpost: Installation) -> None:
    for form, told in WRONG_SERVICES:
        assert await refusal(otpost, "POST", "/v2/Services", form) == told, form


async def test_services_are_paged_forth_and_back(otpost: Installation) -> None:
    made = [await service(otpost, f"Shop {place}") for place in range(6)]
    wanted = [*reversed(made), otpost.tenant.default_application]
    url, seen, pages = f"{BASE}?PageSize=3", [], []
    while url:
        page = await ok(otpost, "GET", url.removeprefix("http://otpost.test"))
        assert page["meta"]["url"].removesuffix("&Page=0") == url
        assert page["meta"]["first_page_url"] == f"{BASE}?PageSize=3&Page=0"
        pages.append(page)
        seen += [row["sid"] for row in page["services"]]
        url = page["meta"]["next_page_url"]
    assert seen == wanted
    assert [(page["meta"]["page"], page["meta"]["page_size"], page["meta"]["key"]) for page in pages] == [
        (0, 3, "services"),
        (1, 3, "services"),
        (2, 3, "services"),
    ]
    assert pages[0]["meta"]["previous_page_url"] is None
    back = await ok(otpost, "GET", pages[2]["meta"]["previous_page_url"].removeprefix("http://otpost.test"))
    assert back["services"] == pages[1]["services"]
    again = await ok(otpost, "GET", back["meta"]["previous_page_url"].removeprefix("http://otpost.test"))
    assert again["services"] == pages[0]["services"]
    onward = await ok(otpost, "GET", back["meta"]["next_page_url"].removeprefix("http://otpost.test"))
    assert onward["services"] == pages[2]["services"]


async def test_a_page_that_is_none_is_refused(otpost: Installation) -> None:
    for query, told in (
        ("PageSize=0", (400, 20007)),
        ("PageSize=1001", (400, 20007)),
        ("PageSize=x", (400, 20422)),
        ("Page=-1", (400, 20422)),
        ("Page=1&PageToken=nonsense", (400, 20422)),
        ("Page=1&PageToken=PA%00", (400, 60200)),
    ):
        assert await refusal(otpost, "GET", f"/v2/Services?{query}") == told, query


async def test_a_deleted_service_is_gone_everywhere_with_its_keys_and_what_was_pending(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    sid = await service(otpost)
    key = await otpost.key("verify", sid)
    started = await otpost.ok("POST", "/v1/verifications", {"to": "+15005550006"}, key=key)
    deleted = await call(otpost, "DELETE", f"/v2/Services/{sid}")
    assert (deleted.status, deleted.body) == (204, b"")
    assert await refusal(otpost, "GET", f"/v2/Services/{sid}") == (404, 20404)
    assert await refusal(otpost, "DELETE", f"/v2/Services/{sid}") == (404, 20404)
    assert await refusal(otpost, "POST", f"/v2/Services/{sid}", {"FriendlyName": "Back"}) == (404, 20404)
    assert sid not in (await call(otpost, "GET", "/v2/Services")).text
    assert sid not in (await otpost.call("GET", "/v1/applications")).text
    for method, path, body in (
        ("GET", f"/v1/applications/{sid}", None),
        ("PATCH", f"/v1/applications/{sid}", {"name": "Back"}),
        ("GET", f"/v1/applications/{sid}/keys", None),
        ("POST", f"/v1/applications/{sid}/keys", {}),
        ("POST", "/v1/verifications", {"to": "+15005550006", "application": sid}),
    ):
        assert (await otpost.call(method, path, body)).status == 404, path
    assert (await otpost.call("GET", "/v1/verifications", key=key)).status == 401
    history = await otpost.ok("GET", f"/v1/verifications/{started['sid']}")
    assert history["status"] == "canceled"


async def test_the_application_of_calls_that_name_none_cannot_be_deleted(otpost: Installation) -> None:
    path = f"/v2/Services/{otpost.tenant.default_application}"
    assert await refusal(otpost, "DELETE", path) == (400, 60200)
    await ok(otpost, "GET", path)


async def test_a_key_of_one_application_reads_its_own_service_and_no_other(otpost: Installation) -> None:
    other = await service(otpost)
    await ok(otpost, "GET", f"/v2/Services/{otpost.tenant.default_application}", key=otpost.verify)
    assert await refusal(otpost, "GET", f"/v2/Services/{other}", key=otpost.verify) == (404, 20404)
    own = f"/v2/Services/{otpost.tenant.default_application}"
    for method, path in (("GET", "/v2/Services"), ("POST", "/v2/Services"), ("POST", own), ("DELETE", own)):
        assert await refusal(otpost, method, path, {"FriendlyName": "Mine"}, key=otpost.verify) == (403, 20403)


async def test_another_tenants_service_is_as_unknown_as_one_that_never_was(otpost: Installation) -> None:
    there = await neighbour(otpost)
    for sid in (there.application, "VA" + "0" * 32, "VA1", "VA" + "g" * 32):
        answer = await call(otpost, "GET", f"/v2/Services/{sid}")
        assert answer.json() == {
            "code": 20404,
            "message": f"The requested resource /Services/{sid} was not found",
            "more_info": "https://www.twilio.com/docs/errors/20404",
            "status": 404,
        }
    assert there.application not in (await call(otpost, "GET", "/v2/Services")).text


async def test_the_tenants_auth_token_opens_what_an_admin_key_opens(otpost: Installation) -> None:
    actor = command_line_actor(otpost.tenant.sid)
    first = await otpost.store.run(renew_auth_token(otpost.context, actor))
    as_first: dict[str, Any] = {"authorization": basic(otpost.tenant.sid, first.token)}
    await ok(otpost, "POST", "/v2/Services", {"FriendlyName": "By token"}, **as_first)
    second = await otpost.store.run(renew_auth_token(otpost.context, actor))
    as_second: dict[str, Any] = {"authorization": basic(otpost.tenant.sid, second.token)}
    otpost.clock.advance(24 * 3600 - 1)
    await ok(otpost, "GET", "/v2/Services", **as_first)
    otpost.clock.advance(1)
    assert await refusal(otpost, "GET", "/v2/Services", **as_first) == (401, 20003)
    await ok(otpost, "GET", "/v2/Services", **as_second)


async def test_who_proves_nothing_gets_twilios_401(otpost: Installation) -> None:
    for authorization in (
        "Basic",
        "Basic %",
        "Basic /w==",
        "Bearer x",
        basic("", ""),
        basic("AC" + "0" * 32, "token"),
        basic("SK" + "0" * 32, "secret"),
        basic("US" + "0" * 32, "secret"),
        basic(otpost.admin.key.sid, otpost.admin.secret * 10),
        *(basic(otpost.tenant.sid, token) for token in ("", "None", "a token that was never made")),
    ):
        answer = await call(otpost, "GET", "/v2/Services", authorization=authorization)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="otpost"'), authorization
        assert answer.json() == {
            "code": 20003,
            "message": "Authenticate",
            "more_info": "https://www.twilio.com/docs/errors/20003",
            "status": 401,
        }


async def test_a_method_that_an_address_does_not_take_is_20004(otpost: Installation) -> None:
    answer = await call(otpost, "DELETE", "/v2/Services")
    assert (answer.status, answer.json()["code"], answer.headers["allow"]) == (405, 20004, "GET, POST")


async def test_an_address_that_is_none_is_20404(otpost: Installation) -> None:
    for path in ("/v2/", "/v2/Nothing", "/v2/Services/", "/v2//Services", "/2010-04-01/Accounts"):
        assert await refusal(otpost, "GET", path) == (404, 20404), path


async def test_a_body_that_is_no_form_lacks_its_parameters_and_a_large_one_is_20413(otpost: Installation) -> None:
    as_json = {"content-type": "application/json"}
    told = await refusal(otpost, "POST", "/v2/Services", raw=b'{"FriendlyName": "Shop"}', headers=as_json)
    assert told == (400, 20001)
    for raw, wanted in (
        (b"FriendlyName=" + b"a" * 65_523, (400, 60200)),
        (b"FriendlyName=" + b"a" * 65_524, (413, 20413)),
        (b"&" * 65_536, (400, 20422)),
        (b"FriendlyName=%ff", (400, 60200)),
        (b"%ff=a", (400, 60200)),
    ):
        assert await refusal(otpost, "POST", "/v2/Services", raw=raw) == wanted, raw[:20]


async def test_urls_follow_the_public_url_where_there_is_one_and_no_forged_host(otpost: Installation) -> None:
    forged: dict[str, Any] = {"headers": {"host": "evil.example/x?"}}
    page = await ok(otpost, "GET", "/v2/Services", **forged)
    assert page["meta"]["url"] == "http://localhost/v2/Services?PageSize=50&Page=0"


@pytest.mark.parametrize(
    ("peer", "headers", "base"),
    [
        ("127.0.0.1", {"x-forwarded-proto": "https", "x-forwarded-host": "otp.example"}, "https://otp.example"),
        ("::ffff:127.0.0.1", {"x-forwarded-proto": "https"}, "https://otpost.test"),
        ("192.0.2.1", {"x-forwarded-proto": "https", "x-forwarded-host": "otp.example"}, "http://otpost.test"),
    ],
)
async def test_links_are_those_of_the_trusted_proxy(
    otpost: Installation, peer: str, headers: dict[str, str], base: str
) -> None:
    app = application(otpost.surroundings(trusted_proxies=LOOPBACK))
    given = {**headers, "authorization": basic(otpost.admin.key.sid, otpost.admin.secret)}
    answer = await ask(app, "GET", "/v2/Services?PageSize=1", headers=given, client=(peer, 4711))
    page = answer.json()
    assert page["meta"]["first_page_url"] == f"{base}/v2/Services?PageSize=1&Page=0"
    assert page["services"][0]["url"].startswith(f"{base}/v2/Services/VA")

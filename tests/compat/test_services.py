"""Services and what belongs to them, as the official SDKs make, list, change and delete them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from compat.sdks import Sdk, services, twilio
from compat.served import Served

TO = "+15005550006"
CHANGED = {
    "friendly_name": "Other Shop",
    "code_length": 8,
    "lookup_enabled": True,
    "skip_sms_to_landlines": True,
    "dtmf_input_required": False,
    "psd2_enabled": True,
    "do_not_share_warning_enabled": True,
    "custom_code_enabled": True,
}


async def test_a_service_is_made_read_changed_and_deleted(sdk: Sdk, served: Served) -> None:
    made = await sdk(services.create(friendly_name="Corner Shop"))
    sid = made["sid"]
    assert (made["account_sid"], made["friendly_name"], made["code_length"]) == (served.account, "Corner Shop", 6)
    assert made["links"]["verifications"] == f"{served.url}/v2/Services/{sid}/Verifications"
    assert await sdk(services(sid).fetch()) == made

    served.here.clock.advance(60)
    changed = await sdk(services(sid).update(**CHANGED))
    assert {name: changed[name] for name in CHANGED} == CHANGED
    assert changed["date_created"] == made["date_created"] < changed["date_updated"]
    assert await sdk(services(sid).fetch()) == changed
    assert (await sdk(services(sid).update(friendly_name="Third Shop")))["code_length"] == 8

    await sdk(services(sid).verifications.create(to=TO, channel="sms", amount="1.00", payee="Acme"))
    assert len(await served.code(TO)) == 8
    assert await sdk(services(sid).delete()) is True
    for gone in (
        services(sid).fetch(),
        services(sid).update(friendly_name="Again"),
        services(sid).delete(),
        services(sid).verifications.create(to=TO, channel="sms"),
        services(sid).verifications(TO).fetch(),
        services(sid).rate_limits.list(),
    ):
        assert (await sdk.refusal(gone)).answer == (404, 20404)


async def test_a_service_that_cannot_be_is_60200(sdk: Sdk) -> None:
    for wrong in (
        {"friendly_name": "Shop 12345"},
        {"friendly_name": "x" * 31},
        {"friendly_name": "Shop <b>"},
        {"friendly_name": "Shop", "code_length": 3},
        {"friendly_name": "Shop", "code_length": 11},
    ):
        assert (await sdk.refusal(services.create(**wrong))).answer == (400, 60200), wrong
    assert (await sdk.refusal(services.create(friendly_name=""))).answer == (400, 20001)


async def test_120_services_are_listed_page_by_page_and_each_once(sdk: Sdk, served: Served) -> None:
    there = {item["sid"] for item in await sdk(services.list())}
    made = {
        (await served.here.ok("POST", "/v1/applications", {"name": f"Shop {chr(65 + number // 26)}{number}"}))["sid"]
        for number in range(120 - len(there))
    }
    before = len(served.heard.exchanges)
    listed = await sdk(services.list(page_size=50))
    assert len(listed) == 120
    assert {item["sid"] for item in listed} == made | there
    pages = served.heard.exchanges[before:]
    assert [exchange.path for exchange in pages] == ["/v2/Services"] * 3
    assert len(await sdk(services.list(page_size=20, limit=70))) == 70
    assert len(served.heard.exchanges) == before + 7
    assert len(await sdk(services.list())) == 120
    assert len(await sdk(services.list(limit=1))) == 1


async def test_rate_limits_and_their_buckets_are_made_read_changed_and_deleted(sdk: Sdk, served: Served) -> None:
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    limits = services(service).rate_limits
    made = await sdk(limits.create(unique_name="end_user_ip", description="one address"))
    assert (made["unique_name"], made["description"], made["service_sid"]) == ("end_user_ip", "one address", service)
    assert await sdk(limits(made["sid"]).fetch()) == made
    assert (await sdk.refusal(limits.create(unique_name="end_user_ip"))).answer == (400, 60208)
    assert (await sdk.refusal(limits.create(unique_name="end user"))).answer == (400, 60209)
    assert (await sdk(limits(made["sid"]).update(description="an address")))["description"] == "an address"
    assert [one["sid"] for one in await sdk(limits.list())] == [made["sid"]]

    buckets = limits(made["sid"]).buckets
    bucket = await sdk(buckets.create(max=4, interval=60))
    assert (bucket["max"], bucket["interval"], bucket["rate_limit_sid"]) == (4, 60, made["sid"])
    assert await sdk(buckets(bucket["sid"]).fetch()) == bucket
    assert (await sdk.refusal(buckets.create(max=9, interval=60))).answer == (400, 60211)
    assert (await sdk(buckets(bucket["sid"]).update(max=5, interval=120)))["interval"] == 120
    assert [one["max"] for one in await sdk(buckets.list())] == [5]
    assert await sdk(buckets(bucket["sid"]).delete()) is True
    assert (await sdk.refusal(buckets(bucket["sid"]).fetch())).answer == (404, 20404)
    assert await sdk(limits(made["sid"]).delete()) is True
    assert (await sdk.refusal(limits(made["sid"]).fetch())).answer == (404, 20404)
    assert await sdk(limits.list()) == []


async def test_messaging_configurations_are_made_read_changed_and_deleted(sdk: Sdk) -> None:
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    configurations = services(service).messaging_configurations
    first, second = "MG" + "1" * 32, "MG" + "2" * 32
    made = await sdk(configurations.create(country="CA", messaging_service_sid=first))
    assert (made["country"], made["messaging_service_sid"], made["service_sid"]) == ("CA", first, service)
    assert await sdk(configurations("CA").fetch()) == made
    again = configurations.create(country="CA", messaging_service_sid=second)
    assert (await sdk.refusal(again)).answer == (400, 60213)
    assert (await sdk(configurations("CA").update(messaging_service_sid=second)))["messaging_service_sid"] == second
    await sdk(configurations.create(country="all", messaging_service_sid=first))
    assert {one["country"] for one in await sdk(configurations.list())} == {"CA", "all"}
    assert await sdk(configurations("CA").delete()) is True
    assert (await sdk.refusal(configurations("CA").fetch())).answer == (404, 20404)


async def test_the_default_template_is_listed_in_42_languages(sdk: Sdk, served: Served) -> None:
    listed = await sdk(twilio.verify.v2.templates.list())
    default = listed[0]
    assert default["sid"].startswith("HJ")
    assert len(default["translations"]) == 42
    assert {"en", "pt-BR", "zh-HK"} <= default["translations"].keys()
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    await sdk(services(service).verifications.create(to=TO, channel="sms", template_sid=default["sid"], locale="de"))
    (text,) = await served.texts(TO, 1)
    assert "Corner Shop" in text
    unknown = services(service).verifications.create(to="+447400123456", channel="sms", template_sid="HJ" + "0" * 32)
    assert (await sdk.refusal(unknown)).answer == (400, 60228)


async def test_attempts_tell_what_was_sent_and_what_came_of_it(sdk: Sdk, served: Served) -> None:
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    started = await sdk(services(service).verifications.create(to=TO, channel="sms"))
    await sdk(services(service).verifications.create(to="+447400123456", channel="sms"))
    await sdk(services(service).verification_checks.create(to=TO, code=await served.code(TO)))
    attempts = twilio.verify.v2.verification_attempts
    listed = await sdk(attempts.list(verify_service_sid=service))
    assert {one["verification_sid"] for one in listed} >= {started["sid"]}
    assert len(listed) == 2
    (converted,) = await sdk(attempts.list(verify_service_sid=service, status="converted"))
    assert converted["sid"] == started["send_code_attempts"][0]["attempt_sid"]
    assert await sdk(attempts(converted["sid"]).fetch()) == converted
    (british,) = await sdk(attempts.list(verify_service_sid=service, country="GB"))
    assert british["channel_data"]["to"] == "+447400123456"
    assert [one["sid"] for one in await sdk(attempts.list(channel_data_to=TO))] == [converted["sid"]]
    midnight = datetime.combine(datetime.fromtimestamp(served.here.clock() / 1000, UTC).date(), time(), UTC)
    for dates, found in (
        ({"date_created_after": midnight}, 2),
        ({"date_created_before": midnight}, 2),
        ({"date_created_after": midnight + timedelta(days=1)}, 0),
        ({"date_created_before": midnight - timedelta(days=1)}, 0),
    ):
        assert len(await sdk(attempts.list(verify_service_sid=service, **dates))) == found, dates
    summary = await sdk(twilio.verify.v2.verification_attempts_summary().fetch(verify_service_sid=service))
    assert (summary["total_attempts"], summary["total_converted"], summary["total_unconverted"]) == (2, 1, 1)
    assert float(summary["conversion_rate_percentage"]) == 50
    assert (await sdk.refusal(attempts("VL" + "0" * 32).fetch())).answer == (404, 20404)


async def test_a_number_is_put_on_the_safe_list_and_taken_off_again(sdk: Sdk) -> None:
    numbers = twilio.verify.v2.safelist
    made = await sdk(numbers.create(phone_number=TO))
    assert (made["phone_number"], made["sid"][:2]) == (TO, "GN")
    assert (await sdk(numbers(TO).fetch()))["sid"] == made["sid"]
    assert (await sdk.refusal(numbers.create(phone_number=TO))).answer == (400, 60411)
    assert await sdk(numbers(TO).delete()) is True
    assert (await sdk.refusal(numbers(TO).fetch())).answer == (404, 20404)


async def test_what_otpost_does_not_have_is_20404(sdk: Sdk) -> None:
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    for call in (
        services(service).webhooks.list(),
        services(service).entities.list(),
        services(service).webhooks("YW" + "0" * 32).fetch(),
    ):
        assert (await sdk.refusal(call)).answer == (404, 20404)

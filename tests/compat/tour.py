"""Every operation of Twilio's that Otpost speaks of, made once by an SDK, with what came of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from compat.sdks import Call, Refused, Sdk, services, twilio
from compat.served import Served, wrong

DONE = "✓"
SERVICE_SID = "MG" + "1" * 32


class Line(NamedTuple):
    """`result` is `DONE`, or the status and the code of the refusal."""

    resource: str
    operation: str
    result: str


@dataclass(frozen=True)
class Names:
    """What a tour calls its things, so that those of two tenants can be told apart."""

    shop: str
    numbers: str
    limit: str

    def number(self, place: int) -> str:
        return f"{self.numbers}{place:02d}"


OURS = Names("Corner Shop", "+4474001234", "end_user_ip")
THEIRS = Names("Neighbour Ltd", "+4474009876", "neighbours_ip")


@dataclass
class Tour:
    """`living` are the SIDs and names of what is there at the end, `gone` of what was deleted, both by their kind."""

    sdk: Sdk
    served: Served
    names: Names = OURS
    lines: list[Line] = field(default_factory=list)
    living: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)

    async def step(self, resource: str, operation: str, call: Call) -> Any:
        try:
            answer = await self.sdk(call)
        except Refused as refused:
            self.lines.append(Line(resource, operation, f"{refused.status} · {refused.code}"))
            return None
        self.lines.append(Line(resource, operation, DONE))
        return answer

    async def made(self, resource: str, call: Call, kind: str, key: str = "sid") -> str:
        """A first one that lives on."""
        found = str((await self.step(resource, "create", call))[key])
        self.living[kind] = found
        return found

    async def spare(self, call: Call, kind: str, key: str = "sid") -> str:
        """A further one, to be deleted."""
        found = str((await self.sdk(call))[key])
        self.gone[kind] = found
        return found

    async def whole(self) -> Tour:
        await self.services()
        await self.limits()
        await self.configurations()
        await self.verifications()
        await self.attempts()
        await self.safe_list()
        await self.messages()
        await self.what_is_not_there()
        return self

    @property
    def service(self) -> Any:
        return services(self.living["VA"])

    async def services(self) -> None:
        name, shop = "Service", self.names.shop
        first = await self.made(name, services.create(friendly_name=shop, custom_code_enabled=True), "VA")
        await self.step(name, "fetch", services(first).fetch())
        await self.step(name, "list", services.list(page_size=1, limit=3))
        await self.step(name, "update", services(first).update(friendly_name=f"{shop} 2", code_length=6))
        await self.step(name, "delete", services(await self.spare(services.create(friendly_name=shop), "VA")).delete())

    async def limits(self) -> None:
        name, limits = "RateLimit", self.service.rate_limits
        first = await self.made(name, limits.create(unique_name=self.names.limit, description="one address"), "RK")
        await self.step(name, "fetch", limits(first).fetch())
        await self.step(name, "list", limits.list())
        await self.step(name, "update", limits(first).update(description="an address"))
        await self.step(name, "delete", limits(await self.spare(limits.create(unique_name="spare"), "RK")).delete())
        name, buckets = "Bucket", limits(first).buckets
        bucket = await self.made(name, buckets.create(max=90, interval=60), "BL")
        await self.step(name, "fetch", buckets(bucket).fetch())
        await self.step(name, "list", buckets.list())
        await self.step(name, "update", buckets(bucket).update(max=99))
        await self.step(name, "delete", buckets(await self.spare(buckets.create(max=9, interval=9), "BL")).delete())

    async def configurations(self) -> None:
        name, found = "MessagingConfiguration", self.service.messaging_configurations
        first = await self.made(
            name, found.create(country="CA", messaging_service_sid=SERVICE_SID), "country", "country"
        )
        await self.step(name, "fetch", found(first).fetch())
        await self.step(name, "list", found.list())
        await self.step(name, "update", found(first).update(messaging_service_sid="MG" + "2" * 32))
        spare = await self.spare(found.create(country="FR", messaging_service_sid=SERVICE_SID), "country", "country")
        await self.step(name, "delete", found(spare).delete())
        (template, *_) = await self.step("Template", "list", twilio.verify.v2.templates.list())
        self.living["HJ"] = template["sid"]

    async def verifications(self) -> None:
        name, found, number = "Verification", self.service.verifications, self.names.number
        first = await self.made(name, found.create(to=number(0), channel="sms"), "VE")
        again = found.create(to=number(0), channel="sms", rate_limits={self.names.limit: "198.51.100.7"})
        await self.step(name, "create again, with RateLimits", again)
        await self.step(name, "fetch by SID", found(first).fetch())
        await self.step(name, "fetch by number", found(number(0)).fetch())
        for what, given in (
            ("Locale", {"locale": "fr"}),
            ("TemplateSid", {"template_sid": self.living["HJ"]}),
            ("CustomFriendlyName", {"custom_friendly_name": self.names.shop}),
            ("CustomCode", {"custom_code": "471100"}),
            ("AppHash", {"app_hash": "He42w354ol9"}),
            ("Tags, DeviceIp, RiskCheck", {"tags": "{}", "device_ip": "198.51.100.7", "risk_check": "disable"}),
        ):
            place = 10 + len(self.lines)
            await self.step(name, f"create with {what}", found.create(to=number(place % 90), channel="sms", **given))
        for channel in ("call", "email", "whatsapp", "rcs", "sna", "auto"):
            await self.step(name, f"create by {channel}", found.create(to=number(1), channel=channel))
        await self.sdk(found.create(to=number(2), channel="sms"))
        await self.step(name, "update to canceled", found(number(2)).update(status="canceled"))
        approved = await self.sdk(found.create(to=number(3), channel="sms"))
        await self.step(name, "update to approved", found(approved["sid"]).update(status="approved"))
        name, checks = "VerificationCheck", self.service.verification_checks
        for place, what in ((4, "by To"), (5, "by VerificationSid")):
            started = await self.sdk(found.create(to=number(place), channel="sms"))
            which = {"to": number(place)} if place == 4 else {"verification_sid": started["sid"]}
            code = await self.served.code(number(place))
            await self.sdk(checks.create(code=wrong(code), **which))
            await self.step(name, f"create {what}", checks.create(code=code, **which))

    async def attempts(self) -> None:
        name, found = "VerificationAttempt", twilio.verify.v2.verification_attempts
        listed = await self.step(name, "list", found.list(verify_service_sid=self.living["VA"], page_size=3))
        self.living["VL"] = listed[0]["sid"]
        await self.step(name, "fetch", found(self.living["VL"]).fetch())
        await self.step(name, "summary", twilio.verify.v2.verification_attempts_summary().fetch())

    async def safe_list(self) -> None:
        name, found = "SafeList number", twilio.verify.v2.safelist
        first = await self.made(name, found.create(phone_number=self.names.number(90)), "safe", "phone_number")
        await self.step(name, "fetch", found(first).fetch())
        spare = await self.spare(found.create(phone_number=self.names.number(91)), "safe", "phone_number")
        await self.step(name, "delete", found(spare).delete())

    async def messages(self) -> None:
        name, found, to = "Message", twilio.messages, self.names.number(50)
        text = f"a word from {self.names.shop}"
        first = await self.made(name, found.create(to=to, body=text, from_="Shop", validity_period=600), "SM")
        told = found.create(to=to, body=text, status_callback=f"{self.served.url}/nowhere")
        await self.step(name, "create with StatusCallback", told)
        await self.step(
            name, "create with MediaUrl", found.create(to=to, body=text, media_url=["https://example.com/a"])
        )
        await self.step(name, "fetch", found(first).fetch())
        await self.step(name, "list", found.list(to=to, page_size=1))
        await self.served.texts(to, 2)
        spare = await self.spare(found.create(to=to, body=text), "SM")
        await self.served.texts(to, 3)
        await self.step(name, "update (redact)", found(spare).update(body=""))
        await self.step(name, "delete", found(spare).delete())

    async def what_is_not_there(self) -> None:
        sent = twilio.messages(self.living["SM"])
        await self.step("Message media", "list", sent.media.list())
        await self.step("Message feedback", "create", sent.feedback.create(outcome="confirmed"))
        await self.step("Webhook", "list", self.service.webhooks.list())
        await self.step("Entity, Factor, Challenge", "list", self.service.entities.list())
        tokens = self.service.access_tokens.create(identity="12345678", factor_type="push")
        await self.step("AccessToken", "create", tokens)
        await self.step("Account", "fetch", twilio.api.v2010.account.fetch())

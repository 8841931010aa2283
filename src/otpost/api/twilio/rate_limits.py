"""`/v2/Services/{VA}/RateLimits` and their Buckets: limits that a start names."""

from __future__ import annotations

import re

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio import paging
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import TwilioError, missing, wrong
from otpost.domain.limits import Bucket, RateLimit
from otpost.domain.moments import format_second
from otpost.services.verifications.rate_limits import (
    bucket_of,
    change_bucket,
    describe_rate_limit,
    list_rate_limits,
    make_bucket,
    make_rate_limit,
    read_rate_limit,
    remove_bucket,
    remove_rate_limit,
)

LONGEST_INTERVAL_S, LARGEST_MAX = 30 * 24 * 3600, 1_000_000
DESCRIPTION_LENGTH = 255

_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")


class RateLimitShape(msgspec.Struct):
    sid: str
    service_sid: str
    account_sid: str
    unique_name: str
    description: str | None
    date_created: str
    date_updated: str
    url: str
    links: dict[str, str]


class BucketShape(msgspec.Struct):
    sid: str
    rate_limit_sid: str
    service_sid: str
    account_sid: str
    max: int
    interval: int
    date_created: str
    date_updated: str
    url: str


def shape(row: RateLimit, base: str) -> RateLimitShape:
    url = _url(row, base)
    return RateLimitShape(
        sid=row.sid,
        service_sid=row.application,
        account_sid=row.tenant,
        unique_name=row.unique_name,
        description=row.description,
        date_created=format_second(row.created_at),
        date_updated=format_second(row.updated_at),
        url=url,
        links={"buckets": f"{url}/Buckets"},
    )


def bucket_shape(row: Bucket, limit: RateLimit, base: str) -> BucketShape:
    return BucketShape(
        sid=row.sid,
        rate_limit_sid=limit.sid,
        service_sid=limit.application,
        account_sid=limit.tenant,
        max=row.max,
        interval=row.interval_s,
        date_created=format_second(row.created_at),
        date_updated=format_second(row.updated_at),
        url=f"{_url(limit, base)}/Buckets/{row.sid}",
    )


def _url(row: RateLimit, base: str) -> str:
    return f"{base}/v2/Services/{row.application}/RateLimits/{row.sid}"


async def listing(call: Call) -> Reply:
    service = await call.read_service()
    page = paging.slice_page(call, await list_rate_limits(call.context, service.sid), lambda row: row.sid)
    return paging.reply_page(call, "rate_limits", page, [shape(row, call.base) for row in page.rows])


async def create(call: Call) -> Reply:
    service = await call.read_service()
    name = call.require("UniqueName").strip()
    if not _NAME.fullmatch(name):
        raise TwilioError(60209, detail="Use letters, digits, `.`, `_` and `-`.")
    unit = make_rate_limit(call.context, call.actor, service.sid, name, _description(call))
    return Reply(201, shape(await call.decide(unit), call.base))


async def fetch(call: Call) -> Reply:
    return Reply(200, shape(await _limit(call, "Sid"), call.base))


async def update(call: Call) -> Reply:
    limit = await _limit(call, "Sid")
    if "Description" not in call.form:
        return Reply(200, shape(limit, call.base))
    unit = describe_rate_limit(call.context, call.actor, limit.application, limit.sid, _description(call))
    return Reply(200, shape(await call.decide(unit), call.base))


async def delete(call: Call) -> Reply:
    limit = await _limit(call, "Sid")
    await call.decide(remove_rate_limit(call.context, call.actor, limit.application, limit.sid))
    return Reply(204)


async def buckets(call: Call) -> Reply:
    limit = await _limit(call, "RateLimitSid")
    page = paging.slice_page(call, limit.buckets[::-1], lambda row: row.sid)
    return paging.reply_page(call, "buckets", page, [bucket_shape(row, limit, call.base) for row in page.rows])


async def create_bucket(call: Call) -> Reply:
    limit = await _limit(call, "RateLimitSid")
    most, interval_s = _numbers(call)
    if most is None or interval_s is None:
        raise missing("Max" if most is None else "Interval")
    unit = make_bucket(call.context, call.actor, limit.application, limit.sid, most, interval_s)
    return Reply(201, bucket_shape(await call.decide(unit), limit, call.base))


async def fetch_bucket(call: Call) -> Reply:
    limit = await _limit(call, "RateLimitSid")
    return Reply(200, bucket_shape(bucket_of(limit, call.path["Sid"]), limit, call.base))


async def update_bucket(call: Call) -> Reply:
    limit, actor = await _limit(call, "RateLimitSid"), call.actor
    numbers = _numbers(call)
    unit = change_bucket(call.context, actor, limit.application, limit.sid, call.path["Sid"], *numbers)
    return Reply(200, bucket_shape(await call.decide(unit), limit, call.base))


async def delete_bucket(call: Call) -> Reply:
    limit, actor = await _limit(call, "RateLimitSid"), call.actor
    await call.decide(remove_bucket(call.context, actor, limit.application, limit.sid, call.path["Sid"]))
    return Reply(204)


async def _limit(call: Call, name: str) -> RateLimit:
    """The limit that the path names, by its SID or its unique name."""
    service = await call.read_service()
    return await read_rate_limit(call.context, service.sid, call.path[name])


def _numbers(call: Call) -> tuple[int | None, int | None]:
    return call.read_whole("Max", 1, LARGEST_MAX), call.read_whole("Interval", 1, LONGEST_INTERVAL_S)


def _description(call: Call) -> str | None:
    text = call.form.get("Description", "").strip()
    if len(text) > DESCRIPTION_LENGTH or (text and not text.isprintable()):
        raise wrong("Description", f"Send one line of at most {DESCRIPTION_LENGTH} characters.")
    return text or None


_ALL = "/v2/Services/{ServiceSid}/RateLimits"
_BUCKETS = _ALL + "/{RateLimitSid}/Buckets"

ENDPOINTS = (
    Endpoint("GET", _ALL, listing),
    Endpoint("POST", _ALL, create, "admin"),
    Endpoint("GET", _ALL + "/{Sid}", fetch),
    Endpoint("POST", _ALL + "/{Sid}", update, "admin"),
    Endpoint("DELETE", _ALL + "/{Sid}", delete, "admin"),
    Endpoint("GET", _BUCKETS, buckets),
    Endpoint("POST", _BUCKETS, create_bucket, "admin"),
    Endpoint("GET", _BUCKETS + "/{Sid}", fetch_bucket),
    Endpoint("POST", _BUCKETS + "/{Sid}", update_bucket, "admin"),
    Endpoint("DELETE", _BUCKETS + "/{Sid}", delete_bucket, "admin"),
)

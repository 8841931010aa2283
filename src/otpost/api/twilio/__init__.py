"""The Twilio-shaped API: Twilio's paths, parameters, answers and errors over the use cases of the native one.

A module here is one resource. It holds the shapes of its answers (`msgspec.Struct`s with exactly the keys of
Twilio's schema, in the schema's order) and ends with `ENDPOINTS`, which `routes` lists:

    async def fetch(call: Call) -> Reply:
        service = await call.read_service()         # the path's {ServiceSid}; Twilio's 404 unless the caller's own
        limit = await read_rate_limit(call.context, service.sid, call.path["Sid"])
        return Reply(200, shape(limit, call.base))

    ENDPOINTS = (
        Endpoint("GET", "/v2/Services/{ServiceSid}/RateLimits/{Sid}", fetch),
        Endpoint("POST", "/v2/Services/{ServiceSid}/RateLimits", create, "admin", numbers={"duplicate_name": 60208}),
    )

- `call.path`, `call.query`, `call.form`: decoded text by Twilio's names; a leading `+` of a path survives. In the form
  `require` (20001 where it is not there), `read_flag`, `read_whole`. `call.tenant`, `call.tenancy`, `call.actor`.
- `await call.decide(unit)` runs a unit of work while the caller's key is in force.
- `Endpoint.scope`: `verify` (the default) lets keys of one application in, `admin` only those of the tenant.
- Errors: `TwilioError(60213)` by the number in `errors.DICTIONARY`, `missing(name)`, `wrong(name, detail)`, and
  `call.refuse_path()` for Twilio's 404. Refusals of use cases are translated: by `Endpoint.numbers`, then the tables in
  `errors`; an `Invalid` by its first field's name or code, where a field has Twilio's name (`UniqueName`) the answer is
  60200 with it. A `LimitReached` is 20429 unless the tables say otherwise; `domain.limits.RateLimitReached` also
  answers `Twilio-Reached-Rate-Limit`.
- Moments: `format_second` (Verify), `format_rfc_2822` (2010-04-01).
- Lists: `page = await paging.read_page(call, wanted)` (by a unique column, greatest first) or
  `paging.slice_page(call, rows, key)`, then `paging.reply_page(call, "rate_limits", page, shapes)`. The older API's
  envelope takes its paths from `paging.write_addresses`.
- 201 for create, 200 for fetch and update, `Reply(204)` for delete. URLs begin with `call.base`.
"""

"""Cuts parts out of Twilio's OpenAPI documents: `python trim.py messages twilio_api_v2010.json > messages.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PATHS = {
    "messages": (
        "/2010-04-01/Accounts/{AccountSid}/Messages.json",
        "/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json",
    ),
    "verify": (
        "/v2/Services",
        "/v2/Services/{Sid}",
        "/v2/Services/{ServiceSid}/Verifications",
        "/v2/Services/{ServiceSid}/Verifications/{Sid}",
        "/v2/Services/{ServiceSid}/VerificationCheck",
        "/v2/Services/{ServiceSid}/RateLimits",
        "/v2/Services/{ServiceSid}/RateLimits/{Sid}",
        "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets",
        "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}",
        "/v2/Services/{ServiceSid}/MessagingConfigurations",
        "/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}",
        "/v2/Templates",
        "/v2/Attempts",
        "/v2/Attempts/{Sid}",
        "/v2/Attempts/Summary",
        "/v2/SafeList/Numbers",
        "/v2/SafeList/Numbers/{PhoneNumber}",
    ),
}
SCHEMA_REF = "#/components/schemas/"


def schemas_named_in(node: Any) -> set[str]:
    """Names of the component schemas that `node` refers to, directly."""
    if isinstance(node, list):
        return set().union(*(schemas_named_in(item) for item in node))
    if not isinstance(node, dict):
        return set()
    reference = node.get("$ref")
    own = {reference.removeprefix(SCHEMA_REF)} if isinstance(reference, str) else set()
    return own.union(*(schemas_named_in(value) for value in node.values()))


def trim(part: str, document: dict[str, Any]) -> dict[str, Any]:
    """A part's paths unchanged, and the component schemas that they need, directly or through others."""
    paths = {path: document["paths"][path] for path in PATHS[part]}
    schemas: dict[str, Any] = {}
    wanted = schemas_named_in(paths)
    while wanted:
        schemas |= {name: document["components"]["schemas"][name] for name in wanted}
        wanted = set().union(*(schemas_named_in(schema) for schema in schemas.values())) - schemas.keys()
    return {
        "openapi": document["openapi"],
        "info": document["info"],
        "servers": document["servers"],
        "paths": paths,
        "components": {
            "schemas": {name: schemas[name] for name in sorted(schemas)},
            "securitySchemes": document["components"]["securitySchemes"],
        },
    }


if __name__ == "__main__":
    whole = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(json.dumps(trim(sys.argv[1], whole), indent=1, ensure_ascii=False))

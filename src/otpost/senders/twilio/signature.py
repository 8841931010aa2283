"""Twilio's request signature, as `X-Twilio-Signature` carries it.

https://www.twilio.com/docs/usage/security
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

import msgspec

from otpost.domain.secret import Secret

_MAX_FIELDS = 200


def sign(token: Secret, url: str, pairs: Iterable[tuple[str, str]] = ()) -> str:
    """The signature over a URL and form fields: each name and value once, sorted, blank values included."""
    signed = url + "".join(name + value for name, value in sorted(set(pairs)))
    return b64encode(hmac.digest(token.reveal().encode(), signed.encode(), "sha1")).decode()


def proven(signature: str, tokens: Iterable[Secret], url: str, pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether one of `tokens` made the signature, compared in constant time."""
    given = signature.encode("utf-8", "replace")
    fields = list(pairs)
    return any(
        hmac.compare_digest(sign(token, signed_url, fields).encode(), given)
        for token in tokens
        for signed_url in _as_signed(url)
    )


def read_fields(url: str, body: bytes, content_type: str) -> tuple[Mapping[str, Any], list[tuple[str, str]]]:
    """The fields of a callback's body, and those of them that its signature covers.

    A JSON body is covered by its hash in the URL (`bodySHA256`), which must be there and match. Raises ValueError.
    """
    if content_type.lower().startswith("application/json"):
        stated = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
        if not hmac.compare_digest(sha256(body).hexdigest().encode(), stated.encode("utf-8", "replace")):
            raise ValueError("the body's hash does not match")
        try:
            return msgspec.json.decode(body, type=dict[str, Any]), []
        except (ValueError, RecursionError) as error:
            raise ValueError("the body is no JSON object") from error
    pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    return dict(pairs), pairs


def _as_signed(url: str) -> tuple[str, ...]:
    """The forms in which Twilio may have signed the URL: with and without the port, never user name or fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is not None:
        hosts = (host, host.rpartition(":")[0])
    else:
        hosts = (host, f"{host}:{443 if parts.scheme == 'https' else 80}")
    return tuple(urlunsplit(parts._replace(netloc=one, fragment="")) for one in hosts)

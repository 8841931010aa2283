"""Webhooks: signatures as the public library has them, when a post is repeated, when a webhook is given up."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook as Judge
from standardwebhooks.webhooks import WebhookVerificationError

from otpost.domain.secret import Secret
from otpost.domain.sid import DELIVERY, is_sid
from otpost.domain.webhook import (
    FAILING_MS,
    LEASE_MS,
    Answer,
    Delivery,
    SigningSecret,
    Webhook,
    delivery_sid,
    said,
    secret_text,
    signature,
    signed_headers,
)

NOW = 1_700_000_000_000
DAY_MS = 24 * 3_600_000
ONE, TWO = (Secret(secret_text(bytes([place]) * 32)) for place in (1, 2))
BODY = b'{"type":"message.delivered"}'

WEBHOOK = Webhook(
    sid="WH1",
    tenant="AC1",
    application="VA1",
    url="https://shop.example/hooks",
    description="",
    events=("message.delivered",),
    enabled=True,
    secrets=(SigningSecret("sealed", NOW),),
    created_at=NOW,
    updated_at=NOW,
)
DELIVERY_ROW = Delivery(
    sid="WD1",
    tenant="AC1",
    application="VA1",
    webhook="WH1",
    lane="WH1",
    form="standard",
    url=None,
    type="message.delivered",
    subject="SM1",
    body=BODY.decode(),
    created_at=NOW,
    due_at=NOW,
)


def test_a_signature_is_the_one_of_the_public_library():
    at = datetime.fromtimestamp(NOW // 1000, UTC)
    assert signature(ONE, "WD1", NOW // 1000, BODY) == Judge(ONE.reveal()).sign("WD1", at, BODY.decode())


def test_a_post_is_believed_by_whoever_has_any_of_its_secrets_and_by_nobody_else():
    now_s = int(datetime.now(UTC).timestamp())
    headers = signed_headers([ONE, TWO], "WD1", now_s, BODY)
    for secret in (ONE, TWO):
        assert Judge(secret.reveal()).verify(BODY, headers) == {"type": "message.delivered"}
    for secret, body in ((Secret(secret_text(bytes(32))), BODY), (ONE, BODY + b" ")):
        with pytest.raises(WebhookVerificationError):
            Judge(secret.reveal()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Judge(ONE.reveal()).verify(BODY, {**headers, "webhook-id": "WD2"})


def test_a_new_secret_leaves_the_old_one_valid_for_a_day():
    rotated = WEBHOOK.rotated("new", NOW + 1_000)
    assert [secret.sealed for secret in rotated.secrets_at(NOW + 1_000)] == ["new", "sealed"]
    assert rotated.old_until == NOW + 1_000 + DAY_MS
    assert [secret.sealed for secret in rotated.secrets_at(NOW + 1_000 + DAY_MS)] == ["new"]
    assert rotated.without_old(NOW + 1_000 + DAY_MS).secrets == (SigningSecret("new", NOW + 1_000),)
    assert rotated.without_old(NOW + 1_000 + DAY_MS).old_until is None


def test_however_often_a_secret_is_replaced_three_are_kept_and_none_lives_longer_for_it():
    webhook = WEBHOOK
    for place in range(4):
        webhook = webhook.rotated(f"new {place}", NOW + place)
    assert [(secret.sealed, secret.until) for secret in webhook.secrets] == [
        ("new 3", None),
        ("new 2", NOW + 3 + DAY_MS),
        ("new 1", NOW + 2 + DAY_MS),
    ]


def test_a_failed_post_is_repeated_after_growing_waits_and_given_up_after_the_eighth():
    delivery, now, waits_s = DELIVERY_ROW, NOW, []
    for _ in range(8):
        delivery = delivery.claimed(now)
        assert (delivery.status, delivery.due_at) == ("posting", now + LEASE_MS)
        delivery = delivery.settled(Answer(http_status=500, said="oh no", duration_ms=20), now, 0.5)
        waits_s.append(None if delivery.due_at is None else (delivery.due_at - now) // 1000)
        now = delivery.due_at or now
    assert waits_s == [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000, None]
    assert (delivery.status, delivery.finished_at, delivery.tries) == ("failed", now, 8)
    assert [(line.http_status, line.said, line.duration_ms) for line in delivery.log] == [(500, "oh no", 20)] * 8


@pytest.mark.parametrize(("jitter", "wait_ms"), [(0.0, 4_500), (0.5, 5_000), (1.0, 5_500)])
def test_jitter_spreads_the_next_try_by_a_tenth_either_way(jitter: float, wait_ms: int):
    delivery = DELIVERY_ROW.claimed(NOW).settled(Answer(http_status=503), NOW, jitter)
    assert delivery.due_at == NOW + wait_ms


@pytest.mark.parametrize(
    ("answer", "status", "due_at"),
    [
        (Answer(http_status=200), "delivered", None),
        (Answer(http_status=299), "delivered", None),
        (Answer(http_status=302), "waiting", NOW + 5_000),
        (Answer(http_status=404), "waiting", NOW + 5_000),
        (Answer(error="no connection"), "waiting", NOW + 5_000),
        (Answer(http_status=410), "failed", None),
        (Answer(error="refused by the guard", hopeless=True), "failed", None),
        (Answer(http_status=429, retry_after_s=90), "waiting", NOW + 90_000),
        (Answer(http_status=503, retry_after_s=1), "waiting", NOW + 5_000),
        (Answer(http_status=503, retry_after_s=9_999_999), "waiting", NOW + DAY_MS),
    ],
)
def test_what_follows_from_an_answer(answer: Answer, status: str, due_at: int | None):
    delivery = DELIVERY_ROW.claimed(NOW).settled(answer, NOW, 0.5)
    assert (delivery.status, delivery.due_at) == (status, due_at)


def test_a_replay_begins_with_all_tries_and_keeps_the_log():
    failed = DELIVERY_ROW.claimed(NOW).settled(Answer(http_status=410), NOW, 0.5)
    again = failed.again(NOW + 1)
    assert (again.status, again.due_at, again.tries, again.finished_at) == ("waiting", NOW + 1, 0, None)
    assert again.log == failed.log
    posting = DELIVERY_ROW.claimed(NOW)
    assert posting.again(NOW + 1) is posting


def test_a_log_keeps_the_last_twenty_tries():
    delivery = DELIVERY_ROW
    for place in range(25):
        delivery = delivery.claimed(NOW + place).settled(Answer(http_status=500), NOW + place, 0.5).again(NOW)
    assert [line.at for line in delivery.log] == [NOW + place for place in range(5, 25)]


def test_a_webhook_that_fails_for_five_days_is_disabled_and_one_success_begins_anew():
    failed = Answer(http_status=500)
    failing = WEBHOOK.after(failed, NOW)
    assert (failing.enabled, failing.failing_since) == (True, NOW)
    assert failing.after(failed, NOW + FAILING_MS - 1) is failing
    assert failing.after(Answer(http_status=200), NOW + FAILING_MS).failing_since is None
    over = failing.after(failed, NOW + FAILING_MS)
    assert (over.enabled, over.disabled, over.disabled_at) == (False, "failing", NOW + FAILING_MS)
    assert "for five days" in over.sentence
    enabled = over.switched(enabled=True, now=NOW + FAILING_MS + 1)
    assert (enabled.enabled, enabled.disabled, enabled.failing_since, enabled.sentence) == (True, None, None, "")
    assert WEBHOOK.after(Answer(http_status=204), NOW) is WEBHOOK


def test_a_webhook_that_says_410_is_disabled_at_once():
    gone = WEBHOOK.after(Answer(http_status=410), NOW)
    assert (gone.enabled, gone.disabled, gone.disabled_at) == (False, "gone", NOW)
    by_hand = msgspec.structs.replace(WEBHOOK, enabled=False)
    assert by_hand.after(Answer(http_status=410), NOW).disabled is None


def test_a_deliverys_sid_is_made_of_the_event_alone():
    sid = delivery_sid(NOW, "WH1", "message.delivered", "SM1")
    assert is_sid(sid, DELIVERY)
    assert sid == delivery_sid(NOW, "WH1", "message.delivered", "SM1")
    others = (NOW, "WH2", "message.delivered", "SM1"), (NOW, "WH1", "message.delivered", "SM2")
    assert sid not in [delivery_sid(*other) for other in others]
    assert sid < delivery_sid(NOW + 1, "WH1", "message.delivered", "SM1")


def test_of_an_answer_one_line_of_300_characters_is_kept():
    assert said(b"  <h1>\r\n\tNot\x00 found</h1> ") == "<h1> Not found</h1>"
    assert said(b"\xff\xfe") == "��"
    assert said("é".encode() * 5_000) == "é" * 300

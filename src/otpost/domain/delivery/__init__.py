"""How a message is delivered: its ways, what each outcome, report and listing makes of it, and when to ask again."""

from otpost.domain.delivery.looking import (
    CREATED_BEFORE_INTENT_MS,
    Listed,
    absent,
    lost,
    matching,
    not_listed,
    unconfirmed,
)
from otpost.domain.delivery.moments import (
    FETCHED_FOR_MS,
    FIRST_FETCH_MS,
    LOOKS_AFTER_ANSWER_MS,
    LOOKS_AFTER_SILENCE_MS,
    awaited,
    next_fetch,
    next_look,
)
from otpost.domain.delivery.settling import (
    LONGEST_BACKOFF_S,
    forward,
    given_up,
    intend,
    is_news,
    reported,
    settle,
)
from otpost.domain.delivery.ways import (
    SHORT_REST_MS,
    TIRED_AFTER,
    Rest,
    Resting,
    Way,
    choose,
    never_resting,
)

__all__ = [
    "CREATED_BEFORE_INTENT_MS",
    "FETCHED_FOR_MS",
    "FIRST_FETCH_MS",
    "LONGEST_BACKOFF_S",
    "LOOKS_AFTER_ANSWER_MS",
    "LOOKS_AFTER_SILENCE_MS",
    "SHORT_REST_MS",
    "TIRED_AFTER",
    "Listed",
    "Rest",
    "Resting",
    "Way",
    "absent",
    "awaited",
    "choose",
    "forward",
    "given_up",
    "intend",
    "is_news",
    "lost",
    "matching",
    "never_resting",
    "next_fetch",
    "next_look",
    "not_listed",
    "reported",
    "settle",
    "unconfirmed",
]

"""What the API's headers say about the quota that is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RateLimits:
    """Requests and tokens a minute: the limit and what is left of it; None where the API did not say."""

    requests: int | None = None
    requests_left: int | None = None
    tokens: int | None = None
    tokens_left: int | None = None


def read_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits in an answer's headers: the names of 2026, else those of the gateway before; None without any."""
    limits = RateLimits(
        _count(headers, "x-ratelimit-limit-req-minute"),
        _count(headers, "x-ratelimit-remaining-req-minute"),
        _count(
            headers,
            "x-ratelimit-limit-tokens-minute",
            "x-ratelimitbysize-limit-minute",
            "ratelimitbysize-limit",
        ),
        _count(
            headers,
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimitbysize-remaining-minute",
            "ratelimitbysize-remaining",
        ),
    )
    return None if limits == RateLimits() else limits


def _count(headers: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        value = headers.get(name, "").strip()
        if value.isdecimal() and len(value) < 16:
            return int(value)
    return None

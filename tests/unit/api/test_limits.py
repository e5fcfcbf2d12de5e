"""What the headers of answers say about the quota."""

from __future__ import annotations

import httpx
import pytest

from codestral_ls.api.limits import RateLimits, read_limits


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, None),
        ({"date": "today", "x-kong-upstream-latency": "5"}, None),
        (
            {
                "x-ratelimit-limit-req-minute": "720",
                "x-ratelimit-remaining-req-minute": "717",
                "x-ratelimit-limit-tokens-minute": "5000000",
                "x-ratelimit-remaining-tokens-minute": "4999911",
                "x-ratelimit-tokens-query-cost": "52",
            },
            RateLimits(720, 717, 5000000, 4999911),
        ),
        (
            {"x-ratelimitbysize-limit-minute": "500000", "x-ratelimitbysize-remaining-minute": "499000"},
            RateLimits(None, None, 500000, 499000),
        ),
        ({"ratelimitbysize-limit": "500", "ratelimitbysize-remaining": "499"}, RateLimits(None, None, 500, 499)),
        (
            {
                "x-ratelimit-limit-tokens-minute": "7",
                "x-ratelimitbysize-limit-minute": "5",
                "ratelimitbysize-limit": "3",
            },
            RateLimits(None, None, 7, None),
        ),
        ({"X-RateLimit-Limit-Req-Minute": " 0 "}, RateLimits(0)),
        ({"x-ratelimit-limit-req-minute": "-1"}, None),
        ({"x-ratelimit-limit-req-minute": "many"}, None),
        ({"x-ratelimit-limit-req-minute": ""}, None),
        ({"x-ratelimit-limit-req-minute": "9" * 15}, RateLimits(10**15 - 1)),
        ({"x-ratelimit-limit-req-minute": "9" * 16}, None),
        ({"x-ratelimit-limit-tokens-minute": "x", "ratelimitbysize-limit": "5"}, RateLimits(tokens=5)),
    ],
    ids=str,
)
def test_limits(headers: dict[str, str], limits: RateLimits | None) -> None:
    assert read_limits(httpx.Headers(headers)) == limits

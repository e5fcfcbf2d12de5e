"""How long to wait before asking, and when not to ask at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from codestral_ls.api.errors import ApiError, BadKey, NoKey, RateLimited
from codestral_ls.completion.types import Ask, Place, Trigger

BASE_MS = 75.0
"""Just under a fast typist's 80 ms between keys. Replayed on a person's recorded typing, 120 ms saves one request in
fifteen and costs one right suggestion in seventeen; 50 ms asks more and shows no more."""

SHORT_MS = 25.0
"""After a line end or punctuation, where a person stops to think."""

FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 30.0
"""How long automatic completions rest after a failure: doubled with each one in a row, with jitter."""

BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 8.0
RETRIES = 2
"""How often explicit work is tried again, waiting a random part of a doubling time (full jitter)."""

_THINKING_SIGNS = frozenset("({[,;:.=> \t")


class Pacing:
    """One a server. `clock` in seconds; `random` gives numbers from 0 to 1."""

    def __init__(self, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._rest_until = 0.0
        self._rest_is_named = False
        self._rest_reason = ""
        self._failures = 0
        self._asked: deque[float] = deque()

    def delay_ms(self, ask: Ask, place: Place) -> float:
        """How long to wait for another key, in milliseconds, counting what the editor has waited already."""
        if ask.trigger is Trigger.INVOKED:
            return 0.0
        wait = ask.settings.debounce_ms
        if wait == "adaptive":
            last = place.line_before[-1:]
            wait = SHORT_MS if not last or last in _THINKING_SIGNS else BASE_MS
        return max(0.0, wait - ask.waited_ms)

    def resting(self, ask: Ask) -> str | None:
        """Why no automatic request may go out now; None if one may. Explicit ones always may."""
        if ask.trigger is Trigger.INVOKED:
            return None
        now = self._clock()
        if now < self._rest_until:
            return self._rest_reason
        ceiling = ask.settings.requests_per_minute
        if ceiling is not None:
            while self._asked and self._asked[0] <= now - 60:
                self._asked.popleft()
            if len(self._asked) >= ceiling:
                return f"the ceiling of {ceiling} requests a minute is reached"
        return None

    def asked(self) -> None:
        """A request goes out."""
        self._asked.append(self._clock())
        if len(self._asked) > 10_000:
            self._asked.popleft()

    def succeeded(self) -> None:
        """The API has answered: whatever was wrong is over. A rest that it named itself holds all the same, for the
        answer may be to a request from before."""
        self._failures = 0
        if not self._rest_is_named:
            self._rest_until = 0.0

    def failed(self, error: ApiError) -> None:
        """The API has failed: automatic requests rest until the time that it named, else for a growing while."""
        now = self._clock()
        if isinstance(error, (NoKey, BadKey)):
            # The client knows which keys were refused and sends none of them; a new one is to be tried at once.
            return
        self._rest_is_named = error.retry_at is not None and error.retry_at > now
        if error.retry_at is not None and self._rest_is_named:
            self._rest_until = error.retry_at
        else:
            longest = min(FIRST_REST_SECONDS * 2.0**self._failures, LONGEST_REST_SECONDS)
            self._rest_until = now + longest * (0.5 + 0.5 * self._random())
            self._failures = min(self._failures + 1, 16)
        what = "the rate limit is reached" if isinstance(error, RateLimited) else "the API failed"
        self._rest_reason = f"{what}; completions rest"

    def backoff_seconds(self, attempt: int, error: ApiError) -> float:
        """How long explicit work waits before trying again: the time that the API named, else full jitter."""
        if error.retry_at is not None:
            return max(0.0, error.retry_at - self._clock())
        return self._random() * min(BACKOFF_SECONDS * 2.0**attempt, LONGEST_BACKOFF_SECONDS)

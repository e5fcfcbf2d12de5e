"""Requests to the API that are under way: shared by those who wait, detached from each of them, ended when unwanted.

Cancellation, in one place: who waits for a flight may leave at any time, and is gone at once. A flight that nobody
waits for lives on for `GRACE_SECONDS`, for the next key's request may join it; then its call to the API is ended.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable
from contextlib import aclosing
from typing import TypeAlias

from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import ApiError, TimedOut
from codestral_ls.api.wire import FimRequest, Usage
from codestral_ls.completion.reuse import Anchor
from codestral_ls.completion.shape import Shape
from codestral_ls.completion.types import FimApi, Place
from codestral_ls.text.lines import line_feeds

GRACE_SECONDS = 0.15
"""An editor cancels at the key and asks again after its own debounce: 50 ms in VS Code, 10 in coc.nvim."""

CUT_REASONS = frozenset({"length", "model_length", "error", "cut"})
"""Ends of a stream that leave its last line unfinished."""

Retry: TypeAlias = Callable[[int, ApiError], "float | None"]


class Ended(Exception):
    """The flight was ended from our side while somebody waited for it."""


class Flight:
    """One request under way, and the shape of what has come of it."""

    def __init__(self, anchor: Anchor, place: Place, request: FimRequest) -> None:
        self.anchor = anchor
        self.request = request
        self.shape = Shape(place)
        self.failure: BaseException | None = None
        """What ended the flight, if it failed. Whole lines that came before are shown all the same."""
        self.usage: Usage | None = None
        self.landed = False
        self.first_text_ms: float | None = None
        self.total_ms: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.ending = False
        self.waiting = 0
        self._news: list[asyncio.Future[None]] = []
        self._end_of_grace: asyncio.TimerHandle | None = None

    def agrees(self, typed: str) -> bool:
        """Whether what was typed since the anchor may still be what the model is saying."""
        typed, said = line_feeds(typed), self.shape.raw
        return typed.startswith(said) or (said.startswith(typed) and said != typed)

    async def wait(self, typed: str) -> str | None:
        """What is left of the text after `typed` when the flight has landed; None if the two went apart.

        Raises what ended the flight, if nothing is there to show: an `ApiError`, or `Ended`.
        """
        self.waiting += 1
        if self._end_of_grace is not None:
            self._end_of_grace.cancel()
        try:
            while not self.landed:
                if not self.agrees(typed):
                    return None
                news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._news.append(news)
                await news
            text = self.shape.text
            if self.failure is not None and not (text and isinstance(self.failure, ApiError)):
                raise self.failure
            # A text that is typed to its end, or but for blank space, says nothing about what comes next.
            left = text[len(typed) :]
            return left if text.startswith(typed) and (left.strip() or not typed) else None
        finally:
            self.waiting -= 1
            if self.waiting == 0 and not self.landed:
                self._end_of_grace = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.end)

    def end(self) -> None:
        """Ends the call to the API."""
        self.ending = True
        if self._end_of_grace is not None:
            self._end_of_grace.cancel()
        if self.task is not None:
            self.task.cancel()

    def tell(self) -> None:
        """Wakes those who wait."""
        news, self._news = self._news, []
        for future in news:
            if not future.done():
                future.set_result(None)


class Flights:
    """All requests under way. `clock` in seconds; waits are those of the running event loop."""

    def __init__(self, api: FimApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._flights: list[Flight] = []

    def find(self, scope: Hashable, place: Place, fits: Callable[[Flight], bool]) -> tuple[Flight, str] | None:
        """A flight that may answer at this place, and what was typed since it started; the newest that `fits`."""
        for flight in reversed(self._flights):
            if flight.ending or not fits(flight):
                continue
            if (typed := flight.anchor.typed_until(scope, place, flight.agrees)) is not None:
                return flight, typed
        return None

    def start(
        self,
        flight: Flight,
        timeouts: Timeouts,
        deadline_seconds: float,
        retry: Retry,
        landed: Callable[[Flight], None],
    ) -> None:
        """Sends the request. `landed` is called at its end, unless it was ended from our side.

        `retry` is given the number of the attempt that failed, from 0, and the error: the seconds to wait before
        another, or None for no other.
        """

        def done(task: asyncio.Task[None]) -> None:
            self._flights.remove(flight)
            flight.landed = True
            flight.failure = Ended() if task.cancelled() else task.exception()
            flight.tell()
            if not task.cancelled():
                landed(flight)

        self._flights.append(flight)
        flight.task = asyncio.create_task(self._fly(flight, timeouts, deadline_seconds, retry))
        flight.task.add_done_callback(done)

    def end_unwanted(self, scope: Hashable) -> None:
        """Ends the flights of `scope` that nobody waits for: a newer request could not join them."""
        for flight in self._flights:
            if flight.anchor.scope == scope and flight.waiting == 0:
                flight.end()

    async def aclose(self) -> None:
        """Ends everything."""
        tasks = [flight.task for flight in self._flights if flight.task is not None]
        for flight in self._flights:
            flight.end()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fly(self, flight: Flight, timeouts: Timeouts, deadline_seconds: float, retry: Retry) -> None:
        failures: list[ApiError] = []
        try:
            await asyncio.wait_for(self._try(flight, timeouts, retry, failures), deadline_seconds)
        except asyncio.TimeoutError:
            if failures:
                # The deadline fell into the wait for another attempt.
                raise failures[-1] from None
            raise TimedOut(
                f"No completion within {deadline_seconds:g} s. If the API is always slow, raise timeout_ms."
            ) from None

    async def _try(self, flight: Flight, timeouts: Timeouts, retry: Retry, failures: list[ApiError]) -> None:
        for attempt in itertools.count():
            failures.clear()
            try:
                await self._read(flight, timeouts)
                return
            except ApiError as error:
                wait = None if flight.shape.raw else retry(attempt, error)
                if wait is None:
                    raise
                failures.append(error)
            await asyncio.sleep(wait)

    async def _read(self, flight: Flight, timeouts: Timeouts) -> None:
        started = self._clock()
        reason = None
        async with aclosing(self._api.fim(flight.request, timeouts)) as answer:
            async for chunk in answer:
                flight.usage = chunk.usage or flight.usage
                reason = chunk.finish_reason or reason
                if chunk.text:
                    if flight.first_text_ms is None:
                        flight.first_text_ms = (self._clock() - started) * 1000
                    flight.shape.feed(chunk.text)
                    flight.tell()
                    if flight.shape.complete:
                        break
        flight.total_ms = (self._clock() - started) * 1000
        if reason in CUT_REASONS:
            flight.shape.cut_off()
        else:
            flight.shape.finish()

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

GRACE_SECONDS = 0.15
"""An editor cancels at the key and asks again after its own debounce: 50 ms in VS Code, 10 in coc.nvim."""

CUT_REASONS = frozenset({"length", "model_length", "error", "cut"})
"""Ends of a stream that leave its last line unfinished."""

Retry: TypeAlias = Callable[[int, ApiError], "float | None"]


class Flight:
    """One request under way, and the shape of what has come of it."""

    def __init__(self, anchor: Anchor, place: Place, request: FimRequest) -> None:
        self.anchor = anchor
        self.request = request
        self.shape = Shape(place)
        self.error: ApiError | None = None
        self.usage: Usage | None = None
        self.landed = False
        self.first_text_ms: float | None = None
        self.total_ms: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.waiting = 0
        self._news: list[asyncio.Future[None]] = []

    def agrees(self, typed: str) -> bool:
        """Whether what was typed since the anchor may still be what the model is saying."""
        said = self.shape.text if self.landed else self.shape.raw
        return (said.startswith(typed) and said != typed) or (not self.landed and typed.startswith(said))

    async def wait(self, typed: str) -> str | None:
        """What is left of the text after `typed` when the flight has landed; None if the two went apart.

        Raises the `ApiError` that ended the flight.
        """
        self.waiting += 1
        try:
            while not self.landed:
                if not self.agrees(_plain(typed)):
                    return None
                news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._news.append(news)
                await news
            if self.error is not None:
                raise self.error
            text = self.shape.text
            return text[len(typed) :] if text.startswith(typed) else None
        finally:
            self.waiting -= 1

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
        self._reapers: set[asyncio.Task[None]] = set()

    def find(self, scope: Hashable, place: Place) -> tuple[Flight, str] | None:
        """A flight that may answer at this place, and what was typed since it started; the newest such."""
        for flight in reversed(self._flights):
            typed = flight.anchor.typed_until(scope, place, lambda text, f=flight: f.agrees(_plain(text)))  # type: ignore[misc]
            if typed is not None:
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
        """Sends the request. `landed` is called at its end, unless it was ended unwanted.

        `retry` is given the number of the attempt that failed, from 0, and the error: the seconds to wait before
        another, or None for no other.
        """
        self._flights.append(flight)
        flight.task = asyncio.create_task(self._fly(flight, timeouts, deadline_seconds, retry, landed))

    def release(self, flight: Flight) -> None:
        """Somebody stopped waiting: if nobody does any more, the flight is ended after the grace."""
        if flight.waiting == 0 and not flight.landed:
            reaper = asyncio.create_task(self._reap(flight))
            self._reapers.add(reaper)
            reaper.add_done_callback(self._reapers.discard)

    def end_unwanted(self, scope: Hashable) -> None:
        """Ends the flights of `scope` that nobody waits for: a newer request could not join them."""
        for flight in self._flights:
            if flight.anchor.scope == scope and flight.waiting == 0 and flight.task is not None:
                flight.task.cancel()

    async def aclose(self) -> None:
        """Ends everything."""
        tasks = [flight.task for flight in self._flights if flight.task is not None] + list(self._reapers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reap(self, flight: Flight) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        if flight.waiting == 0 and not flight.landed and flight.task is not None:
            flight.task.cancel()

    async def _fly(
        self,
        flight: Flight,
        timeouts: Timeouts,
        deadline_seconds: float,
        retry: Retry,
        landed: Callable[[Flight], None],
    ) -> None:
        try:
            await asyncio.wait_for(self._try(flight, timeouts, retry), deadline_seconds)
        except asyncio.TimeoutError:
            # Slow is not useless: what came by whole lines is shown.
            flight.error = TimedOut(
                f"No completion within {deadline_seconds:g} s. If the API is always slow, raise timeout_ms."
            )
        except ApiError as error:
            flight.error = error
        finally:
            self._flights.remove(flight)
            flight.landed = True
            flight.tell()
        if flight.shape.text:
            flight.error = None
        landed(flight)

    async def _try(self, flight: Flight, timeouts: Timeouts, retry: Retry) -> None:
        for attempt in itertools.count():
            try:
                await self._read(flight, timeouts)
                return
            except ApiError as error:
                wait = None if flight.shape.raw else retry(attempt, error)
                if wait is None:
                    raise
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


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text

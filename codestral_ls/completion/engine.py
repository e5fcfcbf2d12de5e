"""The one way from a cursor to a suggestion: gate, reuse, flights, pacing, prompt, stream, shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import ApiError
from codestral_ls.completion import gate, prompt
from codestral_ls.completion.flights import Flight, Flights
from codestral_ls.completion.pacing import RETRIES, Pacing
from codestral_ls.completion.reuse import Anchor, Reuse
from codestral_ls.completion.types import Ask, FimApi, Origin, Outcome, Suggestion, Trigger
from codestral_ls.settings import Settings


class Engine:
    """Answers asks. One a server; `clock` in seconds, `random` gives numbers from 0 to 1.

    `suggest` may be cancelled at any time; what it has asked of the API is then ended, unless a newer ask wants it.
    """

    def __init__(self, api: FimApi, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._clock = clock
        self._pacing = Pacing(clock, random)
        self._reuse = Reuse(clock)
        self._flights = Flights(api, clock)

    async def suggest(self, ask: Ask) -> Outcome:
        """What could stand at the ask's offset. Never raises: a failure of the API is in the outcome."""
        if (why := gate.refuse(ask)) is not None:
            return Outcome(why=why)
        place = prompt.place(ask)
        scope = _scope(ask)
        if (known := self._reuse.look_up(scope, place, ask.trigger)) is not None:
            return _outcome(known, Origin.KNOWN)
        joined = self._flights.find(scope, place)
        if joined is not None and (outcome := await self._wait(*joined, Origin.JOINED)) is not None:
            return outcome
        self._flights.end_unwanted(scope)
        if (why := self._pacing.resting(ask)) is not None:
            return Outcome(why=why)
        delay = self._pacing.delay_ms(ask, place)
        if delay:
            await asyncio.sleep(delay / 1000)
            if (known := self._reuse.look_up(scope, place, ask.trigger)) is not None:
                return _outcome(known, Origin.KNOWN)
        flight = Flight(Anchor.of(scope, place), place, prompt.request(place, ask.settings))
        self._start(flight, ask)
        outcome = await self._wait(flight, "", Origin.API)
        assert outcome is not None, "nothing was typed, so nothing can have gone apart"
        return Outcome(
            outcome.suggestions,
            outcome.why,
            outcome.error,
            flight.request,
            flight.usage,
            delay,
            flight.first_text_ms,
            flight.total_ms,
        )

    def settings_changed(self) -> None:
        """Known suggestions were made with other settings; they are forgotten."""
        self._reuse.forget()

    async def aclose(self) -> None:
        """Ends all requests."""
        await self._flights.aclose()

    def _start(self, flight: Flight, ask: Ask) -> None:
        milliseconds = ask.settings.timeout_ms.fim
        explicit = ask.trigger is Trigger.INVOKED

        def retry(attempt: int, error: ApiError) -> float | None:
            if not explicit or not error.transient or attempt >= RETRIES:
                return None
            wait = self._pacing.backoff_seconds(attempt, error)
            return wait if wait < milliseconds / 1000 else None

        self._pacing.asked()
        self._flights.start(flight, Timeouts.of(milliseconds), milliseconds / 1000, retry, self._landed)

    def _landed(self, flight: Flight) -> None:
        if flight.error is None:
            self._pacing.succeeded()
            self._reuse.remember(flight.anchor, flight.shape.text)
        else:
            self._pacing.failed(flight.error)

    async def _wait(self, flight: Flight, typed: str, origin: Origin) -> Outcome | None:
        try:
            text = await flight.wait(typed)
        except ApiError as error:
            return Outcome(why=str(error), error=error)
        finally:
            self._flights.release(flight)
        return None if text is None else _outcome(text, origin)


def _outcome(text: str, origin: Origin) -> Outcome:
    if not text.strip():
        return Outcome(why="the model has nothing to add here")
    return Outcome((Suggestion(text, origin),))


def _scope(ask: Ask) -> Hashable:
    """What an answer depends on besides the text round the cursor."""
    settings: Settings = ask.settings
    return (
        ask.snapshot.uri,
        settings.fim_model,
        settings.temperature,
        settings.top_p,
        settings.max_tokens,
        tuple(settings.stop),
    )

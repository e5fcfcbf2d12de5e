"""The one way from a cursor to a suggestion: gate, reuse, flights, pacing, prompt, stream, shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace

from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import ApiError
from codestral_ls.completion import gate, prompt
from codestral_ls.completion.flights import Ended, Flight, Flights
from codestral_ls.completion.pacing import RETRIES, Pacing
from codestral_ls.completion.reuse import Anchor, Reuse
from codestral_ls.completion.types import Ask, FimApi, Origin, Outcome, Place, Suggestion, Trigger

_ENDED = Outcome(why="completions have ended")


class Engine:
    """Answers asks. One a server; `clock` in seconds, `random` gives numbers from 0 to 1.

    `suggest` may be cancelled at any time; what it has asked of the API is then ended, unless a newer ask wants it.
    """

    def __init__(self, api: FimApi, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._pacing = Pacing(clock, random)
        self._reuse = Reuse(clock)
        self._flights = Flights(api, clock)
        self._closed = False

    async def suggest(self, ask: Ask) -> Outcome:
        """What could stand at the ask's offset. A failure of the API is in the outcome and is never raised."""
        if (why := gate.refuse(ask)) is not None:
            return Outcome(why=why)
        place = prompt.place(ask)
        scope = _scope(ask)
        if (outcome := await self._without_request(ask, scope, place)) is not None:
            return outcome
        self._flights.end_unwanted(scope)
        delay = 0.0
        if (why := self._pacing.resting(ask)) is None and (delay := self._pacing.delay_ms(ask, place)):
            await asyncio.sleep(delay / 1000)
            # Meanwhile another may have asked for the same, or been told to rest.
            if (outcome := await self._without_request(ask, scope, place)) is not None:
                return replace(outcome, waited_ms=delay)
            why = self._pacing.resting(ask)
        if self._closed:
            return _ENDED
        if why is not None:
            return Outcome(why=why, waited_ms=delay)
        flight = Flight(Anchor.of(scope, place), place, prompt.request(place, ask.settings))
        self._start(flight, ask)
        outcome = await self._wait(flight, "", Origin.API)
        assert outcome is not None, "nothing was typed, so nothing can have gone apart"
        return replace(outcome, waited_ms=delay)

    async def aclose(self) -> None:
        """Ends all requests; who still waits is answered without a suggestion."""
        self._closed = True
        await self._flights.aclose()

    async def _without_request(self, ask: Ask, scope: Hashable, place: Place) -> Outcome | None:
        """The answer from what is known or under way, if there is one."""

        def fits(flight: Flight) -> bool:
            # As with what is known: a gesture wants several lines where only one was asked for.
            return flight.anchor.multiline or ask.trigger is not Trigger.INVOKED or not place.multiline

        while True:
            if (known := self._reuse.look_up(scope, place, ask.trigger)) is not None:
                return _outcome(known, Origin.KNOWN)
            if (joined := self._flights.find(scope, place, fits)) is None:
                return None
            outcome = await self._wait(*joined, Origin.JOINED)
            if outcome is None or (outcome.error is not None and ask.trigger is Trigger.INVOKED):
                # The two went apart, or an automatic request failed, which is not tried again: this one may be.
                continue
            return outcome

    def _start(self, flight: Flight, ask: Ask) -> None:
        milliseconds = ask.settings.timeout_ms.fim
        explicit = ask.trigger is Trigger.INVOKED

        def retry(attempt: int, error: ApiError) -> float | None:
            if not explicit or not error.transient or attempt >= RETRIES:
                return None
            wait = self._pacing.backoff_seconds(attempt, error)
            if wait >= milliseconds / 1000:
                return None
            self._pacing.asked()
            return wait

        self._pacing.asked()
        self._flights.start(flight, Timeouts.of(milliseconds), milliseconds / 1000, retry, self._landed)

    def _landed(self, flight: Flight) -> None:
        if isinstance(flight.failure, ApiError):
            self._pacing.failed(flight.failure)
        elif flight.failure is None:
            self._pacing.succeeded()
        if flight.failure is None or flight.shape.text:
            self._reuse.remember(flight.anchor, flight.shape.text)

    async def _wait(self, flight: Flight, typed: str, origin: Origin) -> Outcome | None:
        try:
            text = await flight.wait(typed)
        except ApiError as error:
            return Outcome(why=str(error), error=error, request=flight.request)
        except Ended:
            return _ENDED
        if text is None:
            return None
        return replace(
            _outcome(text, origin),
            request=flight.request,
            usage=flight.usage,
            first_text_ms=flight.first_text_ms,
            total_ms=flight.total_ms,
        )


def _outcome(text: str, origin: Origin) -> Outcome:
    if not text.strip():
        return Outcome(why="the model has nothing to add here")
    return Outcome((Suggestion(text, origin),))


def _scope(ask: Ask) -> Hashable:
    """What an answer depends on besides the text round the cursor."""
    settings = ask.settings
    return (
        ask.snapshot.uri,
        ask.snapshot.language,
        settings.fim_model,
        settings.temperature,
        settings.top_p,
        settings.max_tokens,
        tuple(settings.stop),
        settings.multiline,
        settings.prefix_chars,
        settings.suffix_chars,
    )

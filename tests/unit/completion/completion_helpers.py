"""What the tests of completion share: a document with a cursor, a scripted API, and an engine in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from support import virtual_time

from codestral_ls.api.client import Timeouts
from codestral_ls.api.wire import Chunk, FimRequest
from codestral_ls.completion.engine import Engine
from codestral_ls.completion.types import Ask, Outcome, Trigger
from codestral_ls.settings import Settings
from codestral_ls.text.document import Snapshot
from codestral_ls.text.rope import Rope

CURSOR = "¦"
URI = "file:///project/main.py"

Step: TypeAlias = "str | Chunk | float | Exception"
"""A piece of text, a whole chunk, seconds of silence, or a failure."""


def ask(
    marked: str,
    *,
    trigger: Trigger = Trigger.AUTOMATIC,
    language: str = "python",
    uri: str = URI,
    waited_ms: float = 0.0,
    excluded: str | None = None,
    settings: Settings | None = None,
    **changed: Any,
) -> Ask:
    """A question at the `¦` in a text. Without `debounce_ms` among `changed`, nothing is waited for."""
    before, after = marked.split(CURSOR)
    snapshot = Snapshot(uri, language, 1, Rope.of(before + after))
    settings = settings or Settings(**{"debounce_ms": 0.0, **changed})
    return Ask(snapshot, len(before), trigger, settings, waited_ms, excluded)


@dataclass
class Call:
    """One call to the scripted API."""

    request: FimRequest
    timeouts: Timeouts
    started_at: float
    pulled: int = 0
    closed_at: float | None = None


@dataclass
class ScriptedApi:
    """Answers the first call with the first script, and so on; the last script serves all further calls."""

    scripts: list[Iterable[Step]]
    calls: list[Call] = field(default_factory=list)

    async def fim(self, request: FimRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        time = asyncio.get_running_loop().time
        call = Call(request, timeouts, time())
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append(call)
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, (int, float)):
                    await asyncio.sleep(step)
                    continue
                call.pulled += 1
                yield step if isinstance(step, Chunk) else Chunk(step)
        finally:
            call.closed_at = time()

    @property
    def open_calls(self) -> int:
        return sum(call.closed_at is None for call in self.calls)


class Bench:
    """An engine on a scripted API, inside a virtual-time loop."""

    def __init__(self, api: ScriptedApi, random: Callable[[], float]) -> None:
        self.api = api
        self.time = asyncio.get_running_loop().time
        self.engine = Engine(api, self.time, random)

    async def suggest(self, marked: str, **rest: Any) -> Outcome:
        return await self.engine.suggest(ask(marked, **rest))

    async def text(self, marked: str, **rest: Any) -> str | None:
        """The text of the one suggestion, or None if there is none."""
        return shown(await self.suggest(marked, **rest))

    def start(self, marked: str, **rest: Any) -> asyncio.Task[Outcome]:
        return asyncio.ensure_future(self.suggest(marked, **rest))

    @property
    def requests(self) -> int:
        return len(self.api.calls)


def shown(outcome: Outcome) -> str | None:
    assert len(outcome.suggestions) <= 1
    return outcome.suggestions[0].text if outcome.suggestions else None


def with_engine(
    test: Callable[[Bench], Coroutine[Any, Any, None]],
    *scripts: Iterable[Step],
    random: Callable[[], float] = lambda: 0.5,
) -> None:
    """Runs `test` with an engine whose API follows `scripts`; then nothing may be left: no task, no open answer."""

    async def main() -> None:
        bench = Bench(ScriptedApi(list(scripts) or [["unasked"]]), random)
        try:
            await test(bench)
        finally:
            await bench.engine.aclose()
        assert bench.api.open_calls == 0

    virtual_time.run(main())


async def leave(task: asyncio.Task[Outcome]) -> None:
    """Cancels a question, as an editor's `$/cancelRequest` does, and sees it gone."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()

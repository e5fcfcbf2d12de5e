"""Replays a person's recorded typing through the engine, in virtual time, against a model that knows what comes next.

    python tests/benchmarks/replay.py TRACE [--starts 500,2000] [--count 500] [--first-token 0.3] [--wrong 0.3]

TRACE is a file of josephg/editing-traces (JSON, gzipped or not; CC BY 4.0): `startContent` and `txns`, each with a
time and patches of [position, deleted, inserted]. The model answers with what the person goes on to write, or with
some other line of the file for the given share of places, right or wrong for 25 keys on end. The editor asks 50 ms
after each typed character and cancels at the next key. Reported, over the typed keys: requests, output tokens and the
share of keys before which the right text stood on screen. A stretch of 500 keys takes a fraction of a second, so a
rule of pacing or reuse can be tuned on many stretches at once; nothing here depends on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import re
import sys
import zlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.virtual_time import VirtualTimeLoop

from codestral_ls.api.client import Timeouts
from codestral_ls.api.wire import Chunk, FimRequest, Usage
from codestral_ls.completion.engine import Engine
from codestral_ls.completion.types import Ask, Trigger
from codestral_ls.settings import Settings
from codestral_ls.text.document import Snapshot
from codestral_ls.text.rope import Rope

URI = "file:///replay/main"
EDITOR_SECONDS = 0.05
TOKEN_SECONDS = 0.008
LEAST_GAP, MOST_GAP = 0.045, 2.5
"""Seconds between two events: stamps have a resolution of a second, and nobody waits for a coffee break."""
HORIZON = 160
"""How many later events are looked through for what the person writes at a place."""
JUDGED_CHARS = 12
"""Of a suggestion: who reads it decides by its beginning."""
MODEL_LINES = 3
SAME_MOOD_KEYS = 25
_PAIRS = ("()", "[]", "{}", '""', "''", "``", "<>")
_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


@dataclass(frozen=True)
class Event:
    """One edit of the recording. `typed`: by a key, so that an editor asks for a completion at `cursor`."""

    at: float
    patches: list[tuple[int, int, str]]
    cursor: int
    typed: bool
    truth: str


def load(path: Path, start: int, count: int) -> tuple[str, list[Event]]:
    """The text before a stretch of the recording, and its events with their times from 0."""
    raw = path.read_bytes()
    trace = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    text = trace["startContent"]
    for transaction in trace["txns"][:start]:
        text = patched(text, transaction["patches"])
    stretch = trace["txns"][start : start + count]
    times = list(_spread([_seconds(transaction["time"]) for transaction in stretch]))
    events, now = [], 0.0
    for number, transaction in enumerate(stretch):
        now += min(max(times[number] - times[max(0, number - 1)], LEAST_GAP), MOST_GAP)
        patches = [tuple(patch) for patch in transaction["patches"]]
        position, deleted, inserted = patches[-1]
        pair = inserted in _PAIRS
        by_key = len(inserted) == 1 or pair or (inserted.startswith("\n") and not inserted.strip())
        typed = len(patches) == 1 and not deleted and by_key
        cursor = position + (1 if pair else len(inserted))
        truth = _written_at(cursor, stretch[number + 1 : number + 1 + HORIZON]) if typed else ""
        events.append(Event(now, patches, cursor, typed, truth))
    return text, events


def patched(text: str, patches: list[Any]) -> str:
    """The text after patches of [position, deleted, inserted]."""
    for position, deleted, inserted in patches:
        text = text[:position] + inserted + text[position + deleted :]
    return text


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def _spread(stamps: list[float]) -> Any:
    """Equal stamps, spread over the second that they name."""
    for stamp, same in groupby(stamps):
        members = len(list(same))
        yield from (stamp + member / members for member in range(members))


def _written_at(cursor: int, later: list[Any]) -> str:
    """What grows at the cursor, corrections applied, until the person edits elsewhere or pastes."""
    written = ""
    for transaction in later:
        if len(transaction["patches"]) != 1:
            break
        position, deleted, inserted = transaction["patches"][0]
        at = position - cursor
        if at < 0 or at > len(written) or at + deleted > len(written) or len(inserted) > 60:
            break
        written = written[:at] + inserted + written[at + deleted :]
    return written


@dataclass
class Model:
    """Knows what the person writes next, and is wrong for a share of the places."""

    wrong: float
    first_token: float
    text: str
    places: list[tuple[str, str, int]] = field(default_factory=list)
    requests: int = 0
    tokens: int = 0
    cut_short: int = 0

    async def fim(self, request: FimRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        self.requests += 1
        self.cut_short += 1
        answer = self._answer(request.prompt)
        for stop in request.stop:
            answer = answer.split(stop, 1)[0]
        await asyncio.sleep(self.first_token)
        for token in _TOKEN.findall(answer)[: request.max_tokens]:
            self.tokens += 1
            yield Chunk(token)
            await asyncio.sleep(TOKEN_SECONDS)
        self.cut_short -= 1
        yield Chunk("", finish_reason="stop", usage=Usage(0, 0))

    def _answer(self, prompt: str) -> str:
        for before, truth, mood in reversed(self.places[-40:]):
            if prompt.rstrip().endswith(before.rstrip()[-80:]):
                if truth and (zlib.crc32(repr(mood).encode()) % 1000) / 1000 >= self.wrong:
                    return "\n".join(truth.split("\n")[:MODEL_LINES])
                lines = [line.strip() for line in self.text.split("\n") if len(line.strip()) > 8]
                return random.Random(mood).choice(lines) if lines else ""
        return ""


@dataclass
class Figures:
    """What the person got. Shares are of the typed keys."""

    typed: int = 0
    visible: int = 0
    right: int = 0

    def row(self, model: Model) -> str:
        keys = max(1, self.typed)
        return (
            f"{100 * model.requests / keys:6.1f} requests  {100 * model.tokens / keys:6.0f} tokens / 100 keys  "
            f"{model.cut_short / max(1, model.requests):5.0%} cut short  "
            f"{self.visible / keys:5.0%} visible  {self.right / keys:5.0%} right"
        )


class Editor:
    """Asks after each typed key, cancels at the next, and keeps a ghost while what is typed agrees with it."""

    def __init__(self, text: str, model: Model) -> None:
        self._model = model
        loop = asyncio.get_running_loop()
        self._engine = Engine(model, loop.time, random.Random(1).random)
        self._settings = Settings()
        self._rope = Rope.of(text)
        self._ghost: tuple[int, str] | None = None
        self._asking: asyncio.Task[None] | None = None
        self.figures = Figures()

    async def play(self, events: list[Event], first: int) -> Figures:
        """The figures of a stretch; `first` is its number in the recording."""
        loop = asyncio.get_running_loop()
        began, last = loop.time(), None
        for number, event in enumerate(events):
            await asyncio.sleep(max(0.0, began + event.at - loop.time()))
            if last is not None and last.typed:
                self._count(last)
            if self._asking is not None:
                self._asking.cancel()
            for position, deleted, inserted in event.patches:
                self._rope = self._rope.replace(position, position + deleted, inserted)
            self._model.text = patched(self._model.text, event.patches)
            if event.typed:
                before = self._rope.slice(event.cursor - 300, event.cursor)
                self._model.places.append((before, event.truth, (first + number) // SAME_MOOD_KEYS))
            if not event.typed or not self._left(event.cursor):
                self._ghost = None
            if event.typed:
                self._asking = asyncio.create_task(self._ask(event.cursor))
            last = event
        if self._asking is not None:
            await asyncio.wait({self._asking})
        await self._engine.aclose()
        return self.figures

    async def _ask(self, cursor: int) -> None:
        await asyncio.sleep(EDITOR_SECONDS)
        snapshot = Snapshot(URI, "plaintext", None, self._rope)
        outcome = await self._engine.suggest(Ask(snapshot, cursor, Trigger.AUTOMATIC, self._settings))
        if outcome.suggestions:
            self._ghost = (cursor, outcome.suggestions[0].text)

    def _left(self, cursor: int) -> str:
        if self._ghost is None or cursor < self._ghost[0]:
            return ""
        at, text = self._ghost
        typed = self._rope.slice(at, cursor)
        return text[len(typed) :] if text.startswith(typed) else ""

    def _count(self, event: Event) -> None:
        self.figures.typed += 1
        if left := self._left(event.cursor):
            self.figures.visible += 1
            self.figures.right += bool(event.truth) and event.truth.startswith(left[:JUDGED_CHARS])


def replay(path: Path, start: int, count: int, first_token: float, wrong: float) -> tuple[Figures, Model]:
    """One stretch, from its beginning to its end."""
    text, events = load(path, start, count)
    model = Model(wrong, first_token, text)
    loop = VirtualTimeLoop()

    async def play() -> Figures:
        return await Editor(text, model).play(events, start)

    try:
        return loop.run_until_complete(play()), model
    finally:
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay recorded typing through the engine, in virtual time.")
    parser.add_argument("trace", type=Path)
    parser.add_argument("--starts", default="500,2000,5000,9000,13000")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first-token", default="0.15,0.3,0.8", help="seconds")
    parser.add_argument("--wrong", default="0,0.3,0.6", help="shares of places")
    options = parser.parse_args()
    for first_token in map(float, options.first_token.split(",")):
        for wrong in map(float, options.wrong.split(",")):
            total, sums = Figures(), Model(wrong, first_token, "")
            for start in map(int, options.starts.split(",")):
                figures, model = replay(options.trace, start, options.count, first_token, wrong)
                for name in ("typed", "visible", "right"):
                    setattr(total, name, getattr(total, name) + getattr(figures, name))
                for name in ("requests", "tokens", "cut_short"):
                    setattr(sums, name, getattr(sums, name) + getattr(model, name))
            print(f"first token {first_token * 1000:4.0f} ms, {wrong:4.0%} wrong: {total.row(sums)}")


if __name__ == "__main__":
    main()

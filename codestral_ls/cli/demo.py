"""`codestral-ls demo`: a real server process, and a simulated person who types with it, in your terminal."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codestral_ls.api import sandbox
from codestral_ls.cli.driver import Driver
from codestral_ls.cli.failure import Failure
from codestral_ls.cli.workspace import language_of, read_text
from codestral_ls.settings.hosts import SANDBOX

LEAST_LINES, MOST_LINES = 12, 24
SAMPLE_START = "    def add("
"""Where the typing starts in the bundled sample."""

KEY_SECONDS = 0.075
"""Between two keys: 160 words a minute is 75 ms, a fast typist's pace."""
EDITOR_SECONDS = 0.05
"""What an editor waits after a key before it asks (VS Code's figure)."""
LOOK_SECONDS = 0.45
"""How long the person looks at a suggestion before taking it."""
PAUSE_SECONDS = 1.5
"""How long the person pauses at the end of a line, to think, unless a suggestion comes."""
LEAST_ACCEPTED = 4

_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"


@dataclass
class Figures:
    """What there is to say at the end. Times in seconds."""

    typed: int = 0
    given: int = 0
    shown: int = 0
    accepted: int = 0
    waits: list[float] = field(default_factory=list)

    def line(self) -> str:
        total = self.typed + self.given
        share = 100 * self.given / total if total else 0
        wait = f"{1000 * statistics.median(self.waits):.0f} ms" if self.waits else "never"
        return (
            f"{self.shown} suggestions, {self.accepted} accepted; {self.typed} characters typed, {self.given} given "
            f"({share:.0f} %); a suggestion after {wait} in the median"
        )


def run(place: str | None) -> int:
    """Types the text at `place` (FILE:LINE) again, with completions; 1 if none came."""
    path, before, target, after = _script(place)
    if sys.stdout.isatty():
        screen: Screen = Terminal(path)
    else:
        screen = Screen(path)
    figures = asyncio.run(_type(path, before, target, after, screen))
    screen.close(figures)
    if not figures.shown:
        raise Failure("no suggestion came; `codestral-ls doctor` looks for the cause")
    return 0


def _script(place: str | None) -> tuple[Path, str, str, str]:
    """The file, the text before what is to be typed, that text, and the text after it."""
    if place is None:
        text = sandbox.sample_text()
        start = text.index(SAMPLE_START)
        path = Path("inventory.py")
        lines = text.split("\n")
        first = text.count("\n", 0, start)
    else:
        name, colon, number = place.rpartition(":")
        if not colon or not number.isdecimal() or int(number) < 1:
            raise Failure(f"demo takes FILE:LINE, not {place}", code=2)
        path = Path(name)
        lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        first = int(number) - 1
        while first < len(lines) and not lines[first].strip():
            first += 1
        if first >= len(lines):
            raise Failure(f"{path} has no text at line {number}")
    last = _block_end(lines, first)
    before = "".join(line + "\n" for line in lines[:first])
    return path, before, "\n".join(lines[first:last]), "\n" + "\n".join(lines[last:])


def _block_end(lines: list[str], first: int) -> int:
    """One past the last line to type: to the end of the block that begins at `first`."""
    indent = len(lines[first]) - len(lines[first].lstrip())
    last = first + 1
    for at in range(first + 1, min(len(lines), first + MOST_LINES)):
        line = lines[at]
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        if not line.strip() and at > first + LEAST_LINES:
            break
        last = at + 1
    while last > first + 1 and not lines[last - 1].strip():
        last -= 1
    return last


async def _type(path: Path, before: str, target: str, after: str, screen: Screen) -> Figures:
    person = _Person(path, before, target, after, screen)
    await person.start()
    try:
        await person.work()
    finally:
        await person.driver.stop()
    return person.figures


class _Person:
    """Types a text key by key as an editor reports it, and takes a suggestion that is what they had in mind."""

    def __init__(self, path: Path, before: str, target: str, after: str, screen: Screen) -> None:
        self._path, self._before, self._target, self._after = path, before, target, after
        self._screen = screen
        self._uri = path.resolve().as_uri()
        self._version = 1
        self._done = 0
        self._ghost = ""
        self._asking: asyncio.Task[None] | None = None
        self._rng = random.Random(7)
        self.figures = Figures()
        self.driver = Driver(self._heard)

    async def start(self) -> None:
        environment = {}
        if "CODESTRAL_LS_BASE_URL" not in os.environ:
            environment["CODESTRAL_LS_BASE_URL"] = SANDBOX
            self._screen.say(sandbox.NOTICE)
        await self.driver.start(environment)
        capabilities = {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}}
        params = {
            "processId": os.getpid(),
            "clientInfo": {"name": "codestral-ls demo"},
            "rootUri": None,
            "capabilities": capabilities,
        }
        if await self.driver.request("initialize", params) is None:
            raise Failure("the server did not start")
        self.driver.notify("initialized", {})
        document = {"uri": self._uri, "languageId": language_of(self._path), "version": 1}
        self.driver.notify("textDocument/didOpen", {"textDocument": {**document, "text": self._before + self._after}})
        self._draw()

    async def work(self) -> None:
        while self._done < len(self._target):
            await self._think()
            if self._ghost and len(self._ghost) >= LEAST_ACCEPTED and self._meant(self._ghost):
                await asyncio.sleep(LOOK_SECONDS)
                self._accept()
            else:
                self._key(self._target[self._done])
                await asyncio.sleep(KEY_SECONDS * self._rng.uniform(0.6, 1.5))
        await self._stop_asking()

    async def _think(self) -> None:
        """At the end of a line, and now and then at a sign, a person pauses; a suggestion ends the pause."""
        last = self._target[self._done - 1 : self._done]
        if self._ghost or last not in ("\n", "(", "="):
            return
        pause = PAUSE_SECONDS if last == "\n" else PAUSE_SECONDS / 4
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=pause)

    def _meant(self, ghost: str) -> bool:
        return self._target.startswith(ghost, self._done)

    def _key(self, key: str) -> None:
        self._change(key)
        self.figures.typed += 1
        self._ghost = self._ghost[1:] if self._ghost.startswith(key) else ""
        self._draw()
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask(EDITOR_SECONDS))

    def _accept(self) -> None:
        text, self._ghost = self._ghost, ""
        self._change(text)
        self.figures.given += len(text)
        self.figures.accepted += 1
        self._screen.accepted(text)
        self._draw()
        self._asking = asyncio.create_task(self._ask(0))

    def _change(self, text: str) -> None:
        at = self._position()
        self._done += len(text)
        self._version += 1
        self.driver.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": self._uri, "version": self._version},
                "contentChanges": [{"range": {"start": at, "end": at}, "text": text}],
            },
        )

    async def _ask(self, wait: float) -> None:
        started = time.monotonic()
        await asyncio.sleep(wait)
        result = await self.driver.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": self._uri},
                "position": self._position(),
                "context": {"triggerKind": 2},
            },
        )
        items = (result or {}).get("items") or []
        text = str(items[0]["insertText"]) if items else ""
        if text and text != self._ghost:
            if not self._ghost:
                self.figures.shown += 1
                self.figures.waits.append(time.monotonic() - started)
            self._ghost = text
            self._screen.suggested(text)
        self._draw()

    async def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _position(self) -> dict[str, int]:
        written = self._before + self._target[: self._done]
        return {"line": written.count("\n"), "character": len(written) - written.rfind("\n") - 1}

    def _draw(self) -> None:
        self._screen.draw(self._before + self._target[: self._done], self._ghost, self._after)

    def _heard(self, method: str, params: Any) -> None:
        if method == "window/showMessage" and sandbox.NOTICE not in str(params.get("message")):
            self._screen.say(str(params.get("message")))


class Screen:
    """Where stdout is no terminal: plain lines."""

    def __init__(self, path: Path) -> None:
        print(f"codestral-ls demo: {path}", flush=True)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def suggested(self, text: str) -> None:
        print(f"  suggested: {_on_one_line(text)}", flush=True)

    def accepted(self, text: str) -> None:
        print(f"  accepted:  {_on_one_line(text)}", flush=True)

    def draw(self, before: str, ghost: str, after: str) -> None:
        """Nothing: a log has no screen."""

    def close(self, figures: Figures) -> None:
        print(figures.line(), flush=True)


class Terminal(Screen):
    """A few lines of the document round the cursor, drawn in place, ghost text dim."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        size = shutil.get_terminal_size()
        self._rows, self._columns = max(6, min(18, size.lines - 4)), size.columns
        self._drawn = False

    def suggested(self, text: str) -> None:
        """Seen on the screen."""

    def accepted(self, text: str) -> None:
        """Seen on the screen."""

    def say(self, text: str) -> None:
        self._erase()
        print(text)

    def draw(self, before: str, ghost: str, after: str) -> None:
        above = before.split("\n")
        first_ghost, *more_ghost = ghost.split("\n")
        rest, *below = after.split("\n")
        lines = [(line, "") for line in above[:-1]]
        cursor = len(lines)
        lines.append((above[-1], first_ghost + ("" if more_ghost else "\0" + rest)))
        lines += [("", line) for line in more_ghost[:-1]]
        if more_ghost:
            lines.append(("", more_ghost[-1] + "\0" + rest))
        lines += [(line, "") for line in below]
        top = max(0, min(cursor - self._rows * 2 // 3, len(lines) - self._rows))
        self._erase()
        for number in range(top, top + self._rows):
            print(self._row(number, *lines[number]) if number < len(lines) else "")
        sys.stdout.flush()
        self._drawn = True

    def close(self, figures: Figures) -> None:
        print(f"\n{_BOLD}{figures.line()}{_PLAIN}", flush=True)

    def _row(self, number: int, text: str, ghost: str) -> str:
        room = self._columns - 7
        text = text.expandtabs(4)[:room]
        dim, _, rest = ghost.expandtabs(4).partition("\0")
        dim = dim[: room - len(text)]
        rest = rest[: room - len(text) - len(dim)]
        return f"{_DIM}{number + 1:>4}{_PLAIN}  {text}{_DIM}{dim}{_PLAIN}{rest}"

    def _erase(self) -> None:
        if self._drawn:
            print(f"\x1b[{self._rows}F\x1b[J", end="")
            self._drawn = False


def _on_one_line(text: str) -> str:
    return text.replace("\n", "⏎")

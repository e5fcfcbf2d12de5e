"""`codestral-ls demo`: a real server process, and a simulated person who types with it, in your terminal."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codestral_ls.api import sandbox
from codestral_ls.cli.driver import Driver
from codestral_ls.cli.failure import Failure
from codestral_ls.cli.place import MOST_SHOWN, is_count
from codestral_ls.cli.screen import Screen, Terminal
from codestral_ls.cli.workspace import language_of, read_text
from codestral_ls.settings.hosts import SANDBOX
from codestral_ls.text.lines import line_feeds

SAMPLE_START = "    def add("
"""Where the typing starts in the bundled sample."""

SAMPLE_LINES, SAMPLE_CHARS = 18, 900
FILE_LINES, FILE_CHARS = 8, 360
"""How much is typed at most. Of a line without an end, its beginning."""

EDITOR_SECONDS = 0.05
"""What an editor waits after a key before it asks (VS Code's figure)."""
PAUSE_SECONDS = 0.8
"""How long the person pauses at most, to think; a suggestion or its absence ends the pause."""
STOP_SECONDS = 5.0
"""How long a server may take to end."""

LEAST_ACCEPTED = 4
"""Characters. What is shorter is quicker typed than looked at."""
LEAST_ALONG, MOST_ALONG = 5, 10
"""How many characters the person types along with every second suggestion, before taking it."""
TYPED_FIRST = 4
"""How many characters of every second line the person types before stopping to think."""

_KEY = re.compile(r"\n[ \t]*|.", re.DOTALL)
"""What one key writes: an editor indents the new line by itself."""
_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)|\s+")
_LINE_START = re.compile(r"(?:^|\n)([ \t]*)([^\n]*)$")
_NAME_START = re.compile(r"(?<!\w)\w{3}$")
_LONG_REST = re.compile(rf"\w{{{LEAST_ACCEPTED},}}")
_THINKING = ("(", "[", "{", " = ", ": ", "return ")


@dataclass(frozen=True)
class Script:
    """A file: the text before what is to be typed, that text, and the text after it."""

    path: Path
    before: str
    target: str
    after: str


@dataclass(frozen=True)
class Pace:
    """Seconds: between two keys, for a look at a suggestion before it is taken, and after which no line is begun."""

    key: float
    look: float
    most: float


TERMINAL_PACE = Pace(key=0.07, look=0.5, most=11.5)
"""A fast typist: 70 ms a key is 170 words a minute."""
LOG_PACE = Pace(key=0.025, look=0.05, most=5.0)
"""Where nobody watches."""


@dataclass
class Figures:
    """What there is to say at the end. `typed` and `given` are key presses made and saved, `waits` seconds."""

    typed: int = 0
    given: int = 0
    shown: int = 0
    accepted: int = 0
    parts: int = 0
    waits: list[float] = field(default_factory=list)

    def lines(self, *, simulated: bool) -> list[str]:
        """Two lines, or one where no suggestion was waited for. `simulated`: the pace is the sandbox's."""
        taken = f"{self.accepted} accepted" + (f" ({self.parts} in part)" if self.parts else "")
        share = 100 * self.given / max(1, self.typed + self.given)
        found = [f"{self.shown} suggestions, {taken}; {self.typed} keys typed, {self.given} saved ({share:.0f} %)"]
        if self.waits:
            wait = f"a suggestion came after {1000 * statistics.median(self.waits):.0f} ms in the median"
            found.append(wait + (" (the sandbox's simulated pace)" if simulated else ""))
        return found


def run(place: str | None) -> int:
    """Types the text at `place` (FILE:LINE) again, with completions. Raises Failure if none came."""
    script = read_script(place)
    simulated = os.environ.get("CODESTRAL_LS_BASE_URL", SANDBOX).strip().rstrip("/:").lower() == SANDBOX.rstrip(":")
    watched = sys.stdout.isatty()
    with Terminal(script.path) if watched else Screen(script.path) as screen:
        if simulated:
            screen.say(sandbox.NOTICE)
            if place is not None:
                screen.say("It knows no more than this file, so it helps where the file repeats itself.")
        figures = asyncio.run(_type(script, screen, TERMINAL_PACE if watched else LOG_PACE))
        if figures.shown:
            screen.close(figures.lines(simulated=simulated))
    if not figures.shown:
        raise Failure("no suggestion came; `codestral-ls doctor` looks for the cause")
    return 0


def read_script(place: str | None) -> Script:
    """What is to be typed at `place`, or in the bundled sample. Raises Failure if there is no such place."""
    if place is None:
        text = sandbox.sample_text()
        first = text.count("\n", 0, text.index(SAMPLE_START))
        return _cut(Path("inventory.py"), text.split("\n"), first, SAMPLE_LINES, SAMPLE_CHARS)
    name, colon, number = place.rpartition(":")
    if not colon or not name or not is_count(number) or int(number) < 1:
        raise Failure(f"demo takes FILE:LINE, not {place[:MOST_SHOWN]}", code=2)
    path = Path(name)
    lines = line_feeds(read_text(path)).split("\n")
    first = int(number) - 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    if first >= len(lines):
        raise Failure(f"{path} has no text at line {number}")
    return _cut(path, lines, first, FILE_LINES, FILE_CHARS)


def _cut(path: Path, lines: list[str], first: int, most_lines: int, most_chars: int) -> Script:
    indent = _indent(lines[first])
    last, chars = first, 0
    for line in lines[first : first + most_lines]:
        chars += len(line.strip())
        if last > first and chars > most_chars:
            break
        last += 1
    while not lines[last - 1].strip():
        last -= 1
    target = "\n".join(lines[first:last])
    if last == first + 1:
        target = target[: indent + most_chars // 3]
    # The editor has indented the first line already.
    before = "".join(line + "\n" for line in lines[:first]) + target[:indent]
    return Script(path, before, target[indent:], "\n" + "\n".join(lines[last:]))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def pause_after(typed: str, target: str = "") -> float:
    """How many seconds the person, who wants to write `target`, may stop to think after what is typed.

    That is at the start of a line or, every second time, after its first characters; where something is to be named;
    and in a long name.
    """
    start = _LINE_START.search(typed)
    if start is not None and len(start[2]) == (TYPED_FIRST if typed.count("\n") % 2 else 0):
        return PAUSE_SECONDS
    if _NAME_START.search(typed) and _LONG_REST.match(target):
        return PAUSE_SECONDS
    return PAUSE_SECONDS if typed.endswith(_THINKING) else 0.0


def wanted_part(ghost: str, target: str) -> str:
    """What of the suggestion is taken by one who wants to write `target`: all of it, or its first words if right.

    Empty if that is not worth taking.
    """
    part = ghost
    if not target.startswith(ghost):
        part = ""
        for word in _WORD.findall(ghost):
            longer = part + word
            following = target[len(longer) : len(longer) + 1]
            if not target.startswith(longer) or (_is_word(longer[-1]) and _is_word(following)):
                break
            part = longer
        part = part.rstrip()
    return part if len(part) >= LEAST_ACCEPTED else ""


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


async def _type(script: Script, screen: Screen, pace: Pace) -> Figures:
    person = _Person(script, screen, pace)
    await person.start()
    try:
        await person.work()
    finally:
        await person.stop()
    return person.figures


class _Person:
    """Types a text key by key as an editor reports it, and takes of suggestions what they had in mind."""

    def __init__(self, script: Script, screen: Screen, pace: Pace) -> None:
        self._script, self._screen, self._pace = script, screen, pace
        self._target = script.target
        self._uri = script.path.resolve().as_uri()
        self._language = language_of(script.path)
        self._version = 1
        self._done = 0
        self._ghost = ""
        self._along = 0
        self._asking: asyncio.Task[None] | None = None
        self._rng = random.Random(7)
        self._driver = Driver(self._heard)
        self.figures = Figures()

    async def start(self) -> None:
        # What the person at this machine has switched off for themselves is not what they want to see here.
        environment = {"CODESTRAL_LS_ENABLED": "true", "CODESTRAL_LS_TRIGGER": "auto"}
        if self._language:
            name = json.dumps(self._language)
            environment["CODESTRAL_LS_LANGUAGES"] = f'{{{name} = {{enabled = true, trigger = "auto"}}}}'
        if "CODESTRAL_LS_BASE_URL" not in os.environ:
            environment["CODESTRAL_LS_BASE_URL"] = SANDBOX
        await self._driver.start(environment)
        capabilities = {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}}
        params = {
            "processId": os.getpid(),
            "clientInfo": {"name": "codestral-ls demo"},
            "rootUri": None,
            "capabilities": capabilities,
        }
        if await self._driver.request("initialize", params) is None:
            raise Failure("the server did not start")
        self._driver.notify("initialized", {})
        document = {"uri": self._uri, "languageId": self._language, "version": 1}
        text = self._script.before + self._script.after
        self._driver.notify("textDocument/didOpen", {"textDocument": {**document, "text": text}})
        self._draw()

    async def work(self) -> None:
        end = time.monotonic() + self._pace.most
        while self._done < len(self._target):
            if time.monotonic() > end and self._target[self._done] == "\n":
                break
            await self._think()
            part = wanted_part(self._ghost, self._target[self._done :])
            if part and not self._along:
                await asyncio.sleep(self._pace.look)
                self._accept(part)
            else:
                self._key()
                await asyncio.sleep(self._pace.key * self._rng.uniform(0.6, 1.4))

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        try:
            await asyncio.wait_for(self._driver.stop(), STOP_SECONDS)
        except asyncio.TimeoutError:
            # Its input closes with this process, and then it ends by itself.
            return

    async def _think(self) -> None:
        if self._ghost or self._asking is None:
            return
        pause = pause_after(self._script.before + self._target[: self._done], self._target[self._done :])
        if pause:
            await asyncio.wait({self._asking}, timeout=pause)

    def _key(self) -> None:
        match = _KEY.match(self._target, self._done)
        assert match is not None
        key = match[0]
        self._change(key)
        self.figures.typed += 1
        self._ghost = self._ghost[len(key) :] if self._ghost.startswith(key) else ""
        self._along = max(0, self._along - 1) if self._ghost else 0
        self._draw()
        self._ask_again(EDITOR_SECONDS)

    def _accept(self, part: str) -> None:
        self.figures.parts += part != self._ghost
        self.figures.accepted += 1
        self.figures.given += len(_KEY.findall(part))
        self._ghost = self._ghost.removeprefix(part)
        self._change(part)
        self._screen.accepted(part)
        self._draw()
        self._ask_again(0)

    def _change(self, text: str) -> None:
        at = self._position()
        self._done += len(text)
        self._version += 1
        self._driver.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": self._uri, "version": self._version},
                "contentChanges": [{"range": {"start": at, "end": at}, "text": text}],
            },
        )

    def _ask_again(self, wait: float) -> None:
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask(wait))

    async def _ask(self, wait: float) -> None:
        started = time.monotonic()
        await asyncio.sleep(wait)
        result = await self._driver.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": self._uri},
                "position": self._position(),
                "context": {"triggerKind": 2},
            },
        )
        items = (result or {}).get("items") or []
        text = str(items[0]["insertText"]) if items else ""
        if not text or text == self._ghost:
            return
        if not self._ghost:
            self.figures.shown += 1
            self.figures.waits.append(time.monotonic() - started)
            if self.figures.shown % 2 == 0 and len(text) > MOST_ALONG + LEAST_ACCEPTED:
                self._along = self._rng.randint(LEAST_ALONG, MOST_ALONG)
        self._ghost = text
        self._screen.suggested(text)
        self._draw()

    def _position(self) -> dict[str, int]:
        written = self._script.before + self._target[: self._done]
        return {"line": written.count("\n"), "character": len(written) - written.rfind("\n") - 1}

    def _draw(self) -> None:
        self._screen.draw(self._script.before + self._target[: self._done], self._ghost, self._script.after)

    def _heard(self, method: str, params: Any) -> None:
        if method == "window/showMessage" and sandbox.NOTICE not in str(params.get("message")):
            self._screen.say(str(params.get("message")))

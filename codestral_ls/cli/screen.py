"""Where the demo is seen: `Screen` writes plain lines, `Terminal` draws the document in place.

A terminal counts cells, not characters, so lines are cut by what `cells` says of them.
"""

from __future__ import annotations

import shutil
import signal
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

MOST_ROWS = 18
TAB_CELLS = 4
ELLIPSIS = "…"
UNSHOWN = "�"
"""Stands for what would move the cursor or turn the writing round: controls, lone surrogates, invisible formats."""

_SIGNS_PER_CELL = 4
"""More marks than that are not put on one letter."""

PLAIN, BOLD, DIM, CURSOR = "\x1b[m", "\x1b[1m", "\x1b[2m", "\x1b[7m"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
"""Terminals disagree on the width of some signs; a line that is too long after all must not become two."""


class Screen:
    """Where stdout is no terminal: plain lines. Used as a context, which ends what the screen has changed."""

    def __init__(self, path: Path) -> None:
        print(f"codestral-ls demo: {_on_one_line(str(path))}", flush=True)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Leaves stdout as it was found."""

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        print(text, flush=True)

    def suggested(self, text: str) -> None:
        """A suggestion has appeared."""
        print(f"  suggested: {_on_one_line(text)}", flush=True)

    def accepted(self, text: str) -> None:
        """A suggestion, or the beginning of one, was taken."""
        print(f"  accepted:  {_on_one_line(text)}", flush=True)

    def draw(self, before: str, ghost: str, after: str) -> None:
        """The document round the cursor, as it is now."""

    def close(self, lines: Iterable[str]) -> None:
        """The last words."""
        for line in lines:
            self.say(line)


class Terminal(Screen):
    """A few lines of the document round the cursor, drawn in place: ghost text dim, the cursor a block."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows = max(1, min(MOST_ROWS, shutil.get_terminal_size().lines - 5))
        self._drawn = False

    def __enter__(self) -> Screen:
        # So that an end from outside, too, gives the cursor back.
        self._on_term: Any = signal.signal(signal.SIGTERM, signal.default_int_handler)
        _write(_HIDE_CURSOR)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _write(_WRAP + PLAIN + _SHOW_CURSOR)
        signal.signal(signal.SIGTERM, self._on_term)

    def say(self, text: str) -> None:
        if self._drawn:
            _write(f"\x1b[{self._rows}F{_CLEAR_BELOW}")
            self._drawn = False
        print(text, flush=True)

    def suggested(self, text: str) -> None:
        """Seen on the screen."""

    def accepted(self, text: str) -> None:
        """Seen on the screen."""

    def draw(self, before: str, ghost: str, after: str) -> None:
        columns = shutil.get_terminal_size().columns
        frame = rows(before, ghost, after, self._rows, columns, sys.stdout.encoding)
        up = f"\x1b[{self._rows}F" if self._drawn else ""
        _write(up + _NO_WRAP + "".join(row + _CLEAR_LINE + "\n" for row in frame) + _WRAP)
        self._drawn = True

    def close(self, lines: Iterable[str]) -> None:
        print("\n" + "\n".join(f"{BOLD}{line}{PLAIN}" for line in lines), flush=True)


@dataclass(frozen=True)
class Cell:
    """One sign as it is shown, with the marks that combine with it; `width` in cells of the terminal, 1 or 2."""

    text: str
    width: int
    style: str = ""


def rows(before: str, ghost: str, after: str, height: int, columns: int, encoding: str = "utf-8") -> list[str]:
    """The `height` lines round the cursor, numbered, each at most `columns` cells wide."""
    *above, current = before.split("\n")
    rest, *below = after.split("\n")
    first, *more = ghost.split("\n")
    # Of a line without an end, what can be seen at all.
    most = _SIGNS_PER_CELL * columns
    current = current[-most:]
    lines = [[(line, "")] for line in above]
    cursor = len(lines)
    lines += [[(current, ""), (first, DIM)], *([(line, DIM)] for line in more)]
    lines[-1].append((rest, ""))
    lines += [[(line, "")] for line in below]
    top = max(0, min(cursor - height * 2 // 3, len(lines) - height))
    digits = max(4, len(str(top + height)))
    room = max(2, columns - digits - 3)
    drawn = []
    for number, spans in enumerate(lines[top : top + height], top):
        line: Sequence[Cell] = cells([(text[:most], style) for text, style in spans], encoding)
        if number == cursor:
            at = len(cells([(current, "")], encoding))
            line = cut(_with_cursor(line, at), room, at, encoding)
        else:
            line = cut(line, room, 0, encoding)
        drawn.append(f"{DIM}{number + 1:>{digits}}{PLAIN}  {_render(line)}")
    return drawn + [""] * (height - len(drawn))


def cells(spans: Iterable[tuple[str, str]], encoding: str = "utf-8") -> list[Cell]:
    """The signs of `(text, style)` spans. Tabs become blanks; what cannot be shown as one sign becomes a mark."""
    found: list[Cell] = []
    column = 0
    for text, style in spans:
        for char in text:
            if char == "\t":
                blanks = TAB_CELLS - column % TAB_CELLS
                found += [Cell(" ", 1, style)] * blanks
                column += blanks
                continue
            shown, width = _shown(char, encoding)
            if width == 0 and found:
                found[-1] = Cell(found[-1].text + shown, found[-1].width, found[-1].style)
            elif width:
                found.append(Cell(shown, width, style))
                column += width
    return found


def cut(line: Sequence[Cell], room: int, cursor: int, encoding: str = "utf-8") -> list[Cell]:
    """As much of the line as fits into `room` cells with the cell at index `cursor`; `…` where something is missing."""
    if sum(cell.width for cell in line) <= room:
        return list(line)
    mark = Cell(_shown(ELLIPSIS, encoding)[0], 1, DIM)
    start = 0
    if sum(cell.width for cell in line[: cursor + 1]) >= room:
        # Up to a third of the room is for what is suggested.
        following = sum(cell.width for cell in line[cursor:])
        start, space = cursor, room - 1 - min(following, max(1, room // 3))
        while start and line[start - 1].width <= space:
            start -= 1
            space -= line[start].width
    kept = [mark] if start else []
    space = room - len(kept)
    if sum(cell.width for cell in line[start:]) <= space:
        return [*kept, *line[start:]]
    for cell in line[start:]:
        if cell.width > space - 1:
            break
        kept.append(cell)
        space -= cell.width
    return [*kept, mark]


def _shown(char: str, encoding: str) -> tuple[str, int]:
    """What is written for a character, and how many cells it takes."""
    if "\ufe00" <= char <= "\ufe0f":
        # A variation selector asks for another width, which terminals grant or not.
        return "", 0
    if unicodedata.category(char) in ("Mn", "Me"):
        width = 0
    elif unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"):
        char, width = UNSHOWN, 1
    else:
        width = 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return "?", 1
    return char, width


def _with_cursor(line: Sequence[Cell], at: int) -> list[Cell]:
    under = line[at] if at < len(line) else Cell(" ", 1)
    return [*line[:at], Cell(under.text, under.width, under.style + CURSOR), *line[at + 1 :]]


def _render(line: Iterable[Cell]) -> str:
    out, style = [], ""
    for cell in line:
        if cell.style != style:
            out.append(PLAIN + cell.style)
            style = cell.style
        out.append(cell.text)
    return "".join(out) + (PLAIN if style else "")


def _on_one_line(text: str) -> str:
    """Without controls, which could do anything to a terminal that reads the log."""
    return "".join(cell.text for cell in cells([(text.replace("\n", "⏎"), "")]))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

"""From the model's stream to what is shown: a pure state machine, fed pieces, whose result ignores how they were cut.

The principle: text is dropped only if the document already holds it at that place, or if it is provably a loop, or
not code at all. The answer is taken line by line, so that a decision never depends on where a piece ended; what
the last line leaves is fitted to what stands round the cursor once, at the end.
"""

from __future__ import annotations

import re
from functools import cached_property

from codestral_ls.completion.types import Place
from codestral_ls.text.lines import line_feeds
from codestral_ls.text.nesting import OPENS_BLOCK, Nesting, State

MAX_CHARS = 5000
"""VS Code draws no longer suggestion, and nobody reads one; an answer that never ends is cut off here."""

MAX_LINES = 60

_NESTING_CHARS = 12_000
"""How far back open strings and brackets are looked for: all of the window that is usual. Costs about a millisecond."""

_LOOP_REPEATS = {1: 5, 2: 4, 3: 4}
"""How many times a run of 1, 2 or 3 equal lines must stand in a row to be a loop: fewer stand in honest tables."""

_CLOSING_LINE = re.compile(r"\s*(?:[)\]}]|</|\bend\b|\bfi\b|\bdone\b|\besac\b)")
_CONTINUING_LINE = re.compile(r"\s*(?:else|elif|elsif|elseif|except|finally|catch|rescue|ensure|case|default|when)\b")
_FENCE = re.compile(r"\s*(?:```|~~~)[\w+#.-]*\s*$")
_FENCED_LANGUAGES = frozenset({"markdown", "mdx", "quarto", "rmd", "asciidoc", "restructuredtext"})
_CONTROL = re.compile(r"\[(SUFFIX|PREFIX|MIDDLE)\]|</(s)>|<\|?(fim_\w+|endoftext)\|?>")
"""Signs of the model to itself. An honest program may hold them, too, but then it names their words elsewhere."""

_OTHER_FILE = "+++++ "


class Shape:
    """What would be shown of an answer at a place.

    Feed the stream's pieces, stop the stream when `complete`, call `finish` at its end; `text` is then what to show,
    empty for nothing. Before the end, `text` holds the whole lines so far.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._indent = _indent(place.line_before)
        self._opener = bool(place.line_before.strip()) and bool(OPENS_BLOCK.search(place.line_before))
        self._least_indent = self._indent + 1 if self._opener else self._indent
        self._below = [line.rstrip() for line in _lines(place.after)[1:] if line.strip()]
        self._lines: list[str] = []
        self._held = 0
        self._blank_held = False
        self._closed_outermost = False
        self._partial = ""
        self._after_cr = False
        self._fenced = False
        self._chars = 0
        self.complete = False
        """Whether nothing that may still come can change `text`."""
        self.reason: str | None = None
        """Why the shape ended before the stream did, in a few words."""

    def feed(self, piece: str) -> None:
        """Takes the next piece of the stream."""
        if self.complete or not piece:
            return
        if self._after_cr:
            piece = piece.removeprefix("\n")
        self._after_cr = piece.endswith("\r")
        *whole, self._partial = _lines(self._partial + piece)
        for line in whole:
            if self._line_ends(line):
                return
        if self._chars + len(self._partial) > MAX_CHARS:
            self._end("the answer is too long")

    def finish(self) -> None:
        """The stream has ended: its last line is whole."""
        if self.complete:
            return
        last, self._partial = self._partial, ""
        if not self._line_ends(last):
            self._end(None)

    def cut_off(self) -> None:
        """The stream has ended in the middle: an unfinished line is dropped if there are whole ones."""
        if self._lines:
            self._end("the answer was cut off")
        else:
            self.finish()

    @cached_property
    def _at_cursor(self) -> Nesting:
        nesting = Nesting(self._place.language)
        nesting.feed(self._place.before[-_NESTING_CHARS:])
        return nesting

    @cached_property
    def _start(self) -> State:
        return self._at_cursor.state

    @cached_property
    def _nesting(self) -> Nesting:
        return self._at_cursor.copy()

    @property
    def raw(self) -> str:
        """What was taken of the stream so far, with `\\n` line ends: what typing along is compared with."""
        return self._without_doubled_space("\n".join([*self._lines, self._partial]))

    @property
    def text(self) -> str:
        """What to show now, in the document's line ends; empty for nothing."""
        return self._final_text if self.complete else self._text_now()

    @cached_property
    def _final_text(self) -> str:
        return self._text_now()

    def _text_now(self) -> str:
        kept = self._lines[: len(self._lines) - self._held]
        text = self._fitted("\n".join(kept))
        return text if self._place.eol == "\n" else text.replace("\n", self._place.eol)

    def _end(self, reason: str | None) -> None:
        self.complete = True
        self.reason = reason
        self._partial = ""

    def _line_ends(self, line: str) -> bool:
        """Takes the next whole line; whether the shape is complete then."""
        self._line(line)
        return self.complete

    def _line(self, line: str) -> None:
        if self._chars + len(line) > MAX_CHARS:
            return self._end("the answer is too long")
        if not self._lines and not self._fenced and self._opens_fence(line):
            self._fenced = True
            return None
        if self._fenced and _FENCE.match(line):
            return self._end("the answer's fence is closed")
        if (end := self._other_text(line)) is not None:
            if line[:end]:
                self._take(line[:end])
            return self._end("the model began another text")
        whole_line = line if self._lines else self._place.line_before + line
        if self._place.multiline and self._ends_block(whole_line):
            return self._end("the block ends")
        if self._repeats_below(whole_line):
            self._held += 1
        elif line.strip():
            self._held = 0
        elif self._held:
            self._held += 1
        self._take(line)
        if not self._place.multiline:
            return self._end(None) if line.strip() else None
        self._nesting.feed(line + "\n")
        if self._closes_opened_block(line):
            return self._end("the block is closed")
        if (repeated := self._loop()) is not None:
            first = repeated[0].strip() if len(repeated) == 1 else None
            del self._lines[len(self._lines) - len(repeated) * (_LOOP_REPEATS[len(repeated)] - 1) :]
            if first is not None and first == self._line_above() and len(self._lines) == 1:
                self._lines.clear()
            self._held = 0
            return self._end("the answer repeats itself")
        if len(self._lines) >= MAX_LINES:
            self._end("the answer is long enough")
        return None

    def _take(self, line: str) -> None:
        self._lines.append(line)
        self._chars += len(line) + 1

    def _other_text(self, line: str) -> int | None:
        """Where in the line the model leaves this text: at another file's heading, or a sign that is no code here."""
        if line.startswith(_OTHER_FILE):
            return 0
        for sign in _CONTROL.finditer(line):
            word = "<s" if sign[2] else sign[1] or sign[3]
            said = (self._place.before, self._place.after, *self._lines, line[: sign.start()])
            if not any(word in text for text in said):
                return sign.start()
        return None

    def _opens_fence(self, line: str) -> bool:
        return bool(_FENCE.match(line)) and not self._start.in_text and self._place.language not in _FENCED_LANGUAGES

    def _ends_block(self, line: str) -> bool:
        """Whether `line` is the first that belongs to no block which the cursor stands in."""
        if not line.strip() or self._nesting.state.in_text:
            self._blank_held = self._blank_held or not self._nesting.state.in_text
            return False
        if not any(kept.strip() for kept in self._lines):
            # The first line. On an empty line at the margin, it says how deep the block is.
            if not self._indent and not self._place.line_before:
                self._least_indent = _indent(line)
            return False
        after_blank, self._blank_held = self._blank_held, False
        indent = _indent(line)
        inside = len(self._nesting.state.closers) > len(self._start.closers)
        if _CLOSING_LINE.match(line):
            # A closer that the document has below, at the same depth, closes the block already.
            if not inside and self._below and _same_closer(line, self._below[0]):
                return True
            self._least_indent = min(self._least_indent, indent)
            self._closed_outermost = not inside and indent == 0
            return False
        if inside:
            return False
        if indent < self._least_indent:
            if _CONTINUING_LINE.match(line) and indent >= self._indent - 8:
                return bool(self._below) and self._below[0] == line.rstrip()
            return True
        if indent == 0 and self._closed_outermost:
            return not _CONTINUING_LINE.match(line)
        return after_blank and indent == 0 and self._least_indent == 0 and bool("".join(self._lines).strip())

    def _closes_opened_block(self, line: str) -> bool:
        return (
            self._opener
            and len(self._lines) > 1
            and bool(_CLOSING_LINE.match(line))
            and _indent(line) <= self._indent
            and not OPENS_BLOCK.search(line)
            and len(self._nesting.state.closers) < len(self._start.closers) + (not self._start.closers)
        )

    def _repeats_below(self, line: str) -> bool:
        """Whether the lines that are held, and now `line`, are the first lines below the cursor, in order."""
        held = [kept for kept in self._lines[len(self._lines) - self._held :] if kept.strip()]
        at = len(held)
        return bool(line.strip()) and at < len(self._below) and self._below[at] == line.rstrip()

    def _loop(self) -> list[str] | None:
        for period, repeats in _LOOP_REPEATS.items():
            run = self._lines[-period * repeats :]
            if len(run) == period * repeats and any(line.strip() for line in run[:period]):
                first = run[:period]
                if all(run[at : at + period] == first for at in range(0, len(run), period)):
                    return first
        return None

    def _line_above(self) -> str:
        above = self._place.before.rstrip()
        return above[above.rfind("\n") + 1 :].strip()

    def _fitted(self, text: str) -> str:
        """The text cut to the seams: what stands before and right after the cursor is not said again."""
        rest = self._place.line_after.rstrip()
        text = self._without_doubled_space(text)
        if not self._place.after and self._place.before.endswith(("\n\n", "\n\r\n")) and text.startswith("\n"):
            text = text[1:]
        text = self._without_rest(text, rest) if rest.strip() else text.rstrip()
        return text if text.strip() else ""

    def _without_doubled_space(self, text: str) -> str:
        """The text without the one space that Codestral likes to say again after the cursor's.

        Before a comment two spaces are meant: most styles ask for them.
        """
        before = self._place.line_before
        doubled = text.startswith(" ") and not text.startswith(("  ", " #", " //", " --"))
        return text[1:] if doubled and before.endswith((" ", "\t")) and before.strip() else text

    def _without_rest(self, text: str, rest: str) -> str:
        """The text without the end that repeats the rest of the line, where the nesting says that it is a repeat."""
        trimmed = text.rstrip()
        states = self._at_cursor.copy().states(trimmed)
        for length in range(min(len(trimmed), len(rest)), 0, -1):
            cut = len(trimmed) - length
            # After the cut the rest must mean what it means at the cursor: the same things open.
            if trimmed.endswith(rest[:length]) and states[cut] == self._start and _is_repeat(rest, length):
                return trimmed[:cut]
        # The line end before a closer on its own line is meant; after a single line it is only the answer's end.
        return text if "\n" in trimmed else text.split("\n", 1)[0]


def _is_repeat(rest: str, length: int) -> bool:
    repeated = rest[:length]
    return length == len(rest) or length >= 4 or not any(sign.isalnum() or sign.isspace() for sign in repeated)


def _same_closer(line: str, below: str) -> bool:
    return _indent(line) == _indent(below) and line.strip()[:1] == below.strip()[:1]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _lines(text: str) -> list[str]:
    return line_feeds(text).split("\n")

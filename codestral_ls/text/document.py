"""The documents that an editor has open: kept as it changes them, and read through snapshots that never change."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from codestral_ls.text.columns import PositionEncoding
from codestral_ls.text.rope import Rope

Position: TypeAlias = "tuple[int, int]"
"""Line and column, both from 0, the column in code units."""

CHANGES_KEPT = 32
"""How many applied edits a document remembers: more than one completion, accepted in parts, takes."""

LONGEST_CHANGE_KEPT = 16_384
"""Characters. What is inserted in one go beyond that is no completion, and would be held twice."""


class Documents:
    """All open documents of one connection, by URI.

    The methods take what the editor notifies. None of them raises: what was wrong with a notification is returned for
    the log, as an `Anomaly`, and the text is the client's whatever the version numbers say.
    """

    def __init__(self, encoding: PositionEncoding = PositionEncoding.UTF16) -> None:
        self.encoding = encoding
        """What columns count; the client and the server agree on it before the first document."""
        self._open: dict[str, Document] = {}

    def open(self, uri: str, language: str, version: int | None, text: str) -> Anomaly | None:
        """Takes a document up; one that is open already is replaced, its history forgotten."""
        anomaly = Anomaly.OPENED_TWICE if uri in self._open else None
        self._open[uri] = Document(uri, language, version, Rope.of(text))
        return anomaly

    def change(self, uri: str, version: int | None, edits: Iterable[Edit]) -> Anomaly | None:
        """Applies `edits` in their order, each to the text that the one before it left."""
        document = self._open.get(uri)
        if document is None:
            return Anomaly.NOT_OPEN
        return document.apply(edits, version, self.encoding)

    def close(self, uri: str) -> Anomaly | None:
        """Forgets a document."""
        return None if self._open.pop(uri, None) else Anomaly.NOT_OPEN

    def get(self, uri: str) -> Document | None:
        """The open document of that URI."""
        return self._open.get(uri)


class Anomaly(Enum):
    """What a client may do although the protocol says otherwise. The value says it in a log line."""

    OPENED_TWICE = "the document was opened again without being closed; the new text replaces the old"
    NOT_OPEN = "the document is not open; nothing was done"
    VERSION_NOT_HIGHER = "the version did not grow with the change; the change was applied"


@dataclass(frozen=True)
class Edit:
    """`text` in place of what lies between two positions; in place of everything if either position is None."""

    start: Position | None
    end: Position | None
    text: str


@dataclass(frozen=True)
class Change:
    """An edit as it was applied: at the character offset `start`, `inserted` took the place of `removed` characters.

    `version` is the document's from then on; the edits of one notification share it.
    """

    version: int | None
    start: int
    removed: int
    inserted: str


class Document:
    """One open document. Its text changes with `apply`; whoever works on it works on a snapshot."""

    def __init__(self, uri: str, language: str, version: int | None, text: Rope) -> None:
        self._snapshot = Snapshot(uri, language, version, text)
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)

    @property
    def uri(self) -> str:
        return self._snapshot.uri

    @property
    def language(self) -> str:
        """The language id that the editor gave."""
        return self._snapshot.language

    @property
    def version(self) -> int | None:
        """The number of the last change; None if the editor counts none."""
        return self._snapshot.version

    @property
    def changes(self) -> tuple[Change, ...]:
        """The last edits, oldest first, without a gap: applied to the text before the first they give today's text.

        At most `CHANGES_KEPT`. One that inserts more than `LONGEST_CHANGE_KEPT` is not kept, nor is any before it.
        """
        return tuple(self._changes)

    def snapshot(self) -> Snapshot:
        """The document as it is now. Costs nothing, and stays as it is."""
        return self._snapshot

    def apply(self, edits: Iterable[Edit], version: int | None, encoding: PositionEncoding) -> Anomaly | None:
        """Applies `edits` in their order and takes `version` over.

        Positions out of the text are clamped, reversed ones swapped. A version may jump; one that does not grow is
        reported, and the edits hold all the same: the editor's order is the only one there is.
        """
        old = self._snapshot
        text = old.text
        for edit in edits:
            start, end, inserted = _located(edit, text, encoding)
            if start == end and not inserted:
                continue
            text = text.replace(start, end, inserted)
            if len(inserted) > LONGEST_CHANGE_KEPT:
                self._changes.clear()
            else:
                self._changes.append(Change(version, start, end - start, inserted))
        self._snapshot = Snapshot(old.uri, old.language, version, text)
        if old.version is not None and version is not None and version <= old.version:
            return Anomaly.VERSION_NOT_HIGHER
        return None


@dataclass(frozen=True)
class Snapshot:
    """A document at one version. Immutable; an old one costs only what has changed since.

    Offsets are characters (code points) from 0. What these methods return costs its own length, not the file's.
    """

    uri: str
    language: str
    version: int | None
    text: Rope

    def prefix(self, offset: int, max_chars: int) -> str:
        """The last `max_chars` characters before `offset`, fewer at the start of the text."""
        end = min(offset, len(self.text))
        return self.text.slice(end - max_chars, end)

    def suffix(self, offset: int, max_chars: int) -> str:
        """The first `max_chars` characters from `offset` on, fewer at the end of the text."""
        start = max(offset, 0)
        return self.text.slice(start, start + max_chars)

    def line_before(self, offset: int, max_chars: int | None = None) -> str:
        """What stands before `offset` on its line, or the last `max_chars` characters of that."""
        line = self.text.line_of(offset)
        start = self.text.line_start(line)
        end = min(offset, self.text.line_end(line))
        return self.text.slice(start if max_chars is None else max(start, end - max_chars), end)

    def line_after(self, offset: int, max_chars: int | None = None) -> str:
        """What stands from `offset` to the end of its line, or the first `max_chars` characters of that."""
        end = self.text.line_end(self.text.line_of(offset))
        start = max(offset, 0)
        return self.text.slice(start, end if max_chars is None else min(end, start + max_chars))

    @property
    def eol(self) -> str:
        """The line end of the first line, which a document of one kind uses throughout; `\\n` if it has none."""
        return self.text.slice(self.text.line_end(0), self.text.line_start(1)) or "\n"


def _located(edit: Edit, text: Rope, encoding: PositionEncoding) -> tuple[int, int, str]:
    """The edit in characters of `text`: from, to, and what comes there."""
    if edit.start is None or edit.end is None:
        return _difference(str(text), edit.text)
    first = last = text.locate(*edit.start, encoding)
    if edit.end != edit.start:
        first, last = sorted((first, text.locate(*edit.end, encoding)))
    (start, start_inside), (end, end_inside) = first, last
    if encoding is not PositionEncoding.UTF16:
        return start, end, edit.text
    # A place in the middle of a surrogate pair splits it, as in an editor whose strings are UTF-16: the half that is
    # not replaced stays. An edit that brings the halves together again makes them whole; see Rope.replace.
    left = _high(text.slice(start, start + 1)) if start_inside else ""
    right = _low(text.slice(end, end + 1)) if end_inside else ""
    return start, end + end_inside, left + edit.text + right


def _high(astral: str) -> str:
    return chr(0xD800 + ((ord(astral) - 0x10000) >> 10))


def _low(astral: str) -> str:
    return chr(0xDC00 + (ord(astral) & 0x3FF))


def _difference(old: str, new: str) -> tuple[int, int, str]:
    """The one edit that makes `new` of `old`: so a client that always sends everything looks like one that does not."""
    prefix = _common_prefix(old, new)
    suffix = _common_suffix(old, new, min(len(old), len(new)) - prefix)
    return prefix, len(old) - suffix, new[prefix : len(new) - suffix]


def _common_prefix(old: str, new: str) -> int:
    equal, limit = 0, min(len(old), len(new))
    while equal < limit:
        middle = (equal + limit + 1) // 2
        if old[equal:middle] == new[equal:middle]:
            equal = middle
        else:
            limit = middle - 1
    return equal


def _common_suffix(old: str, new: str, limit: int) -> int:
    equal = 0
    while equal < limit:
        middle = (equal + limit + 1) // 2
        if old[len(old) - middle : len(old) - equal] == new[len(new) - middle : len(new) - equal]:
            equal = middle
        else:
            limit = middle - 1
    return equal
